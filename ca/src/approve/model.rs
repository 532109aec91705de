//! Roles and requests against a plain model of what the API promises: which requests are granted, and which names the
//! certificate then has.
//!
//! The model is written from the documented behaviour, rule by rule, and calls nothing of ours. The count of pairs is
//! `CHANCERY_NAMING_PAIRS`; the test run takes fewer, `./x interop pki` a million.

use super::*;
use crate::{
    csr::Csr,
    san::{AlternativeNames, OtherName},
};
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use der::{Decode, Encode};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Numbers that only look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % u64::try_from(sides).unwrap()).unwrap()
    }

    /// Whether something of this percentage happens.
    fn happens(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.roll(items.len())]
    }

    fn some(&mut self, items: &[&str], most: usize) -> Vec<String> {
        (0..self.roll(most + 1)).map(|_| self.pick(items).to_owned()).collect()
    }
}

/// What a request asks for by one channel.
#[derive(Debug, Clone, Default)]
struct Wish {
    common_name: String,
    /// DNS names and email addresses, as a client of the API mixes them.
    names: Vec<String>,
    ips: Vec<String>,
    uris: Vec<String>,
    others: Vec<String>,
}

#[derive(Debug)]
struct Order {
    fields: Wish,
    csr: Option<Wish>,
    serial_number: String,
    user_ids: Vec<String>,
    exclude_cn_from_sans: bool,
}

/// What the certificate says.
#[derive(Debug, PartialEq, Eq)]
struct Granted {
    common_name: String,
    names: BTreeSet<String>,
}

const LABELS: [&str; 16] = [
    "a",
    "web",
    "b-1",
    "A",
    "1001",
    "a_b",
    "-a",
    "",
    "*",
    "w*",
    "a*b",
    "**",
    "xn--bcher-kva",
    "xn--zzzzzz",
    "a b",
    "localhost",
];
const DOMAINS: [&str; 12] = [
    "example.com",
    "EXAMPLE.com",
    "sub.example.com",
    "evil.com",
    "example.com.",
    "localhost",
    "localdomain",
    "10.0.0.1",
    "com",
    "b\u{fc}cher.de",
    "ex\u{430}mple.com",
    "exam\u{200b}ple.com",
];
const USERS: [&str; 6] = ["joe", "a.b", "o'neil", "us er", "", "a@b"];
const ALLOWED: [&str; 9] = [
    "example.com",
    "sub.example.com",
    "*.example.com",
    "w*.example.com",
    "*",
    "joe@example.com",
    "xn--bcher-kva.de",
    "10.0.0.1",
    "web",
];
const IPS: [&str; 6] = ["10.1.2.3", "192.0.2.1", "2001:db8::1", "2001:db9::1", "::ffff:10.1.2.3", "1.2.3"];
const URIS: [&str; 5] = ["spiffe://a/b", "spiffe://b/a", "https://x.example.com/", "junk", "urn:a b"];
const OTHERS: [&str; 5] =
    ["1.2.3;UTF8:joe@example.com", "1.2.3;UTF8:joe@evil.com", "1.2.4;UTF8:x", "1.2.3;INT:5", "1.2.3;UTF8:a\u{0}b"];

fn host(dice: &mut Dice) -> String {
    let domain = dice.pick(&DOMAINS);
    match dice.roll(5) {
        0 => domain.to_owned(),
        1 => dice.pick(&LABELS).to_owned(),
        2 => format!("{}.{}.{domain}", dice.pick(&LABELS), dice.pick(&LABELS)),
        _ => format!("{}.{domain}", dice.pick(&LABELS)),
    }
}

fn name(dice: &mut Dice) -> String {
    if dice.happens(15) { format!("{}@{}", dice.pick(&USERS), host(dice)) } else { host(dice) }
}

fn wish(dice: &mut Dice) -> Wish {
    let common_name = match dice.roll(12) {
        0 => String::new(),
        1 => dice.pick(&IPS).to_owned(),
        _ => name(dice),
    };
    let names = if dice.happens(50) { (0..=dice.roll(2)).map(|_| name(dice)).collect() } else { Vec::new() };
    let mut sometimes = |items: &[&str]| if dice.happens(15) { dice.some(items, 2) } else { Vec::new() };
    Wish { common_name, names, ips: sometimes(&IPS), uris: sometimes(&URIS), others: sometimes(&OTHERS) }
}

fn order(dice: &mut Dice) -> Order {
    Order {
        fields: wish(dice),
        csr: dice.happens(50).then(|| wish(dice)),
        serial_number: if dice.happens(10) { dice.pick(&["A1", "B2"]).to_owned() } else { String::new() },
        user_ids: if dice.happens(10) { dice.some(&["u1", "v1"], 2) } else { Vec::new() },
        exclude_cn_from_sans: dice.happens(20),
    }
}

fn role(dice: &mut Dice) -> Role {
    let kinds = [&["email", "hostname"][..], &["email"], &["hostname"], &["disabled"]][dice.roll(4)];
    Role {
        allowed_domains: dice.some(&ALLOWED, 3),
        allow_any_name: dice.happens(25),
        allow_bare_domains: dice.happens(60),
        allow_subdomains: dice.happens(60),
        allow_glob_domains: dice.happens(40),
        allow_wildcard_certificates: dice.happens(70),
        allow_localhost: dice.happens(60),
        enforce_hostnames: dice.happens(70),
        allow_ip_sans: dice.happens(70),
        allowed_ip_sans_cidr: dice.some(&["10.0.0.0/8", "2001:db8::/32"], 2),
        allowed_uri_sans: dice.some(&["*", "spiffe://a/*", "https://x.example.com/"], 2),
        allowed_other_sans: dice.some(&["*", "1.2.3;UTF8:*@example.com", "1.2.4;UTF8:*"], 2),
        allowed_serial_numbers: dice.some(&["*", "A*"], 1),
        allowed_user_ids: dice.some(&["*", "u*"], 1),
        cn_validations: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        require_cn: dice.happens(50),
        use_csr_common_name: dice.happens(60),
        use_csr_sans: dice.happens(60),
        key_type: "any".to_owned(),
        ..Role::default()
    }
}

/// The rules, one after another.
mod rules {
    use super::{Granted, Order, Role, Wish};
    use std::collections::BTreeSet;

    pub(super) fn decide(role: &Role, order: &Order) -> Option<Granted> {
        let from_csr = |allowed: bool| order.csr.as_ref().filter(|_| allowed);
        let common_name = match from_csr(role.use_csr_common_name) {
            Some(csr) if !csr.common_name.is_empty() => csr.common_name.clone(),
            _ => order.fields.common_name.clone(),
        };
        if common_name.is_empty() && role.require_cn {
            return None;
        }
        let mut names = match from_csr(role.use_csr_sans) {
            Some(csr) => of_csr(csr),
            None => of_fields(&order.fields)?,
        };
        if !order.exclude_cn_from_sans && !common_name.is_empty() {
            names.extend(of_common_name(&common_name)?);
        }
        let patterns = |patterns: &[String], text: &str| patterns.iter().any(|pattern| glob(pattern, text));
        let granted = common_name_is_allowed(role, &common_name)
            && (order.serial_number.is_empty() || patterns(&role.allowed_serial_numbers, &order.serial_number))
            && order.user_ids.iter().all(|user| patterns(&role.allowed_user_ids, user))
            && names.iter().all(|name| is_allowed(role, name) && has_form(name));
        // What nobody can see does not get into a subject.
        let shown = !common_name.contains(['\u{200b}', '\0']);
        let names = names.into_iter().map(|name| format!("{name:?}")).collect();
        (granted && shown).then_some(Granted { common_name, names })
    }

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Name {
        Dns(String),
        Email(String),
        Ip(String),
        Uri(String),
        Other(String),
    }

    /// What a CSR carries is taken as it is.
    fn of_csr(csr: &Wish) -> BTreeSet<Name> {
        let mixed = csr.names.iter().filter(|name| name.is_ascii());
        let mixed =
            mixed.map(|name| if name.contains('@') { Name::Email(name.clone()) } else { Name::Dns(name.clone()) });
        let ips = csr.ips.iter().filter_map(|ip| ip_of(ip)).map(Name::Ip);
        let uris = csr.uris.iter().cloned().map(Name::Uri);
        let others = csr.others.iter().filter(|other| !other.contains("INT")).cloned().map(Name::Other);
        mixed.chain(ips).chain(uris).chain(others).collect()
    }

    /// Fields are checked as they are read; names without the shape of a host are left out.
    fn of_fields(fields: &Wish) -> Option<BTreeSet<Name>> {
        let mut found = BTreeSet::new();
        for name in &fields.names {
            if name.contains('@') {
                found.insert(Name::Email(name.clone()));
            } else {
                let ascii = to_ascii(name)?;
                if is_host(&ascii) {
                    found.insert(Name::Dns(ascii));
                }
            }
        }
        for ip in &fields.ips {
            found.insert(Name::Ip(ip_of(ip)?));
        }
        for uri in &fields.uris {
            found.insert(Name::Uri(["junk", "urn:a b"].iter().all(|bad| bad != uri).then(|| uri.clone())?));
        }
        for other in &fields.others {
            found.insert(Name::Other((!other.contains("INT")).then(|| other.clone())?));
        }
        Some(found)
    }

    fn of_common_name(name: &str) -> Option<Option<Name>> {
        if let Some(ip) = ip_of(name) {
            return Some(Some(Name::Ip(ip)));
        }
        if name.contains('@') {
            return Some(Some(Name::Email(name.to_owned())));
        }
        let ascii = to_ascii(name)?;
        Some((is_host(&ascii) && !ends_in_number(&ascii)).then_some(Name::Dns(ascii)))
    }

    fn ip_of(text: &str) -> Option<String> {
        match text {
            "10.1.2.3" | "::ffff:10.1.2.3" => Some("10.1.2.3".to_owned()),
            "192.0.2.1" | "2001:db8::1" | "2001:db9::1" | "10.0.0.1" => Some(text.to_owned()),
            _ => None,
        }
    }

    /// The few names outside ASCII that are asked for.
    fn to_ascii(name: &str) -> Option<String> {
        if name.contains('\u{200b}') {
            return None;
        }
        let ascii = name.replace("b\u{fc}cher", "xn--bcher-kva").replace("ex\u{430}mple", "xn--exmple-4nf");
        // Mapping a name makes it lower case, all of it.
        let ascii = if ascii == name { ascii } else { ascii.to_lowercase() };
        let sound = ascii.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label != "xn--zzzzzz");
        (sound && ascii.len() <= 253).then_some(ascii)
    }

    fn is_label(label: &str) -> bool {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        ends(label.chars().next())
            && ends(label.chars().next_back())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    }

    fn is_host(ascii: &str) -> bool {
        let rest = ascii.strip_prefix("*.").unwrap_or(ascii);
        !rest.is_empty() && rest.split('.').all(is_label)
    }

    fn ends_in_number(name: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(_, last)| !last.is_empty() && last.chars().all(|c| c.is_ascii_digit()))
    }

    fn common_name_is_allowed(role: &Role, name: &str) -> bool {
        let has = |kind: &str| role.cn_validations.iter().any(|allowed| allowed == kind);
        let kind = if name.contains('@') { "email" } else { "hostname" };
        name.is_empty() || has("disabled") || (has(kind) && host_or_email_is_allowed(role, name))
    }

    fn is_allowed(role: &Role, name: &Name) -> bool {
        match name {
            Name::Dns(name) => !name.contains('@') && host_or_email_is_allowed(role, name),
            Name::Email(name) => host_or_email_is_allowed(role, name),
            Name::Ip(ip) => {
                let blocks = &role.allowed_ip_sans_cidr;
                let within = |block: &String| match block.as_str() {
                    "10.0.0.0/8" => ip.starts_with("10."),
                    _ => ip.starts_with("2001:db8:"),
                };
                role.allow_ip_sans && (blocks.is_empty() || blocks.iter().any(within))
            }
            Name::Uri(uri) => role.allowed_uri_sans.iter().any(|pattern| glob(pattern, uri)),
            Name::Other(other) => {
                let allowed = &role.allowed_other_sans;
                allowed.iter().any(|pattern| pattern == "*")
                    || allowed.iter().any(|pattern| {
                        let ((kind, value), (wanted, pattern)) = (typed(other), typed(pattern));
                        kind == wanted && glob(pattern, value)
                    })
            }
        }
    }

    fn typed(text: &str) -> (&str, &str) {
        let (oid, typed) = text.split_once(';').unwrap_or((text, ""));
        (oid, typed.split_once(':').map_or("", |(_, value)| value))
    }

    fn host_or_email_is_allowed(role: &Role, name: &str) -> bool {
        let ats = name.matches('@').count();
        let host = name.rsplit('@').next().unwrap_or("");
        let labels: Vec<&str> = host.split('.').collect();
        let stars = host.matches('*').count();
        let wild = stars > 0;
        if ats > 1 || (wild && (ats == 1 || !role.allow_wildcard_certificates)) {
            return false;
        }
        if wild && (stars > 1 || !labels[0].contains('*') || host.ends_with('.')) {
            return false;
        }
        let base = if wild { labels[1..].join(".") } else { host.to_owned() };
        if role.enforce_hostnames {
            let pieces_are_labels = labels[0].split('*').all(|piece| piece.is_empty() || is_label(piece));
            let base_is_host = to_ascii(&base).is_some_and(|ascii| is_host(&ascii));
            if wild && !pieces_are_labels || !(base_is_host || (wild && labels.len() == 1)) {
                return false;
            }
        }
        if role.allow_any_name {
            return true;
        }
        let below = |domain: &str| base.ends_with(&format!(".{domain}")) || (wild && base.eq_ignore_ascii_case(domain));
        let local = ["localhost", "localdomain"]
            .iter()
            .any(|local| (!wild && base == *local) || (role.allow_subdomains && below(local)));
        (role.allow_localhost && local)
            || role.allowed_domains.iter().any(|domain| {
                let bare = name.eq_ignore_ascii_case(domain) || (ats == 1 && base.eq_ignore_ascii_case(domain));
                (role.allow_bare_domains && bare)
                    || (role.allow_subdomains && below(domain))
                    || (role.allow_glob_domains && domain.contains('*') && glob(domain, name))
            })
    }

    /// What no role can lift.
    fn has_form(name: &Name) -> bool {
        match name {
            Name::Dns(name) => {
                to_ascii(name).is_some()
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_*".contains(c))
                    && !name.split('.').any(|label| label.starts_with('-') || label.ends_with('-'))
                    && !ends_in_number(name)
            }
            Name::Email(address) => {
                let (user, host) = address.split_once('@').unwrap_or_default();
                ["joe", "a.b", "o'neil"].contains(&user)
                    && host.is_ascii()
                    && to_ascii(host).is_some()
                    && host.split('.').all(is_label)
                    && !ends_in_number(host)
            }
            Name::Uri(uri) => uri != "junk" && uri != "urn:a b",
            Name::Other(other) => !other.contains('\0'),
            Name::Ip(_) => true,
        }
    }

    /// Recursive matcher, as in a textbook.
    fn glob(pattern: &str, text: &str) -> bool {
        match (pattern.chars().next(), text.chars().next()) {
            (None, None) => true,
            (Some('*'), found) => {
                glob(&pattern[1..], text) || found.is_some_and(|found| glob(pattern, &text[found.len_utf8()..]))
            }
            (Some(wanted), Some(found)) if wanted == found => {
                glob(&pattern[wanted.len_utf8()..], &text[found.len_utf8()..])
            }
            _ => false,
        }
    }

    /// How our names are shown, for the comparison.
    pub(super) fn shown(names: &super::AlternativeNames) -> BTreeSet<String> {
        let dns = names.dns.iter().cloned().map(Name::Dns);
        let emails = names.emails.iter().cloned().map(Name::Email);
        let ips = names.ips.iter().map(ToString::to_string).map(Name::Ip);
        let uris = names.uris.iter().cloned().map(Name::Uri);
        let others = names.others.iter().map(ToString::to_string).map(Name::Other);
        dns.chain(emails).chain(ips).chain(uris).chain(others).map(|name| format!("{name:?}")).collect()
    }
}

/// The same request, as ours takes it.
fn ours(role: &Role, order: &Order, key: &PublicKey) -> Option<Granted> {
    let csr = order.csr.as_ref().map(|wish| {
        let subject = Subject { common_name: wish.common_name.replace('\u{200b}', "?"), ..Subject::default() };
        let mut subject = subject.to_der().unwrap();
        if wish.common_name.contains('\u{200b}') {
            // Our own encoder refuses such a text; somebody else's did not. "?" is one byte, the character three.
            let raw = x509_cert::name::Name::from_der(&utf8_name(&wish.common_name)).unwrap();
            subject = raw.to_der().unwrap();
        }
        let mut names = AlternativeNames::default();
        for name in wish.names.iter().filter(|name| name.is_ascii()) {
            if name.contains('@') { names.add_email(name.clone()) } else { names.add_dns(name.clone()) }
        }
        for ip in wish.ips.iter().filter_map(|ip| ip.parse::<std::net::IpAddr>().ok()) {
            let ip = ip.to_canonical();
            if !names.ips.contains(&ip) {
                names.ips.push(ip);
            }
        }
        names.uris.clone_from(&wish.uris);
        names.others = wish.others.iter().filter_map(|other| OtherName::parse(other).ok()).collect();
        Csr::unsigned(subject, key.clone(), names)
    });
    let asked = Asked {
        common_name: order.fields.common_name.clone(),
        alt_names: order.fields.names.clone(),
        ip_sans: order.fields.ips.clone(),
        uri_sans: order.fields.uris.clone(),
        other_sans: order.fields.others.clone(),
        serial_number: order.serial_number.clone(),
        user_ids: order.user_ids.clone(),
        exclude_cn_from_sans: order.exclude_cn_from_sans,
        ..Asked::default()
    };
    let validity = Validity {
        not_before: Timestamp::from_second(1_800_000_000).unwrap(),
        not_after: Timestamp::from_second(1_800_003_599).unwrap(),
    };
    let applicant = csr.as_ref().map_or(Applicant::Generated(key), Applicant::Csr);
    let (approved, _) = role.approve(applicant, &asked, "", validity).ok()?;
    Some(Granted { names: rules::shown(&approved.names), common_name: approved.common_name })
}

fn utf8_name(text: &str) -> Vec<u8> {
    let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    wrap(0x30, &wrap(0x31, &wrap(0x30, &[&[6, 3, 0x55, 4, 3][..], &wrap(0x0c, text.as_bytes())].concat())))
}

#[test]
#[expect(clippy::print_stdout, reason = "the count is part of the proof")]
fn roles_grant_what_the_model_grants() {
    let count: usize = std::env::var("CHANCERY_NAMING_PAIRS")
        .map_or(40_000, |text| text.parse().expect("CHANCERY_NAMING_PAIRS is a number"));
    let software = SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap();
    let key = PublicKey::parse(software.public_key_der().unwrap()).unwrap();
    let (mut dice, mut granted, mut with_names) = (Dice(0x5eed_cafe_f00d), 0, 0);
    for pair in 0..count {
        let (role, order) = (role(&mut dice), order(&mut dice));
        let (expected, found) = (rules::decide(&role, &order), ours(&role, &order, &key));
        assert_eq!(found, expected, "pair {pair}\n{role:#?}\n{order:#?}");
        granted += usize::from(found.is_some());
        with_names += usize::from(found.is_some_and(|found| found.names.len() > 1));
    }
    println!(
        "{count} pairs of role and request agree with the model; {granted} were granted, {with_names} of them several names"
    );
    assert!(
        granted * 20 > count && granted * 2 < count && with_names * 100 > count,
        "{granted} {with_names} of {count}"
    );
}

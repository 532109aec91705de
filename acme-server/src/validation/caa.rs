//! CAA: whom a domain's owner lets certify it (RFC 8659), for which account and by which way (RFC 8657).

use super::{Failure, Question, Settings, failure::excerpt, issue_value::IssueValue, resolver::Perspective};
use crate::identifier::{DnsName, Identifier};

/// A property of a CAA record, as the DNS has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// RFC 8659 §4.1: who does not understand the tag must not certify.
    pub critical: bool,
    /// In any case.
    pub tag: String,
    /// The value.
    pub value: Vec<u8>,
}

/// What is asked of a set of records.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    /// Names by which records may name this CA.
    pub identities: &'a [String],
    /// Whether `*.` stands before the name.
    pub wildcard: bool,
    /// The challenge by which control is shown.
    pub method: &'a str,
    /// The account's URL.
    pub account_url: &'a str,
}

/// Tags that are understood (RFC 8659 §4.2 to §4.4). A critical property with another tag forbids everything.
const UNDERSTOOD: [&str; 3] = ["issue", "issuewild", "iodef"];

/// Climbs from the name to its parents until there are records, and asks them (RFC 8659 §3).
pub(super) async fn check(
    settings: &Settings,
    perspective: &Perspective,
    question: &Question<'_>,
) -> Result<(), Failure> {
    // Addresses have no CAA records.
    let Identifier::Dns(name) = question.identifier else { return Ok(()) };
    let applicant = Applicant {
        identities: &settings.caa_identities,
        wildcard: question.wildcard,
        method: question.challenge.name(),
        account_url: question.account_url,
    };
    let mut place: Option<DnsName> = Some(name.clone());
    while let Some(at) = place {
        let properties = perspective.caa(&at).await?;
        if !properties.is_empty() {
            let told = |reason: String| Failure::caa(format!("CAA records of {at} forbid it: {reason}"));
            return permits(&properties, &applicant).map_err(told);
        }
        place = at.parent();
    }
    Ok(())
}

/// Nobody knows what the records say.
pub(super) fn unknown(why: impl Into<String>) -> Failure {
    Failure::dns(why).with(", so nobody knows whether CAA records forbid it")
}

/// Whether a set of records lets the applicant have its certificate.
///
/// # Errors
/// Why it does not.
pub fn permits(properties: &[Property], applicant: &Applicant<'_>) -> Result<(), String> {
    let has_tag = |property: &&Property, tag: &str| property.tag.eq_ignore_ascii_case(tag);
    let unknown = |property: &&Property| !UNDERSTOOD.iter().any(|tag| has_tag(property, tag));
    if let Some(property) = properties.iter().filter(|property| property.critical).find(unknown) {
        return Err(format!("one is critical and of the unknown kind {}", excerpt(property.tag.as_bytes())));
    }
    // RFC 8659 §4.3: `issuewild` replaces `issue` for wildcards, and is nothing to other names.
    let of_tag = |tag: &str| properties.iter().filter(|property| has_tag(property, tag)).collect::<Vec<_>>();
    let wild = if applicant.wildcard { of_tag("issuewild") } else { Vec::new() };
    let (tag, relevant) = if wild.is_empty() { ("issue", of_tag("issue")) } else { ("issuewild", wild) };
    if relevant.is_empty() {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for property in relevant {
        match grants(&property.value, applicant) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(format!("{tag} {} {reason}", excerpt(&property.value))),
        }
    }
    // What one record says may be long; what ten say is not read by anybody.
    reasons.truncate(4);
    Err(reasons.join("; "))
}

/// Whether one `issue` or `issuewild` value names this CA, the account and the way.
fn grants(value: &[u8], applicant: &Applicant<'_>) -> Result<(), String> {
    // RFC 8659 §4.2: what breaks the grammar names nobody.
    let value = IssueValue::parse(value)?;
    match &value.issuer {
        None => return Err("lets nobody".to_owned()),
        Some(issuer) if applicant.identities.iter().any(|identity| identity.eq_ignore_ascii_case(issuer)) => {}
        Some(_) => return Err(format!("names another CA than {}", applicant.identities.join(" or "))),
    }
    // RFC 8657 §3
    if let Some(account) = value.parameter("accounturi")?
        && account != applicant.account_url
    {
        return Err(format!("names another account than {}", applicant.account_url));
    }
    // RFC 8657 §4: labels of letters, digits and hyphens, separated by commas.
    if let Some(methods) = value.parameter("validationmethods")? {
        let is_label =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !methods.split(',').all(is_label) {
            return Err("has validation methods that are not a list".to_owned());
        }
        if !methods.split(',').any(|method| method == applicant.method) {
            return Err(format!("does not allow validation by {}", applicant.method));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.example/acme/acct/1";

    fn property(text: &str) -> Property {
        let (tag, value) = text.split_once(' ').unwrap();
        let (critical, tag) = tag.strip_prefix('!').map_or((false, tag), |tag| (true, tag));
        Property { critical, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
    }

    fn asked(records: &[&str], wildcard: bool) -> Result<(), String> {
        let properties: Vec<_> = records.iter().map(|text| property(text)).collect();
        let identities = ["ca.example".to_owned(), "old.example".to_owned()];
        permits(&properties, &Applicant { identities: &identities, wildcard, method: "dns-01", account_url: ACCOUNT })
    }

    #[test]
    fn records_permit_whom_they_name() {
        for records in [
            &[][..],
            &["issue ca.example"],
            &["ISSUE CA.example"],
            &["issue old.example"],
            &["issue other.example", "issue ca.example"],
            &["issue ;", "issue ca.example"],
            &["issue %%%", "issue ca.example"],
            &["iodef mailto:a@b.example"],
            &["!iodef mailto:a@b.example"],
            &["!issue ca.example"],
            &["unknown x"],
            &["issuewild ;"],
            &["issue ca.example; accounturi=https://ca.example/acme/acct/1"],
            &["issue ca.example; validationmethods=http-01,dns-01"],
            &["issue ca.example; other=thing"],
        ] {
            assert_eq!(asked(records, false), Ok(()), "{records:?}");
        }
    }

    #[test]
    fn records_forbid_everybody_else() {
        for (records, reason) in [
            (&["issue other.example"][..], "names another CA"),
            (&["issue ;"], "lets nobody"),
            (&["issue %%%"], "does not begin with a domain name"),
            (&["issue ca.example", "!unknown x"], "critical"),
            (&["issue ca.example; accounturi=https://ca.example/acme/acct/2"], "another account"),
            (
                &[
                    "issue ca.example; accounturi=https://ca.example/acme/acct/1; accounturi=https://ca.example/acme/acct/2",
                ],
                "twice",
            ),
            (&["issue ca.example; validationmethods=http-01"], "does not allow validation by dns-01"),
            (&["issue ca.example; validationmethods="], "not a list"),
            (&["issue ca.example; validationmethods=dns-01,"], "not a list"),
            (&["issue ca.example; accounturi"], "without a value"),
        ] {
            let refusal = asked(records, false).unwrap_err();
            assert!(refusal.contains(reason), "{records:?}: {refusal}");
        }
    }

    #[test]
    fn wildcards_follow_issuewild_where_there_is_one() {
        assert!(asked(&["issue ca.example"], true).is_ok());
        assert!(asked(&["issue other.example"], true).is_err());
        assert!(asked(&["issue other.example", "issuewild ca.example"], true).is_ok());
        assert!(asked(&["issue ca.example", "issuewild other.example"], true).is_err());
        assert!(asked(&["issue ca.example", "issuewild other.example"], false).is_ok());
        assert!(asked(&["issue ca.example", "issuewild ;"], true).is_err());
    }
}

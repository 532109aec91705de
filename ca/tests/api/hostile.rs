//! Hostile names by every channel, times that cannot be, issuers that are not there or no longer: refused in the words of
//! the wire, or left out as clients of this API expect; what is certified is always sound.

use crate::{
    forge::{Forged, alternative_names, dns, pem, tlv},
    harness::{Mount, NOW},
};
use serde_json::{Value, json};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    pem::parse_x509_pem,
    prelude::FromDer,
};

async fn mount() -> Mount {
    let mount = Mount::with_role(json!({
        "allowed_domains": "example.com", "allow_subdomains": true, "allow_bare_domains": true, "key_type": "any"
    }))
    .await;
    mount.role("any", json!({"allow_any_name": true, "key_type": "any"})).await;
    // As little checking as a role can ask for.
    let loose = json!({
        "allow_any_name": true, "enforce_hostnames": false, "cn_validations": "disabled", "allowed_uri_sans": "*",
        "allowed_other_sans": "*", "allowed_serial_numbers": "*", "allowed_user_ids": "*", "key_type": "any"
    });
    mount.role("loose", loose).await;
    mount
}

async fn count(mount: &Mount) -> usize {
    mount.list("certs").await.data["keys"].as_array().map_or(0, Vec::len)
}

/// Names no certificate of any role may carry.
const HOSTILE: [&str; 39] = [
    "a\0.example.com",
    "a.example.com\0.evil.com",
    "a\n.example.com",
    "a\u{1b}[2J.example.com",
    "a\u{7f}.example.com",
    "a b.example.com",
    " example.com",
    "example.com ",
    "a\t.example.com",
    "exam\u{200b}ple.com",
    "\u{202e}example.com",
    "a\u{3002}example.com",
    "\u{ff41}.example.com",
    "a\u{ad}.example.com",
    "*.",
    "**.example.com",
    "*.*.example.com",
    "a.*.example.com",
    "*a*.example.com",
    "-*.example.com",
    "example.com.",
    "a..example.com",
    ".example.com",
    ".",
    "-a.example.com",
    "a-.example.com",
    "xn--zzzzzz.example.com",
    "xn--.example.com",
    "http://example.com",
    "example.com/",
    "example.com:443",
    "a,b.example.com",
    "a;b.example.com",
    "a'b.example.com",
    "<a>.example.com",
    "{{identity.entity.name}}",
    "user@",
    "a@b@example.com",
    "us er@example.com",
];

/// The shape of everything a certificate may carry, read back by another parser than the one that wrote it.
fn assert_sound(certificate: &str, sent: &str) {
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&pem.contents).unwrap();
    for attribute in parsed.subject().iter_attributes() {
        let text = attribute.as_str().unwrap();
        assert!(!text.chars().any(char::is_control), "{sent:?} became {text:?}");
    }
    let names = parsed.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    for name in names.flatten() {
        let GeneralName::DNSName(name) = name else { continue };
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte))
        };
        assert!(name.split('.').all(is_label) && name.len() <= 253, "{sent:?} became {name:?}");
        assert!(!name.split('.').skip(1).any(|label| label.contains('*')), "{sent:?} became {name:?}");
    }
}

/// Everything a request can be for one name: the field it stands in, and the request.
fn channels(name: &str) -> Vec<(&'static str, &'static str, Value)> {
    let in_san = Forged::asking(&[&alternative_names(&[&dns(name.as_bytes())])]).sign();
    let as_email = Forged::asking(&[&alternative_names(&[&tlv(0x81, name.as_bytes())])]).sign();
    let in_subject = Forged { subject: crate::forge::common_name(name), ..Forged::new() }.sign();
    let fine = "a.example.com";
    vec![
        ("issue", "common_name", json!({"common_name": name, "key_type": "ec", "key_bits": 256})),
        ("issue", "alt_names", json!({"common_name": fine, "alt_names": [name], "key_type": "ec", "key_bits": 256})),
        ("sign", "subject of the CSR", json!({"csr": pem(&in_subject)})),
        ("sign", "DNS name of the CSR", json!({"csr": pem(&in_san)})),
        ("sign", "email address of the CSR", json!({"csr": pem(&as_email)})),
    ]
}

#[tokio::test]
async fn hostile_names_are_certified_by_no_role_and_no_channel() {
    let mount = mount().await;
    let mut expected = count(&mount).await;
    let (mut refused, mut left_out) = (0, 0);
    for name in HOSTILE {
        for (door, field, request) in channels(name) {
            for role in ["r", "any", "loose"] {
                let reply = mount.write(&format!("{door}/{role}"), request.clone()).await;
                let place = format!("{name:?} as {field} of role {role}");
                if reply.status == 200 {
                    // Fields of the API: what has not the shape of a name is left out there, or stays a mere text.
                    assert!(field == "alt_names" || role == "loose", "{place} was certified");
                    assert_sound(reply.data["certificate"].as_str().unwrap(), &place);
                    (expected, left_out) = (expected + 1, left_out + 1);
                } else {
                    assert_eq!(reply.status, 400, "{place}: {reply:?}");
                    assert!(reply.error.len() > 10 && !reply.error.contains("internal"), "{place}: {reply:?}");
                    refused += 1;
                }
                assert_eq!(count(&mount).await, expected, "{place}");
            }
        }
    }
    assert!(refused > 400 && left_out > 0, "{refused} refused, {left_out} left out");
}

#[tokio::test]
async fn refusals_name_the_field_and_the_value() {
    let mount = mount().await;
    let long = "x".repeat(64);
    for (role, name, text) in [
        ("r", "evil.com", "common name evil.com not allowed by this role".to_owned()),
        ("r", "ex\u{430}mple.com", "common name ex\u{430}mple.com not allowed by this role".to_owned()),
        ("r", "xn--exmple-4nf.com", "common name xn--exmple-4nf.com not allowed by this role".to_owned()),
        ("r", "evilexample.com", "common name evilexample.com not allowed by this role".to_owned()),
        ("r", "example.com.evil.com", "common name example.com.evil.com not allowed by this role".to_owned()),
        ("r", "10.0.0.1", "common name 10.0.0.1 not allowed by this role".to_owned()),
        ("any", "a..example.com", "idna: invalid label \"a..example.com\"".to_owned()),
        ("any", "a.example.com.", "idna: invalid label \"a.example.com.\"".to_owned()),
        ("any", &format!("{long}.com"), format!("idna: invalid label \"{long}\"")),
        ("any", "xn--zzzzzz.com", "idna: invalid label \"xn--zzzzzz\"".to_owned()),
        ("any", "a_b.com", "common name a_b.com not allowed by this role".to_owned()),
        ("loose", "a\0b", "subject attribute 2.5.4.3 \"a\\0b\" must not contain the character U+0000".to_owned()),
        ("loose", "a\r\nb", "subject attribute 2.5.4.3 \"a\\r\\nb\" must not contain the character U+000D".to_owned()),
        ("loose", "us er@example.com", "email address \"us er@example.com\" is not a mailbox".to_owned()),
        ("loose", "@example.com", "email address \"@example.com\" is not a mailbox".to_owned()),
        ("loose", "x@10.0.0.1", "email address \"x@10.0.0.1\" is not a mailbox".to_owned()),
    ] {
        let request = json!({"common_name": name, "key_type": "ec", "key_bits": 256});
        mount.write(&format!("issue/{role}"), request).await.refused(&text);
    }
    for (fields, text) in [
        (
            json!({"alt_names": "10.0.0.1"}),
            "subject alternate name 10.0.0.1 is not a DNS name but an IP address: see ip_sans",
        ),
        (
            json!({"alt_names": "0x7f.1"}),
            "subject alternate name 0x7f.1 is not a DNS name but an IP address: see ip_sans",
        ),
        (json!({"ip_sans": "10.0.0.256"}), "the value \"10.0.0.256\" is not a valid IP address"),
        (json!({"ip_sans": "10.0.0.1/8"}), "the value \"10.0.0.1/8\" is not a valid IP address"),
        (json!({"uri_sans": "no uri"}), "the provided URI Subject Alternative Name \"no uri\" is not a valid URI"),
        (
            json!({"uri_sans": "http://a\r\nb"}),
            "the provided URI Subject Alternative Name \"http://a\\r\\nb\" is not a valid URI",
        ),
        (json!({"other_sans": "1.2.3;UTF8:a\u{0}b"}), "other SAN 1.2.3 \"a\\0b\" has a character that is not shown"),
        (json!({"serial_number": "a\nb"}), "subject attribute 2.5.4.5 \"a\\nb\" must not contain the character U+000A"),
        (
            json!({"user_ids": "a\u{202e}b"}),
            "subject attribute 0.9.2342.19200300.100.1.1 \"a\\u{202e}b\" must not contain the character U+202E",
        ),
    ] {
        let mut request = json!({"common_name": "a.example.com", "key_type": "ec", "key_bits": 256});
        for (member, value) in fields.as_object().unwrap() {
            request[member] = value.clone();
        }
        mount.write("issue/loose", request).await.refused(text);
    }
}

/// GHSA-g892-p242-8g86: limits on addresses hold whichever way an address comes.
#[tokio::test]
async fn addresses_keep_to_their_blocks_by_every_channel() {
    let mount = mount().await;
    let role = json!({"allow_any_name": true, "allowed_ip_sans_cidr": "10.0.0.0/8", "key_type": "any"});
    mount.role("inside", role).await;
    mount.role("none", json!({"allow_any_name": true, "allow_ip_sans": false, "key_type": "any"})).await;
    let san = |address: &[u8]| Forged::asking(&[&alternative_names(&[&tlv(0x87, address)])]).sign();
    let mapped = [&[0; 10][..], &[0xff, 0xff, 11, 0, 0, 1]].concat();
    let key = json!({"key_type": "ec", "key_bits": 256});
    let with = |members: Value| {
        let mut request = key.clone();
        members.as_object().unwrap().iter().for_each(|(member, value)| request[member] = value.clone());
        request
    };
    for (door, request) in [
        ("issue", with(json!({"common_name": "a.example.com", "ip_sans": "11.0.0.1"}))),
        ("issue", with(json!({"common_name": "a.example.com", "ip_sans": "::ffff:11.0.0.1"}))),
        ("issue", with(json!({"common_name": "11.0.0.1"}))),
        ("sign", json!({"csr": pem(&san(&[11, 0, 0, 1]))})),
        ("sign", json!({"csr": pem(&san(&mapped))})),
    ] {
        mount
            .write(&format!("{door}/inside"), request.clone())
            .await
            .refused("the IP address \"11.0.0.1\" is not allowed in this role");
        let refusal = mount.write(&format!("{door}/none"), request).await;
        assert!(refusal.error.starts_with("IP Subject Alternative Names are not allowed in this role"), "{refusal:?}");
    }
    // An address as common name is certified as an address.
    let reply = mount.write("issue/inside", with(json!({"common_name": "10.0.0.1"}))).await.text("certificate");
    let (_, pem) = parse_x509_pem(reply.as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&pem.contents).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    assert_eq!(names, [GeneralName::IPAddress(&[10, 0, 0, 1])]);
}

#[tokio::test]
async fn times_that_cannot_be_are_refused() {
    let mount = mount().await;
    let before = count(&mount).await;
    let negative = |shown: &str| {
        format!(
            "Field validation failed: error converting input for field \"ttl\": cannot provide negative value '{shown}'"
        )
    };
    let beyond = "that is beyond the expiration of the CA certificate at 2036-11-17T23:59:59Z";
    for (fields, text) in [
        (json!({"ttl": -1}), negative("-1")),
        (json!({"ttl": "-1h"}), negative("-3600")),
        (json!({"ttl": "x"}), String::new()),
        (json!({"ttl": {"a": 1}}), String::new()),
        (json!({"not_after": "junk"}), "parsing time \"junk\"".to_owned()),
        (json!({"not_after": "2026-02-30T00:00:00Z"}), "parsing time".to_owned()),
        (
            json!({"not_after": "2020-01-01T00:00:00Z"}),
            "is later than the certificate's Not After (2020-01-01T00:00:00Z)".to_owned(),
        ),
        (json!({"not_after": "9999-12-31T23:59:59Z"}), beyond.to_owned()),
        (
            json!({"not_before": "2036-01-01T00:00:00Z"}),
            "The certificate's Not Before (2036-01-01T00:00:00Z)".to_owned(),
        ),
        (json!({"not_before": "1960-01-01T00:00:00Z"}), String::new()),
        (
            json!({"ttl": "1h", "not_after": "2027-01-01T00:00:00Z"}),
            "Either ttl or not_after should be provided.".to_owned(),
        ),
    ] {
        let mut request = json!({"common_name": "a.example.com", "key_type": "ec", "key_bits": 256});
        for (member, value) in fields.as_object().unwrap() {
            request[member] = value.clone();
        }
        let reply = mount.write("issue/any", request).await;
        assert_eq!(reply.status, 400, "{fields}: {reply:?}");
        assert!(reply.error.contains(&text), "{fields}: {reply:?}");
    }
    assert_eq!(count(&mount).await, before);
    // Zero leaves it to the role.
    let request = json!({"common_name": "a.example.com", "key_type": "ec", "key_bits": 256, "ttl": 0});
    assert_eq!(mount.write("issue/any", request).await.ok()["expiration"], NOW + 3599);
}

#[tokio::test]
async fn issuers_that_are_not_there_or_no_longer_issue_nothing() {
    let mount = mount().await;
    let request = json!({"common_name": "a.example.com", "key_type": "ec", "key_bits": 256});
    let reply = mount.write("issuer/zork/issue/any", request.clone()).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.error.contains("unable to find PKI issuer for reference: zork"), "{reply:?}");
    mount.write("issue/zork", request.clone()).await.refused("unknown role: zork");
    // Ten years and a day later.
    mount.clock.advance(3653 * 86_400);
    let before = count(&mount).await;
    let csr = pem(&Forged::new().sign());
    for behavior in ["err", "truncate", "permit"] {
        mount.write("issuer/root", json!({"issuer_name": "root", "leaf_not_after_behavior": behavior})).await.ok();
        for (door, request) in [
            ("issue/any", request.clone()),
            ("sign/any", json!({"csr": csr})),
            ("sign-verbatim", json!({"csr": csr})),
            ("root/sign-intermediate", json!({"csr": csr, "common_name": "I"})),
        ] {
            let reply = mount.write(door, request).await;
            assert_eq!(reply.status, 400, "{door} {behavior}: {reply:?}");
            let names_the_end = reply.error.contains("2036-11-17T23:59:59Z");
            assert!(names_the_end, "{door} {behavior}: {reply:?}");
        }
    }
    assert_eq!(count(&mount).await, before);
}

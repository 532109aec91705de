//! Lints on subject and alternative names (RFC 5280 §4.1.2.6, §4.2.1.6, §4.2.1.10, Appendix A.1).

use super::LintFailure;
use crate::{
    approve::{Approved, Purpose},
    facts::CertificateFacts,
    names::host,
    san::AlternativeNames,
};
use x509_parser::{
    certificate::TbsCertificate,
    der_parser::oid::Oid,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{
        OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_LOCALITY_NAME,
        OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, OID_X509_SERIALNUMBER,
        OID_X509_STATE_OR_PROVINCE_NAME,
    },
};

/// Upper bounds of Appendix A.1, in characters.
static BOUNDS: [(Oid<'static>, usize); 7] = [
    (OID_X509_COMMON_NAME, 64),
    (OID_X509_ORGANIZATION_NAME, 64),
    (OID_X509_ORGANIZATIONAL_UNIT, 64),
    (OID_X509_LOCALITY_NAME, 128),
    (OID_X509_STATE_OR_PROVINCE_NAME, 128),
    (OID_X509_SERIALNUMBER, 64),
    (OID_X509_COUNTRY_NAME, 2),
];

pub(super) fn check(
    parsed: &TbsCertificate<'_>,
    approved: &Approved,
    issuer: Option<&CertificateFacts>,
) -> Result<(), LintFailure> {
    subject(parsed)?;
    let names = alternative_names(parsed)?;
    if names != approved.names {
        return Err(LintFailure::new("subject alternative names", "differ from what was approved"));
    }
    if parsed.subject.as_raw() == [0x30, 0x00]
        && matches!(approved.purpose, Purpose::Authority { .. })
        && issuer.is_some()
    {
        return Err(LintFailure::new("subject", "a CA needs one"));
    }
    if approved.common_name_in_san && !stands_among(&approved.common_name, &names) {
        return Err(LintFailure::new("common name", "does not stand among the subject alternative names"));
    }
    if let Some(bad) = names.dns.iter().find(|name| !host::to_ascii(name).is_ok_and(|name| is_dns_shaped(&name))) {
        return Err(LintFailure::new("subject alternative names", format!("{bad:?} is not a DNS name")));
    }
    constraints(approved, &names, issuer)
}

fn subject(parsed: &TbsCertificate<'_>) -> Result<(), LintFailure> {
    for attribute in parsed.subject.iter_attributes() {
        let text = attribute.as_str().unwrap_or("");
        let bound = BOUNDS.iter().find(|(oid, _)| oid == attribute.attr_type());
        let Some((oid, bound)) = bound else { continue };
        let length = text.chars().count();
        if length > *bound {
            let detail = format!("attribute {oid} has {length} characters, more than {bound} (RFC 5280 A.1)");
            return Err(LintFailure::new("subject", detail));
        }
        if *oid == OID_X509_COUNTRY_NAME && length != 2 {
            return Err(LintFailure::new("subject", format!("country {text:?} has not two letters")));
        }
    }
    Ok(())
}

/// Reads the names back, as an independent reader sees them.
fn alternative_names(parsed: &TbsCertificate<'_>) -> Result<AlternativeNames, LintFailure> {
    let fail = |detail: &str| LintFailure::new("subject alternative names", detail);
    let mut found = AlternativeNames::default();
    let is_empty_subject = parsed.subject.as_raw() == [0x30, 0x00];
    let mut extensions = parsed.extensions().iter().filter(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
    let Some(extension) = extensions.next() else { return Ok(found) };
    if extension.critical != is_empty_subject {
        return Err(fail("are critical exactly if the subject is empty"));
    }
    let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
        return Err(fail("do not parse"));
    };
    for name in &names.general_names {
        match name {
            GeneralName::DNSName(text) => found.dns.push((*text).to_owned()),
            GeneralName::RFC822Name(text) => found.emails.push((*text).to_owned()),
            GeneralName::URI(text) => found.uris.push((*text).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(Into::into);
                let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(Into::into));
                found.ips.push(ip.map_err(|_| fail("have an address that is none"))?);
            }
            GeneralName::OtherName(oid, value) => {
                found.others.push(other_name(oid, value).ok_or_else(|| fail("have an other name that is no text"))?);
            }
            _ => return Err(fail("have a kind of name that is never issued")),
        }
    }
    Ok(found)
}

fn other_name(oid: &Oid<'_>, value: &[u8]) -> Option<crate::san::OtherName> {
    use der::{
        Decode,
        asn1::{AnyRef, Utf8StringRef},
    };
    // The value stands behind an EXPLICIT [0].
    let outer = AnyRef::from_der(value).ok()?;
    let text = Utf8StringRef::from_der(outer.value()).ok()?;
    Some(crate::san::OtherName { oid: crate::oid::parse_oid(&oid.to_id_string())?, value: text.as_str().to_owned() })
}

fn stands_among(common_name: &str, names: &AlternativeNames) -> bool {
    names.emails.iter().any(|email| email == common_name)
        || host::to_ascii(common_name).is_ok_and(|ascii| names.dns.contains(&ascii))
}

/// What no role lets through but a CSR of `sign-verbatim` could carry: NUL, blanks, controls.
fn is_dns_shaped(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The issuer's name constraints bind the common name too, where it looks like a DNS name (GHSA-3jrg-j22w-mpmc).
fn constraints(
    approved: &Approved,
    names: &AlternativeNames,
    issuer: Option<&CertificateFacts>,
) -> Result<(), LintFailure> {
    let Some(issuer) = issuer else { return Ok(()) };
    let mut all = names.clone();
    if matches!(approved.purpose, Purpose::EndEntity { .. }) && approved.common_name.contains('.') {
        let ascii = host::to_ascii(&approved.common_name).unwrap_or_default();
        if host::is_hostname(&ascii) && ascii.parse::<std::net::IpAddr>().is_err() {
            all.add_dns(ascii);
        }
    }
    match issuer.constraints.violation(&all) {
        None => Ok(()),
        Some(name) => {
            Err(LintFailure::new("name constraints", format!("the issuer's certificate does not permit {name}")))
        }
    }
}

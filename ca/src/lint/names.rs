//! Lints on subject and alternative names (RFC 5280 §4.1.2.6, §4.2.1.6, §4.2.1.10, Appendix A.1).

use super::LintFailure;
use crate::{
    approve::{Approved, Purpose},
    facts::CertificateFacts,
    names::host,
    san::AlternativeNames,
    subject::is_deceptive,
};
use std::net::IpAddr;
use x509_parser::{
    asn1_rs::{Class, Tag},
    certificate::TbsCertificate,
    der_parser::oid::Oid,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{
        OID_DOMAIN_COMPONENT, OID_PKCS9_EMAIL_ADDRESS, OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME,
        OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME,
        OID_X509_ORGANIZATIONAL_UNIT, OID_X509_POSTAL_CODE, OID_X509_SERIALNUMBER, OID_X509_STATE_OR_PROVINCE_NAME,
        OID_X509_STREET_ADDRESS, OID_X509_TITLE,
    },
    x509::AttributeTypeAndValue,
};

/// Upper bounds of Appendix A.1 and of X.520, in characters.
static BOUNDS: [(Oid<'static>, usize); 11] = [
    (OID_X509_COMMON_NAME, 64),
    (OID_X509_ORGANIZATION_NAME, 64),
    (OID_X509_ORGANIZATIONAL_UNIT, 64),
    (OID_X509_LOCALITY_NAME, 128),
    (OID_X509_STATE_OR_PROVINCE_NAME, 128),
    (OID_X509_SERIALNUMBER, 64),
    (OID_X509_COUNTRY_NAME, 2),
    (OID_X509_STREET_ADDRESS, 128),
    (OID_X509_POSTAL_CODE, 40),
    (OID_X509_TITLE, 64),
    (OID_PKCS9_EMAIL_ADDRESS, 255),
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
    let is_empty = parsed.subject.as_raw() == [0x30, 0x00];
    if is_empty && matches!(approved.purpose, Purpose::Authority { .. }) && issuer.is_some() {
        return Err(LintFailure::new("subject", "a CA needs one"));
    }
    // RFC 5280 §4.1.2.6: where the subject is empty, the alternative names are who it is.
    if is_empty && names.is_empty() && issuer.is_some() {
        return Err(LintFailure::new(
            "subject",
            "neither the subject nor an alternative name says whose certificate it is",
        ));
    }
    if approved.common_name_in_san && !stands_among(&approved.common_name, &names) {
        return Err(LintFailure::new("common name", "does not stand among the subject alternative names"));
    }
    names.check_form().map_err(|error| LintFailure::new("subject alternative names", error.to_string()))?;
    let stated = parsed.subject.iter_by_oid(&OID_PKCS9_EMAIL_ADDRESS).filter_map(|attribute| attribute.as_str().ok());
    if let Some(email) = stated.into_iter().find(|email| !names.emails.iter().any(|name| name == email)) {
        let detail = format!("email address {email:?} does not stand among the subject alternative names");
        return Err(LintFailure::new("subject", detail));
    }
    constraints(parsed, approved, &names, issuer)
}

fn subject(parsed: &TbsCertificate<'_>) -> Result<(), LintFailure> {
    for attribute in parsed.subject.iter_attributes() {
        let oid = attribute.attr_type();
        let fail = |detail: String| Err(LintFailure::new("subject", format!("attribute {oid} {detail}")));
        let Some(text) = text(attribute) else {
            return fail("is not a text of a string type that certificates have".to_owned());
        };
        if text.is_empty() {
            return fail("is empty".to_owned());
        }
        if let Some(character) = text.chars().find(|character| is_deceptive(*character)) {
            return fail(format!("{text:?} has the character U+{:04X}", u32::from(character)));
        }
        let length = text.chars().count();
        let bound = BOUNDS.iter().find(|(bounded, _)| bounded == oid);
        if let Some((_, bound)) = bound.filter(|(_, bound)| length > *bound) {
            return fail(format!("has {length} characters, more than {bound} (RFC 5280 A.1)"));
        }
        if *oid == OID_X509_COUNTRY_NAME && !(length == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic())) {
            return fail(format!("{text:?} has not two letters"));
        }
    }
    Ok(())
}

/// The text of an attribute, if its string type is the one the attribute has (RFC 5280 A.1) and its bytes are of that type.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    let (oid, tag) = (attribute.attr_type(), value.tag());
    let is_right = if *oid == OID_X509_COUNTRY_NAME || *oid == OID_X509_SERIALNUMBER {
        tag == Tag::PrintableString
    } else if *oid == OID_DOMAIN_COMPONENT || *oid == OID_PKCS9_EMAIL_ADDRESS {
        tag == Tag::Ia5String
    } else {
        matches!(tag, Tag::PrintableString | Tag::Utf8String | Tag::BmpString | Tag::Ia5String)
    };
    if !is_right || value.class() != Class::Universal || value.header.is_constructed() {
        return None;
    }
    if tag == Tag::BmpString {
        let units = value.data.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map(u16::from_be_bytes).ok());
        return String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok();
    }
    let text = std::str::from_utf8(value.data).ok()?;
    let fits = match tag {
        Tag::PrintableString => {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
        }
        Tag::Ia5String => text.is_ascii(),
        _ => true,
    };
    fits.then(|| text.to_owned())
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
        || common_name.parse::<IpAddr>().is_ok_and(|address| names.ips.contains(&address.to_canonical()))
        || host::to_ascii(common_name).is_ok_and(|ascii| names.dns.contains(&ascii))
}

/// The issuer's name constraints bind every common name too, where it looks like a DNS name (GHSA-3jrg-j22w-mpmc).
fn constraints(
    parsed: &TbsCertificate<'_>,
    approved: &Approved,
    names: &AlternativeNames,
    issuer: Option<&CertificateFacts>,
) -> Result<(), LintFailure> {
    let Some(issuer) = issuer else { return Ok(()) };
    let mut all = names.clone();
    if matches!(approved.purpose, Purpose::EndEntity { .. }) {
        for name in parsed.subject.iter_common_name().filter_map(text) {
            let ascii = host::to_ascii(&name).unwrap_or_default();
            if ascii.contains('.') && host::is_hostname(&ascii) && !host::is_like_an_address(&ascii) {
                all.add_dns(ascii);
            }
        }
    }
    match issuer.constraints.violation(&all) {
        None => Ok(()),
        Some(name) => {
            Err(LintFailure::new("name constraints", format!("the issuer's certificate does not permit {name}")))
        }
    }
}

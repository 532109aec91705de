//! Subjects: distinguished names in the order and string types other software of this API writes them.

use crate::{error::CaError, oid};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode,
    asn1::{Any, PrintableStringRef, Utf8StringRef},
};
use x509_cert::{
    attr::AttributeTypeAndValue,
    name::{RdnSequence, RelativeDistinguishedName},
};

/// The attributes of a subject. Several values of one kind make one multi-valued RDN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named for the X.520 attributes they become")]
pub struct Subject {
    pub country: Vec<String>,
    pub organization: Vec<String>,
    pub organizational_unit: Vec<String>,
    pub locality: Vec<String>,
    pub province: Vec<String>,
    pub street_address: Vec<String>,
    pub postal_code: Vec<String>,
    pub common_name: String,
    pub serial_number: String,
    pub user_ids: Vec<String>,
}

impl Subject {
    /// The DER of the Name.
    ///
    /// # Errors
    /// [`CaError::Caller`] where a value cannot stand in a name.
    pub fn to_der(&self) -> Result<Vec<u8>, CaError> {
        let mut sequence = RdnSequence::default();
        for (oid, values) in [
            (oid::COUNTRY, self.country.as_slice()),
            (oid::ORGANIZATION, &self.organization),
            (oid::ORGANIZATIONAL_UNIT, &self.organizational_unit),
            (oid::LOCALITY, &self.locality),
            (oid::PROVINCE, &self.province),
            (oid::STREET_ADDRESS, &self.street_address),
            (oid::POSTAL_CODE, &self.postal_code),
            (oid::COMMON_NAME, std::slice::from_ref(&self.common_name)),
            (oid::SERIAL_NUMBER, std::slice::from_ref(&self.serial_number)),
            (oid::USER_ID, &self.user_ids),
        ] {
            let attributes = attributes(oid, values)?;
            if !attributes.is_empty() {
                sequence.push(RelativeDistinguishedName::try_from(attributes)?);
            }
        }
        Ok(sequence.to_der()?)
    }
}

fn attributes(oid: ObjectIdentifier, values: &[String]) -> Result<Vec<AttributeTypeAndValue>, CaError> {
    let mut unique: Vec<&String> = Vec::new();
    for value in values {
        if !value.is_empty() && !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique.into_iter().map(|value| Ok(AttributeTypeAndValue { oid, value: text(value)? })).collect()
}

/// PrintableString where the text allows it, else UTF8String (RFC 5280 §4.1.2.4).
fn text(value: &str) -> Result<Any, CaError> {
    if value.contains('\0') {
        return Err(CaError::caller("a subject attribute must not contain a NUL character"));
    }
    let der = match PrintableStringRef::new(value) {
        Ok(text) => text.to_der(),
        Err(_) => Utf8StringRef::new(value).and_then(|text| text.to_der()),
    }?;
    Ok(Any::from_der(&der)?)
}

/// The common name in the DER of a Name; the last one where there are several.
#[must_use]
pub fn common_name(name: &[u8]) -> String {
    let Ok(sequence) = RdnSequence::from_der(name) else { return String::new() };
    sequence
        .iter()
        .flat_map(RelativeDistinguishedName::iter)
        .filter(|attribute| attribute.oid == oid::COMMON_NAME)
        .filter_map(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok())
        .last()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_string_types_are_those_of_the_wire() {
        let subject = Subject {
            common_name: "*.example.com".into(),
            country: vec!["US".into()],
            organizational_unit: vec!["A".into(), "B".into(), "A".into()],
            ..Subject::default()
        };
        let der = subject.to_der().unwrap();
        let name = RdnSequence::from_der(&der).unwrap();
        assert_eq!(name.len(), 3);
        assert_eq!(name.to_string(), "CN=*.example.com,OU=A+OU=B,C=US");
        // '*' is not in PrintableString.
        assert!(der.windows(2).any(|pair| pair == [0x0c, 13]));
        assert_eq!(common_name(&der), "*.example.com");
    }

    #[test]
    fn the_last_common_name_counts_and_nul_is_refused() {
        assert!(Subject { common_name: "a\0b".into(), ..Subject::default() }.to_der().is_err());
        assert_eq!(common_name(&Subject::default().to_der().unwrap()), "");
    }
}

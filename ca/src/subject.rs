//! Subjects: distinguished names in the order and string types OpenBao writes them: from the country down to the name.

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

/// The attributes of a subject. Each value is an RDN of its own: X.501 allows a type once in an RDN.
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
            (oid::PROVINCE, &self.province),
            (oid::LOCALITY, &self.locality),
            (oid::STREET_ADDRESS, &self.street_address),
            (oid::POSTAL_CODE, &self.postal_code),
            (oid::ORGANIZATION, &self.organization),
            (oid::ORGANIZATIONAL_UNIT, &self.organizational_unit),
            (oid::COMMON_NAME, std::slice::from_ref(&self.common_name)),
            (oid::SERIAL_NUMBER, std::slice::from_ref(&self.serial_number)),
            (oid::USER_ID, &self.user_ids),
        ] {
            for attribute in attributes(oid, values)? {
                sequence.push(RelativeDistinguishedName::try_from(vec![attribute])?);
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
    unique.into_iter().map(|value| Ok(AttributeTypeAndValue { oid, value: text(oid, value)? })).collect()
}

/// Characters that nobody sees, and that change what is seen: a name with one reads as another name.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// PrintableString where the text allows it, else UTF8String (RFC 5280 §4.1.2.4).
fn text(oid: ObjectIdentifier, value: &str) -> Result<Any, CaError> {
    if let Some(character) = value.chars().find(|character| is_deceptive(*character)) {
        return Err(CaError::Caller(format!(
            "subject attribute {oid} {value:?} must not contain the character U+{:04X}",
            u32::from(character)
        )));
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
        assert_eq!(name.len(), 4);
        assert_eq!(name.to_string(), "CN=*.example.com,OU=B,OU=A,C=US");
        // '*' is not in PrintableString.
        assert!(der.windows(2).any(|pair| pair == [0x0c, 13]));
        assert_eq!(common_name(&der), "*.example.com");
    }

    #[test]
    fn characters_that_deceive_are_refused_by_name() {
        for (bad, code) in
            [("a\0b", "0000"), ("a\nb", "000A"), ("\u{202e}moc", "202E"), ("a\u{200b}b", "200B"), ("\u{9b}", "009B")]
        {
            let error = Subject { common_name: bad.into(), ..Subject::default() }.to_der().unwrap_err().to_string();
            assert_eq!(error, format!("subject attribute 2.5.4.3 {bad:?} must not contain the character U+{code}"));
        }
        // Joiners are letters' neighbours in several scripts.
        assert!(Subject { organization: vec!["نام\u{200c}ها".into()], ..Subject::default() }.to_der().is_ok());
    }

    #[test]
    fn a_subject_without_a_common_name_has_none() {
        assert_eq!(common_name(&Subject::default().to_der().unwrap()), "");
    }
}

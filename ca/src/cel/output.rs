//! What a program answers, as a role and what is asked of it.

use super::values::{NAME, OUTPUT, TEMPLATE, TYPE};
use crate::{approve::Asked, error::CaError, role::Role};
use cel::{
    Value,
    objects::{Key, Map},
};

/// A program's answer: the certificate it wants, in the terms of a role.
#[derive(Debug, Clone)]
pub struct Output {
    /// Rules that allow what the program decided, and nothing it could not decide.
    pub role: Role,
    /// Names and times.
    pub asked: Asked,
    /// `key_type` of `cel/issue`.
    pub key_type: String,
    /// `key_bits` of `cel/issue`.
    pub key_bits: i64,
    /// For the answer.
    pub warnings: Vec<String>,
}

/// Bits of Go's `x509.KeyUsage`; a leaf has none of the two between.
const KEY_USAGES: [(i64, &str); 7] = [
    (1, "DigitalSignature"),
    (2, "ContentCommitment"),
    (4, "KeyEncipherment"),
    (8, "DataEncipherment"),
    (16, "KeyAgreement"),
    (128, "EncipherOnly"),
    (256, "DecipherOnly"),
];

/// Numbers of Go's `x509.ExtKeyUsage`.
const EXTENDED: [(i64, &str); 7] = [
    (0, "2.5.29.37.0"),
    (1, "1.3.6.1.5.5.7.3.1"),
    (2, "1.3.6.1.5.5.7.3.2"),
    (3, "1.3.6.1.5.5.7.3.3"),
    (4, "1.3.6.1.5.5.7.3.4"),
    (8, "1.3.6.1.5.5.7.3.8"),
    (9, "1.3.6.1.5.5.7.3.9"),
];

impl Output {
    pub(super) fn read(map: &Map) -> Result<Self, CaError> {
        let output = Record::read(map, OUTPUT)?;
        let Some(Value::Map(template)) = output.member("template") else {
            return Err(CaError::caller("ValidationOutput has no template"));
        };
        let template = Record::read(template, TEMPLATE)?;
        if template.flag("IsCA")? {
            return Err(CaError::caller("CertTemplate.IsCA: a CEL role cannot issue CA certificates"));
        }
        let mut role =
            Role { require_cn: false, use_csr_common_name: false, use_csr_sans: false, ..Role::permissive() };
        role.key_usage = key_usages(template.number("KeyUsage")?)?;
        role.ext_key_usage_oids = extended(&template)?;
        role.basic_constraints_valid_for_non_ca = template.flag("BasicConstraintsValid")?;
        role.policy_identifiers = template.texts("PolicyIdentifiers")?;
        role.use_pss = output.flag("use_pss")?;
        role.signature_bits = output.number("signature_bits")?;
        role.no_store = output.flag("no_store")?;
        role.generate_lease = output.flag("generate_lease")? && !role.no_store;
        let issuer = output.text("issuer_ref")?;
        if !issuer.is_empty() {
            role.issuer_ref = issuer;
        }
        if output.member("subject_key_id").is_some() {
            return Err(CaError::caller("ValidationOutput.subject_key_id is not offered: it is computed from the key"));
        }
        let asked = asked(&template, &mut role)?;
        let key_type = match output.text("key_type")? {
            text if text.is_empty() => "rsa".to_owned(),
            text => text,
        };
        let key_bits = output.number("key_bits")?;
        Ok(Self { role, asked, key_type, key_bits, warnings: output.texts("warnings")? })
    }
}

fn asked(template: &Record<'_>, role: &mut Role) -> Result<Asked, CaError> {
    let mut asked = Asked { exclude_cn_from_sans: true, ..Asked::default() };
    if let Some(value) = template.member("Subject") {
        let Value::Map(map) = value else { return Err(template.wrong("Subject")) };
        let name = Record::read(map, NAME)?;
        asked.common_name = name.text("CommonName")?;
        asked.serial_number = name.text("SerialNumber")?;
        role.country = name.texts("Country")?;
        role.organization = name.texts("Organization")?;
        role.ou = name.texts("OrganizationalUnit")?;
        role.locality = name.texts("Locality")?;
        role.province = name.texts("Province")?;
        role.street_address = name.texts("StreetAddress")?;
        role.postal_code = name.texts("PostalCode")?;
    }
    asked.alt_names = template.texts("DNSNames")?;
    asked.alt_names.extend(template.texts("EmailAddresses")?);
    asked.ip_sans = template.texts("IPAddresses")?;
    asked.uri_sans = template.texts("URIs")?;
    asked.validity.not_before = template.moment("NotBefore")?;
    asked.validity.not_after = template.moment("NotAfter")?;
    Ok(asked)
}

fn key_usages(bits: i64) -> Result<Vec<String>, CaError> {
    let known: i64 = KEY_USAGES.iter().map(|(bit, _)| bit).sum();
    if bits & !known != 0 {
        return Err(CaError::Caller(format!("CertTemplate.KeyUsage: {bits} has bits that a leaf cannot have")));
    }
    Ok(KEY_USAGES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect())
}

fn extended(template: &Record<'_>) -> Result<Vec<String>, CaError> {
    let mut oids = Vec::new();
    for value in template.items("ExtKeyUsage")? {
        let number = number(value).ok_or_else(|| template.wrong("ExtKeyUsage"))?;
        let known = EXTENDED.iter().find(|(known, _)| *known == number).map(|(_, oid)| (*oid).to_owned());
        oids.push(known.ok_or_else(|| template.wrong("ExtKeyUsage"))?);
    }
    oids.extend(template.texts("UnknownExtKeyUsage")?);
    match oids.iter().find(|text| !crate::oid::is_oid(text)) {
        Some(bad) => Err(CaError::Caller(format!("CertTemplate.UnknownExtKeyUsage: {bad:?} is no OID"))),
        None => Ok(oids),
    }
}

/// A value that says which type it was made as.
struct Record<'a> {
    map: &'a Map,
    name: &'static str,
}

impl<'a> Record<'a> {
    fn read(map: &'a Map, name: &'static str) -> Result<Self, CaError> {
        let record = Self { map, name };
        match record.member(TYPE) {
            Some(Value::String(kind)) if kind.as_str() == name => Ok(record),
            _ => Err(CaError::Caller(format!("the program must answer with a {name} here"))),
        }
    }

    fn member(&self, member: &str) -> Option<&'a Value> {
        self.map.map.get(&Key::String(member.to_owned().into())).filter(|value| !matches!(value, Value::Null))
    }

    fn wrong(&self, member: &str) -> CaError {
        CaError::Caller(format!("{}.{member} has a value of the wrong type", self.name))
    }

    fn flag(&self, member: &str) -> Result<bool, CaError> {
        match self.member(member) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(member)),
        }
    }

    fn number(&self, member: &str) -> Result<i64, CaError> {
        self.member(member).map_or(Ok(0), |value| number(value).ok_or_else(|| self.wrong(member)))
    }

    fn text(&self, member: &str) -> Result<String, CaError> {
        match self.member(member) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.to_string()),
            Some(_) => Err(self.wrong(member)),
        }
    }

    fn items(&self, member: &str) -> Result<&'a [Value], CaError> {
        match self.member(member) {
            None => Ok(&[]),
            Some(Value::List(items)) => Ok(items.as_slice()),
            Some(_) => Err(self.wrong(member)),
        }
    }

    fn texts(&self, member: &str) -> Result<Vec<String>, CaError> {
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.to_string()),
            _ => Err(self.wrong(member)),
        };
        self.items(member)?.iter().map(text).collect()
    }

    fn moment(&self, member: &str) -> Result<String, CaError> {
        match self.member(member) {
            None => Ok(String::new()),
            Some(Value::Timestamp(moment)) => jiff::Timestamp::from_second(moment.timestamp())
                .map(|moment| moment.to_string())
                .map_err(|error| CaError::Caller(format!("{}.{member}: {error}", self.name))),
            Some(_) => Err(self.wrong(member)),
        }
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::UInt(number) => i64::try_from(*number).ok(),
        _ => None,
    }
}

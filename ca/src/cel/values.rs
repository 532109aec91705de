//! Values between programs and the engine.

use super::program::Inputs;
use crate::{csr::Csr, error::CaError, oid, san::MOST_NAMES};
use cel::{
    ExecutionError, StructType, Value,
    common::{
        types::{CelMap, CelMapKey, CelString, Type},
        value::{CowVal, Val},
    },
};
use der::Decode;
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

/// The member in which a value says which type it was made as.
pub(super) const TYPE: &str = "@type";
pub(super) const OUTPUT: &str = "ValidationOutput";
pub(super) const TEMPLATE: &str = "CertTemplate";
pub(super) const NAME: &str = "PKIX.Name";

/// As expressions mention them: a dotted name by its first part.
pub(super) const TYPE_NAMES: [&str; 4] = [OUTPUT, TEMPLATE, NAME, "PKIX"];

const OUTPUT_MEMBERS: [&str; 10] = [
    "template",
    "issuer_ref",
    "use_pss",
    "signature_bits",
    "generate_lease",
    "no_store",
    "warnings",
    "subject_key_id",
    "key_type",
    "key_bits",
];
const TEMPLATE_MEMBERS: [&str; 14] = [
    "Version",
    "Subject",
    "NotBefore",
    "NotAfter",
    "KeyUsage",
    "ExtKeyUsage",
    "UnknownExtKeyUsage",
    "BasicConstraintsValid",
    "IsCA",
    "DNSNames",
    "EmailAddresses",
    "IPAddresses",
    "URIs",
    "PolicyIdentifiers",
];
const NAME_MEMBERS: [&str; 9] = [
    "Country",
    "Organization",
    "OrganizationalUnit",
    "Locality",
    "Province",
    "StreetAddress",
    "PostalCode",
    "SerialNumber",
    "CommonName",
];

/// A type that expressions make values of: a map with known members.
pub(super) struct Record {
    kind: Type,
    name: &'static str,
    members: &'static [&'static str],
}

pub(super) fn records() -> [Record; 3] {
    let record = |name: &'static str, members| Record { kind: Type::new_struct(name.to_owned()), name, members };
    [record(OUTPUT, &OUTPUT_MEMBERS), record(TEMPLATE, &TEMPLATE_MEMBERS), record(NAME, &NAME_MEMBERS)]
}

impl StructType for Record {
    fn get_type(&self) -> &Type {
        &self.kind
    }

    fn new_value<'b, 'v>(&self, fields: BTreeMap<String, CowVal<'b, 'v>>) -> Result<Box<dyn Val + 'v>, ExecutionError> {
        let mut map: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
        for (member, value) in fields {
            if !self.members.contains(&member.as_str()) {
                return Err(ExecutionError::no_such_key(&format!("{}.{member}", self.name)));
            }
            map.insert(CelMapKey::from(member), value.into_owned());
        }
        map.insert(CelMapKey::from(TYPE.to_owned()), Box::new(CelString::from(self.name)));
        Ok(Box::new(CelMap::from(map)))
    }
}

/// `check_valid_email`
#[expect(clippy::needless_pass_by_value, reason = "the interpreter hands its arguments over")]
pub(super) fn is_email(text: Arc<String>) -> bool {
    let Some((user, host)) = text.rsplit_once('@') else { return false };
    !user.is_empty()
        && user.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
        && crate::names::host::to_ascii(host).is_ok_and(|host| crate::names::host::is_hostname(&host))
}

/// The variables a program finds.
pub(super) fn inputs(inputs: &Inputs) -> Result<[(&'static str, Value); 4], CaError> {
    check_lists(&inputs.request)?;
    let value = |value: serde_json::Value| {
        cel::to_value(value).map_err(|error| CaError::corrupt("a value of the CEL environment", error))
    };
    let csr = match &inputs.csr {
        Some(csr) => describe(csr),
        None => json!({}),
    };
    let identity = json!({
        "id": inputs.requester.entity_id,
        "display_name": inputs.requester.display_name,
        "metadata": inputs.requester.metadata,
    });
    let now = chrono::DateTime::from_timestamp(inputs.now.as_second(), 0).unwrap_or_default();
    Ok([
        ("request", value(inputs.request.clone())?),
        ("parsed_csr", value(csr)?),
        ("now", Value::Timestamp(now.fixed_offset())),
        ("identity", value(identity)?),
    ])
}

/// Programs walk lists in loops within loops, so a stranger's lists must have an end.
fn check_lists(value: &serde_json::Value) -> Result<(), CaError> {
    match value {
        serde_json::Value::Array(items) if items.len() > MOST_NAMES => {
            Err(CaError::Caller(format!("a list of {} values was sent; the limit is {MOST_NAMES}", items.len())))
        }
        serde_json::Value::Array(items) => items.iter().try_for_each(check_lists),
        serde_json::Value::Object(members) => members.values().try_for_each(check_lists),
        _ => Ok(()),
    }
}

/// A request as Go's x509 package takes it apart.
fn describe(csr: &Csr) -> serde_json::Value {
    let names = csr.names();
    let subject = csr.subject();
    json!({
        "Subject": {
            TYPE: NAME,
            "Country": attributes(subject, oid::COUNTRY),
            "Organization": attributes(subject, oid::ORGANIZATION),
            "OrganizationalUnit": attributes(subject, oid::ORGANIZATIONAL_UNIT),
            "Locality": attributes(subject, oid::LOCALITY),
            "Province": attributes(subject, oid::PROVINCE),
            "StreetAddress": attributes(subject, oid::STREET_ADDRESS),
            "PostalCode": attributes(subject, oid::POSTAL_CODE),
            "SerialNumber": attributes(subject, oid::SERIAL_NUMBER).pop().unwrap_or_default(),
            "CommonName": csr.common_name(),
        },
        "DNSNames": names.dns,
        "EmailAddresses": names.emails,
        "IPAddresses": names.ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "URIs": names.uris,
        "PublicKeyAlgorithm": csr.public_key().kind().name(),
        "PublicKeyBits": csr.public_key().kind().bits(),
        "Version": 0,
    })
}

fn attributes(subject: &[u8], kind: const_oid::ObjectIdentifier) -> Vec<String> {
    let Ok(name) = RdnSequence::from_der(subject) else { return Vec::new() };
    name.iter()
        .flat_map(RelativeDistinguishedName::iter)
        .filter(|attribute| attribute.oid == kind)
        .filter_map(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok())
        .collect()
}

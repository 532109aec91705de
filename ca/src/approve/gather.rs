//! Gathering what was asked for, from the fields of the request and from the CSR, before anything is judged.

use crate::{
    csr::Csr,
    error::CaError,
    names::host,
    oid,
    role::Role,
    san::{AlternativeNames, OtherName, check_count, is_uri},
    validity::AskedValidity,
};
use der::Decode;
use std::net::IpAddr;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

/// What the fields of a request ask for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `common_name`
    pub common_name: String,
    /// `alt_names`: DNS names and email addresses.
    pub alt_names: Vec<String>,
    /// `ip_sans`
    pub ip_sans: Vec<String>,
    /// `uri_sans`
    pub uri_sans: Vec<String>,
    /// `other_sans`
    pub other_sans: Vec<String>,
    /// `serial_number`, the subject's attribute.
    pub serial_number: String,
    /// `user_ids`
    pub user_ids: Vec<String>,
    /// `exclude_cn_from_sans`
    pub exclude_cn_from_sans: bool,
    /// `ttl`, `not_after`, `not_before`
    pub validity: AskedValidity,
}

/// All of it, from wherever the role says it comes.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) common_name: String,
    pub(super) common_name_in_san: bool,
    pub(super) serial_number: String,
    pub(super) user_ids: Vec<String>,
    pub(super) names: AlternativeNames,
    pub(super) names_from_csr: bool,
}

impl Asked {
    /// The alternative names the fields ask for.
    ///
    /// # Errors
    /// [`CaError::Caller`] where one has no proper form.
    pub fn alternative_names(&self) -> Result<AlternativeNames, CaError> {
        names_of_fields(self)
    }
}

impl Role {
    /// Names come from the fields of the request alone and need no approval; for CA certificates.
    pub(super) fn permissive_for_api() -> Self {
        Self { use_csr_common_name: false, use_csr_sans: false, ..Self::permissive() }
    }
}

pub(super) fn gather(role: &Role, asked: &Asked, csr: Option<&Csr>) -> Result<(Gathered, Vec<String>), CaError> {
    check_count(asked.user_ids.len())?;
    let mut warnings = Vec::new();
    let subject_csr = csr.filter(|_| role.use_csr_common_name);
    let names_csr = csr.filter(|_| role.use_csr_sans);
    if csr.is_some_and(Csr::asks_for_basic_constraints) {
        warnings
            .push("specified CSR contained a Basic Constraints extension that was ignored during issuance".to_owned());
    }
    let common_name = match subject_csr.map(Csr::common_name) {
        Some(name) if !name.is_empty() => {
            if !asked.common_name.is_empty() {
                warnings.push(shadowed("common_name", "use_csr_common_name"));
            }
            name
        }
        _ => asked.common_name.clone(),
    };
    if common_name.is_empty() && role.require_cn {
        return Err(CaError::caller(
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to true, unless \"require_cn\" is set to false",
        ));
    }
    let mut names = match names_csr {
        Some(csr) => {
            warn_shadowed_names(asked, &mut warnings);
            csr.names().clone()
        }
        None => names_of_fields(asked)?,
    };
    let from_csr = subject_csr.map(|csr| attribute(csr.subject(), oid::SERIAL_NUMBER)).unwrap_or_default();
    let serial_number = if from_csr.is_empty() { asked.serial_number.clone() } else { from_csr };
    let common_name_in_san =
        !asked.exclude_cn_from_sans && add_common_name(&mut names, &common_name, names_csr.is_none())?;
    let gathered = Gathered {
        common_name,
        common_name_in_san,
        serial_number,
        user_ids: asked.user_ids.clone(),
        names,
        names_from_csr: names_csr.is_some(),
    };
    Ok((gathered, warnings))
}

/// A common name that has the shape of a SAN stands among the SANs too, as what it is: an address is no DNS name, and the
/// role's rules for addresses hold for it. `first` puts it in front.
fn add_common_name(names: &mut AlternativeNames, common_name: &str, first: bool) -> Result<bool, CaError> {
    if common_name.is_empty() {
        return Ok(false);
    }
    if let Ok(address) = common_name.parse::<IpAddr>() {
        let address = address.to_canonical();
        if !names.ips.contains(&address) {
            names.ips.push(address);
        }
        return Ok(true);
    }
    let (list, name) = if common_name.contains('@') {
        (&mut names.emails, common_name.to_owned())
    } else {
        let ascii = host::to_ascii(common_name)?;
        if !host::is_hostname(&ascii) || host::is_like_an_address(&ascii) {
            return Ok(false);
        }
        (&mut names.dns, ascii)
    };
    if first {
        list.retain(|other| *other != name);
        list.insert(0, name);
    } else if !list.contains(&name) {
        list.push(name);
    }
    Ok(true)
}

fn names_of_fields(asked: &Asked) -> Result<AlternativeNames, CaError> {
    check_count([&asked.alt_names, &asked.ip_sans, &asked.uri_sans, &asked.other_sans].map(Vec::len).iter().sum())?;
    let mut names = AlternativeNames::default();
    for name in &asked.alt_names {
        if name.contains('@') {
            names.add_email(name.clone());
            continue;
        }
        let ascii = host::to_ascii(name)?;
        // What has not the shape of a hostname is left out, as clients of this API expect.
        if host::is_hostname(&ascii) {
            names.add_dns(ascii);
        }
    }
    for text in &asked.ip_sans {
        let address: IpAddr =
            text.parse().map_err(|_| CaError::Caller(format!("the value {text:?} is not a valid IP address")))?;
        let address = address.to_canonical();
        if !names.ips.contains(&address) {
            names.ips.push(address);
        }
    }
    for uri in &asked.uri_sans {
        if !is_uri(uri) {
            return Err(CaError::Caller(format!(
                "the provided URI Subject Alternative Name {uri:?} is not a valid URI"
            )));
        }
        if !names.uris.contains(uri) {
            names.uris.push(uri.clone());
        }
    }
    for text in &asked.other_sans {
        let other = OtherName::parse(text)
            .map_err(|error| CaError::Caller(format!("could not parse requested other SAN: {error}")))?;
        if !names.others.contains(&other) {
            names.others.push(other);
        }
    }
    Ok(names)
}

fn attribute(subject: &[u8], oid: const_oid::ObjectIdentifier) -> String {
    let Ok(name) = RdnSequence::from_der(subject) else { return String::new() };
    name.iter()
        .flat_map(RelativeDistinguishedName::iter)
        .filter(|attribute| attribute.oid == oid)
        .filter_map(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok())
        .last()
        .unwrap_or_default()
}

fn warn_shadowed_names(asked: &Asked, warnings: &mut Vec<String>) {
    for (field, is_stated) in [
        ("alt_names", !asked.alt_names.is_empty()),
        ("ip_sans", !asked.ip_sans.is_empty()),
        ("uri_sans", !asked.uri_sans.is_empty()),
        ("other_sans", !asked.other_sans.is_empty()),
    ] {
        if is_stated {
            warnings.push(shadowed(field, "use_csr_sans"));
        }
    }
}

fn shadowed(field: &str, flag: &str) -> String {
    format!("the {field} field was provided but the role is set with {flag:?} set to true")
}

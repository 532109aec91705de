//! Lints on extensions (RFC 5280 §4.2): each at most once, criticality, usages that fit together, key identifiers.

use super::LintFailure;
use crate::{
    approve::{Approved, Purpose},
    facts::CertificateFacts,
};
use der::Decode;
use x509_cert::ext::pkix::ExtendedKeyUsage as Purposes;
use x509_parser::{
    certificate::TbsCertificate,
    extensions::{ExtendedKeyUsage, KeyUsage, ParsedExtension, X509Extension},
    oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE,
};

/// What was found.
#[derive(Default)]
struct Found<'a> {
    key_usage: Option<&'a KeyUsage>,
    extended: Option<&'a ExtendedKeyUsage<'a>>,
    is_ca: bool,
    path_length: Option<u32>,
    subject_key_id: Option<&'a [u8]>,
    authority_key_id: Option<&'a [u8]>,
}

pub(super) fn check(
    parsed: &TbsCertificate<'_>,
    approved: &Approved,
    issuer: Option<&CertificateFacts>,
) -> Result<(), LintFailure> {
    let extensions = parsed.extensions();
    for (at, extension) in extensions.iter().enumerate() {
        if extensions.iter().skip(at + 1).any(|other| other.oid == extension.oid) {
            return Err(LintFailure::new("extensions", format!("{} appears twice", extension.oid)));
        }
    }
    let mut found = Found::default();
    for extension in extensions {
        note(extension, &mut found)?;
    }
    key_identifiers(&found, approved, issuer)?;
    purposes(parsed, issuer)?;
    match &approved.purpose {
        Purpose::Authority { path_length, .. } => authority(&found, *path_length),
        Purpose::EndEntity { .. } => end_entity(&found),
    }
}

fn note<'a>(extension: &'a X509Extension<'a>, found: &mut Found<'a>) -> Result<(), LintFailure> {
    let critical = |name: &'static str, wanted: bool| {
        if extension.critical == wanted {
            Ok(())
        } else {
            Err(LintFailure::new(name, if wanted { "must be critical" } else { "must not be critical" }))
        }
    };
    match extension.parsed_extension() {
        ParsedExtension::KeyUsage(usage) => {
            if usage.flags == 0 {
                return Err(LintFailure::new("key usage", "has no bit"));
            }
            found.key_usage = Some(usage);
        }
        ParsedExtension::ExtendedKeyUsage(usage) => found.extended = Some(usage),
        ParsedExtension::BasicConstraints(basic) => {
            critical("basic constraints", true)?;
            found.is_ca = basic.ca;
            found.path_length = basic.path_len_constraint;
        }
        ParsedExtension::SubjectKeyIdentifier(id) => {
            critical("subject key identifier", false)?;
            found.subject_key_id = Some(id.0);
        }
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            critical("authority key identifier", false)?;
            found.authority_key_id = id.key_identifier.as_ref().map(|id| id.0);
        }
        ParsedExtension::NameConstraints(_) => critical("name constraints", true)?,
        ParsedExtension::AuthorityInfoAccess(_) => critical("authority information access", false)?,
        ParsedExtension::ParseError { error } => {
            return Err(LintFailure::new("extensions", format!("{} does not parse: {error}", extension.oid)));
        }
        _ => {}
    }
    Ok(())
}

/// RFC 5280 §4.2.1.1 and §4.2.1.2: the chain is found by these.
fn key_identifiers(
    found: &Found<'_>,
    approved: &Approved,
    issuer: Option<&CertificateFacts>,
) -> Result<(), LintFailure> {
    let own = approved.subject_key_id();
    if found.subject_key_id != Some(own.as_slice()) {
        return Err(LintFailure::new("subject key identifier", "is not the key's"));
    }
    let expected = issuer.map_or(own.as_slice(), |issuer| &issuer.subject_key_id);
    if found.authority_key_id != Some(expected) {
        return Err(LintFailure::new("authority key identifier", "is not the issuer's"));
    }
    Ok(())
}

/// What the issuer's own certificate limits its purposes to binds everything below it, as clients read it.
fn purposes(parsed: &TbsCertificate<'_>, issuer: Option<&CertificateFacts>) -> Result<(), LintFailure> {
    let Some(issuer) = issuer else { return Ok(()) };
    let stated = parsed.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_EXTENDED_KEY_USAGE);
    let purposes = stated.map(|extension| Purposes::from_der(extension.value)).transpose();
    let purposes = purposes.map_err(|error| LintFailure::new("extended key usage", error.to_string()))?;
    match issuer.forbidden_purpose(&purposes.map(|list| list.0).unwrap_or_default()) {
        None => Ok(()),
        Some(purpose) => Err(LintFailure::new(
            "extended key usage",
            format!("the issuer's certificate does not permit the purpose {purpose}"),
        )),
    }
}

/// A CA signs certificates and CRLs, and vouches for nobody's revocation (Mozilla, 2020-07).
fn authority(found: &Found<'_>, path_length: Option<u8>) -> Result<(), LintFailure> {
    if !found.is_ca || found.path_length != path_length.map(u32::from) {
        return Err(LintFailure::new("basic constraints", "are not those of the CA that was approved"));
    }
    let usage = found.key_usage.is_some_and(|usage| usage.key_cert_sign() && usage.crl_sign());
    if !usage {
        return Err(LintFailure::new("key usage", "a CA needs keyCertSign and cRLSign"));
    }
    if found.extended.is_some_and(|extended| extended.ocsp_signing || extended.any) {
        return Err(LintFailure::new("extended key usage", "a CA must not hold OCSPSigning"));
    }
    Ok(())
}

fn end_entity(found: &Found<'_>) -> Result<(), LintFailure> {
    if found.is_ca || found.path_length.is_some() {
        return Err(LintFailure::new("basic constraints", "a leaf is no CA"));
    }
    let Some(usage) = found.key_usage else { return Ok(()) };
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(LintFailure::new("key usage", "a leaf must not hold keyCertSign or cRLSign"));
    }
    // RFC 5280 §4.2.1.12: the purposes must be possible with the usages.
    let Some(extended) = found.extended else { return Ok(()) };
    let tls = usage.digital_signature() || usage.key_encipherment() || usage.key_agreement();
    if (extended.server_auth || extended.client_auth) && !tls {
        return Err(LintFailure::new("key usage", "fits neither serverAuth nor clientAuth"));
    }
    let signs = usage.digital_signature() || usage.non_repudiation();
    if (extended.code_signing || extended.ocsp_signing || extended.time_stamping) && !signs {
        return Err(LintFailure::new("key usage", "does not fit a purpose that signs"));
    }
    Ok(())
}

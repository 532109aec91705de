//! Lints on what a certificate may be used for: basic constraints, key usage, extended key usage, and that they fit each
//! other and the key (RFC 5280 §4.2.1.3, §4.2.1.9, §4.2.1.12; RFC 8813; RFC 8410 §5).

use super::{LintFailure, extensions::is};
use crate::{
    approve::{Approved, Purpose},
    facts::CertificateFacts,
    oid,
    public_key::PublicKeyKind,
};
use const_oid::ObjectIdentifier;
use x509_parser::{
    asn1_rs::{FromDer, Oid},
    certificate::TbsCertificate,
    extensions::{BasicConstraints, ExtendedKeyUsage, KeyUsage, ParsedExtension},
};

/// What was found.
#[derive(Default)]
struct Found<'a> {
    basic: Option<&'a BasicConstraints>,
    key_usage: Option<&'a KeyUsage>,
    extended: Option<(&'a ExtendedKeyUsage<'a>, Vec<Oid<'a>>)>,
}

pub(super) fn check(
    parsed: &TbsCertificate<'_>,
    approved: &Approved,
    issuer: Option<&CertificateFacts>,
) -> Result<(), LintFailure> {
    let mut found = Found::default();
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(basic) => found.basic = Some(basic),
            ParsedExtension::KeyUsage(usage) => found.key_usage = Some(usage),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let purposes = purposes(extension.value)?;
                found.extended = Some((usage, purposes));
            }
            _ => {}
        }
    }
    if let Some(usage) = found.key_usage {
        key_usage(usage, approved.public_key.kind())?;
    }
    permitted(&found, issuer)?;
    match &approved.purpose {
        Purpose::Authority { path_length, key_usage, extended, .. } => {
            if found.key_usage.is_none_or(|usage| usage.flags != key_usage.0.bits()) {
                return Err(LintFailure::new("key usage", "is not what was approved"));
            }
            let purposes = found.extended.as_ref().map_or(&[][..], |(_, purposes)| purposes);
            if !are(purposes, extended) {
                return Err(LintFailure::new("extended key usage", "is not what was approved"));
            }
            authority(&found, *path_length)
        }
        Purpose::EndEntity { key_usage, extended, states_basic_constraints, verbatim, .. } => {
            let from_csr = |oid| verbatim.iter().any(|extension| extension.extn_id == oid);
            let bits = found.key_usage.map_or(0, |usage| usage.flags);
            if bits != key_usage.0.bits() && !from_csr(oid::KEY_USAGE) {
                return Err(LintFailure::new("key usage", "is not what was approved"));
            }
            let purposes = found.extended.as_ref().map_or(&[][..], |(_, purposes)| purposes);
            if !are(purposes, extended) && !from_csr(oid::EXTENDED_KEY_USAGE) {
                return Err(LintFailure::new("extended key usage", "is not what was approved"));
            }
            if found.basic.is_some() != *states_basic_constraints {
                return Err(LintFailure::new("basic constraints", "are not what was approved"));
            }
            end_entity(&found)
        }
    }
}

/// The purposes in their order; each once.
fn purposes(value: &[u8]) -> Result<Vec<Oid<'_>>, LintFailure> {
    let list = match Vec::<Oid<'_>>::from_der(value) {
        Ok((_, list)) if !list.is_empty() => list,
        _ => return Err(LintFailure::new("extended key usage", "has no purpose")),
    };
    let repeated = list.iter().enumerate().find(|(at, purpose)| list.iter().take(*at).any(|other| other == *purpose));
    match repeated {
        Some((_, purpose)) => Err(LintFailure::new("extended key usage", format!("{purpose} appears twice"))),
        None => Ok(list),
    }
}

fn are(found: &[Oid<'_>], approved: &[ObjectIdentifier]) -> bool {
    found.len() == approved.len() && found.iter().zip(approved).all(|(found, approved)| is(found, *approved))
}

/// Bits that say something, that go together, and that the key can serve.
fn key_usage(usage: &KeyUsage, kind: PublicKeyKind) -> Result<(), LintFailure> {
    let fail = |detail: &str| Err(LintFailure::new("key usage", detail));
    if usage.flags == 0 || usage.flags >> 9 != 0 {
        return fail("has no bit, or bits without a meaning");
    }
    if (usage.encipher_only() || usage.decipher_only()) && !usage.key_agreement() {
        return fail("encipherOnly and decipherOnly mean nothing without keyAgreement");
    }
    if usage.encipher_only() && usage.decipher_only() {
        return fail("encipherOnly and decipherOnly exclude each other");
    }
    let enciphers = usage.key_encipherment() || usage.data_encipherment();
    match kind {
        PublicKeyKind::Rsa { .. } if usage.key_agreement() => fail("an RSA key cannot agree on keys (RFC 4055 §1)"),
        PublicKeyKind::Ec { .. } if enciphers => fail("an EC key cannot encipher (RFC 8813 §3)"),
        PublicKeyKind::MlDsa { .. } if enciphers || usage.key_agreement() => {
            fail("an ML-DSA key only signs (RFC 9881 §5)")
        }
        PublicKeyKind::Ed25519 if enciphers || usage.key_agreement() => fail("an Ed25519 key only signs (RFC 8410 §5)"),
        _ => Ok(()),
    }
}

/// What the issuer's own certificate limits its purposes to binds everything below it, as clients read it.
fn permitted(found: &Found<'_>, issuer: Option<&CertificateFacts>) -> Result<(), LintFailure> {
    let Some(issuer) = issuer else { return Ok(()) };
    let stated = found.extended.iter().flat_map(|(_, purposes)| purposes);
    let purposes: Vec<_> = stated.filter_map(|purpose| oid::parse_oid(&purpose.to_id_string())).collect();
    match issuer.forbidden_purpose(&purposes) {
        None => Ok(()),
        Some(purpose) => Err(LintFailure::new(
            "extended key usage",
            format!("the issuer's certificate does not permit the purpose {purpose}"),
        )),
    }
}

/// A CA signs certificates and CRLs, and vouches for nobody's revocation (Mozilla, 2020-07).
fn authority(found: &Found<'_>, path_length: Option<u8>) -> Result<(), LintFailure> {
    let is_authority =
        found.basic.is_some_and(|basic| basic.ca && basic.path_len_constraint == path_length.map(u32::from));
    if !is_authority {
        return Err(LintFailure::new("basic constraints", "are not those of the CA that was approved"));
    }
    if found.key_usage.is_none_or(|usage| !(usage.key_cert_sign() && usage.crl_sign())) {
        return Err(LintFailure::new("key usage", "a CA needs keyCertSign and cRLSign"));
    }
    if found.extended.as_ref().is_some_and(|(extended, _)| extended.ocsp_signing || extended.any) {
        return Err(LintFailure::new("extended key usage", "a CA must not hold OCSPSigning"));
    }
    Ok(())
}

fn end_entity(found: &Found<'_>) -> Result<(), LintFailure> {
    if found.basic.is_some_and(|basic| basic.ca || basic.path_len_constraint.is_some()) {
        return Err(LintFailure::new("basic constraints", "a leaf is no CA"));
    }
    let Some(usage) = found.key_usage else { return Ok(()) };
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(LintFailure::new("key usage", "a leaf must not hold keyCertSign or cRLSign"));
    }
    // RFC 5280 §4.2.1.12: the purposes must be possible with the usages.
    let Some((extended, _)) = &found.extended else { return Ok(()) };
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

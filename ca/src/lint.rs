//! `Draft -> lint -> Linted`: the last look at the bytes before the HSM sees them.
//!
//! The draft was written with `x509-cert`; it is read here with `x509-parser`, and compared with what was approved and
//! with the issuer. A [`Linted`] owns the very bytes that were looked at, and nothing else can be signed.

mod canonical;
mod extensions;
mod names;
mod purpose;
mod qualifiers;
mod verbatim;

use crate::{
    approve::{Approved, Purpose},
    facts::CertificateFacts,
    profile::Draft,
    serial::SerialNumber,
    urls::Urls,
    validity::written_second,
};
use x509_parser::{asn1_rs::Any, certificate::TbsCertificate, prelude::FromDer, x509::X509Version};

/// Bytes that passed every lint.
#[derive(Debug)]
pub struct Linted {
    tbs: Vec<u8>,
    serial: SerialNumber,
    approved: Approved,
}

/// What the bytes are judged against.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The issuer's certificate; none for a root that signs itself.
    pub issuer: Option<&'a CertificateFacts>,
    /// DER of the AlgorithmIdentifier the issuer will sign with.
    pub algorithm: &'a [u8],
    /// Whether the issuer lets certificates outlive it (`leaf_not_after_behavior: permit`).
    pub may_outlive_issuer: bool,
    /// Where the issuer publishes.
    pub urls: &'a Urls,
}

/// Why a certificate is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{lint}: {detail}")]
pub struct LintFailure {
    /// Name of the rule.
    pub lint: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl LintFailure {
    fn new(lint: &'static str, detail: impl Into<String>) -> Self {
        Self { lint, detail: detail.into() }
    }
}

impl Linted {
    /// The bytes to sign.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The serial number in them.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// What they say.
    #[must_use]
    pub fn approved(&self) -> &Approved {
        &self.approved
    }
}

/// Looks at a draft.
///
/// # Errors
/// The first rule that is broken.
pub fn lint(draft: Draft, around: Surroundings<'_>) -> Result<Linted, LintFailure> {
    let Draft { tbs, serial, approved } = draft;
    {
        let (rest, parsed) = <TbsCertificate<'_> as FromDer<_>>::from_der(&tbs)
            .map_err(|error| LintFailure::new("parses", error.to_string()))?;
        if !rest.is_empty() {
            return Err(LintFailure::new("parses", "bytes follow the certificate"));
        }
        canonical::check(&tbs)?;
        fixed_fields(&parsed, &serial, around)?;
        validity(&parsed, &approved, around)?;
        if parsed.subject.as_raw() != approved.subject || parsed.subject_pki.raw != approved.public_key.der() {
            return Err(LintFailure::new("says what was approved", "subject or key differ from what was approved"));
        }
        names::check(&parsed, &approved, around.issuer)?;
        extensions::check(&parsed, &approved, around)?;
        authority(&approved, around.issuer)?;
    }
    Ok(Linted { tbs, serial, approved })
}

/// RFC 5280 §4.1.2.1 to §4.1.2.4.
fn fixed_fields(
    parsed: &TbsCertificate<'_>,
    serial: &SerialNumber,
    around: Surroundings<'_>,
) -> Result<(), LintFailure> {
    if parsed.version != X509Version::V3 {
        return Err(LintFailure::new("version", "is not 3"));
    }
    let raw = parsed.raw_serial();
    let is_positive = raw.first().is_some_and(|first| first & 0x80 == 0);
    if !is_positive || raw.len() > 20 || raw.len() < 16 || raw != serial.as_bytes() {
        return Err(LintFailure::new("serial number", "is not a positive number of 16 to 20 octets"));
    }
    if parsed.issuer_uid.is_some() || parsed.subject_uid.is_some() {
        return Err(LintFailure::new("unique identifiers", "must not be there"));
    }
    let issuer = around.issuer.map_or(parsed.subject.as_raw(), |issuer| issuer.subject.as_slice());
    if parsed.issuer.as_raw() != issuer {
        return Err(LintFailure::new("issuer", "differs from the subject of the issuer's certificate"));
    }
    // The inner AlgorithmIdentifier must be the outer one, byte for byte (§4.1.2.3).
    if inner_algorithm(parsed.as_ref()) != Some(around.algorithm) {
        return Err(LintFailure::new("signature algorithm", "differs from the one that will be used"));
    }
    Ok(())
}

/// RFC 5280 §4.1.2.5, and nothing outlives its issuer.
fn validity(parsed: &TbsCertificate<'_>, approved: &Approved, around: Surroundings<'_>) -> Result<(), LintFailure> {
    let fail = |detail: &str| Err(LintFailure::new("validity", detail));
    let (start, end) = (&parsed.validity.not_before, &parsed.validity.not_after);
    if start.timestamp() != written_second(approved.validity.not_before)
        || end.timestamp() != written_second(approved.validity.not_after)
    {
        return fail("differs from what was approved");
    }
    if start.timestamp() > end.timestamp() {
        return fail("ends before it begins");
    }
    // 2050-01-01T00:00:00Z
    for time in [start, end] {
        if time.is_utctime() != (time.timestamp() < 2_524_608_000) {
            return fail("is not UTCTime through 2049 and GeneralizedTime from 2050 on");
        }
    }
    if let Some(issuer) = around.issuer.filter(|_| !around.may_outlive_issuer) {
        if end.timestamp() > written_second(issuer.not_after) {
            return fail("ends after the issuer's");
        }
        // A cross-signed root may be older than its new issuer.
        let is_leaf = matches!(approved.purpose, Purpose::EndEntity { .. });
        if is_leaf && start.timestamp() < issuer.not_before.as_second() {
            return fail("begins before the issuer's");
        }
    }
    Ok(())
}

/// RFC 5280 §4.2.1.9: only a CA signs, and only as deep as it may.
fn authority(approved: &Approved, issuer: Option<&CertificateFacts>) -> Result<(), LintFailure> {
    let Some(issuer) = issuer else { return Ok(()) };
    if !issuer.is_ca || !issuer.may_sign_certificates {
        return Err(LintFailure::new("issuer", "is not allowed to sign certificates"));
    }
    let Purpose::Authority { path_length, .. } = &approved.purpose else { return Ok(()) };
    match (issuer.path_length, path_length) {
        (None, _) => Ok(()),
        (Some(0), _) => Err(LintFailure::new("path length", "the issuer must not issue CA certificates")),
        (Some(limit), Some(own)) if u32::from(*own) < limit => Ok(()),
        // Without a length of its own the certificate would promise more than its issuer may pass on.
        (Some(limit), _) => Err(LintFailure::new("path length", format!("must be below the issuer's, {limit}"))),
    }
}

/// The third element of the sequence: `[0] version`, `serialNumber`, `signature`.
fn inner_algorithm(tbs: &[u8]) -> Option<&[u8]> {
    let (_, sequence) = Any::from_der(tbs).ok()?;
    let (rest, _version) = Any::from_der(sequence.data).ok()?;
    let (rest, _serial) = Any::from_der(rest).ok()?;
    let (behind, _algorithm) = Any::from_der(rest).ok()?;
    rest.get(..rest.len() - behind.len())
}

#[cfg(test)]
mod tests;

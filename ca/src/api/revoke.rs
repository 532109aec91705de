//! `revoke`, `revoke-with-key`, `issuer/:issuer_ref/revoke`.

use crate::{
    CertificateAuthority,
    error::CaError,
    facts::CertificateFacts,
    issuer::{Issuer, Usage},
    pem,
    private_key::{PrivateKey, is_private_key},
    revocation::RevocationOutcome,
    serial::SerialNumber,
};
use chancery_engine::{Call, Fault, Response, SecretString, wire::Text};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RevokeRequest {
    serial_number: Text,
    certificate: Text,
    /// `revoke-with-key` only.
    private_key: Option<SecretString>,
}

#[derive(Serialize)]
struct RevokeResponse {
    revocation_time: i64,
    revocation_time_rfc3339: String,
    state: &'static str,
}

/// `revoke`
pub(crate) async fn revoke(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RevokeRequest = call.parse()?;
    revoke_asked(&engine, &request).await
}

/// `revoke-with-key`: whoever holds the certificate's key may revoke it.
pub(crate) async fn revoke_with_key(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RevokeRequest = call.parse()?;
    let der = match (request.serial_number.0.as_str(), request.certificate.0.as_str()) {
        ("", "") => Vec::new(),
        ("", certificate) => {
            sent_key(request.private_key.as_ref())?;
            presented(certificate)?
        }
        (serial, _) => {
            let serial = SerialNumber::parse(serial);
            let row = match &serial {
                Some(serial) => engine.recorded(serial).await?,
                None => None,
            };
            row.map(|row| row.der).unwrap_or_default()
        }
    };
    if !der.is_empty() {
        check_key(sent_key(request.private_key.as_ref())?, &der)?;
    }
    // Where nothing was found, this says so.
    revoke_asked(&engine, &request).await
}

/// The text of the key that was sent.
fn sent_key(key: Option<&SecretString>) -> Result<&SecretString, CaError> {
    key.filter(|key| key.expose().len() >= 64).ok_or_else(|| {
        CaError::caller(
            "Provided data for private_key was too short; perhaps a path was passed to the API rather than the contents of a PEM file?",
        )
    })
}

/// Refuses a key that is not the certificate's.
fn check_key(key: &SecretString, certificate: &[u8]) -> Result<(), CaError> {
    let blocks = pem::decode_all(key.expose())?;
    let block = blocks
        .iter()
        .find(|block| is_private_key(&block.label))
        .ok_or_else(|| CaError::caller("provided private_key could not be parsed: no private key in PEM"))?;
    let key = PrivateKey::read(block)?;
    let facts = CertificateFacts::parse(certificate)?;
    if key.public_key().der() != facts.public_key {
        return Err(CaError::caller("provided private key does not match certificate's public key"));
    }
    Ok(())
}

/// `issuer/:issuer_ref/revoke`
pub(crate) async fn revoke_issuer(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let reference = call.captures.text("issuer_ref");
    let now = engine.now();
    let (id, is_new) = engine
        .change("revoke issuer", |draft| {
            let issuer = draft.authority().issuer(reference)?;
            let (id, is_new) = (issuer.record.id.clone(), issuer.record.revoked_at.is_none());
            if is_new {
                let mut changed = issuer.as_ref().clone();
                changed.record.revoked_at = Some(now);
                changed.record.usage = changed.record.usage.without(Usage::IssuingCertificates);
                draft.put_issuer(changed);
            }
            Ok((id, is_new))
        })
        .await?;
    let authority = engine.authority().await?;
    let issuer = authority.issuer(&id)?;
    let mut answer = super::issuer::render(&authority, issuer)?;
    if !is_new {
        return Ok(answer);
    }
    let is_parent = |other: &&Arc<Issuer>| !other.is_equivalent(issuer) && issuer.facts.is_signed_by(&other.facts);
    let has_parent = authority.issuers.values().any(|other| is_parent(&other));
    if has_parent {
        engine.revoke_presented(&issuer.facts.der).await?;
    }
    if issuer.facts.is_self_issued() {
        answer = answer.warn(SELF_SIGNED);
    }
    if !has_parent {
        answer = answer.warn(NO_PARENT);
    }
    if authority.issuer_settings.default == id {
        answer = answer.warn(WAS_DEFAULT);
    }
    Ok(answer)
}

const SELF_SIGNED: &str = "This issuer is a self-signed (potentially root) certificate. This means it may not be considered revoked if there is not an external, cross-signed variant of this certificate. This issuer's serial number will not appear on its own CRL.";
const NO_PARENT: &str = "This issuer lacks another parent issuer within the mount. This means it will not appear on any other CRLs and may not be considered revoked by clients. Consider adding this issuer to its issuer's CRL as well if it is not self-signed.";
const WAS_DEFAULT: &str = "This issuer is currently configured as the default issuer for this mount; operations such as certificate issuance may not work until a new default issuer is selected.";

async fn revoke_asked(engine: &CertificateAuthority, request: &RevokeRequest) -> Result<Response, Fault> {
    let outcome = match (request.serial_number.0.as_str(), request.certificate.0.as_str()) {
        ("", "") => return Err(CaError::caller("The serial number or certificate to revoke must be provided.").into()),
        (serial, "") => engine.revoke(serial).await?,
        ("", certificate) => engine.revoke_presented(&presented(certificate)?).await?,
        _ => {
            return Err(
                CaError::caller("Must provide either the certificate or the serial to revoke; not both.").into()
            );
        }
    };
    match outcome {
        RevocationOutcome::Revoked(at, warning) => {
            let mut answer = Response::data(&RevokeResponse {
                revocation_time: at.as_second(),
                revocation_time_rfc3339: at.to_string(),
                state: "revoked",
            })?;
            answer.warnings.extend(warning);
            Ok(answer)
        }
        RevocationOutcome::Expired(serial) => Ok(Response::empty().warn(format!(
            "certificate with serial {serial} already expired; refusing to add to CRL. Enable 'AllowExpiredCertRevocation' to allow revoking expired certificates."
        ))),
    }
}

fn presented(text: &str) -> Result<Vec<u8>, CaError> {
    if text.len() < 75 {
        return Err(CaError::caller(
            "provided certificate data was too short; perhaps a path was passed to the API rather than the contents of a PEM file",
        ));
    }
    let block = pem::decode_first(text)?.ok_or_else(|| CaError::caller("certificate contains no PEM data"))?;
    Ok(block.bytes.to_vec())
}

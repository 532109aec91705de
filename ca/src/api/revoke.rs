//! `revoke`, `crl/rotate`.

use crate::{CertificateAuthority, error::CaError, pem, revocation::RevocationOutcome};
use chancery_engine::{Call, Fault, Response, wire::Text};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RevokeRequest {
    serial_number: Text,
    certificate: Text,
}

#[derive(Serialize)]
struct RevokeResponse {
    revocation_time: i64,
    revocation_time_rfc3339: String,
    state: &'static str,
}

#[derive(Serialize)]
struct RotateResponse {
    success: bool,
}

/// `revoke`
pub(crate) async fn revoke(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RevokeRequest = call.parse()?;
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

/// `crl/rotate`
pub(crate) async fn rotate(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let warnings = engine.publish_all().await?;
    let mut answer = Response::data(&RotateResponse { success: true })?;
    answer.warnings = warnings;
    Ok(answer)
}

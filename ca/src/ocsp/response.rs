//! Writing an OCSP response (RFC 6960 §4.2), with the types of `x509-ocsp`. Those are of an older generation than ours;
//! between the two go only bytes.

use super::{
    Status,
    request::{CertificateId, NONCE},
};
use crate::{CertificateAuthority, authority::Authority, error::CaError, publication::Lineage};
use chancery_hsm::SignInput;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use x509_cert_02::{
    Certificate,
    der::{
        self, Decode, Encode,
        asn1::{Any, BitString, GeneralizedTime, Null, OctetString},
    },
    ext::{Extension, pkix::CrlReason},
    serial_number::SerialNumber,
    spki::AlgorithmIdentifierOwned,
};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId, ResponseData, RevokedInfo,
    SingleResponse,
};

/// id-pkix-ocsp-archive-cutoff
const ARCHIVE_CUTOFF: &str = "1.3.6.1.5.5.7.48.1.6";

/// What is said of one certificate.
pub(super) struct Said {
    pub(super) id: CertificateId,
    pub(super) status: Status,
    /// Since when certificates that have ended are still known; said of those that have.
    pub(super) archive_cutoff: Option<Timestamp>,
}

/// A response that was signed.
pub(super) struct Signed {
    pub(super) der: Vec<u8>,
    pub(super) this_update: Timestamp,
    /// None where answers are good for the moment only.
    pub(super) next_update: Option<Timestamp>,
}

impl CertificateAuthority {
    /// Signs what is to be said of certificates of one lineage.
    pub(super) async fn sign_answer(
        &self,
        authority: &Authority,
        lineage: &Lineage,
        certificates: &[Said],
        nonce: Option<&[u8]>,
    ) -> Result<Signed, CaError> {
        let responder = self.responder(authority, lineage).await?;
        let this_update = self.now();
        let lifetime = authority.crl_settings.ocsp_lifetime();
        let end = this_update
            .checked_add(SignedDuration::from_secs(lifetime))
            .map_err(|_| CaError::caller("ocsp_expiry reaches beyond the year 9999"))?;
        // An answer does not outlive the certificate of who signed it.
        let end = responder.not_after.map_or(end, |not_after| end.min(not_after));
        let next_update = (lifetime > 0).then_some(end);
        let singles = certificates.iter().map(|said| single(said, this_update, next_update));
        let data = ResponseData {
            version: Default::default(),
            responder_id: ResponderId::ByKey(OctetString::new(responder.key_hash.clone()).map_err(encoding)?),
            produced_at: time(this_update)?,
            responses: singles.collect::<Result<_, _>>()?,
            response_extensions: nonce.map(|nonce| Ok::<_, CaError>(vec![nonce_extension(nonce)?])).transpose()?,
        };
        let tbs = data.to_der().map_err(encoding)?;
        let signature = self.custody.sign(&responder.key, responder.algorithm.scheme, SignInput::Message(tbs)).await?;
        let certificate = responder.certificate.as_deref().map(Certificate::from_der);
        let basic = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: AlgorithmIdentifierOwned::from_der(&responder.algorithm.identifier)
                .map_err(encoding)?,
            signature: BitString::from_bytes(&signature).map_err(encoding)?,
            certs: certificate.transpose().map_err(encoding)?.map(|certificate| vec![certificate]),
        };
        let der = encoded(&OcspResponse::successful(basic).map_err(encoding)?)?;
        Ok(Signed { der, this_update, next_update })
    }
}

pub(super) fn encoded(response: &OcspResponse) -> Result<Vec<u8>, CaError> {
    response.to_der().map_err(encoding)
}

fn single(
    Said { id, status, archive_cutoff }: &Said,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
) -> Result<SingleResponse, CaError> {
    let hash_algorithm = AlgorithmIdentifierOwned {
        oid: id.hash.oid().parse().map_err(|error| CaError::corrupt("hash", format!("{error:?}")))?,
        parameters: Some(Any::from(Null)),
    };
    let cert_id = CertId {
        hash_algorithm,
        issuer_name_hash: OctetString::new(id.issuer_name.clone()).map_err(encoding)?,
        issuer_key_hash: OctetString::new(id.issuer_key.clone()).map_err(encoding)?,
        serial_number: SerialNumber::new(id.serial.as_bytes()).map_err(encoding)?,
    };
    let cert_status = match *status {
        Status::Good => CertStatus::good(),
        Status::Unknown => CertStatus::unknown(),
        Status::Revoked { at, reason } => {
            CertStatus::revoked(RevokedInfo { revocation_time: time(at)?, revocation_reason: reason_of(reason) })
        }
    };
    let next_update = next_update.map(time).transpose()?;
    let single_extensions = archive_cutoff.map(|since| Ok::<_, CaError>(vec![archive_cutoff_extension(since)?]));
    let single_extensions = single_extensions.transpose()?;
    Ok(SingleResponse { cert_id, cert_status, this_update: time(this_update)?, next_update, single_extensions })
}

/// RFC 5280 §5.3.1: unspecified is left out.
fn reason_of(reason: u8) -> Option<CrlReason> {
    Some(match reason {
        1 => CrlReason::KeyCompromise,
        2 => CrlReason::CaCompromise,
        3 => CrlReason::AffiliationChanged,
        4 => CrlReason::Superseded,
        5 => CrlReason::CessationOfOperation,
        6 => CrlReason::CertificateHold,
        9 => CrlReason::PrivilegeWithdrawn,
        10 => CrlReason::AaCompromise,
        _ => return None,
    })
}

/// RFC 9654 §2.1: the nonce is an OCTET STRING within the extension's value.
fn nonce_extension(nonce: &[u8]) -> Result<Extension, CaError> {
    let value = OctetString::new(nonce).and_then(|nonce| nonce.to_der()).and_then(OctetString::new);
    Ok(Extension {
        extn_id: NONCE.parse().map_err(|error| CaError::corrupt("nonce", format!("{error:?}")))?,
        critical: false,
        extn_value: value.map_err(encoding)?,
    })
}

/// RFC 6960 §4.4.4
fn archive_cutoff_extension(since: Timestamp) -> Result<Extension, CaError> {
    Ok(Extension {
        extn_id: ARCHIVE_CUTOFF.parse().map_err(|error| CaError::corrupt("archive cutoff", format!("{error:?}")))?,
        critical: false,
        extn_value: time(since)?.to_der().and_then(OctetString::new).map_err(encoding)?,
    })
}

fn time(at: Timestamp) -> Result<OcspGeneralizedTime, CaError> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| CaError::Caller(format!("{at} cannot be written")))?;
    Ok(OcspGeneralizedTime(GeneralizedTime::from_unix_duration(Duration::from_secs(seconds)).map_err(encoding)?))
}

fn encoding(error: der::Error) -> CaError {
    CaError::Fault(chancery_engine::Fault::Bug(format!("OCSP response does not encode: {error}")))
}

//! `ocsp`, `ocsp/*req`: the door hands both over as base64 in `req`.

use super::caching::{self, Validity};
use crate::{CertificateAuthority, ocsp::BELIEVED, serial::SerialNumber};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chancery_engine::{Call, Fault, Response, response::Disposition, wire::Text};
use serde::Deserialize;
use std::sync::Arc;

const CONTENT_TYPE: &str = "application/ocsp-response";

/// Seconds after which to ask again where the HSM is away.
const COME_BACK: &str = "5";

const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OcspRequest {
    req: Text,
}

/// `GET ocsp/…`
pub(crate) async fn get(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request = decode(call.captures.text("req"));
    answer(&engine, &request).await
}

/// `POST ocsp`
pub(crate) async fn post(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: OcspRequest = call.parse()?;
    answer(&engine, &decode(&request.req.0)).await
}

/// What is no base64 is no request; the responder says so in its own way.
fn decode(text: &str) -> Vec<u8> {
    let text: String = text
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    BASE64URL.decode(text).unwrap_or_default()
}

async fn answer(engine: &CertificateAuthority, request: &[u8]) -> Result<Response, Fault> {
    let answer = engine.answer_ocsp(request).await?;
    let mut response = Response::raw(CONTENT_TYPE, answer.der.to_vec());
    let Some(raw) = &mut response.raw else { return Ok(response) };
    if let Some(cacheable) = answer.cacheable {
        let hash = digest(&SHA256, &answer.der);
        let tag = SerialNumber::octets(hash.as_ref().get(..16).unwrap_or_default()).replace(':', "");
        let validity = Validity {
            etag: &format!("\"{tag}\""),
            this_update: cacheable.this_update,
            // It may go out again for as long: a cache must not keep it beyond its end even then.
            next_update: cacheable.next_update.checked_sub(BELIEVED).unwrap_or(cacheable.next_update),
            rhythm: None,
        };
        raw.headers = caching::headers(&validity, engine.now());
    }
    response.standing = answer.standing;
    if answer.is_late {
        raw.headers.push(("retry-after", COME_BACK.to_owned()));
        return Ok(response.disposed(Disposition::Chosen(503)));
    }
    Ok(response)
}

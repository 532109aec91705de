//! `keys/:name/set-certificate`: keeps a certificate chain beside a version.

use crate::{
    certificates::Chain,
    error::TransitError,
    input::{Text, given},
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct SetCertificateRequest<'a> {
    #[serde(borrow)]
    certificate_chain: Text<'a>,
    #[serde(deserialize_with = "given")]
    version: Option<Count>,
}

#[derive(Serialize)]
struct SetCertificateResponse<'a> {
    certificate_chain: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    key_type: &'static str,
}

/// Takes a chain over in the place of the one there is.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: SetCertificateRequest<'_> = call.parse()?;
    let name = call.captures.text("name");
    let key = engine.signing_key(name).await?;
    let chain = Chain::from_pem(request.certificate_chain.as_str())?;
    let no_version = || TransitError::caller("failed to persist certificate chain: no such key version");
    let number = key.record.numbered(request.version).ok_or_else(no_version)?;
    let public_key = engine.public_key(&key, number).await?;
    chain.check(key.record.key_type, &public_key)?;
    engine.set_certificates(name, number, chain.into_stored()).await?;
    let certificate_chain = request.certificate_chain.as_str();
    Response::data(&SetCertificateResponse { certificate_chain, name, key_type: key.record.type_name() })
}

//! `keys/:name/csr`: a certificate request for a version.

use crate::{
    certificates::{self, Template},
    error::TransitError,
    input::{Text, given},
    pem,
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct CsrRequest<'a> {
    #[serde(borrow)]
    csr: Text<'a>,
    #[serde(deserialize_with = "given")]
    version: Option<Count>,
}

#[derive(Serialize)]
struct CsrResponse<'a> {
    csr: String,
    name: &'a str,
    #[serde(rename = "type")]
    key_type: &'static str,
}

/// Signs the template, or an empty request, with the key in the place of the template's.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: CsrRequest<'_> = call.parse()?;
    let name = call.captures.text("name");
    let key = engine.signing_key(name).await?;
    let template = Template::from_pem(request.csr.as_str())?;
    let failed = |text: &str| TransitError::Caller(format!("could not create the csr: {text}"));
    let number = key.record.numbered(request.version).ok_or_else(|| failed("no such key version"))?;
    let public_key = engine.public_key(&key, number).await?;
    let info = template.with_key(&public_key)?;
    let signature = engine.sign_request(&key, number, &info).await.map_err(|error| match error {
        TransitError::NoPrivateHalf(_) => failed("private key not imported for key version selected"),
        other => other,
    })?;
    let csr = certificates::request(&info, key.record.key_type, &signature)?;
    let csr = pem::write("CERTIFICATE REQUEST", &csr).to_string() + "\n";
    Response::data(&CsrResponse { csr, name, key_type: key.record.type_name() })
}

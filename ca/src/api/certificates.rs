//! `certs`, `certs/revoked`, `cert/:serial` and its raw forms.

use super::roles::PageRequest;
use crate::{CertificateAuthority, error::CaError, pem, serial::SerialNumber};
use chancery_engine::{Call, Fault, Response};
use chancery_store::{Certificate, SerialPage};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(crate) struct CertificateResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_chain: Option<String>,
    pub(crate) certificate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer_id: Option<String>,
    pub(crate) revocation_time: i64,
    pub(crate) revocation_time_rfc3339: String,
}

impl CertificateResponse {
    pub(crate) fn of(certificate: String) -> Self {
        Self {
            ca_chain: None,
            certificate,
            issuer_id: None,
            revocation_time: 0,
            revocation_time_rfc3339: String::new(),
        }
    }
}

/// `LIST certs`
pub(crate) async fn list(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let after = SerialNumber::parse(&request.after.0).map(|serial| serial.as_bytes().to_vec());
    let page = SerialPage { after, limit: request.limit() };
    let serials = engine.store.certificates().list_serials(engine.mount(), page).await.map_err(CaError::from)?;
    let keys: Vec<String> = serials.iter().map(|serial| SerialNumber::from_bytes(serial).to_string()).collect();
    Response::list(&keys)
}

/// `LIST certs/revoked`
pub(crate) async fn list_revoked(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let after = SerialNumber::parse(&request.after.0).map(|serial| serial.as_bytes().to_vec());
    let page = SerialPage { after, limit: request.limit() };
    let serials =
        engine.store.certificates().list_revoked_serials(engine.mount(), page).await.map_err(CaError::from)?;
    let keys: Vec<String> = serials.iter().map(|serial| SerialNumber::from_bytes(serial).to_string()).collect();
    Response::list(&keys)
}

async fn find(engine: &CertificateAuthority, call: &Call) -> Result<Option<Certificate>, Fault> {
    let text = call.captures.text("serial");
    if !text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-')) {
        return Err(Fault::NotFound("unsupported path".to_owned()));
    }
    let Some(serial) = SerialNumber::parse(text) else { return Ok(None) };
    if let Some(row) = engine.recorded(&serial).await? {
        return Ok(Some(row));
    }
    Ok(None)
}

/// `cert/:serial`; public.
pub(crate) async fn read(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let row = find(&engine, &call).await?.ok_or(Fault::Absent)?;
    let mut response = CertificateResponse::of(pem::encode(pem::CERTIFICATE, &row.der));
    if let Some(revocation) = row.revocation {
        response.issuer_id = Some(row.intent.issuer);
        response.revocation_time = revocation.at.as_second();
        response.revocation_time_rfc3339 = revocation.at.to_string();
    }
    Response::data(&response)
}

/// `cert/:serial/raw`; public.
pub(crate) async fn read_raw(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let der = find(&engine, &call).await?.map(|row| row.der).unwrap_or_default();
    Ok(super::public::raw("application/pkix-cert", &der, <[u8]>::to_vec))
}

/// `cert/:serial/raw/pem`; public.
pub(crate) async fn read_pem(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let der = find(&engine, &call).await?.map(|row| row.der).unwrap_or_default();
    Ok(super::public::raw("application/pem-certificate-chain", &der, |der| {
        pem::encode(pem::CERTIFICATE, der).into_bytes()
    }))
}

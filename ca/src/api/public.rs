//! What everybody may fetch of the default issuer: `ca`, `ca_chain`, `cert/ca|ca_chain`; its CRLs are in `crl.rs`.

use super::certificates::CertificateResponse;
use crate::{CertificateAuthority, authority::DEFAULT, error::CaError, issuer::Issuer, pem};
use chancery_engine::{Call, Fault, Response};
use std::sync::Arc;

/// A body without an envelope; where there is nothing the answer is empty.
pub(crate) fn raw(content_type: &'static str, der: &[u8], render: impl Fn(&[u8]) -> Vec<u8>) -> Response {
    if der.is_empty() { Response::empty() } else { Response::raw(content_type, render(der)) }
}

async fn chain(engine: &CertificateAuthority) -> Result<Vec<Arc<Issuer>>, CaError> {
    let authority = engine.authority().await?;
    match authority.issuer(DEFAULT) {
        Ok(issuer) => Ok(authority.chain(issuer)),
        Err(_) => Ok(Vec::new()),
    }
}

async fn certificate(engine: &CertificateAuthority) -> Result<Vec<u8>, CaError> {
    let authority = engine.authority().await?;
    Ok(authority.issuer(DEFAULT).map(|issuer| issuer.facts.der.clone()).unwrap_or_default())
}

fn join(chain: &[Arc<Issuer>]) -> String {
    chain.iter().map(|issuer| pem::encode(pem::CERTIFICATE, &issuer.facts.der)).collect::<Vec<_>>().join("\n")
}

fn missing() -> CaError {
    CaError::caller("no default issuer currently configured")
}

/// `ca`
pub(crate) async fn ca(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Ok(raw("application/pkix-cert", &certificate(&engine).await?, <[u8]>::to_vec))
}

/// `ca/pem`, `cert/ca/raw/pem`
pub(crate) async fn ca_pem(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let der = certificate(&engine).await?;
    Ok(raw("application/pem-certificate-chain", &der, |der| pem::encode(pem::CERTIFICATE, der).into_bytes()))
}

/// `ca_chain`
pub(crate) async fn ca_chain(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let chain = join(&chain(&engine).await?);
    Ok(raw("application/pkix-cert", chain.as_bytes(), <[u8]>::to_vec))
}

/// `cert/ca`
pub(crate) async fn certificate_ca(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let der = certificate(&engine).await?;
    if der.is_empty() {
        return Err(missing().into());
    }
    Response::data(&CertificateResponse::of(pem::encode(pem::CERTIFICATE, &der)))
}

/// `cert/ca_chain`
pub(crate) async fn certificate_chain(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let chain = chain(&engine).await?;
    if chain.is_empty() {
        return Err(missing().into());
    }
    let text = join(&chain);
    Response::data(&CertificateResponse { ca_chain: Some(text.clone()), ..CertificateResponse::of(text) })
}

//! CRLs as everybody may fetch them: `crl…`, `cert/crl`, `cert/delta-crl`, `issuer/:issuer_ref/crl…`; and
//! `crl/rotate`, `crl/rotate-delta`.

use super::{
    caching::{self, Validity},
    certificates::CertificateResponse,
};
use crate::{
    CertificateAuthority,
    authority::DEFAULT,
    error::CaError,
    pem,
    publication::{CrlScope, Published},
};
use chancery_engine::{Call, Fault, Response, response::Disposition};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct CrlResponse {
    crl: String,
}

#[derive(Serialize)]
struct RotateResponse {
    success: bool,
}

/// How a list goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Der,
    /// Without a newline at its end, as the default issuer's goes out.
    Pem,
    PemLine,
}

/// The list that a request means; none where there is no default issuer, or no list yet.
async fn find(engine: &CertificateAuthority, call: &Call, scope: CrlScope) -> Result<Option<Arc<Published>>, CaError> {
    let authority = engine.authority().await?;
    let issuer = match call.captures.text("issuer_ref") {
        "" => match authority.issuer(DEFAULT) {
            Ok(issuer) => issuer,
            Err(_) => return Ok(None),
        },
        reference => authority.issuer(reference)?,
    };
    engine.list(&authority, issuer, scope).await
}

async fn raw(engine: &CertificateAuthority, call: &Call, scope: CrlScope, form: Form) -> Result<Response, Fault> {
    let content_type = if form == Form::Der { "application/pkix-crl" } else { "application/x-pem-file" };
    let Some(list) = find(engine, call, scope).await? else {
        return Ok(Response::raw(content_type, Vec::new()).disposed(Disposition::Chosen(204)));
    };
    let bytes = match form {
        Form::Der => list.der.clone(),
        Form::Pem => pem::encode(pem::CRL, &list.der).into_bytes(),
        Form::PemLine => pem::encode_line(pem::CRL, &list.der).into_bytes(),
    };
    let settings = &engine.authority().await?.crl_settings;
    let validity = Validity {
        etag: &list.etag,
        this_update: list.this_update,
        next_update: list.next_update,
        rhythm: (scope == CrlScope::Delta).then(|| settings.delta_interval()),
    };
    let mut response = Response::raw(content_type, bytes);
    if let Some(raw) = &mut response.raw {
        raw.headers = caching::headers(&validity, engine.now());
    }
    Ok(response)
}

async fn as_certificate(engine: &CertificateAuthority, call: &Call, scope: CrlScope) -> Result<Response, Fault> {
    let missing = || CaError::caller("no default issuer currently configured");
    let list = find(engine, call, scope).await?.ok_or_else(missing)?;
    Response::data(&CertificateResponse::of(pem::encode(pem::CRL, &list.der)))
}

async fn of_issuer(engine: &CertificateAuthority, call: &Call, scope: CrlScope) -> Result<Response, Fault> {
    let list = find(engine, call, scope).await?.ok_or(Fault::Absent)?;
    Response::data(&CrlResponse { crl: pem::encode_line(pem::CRL, &list.der) })
}

fn shard(call: &Call) -> Result<CrlScope, Fault> {
    let number = call.captures.text("shard").parse().ok().filter(|number| *number > 0);
    number.map(CrlScope::Shard).ok_or(Fault::Absent)
}

/// `crl`
pub(crate) async fn complete(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Complete, Form::Der).await
}

/// `crl/pem`
pub(crate) async fn complete_pem(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Complete, Form::Pem).await
}

/// `crl/delta`
pub(crate) async fn delta(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Delta, Form::Der).await
}

/// `crl/delta/pem`
pub(crate) async fn delta_pem(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Delta, Form::Pem).await
}

/// `cert/crl`
pub(crate) async fn certificate_crl(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    as_certificate(&engine, &call, CrlScope::Complete).await
}

/// `cert/delta-crl`
pub(crate) async fn certificate_delta(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    as_certificate(&engine, &call, CrlScope::Delta).await
}

/// `issuer/:issuer_ref/crl`
pub(crate) async fn issuer(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    of_issuer(&engine, &call, CrlScope::Complete).await
}

/// `issuer/:issuer_ref/crl/der`
pub(crate) async fn issuer_der(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Complete, Form::Der).await
}

/// `issuer/:issuer_ref/crl/pem`
pub(crate) async fn issuer_pem(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Complete, Form::PemLine).await
}

/// `issuer/:issuer_ref/crl/delta`
pub(crate) async fn issuer_delta(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    of_issuer(&engine, &call, CrlScope::Delta).await
}

/// `issuer/:issuer_ref/crl/delta/der`
pub(crate) async fn issuer_delta_der(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Delta, Form::Der).await
}

/// `issuer/:issuer_ref/crl/delta/pem`
pub(crate) async fn issuer_delta_pem(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    raw(&engine, &call, CrlScope::Delta, Form::PemLine).await
}

/// `crl/shard/:shard`, `issuer/:issuer_ref/crl/shard/:shard`: what distribution points name; ours, not Vault's.
pub(crate) async fn issuer_shard(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let scope = shard(&call)?;
    if find(&engine, &call, scope).await?.is_none() {
        return Err(Fault::Absent);
    }
    raw(&engine, &call, scope, Form::Der).await
}

/// `crl/rotate`
pub(crate) async fn rotate(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let warnings = engine.publish_all().await?;
    let mut answer = Response::data(&RotateResponse { success: true })?;
    answer.warnings = warnings;
    Ok(answer)
}

/// `crl/rotate-delta`
pub(crate) async fn rotate_delta(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    let answer = Response::data(&RotateResponse { success: true })?;
    if !engine.authority().await?.crl_settings.enable_delta {
        return Ok(answer.warn("requested rebuild of delta CRL when delta CRL is not enabled; this is a no-op"));
    }
    engine.publish_deltas().await?;
    Ok(answer)
}

//! `cel/roles[/:role]`, `cel/issue/:role`, `cel/sign/:role` (OpenBao).

use super::{
    fields::Format,
    issue::{self, IssueRequest},
    roles::PageRequest,
};
use crate::{
    CertificateAuthority,
    approve::Applicant,
    cel::{CelRole, Inputs, Output},
    csr::Csr,
    error::CaError,
    issuance::Order,
    key,
    private_key::PrivateKey,
    requester::Requester,
    storage,
};
use chancery_engine::{Call, Captures, Fault, Response};
use chancery_store::{Changes, Page};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoleRequest {
    cel_program: Option<CelRole>,
}

#[derive(Serialize)]
struct RoleResponse<'a> {
    cel_program: &'a CelRole,
    name: &'a str,
}

/// `LIST cel/roles`
pub(crate) async fn list(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let after = (!request.after.0.is_empty()).then(|| request.after.0.clone());
    let page = Page { after, limit: request.limit() };
    Response::list(&engine.view.list(storage::CEL_ROLES, page).await.map_err(CaError::from)?)
}

async fn stored(engine: &CertificateAuthority, name: &str) -> Result<Option<CelRole>, CaError> {
    storage::read(&engine.view, &storage::cel_role(name)).await
}

/// `GET cel/roles/:role`
pub(crate) async fn read(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("name");
    let role = stored(&engine, name).await?.ok_or(Fault::Absent)?;
    Response::data(&RoleResponse { cel_program: &role, name })
}

/// Whether the role is there, to tell create from update.
pub(crate) async fn exists(engine: Arc<CertificateAuthority>, captures: Captures) -> Result<bool, Fault> {
    Ok(stored(&engine, captures.text("name")).await?.is_some())
}

/// `POST cel/roles/:role`
pub(crate) async fn write(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    put(&engine, &call).await
}

/// `PATCH cel/roles/:role`: a program has one member, so it is replaced.
pub(crate) async fn patch(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    if stored(&engine, call.captures.text("name")).await?.is_none() {
        return Err(CaError::caller("Unable to fetch cel role entry to patch").into());
    }
    put(&engine, &call).await
}

async fn put(engine: &CertificateAuthority, call: &Call) -> Result<Response, Fault> {
    let request: RoleRequest = call.parse()?;
    let role = request.cel_program.ok_or_else(|| CaError::caller("missing required field 'cel_program'"))?;
    role.check()?;
    let name = call.captures.text("name");
    let mut changes = Changes::default();
    changes.put(&engine.view, &storage::cel_role(name), &role).map_err(CaError::from)?;
    engine.store.commit(changes).await.map_err(CaError::from)?;
    Response::data(&RoleResponse { cel_program: &role, name })
}

/// `DELETE cel/roles/:role`
pub(crate) async fn delete(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let mut changes = Changes::default();
    changes.delete(&engine.view, &storage::cel_role(call.captures.text("name")));
    engine.store.commit(changes).await.map_err(CaError::from)?;
    Ok(Response::empty())
}

/// `cel/issue/:role`: a certificate and a key pair made here.
pub(crate) async fn issue(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: IssueRequest = serde_json::from_slice(call.body.json()).unwrap_or_default();
    let format = Format::parse(request.format())?;
    let output = run(&engine, &call, None).await?;
    let algorithm = key::algorithm(&output.key_type, output.key_bits).map_err(|error| {
        CaError::Caller(format!("invalid cel response for key type, key bits, or signature bits: {error}"))
    })?;
    let pair = PrivateKey::generate(algorithm).await?;
    let issued = order(&engine, &call, &output, Applicant::Generated(pair.public_key())).await?;
    issue::answer(&engine, issued, (&request, format, Some(&pair)), (&output.role, output.warnings))
}

/// `cel/sign/:role`: a certificate for a CSR.
pub(crate) async fn sign(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: IssueRequest = serde_json::from_slice(call.body.json()).unwrap_or_default();
    let format = Format::parse(request.format())?;
    let csr = Csr::from_pem(request.csr())?;
    let output = run(&engine, &call, Some(csr.clone())).await?;
    let issued = order(&engine, &call, &output, Applicant::Csr(&csr)).await?;
    issue::answer(&engine, issued, (&request, format, None), (&output.role, output.warnings))
}

async fn run(engine: &CertificateAuthority, call: &Call, csr: Option<Csr>) -> Result<Output, CaError> {
    let role = stored(engine, call.captures.text("role")).await?;
    let role = role.ok_or_else(|| CaError::caller("CEL role not found"))?;
    let body = call.body.json();
    let request = if body.is_empty() { Ok(serde_json::json!({})) } else { serde_json::from_slice(body) };
    let request = request.map_err(|_| CaError::caller("the body is no JSON object"))?;
    let inputs = Inputs { request, csr, now: engine.now(), requester: Requester::of(call) };
    Arc::new(role).run(inputs).await
}

async fn order(
    engine: &CertificateAuthority,
    call: &Call,
    output: &Output,
    applicant: Applicant<'_>,
) -> Result<crate::issuance::Issued, CaError> {
    let requester = Requester::of(call);
    engine
        .issue(Order {
            role: &output.role,
            role_name: call.captures.text("role"),
            issuer: &output.role.issuer_ref,
            asked: &output.asked,
            applicant,
            verbatim: None,
            requester: &requester,
            mount: super::mount_ttl(&call.mount),
            ledger: None,
        })
        .await
}

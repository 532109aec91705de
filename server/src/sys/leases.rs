//! `leases/*`, and the older `renew`, `revoke`, `revoke-prefix`, `revoke-force`, which old clients still call.

use super::{System, bare};
use chancery_engine::{
    Call, Fault, Response, Route, Verb,
    response::Disposition,
    wire::{DurationSeconds, Flag, Text},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Deserialize, Default)]
#[serde(default)]
struct LeaseRequest {
    lease_id: Text,
    /// The id where it stands in the path.
    url_lease_id: Text,
    increment: DurationSeconds,
    /// Revocation is always over when the answer is sent.
    #[serde(rename = "sync")]
    _sync: Flag,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CountRequest {
    #[serde(rename = "type")]
    kind: Text,
    #[serde(rename = "limit")]
    _limit: Text,
    #[serde(rename = "include_child_namespaces")]
    _include_child_namespaces: Flag,
}

/// The envelope with the lease's own members filled; the pipeline fills them only for leases it registers.
#[derive(Serialize)]
struct RenewedEnvelope<'a> {
    request_id: &'a str,
    lease_id: String,
    renewable: bool,
    lease_duration: u64,
    data: Option<()>,
    wrap_info: Option<()>,
    warnings: Option<()>,
    auth: Option<()>,
}

#[derive(Serialize)]
struct CountResponse {
    counts: BTreeMap<String, u64>,
    lease_count: u64,
}

#[derive(Serialize)]
struct IrrevocableResponse {
    lease_count: u64,
    leases: [(); 0],
}

pub(super) fn routes() -> Vec<Route<System>> {
    let prefix =
        |pattern| Route::at(pattern, "Revokes every lease below a prefix.").on(Verb::Write, revoke_prefix).sudo();
    let force = |pattern| {
        Route::at(pattern, "Revokes every lease below a prefix, and forgets those whose engine fails.")
            .on(Verb::Write, revoke_force)
            .sudo()
    };
    let renewal = |pattern| Route::at(pattern, "Renews a lease.").on(Verb::Write, renew);
    let revocation = |pattern| Route::at(pattern, "Revokes a lease.").on(Verb::Write, revoke);
    vec![
        Route::at("leases", "Leases that cannot be revoked.").on(Verb::Read, irrevocable).sudo(),
        Route::at("leases/lookup", "One lease; lists the names at the root.").on(Verb::Write, lookup),
        Route::at("leases/lookup", "Lists the names at the root.").on(Verb::List, list).sudo(),
        Route::at("leases/lookup/*prefix", "Lists the names below a prefix.").on(Verb::List, list).sudo(),
        renewal("leases/renew"),
        renewal("leases/renew/*url_lease_id"),
        renewal("renew"),
        renewal("renew/*url_lease_id"),
        revocation("leases/revoke"),
        revocation("leases/revoke/*url_lease_id"),
        revocation("revoke"),
        revocation("revoke/*url_lease_id"),
        prefix("leases/revoke-prefix/*prefix"),
        prefix("revoke-prefix/*prefix"),
        force("leases/revoke-force/*prefix"),
        force("revoke-force/*prefix"),
        Route::at("leases/tidy", "Removes what is left of leases that ended.").on(Verb::Write, tidy),
        Route::at("leases/count", "How many leases cannot be revoked.").on(Verb::Read, count),
    ]
}

async fn lookup(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let (lease_id, _) = given_lease(&call)?;
    Response::data(&system.core.leases.lookup(&lease_id).await?)
}

async fn list(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    Response::list(&system.core.leases.list(call.captures.text("prefix")).await?)
}

async fn renew(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let (lease_id, increment) = given_lease(&call)?;
    let renewed = system.core.leases.renew(&lease_id, increment).await?;
    bare(&RenewedEnvelope {
        request_id: &call.request_id,
        lease_id: renewed.lease_id,
        renewable: renewed.renewable,
        lease_duration: renewed.lease_duration,
        data: None,
        wrap_info: None,
        warnings: None,
        auth: None,
    })
}

async fn revoke(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let (lease_id, _) = given_lease(&call)?;
    system.core.leases.revoke(&lease_id).await?;
    Ok(Response::empty())
}

async fn revoke_prefix(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    system.core.leases.revoke_prefix(call.captures.text("prefix")).await?;
    Ok(Response::empty())
}

async fn revoke_force(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    system.core.leases.revoke_force(call.captures.text("prefix")).await?;
    Ok(Response::empty())
}

async fn tidy(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    // What this endpoint is for elsewhere happens by itself here: leases and their index change in one transaction.
    let removed = system.core.tokens.tidy().await?;
    tracing::info!(removed, "lease tidy");
    Ok(Response::empty()
        .warn("Tidy operation finished. What it removed stands in the server's log.")
        .disposed(Disposition::Accepted))
}

async fn count(_system: Arc<System>, call: Call) -> Result<Response, Fault> {
    irrevocable_only(&call)?;
    Response::data(&CountResponse { counts: BTreeMap::new(), lease_count: 0 })
}

async fn irrevocable(_system: Arc<System>, call: Call) -> Result<Response, Fault> {
    irrevocable_only(&call)?;
    Response::data(&IrrevocableResponse { lease_count: 0, leases: [] })
}

/// A lease whose engine fails is tried again until it is revoked, so none is ever given up as irrevocable.
fn irrevocable_only(call: &Call) -> Result<(), Fault> {
    let request: CountRequest = call.parse()?;
    if request.kind.0 == "irrevocable" { Ok(()) } else { Err(Fault::Absent) }
}

fn given_lease(call: &Call) -> Result<(String, u64), Fault> {
    let request: LeaseRequest = call.parse()?;
    let in_path = call.captures.text("url_lease_id");
    let lease_id = [in_path, &request.lease_id.0, &request.url_lease_id.0].into_iter().find(|id| !id.is_empty());
    let lease_id = lease_id.ok_or_else(|| Fault::caller("lease_id must be specified"))?;
    Ok((lease_id.to_owned(), request.increment.as_u64()))
}

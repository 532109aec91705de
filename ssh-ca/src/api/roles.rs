//! `roles`, `roles/:name`.

use crate::{
    SshAuthority,
    error::SshError,
    role::{KeyType, Role, RoleRequest, RoleView},
    storage,
};
use chancery_engine::{
    Call, Captures, Fault, Response,
    wire::{Count, Text},
};
use chancery_store::{Changes, Page};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Pages of a list (OpenBao).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageRequest {
    after: Text,
    limit: Count,
}

#[derive(Serialize)]
struct Listing<'a> {
    key_info: BTreeMap<&'a str, Info>,
    keys: &'a [String],
}

#[derive(Serialize)]
struct Info {
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_ref: Option<String>,
    key_type: KeyType,
}

/// `LIST roles`
pub(crate) async fn list(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let after = (!request.after.0.is_empty()).then(|| request.after.0.clone());
    let page = Page { after, limit: usize::try_from(request.limit.0).ok().filter(|limit| *limit > 0) };
    let names = engine.view.list(storage::ROLES, page).await.map_err(SshError::from)?;
    if names.is_empty() {
        return Err(Fault::Absent);
    }
    let mut key_info = BTreeMap::new();
    for name in &names {
        if let Some(role) = engine.role(name).await? {
            let issuer_ref = (role.key_type == KeyType::Ca).then(|| role.issuer_ref.clone());
            key_info.insert(name.as_str(), Info { issuer_ref, key_type: role.key_type });
        }
    }
    Response::data(&Listing { key_info, keys: &names })
}

/// `GET roles/:name`
pub(crate) async fn read(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let role = engine.role(call.captures.text("name")).await?.ok_or(Fault::Absent)?;
    Response::data(&RoleView(&role))
}

/// Whether the role is there, to tell create from update.
pub(crate) async fn exists(engine: Arc<SshAuthority>, captures: Captures) -> Result<bool, Fault> {
    Ok(engine.role(captures.text("name")).await?.is_some())
}

/// `POST roles/:name`: what is not stated falls back to its default.
pub(crate) async fn write(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RoleRequest = call.parse()?;
    if !request.states_key_type() {
        return Err(Fault::caller("missing key type"));
    }
    put(&engine, &call, request.apply(Role::default())?).await
}

/// `PATCH roles/:name`: what is not stated stays.
pub(crate) async fn patch(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RoleRequest = call.parse()?;
    let present = engine.role(call.captures.text("name")).await?.ok_or(Fault::Absent)?;
    put(&engine, &call, request.apply(present.as_ref().clone())?).await
}

async fn put(engine: &SshAuthority, call: &Call, role: Role) -> Result<Response, Fault> {
    role.check()?;
    let mut changes = Changes::default();
    changes.put(&engine.view, &storage::role(call.captures.text("name")), &role).map_err(SshError::from)?;
    engine.commit_role(changes).await?;
    Ok(Response::empty())
}

/// `DELETE roles/:name`
pub(crate) async fn delete(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let mut changes = Changes::default();
    changes.delete(&engine.view, &storage::role(call.captures.text("name")));
    engine.commit_role(changes).await?;
    Ok(Response::empty())
}

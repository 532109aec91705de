//! `roles`, `roles/:name`.

use crate::{
    CertificateAuthority,
    error::CaError,
    role::{Role, RoleRequest},
    storage,
};
use chancery_engine::{
    Call, Captures, Fault, Response,
    wire::{Count, Text},
};
use chancery_store::{Changes, Page};
use serde::Deserialize;
use std::sync::Arc;

/// Pages of a list (OpenBao).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PageRequest {
    pub(crate) after: Text,
    pub(crate) limit: Count,
}

impl PageRequest {
    pub(crate) fn limit(&self) -> Option<usize> {
        usize::try_from(self.limit.0).ok().filter(|limit| *limit > 0)
    }

    /// The page of a sorted list that is in memory.
    pub(crate) fn page<'a>(&self, sorted: impl Iterator<Item = &'a String>) -> Vec<String> {
        let after = self.after.0.as_str();
        sorted.filter(|item| item.as_str() > after).take(self.limit().unwrap_or(usize::MAX)).cloned().collect()
    }
}

/// `LIST roles`
pub(crate) async fn list(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let after = (!request.after.0.is_empty()).then(|| request.after.0.clone());
    let page = Page { after, limit: request.limit() };
    let names = engine.view.list(storage::ROLES, page).await.map_err(CaError::from)?;
    Response::list(&names)
}

/// `GET roles/:name`
pub(crate) async fn read(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let role = engine.role(call.captures.text("name")).await?.ok_or(Fault::Absent)?;
    Response::data(role.as_ref())
}

/// Whether the role is there, to tell create from update.
pub(crate) async fn exists(engine: Arc<CertificateAuthority>, captures: Captures) -> Result<bool, Fault> {
    Ok(engine.role(captures.text("name")).await?.is_some())
}

/// `POST roles/:name`: what is not stated falls back to its default.
pub(crate) async fn write(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    put(&engine, &call, Role::default()).await
}

/// `PATCH roles/:name`: what is not stated stays.
pub(crate) async fn patch(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let present = engine
        .role(call.captures.text("name"))
        .await?
        .ok_or_else(|| CaError::caller("Unable to fetch role entry to patch"))?;
    put(&engine, &call, present.as_ref().clone()).await
}

async fn put(engine: &CertificateAuthority, call: &Call, base: Role) -> Result<Response, Fault> {
    let request: RoleRequest = call.parse()?;
    let mut role = request.apply(base)?;
    let mut warnings = role.settle()?;
    if engine.authority().await?.issuer(&role.issuer_ref).is_err() {
        warnings.push(if role.issuer_ref == crate::authority::DEFAULT {
            "Issuing Certificate was set to default, but no default issuing certificate (configurable at /config/issuers) is currently set".to_owned()
        } else {
            format!(
                "Issuing Certificate was set to {} but no issuing certificate currently has that name",
                role.issuer_ref
            )
        });
    }
    let mut changes = Changes::default();
    changes.put(&engine.view, &storage::role(call.captures.text("name")), &role).map_err(CaError::from)?;
    engine.commit_role(changes).await?;
    let mut answer = Response::data(&role)?;
    answer.warnings = warnings;
    Ok(answer)
}

/// `DELETE roles/:name`
pub(crate) async fn delete(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let mut changes = Changes::default();
    changes.delete(&engine.view, &storage::role(call.captures.text("name")));
    engine.commit_role(changes).await?;
    Ok(Response::empty())
}

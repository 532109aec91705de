//! `delete/:path`, `undelete/:path`, `destroy/:path`: what happens to chosen versions.

use super::{Versioned, model::Metadata};
use crate::error::KvError;
use chancery_engine::{Call, Fault, Response, wire::CommaList};
use chancery_store::Changes;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct VersionsRequest {
    versions: CommaList,
}

pub(super) async fn delete(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let numbers = requested(&call, "No version number provided")?;
    let now = engine.clock.now();
    change(&engine, call.captures.text("path"), |metadata, _| {
        for number in &numbers {
            if let Some(version) = metadata.versions.get_mut(number).filter(|version| !version.is_gone(now)) {
                version.deletion_time = Some(now);
            }
        }
    })
    .await
}

pub(super) async fn undelete(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let numbers = requested(&call, "No version number provided")?;
    change(&engine, call.captures.text("path"), |metadata, _| {
        for number in &numbers {
            if let Some(version) = metadata.versions.get_mut(number).filter(|version| !version.destroyed) {
                version.deletion_time = None;
            }
        }
    })
    .await
}

pub(super) async fn destroy(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let numbers = requested(&call, "no version number provided")?;
    let path = call.captures.text("path");
    let service = &engine;
    change(service, path, |metadata, changes| {
        for number in &numbers {
            if let Some(version) = metadata.versions.get_mut(number) {
                version.destroyed = true;
                service.drop_values(changes, path, [*number]);
            }
        }
    })
    .await
}

/// Changes the metadata in one transaction; a secret that is not there is left so, without complaint.
async fn change(engine: &Versioned, path: &str, edit: impl Fn(&mut Metadata, &mut Changes)) -> Result<Response, Fault> {
    let edit = &edit;
    engine
        .store
        .transact("kv versions", || async move {
            let mut changes = Changes::default();
            if let Some(stored) = engine.load(path).await? {
                let mut metadata = stored.metadata.clone();
                edit(&mut metadata, &mut changes);
                engine.store(&mut changes, path, &metadata, Some(&stored))?;
            }
            Ok::<_, KvError>((changes, ()))
        })
        .await?;
    Ok(Response::empty())
}

fn requested(call: &Call, nothing: &str) -> Result<Vec<u64>, Fault> {
    let VersionsRequest { versions: CommaList(versions) } = call.parse()?;
    if versions.is_empty() {
        return Err(Fault::caller(nothing));
    }
    versions
        .iter()
        .map(|text| text.parse().map_err(|_| Fault::caller("error converting input for field \"versions\"")))
        .collect()
}

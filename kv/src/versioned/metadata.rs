//! `metadata/:path`: what is known of a secret, and the limits it has of its own.

use super::{
    Versioned, absent_without_body, fault,
    model::{Config, Metadata, Version, duration_text},
};
use crate::error::KvError;
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, DurationSeconds, Flag, KeyValues},
};
use chancery_store::{Changes, Page};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Most members of `custom_metadata`.
const MOST_MEMBERS: usize = 64;
/// Longest name of a member, in bytes.
const LONGEST_NAME: usize = 128;
/// Longest value of a member, in bytes.
const LONGEST_VALUE: usize = 512;

#[derive(Deserialize)]
struct MetadataRequest {
    cas_required: Option<Flag>,
    custom_metadata: Option<KeyValues>,
    delete_version_after: Option<DurationSeconds>,
    max_versions: Option<Count>,
    metadata_cas: Option<Count>,
    metadata_cas_required: Option<Flag>,
}

/// PATCH differs in one member: a null takes a name out.
#[derive(Deserialize)]
struct PatchRequest {
    custom_metadata: Option<BTreeMap<String, Option<chancery_engine::wire::Text>>>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct Rest {
    cas_required: Option<Flag>,
    delete_version_after: Option<DurationSeconds>,
    max_versions: Option<Count>,
    metadata_cas: Option<Count>,
    metadata_cas_required: Option<Flag>,
}

#[derive(Serialize)]
struct MetadataResponse<'a> {
    cas_required: bool,
    created_time: Timestamp,
    current_metadata_version: u64,
    current_version: u64,
    custom_metadata: Option<&'a BTreeMap<String, String>>,
    delete_version_after: String,
    max_versions: u64,
    metadata_cas_required: bool,
    oldest_version: u64,
    updated_time: Timestamp,
    versions: BTreeMap<String, VersionResponse>,
}

#[derive(Serialize)]
struct VersionResponse {
    created_time: Timestamp,
    deletion_time: String,
    destroyed: bool,
}

pub(super) async fn read(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let stored = engine.load(call.captures.text("path")).await.map_err(fault)?.ok_or(Fault::Absent)?;
    let metadata = &stored.metadata;
    Response::data(&MetadataResponse {
        cas_required: metadata.cas_required,
        created_time: metadata.created_time,
        current_metadata_version: metadata.current_metadata_version,
        current_version: metadata.current_version,
        custom_metadata: metadata.custom_metadata.as_ref(),
        delete_version_after: duration_text(metadata.delete_version_after),
        max_versions: metadata.max_versions,
        metadata_cas_required: metadata.metadata_cas_required,
        oldest_version: metadata.oldest_version,
        updated_time: metadata.updated_time,
        versions: metadata.versions.iter().map(|(number, version)| (number.to_string(), shown(version))).collect(),
    })
}

pub(super) async fn write(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let request: MetadataRequest = call.parse()?;
    if let Some(KeyValues(custom)) = &request.custom_metadata {
        check_custom(custom)?;
    }
    let path = call.captures.text("path");
    let custom = request.custom_metadata.map(|KeyValues(custom)| custom);
    let rest = Rest {
        cas_required: request.cas_required,
        delete_version_after: request.delete_version_after,
        max_versions: request.max_versions,
        metadata_cas: request.metadata_cas,
        metadata_cas_required: request.metadata_cas_required,
    };
    let (engine, custom, rest) = (&engine, &custom, &rest);
    engine
        .store
        .transact("kv metadata", || async move {
            let config = engine.config().await?;
            let now = engine.clock.now();
            let stored = engine.load(path).await?;
            let mut metadata = stored.as_ref().map_or_else(|| Metadata::new(now), |stored| stored.metadata.clone());
            rest.apply(&mut metadata, &config, now)?;
            if let Some(custom) = custom {
                metadata.custom_metadata = Some(custom.clone());
            }
            let mut changes = Changes::default();
            engine.store(&mut changes, path, &metadata, stored.as_ref())?;
            Ok::<_, KvError>((changes, ()))
        })
        .await?;
    Ok(Response::empty())
}

pub(super) async fn patch(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let request: PatchRequest = call.parse()?;
    let path = call.captures.text("path");
    let (engine, request) = (&engine, &request);
    let outcome = engine
        .store
        .transact("kv metadata patch", || async move {
            let config = engine.config().await?;
            let stored = engine.load(path).await?.ok_or(KvError::Absent)?;
            let mut metadata = stored.metadata.clone();
            request.rest.apply(&mut metadata, &config, engine.clock.now())?;
            if let Some(members) = &request.custom_metadata {
                let mut custom = metadata.custom_metadata.take().unwrap_or_default();
                for (name, value) in members {
                    match value {
                        Some(value) => drop(custom.insert(name.clone(), value.0.clone())),
                        None => drop(custom.remove(name)),
                    }
                }
                check_custom(&custom).map_err(|fault| KvError::request(fault.to_string()))?;
                metadata.custom_metadata = Some(custom);
            }
            let mut changes = Changes::default();
            engine.store(&mut changes, path, &metadata, Some(&stored))?;
            Ok((changes, ()))
        })
        .await;
    match outcome {
        Ok(()) => Ok(Response::empty()),
        Err(KvError::Absent) => Ok(absent_without_body()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn delete(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let path = call.captures.text("path");
    let engine = &engine;
    engine
        .store
        .transact("kv metadata delete", || async move {
            let mut changes = Changes::default();
            if let Some(stored) = engine.load(path).await? {
                engine.drop_values(&mut changes, path, stored.metadata.versions.keys().copied());
                changes.delete(&engine.metadata_view(), path);
            }
            Ok::<_, KvError>((changes, ()))
        })
        .await?;
    Ok(Response::empty())
}

pub(super) async fn list(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    Response::list(&engine.metadata_view().list(call.captures.text("path"), Page::default()).await.map_err(fault)?)
}

impl Rest {
    fn apply(&self, metadata: &mut Metadata, config: &Config, now: Timestamp) -> Result<(), KvError> {
        let seen = self.metadata_cas.map(|Count(seen)| seen);
        match seen {
            None if config.metadata_cas_required || metadata.metadata_cas_required => {
                return Err(KvError::request("metadata check-and-set parameter required for this call"));
            }
            Some(seen) if u64::try_from(seen) != Ok(metadata.current_metadata_version) => {
                return Err(KvError::request("metadata check-and-set parameter does not match the current version"));
            }
            _ => {}
        }
        if let Some(Flag(required)) = self.cas_required {
            metadata.cas_required = required;
        }
        if let Some(Flag(required)) = self.metadata_cas_required {
            metadata.metadata_cas_required = required;
        }
        if let Some(DurationSeconds(seconds)) = self.delete_version_after {
            metadata.delete_version_after = seconds;
        }
        if let Some(Count(limit)) = self.max_versions {
            metadata.max_versions = u64::try_from(limit).unwrap_or(0);
        }
        metadata.current_metadata_version += 1;
        metadata.updated_time = now;
        Ok(())
    }
}

fn shown(version: &Version) -> VersionResponse {
    VersionResponse {
        created_time: version.created_time,
        deletion_time: version.deletion_time.map(|time| time.to_string()).unwrap_or_default(),
        destroyed: version.destroyed,
    }
}

fn check_custom(custom: &BTreeMap<String, String>) -> Result<(), Fault> {
    let refuse = |detail: String| {
        Err(Fault::Caller(format!("1 error occurred:\n\t* custom_metadata validation failed: {detail}\n\n")))
    };
    if custom.len() > MOST_MEMBERS {
        return refuse(format!("payload must contain at most {MOST_MEMBERS} keys, provided {}", custom.len()));
    }
    for (name, value) in custom {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return refuse(format!(
                "length of key {name:?} is {} but must be 0 < len(key) <= {LONGEST_NAME}",
                name.len()
            ));
        }
        if value.is_empty() || value.len() > LONGEST_VALUE {
            return refuse(format!(
                "length of value for key {name:?} is {} but must be 0 < len(value) <= {LONGEST_VALUE}",
                value.len()
            ));
        }
    }
    Ok(())
}

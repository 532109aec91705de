//! `audit`, `audit-hash`: the audit sinks.

use super::System;
use crate::audit::NewDevice;
use chancery_engine::{
    Call, Fault, Response, Route, SecretString, Verb,
    wire::{Flag, KeyValues, Text},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct EnableRequest {
    #[serde(rename = "type")]
    kind: Text,
    description: Text,
    options: KeyValues,
    local: Flag,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HashRequest {
    input: Option<SecretString>,
}

#[derive(Serialize)]
struct DeviceView {
    description: String,
    local: bool,
    options: BTreeMap<String, String>,
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
struct HashResponse {
    hash: String,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("audit", "Lists the audit sinks.").on(Verb::Read, list).sudo(),
        Route::at("audit/*path", "Enables or disables an audit sink.")
            .on(Verb::Write, enable)
            .on(Verb::Delete, disable)
            .sudo(),
        Route::at("audit-hash/*path", "The hash a sink would show for an input.").on(Verb::Write, hash),
    ]
}

async fn list(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let devices: BTreeMap<String, DeviceView> = system
        .core
        .audit
        .list()
        .into_iter()
        .map(|device| {
            let view = DeviceView {
                description: device.description,
                local: device.local,
                options: device.options,
                path: device.path.clone(),
                kind: device.kind,
            };
            (device.path, view)
        })
        .collect();
    Response::data(&devices)
}

async fn enable(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: EnableRequest = call.parse()?;
    let KeyValues(mut options) = request.options;
    check_options(&mut options, system.core.settings.audit_directory.as_deref()).await?;
    let device = NewDevice {
        path: call.captures.text("path").to_owned(),
        kind: request.kind.0,
        description: request.description.0,
        options,
        local: request.local.0,
    };
    system.core.audit.enable(device).await?;
    Ok(Response::empty())
}

/// What a sink may not do that a caller of the API makes: write files anywhere on the machine, executable ones, or ones
/// that begin with what the caller likes (CVE-2025-6000). The configuration file may.
async fn check_options(options: &mut BTreeMap<String, String>, directory: Option<&Path>) -> Result<(), Fault> {
    if options.get("prefix").is_some_and(|prefix| !prefix.is_empty()) {
        return Err(Fault::caller("a prefix for audit lines can only be set in the configuration file"));
    }
    if options.get("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()).is_some_and(|mode| mode & 0o111 != 0) {
        return Err(Fault::caller("an audit file cannot be executable"));
    }
    let Some(directory) = directory else { return Ok(()) };
    for name in ["file_path", "path"] {
        let Some(given) = options.get_mut(name).filter(|given| !matches!(given.as_str(), "" | "stdout")) else {
            continue;
        };
        let path = file_below(directory, given).ok_or_else(|| {
            Fault::Caller(format!("audit files enabled over the API must lie below {}", directory.display()))
        })?;
        tokio::fs::create_dir_all(directory)
            .await
            .map_err(|error| Fault::Dependency(format!("mkdir {}: {error}", directory.display())))?;
        *given = path.to_string_lossy().into_owned();
    }
    Ok(())
}

/// The file below the directory; `None` where the path leads out of it.
fn file_below(directory: &Path, given: &str) -> Option<PathBuf> {
    let path = directory.join(given);
    let below = path.strip_prefix(directory).ok()?;
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && below.components().next().is_some()).then_some(path)
}

async fn disable(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    system.core.audit.disable(call.captures.text("path")).await?;
    Ok(Response::empty())
}

async fn hash(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: HashRequest = call.parse()?;
    let Some(input) = request.input.filter(|input| !input.expose().is_empty()) else {
        return Err(Fault::caller("the \"input\" parameter is empty"));
    };
    Response::data(&HashResponse { hash: system.core.audit.hash(call.captures.text("path"), input.expose())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cve_2025_6000_files_stay_below_the_audit_directory() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("audit");
        let check = async |name: &str, value: &str| {
            let mut options = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            check_options(&mut options, Some(&directory)).await.map(|()| options[name].clone())
        };
        assert_eq!(check("file_path", "a.jsonl").await.unwrap(), directory.join("a.jsonl").to_str().unwrap());
        assert_eq!(check("file_path", "stdout").await.unwrap(), "stdout");
        let inside = directory.join("b.jsonl");
        assert_eq!(check("path", inside.to_str().unwrap()).await.unwrap(), inside.to_str().unwrap());
        for hostile in ["/etc/cron.d/x", "../x", "a/../../x", "."] {
            assert!(check("file_path", hostile).await.is_err(), "{hostile}");
        }
        assert!(check("mode", "0755").await.is_err());
        assert!(check("prefix", "#!/bin/sh\n").await.is_err());
        assert!(check("mode", "0640").await.is_ok());
    }
}

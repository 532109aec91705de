//! `audit`, `audit-hash`: the audit sinks.

use super::System;
use crate::audit::NewDevice;
use chancery_engine::{
    Call, Fault, Response, Route, SecretString, Verb,
    wire::{Flag, KeyValues, Text},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

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
    let device = NewDevice {
        path: call.captures.text("path").to_owned(),
        kind: request.kind.0,
        description: request.description.0,
        options: request.options.0,
        local: request.local.0,
    };
    system.core.audit.enable(device).await?;
    Ok(Response::empty())
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

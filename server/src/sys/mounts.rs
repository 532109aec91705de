//! `mounts`, `auth`: listing, reading, enabling and disabling.

use super::{
    System,
    mount_view::{Members, MountView, Occasion, TuneRequest},
};
use crate::mount::{MountClass, Mounted, NewMount, Tuning};
use chancery_engine::{
    Call, Fault, Response, Route, Verb,
    wire::{Flag, KeyValues, Text},
};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct EnableRequest {
    #[serde(rename = "type")]
    kind: Text,
    description: Text,
    config: Option<TuneRequest>,
    options: Option<KeyValues>,
    local: Flag,
    seal_wrap: Flag,
    external_entropy_access: Flag,
    /// The name of the engine where `type` says `plugin`.
    plugin_name: Text,
    plugin_version: Text,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("mounts", "Lists the secrets engines.").on(Verb::Read, |system, _| list(system, MountClass::Secret)),
        Route::at("mounts/*path", "One secrets engine: reads, enables, disables it.")
            .on(Verb::Read, |system, call| read(system, call, MountClass::Secret))
            .on(Verb::Write, |system, call| enable(system, call, MountClass::Secret))
            .on(Verb::Delete, |system, call| disable(system, call, MountClass::Secret)),
        Route::at("auth", "Lists the login methods.").on(Verb::Read, |system, _| list(system, MountClass::Auth)),
        Route::at("auth/*path", "One login method: reads, enables, disables it.")
            .on(Verb::Read, |system, call| read(system, call, MountClass::Auth))
            .on(Verb::Write, |system, call| enable(system, call, MountClass::Auth))
            .on(Verb::Delete, |system, call| disable(system, call, MountClass::Auth))
            .sudo(),
    ]
}

async fn list(system: Arc<System>, class: MountClass) -> Result<Response, Fault> {
    let mounts = system.core.mounts.list(class);
    let members = mounts.iter().map(|mounted| (mounted.entry.listed_path(), MountView::of(mounted))).collect();
    Response::data(&Members(members))
}

async fn read(system: Arc<System>, call: Call, class: MountClass) -> Result<Response, Fault> {
    let path = call.captures.text("path");
    let mounted = system.mount_at(class, path).ok_or_else(|| {
        let what = if class == MountClass::Auth { "auth engine" } else { "secret engine mount" };
        Fault::Caller(format!("No {what} at {}/", path.trim_matches('/')))
    })?;
    Response::data(&MountView::of(&mounted))
}

async fn enable(system: Arc<System>, call: Call, class: MountClass) -> Result<Response, Fault> {
    let request: EnableRequest = call.parse()?;
    let mut tuning = Tuning { description: request.description.0, ..Tuning::default() };
    let config = request.config.unwrap_or_default();
    config.apply(class, Occasion::Enabling, &mut tuning)?;
    if !request.plugin_version.0.is_empty() {
        tuning.plugin_version = request.plugin_version.0;
    }
    let KeyValues(mut options) = request.options.or(config.options).unwrap_or_default();
    let mut kind = if request.kind.0 == "plugin" { request.plugin_name.0 } else { request.kind.0 };
    // `kv-v2` is the name of a kind and a version at once.
    if let ("kv-v1" | "kv-v2", MountClass::Secret) = (kind.as_str(), class) {
        let version = kind.trim_start_matches("kv-v").to_owned();
        options.insert("version".to_owned(), version);
        kind = "kv".to_owned();
    }
    check_kv_version(&kind, options.get("version").map(String::as_str))?;
    tuning.options = Some(options);
    let path = full_path(class, call.captures.text("path"));
    let new = NewMount {
        tuning,
        local: request.local.0,
        seal_wrap: request.seal_wrap.0,
        external_entropy_access: request.external_entropy_access.0,
        ..NewMount::new(class, path, kind)
    };
    system.core.mounts.mount(new).await?;
    Ok(Response::empty())
}

async fn disable(system: Arc<System>, call: Call, class: MountClass) -> Result<Response, Fault> {
    // Disabling what is not there succeeds, as in Vault: the wish is fulfilled.
    let path = full_path(class, call.captures.text("path"));
    if let Some(mounted) = system.mount_at(class, call.captures.text("path")) {
        tracing::info!(path, kind = mounted.entry.kind, "disabling");
        system.core.unmount(&path).await?;
    }
    Ok(Response::empty())
}

impl System {
    /// The mount at a path as its class spells it: auth mounts without `auth/`.
    pub(super) fn mount_at(&self, class: MountClass, path: &str) -> Option<Arc<Mounted>> {
        self.core.mounts.at(&full_path(class, path)).filter(|mounted| mounted.entry.class == class)
    }
}

pub(super) fn full_path(class: MountClass, path: &str) -> String {
    match class {
        MountClass::Secret => path.to_owned(),
        MountClass::Auth => format!("auth/{path}"),
    }
}

fn check_kv_version(kind: &str, version: Option<&str>) -> Result<(), Fault> {
    match (kind, version) {
        ("kv", Some(version)) if !matches!(version, "" | "1" | "2") => {
            Err(Fault::Caller(format!("invalid version provided: {version}")))
        }
        _ => Ok(()),
    }
}

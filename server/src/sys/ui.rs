//! `internal/ui/mounts`: the command line's first question, and `plugins/catalog`: which engines there are.

use super::{
    System,
    mount_view::{Members, MountView, RUNNING_VERSION, StrangersView},
};
use crate::mount::{MountClass, Mounted};
use chancery_engine::{Call, Fault, Response, Route, Verb};
use serde::Serialize;
use std::sync::Arc;

/// Engines that can be mounted.
const SECRET_ENGINES: [&str; 3] = ["kv", "pki", "transit"];
const AUTH_ENGINES: [&str; 2] = ["approle", "userpass"];

#[derive(Serialize)]
struct UiMounts<'a, T> {
    auth: Members<'a, T>,
    secret: Members<'a, T>,
}

#[derive(Serialize)]
struct Catalog {
    auth: &'static [&'static str],
    database: [&'static str; 0],
    secret: &'static [&'static str],
    detailed: Vec<CatalogEntry>,
}

#[derive(Serialize)]
struct CatalogEntry {
    builtin: bool,
    deprecation_status: &'static str,
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("internal/ui/mounts", "The mounts the caller may see.").on(Verb::Read, visible_mounts).public(),
        Route::at("internal/ui/mounts/*path", "The mount that serves a path.").on(Verb::Read, mount_of).public(),
        Route::at("internal/ui/namespaces", "Namespaces: there is only the root.").on(Verb::Read, no_namespaces),
        Route::at("plugins/catalog", "The engines of this appliance; all are built in.").on(Verb::Read, catalog),
    ]
}

async fn visible_mounts(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    if !system.core.is_open() {
        return Err(Fault::Sealed);
    }
    let mounts = system.core.mounts.all();
    let Some(identity) = call.permit.identity() else {
        let open: Vec<_> = mounts.into_iter().filter(|mounted| is_listed_for_strangers(mounted)).collect();
        return Response::data(&split(&open, StrangersView::of));
    };
    let seen: Vec<_> = mounts
        .into_iter()
        .filter(|mounted| is_listed_for_strangers(mounted) || identity.acl.reaches_into(&mounted.entry.path))
        .collect();
    Response::data(&split(&seen, MountView::of))
}

async fn mount_of(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    if !system.core.is_open() {
        return Err(Fault::Sealed);
    }
    let identity = call.identity()?;
    let path = call.captures.text("path");
    // A mount that is not there and one that may not be seen look alike.
    let refused = || {
        Fault::Refused(format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}/\""
        ))
    };
    let (mounted, _) = system.core.mounts.route(path).ok_or_else(refused)?;
    if !identity.acl.reaches_into(&mounted.entry.path) {
        return Err(refused());
    }
    Response::data(&MountView::of(&mounted).with_path(mounted.entry.listed_path()))
}

async fn no_namespaces(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    Ok(Response::json(b"{}".to_vec()))
}

async fn catalog(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let entry = |kind| {
        move |name: &&'static str| CatalogEntry {
            builtin: true,
            deprecation_status: "supported",
            name,
            kind,
            version: RUNNING_VERSION,
        }
    };
    let detailed = AUTH_ENGINES.iter().map(entry("auth")).chain(SECRET_ENGINES.iter().map(entry("secret"))).collect();
    Response::data(&Catalog { auth: &AUTH_ENGINES, database: [], secret: &SECRET_ENGINES, detailed })
}

fn is_listed_for_strangers(mounted: &Mounted) -> bool {
    mounted.entry.tuning.listing_visibility == "unauth"
}

fn split<'a, T>(mounts: &'a [Arc<Mounted>], view: impl Fn(&'a Mounted) -> T) -> UiMounts<'a, T> {
    let of = |class: MountClass| {
        let members = mounts.iter().filter(|mounted| mounted.entry.class == class);
        Members(members.map(|mounted| (mounted.entry.listed_path(), view(mounted))).collect())
    };
    UiMounts { auth: of(MountClass::Auth), secret: of(MountClass::Secret) }
}

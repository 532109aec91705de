//! `sys/`: the endpoints that run the appliance itself, over [`Core`].
//!
//! One file per family of endpoints; each has a `routes()` that [`System`] joins into one table. The order matters only
//! where a literal and a placeholder meet (`tune` before `*path`).
//!
//! | family | endpoints |
//! |---|---|
//! | [`status`] | health, seal-status, leader, ha-status |
//! | [`init`], [`unseal`] | init, unseal, seal, step-down |
//! | [`mounts`], [`tune`], [`remount`] | mounts, auth, their tuning and moving |
//! | [`policies`], [`capabilities`] | policy, policies/acl, capabilities, resultant-acl |
//! | [`audit`] | audit, audit-hash |
//! | [`wrapping`], [`leases`] | wrapping/*, leases/*, and the older spellings |
//! | [`keyring`], [`root_generation`], [`rekey`] | key-status, rotate, generate-root, rekey, rotate/root, rotate/recovery |
//! | [`external_keys`], [`managed_keys`] | registered keys of the operator's tokens, in two dialects |
//! | [`tools`], [`host`], [`ui`], [`openapi`], [`configuration`] | the rest |

mod audit;
mod capabilities;
mod ceremony;
mod configuration;
mod external_keys;
mod host;
mod init;
mod keyring;
mod leases;
mod managed_keys;
mod mount_view;
mod mounts;
mod openapi;
mod policies;
mod rekey;
mod remount;
mod root_generation;
mod status;
mod tools;
mod tune;
mod ui;
mod unseal;
mod wrapping;

pub(crate) use wrapping::{body_with_token, is_wrapping_path, names_token};

use crate::Core;
use async_trait::async_trait;
use chancery_engine::{Call, Fault, MountPoint, Response, Route, RouteTable, Service, response::Disposition};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// A key share as `unseal` takes it; for the fuzz target.
pub(crate) fn share(text: &chancery_engine::SecretString) -> Option<Vec<u8>> {
    ceremony::decode_share(text).ok().map(|share| share.to_vec())
}

/// The engine behind `sys/`.
pub struct System {
    core: Arc<Core>,
    root_generation: root_generation::RootGeneration,
    rekeys: rekey::Rekeys,
    moves: remount::Moves,
}

impl System {
    /// The engine of this appliance.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Arc<Self> {
        Arc::new(Self {
            core,
            root_generation: root_generation::RootGeneration::default(),
            rekeys: rekey::Rekeys::default(),
            moves: remount::Moves::default(),
        })
    }
}

#[async_trait]
impl Service for System {
    fn routes() -> RouteTable<Self> {
        let families: [fn() -> Vec<Route<Self>>; 21] = [
            status::routes,
            init::routes,
            unseal::routes,
            tune::routes,
            mounts::routes,
            remount::routes,
            policies::routes,
            capabilities::routes,
            audit::routes,
            wrapping::routes,
            leases::routes,
            keyring::routes,
            root_generation::routes,
            rekey::routes,
            external_keys::routes,
            managed_keys::routes,
            tools::routes,
            host::routes,
            ui::routes,
            openapi::routes,
            configuration::routes,
        ];
        RouteTable::new(families.iter().flat_map(|routes| routes()).collect())
    }

    async fn tick(self: Arc<Self>, _mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        self.record_release().await?;
        self.rotate_when_due(now).await
    }

    fn forget(&self) {
        self.root_generation.forget();
        self.rekeys.forget();
    }

    /// Ceremonies are this process's own.
    fn changed_elsewhere(&self, _keys: &[&str]) {}
}

/// Whether a public route at `path` shows more to a caller who is known.
pub(crate) fn welcomes_caller(path: &str) -> bool {
    path == "sys/internal/ui/mounts" || path.starts_with("sys/internal/ui/mounts/")
}

/// 200 with JSON that is not the envelope: `sys/init`, `sys/seal-status` and their like.
fn bare<T: Serialize>(value: &T) -> Result<Response, Fault> {
    let mut bytes =
        serde_json::to_vec(value).map_err(|error| Fault::Bug(format!("response does not serialise: {error}")))?;
    bytes.push(b'\n');
    Ok(Response::raw("application/json", bytes))
}

/// What endpoints outside the envelope answer to a verb they do not know.
async fn method_not_allowed(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let refusal = Response::raw("application/json", b"{\"errors\":[]}\n".to_vec());
    Ok(refusal.disposed(Disposition::Chosen(405)))
}

//! `health`, `seal-status`, `leader`, `ha-status`: how the appliance is, told to anybody. None has the envelope but the
//! last.

use super::{System, bare, method_not_allowed};
use chancery_engine::{
    Call, Fault, Response, Route, Verb,
    response::Disposition,
    wire::{Count, Flag},
};
use chancery_store::BarrierPhase;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Date of this release, under both names clients read.
pub(super) const RELEASE_DATE: &str = "2026-11-21T00:00:00Z";

/// Body of `seal-status` and `unseal`.
#[derive(Serialize)]
pub(super) struct SealStatus {
    #[serde(rename = "type")]
    kind: &'static str,
    initialized: bool,
    sealed: bool,
    t: u8,
    n: u8,
    progress: u8,
    nonce: String,
    recovery_seal: bool,
    version: String,
    build_date: &'static str,
    commit_date: &'static str,
    migration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    storage_type: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HealthRequest {
    standbyok: Flag,
    perfstandbyok: Flag,
    activecode: Option<Count>,
    standbycode: Option<Count>,
    drsecondarycode: Option<Count>,
    performancestandbycode: Option<Count>,
    sealedcode: Option<Count>,
    uninitcode: Option<Count>,
}

#[derive(Serialize)]
struct Health {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'static str,
    replication_dr_mode: &'static str,
    server_time_utc: i64,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
}

#[derive(Serialize)]
struct Leader {
    ha_enabled: bool,
    is_self: bool,
    active_time: &'static str,
    leader_address: &'static str,
    leader_cluster_address: &'static str,
    performance_standby: bool,
    performance_standby_last_remote_wal: u64,
}

#[derive(Serialize)]
struct HaStatus {
    nodes: [Node; 1],
}

#[derive(Serialize)]
struct Node {
    hostname: String,
    api_address: String,
    cluster_address: &'static str,
    active_node: bool,
    last_echo: Option<()>,
    version: String,
}

pub(super) fn routes() -> Vec<Route<System>> {
    let page = |route: Route<System>| {
        route
            .on(Verb::Write, method_not_allowed)
            .on(Verb::Delete, method_not_allowed)
            .on(Verb::Patch, method_not_allowed)
            .on(Verb::List, method_not_allowed)
            .public()
    };
    vec![
        page(Route::at("health", "Whether this node serves requests; the status code tells.").on(Verb::Read, health)),
        page(
            Route::at("seal-status", "Whether the barrier is sealed, and how far unsealing is.")
                .on(Verb::Read, seal_status),
        ),
        page(Route::at("leader", "Which node is active.").on(Verb::Read, leader)),
        Route::at("ha-status", "The nodes of the cluster.").on(Verb::Read, ha_status),
    ]
}

async fn seal_status(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    bare(&system.seal_status().await)
}

async fn health(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    // A code that is no number is refused without a text, as in Vault.
    let request: HealthRequest = call.parse().map_err(|_| Fault::caller(""))?;
    let state = system.core.store.barrier().state().await;
    let initialized = state.phase != BarrierPhase::Uninitialized;
    let open = system.core.is_open();
    let (usual, chosen) = match (initialized, open) {
        (false, _) => (501, request.uninitcode),
        (true, false) => (503, request.sealedcode),
        (true, true) => (200, request.activecode),
    };
    let code = match chosen {
        None => usual,
        Some(Count(code)) => {
            u16::try_from(code).ok().filter(|code| (200..=599).contains(code)).ok_or_else(|| Fault::caller(""))?
        }
    };
    let mode = if open { "disabled" } else { "unknown" };
    let cluster = system.core.cluster().filter(|_| open);
    let health = Health {
        initialized,
        sealed: !open,
        standby: !open,
        performance_standby: false,
        replication_performance_mode: mode,
        replication_dr_mode: mode,
        server_time_utc: system.core.clock.now().as_second(),
        version: system.core.settings.api_version.clone(),
        cluster_name: cluster.map(|cluster| cluster.name.clone()),
        cluster_id: cluster.map(|cluster| cluster.id.clone()),
    };
    Ok(bare(&health)?.disposed(Disposition::Chosen(code)))
}

async fn leader(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    bare(&Leader {
        ha_enabled: false,
        is_self: false,
        active_time: "0001-01-01T00:00:00Z",
        leader_address: "",
        leader_cluster_address: "",
        performance_standby: false,
        performance_standby_last_remote_wal: 0,
    })
}

async fn ha_status(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    Response::data(&HaStatus {
        nodes: [Node {
            hostname: super::host::hostname(),
            api_address: system.core.settings.api_address.clone(),
            cluster_address: "",
            active_node: true,
            last_echo: None,
            version: system.core.settings.api_version.clone(),
        }],
    })
}

impl System {
    pub(super) async fn seal_status(&self) -> SealStatus {
        let core = &self.core;
        let state = core.store.barrier().state().await;
        let open = core.is_open();
        let cluster = core.cluster().filter(|_| open);
        let seal = state.seal;
        let kind = seal.as_ref().map_or(core.settings.seal, |seal| seal.kind).as_str();
        SealStatus {
            kind,
            initialized: state.phase != BarrierPhase::Uninitialized,
            sealed: !open,
            t: seal.as_ref().map_or(0, |seal| seal.threshold),
            n: seal.as_ref().map_or(0, |seal| seal.shares),
            progress: seal.as_ref().map_or(0, |seal| seal.progress),
            nonce: seal.map(|seal| seal.nonce).unwrap_or_default(),
            recovery_seal: kind == "pkcs11",
            version: core.settings.api_version.clone(),
            build_date: RELEASE_DATE,
            commit_date: RELEASE_DATE,
            migration: false,
            cluster_name: cluster.map(|cluster| cluster.name.clone()),
            cluster_id: cluster.map(|cluster| cluster.id.clone()),
            storage_type: core.settings.storage_type.clone(),
        }
    }
}

//! `host-info`, `version-history`, `metrics`, `internal/counters`: what the machine and this release are.

use super::System;
use crate::fault::from_store;
use chancery_engine::{Call, Fault, Response, Route, Verb, response::Disposition, wire::Text};
use chancery_store::Changes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const VERSIONS: &str = "versions";

#[derive(Serialize)]
struct HostInfo {
    cpu: Vec<Processor>,
    host: Host,
    memory: Memory,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Processor {
    cpu: usize,
    #[serde(rename = "modelName")]
    model_name: String,
}

#[derive(Serialize)]
struct Host {
    hostname: String,
    uptime: u64,
    procs: u64,
    os: &'static str,
    #[serde(rename = "kernelVersion")]
    kernel_version: String,
    #[serde(rename = "kernelArch")]
    kernel_arch: String,
}

#[derive(Serialize)]
struct Memory {
    total: u64,
    available: u64,
    free: u64,
}

/// Releases that ran on this store.
#[derive(Serialize, Deserialize, Default)]
struct Releases(Vec<Release>);

#[derive(Serialize, Deserialize, Clone)]
struct Release {
    version: String,
    first_seen: Timestamp,
}

#[derive(Serialize)]
struct VersionHistory<'a> {
    key_info: BTreeMap<&'a str, VersionInfo<'a>>,
    keys: Vec<&'a str>,
}

#[derive(Serialize)]
struct VersionInfo<'a> {
    build_date: &'static str,
    commit_date: &'static str,
    previous_version: Option<&'a str>,
    timestamp_installed: Timestamp,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetricsRequest {
    format: Text,
}

#[derive(Serialize)]
struct Counters<T> {
    counters: T,
}

#[derive(Serialize)]
struct Total {
    total: usize,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("host-info", "The machine this node runs on.").on(Verb::Read, host_info),
        Route::at("version-history", "Releases that ran on this store.").on(Verb::List, version_history),
        Route::at("metrics", "Counters for Prometheus.").on(Verb::Read, metrics),
        Route::at("internal/counters/tokens", "How many tokens there are.").on(Verb::Read, count_tokens),
        Route::at("internal/counters/entities", "How many entities there are.").on(Verb::Read, count_entities),
    ]
}

async fn host_info(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let system_information = rustix::system::sysinfo();
    let name = rustix::system::uname();
    let (cpuinfo, meminfo) =
        tokio::join!(tokio::fs::read_to_string("/proc/cpuinfo"), tokio::fs::read_to_string("/proc/meminfo"));
    let models = cpuinfo.unwrap_or_default();
    let cpu = models
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .enumerate()
        .map(|(cpu, (_, model))| Processor { cpu, model_name: model.trim().to_owned() })
        .collect();
    let meminfo = meminfo.unwrap_or_default();
    Response::data(&HostInfo {
        cpu,
        host: Host {
            hostname: hostname(),
            uptime: u64::try_from(system_information.uptime).unwrap_or(0),
            procs: u64::from(system_information.procs),
            os: std::env::consts::OS,
            kernel_version: name.release().to_string_lossy().into_owned(),
            kernel_arch: name.machine().to_string_lossy().into_owned(),
        },
        memory: Memory {
            total: memory_bytes(&meminfo, "MemTotal:"),
            available: memory_bytes(&meminfo, "MemAvailable:"),
            free: memory_bytes(&meminfo, "MemFree:"),
        },
        timestamp: system.core.clock.now(),
    })
}

/// A line of `/proc/meminfo`, which counts in kibibytes.
fn memory_bytes(meminfo: &str, name: &str) -> u64 {
    let kibibytes =
        meminfo.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

async fn version_history(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let Releases(releases) = system.recorded_releases().await?;
    let mut previous = None;
    let mut key_info = BTreeMap::new();
    for release in &releases {
        let info = VersionInfo {
            build_date: super::status::RELEASE_DATE,
            commit_date: super::status::RELEASE_DATE,
            previous_version: previous,
            timestamp_installed: release.first_seen,
        };
        key_info.insert(release.version.as_str(), info);
        previous = Some(release.version.as_str());
    }
    let keys = releases.iter().map(|release| release.version.as_str()).collect();
    Response::data(&VersionHistory { key_info, keys })
}

async fn metrics(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: MetricsRequest = call.parse()?;
    if !matches!(request.format.0.as_str(), "" | "prometheus") {
        let text = format!("metric response format {:?} unknown", request.format.0);
        return Ok(Response::raw("text/plain", text.into_bytes()).disposed(Disposition::Chosen(400)));
    }
    Ok(Response::raw("text/plain; version=0.0.4; charset=utf-8", crate::metrics::render(&system.core).into_bytes()))
}

async fn count_tokens(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let total = system.core.tokens.accessors().await?.len();
    Response::data(&Counters { counters: BTreeMap::from([("service_tokens", Total { total })]) })
}

async fn count_entities(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    Response::data(&Counters { counters: BTreeMap::from([("entities", Total { total: 0 })]) })
}

impl System {
    /// The releases that ran on this store, this one recorded at the latest now.
    async fn recorded_releases(&self) -> Result<Releases, Fault> {
        let store = &self.core.store;
        let view = &store.view("sys/core/");
        let now = self.core.clock.now();
        store
            .transact("record release", || async move {
                let mut changes = Changes::default();
                let known = view.read(VERSIONS).await?;
                let mut releases: Releases =
                    known.as_ref().map_or_else(|| Ok(Releases::default()), |entry| entry.decode())?;
                let version = env!("CARGO_PKG_VERSION");
                if releases.0.last().is_none_or(|last| last.version != version) {
                    releases.0.push(Release { version: version.to_owned(), first_seen: now });
                    match &known {
                        Some(entry) => changes.replace(view, VERSIONS, &releases, entry.version, None)?,
                        None => changes.create(view, VERSIONS, &releases)?,
                    };
                }
                Ok::<_, chancery_store::StoreError>((changes, releases))
            })
            .await
            .map_err(from_store)
    }

    /// Called about once a minute: the first minute of a release is when it is recorded.
    pub(super) async fn record_release(&self) -> Result<(), Fault> {
        if self.core.is_open() {
            self.recorded_releases().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(memory_bytes("MemTotal:  2 kB\nMemFree: 1 kB\n", "MemFree:"), 1024);
        assert_eq!(memory_bytes("", "MemFree:"), 0);
    }
}

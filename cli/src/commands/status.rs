//! `status`: one look at the seal. Exit code 0 unsealed, 2 sealed, 1 no answer, as scripts and probes expect.

use crate::{
    failure::{LOCAL, Result},
    output::{Output, table},
    remote::Remote,
};
use serde_json::{Map, Value};
use std::process::ExitCode;

pub(crate) fn run(remote: &Remote, output: &Output) -> Result<ExitCode> {
    let mut answer = remote.read("sys/seal-status").map_err(|mut failure| {
        failure.exit = failure.exit.min(LOCAL);
        failure
    })?;
    let mut status = match answer.json.take() {
        Value::Object(status) => status,
        _ => Map::new(),
    };
    let sealed = status.get("sealed").and_then(Value::as_bool).unwrap_or(true);
    if !sealed
        && let Ok(leader) = remote.read("sys/leader")
        && let Some(enabled) = leader.json.get("ha_enabled")
    {
        status.insert("ha_enabled".to_owned(), enabled.clone());
    }
    if output.is_table() {
        crate::output::print(&table::pairs(&people(&status)))?;
    } else {
        output.object(&status)?;
    }
    Ok(ExitCode::from(if sealed { 2 } else { 0 }))
}

/// The rows people know, in the order they know.
fn people(status: &Map<String, Value>) -> Vec<(String, String)> {
    let sealed = status.get("sealed").and_then(Value::as_bool).unwrap_or(true);
    let recovery = status.get("recovery_seal").and_then(Value::as_bool).unwrap_or(false);
    let count = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut rows = Vec::new();
    let mut row = |label: &str, name: &str| {
        if let Some(value) = status.get(name).filter(|value| **value != Value::String(String::new())) {
            rows.push((label.to_owned(), table::cell(value)));
        }
    };
    row(
        if recovery { "Recovery Seal Type" } else { "Seal Type" },
        if recovery && status.contains_key("recovery_seal_type") { "recovery_seal_type" } else { "type" },
    );
    row("Initialized", "initialized");
    row("Sealed", "sealed");
    row(if recovery { "Total Recovery Shares" } else { "Total Shares" }, "n");
    row("Threshold", "t");
    if sealed && count("t") > 0 {
        rows.push(("Unseal Progress".to_owned(), format!("{}/{}", count("progress"), count("t"))));
        rows.push(("Unseal Nonce".to_owned(), table::cell(status.get("nonce").unwrap_or(&Value::Null))));
    }
    let mut row = |label: &str, name: &str| {
        if let Some(value) = status.get(name).filter(|value| **value != Value::String(String::new())) {
            rows.push((label.to_owned(), table::cell(value)));
        }
    };
    row("Version", "version");
    row("Build Date", "build_date");
    row("Storage Type", "storage_type");
    row("Cluster Name", "cluster_name");
    row("Cluster ID", "cluster_id");
    row("HA Enabled", "ha_enabled");
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sealed_server_shows_its_unseal_progress() {
        let status = json!({"type": "shamir", "sealed": true, "t": 3, "n": 5, "progress": 1, "nonce": ""});
        let rows = people(status.as_object().unwrap());
        assert!(rows.contains(&("Unseal Progress".to_owned(), "1/3".to_owned())));
        assert!(rows.contains(&("Unseal Nonce".to_owned(), "n/a".to_owned())));
    }
}

//! `operator`: the life of the seal and of the key under it.
//!
//! [`init`] makes the first shares, [`ceremony`] holds what several people do one after another: unseal, generate-root,
//! rekey.

mod ceremony;
mod init;

use crate::{
    failure::Result,
    output::{Output, table},
    remote::Remote,
};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Initialize the server: make its root key and the first root token
    Init(init::InitFlags),
    /// Hand in an unseal key share
    Unseal(ceremony::UnsealFlags),
    /// Seal the server
    Seal,
    /// Make a root token with the consent of enough share holders
    GenerateRoot(ceremony::GenerateRootFlags),
    /// Make new shares with the consent of enough holders of the old ones
    Rekey(ceremony::RekeyFlags),
    /// Start encrypting with a new key; what exists stays readable
    Rotate,
    /// Show the age and use of the current encryption key
    KeyStatus,
    /// Give up the lead of a cluster
    StepDown,
    /// List the members of a cluster
    Members,
}

pub(crate) fn run(remote: &Remote, command: &OperatorCommand, output: &Output) -> Result<()> {
    match command {
        OperatorCommand::Init(flags) => init::run(remote, flags, output),
        OperatorCommand::Unseal(flags) => ceremony::unseal(remote, flags, output),
        OperatorCommand::Seal => {
            remote.write("sys/seal", json!({}))?;
            output.done("Success! The server is sealed.")
        }
        OperatorCommand::GenerateRoot(flags) => ceremony::generate_root(remote, flags, output),
        OperatorCommand::Rekey(flags) => ceremony::rekey(remote, flags, output),
        OperatorCommand::Rotate => {
            remote.write("sys/rotate", json!({}))?;
            output.done("Success! Rotated key\n")?;
            key_status(remote, output)
        }
        OperatorCommand::KeyStatus => key_status(remote, output),
        OperatorCommand::StepDown => {
            remote.write("sys/step-down", json!({}))?;
            output.done("Success! Stepped down")
        }
        OperatorCommand::Members => members(remote, output),
    }
}

fn key_status(remote: &Remote, output: &Output) -> Result<()> {
    let status = remote.read("sys/key-status")?.content();
    let cell = |name: &str| table::cell(status.get(name).unwrap_or(&Value::Null));
    let pairs =
        [("Key Term", cell("term")), ("Install Time", cell("install_time")), ("Encryption Count", cell("encryptions"))];
    output.pairs(&pairs, &Value::Object(status.clone()))
}

fn members(remote: &Remote, output: &Output) -> Result<()> {
    let status = remote.read("sys/ha-status")?.content();
    let nodes = status.get("nodes").cloned().unwrap_or_else(|| json!([]));
    let cell = |node: &Value, name: &str| table::cell(node.get(name).unwrap_or(&Value::Null));
    let rows: Vec<Vec<String>> = nodes
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| ["hostname", "api_address", "active_node", "version"].iter().map(|name| cell(node, name)).collect())
        .collect();
    output.rows(&["Host Name", "API Address", "Active Node", "Version"], &rows, &Value::Object(status.clone()))
}

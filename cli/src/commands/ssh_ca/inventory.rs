//! What was signed.

use super::Mount;
use crate::{
    failure::Result,
    output::Output,
    remote::{Ask, Verb},
};
use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct ListFlags {
    /// With this among the principals
    #[arg(long)]
    principal: Option<String>,
    /// user or host
    #[arg(long = "type", value_name = "TYPE", value_parser = ["user", "host"])]
    kind: Option<String>,
    /// Under this role
    #[arg(long)]
    role: Option<String>,
    /// Asked for by this requester
    #[arg(long)]
    requester: Option<String>,
    /// With this key id
    #[arg(long)]
    key_id: Option<String>,
    /// For the key with this fingerprint
    #[arg(long, value_name = "SHA256:…")]
    fingerprint: Option<String>,
    /// By this issuer: its name, its id, or default
    #[arg(long)]
    issuer: Option<String>,
    /// Valid at or after this time
    #[arg(long, value_name = "TIME")]
    ends_after: Option<String>,
    /// Ending before this time
    #[arg(long, value_name = "TIME")]
    ends_before: Option<String>,
    /// Behind this serial number
    #[arg(long, value_name = "SERIAL")]
    after: Option<String>,
    /// At most so many
    #[arg(long)]
    limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct ShowFlags {
    /// Serial number, as the certificate was answered
    serial: String,
}

pub(super) fn list(mount: &Mount<'_>, flags: &ListFlags, output: &Output) -> Result<()> {
    let path = mount.at("certificates");
    let mut ask = Ask::new(Verb::List, &path);
    let limit = flags.limit.map(|limit| limit.to_string());
    for (name, value) in [
        ("principal", &flags.principal),
        ("cert_type", &flags.kind),
        ("role", &flags.role),
        ("requester", &flags.requester),
        ("key_id", &flags.key_id),
        ("fingerprint", &flags.fingerprint),
        ("issuer_ref", &flags.issuer),
        ("ends_after", &flags.ends_after),
        ("ends_before", &flags.ends_before),
        ("after", &flags.after),
        ("limit", &limit),
    ] {
        if let Some(value) = value {
            ask.query.push((name.to_owned(), value.clone()));
        }
    }
    let answer = mount.remote.attempt(&ask)?;
    // A list of nothing is "not found" to the API.
    if answer.is_absent() && answer.errors().is_empty() {
        return output.rows(&[], &[], &json!({"keys": [], "key_info": {}}));
    }
    let answer = answer.successful(&ask, mount.remote.address())?;
    let data = answer.data();
    let keys = data.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = keys
        .iter()
        .filter_map(Value::as_str)
        .map(|serial| {
            let member = |name: &str| match data.pointer(&format!("/key_info/{serial}/{name}")) {
                Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                Some(Value::String(text)) => text.clone(),
                _ => String::new(),
            };
            let columns = ["cert_type", "principals", "state", "valid_before", "role", "requester", "key_id"];
            std::iter::once(serial.to_owned()).chain(columns.map(member)).collect()
        })
        .collect();
    let headings = ["SERIAL", "TYPE", "PRINCIPALS", "STATE", "VALID BEFORE", "ROLE", "REQUESTER", "KEY ID"];
    output.rows(&headings, &rows, data)
}

pub(super) fn show(mount: &Mount<'_>, flags: &ShowFlags, output: &Output) -> Result<()> {
    output.answer(&mount.read(&format!("certificate/{}", flags.serial))?)
}

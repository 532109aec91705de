//! What is taken out of use.

use super::Mount;
use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{Ask, Verb},
};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["serial", "first", "last", "key_id", "public_key", "fingerprint", "issuer"]).multiple(true)))]
pub(super) struct RevokeFlags {
    /// One certificate, by its serial number
    #[arg(conflicts_with_all = ["first", "last", "key_id", "public_key", "fingerprint", "issuer"])]
    serial: Option<String>,
    /// Certificates of an issuer from this serial number on [default: the first]
    #[arg(long, value_name = "SERIAL", conflicts_with_all = ["key_id", "public_key", "fingerprint", "issuer"])]
    first: Option<String>,
    /// … to this one; `last` is the last one signed so far
    #[arg(long, value_name = "SERIAL", conflicts_with_all = ["key_id", "public_key", "fingerprint", "issuer"])]
    last: Option<String>,
    /// Certificates with this key id
    #[arg(long, conflicts_with_all = ["public_key", "fingerprint", "issuer"])]
    key_id: Option<String>,
    /// The key in this file, certified or not
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fingerprint", "issuer"])]
    public_key: Option<PathBuf>,
    /// The key with this fingerprint
    #[arg(long, value_name = "SHA256:…", conflicts_with = "issuer")]
    fingerprint: Option<String>,
    /// Everything this issuer has signed and will sign
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// Whose certificates are meant, where the serial number or the key id is not enough
    #[arg(long, value_name = "ISSUER")]
    issuer_ref: Option<String>,
    /// For the record
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RestoreFlags {
    /// Number of the revocation, as `revocations` lists it
    id: u64,
}

pub(super) fn revoke(mount: &Mount<'_>, flags: &RevokeFlags, output: &Output) -> Result<()> {
    let public_key = flags.public_key.as_ref().map(|path| {
        fs::read_to_string(path)
            .map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))
    });
    let text = |value: &Option<String>| value.clone().map(Value::String);
    let path = mount.at("revoke");
    let ask = Ask::new(Verb::Post, &path).members([
        ("serial_number", text(&flags.serial)),
        ("first_serial_number", text(&flags.first)),
        ("last_serial_number", text(&flags.last)),
        ("key_id", text(&flags.key_id)),
        ("public_key", public_key.transpose()?.map(Value::String)),
        ("fingerprint", text(&flags.fingerprint)),
        ("issuer", text(&flags.issuer)),
        ("issuer_ref", text(&flags.issuer_ref)),
        ("reason", text(&flags.reason)),
    ]);
    output.answer(&mount.remote.send(&ask)?)
}

pub(super) fn list(mount: &Mount<'_>, output: &Output) -> Result<()> {
    let path = mount.at("revocations");
    let ask = Ask::new(Verb::List, &path);
    let answer = mount.remote.attempt(&ask)?;
    if answer.is_absent() && answer.errors().is_empty() {
        return output.rows(&[], &[], &json!({"keys": [], "key_info": {}}));
    }
    let answer = answer.successful(&ask, mount.remote.address())?;
    let data = answer.data();
    let keys = data.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = keys
        .iter()
        .filter_map(Value::as_str)
        .map(|id| {
            let member = |name: &str| {
                data.pointer(&format!("/key_info/{id}/{name}")).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let columns = ["kind", "target", "revocation_time_rfc3339", "requester", "reason"];
            std::iter::once(id.to_owned()).chain(columns.map(member)).collect()
        })
        .collect();
    output.rows(&["ID", "KIND", "WHAT", "REVOKED", "BY", "REASON"], &rows, data)
}

pub(super) fn restore(mount: &Mount<'_>, flags: &RestoreFlags, output: &Output) -> Result<()> {
    mount.remote.delete(&mount.at(&format!("revocation/{}", flags.id)))?;
    output.done(format!("Revocation {} is taken back.", flags.id))
}

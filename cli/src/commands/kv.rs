//! `kv`: key-value secrets without the `data/` in the path. Asks the server which version a mount is, as Vault's own
//! command line does, so `kv get secret/app` works on both.

use super::data::written;
use crate::{
    failure::{Failure, Result},
    output::{Output, print, table},
    parameters,
    remote::{Answer, Ask, Remote, Verb},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::io;

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Read a secret
    Get {
        #[command(flatten)]
        place: Place,
        /// An older version
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
    },
    /// Write a secret
    Put {
        #[command(flatten)]
        place: Place,
        /// key=value, key=@file, key=-, or a JSON object as @file or -
        #[arg(required = true)]
        parameters: Vec<String>,
        /// Only if the current version is this one; 0: only if there is none
        #[arg(long, value_name = "NUMBER")]
        cas: Option<u64>,
    },
    /// List secrets
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Delete a secret, or some of its versions
    Delete {
        #[command(flatten)]
        place: Place,
        /// Versions, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
        versions: Vec<u64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Such as secret/app, or app with --mount=secret
    path: String,
    /// The mount, where the path is below it
    #[arg(long)]
    mount: Option<String>,
}

/// A path split at its mount.
struct Location {
    mount: String,
    rest: String,
    versioned: bool,
}

pub(crate) fn run(remote: &Remote, command: &KvCommand, output: &Output) -> Result<()> {
    match command {
        KvCommand::Get { place, version } => get(remote, &locate(remote, place)?, *version, output),
        KvCommand::Put { place, parameters, cas } => {
            let location = locate(remote, place)?;
            put(remote, &location, parameters, *cas, output)
        }
        KvCommand::List { place } => list(remote, &locate(remote, place)?, output),
        KvCommand::Delete { place, versions } => delete(remote, &locate(remote, place)?, versions, output),
    }
}

fn get(remote: &Remote, location: &Location, version: Option<u64>, output: &Output) -> Result<()> {
    let path = location.at("data");
    let query = version.into_iter().map(|version| ("version".to_owned(), version.to_string())).collect();
    let ask = Ask { query, ..Ask::new(Verb::Read, &path) };
    let mut answer = found(remote, &ask)?;
    if !location.versioned {
        return output.answer(&answer);
    }
    if output.is_table() {
        return print(&sections(&path, answer.data()));
    }
    if output.wants_field() {
        // A field of a versioned secret is a member of the secret, not of the versions' envelope.
        if let Some(secret) = answer.json.pointer_mut("/data/data").map(Value::take)
            && let Some(data) = answer.json.get_mut("data")
        {
            *data = secret;
        }
    }
    output.answer(&answer)
}

fn put(remote: &Remote, location: &Location, words: &[String], cas: Option<u64>, output: &Output) -> Result<()> {
    let secret = parameters::parse(words, &mut io::stdin().lock())?;
    let path = location.at("data");
    if !location.versioned {
        let answer = remote.write(&path, secret)?;
        return written(&answer, &format!("Success! Data written to: {path}"), output);
    }
    let options: Map<String, Value> = cas.into_iter().map(|cas| ("cas".to_owned(), json!(cas))).collect();
    let answer = remote.write(&path, json!({"data": secret, "options": options}))?;
    if output.is_table() {
        return print(&sections(&path, &json!({"metadata": answer.data()})));
    }
    output.answer(&answer)
}

fn list(remote: &Remote, location: &Location, output: &Output) -> Result<()> {
    let path = location.at("metadata");
    let answer = found(remote, &Ask::new(Verb::List, &path))?;
    let names = answer.data().get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    output.names(&names)
}

fn delete(remote: &Remote, location: &Location, versions: &[u64], output: &Output) -> Result<()> {
    let path = location.at("data");
    let done = format!("Success! Data deleted (if it existed) at: {path}");
    let answer = match (location.versioned, versions.is_empty()) {
        (_, true) => remote.delete(&path)?,
        (true, false) => remote.write(&location.at("delete"), json!({"versions": versions}))?,
        (false, false) => {
            return Err(Failure::local(format!("{} keeps no versions", location.mount)).fix("leave out --versions"));
        }
    };
    written(&answer, &done, output)
}

fn found(remote: &Remote, ask: &Ask<'_>) -> Result<Answer> {
    let answer = remote.attempt(ask)?;
    if answer.is_absent() && answer.data().is_null() && answer.errors().is_empty() {
        return Err(Failure::remote(format!("No value found at {}", ask.path)));
    }
    answer.successful(ask, remote.address())
}

fn locate(remote: &Remote, place: &Place) -> Result<Location> {
    let asked = match &place.mount {
        Some(mount) => format!("{}/{}", mount.trim_matches('/'), place.path.trim_matches('/')),
        None => place.path.trim_matches('/').to_owned(),
    };
    let info = remote.read(&format!("sys/internal/ui/mounts/{asked}"))?.content();
    let mount = info.get("path").and_then(Value::as_str).unwrap_or_default().trim_matches('/').to_owned();
    let version = info.get("options").and_then(|options| options.get("version")).and_then(Value::as_str);
    let rest = asked.strip_prefix(&mount).unwrap_or(&asked).trim_matches('/').to_owned();
    Ok(Location { versioned: version == Some("2"), mount, rest })
}

impl Location {
    fn at(&self, kind: &str) -> String {
        let kind = if self.versioned { format!("/{kind}") } else { String::new() };
        format!("{}{kind}/{}", self.mount, self.rest).trim_end_matches('/').to_owned()
    }
}

/// A versioned secret for people: where it is, its metadata, its data.
fn sections(path: &str, data: &Value) -> String {
    let mut text = format!("== Secret Path ==\n{path}\n");
    for (title, member) in [("======= Metadata =======", "metadata"), ("== Data ==", "data")] {
        if let Some(object) = data.get(member).and_then(Value::as_object) {
            text.push_str(&format!("\n{title}\n{}", table::pairs(&table::sorted(object))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versioned_mounts_have_a_kind_in_the_path() {
        let mut location = Location { mount: "secret".into(), rest: "app/db".into(), versioned: true };
        assert_eq!(location.at("metadata"), "secret/metadata/app/db");
        location.versioned = false;
        assert_eq!(location.at("metadata"), "secret/app/db");
        location.rest = String::new();
        assert_eq!(location.at("data"), "secret");
    }
}

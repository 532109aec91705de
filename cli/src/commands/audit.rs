//! `audit`: enable, disable and list sinks. `audit verify` reads files and needs no server.

use crate::{
    failure::{Failure, Result},
    output::{Output, table},
    parameters,
    remote::{Ask, Remote, Verb},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Add a sink
    Enable {
        /// file or stdout
        kind: String,
        /// Options of the sink, such as file_path=/var/log/chancery/audit.jsonl
        options: Vec<String>,
        /// Name of the sink, if not its kind
        #[arg(long)]
        path: Option<String>,
        /// For people
        #[arg(long)]
        description: Option<String>,
        /// Never replicated
        #[arg(long)]
        local: bool,
    },
    /// Remove a sink
    Disable {
        /// Name of the sink
        path: String,
    },
    /// List the sinks
    List {
        /// Show the options
        #[arg(long)]
        detailed: bool,
    },
    /// Prove that nothing in an audit file was altered, dropped or reordered (exit code 0 whole, 4 broken)
    Verify(VerifyFlags),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    /// The audit file; where it was rotated, its parts from the oldest to the newest
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// PEM file of the public key the checkpoints must be signed with; else the keys the file names are shown
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
}

pub(crate) fn run(remote: &Remote, command: &AuditCommand, output: &Output) -> Result<()> {
    match command {
        AuditCommand::Enable { kind, options, path, description, local } => {
            let name = path.as_deref().unwrap_or(kind).trim_matches('/');
            let options = parameters::pairs(options)?;
            remote.send(&Ask::new(Verb::Write, &format!("sys/audit/{name}")).members([
                ("type", Some(json!(kind))),
                ("options", Some(Value::Object(options))),
                ("description", description.as_ref().map(|text| json!(text))),
                ("local", local.then_some(json!(true))),
            ]))?;
            output.done(format!("Success! Enabled the {kind} audit device at: {name}/"))
        }
        AuditCommand::Disable { path } => {
            remote.delete(&format!("sys/audit/{}", path.trim_matches('/')))?;
            output.done(format!("Success! Disabled audit device (if it was enabled) at: {}/", path.trim_matches('/')))
        }
        AuditCommand::List { detailed } => list(remote, *detailed, output),
        AuditCommand::Verify(_) => Err(Failure::local("audit verify reads files, it does not ask a server")),
    }
}

fn list(remote: &Remote, detailed: bool, output: &Output) -> Result<()> {
    let sinks = Value::Object(remote.read("sys/audit")?.content());
    let entries = sinks.as_object().map(|sinks| sinks.iter().collect::<Vec<_>>()).unwrap_or_default();
    if entries.is_empty() {
        return Err(Failure::remote("No audit devices are enabled.")
            .fix("chancery audit enable file file_path=/var/log/chancery/audit.jsonl"));
    }
    let cell = |sink: &Value, name: &str| table::cell(sink.get(name).unwrap_or(&Value::Null));
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|(path, sink)| {
            let mut row = vec![(*path).clone(), cell(sink, "type"), cell(sink, "description")];
            if detailed {
                row.push(cell(sink, "options"));
            }
            row
        })
        .collect();
    let headings: &[&str] =
        if detailed { &["Path", "Type", "Description", "Options"] } else { &["Path", "Type", "Description"] };
    output.rows(headings, &rows, &sinks)
}

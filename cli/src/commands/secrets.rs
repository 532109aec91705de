//! `secrets`: mount, unmount, list, tune and move engines.

use super::mount::{self, EnableFlags, TuneFlags};
use crate::{
    failure::Result,
    output::Output,
    remote::{Ask, Remote, Verb},
};
use clap::Subcommand;
use serde_json::json;

const ROOT: &str = "sys/mounts";

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Mount an engine
    Enable(Enable),
    /// Unmount an engine and delete all it holds
    Disable {
        /// Path of the mount
        path: String,
    },
    /// List the mounts
    List {
        /// Show every setting
        #[arg(long)]
        detailed: bool,
    },
    /// Change a mount
    Tune(Tune),
    /// Move a mount to another path
    Move {
        /// Where it is
        source: String,
        /// Where it shall be
        destination: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Enable {
    #[command(flatten)]
    flags: EnableFlags,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tune {
    /// Path of the mount
    path: String,
    #[command(flatten)]
    flags: TuneFlags,
}

pub(crate) fn run(remote: &Remote, command: &SecretsCommand, output: &Output) -> Result<()> {
    match command {
        SecretsCommand::Enable(Enable { flags }) => {
            let (path, kind) = (mount::enable(remote, ROOT, flags)?, flags.kind());
            output.done(format!("Success! Enabled the {kind} secrets engine at: {path}/"))
        }
        SecretsCommand::Disable { path } => {
            remote.delete(&format!("{ROOT}/{}", path.trim_matches('/')))?;
            output.done(format!("Success! Disabled the secrets engine (if it existed) at: {}/", path.trim_matches('/')))
        }
        SecretsCommand::List { detailed } => mount::list(remote, ROOT, *detailed, output),
        SecretsCommand::Tune(Tune { path, flags }) => {
            mount::tune(remote, ROOT, path, flags)?;
            output.done(format!("Success! Tuned the secrets engine at: {}/", path.trim_matches('/')))
        }
        SecretsCommand::Move { source, destination } => {
            remote.send(&Ask::new(Verb::Post, "sys/remount").body(json!({"from": source, "to": destination})))?;
            output.done(format!("Success! Moved {}/ to {}/", source.trim_matches('/'), destination.trim_matches('/')))
        }
    }
}

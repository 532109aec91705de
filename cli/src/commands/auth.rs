//! `auth`: mount, unmount, list and tune login methods.

use super::mount::{self, EnableFlags, TuneFlags};
use crate::{failure::Result, output::Output, remote::Remote};
use clap::Subcommand;

const ROOT: &str = "sys/auth";

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Mount a login method
    Enable(Enable),
    /// Unmount a login method and revoke every token it gave
    Disable {
        /// Path of the mount
        path: String,
    },
    /// List the login methods
    List {
        /// Show every setting
        #[arg(long)]
        detailed: bool,
    },
    /// Change a login method's mount
    Tune(Tune),
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

pub(crate) fn run(remote: &Remote, command: &AuthCommand, output: &Output) -> Result<()> {
    match command {
        AuthCommand::Enable(Enable { flags }) => {
            let (path, kind) = (mount::enable(remote, ROOT, flags)?, flags.kind());
            output.done(format!("Success! Enabled {kind} auth method at: {path}/"))
        }
        AuthCommand::Disable { path } => {
            let path = path.trim_matches('/');
            let path = path.strip_prefix("auth/").unwrap_or(path);
            remote.delete(&format!("{ROOT}/{path}"))?;
            output.done(format!("Success! Disabled the auth method (if it existed) at: {path}/"))
        }
        AuthCommand::List { detailed } => mount::list(remote, ROOT, *detailed, output),
        AuthCommand::Tune(Tune { path, flags }) => {
            let path = path.trim_matches('/');
            mount::tune(remote, ROOT, path.strip_prefix("auth/").unwrap_or(path), flags)?;
            output.done(format!("Success! Tuned the auth method at: {path}/"))
        }
    }
}

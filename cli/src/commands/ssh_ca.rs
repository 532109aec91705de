//! `ssh-ca`: the SSH certificate authority, for its operators and for the hosts that trust it.
//!
//! | file | command |
//! |---|---|
//! | `inventory.rs` | `list`, `show`: what was signed |
//! | `revoke.rs` | `revoke`, `revocations`, `restore` |
//! | `pull.rs` | `krl pull`, `trust pull`: what sshd reads, replaced whole or not at all |
//! | `rotate.rs` | `rotate`: another CA key, step by step, with what to do on hosts |
//! | `host.rs` | `host enrol`, `host renew`: a host's own certificate and configuration |

mod host;
mod inventory;
pub(super) mod pull;
mod revoke;
mod rotate;

use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{Answer, Ask, Remote, Verb},
};
use clap::{Args, Subcommand};
use serde_json::Value;

#[derive(Debug, Args)]
pub(crate) struct SshCaFlags {
    /// Where the SSH engine is mounted
    #[arg(long, global = true, default_value = "ssh", value_name = "PATH")]
    mount: String,
    #[command(subcommand)]
    command: SshCaCommand,
}

#[derive(Debug, Subcommand)]
enum SshCaCommand {
    /// List the certificates that were signed
    List(Box<inventory::ListFlags>),
    /// Show one certificate
    Show(inventory::ShowFlags),
    /// Revoke certificates, a key or a whole CA; hosts learn it with their next `krl pull`
    Revoke(Box<revoke::RevokeFlags>),
    /// List what is revoked
    Revocations,
    /// Take a revocation back
    Restore(revoke::RestoreFlags),
    /// Key revocation lists
    #[command(subcommand)]
    Krl(pull::KrlCommand),
    /// The CA keys hosts shall trust
    #[command(subcommand)]
    Trust(pull::TrustCommand),
    /// Replace a CA's key step by step; says what to do on hosts
    #[command(subcommand)]
    Rotate(rotate::RotateCommand),
    /// A host's own certificate
    #[command(subcommand)]
    Host(host::HostCommand),
}

/// An SSH mount of a server.
pub(super) struct Mount<'a> {
    pub(super) remote: &'a Remote,
    pub(super) path: &'a str,
}

pub(crate) fn run(remote: &Remote, flags: &SshCaFlags, output: &Output) -> Result<()> {
    let mount = &Mount { remote, path: flags.mount.trim_matches('/') };
    match &flags.command {
        SshCaCommand::List(flags) => inventory::list(mount, flags, output),
        SshCaCommand::Show(flags) => inventory::show(mount, flags, output),
        SshCaCommand::Revoke(flags) => revoke::revoke(mount, flags, output),
        SshCaCommand::Revocations => revoke::list(mount, output),
        SshCaCommand::Restore(flags) => revoke::restore(mount, flags, output),
        SshCaCommand::Krl(pull::KrlCommand::Pull(flags)) => pull::krl(mount, flags, output),
        SshCaCommand::Trust(pull::TrustCommand::Pull(flags)) => pull::trust(mount, flags, output),
        SshCaCommand::Rotate(command) => rotate::run(mount, command, output),
        SshCaCommand::Host(command) => host::run(mount, command, output),
    }
}

impl Mount<'_> {
    /// A path below the mount.
    pub(super) fn at(&self, tail: &str) -> String {
        format!("{}/{tail}", self.path)
    }

    pub(super) fn post(&self, tail: &str, body: impl Into<Value>) -> Result<Answer> {
        self.remote.send(&Ask::new(Verb::Post, &self.at(tail)).body(body))
    }

    pub(super) fn read(&self, tail: &str) -> Result<Answer> {
        self.remote.read(&self.at(tail))
    }

    /// The tail of a public document: of one issuer, or of the default.
    pub(super) fn of_issuer(issuer: Option<&str>, tail: &str) -> String {
        issuer.map_or_else(|| tail.to_owned(), |issuer| format!("issuer/{issuer}/{tail}"))
    }
}

/// A text the answer must have.
pub(super) fn text<'a>(answer: &'a Answer, member: &str) -> Result<&'a str> {
    answer.data().get(member).and_then(Value::as_str).ok_or_else(|| {
        Failure::remote(format!("the answer has no {member:?}"))
            .because("an SSH engine would have sent it")
            .fix("is the SSH engine mounted there? See: chancery secrets list, and --mount")
    })
}

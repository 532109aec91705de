//! `lease`: look up, renew and revoke what expires.

use super::data::written;
use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::Remote,
};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// Show a lease
    Lookup {
        /// Its id
        id: String,
    },
    /// Extend a lease
    Renew {
        /// Its id
        id: String,
        /// How long
        #[arg(short, long, value_name = "DURATION")]
        increment: Option<String>,
    },
    /// End a lease, or all below a prefix
    Revoke {
        /// Its id, or a prefix with --prefix
        id: String,
        /// The argument is a prefix
        #[arg(long)]
        prefix: bool,
        /// Forget the leases even if what they stand for cannot be revoked; with --prefix
        #[arg(long)]
        force: bool,
        /// Wait until it is done
        #[arg(long)]
        sync: bool,
    },
}

pub(crate) fn run(remote: &Remote, command: &LeaseCommand, output: &Output) -> Result<()> {
    match command {
        LeaseCommand::Lookup { id } => output.answer(&remote.write("sys/leases/lookup", json!({"lease_id": id}))?),
        LeaseCommand::Renew { id, increment } => {
            let mut body = json!({"lease_id": id});
            if let (Some(increment), Some(body)) = (increment, body.as_object_mut()) {
                body.insert("increment".to_owned(), json!(increment));
            }
            output.answer(&remote.write("sys/leases/renew", body)?)
        }
        LeaseCommand::Revoke { id, prefix, force, sync } => {
            let (path, body, what) = match (prefix, force) {
                (true, true) => (format!("sys/leases/revoke-force/{id}"), json!({}), "any leases with prefix"),
                (true, false) => {
                    (format!("sys/leases/revoke-prefix/{id}"), json!({"sync": sync}), "any leases with prefix")
                }
                (false, false) => {
                    ("sys/leases/revoke".to_owned(), json!({"lease_id": id, "sync": sync}), "lease (if it existed)")
                }
                (false, true) => return Err(Failure::local("--force goes with --prefix")),
            };
            let answer = remote.write(&path, body)?;
            written(&answer, &format!("Success! Revoked {what}: {id}"), output)
        }
    }
}

//! `bulk`: work over many ciphertexts at once.
//!
//! | file | what |
//! |---|---|
//! | `rewrap.rs` | `bulk rewrap`: the loop, read from top to bottom |
//! | `server.rs` | batches to the server, several at once, asked again when it stumbles |
//! | `file.rs`, `records.rs` | ciphertexts in a file: a line each, or a column of CSV or JSON lines |
//! | `table.rs`, `postgres.rs` | ciphertexts in a column of a PostgreSQL table |
//! | `state.rs` | where a run that was cut short goes on |
//! | `progress.rs` | a bar for people, a line now and then for logs |

mod file;
mod postgres;
mod progress;
mod records;
mod rewrap;
mod server;
mod state;
mod table;

use crate::{failure::Result, output::Output, remote::Remote};
use clap::Subcommand;
use rewrap::RewrapFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum BulkCommand {
    /// Bring the ciphertexts of a file or of a PostgreSQL column to the newest version of their key
    Rewrap(Box<RewrapFlags>),
}

pub(crate) fn run(remote: &Remote, command: &BulkCommand, output: &Output) -> Result<()> {
    match command {
        BulkCommand::Rewrap(flags) => rewrap::run(remote, flags, output),
    }
}

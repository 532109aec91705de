//! `chancery`: the server, and the command line that speaks to one.
//!
//! | from | to |
//! |---|---|
//! | [`invocation`] | the words of the command line, in Go's dialect where we are called `vault` or `bao` |
//! | [`arguments`] | the tree of commands and flags |
//! | [`commands`] | what each command does; `commands/appliance` is the part that runs a server in this process |
//! | [`mod@bench`] | the load generator |
//! | [`remote`] | connection settings, TLS, retries, answers |
//! | [`output`] | table, JSON, YAML, raw, one field |
//! | [`failure`] | what went wrong, why, what to do, and the exit code |

mod arguments;
mod bench;
mod commands;
mod environment;
mod failure;
mod invocation;
mod output;
mod parameters;
mod prompt;
mod remote;
mod token_file;

use arguments::Arguments;
use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// A request makes a few dozen small allocations on one thread and frees them on the same or another, which this
/// allocator is made for; and it gives what a request of megabytes took back to the system at once, where others keep
/// several times as much. SQLite, AWS-LC and PKCS#11 modules use it too: it stands in for the C library's. Secrets are
/// wiped before they are freed, whoever frees them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let words = invocation::arguments(std::env::args_os().collect(), &Arguments::command());
    let outcome = match Arguments::try_parse_from(words) {
        Ok(arguments) => commands::run(&arguments),
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(failure::LOCAL) };
        }
    };
    outcome.unwrap_or_else(|failure| {
        // A closed stream is no further failure to report.
        let _ = if failure.exit == 0 {
            writeln!(io::stdout(), "{}", failure.what)
        } else {
            writeln!(io::stderr(), "{failure}")
        };
        ExitCode::from(failure.exit)
    })
}

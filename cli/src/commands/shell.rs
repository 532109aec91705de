//! What the command line says about itself: version, completions, manual pages, the token in use.

use crate::{
    arguments::Arguments,
    environment,
    failure::{Failure, Result},
    invocation,
    output::{Output, print as print_line},
    token_file,
};
use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum PrintCommand {
    /// The token commands use
    Token,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionFlags {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManFlags {
    /// Where to write them
    directory: PathBuf,
}

pub(crate) fn print(command: &PrintCommand) -> Result<()> {
    match command {
        PrintCommand::Token => match environment::setting("TOKEN") {
            Some(token) => print_line(&token),
            None => print_line(&token_file::read()?.unwrap_or_default()),
        },
    }
}

/// Our version, and the one whose API we speak. Test suites of clients look for the second in the place Vault prints it.
pub(crate) fn version() -> Result<()> {
    let (ours, api) = (env!("CARGO_PKG_VERSION"), chancery_server::API_VERSION);
    print_line(&if invocation::in_disguise() {
        format!("Vault v{api} (Chancery {ours})")
    } else {
        format!("Chancery v{ours} (API of Vault v{api})")
    })
}

pub(crate) fn completions(flags: &CompletionFlags) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Arguments::command(), "chancery", &mut script);
    print_line(&String::from_utf8_lossy(&script))
}

pub(crate) fn manual(flags: &ManFlags, output: &Output) -> Result<()> {
    let directory = flags.directory.display();
    let wrong = |error| Failure::local(format!("cannot write manual pages to {directory}")).because(error);
    std::fs::create_dir_all(&flags.directory).map_err(wrong)?;
    clap_mangen::generate_to(Arguments::command(), &flags.directory).map_err(wrong)?;
    output.done(format!("Manual pages written to {directory}"))
}

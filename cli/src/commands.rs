//! One file per noun. A command is a clap struct beside the function that runs it.
//!
//! To add one: its variant in [`Command`], its file here, its line in [`run`], its section in `docs/cli.md`.

pub(crate) mod acme;
pub(crate) mod appliance;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod bulk;
pub(crate) mod ca;
pub(crate) mod data;
pub(crate) mod kv;
pub(crate) mod lease;
pub(crate) mod login;
mod mount;
pub(crate) mod operator;
pub(crate) mod policy;
pub(crate) mod secrets;
pub(crate) mod shell;
pub(crate) mod ssh;
pub(crate) mod ssh_ca;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod transit;

use crate::{
    arguments::{Arguments, Command},
    bench,
    failure::{Failure, Result},
    output::Output,
    remote::{Remote, connection},
};
use std::process::ExitCode;

/// Runs a command to its exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let output = Output::new(&arguments.output)?;
    let output = &output;
    match &arguments.command {
        Command::Dev(flags) => return appliance::dev::run(flags, output),
        Command::Server(flags) => return appliance::server::run(flags, output),
        Command::Doctor(flags) => return appliance::doctor::run(flags, output),
        Command::Init(flags) => appliance::init::run(flags, output)?,
        Command::Audit(audit::AuditCommand::Verify(flags)) => return appliance::audit_verify::run(flags, output),
        Command::Policy(policy::PolicyCommand::Fmt(flags)) => policy::format(flags, output)?,
        Command::Print(command) => shell::print(command)?,
        Command::Version => shell::version()?,
        Command::Completions(flags) => shell::completions(flags)?,
        Command::Man(flags) => shell::manual(flags, output)?,
        Command::Bench(command) => bench::run(command, &arguments.connection, output)?,
        Command::Ssh(command) => ssh::run(command, &arguments.connection, output)?,
        remote => return over_http(remote, &arguments.connection, output),
    }
    Ok(ExitCode::SUCCESS)
}

fn over_http(command: &Command, flags: &connection::ConnectionFlags, output: &Output) -> Result<ExitCode> {
    let remote = Remote::new(flags)?;
    match command {
        Command::Status => return status::run(&remote, output),
        Command::Login(flags) => login::run(remote, flags, output)?,
        Command::Operator(command) => operator::run(&remote, command, output)?,
        Command::Secrets(command) => secrets::run(&remote, command, output)?,
        Command::Auth(command) => auth::run(&remote, command, output)?,
        Command::Policy(command) => policy::run(&remote, command, output)?,
        Command::Token(command) => token::run(&remote, command, output)?,
        Command::Lease(command) => lease::run(&remote, command, output)?,
        Command::Audit(command) => audit::run(&remote, command, output)?,
        Command::Read(flags) => data::read(&remote, flags, output)?,
        Command::Write(flags) => data::write(&remote, flags, output)?,
        Command::List(flags) => data::list(&remote, flags, output)?,
        Command::Delete(flags) => data::delete(&remote, flags, output)?,
        Command::Patch(flags) => data::patch(&remote, flags, output)?,
        Command::Unwrap(flags) => data::unwrap(remote, flags, output)?,
        Command::Kv(command) => kv::run(&remote, command, output)?,
        Command::Bulk(command) => bulk::run(&remote, command, output)?,
        Command::SshCa(flags) => ssh_ca::run(&remote, flags, output)?,
        Command::Acme(flags) => acme::run(&remote, flags, output)?,
        Command::Ca(flags) => return ca::run(&remote, flags, output),
        Command::Transit(flags) => return transit::run(&remote, flags, output),
        Command::PathHelp(flags) => data::path_help(&remote, flags, output)?,
        local => return Err(Failure::local(format!("this command does not speak HTTP: {local:?}"))),
    }
    Ok(ExitCode::SUCCESS)
}

//! `dev -- COMMAND`: one command with the server's address and token in its environment.

use super::super::server::listen;
use crate::failure::{Failure, Result};
use std::{os::unix::process::ExitStatusExt as _, process::ExitCode, time::Duration};
use tokio::{process::Command, runtime::Runtime, signal::unix::SignalKind};

/// A command that was asked to stop gets this long before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the command to its end and gives its exit status, as a shell would.
pub(super) fn run(runtime: &Runtime, words: &[String], environment: &[(String, String)]) -> Result<ExitCode> {
    let [program, arguments @ ..] = words else { return Err(Failure::local("there is no command to run")) };
    runtime.block_on(async {
        let mut terminate = listen(SignalKind::terminate())?;
        // The terminal sends the interrupt to the command as well; we only must not die before it.
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env_remove("CHANCERY_DEV_STATE")
            .env_remove("CHANCERY_DEV_TEMPORARY")
            .spawn()
            .map_err(|error| Failure::local(format!("cannot run {program}")).because(error))?;
        let status = tokio::select! {
            status = child.wait() => status,
            _ = interrupt.recv() => child.wait().await,
            _ = terminate.recv() => match tokio::time::timeout(GRACE, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    child.start_kill()?;
                    child.wait().await
                }
            },
        }
        .map_err(|error| Failure::local(format!("{program} was lost")).because(error))?;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    })
}

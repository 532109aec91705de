//! The commands that run or examine an appliance in this process instead of asking one over HTTP.
//!
//! | file | command |
//! |---|---|
//! | `server.rs` | `server`, and `server --dev` as Vault has it |
//! | `dev.rs` | `dev`: a private SoftHSM token, TLS, everything mounted |
//! | `init.rs` | `init`: from an HSM and a PIN to a configuration and recovery shares |
//! | `doctor.rs` | `doctor`: what is wrong with this installation |
//! | `audit_verify.rs` | `audit verify` |

pub(crate) mod audit_verify;
pub(crate) mod dev;
pub(crate) mod doctor;
mod files;
pub(crate) mod init;
pub(crate) mod server;

use crate::{
    environment,
    failure::{Failure, Result},
};
use std::io::{self, IsTerminal as _};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// The threads an appliance runs on.
fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local("cannot start threads").because(error))
}

/// Sends the log to standard error: text for a terminal, JSON lines for a journal. The flag wins over the environment
/// (`CHANCERY_LOG`), the environment over the configuration.
fn log(flag: Option<&str>, configured: Option<&str>) -> Result<()> {
    let set = environment::setting("LOG").or_else(|| environment::setting("LOG_LEVEL"));
    let text = flag.map(str::to_owned).or(set).or_else(|| configured.map(str::to_owned));
    let text = text.as_deref().unwrap_or("info");
    // A database that goes away says so on every connection; the store tells it once.
    let text = if text.eq_ignore_ascii_case("info") { "info,tokio_postgres=warn" } else { text };
    let filter = EnvFilter::try_new(text.to_ascii_lowercase()).map_err(|error| {
        Failure::local(format!("cannot read the log level {text:?}"))
            .because(error)
            .fix("write error, warn, info, debug or trace")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let outcome =
        if io::stderr().is_terminal() { builder.try_init() } else { builder.json().flatten_event(true).try_init() };
    outcome.map_err(|error| Failure::local("the log cannot be set up").because(error))
}

//! `dev`: an appliance for a laptop, in seconds: a private SoftHSM token with a random PIN, TLS with a CA of its own beside
//! plain HTTP on the loopback address, every engine mounted, a CA with its keys in the token.
//!
//! SoftHSM reads `SOFTHSM2_CONF` when the module is loaded, and a process cannot change its own environment safely, so
//! the command prepares the state directory ([`state`]) and then executes itself again with the variable set.

mod acme;
mod child;
pub(in super::super) mod setup;
mod show;
mod state;

use super::server;
use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::Remote,
};
use chancery_server::{Appliance, config::Config, hardening};
use clap::Args;
use jiff::Timestamp;
use state::State;
use std::{net::IpAddr, path::PathBuf, process::ExitCode, time::Instant};

#[derive(Debug, Args)]
pub(crate) struct DevFlags {
    /// Port of the plain listener, 0 for a free one [default: 8200, or a free one if that is taken]
    #[arg(long)]
    port: Option<u16>,
    /// Address of this machine to listen on; only loopback addresses are accepted
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Text of the root token
    #[arg(long, default_value = "root", value_name = "TEXT")]
    root_token: String,
    /// Keep everything in this directory and go on with it the next time
    #[arg(long, value_name = "DIR")]
    persist: Option<PathBuf>,
    /// Do not keep the root token in the token file
    #[arg(long)]
    no_store: bool,
    /// Let the server's clock stand at this moment (RFC 3339), for tests: what it issues begins then, and nothing expires
    #[arg(long, value_name = "TIME")]
    clock: Option<Timestamp>,
    #[command(flatten)]
    acme: acme::AcmeFlags,
    /// What to log [env: CHANCERY_LOG] [default: warn]
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// Run this command with the server's address and token in its environment, then stop and exit as it did
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(flags: &DevFlags, output: &Output) -> Result<ExitCode> {
    if !flags.host.is_loopback() {
        return Err(Failure::local(format!("dev does not listen on {}", flags.host))
            .because("its root token is no secret, so only this machine may reach it")
            .fix("use a loopback address; for anything else: chancery init"));
    }
    let Some(state) = State::entered() else {
        return State::prepare(flags.persist.as_deref()).and_then(State::enter);
    };
    let began = Instant::now();
    super::log(flags.log_level.as_deref(), Some("warn"))?;
    chancery_server::hide_panic_texts();
    for remark in hardening::harden() {
        tracing::warn!("{remark}");
    }
    let mut config = Config::read(&state.configuration(flags.host, flags.port)?)
        .map_err(|error| Failure::local("the development configuration cannot be used").because(error))?;
    config.settings.acme = flags.acme.knobs();
    config.settings.fixed_clock = flags.clock;
    let runtime = super::runtime()?;
    let appliance = runtime.block_on(Appliance::start(config)).map_err(server::refused)?;
    let place = prepare(&appliance, flags, &state)?;
    if flags.command.is_empty() {
        if !flags.no_store {
            setup::keep_token(&place.token, output)?;
        }
        show::banner(&place, &state, began.elapsed())?;
        server::until_told(&runtime, appliance)?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = child::run(&runtime, &flags.command, &place.environment());
    runtime.block_on(appliance.shutdown());
    status
}

/// Where a development server is and how to use it.
struct Place {
    plain: String,
    tls: String,
    token: String,
    authority: PathBuf,
    softhsm: PathBuf,
    root_fingerprint: Option<String>,
}

impl Place {
    /// What a client needs in its environment, in each of the three spellings.
    fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![("SOFTHSM2_CONF".to_owned(), self.softhsm.display().to_string())];
        let authority = self.authority.display().to_string();
        for prefix in ["CHANCERY", "BAO", "VAULT"] {
            for (name, value) in [("ADDR", &self.plain), ("TOKEN", &self.token), ("CACERT", &authority)] {
                variables.push((format!("{prefix}_{name}"), value.clone()));
            }
        }
        variables.push(("CHANCERY_DEV_TLS_ADDR".to_owned(), self.tls.clone()));
        variables.push(("CHANCERY_ACME_DIRECTORY".to_owned(), acme::directory(&self.tls)));
        variables
    }
}

/// Initializes and mounts on the first start; later starts find it all there.
fn prepare(appliance: &Appliance, flags: &DevFlags, state: &State) -> Result<Place> {
    let plain = setup::plain_address(appliance)?;
    let remote = Remote::local(&plain, None)?;
    let initialized = remote.read("sys/init")?.json.get("initialized") == Some(&serde_json::json!(true));
    let token = if initialized {
        flags.root_token.clone()
    } else {
        let made = setup::initialize(&remote)?;
        state.keep_recovery_key(&made.unseal_key)?;
        let remote = Remote::local(&plain, Some(made.root_token))?;
        let token = setup::fixed_root_token(&remote, &flags.root_token)?;
        setup::mount_everything(&Remote::local(&plain, Some(token.clone()))?)?;
        token
    };
    let remote = remote.with_token(Some(token.clone()));
    let tls = setup::address(appliance, true).unwrap_or_default();
    // The ports may be others than last time.
    acme::serve(&remote, &tls)?;
    Ok(Place {
        tls,
        plain,
        token,
        authority: state.authority(),
        softhsm: state.softhsm(),
        root_fingerprint: show::root_fingerprint(&remote),
    })
}

//! `server`: runs an appliance until it is told to stop. SIGHUP reads certificates again and opens audit files anew,
//! SIGTERM and SIGINT stop it after the requests under way; systemd is told about each.
//!
//! `server --dev` is Vault's development server for test suites that start one: memory only, plain HTTP, unsealed, with a
//! root token of a known name and `secret/` mounted. Ours is [`dev`](super::dev).

use super::dev::setup;
use crate::{
    failure::{Failure, Result},
    invocation,
    output::{Output, print},
    remote::Remote,
};
use chancery_server::{Appliance, config::Config, hardening};
use clap::Args;
use sd_notify::NotifyState;
use serde_json::{Map, Value, json};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// Configuration: .toml is ours, .hcl and .json are shaped like Vault's; several are put together
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    config: Vec<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter per module [env: CHANCERY_LOG]
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// Vault's development server: memory only, plain HTTP, unsealed
    #[arg(long, conflicts_with = "config")]
    dev: bool,
    /// Text of the root token
    #[arg(long, value_name = "TOKEN", requires = "dev")]
    dev_root_token_id: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8200", requires = "dev")]
    dev_listen_address: String,
    /// Do not keep the root token in the token file
    #[arg(long, requires = "dev")]
    dev_no_store_token: bool,
}

pub(crate) fn run(flags: &ServerFlags, output: &Output) -> Result<ExitCode> {
    // Before the first secret: a configuration shaped like Vault's may hold the PIN itself.
    let mut remarks = hardening::harden();
    hardening::keep_files_private();
    let config = if flags.dev { vault_dev(flags)? } else { configuration(&flags.config)? };
    if config.lock_memory {
        remarks.extend(hardening::lock_memory());
    }
    super::log(flags.log_level.as_deref(), config.log_level.as_deref())?;
    chancery_server::hide_panic_texts();
    for warning in config.warnings.iter().chain(&remarks) {
        tracing::warn!("{warning}");
    }
    let runtime = super::runtime()?;
    let appliance = runtime.block_on(Appliance::start(config)).map_err(refused)?;
    if flags.dev {
        prepare(&appliance, flags, output)?;
    }
    // Test suites and service managers wait for this line; it is the one Vault prints.
    let server = if invocation::in_disguise() { "Vault" } else { "Chancery" };
    print(&format!("==> {server} server started! Log data will stream in below:\n"))?;
    until_told(&runtime, appliance)?;
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal asks for the end, and ends in order.
pub(super) fn until_told(runtime: &Runtime, appliance: Appliance) -> Result<()> {
    runtime.block_on(async {
        let mut hangup = listen(SignalKind::hangup())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        tell(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    tracing::info!("reloading certificates and audit files");
                    if let Ok(now) = NotifyState::monotonic_usec_now() {
                        tell(&[NotifyState::Reloading, now]);
                    }
                    appliance.reload().await;
                    tell(&[NotifyState::Ready]);
                }
            }
        }
        tracing::info!("stopping");
        tell(&[NotifyState::Stopping]);
        appliance.shutdown().await;
        Ok(())
    })
}

pub(super) fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| Failure::local("cannot listen for signals").because(error))
}

/// A start that was refused explains itself in one line.
pub(super) fn refused(error: chancery_server::StartError) -> Failure {
    Failure::local("the server did not start").because(error)
}

fn tell(states: &[NotifyState]) {
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "sd_notify");
    }
}

/// Reads one file, or puts several of a kind together.
fn configuration(paths: &[PathBuf]) -> Result<Config> {
    let wrong = |error| Failure::local("the configuration cannot be used").because(error);
    let files = expanded(paths)?;
    let [first, rest @ ..] = files.as_slice() else {
        return Err(Failure::local("there is no configuration file").fix("give --config FILE"));
    };
    if rest.is_empty() {
        return Config::read(first).map_err(wrong);
    }
    let kind = |path: &Path| path.extension().and_then(|text| text.to_str()).unwrap_or("toml").to_owned();
    if rest.iter().any(|path| kind(path) != kind(first)) {
        return Err(Failure::local("configuration files of different kinds cannot be put together")
            .fix("give files with the same ending"));
    }
    let texts = files.iter().map(|path| super::files::read(path)).collect::<Result<Vec<_>>>()?;
    match kind(first).as_str() {
        "json" => Config::from_vault(&merged(&texts)?),
        "hcl" => Config::from_vault(&texts.join("\n")),
        _ => Config::from_toml(&texts.join("\n"), first.parent().unwrap_or(Path::new("."))),
    }
    .map_err(wrong)
}

/// A directory stands for the configuration files in it, by name.
fn expanded(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let wrong = |error| Failure::local(format!("cannot read {}", path.display())).because(error);
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(wrong)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|kind| kind == "toml" || kind == "hcl" || kind == "json"))
            .collect();
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn merged(texts: &[String]) -> Result<String> {
    let mut whole = Map::new();
    for text in texts {
        let part: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| Failure::local("a configuration file is not a JSON object").because(error))?;
        whole.extend(part);
    }
    Ok(Value::Object(whole).to_string())
}

fn vault_dev(flags: &ServerFlags) -> Result<Config> {
    let text = format!(
        "storage.url = \"memory:\"\nlog_level = \"warn\"\ndisable_mlock = true\nlistener.plain = {{ address = {} }}\n",
        json!(flags.dev_listen_address)
    );
    Config::from_toml(&text, Path::new("."))
        .map_err(|error| Failure::local("the development server cannot be set up").because(error))
}

/// Initializes, unseals and mounts what Vault's development server has.
fn prepare(appliance: &Appliance, flags: &ServerFlags, output: &Output) -> Result<()> {
    let address = setup::plain_address(appliance)?;
    let remote = Remote::local(&address, None)?;
    let made = setup::initialize(&remote)?;
    let remote = remote.with_token(Some(made.root_token.clone()));
    let token = match &flags.dev_root_token_id {
        None => made.root_token.clone(),
        Some(id) => setup::fixed_root_token(&remote, id)?,
    };
    let remote = remote.with_token(Some(token.clone()));
    setup::mount(
        &remote,
        "secret",
        &json!({"type": "kv", "options": {"version": "2"}, "description": "key/value secret storage"}),
    )?;
    if !flags.dev_no_store_token {
        setup::keep_token(&token, output)?;
    }
    print(&format!(
        "WARNING! dev mode is enabled: everything is in memory and gone when this stops.\n\n    \
         export VAULT_ADDR='{address}'\n\nUnseal Key: {}\nRoot Token: {token}\n",
        made.unseal_key
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_different_kinds_are_not_mixed() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a.hcl", "b.toml"].map(|name| directory.path().join(name));
        for path in &paths {
            std::fs::write(path, "").unwrap();
        }
        assert!(configuration(&paths).unwrap_err().to_string().contains("different kinds"));
        assert!(configuration(&[]).is_err());
    }

    #[test]
    fn json_files_are_put_together_by_member() {
        let whole = merged(&[r#"{"a": 1}"#.to_owned(), r#"{"b": 2, "a": 3}"#.to_owned()]).unwrap();
        assert_eq!(whole, r#"{"a":3,"b":2}"#);
        assert!(merged(&["[]".to_owned()]).is_err());
    }

    #[test]
    fn the_development_configuration_is_valid() {
        let flags = ServerFlags {
            config: Vec::new(),
            log_level: None,
            dev: true,
            dev_root_token_id: None,
            dev_listen_address: "127.0.0.1:0".to_owned(),
            dev_no_store_token: true,
        };
        assert_eq!(vault_dev(&flags).unwrap().listeners.len(), 1);
    }
}

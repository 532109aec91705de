//! `init`: from an HSM and a PIN to a running installation: finds the PKCS#11 module, writes the configuration, makes the
//! key-encryption key in the token, seals a fresh database with it, and prints the recovery shares once.
//!
//! Everything can be given by flags; at a terminal, what is missing is asked for.

use super::{files, server};
use crate::{
    failure::{Failure, Result},
    output::{Output, print, table},
    prompt,
    remote::Remote,
};
use chancery_server::{
    Appliance,
    config::{Config, find_module},
};
use clap::Args;
use serde_json::{Map, Value, json};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, Args)]
pub(crate) struct InitFlags {
    /// Where the configuration goes
    #[arg(long, default_value = "/etc/chancery", value_name = "DIR")]
    dir: PathBuf,
    /// Where the database and the audit log go [default: --dir]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Database instead of a file in --state-dir: postgres://USER@HOST:PORT/DATABASE, without a password
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// File that holds the database password
    #[arg(long, value_name = "FILE", requires = "storage", group = "database_password")]
    storage_password_file: Option<PathBuf>,
    /// Environment variable that holds the database password
    #[arg(long, value_name = "NAME", requires = "storage", group = "database_password")]
    storage_password_env: Option<String>,
    /// systemd credential that holds the database password
    #[arg(long, value_name = "NAME", requires = "storage", group = "database_password")]
    storage_password_credential: Option<String>,
    /// PEM file of the CA that the database's certificate comes from [default: the system's CAs]
    #[arg(long, value_name = "FILE", requires = "storage")]
    storage_ca: Option<PathBuf>,
    /// The database is in use already: write the configuration of one more server, initialize nothing
    #[arg(long, requires = "storage")]
    join: bool,
    /// PKCS#11 module: a path, or a name such as softhsm2
    #[arg(long)]
    module: Option<String>,
    /// Label of the token
    #[arg(long, value_name = "LABEL")]
    token: Option<String>,
    /// File that holds the PIN
    #[arg(long, value_name = "FILE", group = "pin")]
    pin_file: Option<PathBuf>,
    /// Environment variable that holds the PIN
    #[arg(long, value_name = "NAME", group = "pin")]
    pin_env: Option<String>,
    /// systemd credential that holds the PIN
    #[arg(long, value_name = "NAME", group = "pin")]
    pin_credential: Option<String>,
    /// Address to serve
    #[arg(long, default_value = "127.0.0.1:8200", value_name = "ADDRESS")]
    listen: String,
    /// PEM file of the server's certificate and its chain; without it the server speaks plain HTTP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Label of the key-encryption key
    #[arg(long, default_value = "chancery-key-encryption", value_name = "LABEL")]
    kek_label: String,
    /// Number of recovery shares
    #[arg(long, default_value_t = 5, value_name = "NUMBER")]
    recovery_shares: u8,
    /// How many of them authorise
    #[arg(long, default_value_t = 3, value_name = "NUMBER")]
    recovery_threshold: u8,
    /// Never ask, fail instead
    #[arg(long)]
    non_interactive: bool,
}

/// Modules of tokens people have, as named by their vendors.
const KNOWN_MODULES: &[&str] = &[
    "softhsm2",
    "kryoptic_pkcs11",
    "tpm2_pkcs11",
    "yubihsm_pkcs11",
    "ykcs11",
    "opensc-pkcs11",
    "cs_pkcs11_R3",
    "/opt/nfast/toolkits/pkcs11/libcknfast.so",
    "/usr/safenet/lunaclient/lib/libCryptoki2_64.so",
    "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so",
];

/// The answers.
struct Choices {
    module: PathBuf,
    token: String,
    pin: String,
}

pub(crate) fn run(flags: &InitFlags, output: &Output) -> Result<()> {
    let path = flags.dir.join("chancery.toml");
    if path.exists() {
        return Err(Failure::local(format!("{} is there already", path.display()))
            .because("init sets up new installations and never changes one")
            .fix(format!("check it (chancery doctor --config {}), or choose another --dir", path.display())));
    }
    let choices = choices(flags, !flags.non_interactive && prompt::is_possible())?;
    let text = configuration(flags, &choices);
    let mut config = Config::from_toml(&text, &flags.dir)
        .map_err(|error| Failure::local("these settings do not go together").because(error))?;
    files::directory(&flags.dir)?;
    files::create(&path, &text)?;
    if flags.join {
        let next = format!("Next:  chancery doctor --config {0}\n       chancery server --config {0}", path.display());
        return print(&format!("Configuration   {}\n\n{next}", path.display()));
    }
    // Initialization answers with secrets: it goes over a loopback port that nobody else knows, not over the real ones.
    config.listeners = loopback()?;
    let made = initialize(config, flags).inspect_err(|_| {
        // Nothing was set up, so nothing shall look as if it were.
        let _ = fs::remove_file(&path);
    })?;
    if output.is_table() { print(&people(&made, flags, &path)) } else { output.object(&made) }
}

fn choices(flags: &InitFlags, ask: bool) -> Result<Choices> {
    let missing = |what: &str, flag: &str| Failure::local(format!("{what} is not known")).fix(format!("give {flag}"));
    let module = match (&flags.module, found_modules()) {
        (Some(name), _) => {
            find_module(name).map_err(|error| Failure::local("the PKCS#11 module cannot be used").because(error))?
        }
        (None, found) => {
            let first = found.first().cloned().ok_or_else(|| {
                missing("the PKCS#11 module", "--module PATH").because("none was found in the usual places")
            })?;
            if ask {
                for module in &found {
                    let _ = print(&format!("found {}", module.display()));
                }
                find_module(&prompt::line("PKCS#11 module", &first.display().to_string())?)
                    .map_err(|error| Failure::local("the PKCS#11 module cannot be used").because(error))?
            } else if found.len() == 1 {
                first
            } else {
                return Err(missing("which PKCS#11 module to use", "--module")
                    .because(found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")));
            }
        }
    };
    let token = match &flags.token {
        Some(label) => label.clone(),
        None if ask => prompt::line("Label of the token", "chancery")?,
        None => return Err(missing("the token's label", "--token LABEL")),
    };
    let pin = match (&flags.pin_file, &flags.pin_env, &flags.pin_credential) {
        (Some(path), _, _) => format!("file:{}", absolute(path)?.display()),
        (_, Some(name), _) => format!("env:{name}"),
        (_, _, Some(name)) => format!("cred:{name}"),
        _ if ask => {
            let path = flags.dir.join("pin");
            let pin = prompt::secret(None, "PIN of the token")?;
            files::directory(&flags.dir)?;
            files::create(&path, &pin)?;
            format!("file:{}", absolute(&path)?.display())
        }
        _ => return Err(missing("where the PIN stands", "--pin-file, --pin-env or --pin-credential")),
    };
    Ok(Choices { module, token, pin })
}

fn found_modules() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in KNOWN_MODULES.iter().filter_map(|name| find_module(name).ok()) {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::local(format!("cannot use {}", path.display())).because(error))
}

fn configuration(flags: &InitFlags, choices: &Choices) -> String {
    let quoted = |path: &Path| json!(path.display().to_string()).to_string();
    let state = flags.state_dir.as_deref().unwrap_or(&flags.dir);
    let tls = match (&flags.tls_cert, &flags.tls_key) {
        (Some(certificate), Some(key)) => {
            let absolute = |path: &Path| quoted(&absolute(path).unwrap_or_else(|_| path.to_owned()));
            format!("tls_cert = {}\ntls_key = {}\n", absolute(certificate), absolute(key))
        }
        _ => "# Plain HTTP. Before anything but this machine can reach it:\n# tls_cert = \"tls.crt\"\n# tls_key = \"tls.key\"\n"
            .to_owned(),
    };
    format!(
        "# Written by `chancery init`. Every setting: docs/configuration.md\n\
         state_dir = {state}\n\n\
         [listener.api]\naddress = {listen}\n{tls}\n\
         [storage]\n{storage}\n\
         [hsm]\nmodule = {module}\ntoken = {token}\npin = {pin}\nsessions = 8\n\n\
         [seal]\ntype = \"pkcs11\"\nkek_label = {label}\n\n\
         [audit.file]\npath = \"audit.jsonl\"\n",
        state = quoted(&absolute(state).unwrap_or_else(|_| state.to_owned())),
        listen = json!(flags.listen),
        storage = storage(flags),
        module = quoted(&choices.module),
        token = json!(choices.token),
        pin = json!(choices.pin),
        label = json!(flags.kek_label),
    )
}

/// What stands in `[storage]`.
fn storage(flags: &InitFlags) -> String {
    let Some(url) = &flags.storage else { return "url = \"sqlite:chancery.db\"\n".to_owned() };
    let given = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let password = match (&flags.storage_password_file, &flags.storage_password_env, &flags.storage_password_credential)
    {
        (Some(path), _, _) => Some(format!("file:{}", given(path))),
        (_, Some(name), _) => Some(format!("env:{name}")),
        (_, _, Some(name)) => Some(format!("cred:{name}")),
        _ => None,
    };
    let settings =
        [("url", Some(url.clone())), ("password", password), ("tls_ca", flags.storage_ca.as_deref().map(given))];
    let lines = settings.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}\n", json!(value?))));
    lines.collect()
}

fn loopback() -> Result<Vec<chancery_server::http::listener::ListenerConfig>> {
    Config::from_toml("listener.init = { address = \"127.0.0.1:0\" }\n", Path::new("."))
        .map(|config| config.listeners)
        .map_err(|error| Failure::local("no loopback listener").because(error))
}

/// Starts the appliance, initializes it, stops it.
fn initialize(config: Config, flags: &InitFlags) -> Result<Map<String, Value>> {
    super::log(None, Some("warn"))?;
    let runtime = super::runtime()?;
    let appliance = runtime.block_on(Appliance::start(config)).map_err(server::refused)?;
    let address = super::dev::setup::plain_address(&appliance)?;
    let body = json!({"recovery_shares": flags.recovery_shares, "recovery_threshold": flags.recovery_threshold});
    let made = Remote::local(&address, None).and_then(|remote| remote.write("sys/init", body));
    runtime.block_on(appliance.shutdown());
    Ok(made?.content())
}

fn people(made: &Map<String, Value>, flags: &InitFlags, path: &Path) -> String {
    let shares = made.get("recovery_keys_base64").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut text = String::new();
    for (number, share) in (1..).zip(&shares) {
        let _ = writeln!(text, "Recovery share {number}: {}", table::cell(share));
    }
    let token = table::cell(made.get("root_token").unwrap_or(&Value::Null));
    let _ = write!(
        text,
        "\nRoot token: {token}\n\n\
         {threshold} of the {shares} shares authorise a new root token or new shares. This is the only time they are shown:\n\
         hand them to different people now. The HSM unseals the server by itself, nobody is needed at a restart.\n\n\
         Configuration   {path}\n\
         Key-encryption  \"{label}\" in the token, made there, not extractable\n\n\
         Next:  chancery doctor --config {path}\n       chancery server --config {path}\n",
        threshold = flags.recovery_threshold,
        shares = flags.recovery_shares,
        path = path.display(),
        label = flags.kek_label,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;

    fn flags(words: &[&str]) -> InitFlags {
        let words = ["chancery", "init", "--non-interactive"].iter().chain(words);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Init(flags) => flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_written_configuration_is_one_the_server_reads() {
        let directory = tempfile::tempdir().unwrap();
        let module = directory.path().join("module.so");
        fs::write(&module, "").unwrap();
        let flags = flags(&["--dir", directory.path().to_str().unwrap(), "--tls-cert", "a.pem", "--tls-key", "a.key"]);
        let choices = Choices { module, token: "to \"ken\"".to_owned(), pin: "env:PIN".to_owned() };
        let config = Config::from_toml(&configuration(&flags, &choices), directory.path()).unwrap();
        assert_eq!(config.listeners.len(), 1);
        assert!(config.listeners[0].tls.is_some() && config.hsm.is_some());
        assert_eq!(config.settings.audit.len(), 1);
    }

    #[test]
    fn a_database_on_a_server_is_written_without_its_password() {
        let directory = tempfile::tempdir().unwrap();
        let module = directory.path().join("module.so");
        fs::write(&module, "").unwrap();
        let choices = || Choices { module: module.clone(), token: "t".to_owned(), pin: "env:PIN".to_owned() };
        let words =
            ["--storage", "postgres://c@db.example/chancery", "--storage-password-env", "DB", "--storage-ca", "ca.pem"];
        let text = configuration(&flags(&words), &choices());
        let config = Config::from_toml(&text, directory.path()).unwrap();
        assert!(format!("{:?}", config.storage).contains("chancery on db.example:5432"), "{:?}", config.storage);
        let text = configuration(&flags(&["--storage", "postgres://c:hunter2@db.example/chancery"]), &choices());
        let refused = Config::from_toml(&text, directory.path()).unwrap_err().to_string();
        assert!(refused.contains("storage.password") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn the_documented_configuration_is_one_the_server_reads() {
        let page = include_str!("../../../../docs/configuration.md");
        let sample = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let module = tempfile::NamedTempFile::new().unwrap();
        let sample = sample.replace("\"softhsm2\"", &json!(module.path().display().to_string()).to_string());
        let config = Config::from_toml(&sample, Path::new("/etc/chancery")).unwrap();
        assert!(config.hsm.is_some() && config.listeners.len() == 2 && config.settings.audit.len() == 1);
    }

    #[test]
    fn without_a_terminal_what_is_missing_is_named() {
        let flags = flags(&["--module", "/no/such/module.so"]);
        assert!(choices(&flags, false).err().unwrap().to_string().contains("/no/such/module.so"));
    }
}

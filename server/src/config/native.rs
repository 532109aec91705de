//! Our own configuration, in TOML. The structs are the schema: what they do not name is a mistake.

use super::{
    CheckpointConfig, Config, ConfigError, HsmConfig, PostgresStorage, SecretReference, StorageConfig, find_module,
    node_name,
    postgres::{self, Beside},
    reference::file_path,
};
use crate::{
    audit::NewDevice,
    core::Settings,
    external::{KmsLibrary, parameters::OWN_LIBRARY},
    http::{BodyLimits, listener::ListenerConfig, tls::TlsSource},
    mount::LeaseBounds,
};
use chancery_engine::{route::is_name, wire::parse_duration};
use chancery_hsm::TokenChoice;
use chancery_store::SealKind;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    listener: BTreeMap<String, Listener>,
    #[serde(default)]
    storage: Storage,
    hsm: Option<Hsm>,
    #[serde(default)]
    kms_library: BTreeMap<String, Library>,
    #[serde(default)]
    seal: Seal,
    #[serde(default)]
    audit: BTreeMap<String, Audit>,
    #[serde(default)]
    checkpoint: Checkpoint,
    #[serde(default)]
    telemetry: Telemetry,
    #[serde(default)]
    compat: Compat,
    #[serde(default)]
    lease: Lease,
    state_dir: Option<PathBuf>,
    cluster_name: Option<String>,
    node_name: Option<String>,
    api_address: Option<String>,
    log_level: Option<String>,
    #[serde(default)]
    disable_mlock: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listener {
    address: String,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    client_cert: Option<String>,
    max_request_bytes: Option<usize>,
    max_request_json_depth: Option<usize>,
    max_request_json_strings: Option<usize>,
    max_batch_json_strings: Option<usize>,
    unauthenticated_metrics_access: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Storage {
    url: Option<String>,
    password: Option<String>,
    tls_ca: Option<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    connections: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hsm {
    module: String,
    token: Option<String>,
    serial: Option<String>,
    slot: Option<u64>,
    pin: String,
    sessions: Option<usize>,
    queue: Option<usize>,
}

/// A PKCS#11 library that registered keys may name by the alias it stands under.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Library {
    module: String,
    sessions: Option<usize>,
    queue: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Seal {
    r#type: Option<String>,
    kek_label: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Audit {
    r#type: Option<String>,
    path: Option<PathBuf>,
    description: Option<String>,
    mode: Option<String>,
    prefix: Option<String>,
    sync: Option<bool>,
    log_raw: Option<bool>,
    hmac_accessor: Option<bool>,
    elide_list_responses: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    lines: Option<u64>,
    every: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Telemetry {
    listen: Option<String>,
    unauthenticated_metrics_access: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Compat {
    api_version: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Lease {
    default_ttl: Option<String>,
    max_ttl: Option<String>,
}

pub(super) fn read(text: &str, base: &Path) -> Result<Config, ConfigError> {
    let document: Document = toml::from_str(text).map_err(|error| {
        let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
        ConfigError::from_serde(error.message(), line)
    })?;
    let state = document.state_dir.as_ref().map_or_else(|| base.to_owned(), |directory| base.join(directory));
    if document.listener.is_empty() {
        return Err(ConfigError::new("there is no listener", "add listener.api = { address = \"127.0.0.1:8200\", … }"));
    }
    let mut listeners = Vec::new();
    for (name, listener) in &document.listener {
        listeners.push(listener.read(name, base)?);
    }
    if let Some(address) = &document.telemetry.listen {
        listeners.push(ListenerConfig {
            address: address.clone(),
            tls: None,
            limits: BodyLimits::default(),
            open_metrics: true,
        });
    }
    let hsm = document.hsm.as_ref().map(|hsm| hsm.read(base)).transpose()?;
    let storage = document.storage.read(&state, base)?;
    let settings = settings(&document, hsm.is_some(), &storage, &state)?;
    Ok(Config {
        listeners,
        storage,
        hsm,
        settings,
        checkpoints: document.checkpoint.read()?,
        log_level: document.log_level,
        lock_memory: !document.disable_mlock,
        warnings: Vec::new(),
    })
}

fn settings(
    document: &Document,
    has_hsm: bool,
    storage: &StorageConfig,
    state: &Path,
) -> Result<Settings, ConfigError> {
    let mut settings = Settings { seal: document.seal.kind(has_hsm)?, ..Settings::default() };
    if let Some(label) = &document.seal.kek_label {
        settings.key_encryption_label.clone_from(label);
    }
    if let Some(version) = &document.compat.api_version {
        settings.api_version.clone_from(version);
    }
    storage.kind().clone_into(&mut settings.storage_type);
    settings.cluster_name.clone_from(&document.cluster_name);
    let first = document.listener.values().next().map(|listener| listener.address.as_str());
    settings.node_name = document.node_name.clone().unwrap_or_else(|| node_name(first.unwrap_or_default()));
    if let Some(address) = &document.api_address {
        settings.api_address.clone_from(address);
    }
    for (alias, library) in &document.kms_library {
        settings.kms_libraries.insert(checked_alias(alias)?, library.read()?);
    }
    settings.leases = document.lease.read()?;
    settings.unauthenticated_metrics = document.telemetry.unauthenticated_metrics_access.unwrap_or(false);
    settings.audit_directory = Some(state.join("audit"));
    settings.audit = document.audit.iter().map(|(name, audit)| audit.read(name, state)).collect();
    Ok(settings)
}

impl Listener {
    fn read(&self, name: &str, base: &Path) -> Result<ListenerConfig, ConfigError> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(TlsSource::Files { certificate: file_path(certificate, base)?, key: file_path(key, base)? })
            }
            (None, None) => None,
            _ => {
                let what = format!("listener.{name} has only one of tls_cert and tls_key");
                return Err(ConfigError::new(what, "give both, or neither for plain HTTP"));
            }
        };
        if self.client_cert.as_deref().is_some_and(|choice| choice != "request") {
            let what = format!("listener.{name}.client_cert can only be \"request\"");
            return Err(ConfigError::new(what, "client certificates are asked for and judged by the login method"));
        }
        let mut limits = BodyLimits::default();
        let set = |limit: &mut usize, value: Option<usize>| *limit = value.unwrap_or(*limit);
        set(&mut limits.bytes, self.max_request_bytes);
        set(&mut limits.json.max_depth, self.max_request_json_depth);
        set(&mut limits.batch.max_depth, self.max_request_json_depth);
        set(&mut limits.json.max_strings, self.max_request_json_strings);
        set(&mut limits.batch.max_strings, self.max_batch_json_strings);
        limits.json.max_total = limits.json.max_total.max(limits.json.max_strings.saturating_mul(2));
        limits.batch.max_total = limits.batch.max_total.max(limits.batch.max_strings.saturating_mul(2));
        let open_metrics = self.unauthenticated_metrics_access.unwrap_or(false);
        Ok(ListenerConfig { address: self.address.clone(), tls, limits, open_metrics })
    }
}

impl Storage {
    fn read(&self, state: &Path, base: &Path) -> Result<StorageConfig, ConfigError> {
        let url = self.url.as_deref().unwrap_or("sqlite:chancery.db");
        if postgres::is_address(url) {
            let beside = self.beside(base)?;
            return Ok(StorageConfig::Postgres(Box::new(PostgresStorage::without_password(url, beside)?)));
        }
        let only = [&self.password, &self.tls_ca, &self.tls_cert, &self.tls_key];
        if self.connections.is_some() || only.into_iter().any(Option::is_some) {
            let what = "storage has settings that only a PostgreSQL database has";
            return Err(ConfigError::new(what, "remove them, or give storage.url = \"postgres://USER@HOST/DATABASE\""));
        }
        match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(StorageConfig::Sqlite(state.join(path))),
            Some(("memory", _)) => Ok(StorageConfig::Memory),
            _ => {
                let fix = "write sqlite:PATH, postgres://USER@HOST:PORT/DATABASE or memory:";
                Err(ConfigError::new("storage.url is not understood", fix))
            }
        }
    }

    fn beside(&self, base: &Path) -> Result<Beside, ConfigError> {
        let password = self.password.as_deref();
        let certificate = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some((file_path(certificate, base)?, file_path(key, base)?)),
            (None, None) => None,
            _ => return Err(ConfigError::new("storage has only one of tls_cert and tls_key", "give both or neither")),
        };
        Ok(Beside {
            password: password.map(|text| SecretReference::parse("storage.password", text, base)).transpose()?,
            ca: self.tls_ca.as_deref().map(|path| file_path(path, base)).transpose()?,
            certificate,
            connections: self.connections,
        })
    }
}

impl Hsm {
    fn read(&self, base: &Path) -> Result<HsmConfig, ConfigError> {
        let token = match (&self.token, &self.serial, self.slot) {
            (Some(label), None, None) => TokenChoice::Label(label.clone()),
            (None, Some(serial), None) => TokenChoice::Serial(serial.clone()),
            (None, None, Some(slot)) => TokenChoice::Slot(slot),
            _ => {
                let what = "hsm names its token in none or several ways";
                return Err(ConfigError::new(what, "give exactly one of token (its label), serial and slot"));
            }
        };
        Ok(HsmConfig {
            module: find_module(&self.module)?,
            token,
            pin: SecretReference::parse("hsm.pin", &self.pin, base)?,
            sessions: self.sessions,
            queue: self.queue,
        })
    }
}

impl Library {
    fn read(&self) -> Result<KmsLibrary, ConfigError> {
        Ok(KmsLibrary { module: find_module(&self.module)?, sessions: self.sessions, queue: self.queue })
    }
}

/// An alias that registrations can name and that is not the one of the appliance's own token.
pub(super) fn checked_alias(alias: &str) -> Result<String, ConfigError> {
    if alias == OWN_LIBRARY {
        let what = format!("kms_library {OWN_LIBRARY:?} is the alias of the appliance's own token");
        return Err(ConfigError::new(what, "choose another name"));
    }
    if !is_name(alias) {
        let what = format!("kms_library {alias:?} is not a name");
        return Err(ConfigError::new(what, "use letters, digits, and - or . between them"));
    }
    Ok(alias.to_owned())
}

impl Seal {
    fn kind(&self, has_hsm: bool) -> Result<SealKind, ConfigError> {
        match (self.r#type.as_deref(), has_hsm) {
            (Some("pkcs11"), true) | (None, true) => Ok(SealKind::Pkcs11),
            (Some("shamir"), _) | (None, false) => Ok(SealKind::Shamir),
            (Some("pkcs11"), false) => {
                Err(ConfigError::new("seal.type is pkcs11 and there is no hsm", "add hsm = { module, token, pin }"))
            }
            (Some(other), _) => {
                Err(ConfigError::new(format!("seal.type {other:?} is unknown"), "write pkcs11 or shamir"))
            }
        }
    }
}

impl Audit {
    fn read(&self, name: &str, state: &Path) -> NewDevice {
        let mut options = BTreeMap::new();
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                options.insert(key.to_owned(), value);
            }
        };
        set("file_path", self.path.as_ref().map(|path| state.join(path).display().to_string()));
        set("mode", self.mode.clone());
        set("prefix", self.prefix.clone());
        set("sync", self.sync.map(|flag| flag.to_string()));
        set("log_raw", self.log_raw.map(|flag| flag.to_string()));
        set("hmac_accessor", self.hmac_accessor.map(|flag| flag.to_string()));
        set("elide_list_responses", self.elide_list_responses.map(|flag| flag.to_string()));
        let default = if self.path.is_some() { "file" } else { "stdout" };
        NewDevice {
            path: name.to_owned(),
            kind: self.r#type.clone().unwrap_or_else(|| default.to_owned()),
            description: self.description.clone().unwrap_or_default(),
            options,
            local: false,
        }
    }
}

impl Checkpoint {
    fn read(&self) -> Result<CheckpointConfig, ConfigError> {
        let default = CheckpointConfig::default();
        let every = match &self.every {
            Some(text) => Duration::from_secs(seconds("checkpoint.every", text)?.max(1)),
            None => default.every,
        };
        Ok(CheckpointConfig { lines: self.lines.unwrap_or(default.lines).max(1), every })
    }
}

impl Lease {
    fn read(&self) -> Result<LeaseBounds, ConfigError> {
        let mut bounds = LeaseBounds::default();
        if let Some(text) = &self.max_ttl {
            bounds.max_ttl = seconds("lease.max_ttl", text)?;
        }
        if let Some(text) = &self.default_ttl {
            bounds.default_ttl = seconds("lease.default_ttl", text)?;
        }
        check_bounds(bounds)
    }
}

pub(super) fn check_bounds(bounds: LeaseBounds) -> Result<LeaseBounds, ConfigError> {
    if bounds.max_ttl == 0 || bounds.default_ttl == 0 || bounds.default_ttl > bounds.max_ttl {
        let what = "the default lease time is zero or longer than the longest";
        return Err(ConfigError::new(what, "write default <= max, such as 768h"));
    }
    Ok(bounds)
}

pub(super) fn seconds(key: &str, text: &str) -> Result<u64, ConfigError> {
    parse_duration(text)
        .ok()
        .and_then(|seconds| u64::try_from(seconds).ok())
        .ok_or_else(|| ConfigError::new(format!("`{key}` is not a duration"), "write 30s, 15m or 768h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "listener.api = { address = \"127.0.0.1:0\" }\n";

    fn error(text: &str) -> String {
        read(text, Path::new("/base")).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_understood() {
        let text = r#"
            state_dir = "/var/lib/chancery"
            listener.api = { address = "0.0.0.0:8200", tls_cert = "tls.crt", tls_key = "file:tls.key", client_cert = "request" }
            listener.plain = { address = "127.0.0.1:8201" }
            storage.url = "sqlite:chancery.db"
            seal = { type = "shamir" }
            audit.file = { path = "audit.jsonl", sync = true }
            checkpoint = { lines = 500, every = "5m" }
            telemetry = { listen = "127.0.0.1:9109" }
            compat = { api_version = "1.15.0" }
            lease = { default_ttl = "1h", max_ttl = "24h" }
        "#;
        let config = read(text, Path::new("/base")).unwrap();
        assert_eq!(config.listeners.len(), 3);
        assert_eq!(
            config.listeners[0].tls,
            Some(TlsSource::Files { certificate: "/base/tls.crt".into(), key: "/base/tls.key".into() })
        );
        assert_eq!(config.storage, StorageConfig::Sqlite("/var/lib/chancery/chancery.db".into()));
        assert_eq!(config.settings.audit[0].options["file_path"], "/var/lib/chancery/audit.jsonl");
        assert_eq!(config.checkpoints, CheckpointConfig { lines: 500, every: Duration::from_secs(300) });
        assert_eq!(config.settings.leases, LeaseBounds { default_ttl: 3600, max_ttl: 86400 });
        assert_eq!(config.settings.api_version, "1.15.0");
    }

    #[test]
    fn slips_are_refused_with_a_suggestion() {
        let message = error("listener.api = { adress = \"127.0.0.1:0\" }\n");
        assert!(message.contains("unknown key `adress`") && message.contains("did you mean `address`?"), "{message}");
        let message = error(&format!("{MINIMAL}\n\nstorag.url = \"memory:\"\n"));
        assert!(message.contains("did you mean `storage`?") && message.contains("line 4"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_not_repeated() {
        for pin in ["837465", "837465.5", "[837465]"] {
            let message = error(&format!("{MINIMAL}hsm = {{ module = \"m\", token = \"t\", pin = {pin} }}\n"));
            assert!(!message.contains("837465") && message.contains("expected a string"), "{message}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for (text, expected) in [
            (String::new(), "no listener"),
            (format!("{MINIMAL}seal.type = \"pkcs11\"\n"), "there is no hsm"),
            (format!("{MINIMAL}kms_library.hsm = {{ module = \"softhsm2\" }}\n"), "own token"),
            (format!("{MINIMAL}kms_library.a = {{ module = \"/none.so\" }}\n"), "is not there"),
            (format!("{MINIMAL}kms_library.\"a b\" = {{ module = \"softhsm2\" }}\n"), "is not a name"),
            (format!("{MINIMAL}storage.url = \"postgres://x\"\n"), "names no user or no host"),
            (format!("{MINIMAL}lease = {{ default_ttl = \"2h\", max_ttl = \"1h\" }}\n"), "default lease time"),
            ("listener.api = { address = \"x\", tls_cert = \"a\" }\n".to_owned(), "only one of"),
        ] {
            let message = error(&text);
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

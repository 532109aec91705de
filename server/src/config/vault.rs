//! Configurations shaped like Vault's and OpenBao's, in HCL or JSON: enough of them that `server -config=…` of the
//! clients' test suites and of installations that move here starts. What means nothing here is accepted with a remark;
//! what nobody knows is refused.

use super::{
    CheckpointConfig, Config, ConfigError, HsmConfig, PostgresStorage, SecretReference, StorageConfig, find_module,
    native::{check_bounds, checked_alias, seconds},
    node_name,
    postgres::Beside,
};
use crate::{
    audit::NewDevice,
    core::Settings,
    external::KmsLibrary,
    http::{BodyLimits, listener::ListenerConfig, tls::TlsSource},
};
use chancery_engine::SecretString;
use chancery_hsm::TokenChoice;
use chancery_store::SealKind;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};

/// Top-level keys that are understood.
const UNDERSTOOD: [&str; 14] = [
    "listener",
    "storage",
    "backend",
    "seal",
    "kms_library",
    "audit",
    "telemetry",
    "api_addr",
    "cluster_name",
    "default_lease_ttl",
    "max_lease_ttl",
    "log_level",
    "ui",
    "disable_mlock",
];
/// Top-level keys that are accepted and change nothing.
const IGNORED: [&str; 22] = [
    "ha_storage",
    "ha_backend",
    "cluster_addr",
    "cluster_cipher_suites",
    "disable_cache",
    "disable_clustering",
    "disable_performance_standby",
    "disable_printable_check",
    "disable_sealwrap",
    "disable_sentinel_trace",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "introspection_endpoint",
    "log_file",
    "log_format",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "log_requests_level",
    "pid_file",
    "plugin_directory",
    "raw_storage_endpoint",
];
const LISTENER_KEYS: [&str; 22] = [
    "address",
    "cluster_address",
    "tls_disable",
    "tls_cert_file",
    "tls_key_file",
    "tls_min_version",
    "tls_max_version",
    "tls_cipher_suites",
    "tls_prefer_server_cipher_suites",
    "tls_require_and_verify_client_cert",
    "tls_client_ca_file",
    "tls_disable_client_certs",
    "max_request_size",
    "max_request_duration",
    "max_request_json_strings",
    "max_request_json_memory",
    "http_read_header_timeout",
    "http_read_timeout",
    "http_write_timeout",
    "http_idle_timeout",
    "telemetry",
    "x_forwarded_for_authorized_addrs",
];

pub(super) fn read(text: &str) -> Result<Config, ConfigError> {
    let document = parse(text)?;
    let mut reader = Reader { warnings: Vec::new() };
    for key in document.keys() {
        if IGNORED.contains(&key.as_str()) {
            reader.warnings.push(format!("`{key}` means nothing here and is ignored"));
        } else if !UNDERSTOOD.contains(&key.as_str()) {
            let known: Vec<&str> = UNDERSTOOD.iter().chain(&IGNORED).copied().collect();
            return Err(ConfigError::unknown_key("", key, &known));
        }
    }
    let listeners = reader.listeners(&document)?;
    let (hsm, seal) = reader.seal(&document)?;
    let storage = reader.storage(&document)?;
    let mut settings = Settings { seal, audit: audit(&document)?, ..Settings::default() };
    storage.kind().clone_into(&mut settings.storage_type);
    settings.node_name = node_name(listeners.first().map(|listener| listener.address.as_str()).unwrap_or_default());
    settings.kms_libraries = kms_libraries(&document)?;
    settings.cluster_name = string(&document, "cluster_name")?;
    settings.api_address = string(&document, "api_addr")?.unwrap_or_default();
    if let Some(text) = string(&document, "max_lease_ttl")? {
        settings.leases.max_ttl = seconds("max_lease_ttl", &text)?;
        settings.leases.default_ttl = settings.leases.default_ttl.min(settings.leases.max_ttl);
    }
    if let Some(text) = string(&document, "default_lease_ttl")? {
        settings.leases.default_ttl = seconds("default_lease_ttl", &text)?;
    }
    check_bounds(settings.leases)?;
    settings.unauthenticated_metrics = listeners.iter().any(|listener| listener.open_metrics);
    Ok(Config {
        listeners,
        storage,
        hsm,
        settings,
        checkpoints: CheckpointConfig::default(),
        log_level: string(&document, "log_level")?,
        lock_memory: !flag(&document, "disable_mlock")?,
        warnings: reader.warnings,
    })
}

fn parse(text: &str) -> Result<Map<String, Value>, ConfigError> {
    let value: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
            .map_err(|error| ConfigError::new(format!("line {}: not valid JSON", error.line()), "correct the syntax"))?
    } else {
        hcl::from_str(text).map_err(|error| {
            let what = error.to_string().lines().next().unwrap_or_default().to_owned();
            ConfigError::new(format!("not valid HCL: {what}"), "correct the syntax")
        })?
    };
    match value {
        Value::Object(document) => Ok(document),
        _ => Err(ConfigError::new("not an object", "write stanzas such as listener \"tcp\" { … }")),
    }
}

struct Reader {
    warnings: Vec<String>,
}

impl Reader {
    fn listeners(&mut self, document: &Map<String, Value>) -> Result<Vec<ListenerConfig>, ConfigError> {
        let mut listeners = Vec::new();
        for (kind, stanza) in stanzas(document, "listener")? {
            if kind != "tcp" {
                return Err(ConfigError::new(format!("listener {kind:?} is not supported"), "use listener \"tcp\""));
            }
            known_keys("listener: ", stanza, &LISTENER_KEYS)?;
            listeners.push(self.listener(stanza)?);
        }
        if listeners.is_empty() {
            return Err(ConfigError::new("there is no listener", "add listener \"tcp\" { address = … }"));
        }
        Ok(listeners)
    }

    fn listener(&mut self, stanza: &Map<String, Value>) -> Result<ListenerConfig, ConfigError> {
        let tls = if flag(stanza, "tls_disable")? {
            None
        } else {
            let file = |key: &str| {
                string(stanza, key)?.ok_or_else(|| {
                    ConfigError::new(format!("listener has no {key}"), "give it, or say tls_disable = true")
                })
            };
            Some(TlsSource::Files { certificate: file("tls_cert_file")?.into(), key: file("tls_key_file")?.into() })
        };
        if flag(stanza, "tls_require_and_verify_client_cert")? {
            self.warnings.push("client certificates are asked for and judged by the login method only".to_owned());
        }
        let mut limits = BodyLimits::default();
        if let Some(bytes) = number(stanza, "max_request_size")? {
            limits.bytes = bytes;
        }
        if let Some(strings) = number(stanza, "max_request_json_strings")? {
            limits.json.max_strings = strings;
            limits.json.max_total = limits.json.max_total.max(strings.saturating_mul(2));
        }
        let telemetry = stanza.get("telemetry").and_then(first_object);
        let open_metrics = telemetry.map_or(Ok(false), |stanza| flag(stanza, "unauthenticated_metrics_access"))?;
        let address = string(stanza, "address")?.unwrap_or_else(|| "127.0.0.1:8200".to_owned());
        Ok(ListenerConfig { address, tls, limits, open_metrics })
    }

    fn storage(&mut self, document: &Map<String, Value>) -> Result<StorageConfig, ConfigError> {
        let key = if document.contains_key("storage") { "storage" } else { "backend" };
        let mut found = stanzas(document, key)?;
        let (Some((kind, stanza)), true) = (found.pop(), found.is_empty()) else {
            return Err(ConfigError::new(
                "there is not exactly one storage",
                "write one storage \"file\" { path = … }",
            ));
        };
        match kind.as_str() {
            "inmem" => Ok(StorageConfig::Memory),
            "file" | "raft" | "sqlite" => {
                if kind == "raft" {
                    self.warnings.push("storage \"raft\" becomes a local SQLite database in that path".to_owned());
                }
                let path = string(stanza, "path")?.ok_or_else(|| {
                    ConfigError::new(format!("storage {kind:?} has no path"), "name a directory for the database")
                })?;
                Ok(StorageConfig::Sqlite(Path::new(&path).join("chancery.db")))
            }
            "postgresql" => Ok(StorageConfig::Postgres(Box::new(self.postgres(stanza)?))),
            other => {
                let fix = "use storage \"file\" { path = … }, \"postgresql\" { connection_url = … } or \"inmem\" {}";
                Err(ConfigError::new(format!("storage {other:?} is not supported"), fix))
            }
        }
    }

    /// `storage "postgresql"`. The address may come from the environment, as with OpenBao and Vault.
    fn postgres(&mut self, stanza: &Map<String, Value>) -> Result<PostgresStorage, ConfigError> {
        for key in stanza.keys() {
            if !matches!(key.as_str(), "connection_url" | "max_parallel") {
                self.warnings.push(format!("storage \"postgresql\": `{key}` means nothing here and is ignored"));
            }
        }
        let variables = ["BAO_PG_CONNECTION_URL", "VAULT_PG_CONNECTION_URL"];
        let url = variables.iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
        let url = url.map_or_else(|| string(stanza, "connection_url"), |url| Ok(Some(url)))?.ok_or_else(|| {
            ConfigError::new("storage \"postgresql\" has no connection_url", "add connection_url = \"postgres://…\"")
        })?;
        let variable = "PGPASSWORD".to_owned();
        let password = std::env::var_os(&variable).map(|_| SecretReference::Environment(variable));
        let beside = Beside { password, connections: number(stanza, "max_parallel")?, ..Beside::default() };
        PostgresStorage::with_password(&url, beside)
    }

    fn seal(&mut self, document: &Map<String, Value>) -> Result<(Option<HsmConfig>, SealKind), ConfigError> {
        let mut found = stanzas(document, "seal")?;
        let Some((kind, stanza)) = found.pop() else { return Ok((None, SealKind::Shamir)) };
        match kind.as_str() {
            "shamir" => Ok((None, SealKind::Shamir)),
            "pkcs11" => Ok((Some(self.hsm(stanza)?), SealKind::Pkcs11)),
            other => Err(ConfigError::new(
                format!("seal {other:?} is not supported"),
                "use seal \"pkcs11\" or no seal stanza",
            )),
        }
    }

    fn hsm(&mut self, stanza: &Map<String, Value>) -> Result<HsmConfig, ConfigError> {
        for key in stanza.keys() {
            if !matches!(key.as_str(), "lib" | "token_label" | "slot" | "pin" | "key_label" | "default_key_label") {
                self.warnings.push(format!("seal \"pkcs11\": `{key}` means nothing here and is ignored"));
            }
        }
        let missing = |key: &str| ConfigError::new(format!("seal \"pkcs11\" has no {key}"), format!("add {key} = …"));
        let library = string(stanza, "lib")?.ok_or_else(|| missing("lib"))?;
        let token = match (string(stanza, "token_label")?, number(stanza, "slot")?) {
            (Some(label), _) => TokenChoice::Label(label),
            (None, Some(slot)) => TokenChoice::Slot(u64::try_from(slot).unwrap_or(u64::MAX)),
            (None, None) => return Err(missing("token_label")),
        };
        let pin = match string(stanza, "pin")? {
            None => SecretReference::Environment("BAO_HSM_PIN".to_owned()),
            Some(text) => SecretReference::parse("pin", &text, Path::new("."))
                .unwrap_or_else(|_| SecretReference::Inline(SecretString::new(text))),
        };
        Ok(HsmConfig { module: find_module(&library)?, token, pin, sessions: None, queue: None })
    }
}

/// `kms_library "pkcs11" { name = "…", library = "…" }` of Vault Enterprise.
fn kms_libraries(document: &Map<String, Value>) -> Result<BTreeMap<String, KmsLibrary>, ConfigError> {
    let mut libraries = BTreeMap::new();
    for (kind, stanza) in stanzas(document, "kms_library")? {
        if kind != "pkcs11" {
            return Err(ConfigError::new(
                format!("kms_library {kind:?} is not supported"),
                "use kms_library \"pkcs11\"",
            ));
        }
        known_keys("kms_library: ", stanza, &["name", "library"])?;
        let missing = |key: &str| ConfigError::new(format!("kms_library has no {key}"), format!("add {key} = …"));
        let alias = checked_alias(&string(stanza, "name")?.ok_or_else(|| missing("name"))?)?;
        let module = find_module(&string(stanza, "library")?.ok_or_else(|| missing("library"))?)?;
        libraries.insert(alias, KmsLibrary { module, sessions: None, queue: None });
    }
    Ok(libraries)
}

/// `audit "file" "path" { options { … } }` of OpenBao.
fn audit(document: &Map<String, Value>) -> Result<Vec<NewDevice>, ConfigError> {
    let mut devices = Vec::new();
    for (kind, by_path) in stanzas(document, "audit")? {
        for (path, stanza) in by_path {
            let Some(stanza) = first_object(stanza) else { continue };
            let mut options = BTreeMap::new();
            for key in stanza.get("options").and_then(first_object).into_iter().flat_map(Map::keys) {
                let given = stanza.get("options").and_then(first_object);
                if let Some(value) = given.map(|options| string(options, key)).transpose()?.flatten() {
                    options.insert(key.clone(), value);
                }
            }
            let description = string(stanza, "description")?.unwrap_or_default();
            devices.push(NewDevice { path: path.clone(), kind: kind.clone(), description, options, local: false });
        }
    }
    Ok(devices)
}

/// The label of a stanza and what stands in it.
type Labelled<'d> = (String, &'d Map<String, Value>);

/// Labelled stanzas: `{"tcp": {…}}`, a list of those, or a label with a list of stanzas.
fn stanzas<'d>(document: &'d Map<String, Value>, key: &str) -> Result<Vec<Labelled<'d>>, ConfigError> {
    let malformed = || ConfigError::new(format!("`{key}` is not a stanza"), format!("write {key} \"kind\" {{ … }}"));
    let mut found = Vec::new();
    for labelled in list(document.get(key)) {
        for (label, bodies) in labelled.as_object().ok_or_else(malformed)? {
            for body in list(Some(bodies)) {
                found.push((label.clone(), body.as_object().ok_or_else(malformed)?));
            }
        }
    }
    Ok(found)
}

fn list(value: Option<&Value>) -> &[Value] {
    match value {
        None => &[],
        Some(Value::Array(values)) => values,
        Some(value) => std::slice::from_ref(value),
    }
}

fn first_object(value: &Value) -> Option<&Map<String, Value>> {
    list(Some(value)).first().and_then(Value::as_object)
}

fn known_keys(place: &str, stanza: &Map<String, Value>, known: &[&str]) -> Result<(), ConfigError> {
    match stanza.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(ConfigError::unknown_key(place, unknown, known)),
        None => Ok(()),
    }
}

fn string(stanza: &Map<String, Value>, key: &str) -> Result<Option<String>, ConfigError> {
    match stanza.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
        Some(_) => Err(ConfigError::new(format!("`{key}` is not a text"), "write it between quotes")),
    }
}

fn flag(stanza: &Map<String, Value>, key: &str) -> Result<bool, ConfigError> {
    match string(stanza, key)?.as_deref() {
        None | Some("" | "0" | "f" | "false" | "False" | "FALSE") => Ok(false),
        Some("1" | "t" | "true" | "True" | "TRUE") => Ok(true),
        Some(_) => Err(ConfigError::new(format!("`{key}` is not a boolean"), "write true or false")),
    }
}

fn number(stanza: &Map<String, Value>, key: &str) -> Result<Option<usize>, ConfigError> {
    let Some(text) = string(stanza, key)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| ConfigError::new(format!("`{key}` is not a number"), "write digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hcl_and_its_json_say_the_same() {
        let hcl = "backend \"inmem\" {\n}\nlistener \"tcp\" {\n  address = \"127.0.0.1:8200\"\n  tls_cert_file = \"a\"\n  \
                   tls_key_file = \"b\"\n}\ndisable_mlock = true\ndefault_lease_ttl = \"768h\"\nmax_lease_ttl = \"768h\"\n";
        let json = r#"{"backend":{"inmem":{}},"listener":[{"tcp":{"address":"127.0.0.1:8200","tls_cert_file":"a",
            "tls_key_file":"b"}}],"disable_mlock":true,"default_lease_ttl":"768h","max_lease_ttl":"768h"}"#;
        for text in [hcl, json] {
            let config = read(text).unwrap();
            assert_eq!(config.storage, StorageConfig::Memory);
            assert_eq!(config.listeners[0].address, "127.0.0.1:8200");
            assert_eq!(config.listeners[0].tls, Some(TlsSource::Files { certificate: "a".into(), key: "b".into() }));
            assert_eq!(config.settings.seal, SealKind::Shamir);
            assert!(config.warnings.is_empty());
        }
    }

    #[test]
    fn several_listeners_and_raft_are_understood() {
        let text = "listener \"tcp\" {\n tls_disable = 1\n}\nlistener \"tcp\" {\n address = \"127.0.0.1:1\"\n \
                    tls_disable = \"true\"\n}\nstorage \"raft\" {\n path = \"/data\"\n node_id = \"a\"\n}\nui = true\n";
        let config = read(text).unwrap();
        assert_eq!(config.listeners.len(), 2);
        assert_eq!(config.storage, StorageConfig::Sqlite("/data/chancery.db".into()));
        assert_eq!(config.warnings.len(), 1);
    }

    #[test]
    fn a_postgresql_storage_keeps_its_password_to_itself() {
        let text = "listener \"tcp\" {\n tls_disable = true\n}\nstorage \"postgresql\" {\n connection_url = \
                    \"postgres://u:hunter2@db.example:5433/d?sslmode=verify-full\"\n ha_enabled = \"true\"\n max_parallel = 4\n}\n";
        let config = read(text).unwrap();
        let StorageConfig::Postgres(storage) = &config.storage else { panic!("{:?}", config.storage) };
        assert!(storage.is_protected() && storage.password().is_some());
        assert_eq!(
            (storage.name().as_str(), config.settings.storage_type.as_str()),
            ("d on db.example:5433", "postgresql")
        );
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    }

    #[test]
    fn mistakes_are_one_line() {
        let listener = "listener \"tcp\" {\n tls_disable = true\n}\n";
        for (text, expected) in [
            (format!("{listener}storage \"consul\" {{}}\n"), "storage \"consul\" is not supported"),
            (format!("{listener}storage \"inmem\" {{}}\nlisener = 1\n"), "did you mean `listener`?"),
            ("storage \"inmem\" {}\n".to_owned(), "no listener"),
            ("listener \"tcp\" {}\nstorage \"inmem\" {}\n".to_owned(), "tls_cert_file"),
            (format!("{listener}storage \"inmem\" {{}}\nmax_lease_ttl = \"soon\"\n"), "not a duration"),
            ("listener = {".to_owned(), "not valid HCL"),
        ] {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

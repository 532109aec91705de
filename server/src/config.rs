//! What the operator writes: our own TOML, or a file shaped like Vault's (HCL or JSON). Both become one [`Config`].
//!
//! Nothing is opened here but the configuration itself and the secrets it refers to; a mistake costs one clear line
//! and no data.

mod error;
mod native;
mod postgres;
mod reference;
mod vault;

pub use error::ConfigError;
pub use postgres::PostgresStorage;
pub use reference::{SecretReference, find_module};

use crate::{core::Settings, http::listener::ListenerConfig};
use chancery_hsm::TokenChoice;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything [`Appliance::start`](crate::Appliance::start) needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to serve.
    pub listeners: Vec<ListenerConfig>,
    /// Where data lies.
    pub storage: StorageConfig,
    /// The token, where there is one.
    pub hsm: Option<HsmConfig>,
    /// What outlives the start.
    pub settings: Settings,
    /// When the audit chain is signed.
    pub checkpoints: CheckpointConfig,
    /// Filter for the log, such as `info`; the command line and the environment win.
    pub log_level: Option<String>,
    /// Whether memory is to be kept from swap, where the system lets us.
    pub lock_memory: bool,
    /// Remarks for the operator: settings that are accepted and mean nothing here.
    pub warnings: Vec<String>,
}

/// Where data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageConfig {
    /// One SQLite file; its directory is made if it is missing.
    Sqlite(PathBuf),
    /// A PostgreSQL server, which several processes may share.
    Postgres(Box<PostgresStorage>),
    /// In memory, gone at the end.
    Memory,
}

/// What a server is called among those that share its database: its machine and where it listens.
fn node_name(address: &str) -> String {
    format!("{}/{address}", rustix::system::uname().nodename().to_string_lossy())
}

impl StorageConfig {
    /// What `sys/seal-status` calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "file",
            Self::Postgres(_) => "postgresql",
            Self::Memory => "inmem",
        }
    }
}

/// How to reach the token.
#[derive(Debug, Clone)]
pub struct HsmConfig {
    /// The PKCS#11 module, found.
    pub module: PathBuf,
    /// Which token.
    pub token: TokenChoice,
    /// Where the PIN stands.
    pub pin: SecretReference,
    /// Sessions at once; `None` leaves it to the HSM layer.
    pub sessions: Option<usize>,
    /// Commands that may wait; `None` leaves it to the HSM layer.
    pub queue: Option<usize>,
}

/// When the audit chain is signed: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// Lines.
    pub lines: u64,
    /// Time, if there were lines at all.
    pub every: Duration,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { lines: 10_000, every: Duration::from_secs(60) }
    }
}

impl Config {
    /// Plain HTTP on a free loopback port, in memory, without a token: for tests.
    #[must_use]
    pub fn for_tests() -> Self {
        Self {
            listeners: vec![ListenerConfig {
                address: "127.0.0.1:0".to_owned(),
                tls: None,
                limits: crate::http::BodyLimits::default(),
                open_metrics: false,
            }],
            storage: StorageConfig::Memory,
            hsm: None,
            settings: Settings::default(),
            checkpoints: CheckpointConfig::default(),
            log_level: None,
            lock_memory: false,
            warnings: Vec::new(),
        }
    }

    /// Reads a configuration file: `.toml` is ours, `.hcl` and `.json` are Vault's.
    ///
    /// # Errors
    /// One line that says where, what and how to mend it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
        let base = path.parent().unwrap_or(Path::new("."));
        let parsed = match path.extension().and_then(|extension| extension.to_str()) {
            Some("hcl" | "json") => Self::from_vault(&text),
            _ => Self::from_toml(&text, base),
        };
        parsed.map_err(|error| error.in_file(path))
    }

    /// Reads our own TOML. Relative paths are taken from `base`.
    ///
    /// # Errors
    /// See [`Config::read`].
    pub fn from_toml(text: &str, base: &Path) -> Result<Self, ConfigError> {
        native::read(text, base)
    }

    /// Reads Vault's HCL or JSON. Relative paths are taken from the working directory, as Vault takes them.
    ///
    /// # Errors
    /// See [`Config::read`].
    pub fn from_vault(text: &str) -> Result<Self, ConfigError> {
        vault::read(text)
    }
}

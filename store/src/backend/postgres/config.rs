//! Where the database is, and as whom we speak to it.

use super::tls::PostgresTls;
use crate::StoreError;
use std::time::Duration;
use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

/// How long one attempt to connect may take, to one host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unacknowledged bytes for so long mean that the connection is dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that read, unless the configuration says otherwise.
const READERS: usize = 8;

/// Where the database is, and as whom we speak to it. Its `Debug` shows no password.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) driver: Config,
    pub(super) tls: Option<PostgresTls>,
    pub(super) name: String,
    pub(super) readers: usize,
    pub(super) patience: Duration,
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("name", &self.name)
            .field("tls", &self.tls.is_some())
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl PostgresConfig {
    /// Reads `postgres://USER@HOST:PORT/DATABASE`, several hosts with commas between them. Whatever it says of
    /// `sslmode`, TLS is what [`with_tls`](Self::with_tls) says.
    ///
    /// # Errors
    /// [`StoreError::InvalidDatabaseUrl`], which does not repeat it: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let mut driver: Config = url
            .parse()
            .map_err(|_| StoreError::InvalidDatabaseUrl("it is not the address of a PostgreSQL database"))?;
        if driver.get_user().is_none() || driver.get_hosts().is_empty() {
            return Err(StoreError::InvalidDatabaseUrl("it names no user or no host"));
        }
        // Of several hosts only one takes writes, and which one may change.
        driver.target_session_attrs(TargetSessionAttrs::ReadWrite);
        driver.ssl_mode(SslMode::Disable);
        driver.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(TCP_USER_TIMEOUT);
        driver.keepalives_idle(TCP_USER_TIMEOUT);
        driver.application_name("chancery");
        let name = name(&driver);
        Ok(Self { driver, tls: None, name, readers: READERS, patience: Duration::ZERO })
    }

    /// With this password.
    #[must_use]
    pub fn with_password(mut self, password: &[u8]) -> Self {
        self.driver.password(password);
        self
    }

    /// Under TLS, or not at all.
    #[must_use]
    pub fn with_tls(mut self, tls: PostgresTls) -> Self {
        self.driver.ssl_mode(SslMode::Require);
        self.tls = Some(tls);
        self
    }

    /// With so many connections for reading, beside the one for writing.
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// A database that cannot be reached when it is opened is tried for so long.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The database for people, without a secret in it: `chancery on db.example:5432`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn name(config: &Config) -> String {
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    let ports = config.get_ports();
    let port = |place: usize| ports.get(place).or(ports.first()).copied().unwrap_or(5432);
    let hosts = config.get_hosts().iter().enumerate().map(|(place, host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(place)),
        Host::Unix(path) => path.display().to_string(),
    });
    format!("{database} on {}", hosts.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::PostgresConfig;

    #[test]
    fn a_password_is_neither_named_nor_shown() {
        let config = PostgresConfig::parse("postgres://u:hunter2@a.example,b.example:5433/chancery").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.name(), "chancery on a.example:5432,b.example:5433");
        let refused = PostgresConfig::parse("postgres://u:hunter2@a.example:port/x").unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
        assert!(PostgresConfig::parse("postgres://a.example/x").is_err());
    }
}

//! A database on a PostgreSQL server: its address, and where the secrets and certificates for it stand.

use super::{ConfigError, SecretReference};
use chancery_engine::SecretString;
use chancery_store::{PostgresConfig, PostgresTls};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What makes an address of ours one for PostgreSQL.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// How a PostgreSQL database is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresStorage {
    /// Without a password and without what concerns TLS.
    url: String,
    password: Option<SecretReference>,
    tls: bool,
    ca: Option<PathBuf>,
    /// Our own certificate and its key.
    certificate: Option<(PathBuf, PathBuf)>,
    connections: Option<usize>,
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStorage")
            .field("database", &self.name())
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// What stands beside the address.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) password: Option<SecretReference>,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) connections: Option<usize>,
}

/// Whether a storage address is one for PostgreSQL.
pub(super) fn is_address(url: &str) -> bool {
    SCHEMES.iter().any(|scheme| url.starts_with(scheme))
}

impl PostgresStorage {
    /// Reads an address that holds no password, as our own configuration has it.
    pub(super) fn without_password(url: &str, beside: Beside) -> Result<Self, ConfigError> {
        let (url, password) = split_password(url)?;
        if password.is_some() {
            let what = "storage.url holds a password, which everybody sees who sees the configuration";
            return Err(ConfigError::new(what, "leave it out, and give storage.password = \"file:PATH\""));
        }
        Self::new(&url, beside)
    }

    /// Reads an address that may hold a password, as Vault's `connection_url`.
    pub(super) fn with_password(url: &str, mut beside: Beside) -> Result<Self, ConfigError> {
        let (url, password) = split_password(url)?;
        if let Some(password) = password {
            beside.password = Some(SecretReference::Inline(password));
        }
        Self::new(&url, beside)
    }

    fn new(url: &str, beside: Beside) -> Result<Self, ConfigError> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut storage = Self {
            url: String::new(),
            password: beside.password,
            tls: false,
            ca: beside.ca,
            certificate: beside.certificate,
            connections: beside.connections,
        };
        let (mut mode, mut key, mut certificate) = (None, None, None);
        let mut kept = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", path)) => storage.ca = Some(decoded(path)?.into()),
                Some(("sslcert", path)) => certificate = Some(PathBuf::from(decoded(path)?)),
                Some(("sslkey", path)) => key = Some(PathBuf::from(decoded(path)?)),
                _ => kept.push(parameter),
            }
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => storage.certificate = Some((certificate, key)),
            (None, None) => {}
            _ => return Err(ConfigError::new("sslcert and sslkey belong together", "give both or neither")),
        }
        storage.url = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
        storage.driver()?;
        storage.tls = match mode {
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full" | "prefer" | "allow") => true,
            None => storage.ca.is_some() || storage.certificate.is_some() || !is_near(address),
            Some(_) => return Err(ConfigError::new("sslmode is not understood", "write verify-full or disable")),
        };
        Ok(storage)
    }

    fn driver(&self) -> Result<PostgresConfig, ConfigError> {
        PostgresConfig::parse(&self.url)
            .map_err(|error| ConfigError::new(error.to_string(), "see docs/configuration.md, \"PostgreSQL\""))
    }

    /// The database for people: `chancery on db.example:5432`.
    #[must_use]
    pub fn name(&self) -> String {
        self.driver().map(|driver| driver.name().to_owned()).unwrap_or_default()
    }

    /// Where the password stands, if one is given.
    #[must_use]
    pub fn password(&self) -> Option<&SecretReference> {
        self.password.as_ref()
    }

    /// Whether the connection is protected; the certificate is verified then.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.tls
    }

    /// Whether the database is on this machine, by its address.
    #[must_use]
    pub fn is_near(&self) -> bool {
        is_near(&self.url)
    }

    /// Fetches secrets and certificates. A database that cannot be reached is then tried for `patience`.
    ///
    /// # Errors
    /// A line that names the place of what is missing, never a secret.
    pub fn resolve(&self, patience: Duration) -> Result<PostgresConfig, ConfigError> {
        let mut config = self.driver()?.with_patience(patience);
        if let Some(reference) = &self.password {
            config = config.with_password(reference.resolve()?.expose().as_bytes());
        }
        if let Some(connections) = self.connections {
            config = config.with_readers(connections);
        }
        if self.tls {
            config = config.with_tls(PostgresTls::new(self.client_config()?));
        }
        Ok(config)
    }

    fn client_config(&self) -> Result<ClientConfig, ConfigError> {
        let builder = ClientConfig::builder();
        let builder = match &self.ca {
            Some(path) => builder.with_root_certificates(roots(path)?),
            None => builder.with_platform_verifier().map_err(|error| {
                ConfigError::new(format!("the system's CAs cannot be used: {error}"), "give storage.tls_ca")
            })?,
        };
        let Some((certificate, key)) = &self.certificate else { return Ok(builder.with_no_client_auth()) };
        let unusable = |path: &Path, error: String| {
            ConfigError::new(format!("{} cannot be used: {error}", path.display()), "give a PEM file")
        };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
        builder.with_client_auth_cert(chain, private).map_err(|error| unusable(certificate, error.to_string()))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let unusable = |error: String| {
        ConfigError::new(format!("{} holds no usable certificate: {error}", path.display()), "give a PEM file")
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() { Err(unusable("there is none in it".to_owned())) } else { Ok(found) }
}

fn roots(path: &Path) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            ConfigError::new(format!("{}: {error}", path.display()), "give the CA of the database's certificate")
        })?;
    }
    Ok(roots)
}

/// The address without the password in it, and the password.
fn split_password(url: &str) -> Result<(String, Option<SecretString>), ConfigError> {
    let malformed = || {
        ConfigError::new("the address of the database is not understood", "write postgres://USER@HOST:PORT/DATABASE")
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(malformed)?;
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    if rest.contains("password=") {
        return Err(ConfigError::new(
            "the address of the database has a parameter `password`",
            "write USER:PASSWORD@HOST",
        ));
    }
    // A password may hold an `@` that nobody has encoded; a slash or a question mark cannot be told apart.
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok((url.to_owned(), None)) };
    let behind = rest.get(authority.len()..).unwrap_or_default();
    match user.split_once(':') {
        None => Ok((url.to_owned(), None)),
        Some((user, password)) => {
            let password = SecretString::new(decoded(password)?);
            Ok((format!("{scheme}://{user}@{host}{behind}"), Some(password)))
        }
    }
}

/// Resolves percent-encoding. The text is not repeated: it may be a password.
fn decoded(text: &str) -> Result<String, ConfigError> {
    let malformed =
        || ConfigError::new("the address of the database holds a % that encodes nothing", "write %25 for it");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(malformed)?, rest.next().ok_or_else(malformed)?];
        let decoded = data_encoding::HEXUPPER_PERMISSIVE.decode(&digits).map_err(|_| malformed())?;
        bytes.extend(decoded);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

/// Every host of the address is this machine.
fn is_near(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').all(|host| {
        let name = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or(host, |(name, _)| name);
        let name = name.trim_matches(['[', ']']);
        name == "localhost"
            || name.starts_with("%2F")
            || name.parse().is_ok_and(|at: std::net::IpAddr| at.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> PostgresStorage {
        PostgresStorage::with_password(url, Beside::default()).unwrap()
    }

    #[test]
    fn tls_is_demanded_of_other_machines_unless_the_address_says_otherwise() {
        for (url, tls) in [
            ("postgres://u@db.example/d", true),
            ("postgres://u@db.example/d?sslmode=disable", false),
            ("postgresql://u@127.0.0.1:5433/d", false),
            ("postgres://u@[::1]:5433/d", false),
            ("postgres://u@localhost,db.example/d", true),
            ("postgres://u@127.0.0.1/d?sslmode=verify-full", true),
            ("postgres://u@127.0.0.1/d?sslrootcert=/etc/ca.pem", true),
        ] {
            assert_eq!(read(url).tls, tls, "{url}");
        }
    }

    #[test]
    fn a_password_is_taken_out_of_the_address_and_never_shown() {
        let storage = read("postgres://u:hun%74er2@db.example:5433/d?sslmode=verify-full&connect_timeout=3");
        let Some(SecretReference::Inline(password)) = &storage.password else { panic!("no password") };
        assert_eq!(password.expose(), "hunter2");
        assert_eq!(storage.url, "postgres://u@db.example:5433/d?connect_timeout=3");
        assert_eq!(storage.name(), "d on db.example:5433");
        let shown = format!("{storage:?} {:?}", storage.resolve(Duration::ZERO).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn mistakes_are_told_without_the_secret() {
        for (url, said) in [
            ("postgres://u:hunter2@db.example/d", "holds a password"),
            ("postgres://u:hunter2%@db.example/d", "encodes nothing"),
            ("postgres://u@db.example/d?sslmode=maybe", "sslmode"),
            ("postgres://u@db.example/d?sslcert=a", "belong together"),
            ("postgres://u@db.example/d?password=hunter2", "password"),
            ("postgres://db.example/d", "no user"),
            ("postgres://u@db.example:hunter2/d", "address"),
        ] {
            let text = PostgresStorage::without_password(url, Beside::default()).unwrap_err().to_string();
            assert!(text.contains(said) && !text.contains("hunter2"), "{url}: {text}");
            assert_eq!(text.lines().count(), 1);
        }
    }

    #[test]
    fn missing_files_are_named() {
        let beside = Beside { ca: Some("/no/such/ca.pem".into()), ..Beside::default() };
        let storage = PostgresStorage::without_password("postgres://u@db.example/d", beside).unwrap();
        assert!(storage.resolve(Duration::ZERO).unwrap_err().to_string().contains("/no/such/ca.pem"));
    }
}

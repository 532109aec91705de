//! The ACME server of one mount: its parts, its settings, and what it does by itself.

use crate::{
    limits::Limits,
    nonce::Nonces,
    problem::Problem,
    settings::Settings,
    storage::{CONFIG, REPLACEMENTS, Records, new_id},
    validation::{self, Validator},
    work::Work,
};
use async_trait::async_trait;
use chancery_ca::{CertificateAuthority, serial::SerialNumber, validity::MountTtl};
use chancery_engine::{Clock, Fault, MountPoint, RouteTable, Service};
use chancery_store::{CertificateIntent, Store, View};
use jiff::Timestamp;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Switches for tests of clients. A server that is started for real has none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Port of http-01.
    pub http_port: Option<u16>,
    /// Port of tls-alpn-01.
    pub tls_port: Option<u16>,
    /// DNS servers to ask.
    pub resolvers: Vec<SocketAddr>,
    /// Whether validation connects to internal addresses.
    pub allow_private: bool,
    /// Percentage of good nonces that are refused.
    pub nonce_reject: u8,
    /// How long every validation waits before it begins.
    pub validation_delay: Duration,
    /// Percentage of orders for which valid authorizations are used again; all of them where it is not set.
    pub reuse_rate: Option<u8>,
}

/// The ACME server of one mount.
pub struct AcmeServer {
    pub(crate) authority: Arc<CertificateAuthority>,
    pub(crate) records: Records,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) nonces: Nonces,
    pub(crate) limits: Limits,
    pub(crate) work: Work,
    pub(crate) knobs: Knobs,
    configured: RwLock<(u64, Option<Arc<Configured>>)>,
}

/// Settings and what was made of them.
pub(crate) struct Configured {
    pub(crate) settings: Settings,
    pub(crate) validator: Validator,
    replacements: Vec<Replacement>,
}

/// Certificates that are to be replaced at once (RFC 9773): those that match in everything that is stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replacement {
    pub(crate) id: String,
    /// Id of the issuer.
    pub(crate) issuer: String,
    pub(crate) role: String,
    pub(crate) serial_from: String,
    pub(crate) serial_to: String,
    pub(crate) explanation_url: String,
    /// Certificates made later are sound.
    pub(crate) since: Timestamp,
}

/// Expired records removed in one commit.
const SWEEP_LIMIT: usize = 2000;

/// Commits that remove expired records in one turn; the rest follows a minute later.
const MOST_SWEEPS: usize = 100;

impl AcmeServer {
    /// The server of the mount that keeps its records in `view`; its own lie below `acme/`.
    ///
    /// # Errors
    /// [`Fault::Dependency`] if the system has no randomness.
    pub fn new(
        authority: Arc<CertificateAuthority>,
        (view, store): (&View, Store),
        clock: Arc<dyn Clock>,
        knobs: Knobs,
    ) -> Result<Arc<Self>, Fault> {
        let nonces =
            Nonces::new(knobs.nonce_reject).map_err(|error| Fault::Dependency(format!("getrandom: {error}")))?;
        Ok(Arc::new(Self {
            authority,
            records: Records::new(store, view.view("acme")),
            clock,
            nonces,
            limits: Limits::default(),
            work: Work::default(),
            knobs,
            configured: RwLock::default(),
        }))
    }

    /// The second it is. Clients are told whole seconds: some read no others.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// An id for something new.
    pub(crate) fn new_id(&self) -> Result<String, getrandom::Error> {
        new_id(self.clock.now())
    }

    /// Settings and validator as they are.
    pub(crate) async fn configured(&self) -> Result<Arc<Configured>, Problem> {
        let epoch = {
            let cache = self.configured.read();
            if let Some(configured) = &cache.1 {
                return Ok(Arc::clone(configured));
            }
            cache.0
        };
        let settings = self.records.settings().await?;
        let validator = Validator::new(self.validation(&settings)).map_err(|error| Problem::internal(&error))?;
        let replacements = self.records.read(REPLACEMENTS).await?.map(|stored| stored.value).unwrap_or_default();
        let configured = Arc::new(Configured { settings, validator, replacements });
        let mut cache = self.configured.write();
        if cache.0 == epoch {
            cache.1 = Some(Arc::clone(&configured));
        }
        Ok(configured)
    }

    /// How challenges are looked into under these settings.
    pub(crate) fn validation(&self, settings: &Settings) -> validation::Settings {
        let usual = validation::Settings::default();
        let resolvers = match resolvers(&settings.dns_resolver) {
            Ok(addresses) if self.knobs.resolvers.is_empty() => addresses,
            _ => self.knobs.resolvers.clone(),
        };
        validation::Settings {
            http_port: self.knobs.http_port.unwrap_or(usual.http_port),
            tls_port: self.knobs.tls_port.unwrap_or(usual.tls_port),
            resolvers,
            allow_private: self.knobs.allow_private,
            allowed_networks: settings.allowed_networks.iter().filter_map(|text| network(text)).collect(),
            caa_identities: settings.caa_identities.clone(),
            permit_without_caa_answer: settings.permit_without_caa_answer,
            clock: Arc::clone(&self.clock),
            ..usual
        }
    }

    /// Whether an operator wants the certificate replaced at once; the text is the URL that explains why.
    pub(crate) async fn replacement(&self, intent: &CertificateIntent) -> Result<Option<String>, Problem> {
        let configured = self.configured().await?;
        let serial = SerialNumber::from_bytes(&intent.serial);
        let rule = configured.replacements.iter().find(|rule| rule.covers(intent, &serial));
        Ok(rule.map(|rule| rule.explanation_url.clone()))
    }

    pub(crate) fn forget_settings(&self) {
        let mut cache = self.configured.write();
        *cache = (cache.0.wrapping_add(1), None);
    }
}

impl Replacement {
    fn covers(&self, intent: &CertificateIntent, serial: &SerialNumber) -> bool {
        let is = |stated: &str, found: &str| stated.is_empty() || stated == found;
        // Numbers without leading zeros: the longer is the larger.
        let order =
            |text: &str| SerialNumber::parse(text).map(|bound| (bound.as_bytes().len(), bound.as_bytes().to_vec()));
        let own = (serial.as_bytes().len(), serial.as_bytes().to_vec());
        is(&self.issuer, &intent.issuer)
            && is(&self.role, &intent.role)
            && order(&self.serial_from).is_none_or(|from| from <= own)
            && order(&self.serial_to).is_none_or(|to| own <= to)
            && intent.created_at <= self.since
    }
}

/// DNS servers, separated by commas: each is a point of view of its own. The real server takes one.
///
/// # Errors
/// The part that is not an address and a port.
pub(crate) fn resolvers(text: &str) -> Result<Vec<SocketAddr>, &str> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(|_| part)).collect()
}

/// Reads a network such as `10.0.0.0/8`.
pub(crate) fn network(text: &str) -> Option<validation::Network> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?);
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (length <= longest).then_some((address, length))
}

/// The mount's bounds on the life of certificates.
pub(crate) fn mount_ttl(mount: &MountPoint) -> MountTtl {
    MountTtl { default: mount.default_lease_ttl, maximum: mount.max_lease_ttl }
}

#[async_trait]
impl Service for AcmeServer {
    fn routes() -> RouteTable<Self> {
        crate::routes::table()
    }

    async fn begin(self: Arc<Self>, mount: Arc<MountPoint>) -> Result<(), Fault> {
        self.resume(mount_ttl(&mount));
        Ok(())
    }

    async fn tick(self: Arc<Self>, mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        self.resume(mount_ttl(&mount));
        self.renew_due(mount_ttl(&mount));
        for _ in 0..MOST_SWEEPS {
            let swept = self.records.sweep(now, SWEEP_LIMIT).await;
            if swept.map_err(|error| Fault::Dependency(error.to_string()))? < SWEEP_LIMIT {
                break;
            }
        }
        Ok(())
    }

    fn forget(&self) {
        self.forget_settings();
        self.records.forget();
    }

    fn changed_elsewhere(&self, keys: &[&str]) {
        if keys.iter().any(|key| key.ends_with(CONFIG) || key.ends_with(REPLACEMENTS) || key.ends_with('/')) {
            self.forget_settings();
        }
    }
}

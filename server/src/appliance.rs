//! Start and stop: everything that can fail fails before a port answers and before data is touched.

use crate::{
    config::{CheckpointConfig, Config, ConfigError, HsmConfig, PostgresStorage, StorageConfig},
    core::{Core, Parts},
    http::listener::{Bound, ListenError, Serving},
    jobs, nodes,
    sys::System,
};
use chancery_engine::{Clock, Fault, Hosted, SystemClock, clock::ManualClock};
use chancery_hsm::{Hsm, HsmError, Pin, Pkcs11Config};
use chancery_store::{BarrierPhase, DatabaseReport, SealKind, Store, StoreError};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// How long a database that cannot be reached is waited for at the start: machines come up in any order.
const DATABASE_PATIENCE: Duration = Duration::from_secs(30);

/// A running appliance.
pub struct Appliance {
    core: Arc<Core>,
    serving: Vec<Serving>,
    stop: watch::Sender<bool>,
    jobs: JoinHandle<()>,
    follower: JoinHandle<()>,
}

/// Why an appliance did not start. Each is one line: what is wrong and what to do; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, or a secret it refers to.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address or a certificate.
    #[error("{0}; {fix}", fix = listen_fix(.0))]
    Listen(#[from] ListenError),
    /// The token.
    #[error("HSM: {0}; {fix}", fix = hsm_fix(.0))]
    Hsm(#[source] HsmError),
    /// The database.
    #[error("storage: {0}; {fix}", fix = store_fix(.0))]
    Store(#[source] StoreError),
    /// The directory of the database.
    #[error("cannot make {path}: {source}; correct storage.url or the permissions")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database is sealed by a key this token does not have, or the token does not do what sealing needs.
    #[error("cannot unseal: {0}; attach the token the database was sealed with")]
    Unseal(#[source] StoreError),
    /// What lies behind the barrier cannot be loaded.
    #[error("cannot load what the barrier hides: {0}; see the log")]
    Load(#[source] Fault),
}

impl Appliance {
    /// Binds the addresses, opens token and database, unseals by the HSM where that is the seal, and serves.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed and no port answers.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let bound = bind(&config).await?;
        let hsm = match &config.hsm {
            Some(hsm) => Some(open_hsm(hsm).await?),
            None => None,
        };
        let clock: Arc<dyn Clock> = match config.settings.fixed_clock {
            Some(moment) => Arc::new(ManualClock::at(moment.as_second())),
            None => Arc::new(SystemClock),
        };
        let store = open_store(&config.storage, &clock).await?;
        let parts = Parts { clock, store, hsm, settings: config.settings };
        Self::serve(bound, parts, config.checkpoints).await
    }

    /// Like [`Appliance::start`] with parts the caller has made; tests bring their own clock, store and token.
    ///
    /// # Errors
    /// See [`Appliance::start`].
    pub async fn start_with(config: &Config, parts: Parts) -> Result<Self, StartError> {
        Self::serve(bind(config).await?, parts, config.checkpoints).await
    }

    async fn serve(bound: Vec<Bound>, parts: Parts, checkpoints: CheckpointConfig) -> Result<Self, StartError> {
        let core = Core::assemble(parts);
        core.install_system(Arc::new(Hosted::new(System::new(Arc::clone(&core)))));
        unseal(&core).await?;
        let (stop, stopped) = watch::channel(false);
        let jobs = tokio::spawn(jobs::run(Arc::clone(&core), checkpoints, stopped.clone()));
        let follower = tokio::spawn(nodes::run(Arc::clone(&core), stopped.clone()));
        let serving: Vec<_> = bound.into_iter().map(|bound| bound.serve(Arc::clone(&core), stopped.clone())).collect();
        for door in &serving {
            tracing::info!(address = %door.address, tls = door.is_tls(), "serving");
        }
        Ok(Self { core, serving, stop, jobs, follower })
    }

    /// The shared state, for `dev` and tests.
    #[must_use]
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The addresses served and whether TLS is spoken there.
    #[must_use]
    pub fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        self.serving.iter().map(|door| (door.address, door.is_tls())).collect()
    }

    /// What SIGHUP asks for: certificates are read again and audit files opened anew.
    pub async fn reload(&self) {
        for door in &self.serving {
            door.reload();
        }
        self.core.audit.reopen().await;
    }

    /// Lets requests under way finish, signs the audit chain, seals, and lets the token go.
    pub async fn shutdown(self) {
        // Nobody may be listening any more; that is what we want to reach.
        let _unheard = self.stop.send(true);
        for door in self.serving {
            door.drained().await;
        }
        if self.jobs.await.is_err() || self.follower.await.is_err() {
            tracing::error!("the background jobs had crashed");
        }
        self.core.seal().await;
        self.core.remove_system();
        self.core.external_keys.shutdown().await;
        if let Some(hsm) = &self.core.hsm {
            hsm.shutdown().await;
        }
    }
}

/// Makes a crash say where it happened and nothing else: the text of a panic may hold what was being worked on. For the
/// whole process, so the program that runs an appliance calls it, not the appliance.
pub fn hide_panic_texts() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        tracing::error!(place, "crashed");
    }));
}

async fn bind(config: &Config) -> Result<Vec<Bound>, StartError> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        bound.push(Bound::bind(listener.clone()).await?);
    }
    Ok(bound)
}

/// Opens the token as [`Appliance::start`] does, for those who only want to look at it.
///
/// # Errors
/// [`StartError::Config`] for the PIN, [`StartError::Hsm`] for the token.
pub async fn open_hsm(config: &HsmConfig) -> Result<Hsm, StartError> {
    let pin = Pin::new(config.pin.resolve()?.expose()).map_err(StartError::Hsm)?;
    let mut pkcs11 = Pkcs11Config::new(&config.module, config.token.clone(), pin);
    pkcs11.sessions = config.sessions.unwrap_or(pkcs11.sessions);
    pkcs11.queue = config.queue.unwrap_or(pkcs11.queue);
    Hsm::open(pkcs11).await.map_err(StartError::Hsm)
}

/// Looks at the database as [`Appliance::start`] would find it, and changes nothing.
///
/// # Errors
/// [`StartError::Config`] for secrets and certificates, [`StartError::Store`] for the database.
pub async fn examine_database(database: &PostgresStorage) -> Result<DatabaseReport, StartError> {
    let config = database.resolve(Duration::ZERO)?;
    chancery_store::backend::Postgres::examine(config).await.map_err(StartError::Store)
}

async fn open_store(storage: &StorageConfig, clock: &Arc<dyn Clock>) -> Result<Store, StartError> {
    match storage {
        StorageConfig::Memory => Store::memory().await.map_err(StartError::Store),
        StorageConfig::Sqlite(path) => {
            make_directory(path.parent().unwrap_or(Path::new(".")))?;
            let clock = Arc::clone(clock);
            Store::sqlite(path, Arc::new(move || clock.now())).await.map_err(StartError::Store)
        }
        StorageConfig::Postgres(database) => {
            let clock = Arc::clone(clock);
            let config = database.resolve(DATABASE_PATIENCE)?;
            Store::postgres(config, Arc::new(move || clock.now())).await.map_err(StartError::Store)
        }
    }
}

fn make_directory(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StartError::Directory { path: path.display().to_string(), source })
}

/// Opens the barrier where the HSM can: an initialised database with a `pkcs11` seal.
async fn unseal(core: &Core) -> Result<(), StartError> {
    let barrier = core.store.barrier();
    let state = barrier.state().await;
    if let (BarrierPhase::Sealed, Some(seal), Some(hsm)) = (state.phase, &state.seal, &core.hsm)
        && seal.kind == SealKind::Pkcs11
    {
        barrier.unseal_with_hsm(hsm).await.map_err(StartError::Unseal)?;
    }
    if barrier.state().await.phase == BarrierPhase::Unsealed {
        core.opened().await.map_err(StartError::Load)?;
    }
    Ok(())
}

fn listen_fix(error: &ListenError) -> &'static str {
    match error {
        ListenError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            "another process uses that port: stop it or choose another address"
        }
        ListenError::Bind { .. } => "choose an address of this machine that this user may use",
        ListenError::Tls(_) => "give a readable PEM certificate chain and its key",
    }
}

fn store_fix(error: &StoreError) -> &'static str {
    match error {
        // The text names the fix itself; what must not happen is a second attempt with force.
        StoreError::NewerSchema { .. } | StoreError::ForeignSchema { .. } => "the database was not touched",
        StoreError::Locked { .. } => "stop the other process, or give this one a database of its own",
        StoreError::Refused { .. } | StoreError::InvalidDatabaseUrl(_) => "nothing was changed",
        StoreError::Unavailable { .. } => {
            "check storage.url, and that the database runs and takes connections from here"
        }
        _ => "check storage.url and the permissions of its directory",
    }
}

fn hsm_fix(error: &HsmError) -> &'static str {
    let text = error.to_string();
    if text.contains("CKR_PIN") {
        "correct the PIN; it was tried once and will not be tried again by itself"
    } else {
        "check hsm.module, the token's label and that this user may use it"
    }
}

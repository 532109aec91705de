//! The appliance's shared state: what the pipeline and `sys/` work on.

use crate::{
    audit::{Audit, NewDevice},
    external::{ExternalKeyRegistry, KmsLibrary},
    fault::from_store,
    metrics::Metrics,
    mount::{LeaseBounds, Mounted, Mounts, factory::Factory},
    nodes::Nodes,
};
use chancery_acme_server::Knobs;
use chancery_auth::{LeaseRevoker, Leases, Policies, Tokens};
use chancery_engine::{Clock, Engine, Fault};
use chancery_hsm::Hsm;
use chancery_store::{BarrierPhase, Changes, SealKind, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Everything a running appliance consists of, behind the doors. One value a process; handed around as `Arc<Core>`.
pub struct Core {
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// Sealed entries, the barrier and the certificate inventory.
    pub store: Store,
    /// The HSM, where one is configured.
    pub hsm: Option<Hsm>,
    /// Policy documents.
    pub policies: Policies,
    /// Tokens, their wrapping kin included.
    pub tokens: Tokens,
    /// Leases.
    pub leases: Leases,
    /// The mount table.
    pub mounts: Arc<Mounts>,
    /// Registered keys of the operator's tokens.
    pub external_keys: Arc<ExternalKeyRegistry>,
    /// The audit sinks.
    pub audit: Arc<Audit>,
    /// Other servers on the same database.
    pub(crate) nodes: Nodes,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What the configuration says and `sys/` shows or obeys.
    pub settings: Settings,
    started: Timestamp,
    open: AtomicBool,
    cluster: OnceLock<Cluster>,
    opening: tokio::sync::Mutex<()>,
}

/// The part of the configuration that outlives the start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Version that `sys/seal-status` and `sys/health` tell clients (`compat.api_version`).
    pub api_version: String,
    /// What `sys/init` sets up when the request does not say.
    pub seal: SealKind,
    /// Label of the key-encryption key a `pkcs11` seal makes.
    pub key_encryption_label: String,
    /// Kind of storage for `sys/seal-status`: `file` or `inmem`.
    pub storage_type: String,
    /// Which of the servers on one database this is; names its audit chains.
    pub node_name: String,
    /// `cluster_name`; made up at the first unseal where the configuration has none.
    pub cluster_name: Option<String>,
    /// Address clients reach us at, for `sys/leader`.
    pub api_address: String,
    /// System-wide lease bounds.
    pub leases: LeaseBounds,
    /// Whether `sys/metrics` may be read without a token.
    pub unauthenticated_metrics: bool,
    /// Audit sinks the configuration declares.
    pub audit: Vec<NewDevice>,
    /// Where sinks enabled over the API may write files; anywhere where there is none (CVE-2025-6000).
    pub audit_directory: Option<PathBuf>,
    /// PKCS#11 libraries that registered keys may name, by alias.
    pub kms_libraries: BTreeMap<String, KmsLibrary>,
    /// Switches of the ACME servers for tests of clients. No configuration file knows them; a development server sets them.
    pub acme: Knobs,
    /// The moment at which the clock stands, for tests of clients; it runs where there is none. Like `acme`, only a development
    /// server sets it.
    pub fixed_clock: Option<Timestamp>,
}

/// Who this installation is; made at the first unseal, stored sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cluster {
    /// `cluster_id`
    pub id: String,
    /// `cluster_name`
    pub name: String,
}

/// The parts a [`Core`] is put together from.
pub struct Parts {
    /// See [`Core::clock`].
    pub clock: Arc<dyn Clock>,
    /// See [`Core::store`].
    pub store: Store,
    /// See [`Core::hsm`].
    pub hsm: Option<Hsm>,
    /// See [`Core::settings`].
    pub settings: Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_version: crate::API_VERSION.to_owned(),
            seal: SealKind::Pkcs11,
            key_encryption_label: "chancery/kek/main".to_owned(),
            storage_type: "file".to_owned(),
            node_name: "chancery".to_owned(),
            cluster_name: None,
            api_address: String::new(),
            leases: LeaseBounds::default(),
            unauthenticated_metrics: false,
            audit: Vec::new(),
            audit_directory: None,
            kms_libraries: BTreeMap::new(),
            acme: Knobs::default(),
            fixed_clock: None,
        }
    }
}

impl Core {
    /// Puts the parts together. Nothing is read yet: see [`Core::opened`].
    #[must_use]
    pub fn assemble(parts: Parts) -> Arc<Self> {
        let Parts { clock, store, hsm, settings } = parts;
        let metrics = Arc::new(Metrics::default());
        let node = settings.node_name.as_str();
        let audit = Audit::new(Arc::clone(&clock), store.clone(), hsm.clone(), Arc::clone(&metrics), node);
        let policies = Policies::new(store.clone(), Arc::clone(&clock));
        let tokens = Tokens::new(store.clone(), Arc::clone(&clock), policies.clone());
        let leases = Leases::new(tokens.clone());
        let external_keys = ExternalKeyRegistry::new(store.clone(), hsm.clone(), settings.kms_libraries.clone());
        let factory = Factory {
            store: store.clone(),
            hsm: hsm.clone(),
            external_keys: Arc::clone(&external_keys),
            clock: Arc::clone(&clock),
            tokens: tokens.clone(),
            acme: settings.acme.clone(),
        };
        let mounts = Arc::new(Mounts::new(store.clone(), settings.leases, factory));
        external_keys.set_mounts(Arc::downgrade(&mounts));
        let revoker: std::sync::Weak<dyn LeaseRevoker> =
            Arc::downgrade(&(Arc::clone(&mounts) as Arc<dyn LeaseRevoker>));
        leases.set_revoker(revoker);
        Arc::new(Self {
            started: clock.now(),
            clock,
            store,
            hsm,
            policies,
            tokens,
            leases,
            mounts,
            external_keys,
            audit: Arc::new(audit),
            nodes: Nodes::default(),
            metrics,
            settings,
            open: AtomicBool::new(false),
            cluster: OnceLock::new(),
            opening: tokio::sync::Mutex::new(()),
        })
    }

    /// Puts the engine of `sys/` in place; it serves while the barrier is sealed too.
    pub fn install_system(&self, engine: Arc<dyn Engine>) {
        self.mounts.install_system(engine);
    }

    /// Lets go of the engine of `sys/`, which holds this value.
    pub(crate) fn remove_system(&self) {
        self.mounts.remove_system();
    }

    /// Whether the barrier is open and everything behind it is loaded.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// When this process started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Who this installation is; `None` before the first unseal.
    #[must_use]
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    /// Loads what the barrier hid. To be called whenever the barrier was opened; does nothing if it is loaded already.
    ///
    /// # Errors
    /// [`Fault::Sealed`] if the barrier is closed; whatever loading met, and then the barrier is sealed again.
    pub async fn opened(&self) -> Result<(), Fault> {
        let _turn = self.opening.lock().await;
        if self.is_open() {
            return Ok(());
        }
        if self.store.barrier().state().await.phase != BarrierPhase::Unsealed {
            return Err(Fault::Sealed);
        }
        let loaded = match self.nodes.begin(self).await {
            Ok(()) => self.load().await,
            failed => failed,
        };
        if let Err(fault) = loaded {
            tracing::error!(%fault, "the barrier opened but what lies behind it could not be loaded; sealing again");
            self.close().await;
            return Err(fault);
        }
        self.open.store(true, Ordering::Release);
        tracing::info!("unsealed");
        Ok(())
    }

    /// Forgets every secret and seals the barrier.
    pub async fn seal(&self) {
        let _turn = self.opening.lock().await;
        self.close().await;
        tracing::info!("sealed");
    }

    /// Revokes what a mount has granted, takes it out of service and deletes all it stored; `false` where there was
    /// none. Auth mounts are addressed with their `auth/`.
    ///
    /// # Errors
    /// [`Fault::Caller`] for mounts that cannot go; failures of engine and store, and then the mount stays.
    pub async fn unmount(&self, path: &str) -> Result<bool, Fault> {
        let Some(mounted) = self.mounts.removable(path, "unmount")? else { return Ok(false) };
        self.leases.revoke_prefix(&mounted.entry.path).await?;
        self.mounts.unmount(path).await
    }

    /// Moves a mount with its data to another path of the same class; its leases are revoked, as Vault does.
    ///
    /// # Errors
    /// [`Fault::Caller`] in Vault's words where it cannot move there; failures of the store.
    pub async fn remount(&self, from: &str, to: &str) -> Result<Arc<Mounted>, Fault> {
        let Some(mounted) = self.mounts.removable(from, "remount")? else {
            return Err(Fault::Caller(format!("no matching mount at \"{}/\"", from.trim_matches('/'))));
        };
        self.mounts.check_destination(&mounted.entry, to)?;
        self.leases.revoke_prefix(&mounted.entry.path).await?;
        self.mounts.remount(from, to).await
    }

    async fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.audit.forget().await;
        // First the barrier: a request still on its way must not read again what is forgotten next.
        self.store.barrier().seal().await;
        self.mounts.forget();
        self.external_keys.forget();
        self.tokens.forget();
    }

    async fn load(&self) -> Result<(), Fault> {
        self.load_cluster().await?;
        self.policies.ensure_builtin().await?;
        self.mounts.load().await?;
        self.audit.load(&self.settings.audit).await
    }

    async fn load_cluster(&self) -> Result<(), Fault> {
        const KEY: &str = "cluster";
        let view = self.store.view("sys/core/");
        let cluster = match view.read(KEY).await.map_err(from_store)? {
            Some(entry) => entry.decode::<Cluster>().map_err(from_store)?,
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                let short = id.get(..8).unwrap_or_default();
                let name = self.settings.cluster_name.clone().unwrap_or_else(|| format!("vault-cluster-{short}"));
                let cluster = Cluster { id, name };
                let mut changes = Changes::default();
                changes.create(&view, KEY, &cluster).map_err(from_store)?;
                self.store.commit(changes).await.map_err(from_store)?;
                cluster
            }
        };
        // After a seal and unseal it is the same one.
        let _known = self.cluster.set(cluster);
        Ok(())
    }
}

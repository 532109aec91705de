//! The SSH certificate engine: issuers, roles, certificates, revocation lists, one-time passwords.
//!
//! One road leads to a certificate, and the types allow no other:
//!
//! ```text
//! Asked ── role.approve ──▶ Approved ── encode ──▶ Linted ── HSM ──▶ certificate ──▶ inventory
//!          approve.rs                  certificate.rs     issuance.rs
//! ```
//!
//! | to change | look in |
//! |---|---|
//! | an endpoint | `routes.rs`, then its file in `api/` |
//! | which principals a role allows | `principals.rs`, `template.rs` |
//! | critical options, extensions | [`options`] |
//! | which keys are certified | [`public_key`] |
//! | how long certificates live | [`validity`] |
//! | what stands in a certificate | `certificate.rs` |
//! | issuers, the change from one key to another | [`authority`], [`rotation`] |
//! | revocation | `revocation.rs`, and [`krl`] for the format |
//! | renewal by proof of possession | `renewal.rs` |
//! | where it is stored | `storage.rs` |
//!
//! To add an endpoint: a file in `api/`, a line in `routes.rs`, a module of the same name in `tests/api/`.

mod api;
pub mod approve;
pub mod authority;
mod blob;
mod certificate;
mod custody;
pub mod error;
mod issuance;
pub mod issuer;
pub mod krl;
pub mod options;
mod otp;
mod principals;
mod private_key;
pub mod public_key;
mod renewal;
mod revocation;
pub mod role;
pub mod rotation;
mod routes;
mod serial;
pub mod settings;
mod signature;
mod storage;
mod template;
pub mod validity;

pub use error::SshError;

use async_trait::async_trait;
use authority::{Authority, Draft};
use chancery_engine::{Clock, Fault, MountPoint, RouteTable, Service};
use chancery_hsm::Hsm;
use chancery_store::{Changes, Page, SshChange, Store, View};
use custody::Custody;
use jiff::Timestamp;
use parking_lot::RwLock;
use role::Role;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// One mount of the engine (kind `ssh`).
pub struct SshAuthority {
    view: View,
    store: Store,
    custody: Custody,
    clock: Arc<dyn Clock>,
    cache: RwLock<Cache>,
    serials: tokio::sync::Mutex<serial::Series>,
    /// Another process has revoked: it may have been everything signed so far, reserved numbers included.
    block_over: AtomicBool,
    krl: tokio::sync::Mutex<revocation::KrlState>,
    used_nonces: parking_lot::Mutex<renewal::UsedNonces>,
}

/// What was read once. `epoch` moves with every change, so that a slow reader cannot put an old picture back.
#[derive(Default)]
struct Cache {
    epoch: u64,
    authority: Option<Arc<Authority>>,
    roles: HashMap<String, Arc<Role>>,
}

impl Cache {
    fn clear(&mut self) {
        *self = Self { epoch: self.epoch.wrapping_add(1), ..Self::default() };
    }
}

impl SshAuthority {
    /// A mount that keeps its records in `view` of `store`, and its keys in `hsm` (in software, sealed in storage, where
    /// there is none).
    #[must_use]
    pub fn new(view: View, store: Store, hsm: Option<Hsm>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            view,
            store,
            custody: Custody::new(hsm),
            clock,
            cache: RwLock::default(),
            serials: tokio::sync::Mutex::default(),
            block_over: AtomicBool::new(false),
            krl: tokio::sync::Mutex::default(),
            used_nonces: parking_lot::Mutex::default(),
        })
    }

    /// Name of the mount in the inventory.
    fn mount(&self) -> &str {
        self.view.name()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Issuers and rotations as they are.
    async fn authority(&self) -> Result<Arc<Authority>, SshError> {
        let epoch = {
            let cache = self.cache.read();
            if let Some(authority) = &cache.authority {
                return Ok(Arc::clone(authority));
            }
            cache.epoch
        };
        let authority = Arc::new(storage::read_authority(&self.view).await?);
        let mut cache = self.cache.write();
        if cache.epoch == epoch {
            cache.authority = Some(Arc::clone(&authority));
        }
        Ok(authority)
    }

    /// Changes issuers, rotations or the default; `edit` runs again if somebody else was quicker. What it returns besides
    /// is committed together with it.
    async fn change<T: Send>(
        &self,
        name: &'static str,
        edit: impl Fn(&mut Draft) -> Result<(T, Changes), SshError> + Send + Sync,
    ) -> Result<T, SshError> {
        let edit = &edit;
        let result = self
            .store
            .transact(name, move || async move {
                let mut draft = Draft::new(storage::read_authority(&self.view).await?);
                let (outcome, besides) = edit(&mut draft)?;
                let touches_lists = draft.touches_lists();
                let mut changes = draft.into_changes(&self.view)?;
                if touches_lists {
                    changes.append(self.next_version(false).await?.0);
                }
                changes.append(besides);
                Ok::<_, SshError>((changes, outcome))
            })
            .await;
        self.cache.write().clear();
        result
    }

    /// A role by name.
    async fn role(&self, name: &str) -> Result<Option<Arc<Role>>, SshError> {
        let epoch = {
            let cache = self.cache.read();
            if let Some(role) = cache.roles.get(name) {
                return Ok(Some(Arc::clone(role)));
            }
            cache.epoch
        };
        let Some(role) = storage::read::<Role>(&self.view, &storage::role(name)).await? else { return Ok(None) };
        let role = Arc::new(role);
        let mut cache = self.cache.write();
        if cache.epoch == epoch {
            cache.roles.insert(name.to_owned(), Arc::clone(&role));
        }
        Ok(Some(role))
    }

    /// Names of all roles.
    async fn role_names(&self) -> Result<Vec<String>, SshError> {
        Ok(self.view.list(storage::ROLES, Page::default()).await?)
    }

    /// Commits changes of roles.
    async fn commit_role(&self, changes: Changes) -> Result<(), SshError> {
        let result = self.store.commit(changes).await;
        self.cache.write().clear();
        result.map(|_| ()).map_err(SshError::from)
    }
}

#[async_trait]
impl Service for SshAuthority {
    fn routes() -> RouteTable<Self> {
        routes::table()
    }

    async fn revoke_lease(self: Arc<Self>, internal: &[u8]) -> Result<(), Fault> {
        Ok(self.forget_otp(internal).await?)
    }

    async fn tick(self: Arc<Self>, _mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        self.forget_ended_certificates(now).await?;
        Ok(self.forget_ended_revocations(now).await?)
    }

    fn forget(&self) {
        self.cache.write().clear();
    }

    fn changed_elsewhere(&self, keys: &[&str]) {
        if keys.contains(&storage::KRL) {
            self.block_over.store(true, Ordering::Release);
        }
        // Of these nothing is kept, or it is read again for every answer.
        let is_read =
            |key: &&str| [storage::KRL, storage::SERIAL, storage::RENEWAL].contains(key) || key.starts_with("otp/");
        if !keys.iter().all(is_read) {
            self.forget();
        }
    }

    async fn remove(self: Arc<Self>) -> Result<(), Fault> {
        let authority = storage::read_authority(&self.view).await?;
        let mut failure = None;
        for issuer in authority.issuers.values() {
            failure = failure.or(self.custody.destroy(issuer.key()?).await.err());
        }
        failure.map_or(Ok(()), Err)?;
        self.forget_serials().await;
        let mut changes = Changes::default();
        changes.ssh(SshChange::DeleteMount { mount: self.mount().to_owned() });
        self.store.commit(changes).await.map_err(SshError::from)?;
        Ok(())
    }
}

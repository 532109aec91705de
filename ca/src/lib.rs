//! The X.509 engine: issuers, roles, issuance, revocation and CRLs.
//!
//! One road leads to a certificate, and the types allow no other:
//!
//! ```text
//! Csr ── role.approve ──▶ Approved ── profile ──▶ Draft ── lint ──▶ Linted ── HSM ──▶ Certificate
//! csr.rs   approve.rs                 profile.rs          lint.rs    issuance.rs
//! ```
//!
//! | to change | look in |
//! |---|---|
//! | an endpoint | [`routes`], then its file in `api/` |
//! | which names a role allows | [`names`] |
//! | roles that are programs | [`cel`] |
//! | how long certificates live | [`validity`] |
//! | what stands in a certificate | [`profile`], and the rule for it in [`lint`] |
//! | issuers, keys, settings | [`authority`] |
//! | what is imported | [`bundle`] |
//! | what a door of its own (ACME) calls | [`door`] |
//! | revocation | [`revocation`]; what is published of it: [`publication`], [`crl`], [`ocsp`] |
//! | what is removed in time | [`tidy`] |
//! | where it is stored | `storage.rs` |
//!
//! To add an endpoint: a file in `api/`, a line in `routes.rs`, a module of the same name in `tests/api/`.

mod api;
pub mod approve;
pub mod authority;
pub mod bundle;
pub mod cel;
pub mod constraints;
pub mod crl;
pub mod csr;
mod custody;
pub mod door;
pub mod error;
pub mod facts;
pub mod issuance;
pub mod issuer;
pub mod key;
pub mod lint;
pub mod names;
pub mod ocsp;
pub mod oid;
pub mod pem;
pub mod private_key;
pub mod profile;
pub mod public_key;
pub mod publication;
pub mod requester;
pub mod revocation;
pub mod role;
mod routes;
pub mod san;
pub mod serial;
pub mod settings;
pub mod signature;
mod storage;
pub mod subject;
pub mod templates;
pub mod tidy;
pub mod urls;
pub mod usage;
pub mod validity;
pub mod verify;

pub use error::CaError;

use async_trait::async_trait;
use authority::{Authority, Draft};
use chancery_engine::{Clock, Fault, MountPoint, RouteTable, Service};
use chancery_hsm::{ExternalKeys, Hsm};
use chancery_store::{CertificateChange, Changes, Store, View};
use custody::Custody;
use jiff::Timestamp;
use parking_lot::RwLock;
use role::Role;
use std::{collections::HashMap, sync::Arc};

/// One mount of the engine (kind `pki`).
pub struct CertificateAuthority {
    view: View,
    store: Store,
    custody: Custody,
    clock: Arc<dyn Clock>,
    cache: RwLock<Cache>,
    press: publication::Press,
    answers: ocsp::Answers,
    tidying: tidy::Tidying,
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

impl CertificateAuthority {
    /// A mount that keeps its records in `view` of `store`, and its keys in `hsm` (in software, sealed in storage, where
    /// there is none).
    #[must_use]
    pub fn new(view: View, store: Store, hsm: Option<Hsm>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with_custody(view, store, Custody::new(hsm, None), clock)
    }

    /// The same with keys that operators registered (`kms`).
    #[must_use]
    pub fn with_external_keys(
        view: View,
        store: Store,
        hsm: Option<Hsm>,
        external: Arc<dyn ExternalKeys>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Self::with_custody(view, store, Custody::new(hsm, Some(external)), clock)
    }

    fn with_custody(view: View, store: Store, custody: Custody, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            view,
            store,
            custody,
            clock,
            cache: RwLock::default(),
            press: publication::Press::default(),
            answers: ocsp::Answers::default(),
            tidying: tidy::Tidying::default(),
        })
    }

    /// Name of the mount in the inventory.
    fn mount(&self) -> &str {
        self.view.name()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Issuers, keys and settings as they are.
    async fn authority(&self) -> Result<Arc<Authority>, CaError> {
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

    /// Changes issuers, keys or settings; `edit` runs again if somebody else was quicker.
    async fn change<T: Send>(
        &self,
        name: &'static str,
        edit: impl Fn(&mut Draft) -> Result<T, CaError> + Send + Sync,
    ) -> Result<T, CaError> {
        let edit = &edit;
        let result = self
            .store
            .transact(name, move || async move {
                let mut draft = Draft::new(storage::read_authority(&self.view).await?);
                let outcome = edit(&mut draft)?;
                Ok::<_, CaError>((draft.into_changes(&self.view)?, outcome))
            })
            .await;
        self.cache.write().clear();
        self.answers.take_back();
        result
    }

    /// A role by name.
    async fn role(&self, name: &str) -> Result<Option<Arc<Role>>, CaError> {
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

    /// Commits changes of roles.
    async fn commit_role(&self, changes: Changes) -> Result<(), CaError> {
        let result = self.store.commit(changes).await;
        self.cache.write().clear();
        result.map(|_| ()).map_err(CaError::from)
    }
}

#[async_trait]
impl Service for CertificateAuthority {
    fn routes() -> RouteTable<Self> {
        routes::table()
    }

    async fn revoke_lease(self: Arc<Self>, internal: &[u8]) -> Result<(), Fault> {
        Ok(self.revoke_leased(internal).await?)
    }

    async fn tick(self: Arc<Self>, _mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        let published = self.renew_due_crls(now).await;
        let answered = self.renew_answers(now).await;
        let ahead = self.sign_ahead(now).await;
        Self::tidy_when_due(&self, now).await?;
        published.and(answered).and(ahead)?;
        Ok(())
    }

    fn forget(&self) {
        self.cache.write().clear();
        self.custody.forget();
        self.press.forget();
        self.answers.forget_all();
    }

    fn changed_elsewhere(&self, keys: &[&str]) {
        // OCSP answers are looked at again after a second by themselves.
        let others = || keys.iter().filter(|key| !key.starts_with("ocsp") && !key.starts_with("tidy/"));
        if others().any(|key| !key.starts_with("crl")) {
            Service::forget(self);
        } else if others().next().is_some() {
            self.press.forget();
        }
    }

    async fn remove(self: Arc<Self>) -> Result<(), Fault> {
        let authority = storage::read_authority(&self.view).await?;
        self.custody.destroy_all(authority.keys.values()).await?;
        self.remove_responders(&authority).await?;
        self.forget_certificates().await?;
        let mut changes = Changes::default();
        changes.certificate(CertificateChange::DeleteMount { mount: self.mount().to_owned() });
        self.store.commit(changes).await.map_err(CaError::from)?;
        Ok(())
    }
}

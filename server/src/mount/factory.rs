//! The engine kinds this appliance knows, and how one is made for a mount.

use super::table::{MountClass, MountEntry};
use crate::external::ExternalKeyRegistry;
use chancery_acme_server::{AcmeServer, Front, Knobs};
use chancery_auth::{AppRole, Cubbyhole, TokenEngine, Tokens, Userpass};
use chancery_ca::CertificateAuthority;
use chancery_engine::{Clock, Engine, Fault, Hosted};
use chancery_hsm::Hsm;
use chancery_kv::{Plain, Versioned};
use chancery_ssh_ca::SshAuthority;
use chancery_store::Store;
use chancery_transit::Transit;
use std::sync::Arc;

/// What engines are made of.
pub(crate) struct Factory {
    pub(crate) store: Store,
    pub(crate) hsm: Option<Hsm>,
    pub(crate) external_keys: Arc<ExternalKeyRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Tokens,
    pub(crate) acme: Knobs,
}

impl Factory {
    /// Refuses kinds that cannot be mounted.
    pub(crate) fn check_mountable(class: MountClass, kind: &str) -> Result<(), Fault> {
        match (class, kind) {
            (MountClass::Secret, "transit" | "pki" | "ssh" | "kv" | "kv-v1" | "kv-v2" | "generic")
            | (MountClass::Auth, "approle" | "userpass") => Ok(()),
            (MountClass::Secret, "system" | "cubbyhole" | "identity") => {
                Err(Fault::Caller(format!("mount type of {kind:?} is not mountable")))
            }
            (MountClass::Auth, "token") => Err(Fault::caller("token credential backend cannot be instantiated")),
            _ => Err(Fault::Caller(format!("plugin not found in the catalog: {kind}"))),
        }
    }

    /// The engine of a mount.
    pub(crate) fn build(&self, entry: &MountEntry) -> Result<Arc<dyn Engine>, Fault> {
        let view = self.store.view(&entry.view_name());
        let store = self.store.clone();
        let clock = Arc::clone(&self.clock);
        let version = entry.tuning.options.as_ref().and_then(|options| options.get("version")).map(String::as_str);
        Ok(match (entry.kind.as_str(), version) {
            ("transit", _) => {
                let external_keys = self.external_keys.for_mount(&entry.uuid);
                let hsm = self.hsm.clone();
                Arc::new(Hosted::new(Transit::with_external_keys(view, store, hsm, external_keys, clock)))
            }
            ("pki", _) => {
                let external_keys = self.external_keys.for_mount(&entry.uuid);
                let (hsm, keys) = (self.hsm.clone(), view.clone());
                let authority = CertificateAuthority::with_external_keys(
                    keys,
                    store.clone(),
                    hsm,
                    external_keys,
                    Arc::clone(&clock),
                );
                let acme = AcmeServer::new(Arc::clone(&authority), (&view, store), clock, self.acme.clone())?;
                Arc::new(Front::new(authority, acme))
            }
            ("ssh", _) => Arc::new(Hosted::new(SshAuthority::new(view, store, self.hsm.clone(), clock))),
            ("kv-v2", _) | ("kv", Some("2")) => Arc::new(Hosted::new(Versioned::new(view, store, clock))),
            ("kv" | "kv-v1" | "generic", _) => Arc::new(Hosted::new(Plain::new(view, store))),
            ("cubbyhole", _) => Arc::new(Hosted::new(Cubbyhole::new(store))),
            ("token", _) => Arc::new(Hosted::new(TokenEngine::new(self.tokens.clone(), &view, store))),
            ("approle", _) => Arc::new(Hosted::new(AppRole::new(view, store, clock))),
            ("userpass", _) => Arc::new(Hosted::new(Userpass::new(&view, store, clock))),
            (kind, _) => return Err(Fault::Dependency(format!("engine kind {kind:?} is unknown to this build"))),
        })
    }
}

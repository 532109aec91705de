//! The engine kinds this appliance knows, and how one is made for a mount.

use super::table::{MountClass, MountEntry};
use chancery_engine::{Clock, Engine, Fault};
use chancery_hsm::Hsm;
use chancery_store::Store;
use std::sync::Arc;

/// What engines are made of.
pub(crate) struct Factory {
    pub(crate) store: Store,
    pub(crate) hsm: Option<Hsm>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Factory {
    /// Refuses kinds that cannot be mounted.
    pub(crate) fn check_mountable(class: MountClass, kind: &str) -> Result<(), Fault> {
        match (class, kind) {
            (MountClass::Secret, "transit" | "pki") | (MountClass::Auth, "approle" | "userpass") => Ok(()),
            (MountClass::Secret, "system" | "cubbyhole" | "identity") => {
                Err(Fault::Caller(format!("mount type of {kind:?} is not mountable")))
            }
            (MountClass::Auth, "token") => Err(Fault::caller("token credential backend cannot be instantiated")),
            _ => Err(Fault::Caller(format!("plugin not found in the catalog: {kind}"))),
        }
    }

    pub(crate) fn build(&self, entry: &MountEntry) -> Result<Arc<dyn Engine>, Fault> {
        let _ = (&self.store, &self.hsm, &self.clock);
        Err(Fault::Dependency(format!("engine kind {:?} is unknown to this build", entry.kind)))
    }
}

//! One mount, two services: the X.509 engine and the ACME server in front of it. Routing, permits and audit are the
//! mount's, so there is no second way in.

use crate::server::AcmeServer;
use async_trait::async_trait;
use chancery_ca::CertificateAuthority;
use chancery_engine::{
    Call, Engine, Fault, Hosted, MountPoint, Response, RouteMatch, RouteMiss, Verb, route::RouteDescription,
};
use jiff::Timestamp;
use std::sync::Arc;

/// The engine of a `pki` mount.
pub struct Front {
    authority: Hosted<CertificateAuthority>,
    acme: Hosted<AcmeServer>,
    /// Where the ACME server's routes begin.
    first: usize,
}

impl Front {
    /// The X.509 engine with its ACME server.
    #[must_use]
    pub fn new(authority: Arc<CertificateAuthority>, acme: Arc<AcmeServer>) -> Self {
        let authority = Hosted::new(authority);
        Self { first: authority.describe().len(), authority, acme: Hosted::new(acme) }
    }

    fn acme_index(&self, index: usize) -> Option<usize> {
        index.checked_sub(self.first)
    }
}

/// Whether a path relative to the mount is one of the protocol: what comes there is a JWS, not parameters.
#[must_use]
pub fn is_protocol_path(path: &str) -> bool {
    const ENDPOINTS: [&str; 12] = [
        "directory",
        "new-nonce",
        "new-account",
        "new-order",
        "new-authz",
        "revoke-cert",
        "key-change",
        "account",
        "order",
        "authorization",
        "challenge",
        "star",
    ];
    let mut segments = path.split('/');
    let place = loop {
        match segments.next() {
            Some("acme") => break segments.next(),
            Some("roles" | "issuer") => match segments.next() {
                Some(_) => {}
                None => return false,
            },
            _ => return false,
        }
    };
    place.is_some_and(|place| ENDPOINTS.contains(&place) || place == "renewal-info")
}

#[async_trait]
impl Engine for Front {
    fn find(&self, verb: Verb, path: &str) -> Result<RouteMatch, RouteMiss> {
        match self.acme.find(verb, path) {
            Ok(mut matched) => {
                matched.index += self.first;
                Ok(matched)
            }
            Err(RouteMiss::Operation) => Err(RouteMiss::Operation),
            Err(RouteMiss::Path) => self.authority.find(verb, path),
        }
    }

    fn describe(&self) -> Vec<RouteDescription> {
        let mut all = self.authority.describe();
        all.extend(self.acme.describe());
        all
    }

    async fn exists(&self, matched: &RouteMatch) -> Result<bool, Fault> {
        match self.acme_index(matched.index) {
            Some(index) => self.acme.exists(&RouteMatch { index, ..matched.clone() }).await,
            None => self.authority.exists(matched).await,
        }
    }

    async fn handle(&self, index: usize, verb: Verb, call: Call) -> Result<Response, Fault> {
        match self.acme_index(index) {
            Some(index) => self.acme.handle(index, verb, call).await,
            None => self.authority.handle(index, verb, call).await,
        }
    }

    async fn revoke_lease(&self, internal: &[u8]) -> Result<(), Fault> {
        self.authority.revoke_lease(internal).await
    }

    async fn begin(&self, mount: Arc<MountPoint>) -> Result<(), Fault> {
        let issuing = self.authority.begin(Arc::clone(&mount)).await;
        issuing.and(self.acme.begin(mount).await)
    }

    async fn tick(&self, mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        let issuing = self.authority.tick(Arc::clone(&mount), now).await;
        let serving = self.acme.tick(mount, now).await;
        issuing.and(serving)
    }

    async fn tend(&self) -> Result<(), Fault> {
        let issuing = self.authority.tend().await;
        issuing.and(self.acme.tend().await)
    }

    fn forget(&self) {
        self.authority.forget();
        self.acme.forget();
    }

    fn changed_elsewhere(&self, keys: &[&str]) {
        let (acme, others): (Vec<&str>, Vec<&str>) = keys.iter().partition(|key| key.starts_with("acme/"));
        if !acme.is_empty() {
            self.acme.changed_elsewhere(&acme);
        }
        if !others.is_empty() {
            self.authority.changed_elsewhere(&others);
        }
    }

    async fn remove(&self) -> Result<(), Fault> {
        self.authority.remove().await
    }
}

#[cfg(test)]
mod tests {
    use super::is_protocol_path;

    #[test]
    fn paths_of_the_protocol_are_told_from_those_of_operators() {
        for path in [
            "acme/directory",
            "roles/web/acme/new-order",
            "issuer/default/acme/order/1/finalize",
            "issuer/i/roles/r/acme/revoke-cert",
            "acme/renewal-info/a.b",
            "roles/web/acme/star/account/order",
        ] {
            assert!(is_protocol_path(path), "{path}");
        }
        for path in ["acme/new-eab", "roles/web/acme/new-eab", "roles/acme", "config/acme", "acme", "eab", "roles", ""]
        {
            assert!(!is_protocol_path(path), "{path}");
        }
    }
}

//! An engine: code that serves one kind of secret or one login method, at however many mounts.

use crate::{
    call::{Call, MountPoint},
    fault::Fault,
    operation::Verb,
    response::Response,
    route::{RouteDescription, RouteMatch, RouteMiss, RouteTable},
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;

/// What the author of an engine writes. One value serves one mount.
#[async_trait]
pub trait Service: Send + Sync + Sized + 'static {
    /// The index of endpoints; built once per mount.
    fn routes() -> RouteTable<Self>;

    /// Undoes what a lease stands for; `internal` is what [`LeaseGrant`](crate::response::LeaseGrant) stored.
    async fn revoke_lease(self: Arc<Self>, internal: &[u8]) -> Result<(), Fault> {
        let _ = internal;
        Ok(())
    }

    /// Goes on with what was under way when the process stopped. Called soon after the barrier was opened, in every process.
    async fn begin(self: Arc<Self>, mount: Arc<MountPoint>) -> Result<(), Fault> {
        let _ = mount;
        Ok(())
    }

    /// Work that is due at `now`: rotation, tidy, CRL. Called about once a minute; looks only at what is due.
    async fn tick(self: Arc<Self>, mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        let _ = (mount, now);
        Ok(())
    }

    /// Upkeep of what this process holds in memory. Called about once a minute, in every process; [`tick`](Self::tick) in
    /// one of them.
    async fn tend(self: Arc<Self>) -> Result<(), Fault> {
        Ok(())
    }

    /// Forgets everything cached: the barrier was sealed, or the mount goes away.
    fn forget(&self) {}

    /// Another process has written or removed these keys of the mount's view, or all below one that ends in a slash:
    /// forgets what was made of them, before it answers. Without a better idea, everything.
    fn changed_elsewhere(&self, keys: &[&str]) {
        let _ = keys;
        self.forget();
    }

    /// Deletes what the mount keeps outside its storage view (objects in the HSM). Called before the view is deleted.
    async fn remove(self: Arc<Self>) -> Result<(), Fault> {
        Ok(())
    }
}

/// What the router holds: a [`Service`] without its type.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Finds the endpoint of `path`, relative to the mount.
    fn find(&self, verb: Verb, path: &str) -> Result<RouteMatch, RouteMiss>;
    /// Every endpoint, for tests and documentation.
    fn describe(&self) -> Vec<RouteDescription>;
    /// Tells create from update.
    async fn exists(&self, matched: &RouteMatch) -> Result<bool, Fault>;
    /// Runs the endpoint.
    async fn handle(&self, index: usize, verb: Verb, call: Call) -> Result<Response, Fault>;
    /// See [`Service::revoke_lease`].
    async fn revoke_lease(&self, internal: &[u8]) -> Result<(), Fault>;
    /// See [`Service::begin`].
    async fn begin(&self, mount: Arc<MountPoint>) -> Result<(), Fault>;
    /// See [`Service::tick`].
    async fn tick(&self, mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault>;
    /// See [`Service::tend`].
    async fn tend(&self) -> Result<(), Fault>;
    /// See [`Service::forget`].
    fn forget(&self);
    /// See [`Service::changed_elsewhere`].
    fn changed_elsewhere(&self, keys: &[&str]);
    /// See [`Service::remove`].
    async fn remove(&self) -> Result<(), Fault>;
}

/// A [`Service`] with its route table; the one implementation of [`Engine`].
pub struct Hosted<S: Service> {
    service: Arc<S>,
    routes: RouteTable<S>,
}

impl<S: Service> Hosted<S> {
    /// Hosts `service`.
    #[must_use]
    pub fn new(service: Arc<S>) -> Self {
        Self { service, routes: S::routes() }
    }
}

#[async_trait]
impl<S: Service> Engine for Hosted<S> {
    fn find(&self, verb: Verb, path: &str) -> Result<RouteMatch, RouteMiss> {
        self.routes.find(verb, path)
    }

    fn describe(&self) -> Vec<RouteDescription> {
        self.routes.describe()
    }

    async fn exists(&self, matched: &RouteMatch) -> Result<bool, Fault> {
        self.routes.exists(Arc::clone(&self.service), matched).await
    }

    async fn handle(&self, index: usize, verb: Verb, call: Call) -> Result<Response, Fault> {
        let notes = Arc::clone(&call.notes);
        let captures: Vec<&'static str> = call.captures.names().collect();
        let mut response = self.routes.handle(index, verb, Arc::clone(&self.service), call).await?;
        if !response.is_empty() && response.raw.is_none() {
            response.warnings.extend(notes.warnings(&captures));
        }
        Ok(response)
    }

    async fn revoke_lease(&self, internal: &[u8]) -> Result<(), Fault> {
        Arc::clone(&self.service).revoke_lease(internal).await
    }

    async fn begin(&self, mount: Arc<MountPoint>) -> Result<(), Fault> {
        Arc::clone(&self.service).begin(mount).await
    }

    async fn tick(&self, mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        Arc::clone(&self.service).tick(mount, now).await
    }

    async fn tend(&self) -> Result<(), Fault> {
        Arc::clone(&self.service).tend().await
    }

    fn forget(&self) {
        self.service.forget();
    }

    fn changed_elsewhere(&self, keys: &[&str]) {
        self.service.changed_elsewhere(keys);
    }

    async fn remove(&self) -> Result<(), Fault> {
        Arc::clone(&self.service).remove().await
    }
}

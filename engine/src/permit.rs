//! Proof that the policies said yes.

use crate::{identity::Identity, operation::Operation};
use std::{sync::Arc, time::Duration};

/// Minted by [`Acl::authorize`](crate::policy::Acl::authorize), or for a route that is public; a handler cannot run
/// without one and cannot make one.
#[derive(Debug)]
pub struct Permit {
    identity: Option<Arc<Identity>>,
    operation: Operation,
    granting_policies: Vec<String>,
    sudo: bool,
    wrapping: WrappingBounds,
}

/// Bounds that the matched policy rule sets on the response-wrapping TTL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrappingBounds {
    /// `min_wrapping_ttl`
    pub minimum: Option<Duration>,
    /// `max_wrapping_ttl`
    pub maximum: Option<Duration>,
}

impl Permit {
    pub(crate) fn granted(
        identity: Arc<Identity>,
        operation: Operation,
        granting_policies: Vec<String>,
        sudo: bool,
        wrapping: WrappingBounds,
    ) -> Self {
        Self { identity: Some(identity), operation, granting_policies, sudo, wrapping }
    }

    pub(crate) fn public(operation: Operation) -> Self {
        Self {
            identity: None,
            operation,
            granting_policies: Vec::new(),
            sudo: false,
            wrapping: WrappingBounds::default(),
        }
    }

    pub(crate) fn public_to(identity: Arc<Identity>, operation: Operation) -> Self {
        Self { identity: Some(identity), ..Self::public(operation) }
    }

    /// The caller; `None` on a public route where nobody is known.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// What was permitted.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Names of the policies whose rules granted it, for the audit log.
    #[must_use]
    pub fn granting_policies(&self) -> &[String] {
        &self.granting_policies
    }

    /// Whether the caller holds `sudo` on this path.
    #[must_use]
    pub fn is_sudo(&self) -> bool {
        self.sudo
    }

    /// Bounds on a response-wrapping TTL.
    #[must_use]
    pub fn wrapping(&self) -> WrappingBounds {
        self.wrapping
    }
}

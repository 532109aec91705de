//! The compiled policies of one caller, and the only place that mints a [`Permit`].
//!
//! An exact rule decides before any wildcard; of the wildcards the first in [`WildPattern::by_precedence`] that matches
//! decides alone. LIST and SCAN ask with a trailing slash and, where no rule knows that path, without it.

use crate::{
    fault::Fault,
    identity::Identity,
    operation::{Capability, Operation},
    permit::{Permit, WrappingBounds},
    policy::{
        document::{Policy, Rule},
        parameters::ParameterRules,
        pattern::{Pattern, WildPattern},
        template,
    },
    request::Body,
    route::{Access, RouteMatch},
};
use jiff::Timestamp;
use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

/// What one caller may do: the rules of all its policies, ready to match.
#[derive(Debug, Default)]
pub struct Acl {
    root: bool,
    exact: HashMap<String, Grant>,
    wild: Vec<(WildPattern, Grant)>,
    valid_until: Option<Timestamp>,
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

/// When and for whom policies are compiled.
#[derive(Clone, Copy)]
pub struct Compilation<'a> {
    /// Rules with an `expiration` before this are left out.
    pub now: Timestamp,
    /// Values for `{{templates}}` by name; an unknown one voids its rule.
    pub value_of: &'a dyn Fn(&str) -> Option<String>,
}

/// A set of [`Capability`], one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CapabilitySet(u16);

/// What the rules on one path grant together.
#[derive(Debug, Clone, Default)]
struct Grant {
    capabilities: CapabilitySet,
    parameters: ParameterRules,
    min_wrapping_ttl: u64,
    max_wrapping_ttl: u64,
    /// Which policy gave what.
    by: Vec<(String, CapabilitySet)>,
}

impl CapabilitySet {
    fn of(capabilities: &[Capability]) -> Self {
        Self(capabilities.iter().fold(0, |bits, capability| bits | Self::bit(*capability)))
    }

    fn bit(capability: Capability) -> u16 {
        1 << match capability {
            Capability::Deny => 0,
            Capability::Create => 1,
            Capability::Read => 2,
            Capability::Update => 3,
            Capability::Delete => 4,
            Capability::List => 5,
            Capability::Sudo => 6,
            Capability::Patch => 7,
            Capability::Scan => 8,
            Capability::Subscribe => 9,
            Capability::Recover => 10,
        }
    }

    fn has(self, capability: Capability) -> bool {
        self.0 & Self::bit(capability) != 0
    }

    fn unite(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn grants_anything(self) -> bool {
        self.0 != 0 && !self.has(Capability::Deny)
    }
}

impl Grant {
    fn of(rule: &Rule, policy: &str) -> Self {
        let capabilities = CapabilitySet::of(&rule.capabilities);
        Self {
            capabilities,
            parameters: rule.parameters.clone(),
            min_wrapping_ttl: rule.min_wrapping_ttl,
            max_wrapping_ttl: rule.max_wrapping_ttl,
            by: vec![(policy.to_owned(), capabilities)],
        }
    }

    /// The same path again: capabilities unite, deny wins over everything, the lesser wrapping bounds hold.
    fn merge(&mut self, other: Self) {
        if self.capabilities.has(Capability::Deny) {
            return;
        }
        if other.capabilities.has(Capability::Deny) {
            *self = other;
            return;
        }
        self.capabilities.unite(other.capabilities);
        self.parameters.merge(&other.parameters);
        self.min_wrapping_ttl = lesser_bound(self.min_wrapping_ttl, other.min_wrapping_ttl);
        self.max_wrapping_ttl = lesser_bound(self.max_wrapping_ttl, other.max_wrapping_ttl);
        self.by.extend(other.by);
    }

    fn permits(&self, request: &AccessRequest<'_>) -> bool {
        if self.capabilities.has(Capability::Deny)
            || !self.capabilities.has(Capability::for_operation(request.operation))
            || request.needs_sudo && !self.capabilities.has(Capability::Sudo)
        {
            return false;
        }
        let wrap_ttl = request.wrap_ttl.filter(|ttl| *ttl > 0);
        if self.max_wrapping_ttl > 0 && wrap_ttl.is_none_or(|ttl| ttl > self.max_wrapping_ttl)
            || self.min_wrapping_ttl > 0 && wrap_ttl.is_none_or(|ttl| ttl < self.min_wrapping_ttl)
        {
            return false;
        }
        match request.operation {
            Operation::Create | Operation::Read | Operation::Update | Operation::Patch => {
                self.parameters.accept(request.body)
            }
            Operation::Delete | Operation::List | Operation::Scan => true,
        }
    }

    fn granting(&self, operation: Operation) -> Vec<String> {
        let needed = Capability::for_operation(operation);
        self.by.iter().filter(|(_, given)| given.has(needed)).map(|(policy, _)| policy.clone()).collect()
    }

    fn wrapping(&self) -> WrappingBounds {
        let bound = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        WrappingBounds { minimum: bound(self.min_wrapping_ttl), maximum: bound(self.max_wrapping_ttl) }
    }
}

fn lesser_bound(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, bound) | (bound, 0) => bound,
        (one, other) => one.min(other),
    }
}

impl Acl {
    /// Compiles the policies of a caller of whom no template value is known; rules do not expire.
    #[must_use]
    pub fn compile(policies: &[Arc<Policy>]) -> Self {
        Self::compile_for(policies, Compilation { now: Timestamp::MIN, value_of: &|_| None })
    }

    /// Compiles the policies of one caller at one moment; see [`valid_until`](Self::valid_until).
    #[must_use]
    pub fn compile_for(policies: &[Arc<Policy>], compilation: Compilation<'_>) -> Self {
        let mut acl = Self { root: policies.iter().any(|policy| policy.name == "root"), ..Self::default() };
        let mut wild: HashMap<String, (WildPattern, Grant)> = HashMap::new();
        for (policy, rule) in policies.iter().flat_map(|policy| policy.rules.iter().map(move |rule| (policy, rule))) {
            if let Some(expiration) = rule.expiration {
                if expiration <= compilation.now {
                    continue;
                }
                acl.valid_until = Some(acl.valid_until.map_or(expiration, |until| until.min(expiration)));
            }
            let Some(path) = template::fill(&rule.path, compilation.value_of) else { continue };
            let grant = Grant::of(rule, &policy.name);
            match Pattern::of(&path) {
                Pattern::Exact(path) => match acl.exact.get_mut(&path) {
                    Some(known) => known.merge(grant),
                    None => drop(acl.exact.insert(path, grant)),
                },
                Pattern::Wild(pattern) => match wild.get_mut(&path) {
                    Some((_, known)) => known.merge(grant),
                    None => drop(wild.insert(path, (pattern, grant))),
                },
            }
        }
        acl.wild = wild.into_values().collect();
        acl.wild.sort_by(|(one, _), (other, _)| one.by_precedence(other));
        acl
    }

    /// When the first rule expires; the policies must be compiled again then.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }

    /// Whether this is the ACL of the `root` policy.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// Decides, and mints the proof.
    ///
    /// # Errors
    /// [`Fault::Denied`] when the policies do not grant it.
    pub fn authorize(&self, identity: &Arc<Identity>, request: &AccessRequest<'_>) -> Result<Permit, Fault> {
        let caller = Arc::clone(identity);
        if self.root {
            let bounds = WrappingBounds::default();
            return Ok(Permit::granted(caller, request.operation, vec!["root".to_owned()], true, bounds));
        }
        let lists = matches!(request.operation, Operation::List | Operation::Scan);
        let path = if lists && !request.path.ends_with('/') && !request.path.is_empty() {
            Cow::Owned(format!("{}/", request.path))
        } else {
            Cow::Borrowed(request.path)
        };
        let grant = self.find(&path, lists).filter(|grant| grant.permits(request)).ok_or(Fault::Denied)?;
        Ok(Permit::granted(
            caller,
            request.operation,
            grant.granting(request.operation),
            grant.capabilities.has(Capability::Sudo),
            grant.wrapping(),
        ))
    }

    /// The permit of a route that needs no token; `None` where it does.
    #[must_use]
    pub fn permit_public(matched: &RouteMatch, operation: Operation) -> Option<Permit> {
        (matched.access == Access::Public).then(|| Permit::public(operation))
    }

    /// The permit of a route that needs no token, for a caller who showed one; the route decides what that changes.
    #[must_use]
    pub fn permit_public_to(matched: &RouteMatch, operation: Operation, identity: &Arc<Identity>) -> Option<Permit> {
        (matched.access == Access::Public).then(|| Permit::public_to(Arc::clone(identity), operation))
    }

    /// What `sys/capabilities` shows for `path`, sorted; `["root"]` for root, `["deny"]` where nothing is granted.
    #[must_use]
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        use Capability::{Create, Delete, List, Patch, Read, Recover, Scan, Subscribe, Sudo, Update};
        if self.root {
            return vec!["root"];
        }
        let given = self.find(path.trim_start_matches('/'), true).map_or(CapabilitySet(0), |grant| grant.capabilities);
        if !given.grants_anything() {
            return vec!["deny"];
        }
        let mut words: Vec<_> = [Create, Delete, List, Patch, Read, Recover, Scan, Subscribe, Sudo, Update]
            .into_iter()
            .filter(|capability| given.has(*capability))
            .map(Capability::as_str)
            .collect();
        words.sort_unstable();
        words
    }

    /// Whether anything at or below `mount` is granted; decides what `sys/internal/ui/mounts` shows.
    #[must_use]
    pub fn reaches_into(&self, mount: &str) -> bool {
        let below = format!("{}/", mount.trim_matches('/'));
        self.root
            || self.find(&below, true).is_some_and(|grant| grant.capabilities.grants_anything())
            || self.exact.iter().any(|(path, grant)| path.starts_with(&below) && grant.capabilities.grants_anything())
            || self
                .wild
                .iter()
                .any(|(pattern, grant)| grant.capabilities.grants_anything() && pattern.reaches_into(&below))
    }

    fn find(&self, path: &str, lists: bool) -> Option<&Grant> {
        let bare = path.strip_suffix('/').filter(|_| lists);
        self.exact
            .get(path)
            .or_else(|| bare.and_then(|bare| self.exact.get(bare)))
            .or_else(|| self.find_wild(path))
            .or_else(|| bare.and_then(|bare| self.find_wild(bare)))
    }

    fn find_wild(&self, path: &str) -> Option<&Grant> {
        self.wild.iter().find(|(pattern, _)| pattern.matches(path)).map(|(_, grant)| grant)
    }
}

impl std::fmt::Debug for Compilation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compilation").field("now", &self.now).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

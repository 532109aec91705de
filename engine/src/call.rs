//! What a handler holds: the permit, the parameters and the mount it serves.

use crate::{
    fault::Fault, identity::Identity, permit::Permit, request::Body, route::Captures, secret::SecretString, wire,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

/// One permitted call of one endpoint.
#[derive(Debug)]
pub struct Call {
    /// Proof that the caller may do this.
    pub permit: Permit,
    /// The mount that is addressed.
    pub mount: Arc<MountPoint>,
    /// What the route's placeholders matched.
    pub captures: Captures,
    /// The parameters.
    pub body: Body,
    /// UUID of the request.
    pub request_id: String,
    /// The peer of the connection.
    pub client: Option<SocketAddr>,
    /// Request headers the mount may see; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The token as it was presented. Set only for the token, system and cubbyhole engines, which act on it.
    pub token: Option<SecretString>,
    pub(crate) notes: Arc<Notes>,
}

/// A mounted engine as its handlers see it.
#[derive(Debug, Clone)]
pub struct MountPoint {
    /// Path with a trailing slash, without a leading one: `transit/`, `auth/approle/`.
    pub path: String,
    /// Engine kind: `transit`, `pki`, `approle`.
    pub kind: String,
    /// Stable handle, such as `transit_1a2b3c4d`.
    pub accessor: String,
    /// UUID; names the mount's storage view.
    pub uuid: String,
    /// `default_lease_ttl` in seconds, the system's where the mount has none.
    pub default_lease_ttl: u64,
    /// `max_lease_ttl` in seconds, the system's where the mount has none.
    pub max_lease_ttl: u64,
    /// `options` of the mount, such as kv's `version`.
    pub options: BTreeMap<String, String>,
}

/// Remarks gathered while a call is handled; [`Hosted`](crate::Hosted) turns them into warnings.
#[derive(Debug, Default)]
pub struct Notes {
    ignored: Mutex<Vec<String>>,
}

impl Call {
    /// Assembles a call. `notes` come back as warnings of the answer.
    #[must_use]
    pub fn new(permit: Permit, mount: Arc<MountPoint>, captures: Captures, body: Body) -> Self {
        Self {
            permit,
            mount,
            captures,
            body,
            request_id: String::new(),
            client: None,
            headers: Vec::new(),
            token: None,
            notes: Arc::default(),
        }
    }

    /// The caller.
    ///
    /// # Errors
    /// [`Fault::Denied`] on a public route, where nobody is known.
    pub fn identity(&self) -> Result<&Arc<Identity>, Fault> {
        self.permit.identity().ok_or(Fault::Denied)
    }

    /// Parses the parameters into the endpoint's own struct. Members the struct does not know become the warning
    /// Vault gives; they never fail the request.
    ///
    /// # Errors
    /// [`Fault::Caller`] that names the member and what is wrong with it.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Fault> {
        wire::parse_body(self.body.json(), |member| {
            if let Ok(mut ignored) = self.notes.ignored.lock() {
                ignored.push(member);
            }
        })
    }

    /// Tells the caller that a member means nothing to this endpoint, where one reader serves several.
    pub fn note_ignored(&self, member: &str) {
        if let Ok(mut ignored) = self.notes.ignored.lock() {
            ignored.push(member.to_owned());
        }
    }

    /// Value of a request header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

impl Notes {
    /// The warnings that Vault's framework adds to an answer that has a body.
    #[must_use]
    pub(crate) fn warnings(&self, captures: &[&'static str]) -> Vec<String> {
        let Ok(mut ignored) = self.ignored.lock() else { return Vec::new() };
        ignored.sort();
        ignored.dedup();
        let (replaced, unknown): (Vec<_>, Vec<_>) =
            ignored.drain(..).partition(|member| captures.contains(&member.as_str()));
        let mut warnings = Vec::new();
        if !unknown.is_empty() {
            warnings.push(format!("Endpoint ignored these unrecognized parameters: [{}]", unknown.join(" ")));
        }
        if !replaced.is_empty() {
            warnings.push(format!(
                "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{}]",
                replaced.join(" ")
            ));
        }
        warnings
    }
}

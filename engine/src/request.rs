//! What the door read from the wire, before anyone knows who asks.

use crate::{
    operation::Verb,
    path::RequestPath,
    secret::{SecretBytes, SecretString},
};
use std::{net::SocketAddr, time::Duration};

/// One request as the door understood it. It has no way to reach an engine: only a [`Permit`](crate::Permit) has.
#[derive(Debug)]
pub struct Request {
    /// UUID, echoed as `request_id` and written to the audit log.
    pub id: String,
    /// What the method said.
    pub verb: Verb,
    /// Where it is addressed, relative to `/v1/`.
    pub path: RequestPath,
    /// JSON object or nothing.
    pub body: Body,
    /// `X-Vault-Token` or `Authorization: Bearer`.
    pub token: Option<SecretString>,
    /// `X-Vault-Wrap-TTL`
    pub wrap_ttl: Option<Duration>,
    /// The peer of the connection.
    pub client: Option<SocketAddr>,
    /// Request headers that engines or the audit log may look at; names in lower case.
    pub headers: Vec<(String, String)>,
}

/// The request's parameters as one JSON object, whatever way they came: JSON, a form, or a GET's query string.
/// Depth and string count were bounded by the door.
#[derive(Debug, Clone, Default)]
pub struct Body(SecretBytes);

impl Body {
    /// Wraps the text of a JSON object; empty bytes mean no parameters.
    #[must_use]
    pub fn from_json(bytes: Vec<u8>) -> Self {
        Self(SecretBytes::new(bytes))
    }

    /// The JSON text; empty where there were no parameters.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        self.0.expose()
    }

    /// Whether the client sent no parameters at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.json().is_empty()
    }
}

//! ACME over HTTP (RFC 8555 §6): a signed request is a text that says nothing to the door, so it goes in as the parameter
//! `jws`. Only at the places of the protocol below mounts of certificates; elsewhere nothing changes.

use super::door::Door;
use chancery_acme_server::front::is_protocol_path;
use chancery_engine::{Body, RequestPath};
use serde::Serialize;

#[derive(Serialize)]
struct Carried<'a> {
    content_type: &'a str,
    jws: &'a str,
}

/// The body of a request of the protocol as parameters; `None` for any other body.
pub(crate) fn body(door: &Door, path: &RequestPath, content_type: &str, bytes: &[u8]) -> Option<Body> {
    if !is_protocol(door, path.as_str()) {
        return None;
    }
    // What is no text is no JSON either; the protocol says so in its own words.
    let jws = String::from_utf8_lossy(bytes);
    serde_json::to_vec(&Carried { content_type, jws: &jws }).ok().map(Body::from_json)
}

/// The parameters of a HEAD.
pub(crate) fn head() -> Body {
    Body::from_json(br#"{"method":"HEAD"}"#.to_vec())
}

/// Whether HEAD is answered here: clients fetch nonces with it (RFC 8555 §7.2), or from the directory.
pub(crate) fn is_nonce_path(door: &Door, path: &str) -> bool {
    let Some(path) = path.strip_prefix("/v1/") else { return false };
    (path.ends_with("/acme/new-nonce") || path.ends_with("/acme/directory")) && is_protocol(door, path)
}

fn is_protocol(door: &Door, path: &str) -> bool {
    // Every request with a body comes by here, so the mount is looked for only where it may matter.
    if !path.contains("/acme/") {
        return false;
    }
    door.core.mounts.route(path).is_some_and(|(mounted, rest)| mounted.entry.kind == "pki" && is_protocol_path(rest))
}

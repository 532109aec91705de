//! What a request comes to, before it is rendered.

use chancery_engine::{Fault, Response, response::AuthOutcome, secret::SecretBytes};
use serde::Serialize;

/// The outcome of one request with what the envelope needs besides.
#[derive(Debug)]
pub struct Reply {
    /// UUID of the request.
    pub request_id: String,
    /// What the engine answered.
    pub outcome: Result<Response, Fault>,
    /// The lease that was registered for the answer.
    pub lease: Option<Lease>,
    /// Whether the members of `data` stand at the top level too.
    pub repeats_data: bool,
}

/// A registered lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// `lease_id`
    pub id: String,
    /// `lease_duration`, in seconds.
    pub duration: u64,
    /// `renewable`
    pub renewable: bool,
}

impl Reply {
    /// A plain answer.
    #[must_use]
    pub fn new(request_id: impl Into<String>, outcome: Result<Response, Fault>) -> Self {
        Self { request_id: request_id.into(), outcome, lease: None, repeats_data: false }
    }
}

/// Routes whose answers repeat the members of `data` at the top level; older clients read them
/// there. A pattern ends in `*` where anything may follow.
const REPEATING: [&str; 20] = [
    "sys/audit",
    "sys/audit/*",
    "sys/audit-hash/*",
    "sys/auth",
    "sys/auth/*",
    "sys/config/cors",
    "sys/config/auditing/request-headers/*",
    "sys/config/auditing/request-headers",
    "sys/capabilities",
    "sys/capabilities-accessor",
    "sys/capabilities-self",
    "sys/ha-status",
    "sys/key-status",
    "sys/mounts",
    "sys/mounts/*",
    "sys/policy",
    "sys/policy/*",
    "sys/rotate",
    "sys/remount",
    "sys/wrapping/wrap",
];

/// Whether answers at `path` repeat their data.
pub(crate) fn repeats_data(path: &str) -> bool {
    path.starts_with("sys/")
        && REPEATING.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => path == *pattern,
        })
}

/// Bytes of an envelope without its data, as most are.
const ENVELOPE_BYTES: usize = 320;

/// The envelope of a successful answer, in Vault's order of members, with nulls written out and a newline at the end.
pub(crate) fn envelope(reply: &Reply, response: &Response) -> Vec<u8> {
    let data = response.data.as_ref().map(SecretBytes::expose);
    let room = data.map_or(0, <[u8]>::len) * if reply.repeats_data { 2 } else { 1 } + ENVELOPE_BYTES;
    let mut out = Vec::with_capacity(room);
    envelope_before_data(reply, response, &mut out);
    out.extend_from_slice(data.unwrap_or(b"null"));
    envelope_behind_data(response, &mut out);
    out
}

/// What stands in the envelope before the value of `data`.
pub(crate) fn envelope_before_data(reply: &Reply, response: &Response, out: &mut Vec<u8>) {
    let data = response.data.as_ref().map(SecretBytes::expose);
    out.push(b'{');
    if let Some(members) = data.filter(|_| reply.repeats_data).and_then(inner_members) {
        out.extend_from_slice(members);
        out.push(b',');
    }
    // A wrapped answer does not say which request made it.
    let request_id = if response.wrap_info.is_some() { "" } else { reply.request_id.as_str() };
    member(out, "\"request_id\":", &request_id);
    match &reply.lease {
        Some(lease) => {
            member(out, ",\"lease_id\":", &lease.id);
            member(out, ",\"renewable\":", &lease.renewable);
            member(out, ",\"lease_duration\":", &lease.duration);
        }
        None => out.extend_from_slice(b",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0"),
    }
    out.extend_from_slice(b",\"data\":");
}

/// What stands in the envelope behind the value of `data`.
pub(crate) fn envelope_behind_data(response: &Response, out: &mut Vec<u8>) {
    member(out, ",\"wrap_info\":", &response.wrap_info);
    let warnings = (!response.warnings.is_empty()).then_some(&response.warnings);
    member(out, ",\"warnings\":", &warnings);
    let block = match &response.auth {
        Some(AuthOutcome::Issued(block)) => Some(block),
        Some(AuthOutcome::Login(_)) | None => None,
    };
    member(out, ",\"auth\":", &block);
    out.extend_from_slice(b"}\n");
}

fn member<T: Serialize>(out: &mut Vec<u8>, key: &str, value: &T) {
    out.extend_from_slice(key.as_bytes());
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.extend_from_slice(b"null");
    }
}

/// What stands between the braces of a JSON object; `None` for an empty one.
fn inner_members(object: &[u8]) -> Option<&[u8]> {
    let inner = object.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?.trim_ascii();
    (!inner.is_empty()).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_writes_its_nulls_in_vaults_order() {
        let response = Response::json(b"{\"a\":\"b\"}".to_vec());
        let reply = Reply::new("id", Ok(Response::empty()));
        assert_eq!(
            String::from_utf8(envelope(&reply, &response)).unwrap(),
            "{\"request_id\":\"id\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":{\"a\":\"b\"},\
             \"wrap_info\":null,\"warnings\":null,\"auth\":null}\n"
        );
    }

    #[test]
    fn listed_sys_routes_repeat_their_data_on_top() {
        assert!(repeats_data("sys/mounts") && repeats_data("sys/mounts/a/tune") && repeats_data("sys/policy/a"));
        assert!(!repeats_data("sys/policies/acl/a") && !repeats_data("transit/keys/a") && !repeats_data("sys/mountsx"));
        let reply = Reply { repeats_data: true, ..Reply::new("id", Ok(Response::empty())) };
        let text = String::from_utf8(envelope(&reply, &Response::json(b"{\"a\":1}".to_vec()))).unwrap();
        assert!(text.starts_with("{\"a\":1,\"request_id\":\"id\""), "{text}");
        let text = String::from_utf8(envelope(&reply, &Response::json(b"{}".to_vec()))).unwrap();
        assert!(text.starts_with("{\"request_id\""), "{text}");
    }
}

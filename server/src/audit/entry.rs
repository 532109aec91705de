//! The text of an entry, in Vault's shape and order of members. Written straight into bytes: a
//! request is described once and the description serves both of its lines.

use super::{
    chain::LINK_BYTES,
    redact::{Redaction, mask_tokens, write_text},
    salt::Salt,
};
use crate::{mount::Mounted, reply::Reply};
use chancery_engine::{
    Identity, Operation, Permit, Request,
    response::{AuthBlock, AuthOutcome, WrapInfo},
};
use std::{collections::HashSet, fmt::Write as _};

/// What is known of a request when its entry is opened.
pub struct Subject<'r> {
    /// What came in.
    pub request: &'r Request,
    /// What it wants done.
    pub operation: Operation,
    /// The mount it is addressed to.
    pub mounted: Option<&'r Mounted>,
    /// Who asks, where that is known.
    pub identity: Option<&'r Identity>,
    /// The proof that it may, unless it was refused.
    pub permit: Option<&'r Permit>,
    /// Why it was refused.
    pub error: Option<&'r str>,
}

/// How one sink wants entries.
pub(crate) struct Style {
    pub(crate) salt: Salt,
    pub(crate) log_raw: bool,
    pub(crate) hmac_accessor: bool,
    pub(crate) elide_lists: bool,
}

/// Writes JSON members, taking care of the commas.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Style {
    fn redaction<'s>(&'s self, clear_keys: &'s HashSet<String>) -> Redaction<'s> {
        Redaction { salt: (!self.log_raw).then_some(&self.salt), clear_keys }
    }

    /// `"auth":{…},"request":{…}`: what both lines of a request share.
    pub(crate) fn context(&self, subject: &Subject<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024 + subject.request.body.json().len());
        let mut line = Members { out: &mut out, first: true };
        let caller = self.caller(subject);
        request_auth(&mut line, subject, &caller);
        self.request(&mut line, subject, &caller);
        out
    }

    /// Hashes what both halves of an entry name the caller by, once.
    fn caller(&self, subject: &Subject<'_>) -> Caller {
        let none = HashSet::new();
        let hidden = |value: &str| {
            let mut out = Vec::with_capacity(80);
            self.redaction(&none).write_secret(value, &mut out);
            out
        };
        Caller {
            token: subject.request.token.as_ref().map(|token| hidden(token.expose())),
            accessor: subject.identity.map(|identity| {
                if self.hmac_accessor {
                    return hidden(&identity.accessor);
                }
                let mut out = Vec::new();
                write_text(&identity.accessor, &mut out);
                out
            }),
        }
    }

    fn request(&self, line: &mut Members<'_>, subject: &Subject<'_>, caller: &Caller) {
        let request = subject.request;
        let mut object = line.object("request");
        object.text("id", &request.id);
        object.text("operation", subject.operation.as_str());
        if let Some(mounted) = subject.mounted {
            mount(&mut object, mounted);
        }
        object.value_if("client_token", caller.token.as_deref());
        object.value_if("client_token_accessor", caller.accessor.as_deref());
        object.raw("namespace", "{\"id\":\"root\"}");
        object.key("path");
        write_path(request.path.as_str(), subject.operation, object.out);
        if !request.body.is_empty() {
            object.key("data");
            let none = HashSet::new();
            let clear = subject.mounted.map_or(&none, |mounted| &mounted.clear_request_keys);
            self.redaction(clear).write_object(request.body.json(), object.out);
        }
        if let Some(client) = request.client {
            object.text("remote_address", &client.ip().to_string());
            object.number("remote_port", u64::from(client.port()));
        }
        if let Some(ttl) = request.wrap_ttl {
            object.number("wrap_ttl", ttl.as_secs());
        }
        object.end();
    }

    /// `{"time":…,"type":"request",` context, and why it was refused. Without the closing brace.
    pub(crate) fn request_line(time: &str, context: &[u8], error: Option<&str>) -> Vec<u8> {
        let mut out = Vec::with_capacity(context.len() + 128 + LINK_BYTES);
        let mut line = start(&mut out, time, "request");
        line.splice(context);
        if let Some(error) = error {
            line.text("error", &mask_tokens(error));
        }
        out
    }

    /// The line that closes a request. Without the closing brace.
    pub(crate) fn response_line(&self, time: &str, context: &[u8], answered: &Answered<'_>) -> Vec<u8> {
        let reply = answered.reply;
        let size = reply
            .outcome
            .as_ref()
            .ok()
            .and_then(|response| response.data.as_ref())
            .map_or(0, |data| data.expose().len());
        let mut out = Vec::with_capacity(context.len() + size * 2 + 256 + LINK_BYTES);
        let mut line = start(&mut out, time, "response");
        line.splice(context);
        let mut object = line.object("response");
        if let Some(mounted) = answered.mounted {
            mount(&mut object, mounted);
        }
        if let Ok(response) = &reply.outcome {
            if let Some(AuthOutcome::Issued(block)) = &response.auth {
                self.response_auth(&mut object, block);
            }
            if let Some(lease) = &reply.lease {
                let mut secret = object.object("secret");
                secret.text("lease_id", &lease.id);
                secret.end();
            }
            self.response_data(&mut object, answered, response);
            if !response.warnings.is_empty() {
                object.json("warnings", &response.warnings);
            }
            if let Some(wrap) = &response.wrap_info {
                self.wrap_info(&mut object, wrap);
            }
        }
        object.end();
        if let Err(fault) = &reply.outcome {
            line.text("error", &mask_tokens(&fault.to_string()));
        }
        out
    }

    fn response_data(&self, object: &mut Members<'_>, answered: &Answered<'_>, response: &chancery_engine::Response) {
        let none = HashSet::new();
        let clear = answered.mounted.map_or(&none, |mounted| &mounted.clear_response_keys);
        if let Some(raw) = &response.raw {
            let mut data = object.object("data");
            data.text("http_content_type", raw.content_type);
            data.key("http_raw_body");
            self.redaction(&none).write_secret(&String::from_utf8_lossy(&raw.bytes), data.out);
            for (name, value) in &response.noted {
                data.text(name, value);
            }
            data.end();
        } else if let Some(data) = &response.data {
            object.key("data");
            let elided = if self.elide_lists && answered.is_list { elide_list(data.expose()) } else { None };
            self.redaction(clear).write_object(elided.as_deref().unwrap_or(data.expose()), object.out);
        }
    }

    fn response_auth(&self, object: &mut Members<'_>, block: &AuthBlock) {
        let mut auth = object.object("auth");
        self.secret(&mut auth, "client_token", block.client_token.expose());
        self.accessor(&mut auth, "accessor", &block.accessor);
        auth.texts("policies", &block.policies);
        auth.texts("token_policies", &block.token_policies);
        if let Some(metadata) = &block.metadata {
            auth.json("metadata", metadata);
        }
        auth.number_if("num_uses", u64::try_from(block.num_uses).unwrap_or(0));
        auth.text_if("entity_id", &block.entity_id);
        auth.text("token_type", block.token_type);
        auth.number("token_ttl", block.lease_duration);
        auth.end();
    }

    fn wrap_info(&self, object: &mut Members<'_>, wrap: &WrapInfo) {
        let mut info = object.object("wrap_info");
        info.number("ttl", wrap.ttl);
        self.secret(&mut info, "token", wrap.token.expose());
        self.accessor(&mut info, "accessor", &wrap.accessor);
        info.text("creation_time", &wrap.creation_time);
        info.text("creation_path", &mask_tokens(&wrap.creation_path));
        if !wrap.wrapped_accessor.is_empty() {
            self.accessor(&mut info, "wrapped_accessor", &wrap.wrapped_accessor);
        }
        info.end();
    }

    fn secret(&self, object: &mut Members<'_>, key: &str, value: &str) {
        object.key(key);
        let none = HashSet::new();
        self.redaction(&none).write_secret(value, object.out);
    }

    fn accessor(&self, object: &mut Members<'_>, key: &str, value: &str) {
        if self.hmac_accessor { self.secret(object, key, value) } else { object.text(key, value) }
    }
}

/// What is known of a request when its entry is closed.
pub(crate) struct Answered<'r> {
    pub(crate) reply: &'r Reply,
    pub(crate) mounted: Option<&'r Mounted>,
    pub(crate) is_list: bool,
}

fn start<'o>(out: &'o mut Vec<u8>, time: &str, kind: &str) -> Members<'o> {
    out.push(b'{');
    let mut line = Members { out, first: true };
    line.text("time", time);
    line.text("type", kind);
    line
}

fn mount(object: &mut Members<'_>, mounted: &Mounted) {
    object.text("mount_point", &mounted.entry.path);
    object.text("mount_type", &mounted.entry.kind);
    object.text("mount_accessor", &mounted.entry.accessor);
    object.text(
        "mount_class",
        match mounted.entry.class {
            crate::mount::MountClass::Secret => "secret",
            crate::mount::MountClass::Auth => "auth",
        },
    );
}

/// What names the caller, as JSON strings ready to be written.
struct Caller {
    token: Option<Vec<u8>>,
    accessor: Option<Vec<u8>>,
}

/// The `auth` member of both lines: who asks, and what the policies said.
fn request_auth(line: &mut Members<'_>, subject: &Subject<'_>, caller: &Caller) {
    let mut auth = line.object("auth");
    if let Some(identity) = subject.identity {
        auth.value_if("client_token", caller.token.as_deref());
        auth.value_if("accessor", caller.accessor.as_deref());
        auth.text("display_name", &identity.display_name);
        auth.texts("policies", &identity.policies);
        auth.texts("token_policies", &identity.policies);
        policy_results(&mut auth, subject.permit);
        if !identity.metadata.is_empty() {
            auth.json("metadata", &identity.metadata);
        }
        auth.text_if("entity_id", &identity.entity_id);
        auth.text("token_type", identity.token_type.as_str());
        auth.number_if("token_ttl", identity.token_ttl);
        auth.text("token_issue_time", &identity.issue_time.to_string());
        auth.number_if("remaining_uses", u64::try_from(identity.remaining_uses).unwrap_or(0));
    } else {
        auth.text("token_type", "default");
    }
    auth.end();
}

/// Whether the policies said yes, and which.
fn policy_results(auth: &mut Members<'_>, permit: Option<&Permit>) {
    let mut results = auth.object("policy_results");
    results.raw("allowed", if permit.is_some() { "true" } else { "false" });
    if let Some(permit) = permit.filter(|permit| !permit.granting_policies().is_empty()) {
        results.key("granting_policies");
        let mut separator = b'[';
        for policy in permit.granting_policies() {
            results.out.push(separator);
            separator = b',';
            results.out.extend_from_slice(b"{\"name\":");
            write_text(policy, results.out);
            results.out.extend_from_slice(b",\"namespace_id\":\"root\",\"type\":\"acl\"}");
        }
        results.out.push(b']');
    }
    results.end();
}

/// The path as the policies saw it: LIST addresses what lies below.
fn write_path(path: &str, operation: Operation, out: &mut Vec<u8>) {
    write_text(&mask_tokens(path), out);
    if matches!(operation, Operation::List | Operation::Scan) && out.pop().is_some() {
        out.extend_from_slice(b"/\"");
    }
}

/// `elide_list_responses`: the names are replaced by their number.
fn elide_list(data: &[u8]) -> Option<Vec<u8>> {
    let mut data: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(data).ok()?;
    for key in ["keys", "key_info"] {
        if let Some(value) = data.get_mut(key) {
            let count = value.as_array().map(Vec::len).or_else(|| value.as_object().map(serde_json::Map::len))?;
            *value = count.into();
        }
    }
    serde_json::to_vec(&data).ok()
}

impl Members<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn object(&mut self, key: &str) -> Members<'_> {
        self.key(key);
        self.out.push(b'{');
        Members { out: self.out, first: true }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    /// Members that were written before.
    fn splice(&mut self, members: &[u8]) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(members);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_text(value, self.out);
    }

    fn text_if(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    fn value_if(&mut self, key: &str, json: Option<&[u8]>) {
        if let Some(json) = json {
            self.key(key);
            self.out.extend_from_slice(json);
        }
    }

    fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.out.extend_from_slice(json.as_bytes());
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        let mut digits = String::new();
        // Writing to a String cannot fail.
        let _infallible = write!(digits, "{value}");
        self.out.extend_from_slice(digits.as_bytes());
    }

    fn number_if(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.number(key, value);
        }
    }

    fn json<T: serde::Serialize>(&mut self, key: &str, value: &T) {
        self.key(key);
        if serde_json::to_writer(&mut *self.out, value).is_err() {
            self.out.extend_from_slice(b"null");
        }
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        self.key(key);
        let mut separator = b'[';
        for value in values {
            self.out.push(separator);
            separator = b',';
            write_text(value, self.out);
        }
        if values.is_empty() {
            self.out.push(b'[');
        }
        self.out.push(b']');
    }
}

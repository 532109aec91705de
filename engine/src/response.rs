//! What a handler answers. The data is serialised once, here; audit and the edge work on the same bytes.

use crate::{fault::Fault, secret::SecretBytes, secret::SecretString};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

/// A successful answer, or one that carries data beside a failure (batches).
#[derive(Debug, Default)]
pub struct Response {
    /// JSON object for `data`; `None` with nothing else set is a 204.
    pub data: Option<SecretBytes>,
    /// A token that was made, or is to be made, by this call.
    pub auth: Option<AuthOutcome>,
    /// A lease to register for `data`.
    pub lease: Option<LeaseGrant>,
    /// Texts for `warnings`; stays null when empty.
    pub warnings: Vec<String>,
    /// A body that is not the envelope: CRLs, PEM, JSON without an envelope.
    pub raw: Option<RawBody>,
    /// How the edge shall label it.
    pub disposition: Disposition,
    /// What the audit log is told in clear beside a body outside the envelope: public names of what the call was about.
    pub noted: Vec<(&'static str, String)>,
    /// What a wrapping endpoint already wrapped (`sys/wrapping/wrap`, `rewrap`); the edge renders it as `wrap_info`.
    pub wrap_info: Option<WrapInfo>,
    /// For how long the edge may give the same answer to whoever asks by the same URL. Only a published route says so.
    pub standing: Option<Standing>,
}

/// That an engine stands by an answer: it may go out again as it is without the engine being asked.
#[derive(Debug, Clone)]
pub struct Standing {
    /// For how long at most.
    pub lasts: Duration,
    word: Weak<()>,
}

/// The label of an answer; the edge owns the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disposition {
    /// 200, or 204 without a body.
    #[default]
    Done,
    /// 202, for work that goes on.
    Accepted,
    /// 400 although the full envelope with `data` follows: a batch with a caller's mistake in it.
    CallerFailedInPart,
    /// 404 with the full envelope: a deleted kv version.
    AbsentWithData,
    /// 500 with the full envelope: a batch with an internal failure in it.
    InternalFailedInPart,
    /// A status the caller chose (`partial_failure_response_code`, `sys/health` codes).
    Chosen(u16),
}

/// A body outside the envelope.
pub struct RawBody {
    /// `Content-Type`
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawBody").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}

/// What became of authentication in this call.
#[derive(Debug)]
pub enum AuthOutcome {
    /// A login succeeded: the pipeline makes a token of it.
    Login(Box<Login>),
    /// A token exists already (`auth/token/create`, renewals): the block to render.
    Issued(Box<AuthBlock>),
}

/// What a login method established. Times in seconds; 0 means the mount's default.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Name for logs, without the mount's prefix.
    pub display_name: String,
    /// Name of the alias within the mount (user name, role id).
    pub alias: String,
    /// Policies from the method's role.
    pub policies: Vec<String>,
    /// Metadata to attach.
    pub metadata: BTreeMap<String, String>,
    /// Kept with the token and handed back at renewal; never rendered.
    pub internal: BTreeMap<String, String>,
    /// `token_*` parameters of the role.
    pub token: TokenParameters,
}

/// The `token_*` parameters that login roles share. Times in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TokenParameters {
    /// `token_ttl`
    pub ttl: u64,
    /// `token_max_ttl`
    pub max_ttl: u64,
    /// `token_policies`
    pub policies: Vec<String>,
    /// `token_bound_cidrs`
    pub bound_cidrs: Vec<String>,
    /// `token_explicit_max_ttl`
    pub explicit_max_ttl: u64,
    /// `token_no_default_policy`
    pub no_default_policy: bool,
    /// `token_num_uses`
    pub num_uses: i64,
    /// `token_period`
    pub period: u64,
    /// `token_type`: `default`, `service`, `batch`, `default-service`, `default-batch`; "" is `default`.
    pub token_type: String,
    /// `token_strictly_bind_ip`
    pub strictly_bind_ip: bool,
}

/// The `auth` member of the envelope.
#[derive(Debug, Clone, Serialize)]
pub struct AuthBlock {
    /// The token.
    pub client_token: SecretString,
    /// Its public handle.
    pub accessor: String,
    /// All policies.
    pub policies: Vec<String>,
    /// Policies of the token itself.
    pub token_policies: Vec<String>,
    /// Policies of the entity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity_policies: Vec<String>,
    /// Metadata of the login, null where there is none.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Seconds.
    pub lease_duration: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Entity id, empty where there is none.
    pub entity_id: String,
    /// `service` or `batch`.
    pub token_type: &'static str,
    /// Whether it outlives its parent.
    pub orphan: bool,
    /// Always null: no multi-factor requirement.
    pub mfa_requirement: Option<()>,
    /// Uses granted, 0 for no bound.
    pub num_uses: i64,
}

/// A lease to be registered for the answer's data. One that is not renewable and has nothing to revoke is only shown: its
/// `lease_duration` is a hint for how long to keep the data.
#[derive(Debug, Clone)]
pub struct LeaseGrant {
    /// Seconds.
    pub ttl: u64,
    /// Seconds.
    pub max_ttl: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// What the engine needs to revoke it, as JSON; stored sealed.
    pub internal: Vec<u8>,
}

/// The `wrap_info` member of the envelope.
#[derive(Debug, Clone, Serialize)]
pub struct WrapInfo {
    /// The wrapping token.
    pub token: SecretString,
    /// Its accessor.
    pub accessor: String,
    /// Seconds.
    pub ttl: u64,
    /// RFC 3339.
    pub creation_time: String,
    /// Path whose answer is wrapped.
    pub creation_path: String,
    /// Accessor of the token inside, where a login was wrapped.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wrapped_accessor: String,
}

impl Standing {
    /// It stands for as long as `lasts`, and no longer than anybody has `word`.
    #[must_use]
    pub fn on(word: &Arc<()>, lasts: Duration) -> Self {
        Self { lasts, word: Arc::downgrade(word) }
    }

    /// Whether the engine still stands by it.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.word.strong_count() > 0
    }
}

impl Response {
    /// 204.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// 200 with `data`.
    ///
    /// # Errors
    /// [`Fault::Bug`] if `data` does not serialise.
    pub fn data<T: Serialize + ?Sized>(data: &T) -> Result<Self, Fault> {
        let bytes =
            serde_json::to_vec(data).map_err(|error| Fault::Bug(format!("response does not serialise: {error}")))?;
        Ok(Self::json(bytes))
    }

    /// 200 with `data` that is already JSON text of an object.
    #[must_use]
    pub fn json(bytes: Vec<u8>) -> Self {
        Self { data: Some(SecretBytes::new(bytes)), ..Self::default() }
    }

    /// The answer of LIST: `{"keys": […]}`, or [`Fault::Absent`] when there are none.
    ///
    /// # Errors
    /// [`Fault::Absent`] on an empty list, as clients expect.
    pub fn list(keys: &[String]) -> Result<Self, Fault> {
        #[derive(Serialize)]
        struct Keys<'a> {
            keys: &'a [String],
        }
        if keys.is_empty() { Err(Fault::Absent) } else { Self::data(&Keys { keys }) }
    }

    /// 200 with a body outside the envelope.
    #[must_use]
    pub fn raw(content_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { raw: Some(RawBody { content_type, bytes, headers: Vec::new() }), ..Self::default() }
    }

    /// An answer that makes the pipeline issue a token.
    #[must_use]
    pub fn login(login: Login) -> Self {
        Self { auth: Some(AuthOutcome::Login(Box::new(login))), ..Self::default() }
    }

    /// An answer that shows a token that was made already.
    #[must_use]
    pub fn auth(block: AuthBlock) -> Self {
        Self { auth: Some(AuthOutcome::Issued(Box::new(block))), ..Self::default() }
    }

    /// Adds a warning.
    #[must_use]
    pub fn warn(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }

    /// Sets the label.
    #[must_use]
    pub fn disposed(mut self, disposition: Disposition) -> Self {
        self.disposition = disposition;
        self
    }

    /// Whether anything stands in the body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_none()
            && self.auth.is_none()
            && self.raw.is_none()
            && self.wrap_info.is_none()
            && self.lease.is_none()
    }
}

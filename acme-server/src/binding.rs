//! External account binding (RFC 8555 §7.3.4): keys that operators hand out, and what a client makes with one.

use crate::{
    exchange::Exchange,
    jwk::Jwk,
    jws::Jws,
    problem::{Problem, ProblemType},
    storage::{Records, Stored, binding_key},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_engine::SecretString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A key handed out by an operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BindingKey {
    /// The key as it was shown, in base64url.
    pub(crate) key: SecretString,
    /// Directory it is for, such as `roles/web/`; empty for the mount's own.
    pub(crate) scope: String,
    pub(crate) created_at: Timestamp,
    /// Whether it stays when it has been used.
    #[serde(default)]
    pub(crate) reusable: bool,
}

/// What stands before the key's 32 random bytes. It is base64url too, so that the whole text is the key, as the real
/// server has it.
const PREFIX: &str = "vault-eab-0-";

impl BindingKey {
    pub(crate) fn new(scope: String, created_at: Timestamp, reusable: bool) -> Result<Self, getrandom::Error> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        let key = SecretString::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())));
        Ok(Self { key, scope, created_at, reusable })
    }

    /// Its directory as operators are told.
    pub(crate) fn directory(&self) -> String {
        format!("{}acme/directory", self.scope)
    }
}

/// Checks what a client made to bind `key`, and answers with the operator's key it used and that key's id.
pub(crate) async fn check(
    records: &Records,
    exchange: &Exchange,
    (binding, key): (&Value, &Jwk),
) -> Result<(String, Stored<BindingKey>), Problem> {
    let jws = Jws::parse(&binding.to_string())
        .map_err(|problem| Problem { detail: format!("externalAccountBinding: {}", problem.detail), ..problem })?;
    if jws.header.nonce.is_some() {
        return Err(Problem::malformed("the external account binding holds a \"nonce\""));
    }
    exchange.check_url(&jws, "new-account")?;
    let inner: Value = serde_json::from_slice(&jws.payload)
        .map_err(|_| Problem::malformed("the external account binding's payload is no key"))?;
    if Jwk::parse(&inner)? != *key {
        return Err(Problem::malformed("the external account binding is for another key than the request's"));
    }
    let unknown = || ProblemType::Unauthorized.because("the external account key is unknown, or was used before");
    let Some(id) = jws.header.kid.as_deref() else {
        return Err(Problem::malformed("the external account binding holds no \"kid\""));
    };
    if !chancery_engine::route::is_name(id) {
        return Err(unknown());
    }
    let stored = records.read::<BindingKey>(&binding_key(id)).await?.ok_or_else(unknown)?;
    if stored.value.scope != exchange.scope.path() {
        return Err(ProblemType::Unauthorized.because(format!(
            "the external account key is for the directory {}, not for this one",
            stored.value.directory()
        )));
    }
    let secret = zeroize::Zeroizing::new(
        URL_SAFE_NO_PAD.decode(stored.value.key.expose()).map_err(|error| Problem::internal(&error))?,
    );
    jws.verify_binding(&secret)?;
    Ok((id.to_owned(), stored))
}

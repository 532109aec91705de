//! Who asks for a certificate, as far as roles and the inventory look at it.

use chancery_engine::Call;
use std::collections::BTreeMap;

/// The caller behind a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requester {
    /// Name for the inventory and for `allow_token_displayname`.
    pub display_name: String,
    /// Entity id; empty where there is none.
    pub entity_id: String,
    /// What the login said of the caller.
    pub metadata: BTreeMap<String, String>,
}

impl Requester {
    /// A door of its own that has no token, such as an ACME account.
    #[must_use]
    pub fn named(display_name: &str) -> Self {
        Self { display_name: display_name.to_owned(), ..Self::default() }
    }

    /// The holder of the call's token.
    pub(crate) fn of(call: &Call) -> Self {
        call.permit.identity().map_or_else(Self::default, |identity| Self {
            display_name: identity.display_name.clone(),
            entity_id: identity.entity_id.clone(),
            // Only a login's word counts: whoever makes a token from another chooses its metadata.
            metadata: identity.login().map(|(_, metadata)| metadata.clone()).unwrap_or_default(),
        })
    }

    /// The value of a template such as `identity.entity.metadata.team`.
    #[must_use]
    pub fn value_of(&self, name: &str) -> Option<&str> {
        let value = match name.strip_prefix("identity.entity.") {
            Some("id") => Some(&self.entity_id),
            Some(rest) => rest.strip_prefix("metadata.").and_then(|key| self.metadata.get(key)),
            None => None,
        };
        value.map(String::as_str).filter(|value| !value.is_empty())
    }
}

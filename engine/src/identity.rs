//! Who is calling: what the authenticator found behind a token.

use crate::policy::Acl;
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// How a token was made and what it can do by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Stored, renewable, revocable.
    #[default]
    Service,
    /// Self-contained, not stored.
    Batch,
}

impl TokenType {
    /// The word the wire uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }
}

/// The authenticated caller of one request. Shared, never changed once built.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Key under which the token is stored (a keyed hash of the token, never the token).
    pub token_key: String,
    /// Public handle of the token.
    pub accessor: String,
    /// Name for logs, such as `userpass-mitch`.
    pub display_name: String,
    /// Policies of the token, sorted; `root` stands alone.
    pub policies: Arc<[String]>,
    /// Metadata the login attached.
    pub metadata: BTreeMap<String, String>,
    /// Path of the request that made the token, such as `auth/userpass/login/mitch`: tells metadata that a login attached
    /// from metadata that the maker of a token chose.
    pub path: String,
    /// Entity id, empty where there is none.
    pub entity_id: String,
    /// Service or batch.
    pub token_type: TokenType,
    /// Seconds the token was given at creation (0: no end).
    pub token_ttl: u64,
    /// When it was made.
    pub issue_time: Timestamp,
    /// Uses left after this request; 0 where uses are not counted.
    pub remaining_uses: i64,
    /// What the policies grant, compiled.
    pub acl: Arc<Acl>,
}

impl Identity {
    /// What the login that made this token said of its caller, and the path of the login's mount (`auth/userpass`). None
    /// for a token that was made from another: its metadata is what its maker chose, and proves nothing.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &BTreeMap<String, String>)> {
        let (mount, _) = self.path.split_once("/login")?;
        let is_made = mount == "auth/token" || mount.starts_with("auth/token/");
        (!is_made).then_some((mount, &self.metadata))
    }

    /// Whether this token carries the `root` policy.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == "root")
    }
}

//! What a request wants done, and what a policy can grant.

use serde::{Deserialize, Serialize};

/// What the client's HTTP method said. POST and PUT are one verb; `GET ?list=true` is [`Verb::List`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET, HEAD
    Read,
    /// LIST, `GET ?list=true`
    List,
    /// SCAN, `GET ?scan=true` (OpenBao)
    Scan,
    /// POST, PUT
    Write,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// A verb once the existence check has told create from update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Write to something that is not there yet.
    Create,
    /// Read one thing.
    Read,
    /// Write to something that is there, or whose endpoint does not tell.
    Update,
    /// Change some members of something.
    Patch,
    /// Remove something.
    Delete,
    /// List names.
    List,
    /// List names recursively (OpenBao).
    Scan,
}

impl Operation {
    /// The word the audit log and error texts use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Scan => "scan",
        }
    }
}

/// What one policy rule can grant on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Nothing at all, whatever else grants.
    Deny,
    /// See [`Operation::Create`].
    Create,
    /// See [`Operation::Read`].
    Read,
    /// See [`Operation::Update`].
    Update,
    /// See [`Operation::Delete`].
    Delete,
    /// See [`Operation::List`].
    List,
    /// Needed besides on routes that demand it.
    Sudo,
    /// See [`Operation::Patch`].
    Patch,
    /// See [`Operation::Scan`].
    Scan,
    /// Accepted in policies, granting nothing here (Vault's event subscriptions).
    Subscribe,
    /// Accepted in policies, granting nothing here (Vault's snapshot recovery).
    Recover,
}

impl Capability {
    /// The capability that `operation` needs.
    #[must_use]
    pub fn for_operation(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Read => Self::Read,
            Operation::Update => Self::Update,
            Operation::Patch => Self::Patch,
            Operation::Delete => Self::Delete,
            Operation::List => Self::List,
            Operation::Scan => Self::Scan,
        }
    }

    /// The word policies and `sys/capabilities` use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Sudo => "sudo",
            Self::Patch => "patch",
            Self::Scan => "scan",
            Self::Subscribe => "subscribe",
            Self::Recover => "recover",
        }
    }
}

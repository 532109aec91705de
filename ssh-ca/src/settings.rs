//! What `config/*` holds.

use serde::{Deserialize, Serialize};

/// `config/issuers`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuerSettings {
    /// Id of the default issuer; empty where there is none.
    pub default: String,
}

/// `config/krl`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KrlSettings {
    /// The comment in every key revocation list.
    pub comment: String,
}

/// `config/inventory`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InventorySettings {
    /// Seconds a certificate stays in the inventory after its end.
    pub retention: u64,
}

impl Default for InventorySettings {
    /// Ninety days.
    fn default() -> Self {
        Self { retention: 90 * 86_400 }
    }
}

/// `config/zeroaddress`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZeroAddressSettings {
    /// Roles whose one-time passwords may be for any address.
    pub roles: Vec<String>,
}

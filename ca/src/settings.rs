//! What `config/*` holds.

use crate::{
    error::CaError,
    urls::{Urls, is_url},
};
use chancery_engine::wire::parse_duration;
use serde::{Deserialize, Serialize};

/// `config/issuers`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuerSettings {
    /// Id of the default issuer; empty where there is none.
    pub default: String,
    /// Whether a new issuer becomes the default.
    pub default_follows_latest_issuer: bool,
}

/// `config/keys`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySettings {
    /// Id of the default key; empty where there is none.
    pub default: String,
}

/// `config/urls`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UrlSettings {
    /// The URLs.
    #[serde(flatten)]
    pub urls: Urls,
    /// Whether the URLs have places to be filled in; see [`crate::urls`].
    pub enable_templating: bool,
}

/// `config/cluster`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSettings {
    /// Where this mount's API is reached: `https://host:port/v1/pki`.
    pub path: String,
    /// Where what certificates point to is fetched, often over plain HTTP or from a cache.
    pub aia_path: String,
}

impl ClusterSettings {
    /// Refuses what is no URL.
    ///
    /// # Errors
    /// [`CaError::Caller`] that names the member and the value.
    pub fn check(member: &str, url: &str) -> Result<(), CaError> {
        if is_url(url) {
            return Ok(());
        }
        Err(CaError::Caller(format!("invalid, non-URL {member} given to cluster: {url}")))
    }
}

/// `config/crl`. Durations stay as they were written; that is how they are echoed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each member is the wire's parameter of the same name; Vault's PKI API page explains them"
)]
pub struct CrlSettings {
    pub allow_expired_cert_revocation: bool,
    pub auto_rebuild: bool,
    pub auto_rebuild_grace_period: String,
    pub delta_rebuild_interval: String,
    pub disable: bool,
    pub enable_delta: bool,
    pub expiry: String,
    pub ocsp_disable: bool,
    pub ocsp_expiry: String,
    /// Into how many shards revocations of newly issued certificates are spread; 0 for none. Ours, not Vault's.
    #[serde(skip_serializing_if = "is_zero")]
    pub shards: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Default for CrlSettings {
    fn default() -> Self {
        Self {
            allow_expired_cert_revocation: false,
            auto_rebuild: false,
            auto_rebuild_grace_period: "12h".to_owned(),
            delta_rebuild_interval: "15m".to_owned(),
            disable: false,
            enable_delta: false,
            expiry: "72h".to_owned(),
            ocsp_disable: false,
            ocsp_expiry: "12h".to_owned(),
            shards: 0,
        }
    }
}

impl CrlSettings {
    /// Shortest life of a CRL, whatever `expiry` says: a list that is stale when it is fetched serves nobody.
    const SHORTEST: i64 = 60;

    /// More shards only cost more signatures.
    pub const MOST_SHARDS: u32 = 1024;

    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// [`CaError::Caller`] that names the member.
    pub fn check(&self) -> Result<(), CaError> {
        for (name, text) in [
            ("expiry", &self.expiry),
            ("ocsp_expiry", &self.ocsp_expiry),
            ("auto_rebuild_grace_period", &self.auto_rebuild_grace_period),
            ("delta_rebuild_interval", &self.delta_rebuild_interval),
        ] {
            let seconds = parse_duration(text).map_err(|_| {
                CaError::Caller(format!("given {name} could not be decoded: time: invalid duration {text:?}"))
            })?;
            if seconds < 0 && name == "ocsp_expiry" {
                return Err(CaError::Caller(format!("ocsp_expiry must be greater than or equal to 0 got: {text}")));
            }
            if seconds < 0 {
                return Err(CaError::Caller(format!("given {name} could not be decoded: {text:?} is negative")));
            }
        }
        if self.auto_rebuild && self.grace() >= self.lifetime() {
            return Err(CaError::Caller(format!(
                "CRL auto-rebuilding grace period ({}) must be strictly shorter than CRL expiry ({}) value when auto-rebuilding of CRLs is enabled",
                self.auto_rebuild_grace_period, self.expiry
            )));
        }
        if self.enable_delta && self.delta_interval() >= self.lifetime() {
            return Err(CaError::Caller(format!(
                "CRL delta rebuild window ({}) must be strictly shorter than CRL expiry ({}) value when delta CRLs are enabled",
                self.delta_rebuild_interval, self.expiry
            )));
        }
        if self.enable_delta && !self.auto_rebuild {
            return Err(CaError::caller(
                "Delta CRLs cannot be enabled when auto rebuilding is disabled as the complete CRL is always regenerated!",
            ));
        }
        if self.shards > Self::MOST_SHARDS {
            return Err(CaError::Caller(format!("shards must be at most {}, got {}", Self::MOST_SHARDS, self.shards)));
        }
        Ok(())
    }

    /// Seconds from thisUpdate to nextUpdate.
    #[must_use]
    pub fn lifetime(&self) -> i64 {
        parse_duration(&self.expiry).unwrap_or(0).max(Self::SHORTEST)
    }

    /// Seconds between two delta CRLs.
    #[must_use]
    pub fn delta_interval(&self) -> i64 {
        parse_duration(&self.delta_rebuild_interval).unwrap_or(0).max(0)
    }

    /// Seconds for which an OCSP answer holds; 0 for answers that are good for the moment only.
    #[must_use]
    pub fn ocsp_lifetime(&self) -> i64 {
        parse_duration(&self.ocsp_expiry).unwrap_or(0).max(0)
    }

    /// Seconds before nextUpdate at which a CRL is renewed: the grace period, at most half its life.
    #[must_use]
    pub fn grace(&self) -> i64 {
        let stated = parse_duration(&self.auto_rebuild_grace_period).unwrap_or(0);
        if self.auto_rebuild { stated } else { stated.min(self.lifetime() / 2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_crl_settings_are_refused() {
        let bad = |settings: CrlSettings| settings.check().unwrap_err().to_string();
        let base = CrlSettings::default();
        assert!(base.check().is_ok());
        assert_eq!(
            bad(CrlSettings { expiry: "x".into(), ..base.clone() }),
            "given expiry could not be decoded: time: invalid duration \"x\""
        );
        assert!(bad(CrlSettings { enable_delta: true, ..base.clone() }).starts_with("Delta CRLs"));
        assert!(
            bad(CrlSettings { auto_rebuild: true, auto_rebuild_grace_period: "96h".into(), ..base })
                .contains("must be strictly shorter")
        );
    }
}

//! What a run removes, and when the mount runs one by itself.

use crate::error::CaError;
use chancery_engine::wire::parse_duration;
use serde::{Deserialize, Serialize};

/// Seconds of 72 hours.
const THREE_DAYS: i64 = 72 * 3600;

/// What a run removes. Seconds, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "each member is the wire's parameter of the same name; OpenBao's PKI API page explains them"
)]
pub struct TidyJob {
    pub tidy_cert_store: bool,
    pub tidy_revoked_certs: bool,
    pub tidy_invalid_certs: bool,
    pub tidy_revoked_cert_issuer_associations: bool,
    pub tidy_expired_issuers: bool,
    pub tidy_move_legacy_ca_bundle: bool,
    pub tidy_acme: bool,
    pub safety_buffer: i64,
    pub revoked_safety_buffer: i64,
    pub issuer_safety_buffer: i64,
    pub acme_account_safety_buffer: i64,
    /// As it was written; that is how it is echoed.
    pub pause_duration: String,
    pub page_size: i64,
}

/// `config/auto-tidy`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "see `TidyJob`")]
pub struct AutoTidy {
    pub enabled: bool,
    pub interval_duration: i64,
    pub maintain_stored_certificate_counts: bool,
    pub publish_stored_certificate_count_metrics: bool,
    #[serde(flatten)]
    pub job: TidyJob,
}

impl Default for TidyJob {
    fn default() -> Self {
        Self {
            tidy_cert_store: false,
            tidy_revoked_certs: false,
            tidy_invalid_certs: false,
            tidy_revoked_cert_issuer_associations: false,
            tidy_expired_issuers: false,
            tidy_move_legacy_ca_bundle: false,
            tidy_acme: false,
            safety_buffer: THREE_DAYS,
            revoked_safety_buffer: THREE_DAYS,
            issuer_safety_buffer: 365 * 24 * 3600,
            acme_account_safety_buffer: 30 * 24 * 3600,
            pause_duration: "0s".to_owned(),
            page_size: 1000,
        }
    }
}

impl Default for AutoTidy {
    fn default() -> Self {
        Self {
            enabled: false,
            interval_duration: 12 * 3600,
            maintain_stored_certificate_counts: false,
            publish_stored_certificate_count_metrics: false,
            job: TidyJob::default(),
        }
    }
}

impl TidyJob {
    /// The names of what there is to remove, as texts list them.
    pub const OPERATIONS: &str = "tidy_cert_store / tidy_revoked_certs / tidy_invalid_certs / tidy_revoked_cert_issuer_associations / tidy_expired_issuers / tidy_move_legacy_ca_bundle / tidy_acme";

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !(self.tidy_cert_store
            || self.tidy_revoked_certs
            || self.tidy_invalid_certs
            || self.tidy_revoked_cert_issuer_associations
            || self.tidy_expired_issuers
            || self.tidy_move_legacy_ca_bundle
            || self.tidy_acme)
    }

    /// Refuses buffers that would remove what is in use.
    ///
    /// # Errors
    /// [`CaError::Caller`] in the words clients know.
    pub fn check(&self) -> Result<(), CaError> {
        for (name, buffer) in [
            ("safety_buffer", self.safety_buffer),
            ("issuer_safety_buffer", self.issuer_safety_buffer),
            ("revokedSafetyBuffer", self.revoked_safety_buffer),
            ("acme_account_safety_buffer", self.acme_account_safety_buffer),
        ] {
            if buffer < 1 {
                return Err(CaError::Caller(format!("{name} must be greater than zero")));
            }
        }
        if self.pause()? < 0 {
            return Err(CaError::caller("received invalid, negative pause_duration"));
        }
        Ok(())
    }

    /// Seconds between two pages.
    ///
    /// # Errors
    /// [`CaError::Caller`] where it is no duration.
    pub fn pause(&self) -> Result<i64, CaError> {
        let text = &self.pause_duration;
        parse_duration(text)
            .map_err(|_| CaError::Caller(format!("Error parsing pause_duration: time: invalid duration {text:?}")))
    }

    /// Certificates of a page; what makes no sense is the default.
    #[must_use]
    pub fn page(&self) -> usize {
        usize::try_from(self.page_size).ok().filter(|size| (1..=10_000).contains(size)).unwrap_or(1000)
    }
}

impl AutoTidy {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// [`CaError::Caller`] in the words clients know.
    pub fn check(&self) -> Result<(), CaError> {
        if self.job.pause().is_err() {
            let text = &self.job.pause_duration;
            return Err(CaError::Caller(format!(
                "unable to parse given pause_duration: time: invalid duration {text:?}"
            )));
        }
        self.job.check()?;
        if self.enabled && self.job.is_empty() {
            return Err(CaError::Caller(format!(
                "Auto-tidy enabled but no tidy operations were requested. Enable at least one tidy operation to be run ({}).",
                TidyJob::OPERATIONS
            )));
        }
        if self.publish_stored_certificate_count_metrics && !self.maintain_stored_certificate_counts {
            return Err(CaError::caller(
                "Can not publish a running storage metrics count to metrics without first maintaining that count.  Enable `maintain_stored_certificate_counts` to enable `publish_stored_certificate_count_metrics`.",
            ));
        }
        Ok(())
    }
}

//! What the ceremonies with key shares have in common: reading a share, collecting shares, and what becomes of an
//! attempt nobody ends.

use super::System;
use chancery_engine::{Fault, SecretString};
use chancery_store::StoreError;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// An attempt that took no share for so long may be replaced by a new one: whoever began it, maybe a stranger, does not
/// block the others for good (CVE-2025-4656, CVE-2026-5807).
const IDLE: SignedDuration = SignedDuration::from_mins(10);
/// Shortest and longest share, in bytes. The texts are OpenBao's.
const SHARE_BYTES: std::ops::RangeInclusive<usize> = 16..=33;

/// Why a ceremony stopped; whether its failures are told as 400 or 500 depends on the dialect.
#[derive(Debug, thiserror::Error)]
pub(super) enum CeremonyError {
    /// The text for the caller.
    #[error("{0}")]
    Told(String),
    /// Somebody else's failure.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl CeremonyError {
    pub(super) fn told(text: impl Into<String>) -> Self {
        Self::Told(text.into())
    }
}

impl From<CeremonyError> for Fault {
    fn from(error: CeremonyError) -> Self {
        match error {
            CeremonyError::Told(text) => Self::Caller(text),
            CeremonyError::Fault(fault) => fault,
        }
    }
}

/// Shares collected for one purpose.
pub(super) struct Attempt {
    nonce: String,
    shares: Vec<Zeroizing<Vec<u8>>>,
    touched: Timestamp,
}

impl Attempt {
    pub(super) fn begin(now: Timestamp) -> Self {
        Self { nonce: uuid::Uuid::new_v4().to_string(), shares: Vec::new(), touched: now }
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn progress(&self) -> usize {
        self.shares.len()
    }

    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        now.duration_since(self.touched) > IDLE
    }

    pub(super) fn has_nonce(&self, nonce: &str) -> bool {
        self.nonce.as_bytes().ct_eq(nonce.as_bytes()).into()
    }

    pub(super) fn knows(&self, share: &[u8]) -> bool {
        self.shares.iter().any(|known| known.as_slice().ct_eq(share).into())
    }

    /// Adds a share; hands all of them out, and starts over, once there are `required`.
    pub(super) fn add(
        &mut self,
        share: Zeroizing<Vec<u8>>,
        required: usize,
        now: Timestamp,
    ) -> Option<Vec<Zeroizing<Vec<u8>>>> {
        self.touched = now;
        self.shares.push(share);
        (self.shares.len() >= required).then(|| std::mem::take(&mut self.shares))
    }
}

/// Reads a share in hex or base64.
pub(super) fn decode_share(text: &SecretString) -> Result<Zeroizing<Vec<u8>>, CeremonyError> {
    let text = text.expose().as_bytes();
    let bytes = HEXLOWER_PERMISSIVE
        .decode(text)
        .or_else(|_| BASE64.decode(text))
        .map(Zeroizing::new)
        .map_err(|_| CeremonyError::told("'key' must be a valid hex or base64 string"))?;
    if bytes.len() < *SHARE_BYTES.start() {
        return Err(CeremonyError::told(format!(
            "invalid key: key is shorter than minimum {} bytes",
            SHARE_BYTES.start()
        )));
    }
    if bytes.len() > *SHARE_BYTES.end() {
        return Err(CeremonyError::told(format!(
            "invalid key: key is longer than maximum {} bytes",
            SHARE_BYTES.end()
        )));
    }
    Ok(bytes)
}

/// A failure of the store in a ceremony: what the caller did wrong is told, the rest is a fault.
pub(super) fn told_or_fault(error: StoreError) -> CeremonyError {
    match error {
        StoreError::InvalidShare(_)
        | StoreError::InvalidSealConfiguration(_)
        | StoreError::OtherSeal { .. }
        | StoreError::AlreadyInitialized => CeremonyError::told(error.to_string()),
        other => CeremonyError::Fault(crate::fault::from_store(other)),
    }
}

impl System {
    /// How many shares prove authority, and whether they are those of a Shamir seal.
    pub(super) async fn seal_summary(&self) -> Result<chancery_store::SealSummary, Fault> {
        self.core.store.barrier().state().await.seal.filter(|_| self.core.is_open()).ok_or(Fault::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Result<usize, String> {
        decode_share(&SecretString::new(text.to_owned())).map(|bytes| bytes.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn shares_are_hex_or_base64_of_a_sensible_length() {
        assert_eq!(share(&"ab".repeat(33)), Ok(33));
        assert_eq!(share(&"AB".repeat(33)), Ok(33));
        assert_eq!(share(&BASE64.encode(&[7; 33])), Ok(33));
        assert_eq!(share("not a key"), Err("'key' must be a valid hex or base64 string".to_owned()));
        assert_eq!(share("aabb"), Err("invalid key: key is shorter than minimum 16 bytes".to_owned()));
        assert!(share(&"ab".repeat(34)).is_err());
    }

    #[test]
    fn cve_2025_4656_an_idle_attempt_gives_way_and_a_live_one_does_not() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let mut attempt = Attempt::begin(start);
        assert!(!attempt.is_idle(start + SignedDuration::from_mins(10)));
        assert!(attempt.is_idle(start + SignedDuration::from_mins(11)));
        let later = start + SignedDuration::from_mins(9);
        assert!(attempt.add(Zeroizing::new(vec![1]), 2, later).is_none());
        assert!(!attempt.is_idle(start + SignedDuration::from_mins(11)));
        assert_eq!(attempt.add(Zeroizing::new(vec![2]), 2, later).map(|shares| shares.len()), Some(2));
        assert_eq!(attempt.progress(), 0);
    }
}

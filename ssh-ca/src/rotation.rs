//! Changing a CA's key without a failed login: a state machine with four phases.
//!
//! ```text
//! standby ──▶ both-trusted ──▶ signing-with-new ──▶ old-retired
//! the new key   hosts are to      the new key signs,   hosts are to drop the old one,
//! exists        trust both        both are trusted     which is on the KRL
//! ```
//!
//! Each step says what has to be done on hosts before the next. The last one waits until what the old key signed has
//! ended. A step back is possible until the old key is retired.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The new key exists; nobody is told.
    Standby,
    /// Hosts shall trust both keys; the old one signs.
    BothTrusted,
    /// Hosts trust both keys; the new one signs.
    SigningWithNew,
    /// Hosts shall forget the old key, which is revoked.
    OldRetired,
}

/// One CA key on its way to be replaced by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Id of the issuer that goes.
    pub old: String,
    /// Id of the issuer that comes.
    pub new: String,
    /// How far it is.
    pub phase: Phase,
    /// When it began.
    pub started_at: Timestamp,
    /// When it came to this phase.
    pub changed_at: Timestamp,
}

impl Phase {
    /// The phase behind this one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Standby => Some(Self::BothTrusted),
            Self::BothTrusted => Some(Self::SigningWithNew),
            Self::SigningWithNew => Some(Self::OldRetired),
            Self::OldRetired => None,
        }
    }

    /// The phase before this one; none once the old key was revoked.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self {
            Self::Standby | Self::OldRetired => None,
            Self::BothTrusted => Some(Self::Standby),
            Self::SigningWithNew => Some(Self::BothTrusted),
        }
    }

    /// The word of the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::BothTrusted => "both-trusted",
            Self::SigningWithNew => "signing-with-new",
            Self::OldRetired => "old-retired",
        }
    }

    /// Whether hosts shall trust the old and the new key.
    #[must_use]
    pub fn trusts(self) -> (bool, bool) {
        match self {
            Self::Standby => (true, false),
            Self::BothTrusted | Self::SigningWithNew => (true, true),
            Self::OldRetired => (false, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_forward_but_the_last_can_be_taken_back() {
        let mut phase = Phase::Standby;
        let mut walked = vec![phase.name()];
        while let Some(next) = phase.next() {
            assert_eq!(next.previous(), (next != Phase::OldRetired).then_some(phase));
            phase = next;
            walked.push(phase.name());
        }
        assert_eq!(walked, ["standby", "both-trusted", "signing-with-new", "old-retired"]);
    }
}

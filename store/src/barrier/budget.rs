//! How many encryptions the active term may still do before more must be reserved in the database.
//!
//! AES-GCM with random nonces is good for 2^32 encryptions of a key (NIST SP 800-38D section 8.3). The count is reserved
//! in blocks *before* it is used, so after a crash it can only be too high.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Reserved, unused encryptions of one term in this process.
#[derive(Debug, Default)]
pub(super) struct Budget {
    remaining: AtomicU64,
}

impl Budget {
    /// Takes `count` encryptions, all or none.
    pub(super) fn take(&self, count: u64) -> bool {
        let taken = self.remaining.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(count));
        taken.is_ok()
    }

    /// Adds a block that was reserved in the database.
    pub(super) fn add(&self, count: u64) {
        self.remaining.fetch_add(count, Ordering::AcqRel);
    }

    pub(super) fn remaining(&self) -> u64 {
        self.remaining.load(Ordering::Acquire)
    }
}

/// The counter's record: how many encryptions of a term were ever reserved, over all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reserved {
    pub(super) term: u32,
    pub(super) encryptions: u64,
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn never_gives_more_than_was_added() {
        let budget = Budget::default();
        assert!(!budget.take(1));
        budget.add(5);
        assert!(budget.take(3) && !budget.take(3) && budget.take(2) && !budget.take(1));
        assert_eq!(budget.remaining(), 0);
    }
}

//! What clients are told when control was not shown (RFC 8555 §6.7): which address, what was expected, what was found.

use super::Failure;
use crate::problem::{Problem, ProblemType};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// So much of what a stranger's server answered is shown to whoever asked us to look there.
const SHOWN: usize = 24;

impl Failure {
    /// The network, or a server that was away: another look may help.
    pub(super) fn connection(detail: impl Into<String>) -> Self {
        Self { problem: ProblemType::Connection.because(detail), transient: true }
    }

    /// An address we do not connect to.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self { problem: ProblemType::Connection.because(detail), transient: false }
    }

    /// No answer, or an unusable one, from the DNS.
    pub(super) fn dns(detail: impl Into<String>) -> Self {
        Self { problem: ProblemType::Dns.because(detail), transient: true }
    }

    /// A TLS handshake that failed.
    pub(super) fn tls(detail: impl Into<String>) -> Self {
        Self { problem: ProblemType::Tls.because(detail), transient: false }
    }

    /// An answer that is not the right one.
    pub(super) fn incorrect(detail: impl Into<String>) -> Self {
        Self { problem: ProblemType::IncorrectResponse.because(detail), transient: false }
    }

    /// A record that speaks of somebody else.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self { problem: ProblemType::Unauthorized.because(detail), transient: false }
    }

    /// CAA records that forbid it.
    pub(super) fn caa(detail: impl Into<String>) -> Self {
        Self { problem: ProblemType::Caa.because(detail), transient: false }
    }

    /// A question that makes no sense.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self { problem: Problem::malformed(detail), transient: false }
    }

    /// The same, and another look may find something else.
    pub(super) fn may_pass(self) -> Self {
        Self { transient: true, ..self }
    }

    /// The same with more to say.
    pub(super) fn with(mut self, more: &str) -> Self {
        self.problem.detail.push_str(more);
        self
    }
}

/// The first bytes of what was found, none of them able to do harm on a terminal or in a log.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN).unwrap_or(bytes).escape_ascii();
    if bytes.len() > SHOWN { format!("\"{shown}\" and more") } else { format!("\"{shown}\"") }
}

/// By when a look must be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    /// From now on.
    pub(super) fn after(allowed: Duration) -> Self {
        Self { at: Instant::now() + allowed, allowed }
    }

    /// A part of the time that is left, so that one silent address does not cost the others their turn.
    pub(super) fn share(self, parts: usize) -> Self {
        let left = self.at.saturating_duration_since(Instant::now());
        let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
        let allowed = left / parts;
        Self { at: Instant::now() + allowed, allowed }
    }

    /// The work's result, or a failure that says what was waited for.
    pub(super) async fn bound<T>(
        self,
        failure: impl FnOnce(String) -> Failure,
        waiting_for: impl FnOnce() -> String,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match timeout_at(self.at, work).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let detail = format!("waited for {} in vain (at most {:?})", waiting_for(), self.allowed);
                Err(failure(detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_harmless() {
        assert_eq!(excerpt(b"abc"), "\"abc\"");
        assert_eq!(excerpt(b"\x1b[2J\r\n\xff"), r#""\x1b[2J\r\n\xff""#);
        let long = excerpt(&[b'x'; 5000]);
        assert_eq!(long, format!("\"{}\" and more", "x".repeat(SHOWN)));
    }
}

//! How a command fails: what went wrong, why, what to do about it, and the exit code scripts rely on.

use std::{fmt, io};

/// Exit code of a failure on this side: wrong usage, unreadable file, no connection to make.
pub(crate) const LOCAL: u8 = 1;
/// Exit code of a failure the server reported, or of a server that does not answer.
pub(crate) const REMOTE: u8 = 2;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// One failure, in the order a reader needs it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was tried, one line.
    pub(crate) what: String,
    /// Why it failed, a line each.
    pub(crate) why: Vec<String>,
    /// What to do next.
    pub(crate) fix: Option<String>,
    /// The request's id, to find it in the audit log.
    pub(crate) request_id: Option<String>,
    /// Exit code.
    pub(crate) exit: u8,
}

impl Failure {
    /// A failure on this side.
    pub(crate) fn local(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: Vec::new(), fix: None, request_id: None, exit: LOCAL }
    }

    /// A failure on the server's side.
    pub(crate) fn remote(what: impl Into<String>) -> Self {
        Self { exit: REMOTE, ..Self::local(what) }
    }

    /// Not a failure: the command stops here because this text was asked for instead of its effect.
    pub(crate) fn instead(text: String) -> Self {
        Self { exit: 0, ..Self::local(text) }
    }

    /// Adds a reason.
    pub(crate) fn because(mut self, why: impl fmt::Display) -> Self {
        self.why.push(why.to_string());
        self
    }

    /// Adds what to do.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        for why in &self.why {
            write!(f, "\n  why: {why}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, "\n  do:  {fix}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, "\n  request id: {id}")?;
        }
        Ok(())
    }
}

/// Writing to a closed pipe or a full disk.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::local("the output could not be written").because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_what_why_do() {
        let failure = Failure::remote("reading a/b failed").because("permission denied").fix("log in");
        assert_eq!(failure.to_string(), "error: reading a/b failed\n  why: permission denied\n  do:  log in");
        assert_eq!(failure.exit, REMOTE);
    }
}

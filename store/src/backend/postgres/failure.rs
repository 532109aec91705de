//! What a failure of the driver means for us, and how it is told.

use crate::StoreError;
use std::error::Error as _;
use tokio_postgres::Error;

/// What a failure means for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The connection is of no use any more; another one may be.
    Lost,
    /// The database ran into a conflict of its own making: the same again may succeed.
    Again,
    /// Not now: a timeout, or the server has run out of something.
    Later,
    /// This statement with these values fails.
    Statement,
}

/// The meaning of a failure (PostgreSQL manual, appendix A).
pub(super) fn meaning(error: &Error) -> Meaning {
    let Some(code) = error.code() else { return Meaning::Lost };
    match (code.code(), code.code().get(..2)) {
        // Cannot connect now, shutting down, crashed; and a server that has become a standby.
        ("57P01" | "57P02" | "57P03" | "57P05" | "25006" | "25P03", _) | (_, Some("08")) => Meaning::Lost,
        ("40001" | "40P01", _) => Meaning::Again,
        ("55P03" | "57014", _) | (_, Some("53")) => Meaning::Later,
        _ => Meaning::Statement,
    }
}

/// What the database says, else what the connection says; never a value.
pub(super) fn reason(error: &Error) -> String {
    if let Some(database) = error.as_db_error() {
        // The detail may quote the row.
        return format!("{} (SQLSTATE {})", database.message(), database.code().code());
    }
    let mut reasons = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        reasons.push(cause.to_string());
        source = cause.source();
    }
    reasons.dedup();
    reasons.join(": ")
}

/// The failure of a statement that is over.
pub(super) fn told(call: &'static str, error: &Error) -> StoreError {
    match meaning(error) {
        Meaning::Statement => StoreError::backend(call, reason(error)),
        Meaning::Lost | Meaning::Again | Meaning::Later => {
            StoreError::unavailable(format!("{call}: {}", reason(error)))
        }
    }
}

/// The failure of an attempt to connect: what waiting may mend is `Unavailable`, all else says what to do.
pub(super) fn of_connecting(name: &str, error: &Error) -> StoreError {
    let refused =
        |fix: &str| StoreError::Refused { database: name.to_owned(), detail: reason(error), fix: fix.to_owned() };
    let Some(code) = error.code().map(|code| code.code().to_owned()) else {
        let text = reason(error);
        return if text.contains("certificate") || text.contains("UnknownIssuer") {
            refused("name the CA of its certificate, and the host as the certificate does")
        } else if text.contains("TLS") || text.contains("tls") {
            refused("turn TLS on in the database; sslmode=disable only where nobody can listen")
        } else if text.contains("does not allow writes") {
            refused("it is a read-only standby: name the primary, or all hosts with commas between them")
        } else if text.contains("password missing") {
            refused("give the password by file, environment or credential")
        } else {
            StoreError::unavailable(format!("{name}: {text}"))
        };
    };
    match code.as_str() {
        "28P01" => refused("correct the user or the password"),
        "28000" => refused("let this user in from this address (pg_hba.conf)"),
        "3D000" => refused("create the database, or correct its name"),
        "42501" => refused("grant the user CONNECT on the database, and CREATE on its schema"),
        _ => StoreError::unavailable(format!("{name}: {}", reason(error))),
    }
}

//! Which module, which token, how many sessions.

use std::{path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use crate::HsmError;

/// The user PIN of a token. Zeroed on drop, hidden from `Debug`.
///
/// The caller reads it from a file, the environment or a systemd credential (`$CREDENTIALS_DIRECTORY/<name>`); never
/// from the command line, where every user of the machine can see it.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN into custody. One line end after it, as editors and `echo` leave there, is not part of it.
    ///
    /// # Errors
    ///
    /// [`HsmError::InvalidInput`] if it is empty: some modules take an empty PIN for "the one of the last login".
    pub fn new(pin: &str) -> Result<Self, HsmError> {
        let pin = pin.strip_suffix('\n').unwrap_or(pin);
        let pin = pin.strip_suffix('\r').unwrap_or(pin);
        if pin.is_empty() {
            return Err(HsmError::invalid("the token's PIN is empty"));
        }
        Ok(Self(Zeroizing::new(pin.to_owned())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin([redacted])")
    }
}

/// Which token of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChoice {
    /// The only one with this label.
    Label(String),
    /// The one with this serial number; the surest choice.
    Serial(String),
    /// Whatever is in this slot. Slot ids move on many tokens; for modules that cannot describe their tokens.
    Slot(u64),
}

impl std::fmt::Display for TokenChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Label(label) => write!(f, "a token labelled {label:?}"),
            Self::Serial(serial) => write!(f, "a token with serial number {serial:?}"),
            Self::Slot(slot) => write!(f, "a token in slot {slot}"),
        }
    }
}

/// How to reach and use a token.
#[derive(Clone, Debug)]
pub struct Pkcs11Config {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// The token.
    pub token: TokenChoice,
    /// The user PIN.
    pub pin: Pin,
    /// Sessions, each with a thread of its own: the bound of concurrency. Take the number of the HSM's cores for a
    /// local one, more for one behind a network.
    pub sessions: usize,
    /// Commands that may wait; more are answered with [`HsmError::Busy`].
    pub queue: usize,
    /// After this a caller is told [`HsmError::TimedOut`]. Key generation gets six times as long.
    pub deadline: Duration,
    /// How often idle sessions are touched, so that the token does not drop them.
    pub keep_alive: Duration,
    /// How long a session rests after the token ran out of sessions or memory.
    pub capacity_rest: Duration,
    /// First pause between attempts to reconnect; it doubles up to a minute.
    pub reconnect_pause: Duration,
}

impl Pkcs11Config {
    /// Defaults: 16 sessions (capped by what the token allows), 1024 waiting commands, 10 s, keep-alive every 15 s.
    #[must_use]
    pub fn new(module: impl Into<PathBuf>, token: TokenChoice, pin: Pin) -> Self {
        Self {
            module: module.into(),
            token,
            pin,
            sessions: 16,
            queue: 1024,
            deadline: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            capacity_rest: Duration::from_secs(30),
            reconnect_pause: Duration::from_millis(500),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_pin_is_refused_here() {
        assert!(Pin::new("").is_err() && Pin::new("\n").is_err());
    }

    #[test]
    fn line_end_is_not_part_of_the_pin_and_debug_is_silent() {
        let pin = Pin::new("1234\r\n").unwrap();
        assert_eq!(pin.expose(), "1234");
        assert!(!format!("{pin:?}").contains("1234"));
    }
}

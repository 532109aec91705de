//! Throw-away tokens for tests.
//!
//! PKCS#11 modules read their configuration from the environment of the process that loads them, and Rust cannot
//! change that environment safely. So a test binary makes the token with command-line tools (`softhsm.rs`,
//! `kryoptic.rs`), then runs itself once more with the variables set: a [`Stage`] says which of the two runs this is.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use chancery_hsm::{Pin, Pkcs11Config, TokenChoice};

pub(crate) const LABEL: &str = "chancery-test";
pub(crate) const PIN: &str = "87654321";
pub(crate) const SO_PIN: &str = "12345678";
const MODULE: &str = "CHANCERY_TEST_MODULE";
const PLACE: &str = "CHANCERY_TEST_PLACE";

/// Which run of the test binary this is.
pub(crate) enum Stage {
    /// The outer one is over; pass its code on.
    Finished(ExitCode),
    /// The inner one: a token is ready.
    Inside(Token),
}

/// A token in a temporary directory.
pub(crate) struct Token {
    pub(crate) module: PathBuf,
    pub(crate) place: PathBuf,
}

impl Token {
    /// The token of the outer run, if this is the inner one.
    pub(crate) fn inherited() -> Option<Self> {
        let module = PathBuf::from(std::env::var_os(MODULE)?);
        Some(Self { module, place: PathBuf::from(std::env::var_os(PLACE)?) })
    }

    pub(crate) fn config(&self) -> Pkcs11Config {
        let pin = Pin::new(PIN).expect("the PIN is not empty");
        let mut config = Pkcs11Config::new(&self.module, TokenChoice::Label(LABEL.into()), pin);
        config.sessions = 4;
        config
    }
}

impl Stage {
    /// The test cannot run here.
    pub(crate) fn missing(what: &str) -> Self {
        eprintln!("FAILED: {what}");
        Self::Finished(ExitCode::FAILURE)
    }

    /// Runs this binary once more, inside.
    pub(crate) fn again(module: &Path, place: &Path, environment: &[(&str, OsString)]) -> Self {
        let status = Command::new(std::env::current_exe().expect("our own path"))
            .args(std::env::args_os().skip(1))
            .envs(environment.iter().cloned())
            .env(MODULE, module)
            .env(PLACE, place)
            .status()
            .expect("our own binary runs");
        Self::Finished(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

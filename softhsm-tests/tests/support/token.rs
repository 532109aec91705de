//! Throw-away tokens for tests.
//!
//! PKCS#11 modules read their configuration from the environment of the process that loads them, and Rust cannot
//! change that environment safely. So a test binary makes the token with command-line tools, then runs itself once
//! more with the variables set: [`Stage::enter`] says which of the two runs this is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use chancery_hsm::{Pin, Pkcs11Config, TokenChoice};

pub(crate) const LABEL: &str = "chancery-test";
pub(crate) const PIN: &str = "87654321";
const SO_PIN: &str = "12345678";
const MODULE: &str = "CHANCERY_TEST_MODULE";
const PLACE: &str = "CHANCERY_TEST_PLACE";

/// Where Debian, Ubuntu and Fedora put SoftHSM.
const SOFTHSM: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

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
    pub(crate) fn config(&self) -> Pkcs11Config {
        let pin = Pin::new(PIN).expect("the PIN is not empty");
        let mut config = Pkcs11Config::new(&self.module, TokenChoice::Label(LABEL.into()), pin);
        config.sessions = 4;
        config
    }
}

impl Stage {
    /// Runs the binary again with a fresh SoftHSM token, or says that it has been.
    pub(crate) fn softhsm(load: Option<&Path>) -> Self {
        if let Some(token) = inside() {
            return Self::Inside(token);
        }
        let module = SOFTHSM.into_iter().map(PathBuf::from).find(|path| path.exists());
        let Some(module) = module else {
            return Self::missing("SoftHSM is not installed: apt-get install softhsm2");
        };
        let place = tempfile::tempdir().expect("a temporary directory");
        let tokens = place.path().join("tokens");
        fs::create_dir(&tokens).expect("a directory for tokens");
        let configuration = place.path().join("softhsm2.conf");
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(&configuration, text).expect("SoftHSM's configuration");
        let environment = [("SOFTHSM2_CONF", configuration.as_os_str().to_owned())];
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", SO_PIN, "--pin", PIN])
            .envs(environment.clone())
            .output();
        if !made.as_ref().is_ok_and(|output| output.status.success()) {
            return Self::missing(&format!("softhsm2-util could not make a token: {made:?}"));
        }
        let load = load.unwrap_or(&module);
        let extra = [("CHANCERY_SHIM_MODULE", module.as_os_str().to_owned())];
        again(load, place.path(), environment.into_iter().chain(extra))
    }

    /// The same with Kryoptic, if it was built (`softhsm-tests/scripts/kryoptic.sh`).
    pub(crate) fn kryoptic(module: &Path) -> Self {
        if let Some(token) = inside() {
            return Self::Inside(token);
        }
        let place = tempfile::tempdir().expect("a temporary directory");
        let configuration = place.path().join("kryoptic.conf");
        let database = place.path().join("token.sql");
        let text = format!("[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n", database.display());
        fs::write(&configuration, text).expect("Kryoptic's configuration");
        let environment = [("KRYOPTIC_CONF", configuration.as_os_str().to_owned())];
        let tool = |arguments: &[&str]| {
            let mut command = Command::new("pkcs11-tool");
            command.arg("--module").arg(module).args(arguments).envs(environment.clone());
            command.output().is_ok_and(|output| output.status.success())
        };
        let made = tool(&["--init-token", "--slot-index", "0", "--label", LABEL, "--so-pin", SO_PIN])
            && tool(&["--init-pin", "--login", "--login-type", "so", "--so-pin", SO_PIN, "--new-pin", PIN]);
        if !made {
            return Self::missing("pkcs11-tool could not make a Kryoptic token: apt-get install opensc");
        }
        again(module, place.path(), environment.into_iter())
    }

    fn missing(what: &str) -> Self {
        eprintln!("FAILED: {what}");
        Self::Finished(ExitCode::FAILURE)
    }
}

fn inside() -> Option<Token> {
    let module = PathBuf::from(std::env::var_os(MODULE)?);
    Some(Token { module, place: PathBuf::from(std::env::var_os(PLACE)?) })
}

fn again(module: &Path, place: &Path, environment: impl Iterator<Item = (&'static str, std::ffi::OsString)>) -> Stage {
    let binary = std::env::current_exe().expect("our own path");
    let status = Command::new(binary)
        .args(std::env::args_os().skip(1))
        .envs(environment)
        .env(MODULE, module)
        .env(PLACE, place)
        .env("CHANCERY_SHIM_CONTROL", place.join("shim"))
        .status()
        .expect("our own binary runs");
    Stage::Finished(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

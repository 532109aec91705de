//! A fresh Kryoptic token.

use std::{fs, path::PathBuf, process::Command};

use crate::token::{LABEL, PIN, SO_PIN, Stage, Token};

/// The module, from `KRYOPTIC_MODULE` or from where `softhsm-tests/scripts/kryoptic.sh` builds it.
pub(crate) fn module() -> Option<PathBuf> {
    let named = std::env::var_os("KRYOPTIC_MODULE").map(PathBuf::from);
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
    named.or_else(|| Some(target.join("kryoptic/build/release/libkryoptic_pkcs11.so"))).filter(|path| path.exists())
}

/// Makes the token and runs the binary again, or says that this is that run.
pub(crate) fn stage() -> Stage {
    if let Some(token) = Token::inherited() {
        return Stage::Inside(token);
    }
    let Some(module) = module() else {
        return Stage::missing("Kryoptic is not built: softhsm-tests/scripts/kryoptic.sh");
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let configuration = place.path().join("kryoptic.conf");
    let database = place.path().join("token.sql");
    let text = format!("[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n", database.display());
    fs::write(&configuration, text).expect("Kryoptic's configuration");
    let tool = |arguments: &[&str]| {
        let mut command = Command::new("pkcs11-tool");
        command.arg("--module").arg(&module).args(arguments).env("KRYOPTIC_CONF", &configuration);
        command.output().is_ok_and(|output| output.status.success())
    };
    let made = tool(&["--init-token", "--slot-index", "0", "--label", LABEL, "--so-pin", SO_PIN])
        && tool(&["--init-pin", "--login", "--login-type", "so", "--so-pin", SO_PIN, "--new-pin", PIN]);
    if !made {
        return Stage::missing("pkcs11-tool could not make a Kryoptic token: apt-get install opensc");
    }
    Stage::again(&module, place.path(), &[("KRYOPTIC_CONF", configuration.into_os_string())])
}

//! A fresh SoftHSM token.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::token::{LABEL, PIN, SO_PIN, Stage, Token};

/// Where Debian, Ubuntu and Fedora put the module.
const PLACES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// Makes the token and runs the binary again, or says that this is that run. `load` is a module to load instead, which
/// passes calls on to SoftHSM (the shim, p11-kit's client).
pub(crate) fn stage(load: Option<&Path>) -> Stage {
    if let Some(token) = Token::inherited() {
        return Stage::Inside(token);
    }
    let Some(module) = PLACES.into_iter().map(PathBuf::from).find(|path| path.exists()) else {
        return Stage::missing("SoftHSM is not installed: apt-get install softhsm2");
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let tokens = place.path().join("tokens");
    fs::create_dir(&tokens).expect("a directory for tokens");
    let configuration = place.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&configuration, text).expect("SoftHSM's configuration");
    let made = initialize(LABEL, &configuration);
    if let Err(why) = made {
        return Stage::missing(&why);
    }
    let environment = [
        ("SOFTHSM2_CONF", configuration.into_os_string()),
        ("CHANCERY_SHIM_MODULE", module.clone().into_os_string()),
        ("CHANCERY_SHIM_CONTROL", place.path().join("shim").into_os_string()),
        ("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", socket(place.path()).display()).into()),
    ];
    Stage::again(load.unwrap_or(&module), place.path(), &environment)
}

/// Where p11-kit's client module looks for a server.
pub(crate) fn socket(place: &Path) -> PathBuf {
    place.join("p11-kit")
}

/// Makes one more token for the module that reads this configuration.
pub(crate) fn initialize(label: &str, configuration: &Path) -> Result<(), String> {
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN])
        .env("SOFTHSM2_CONF", configuration)
        .output();
    if made.as_ref().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    Err(format!("softhsm2-util could not make a token: {made:?}"))
}

//! The token helper: the last login's token, in `~/.vault-token`, readable by its owner only. The same file the other
//! command lines use, so a login with one is a login with all.

use crate::{
    environment,
    failure::{Failure, Result},
};
use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};
use zeroize::Zeroizing;

/// The stored token, if there is one.
pub(crate) fn read() -> Result<Option<Zeroizing<String>>> {
    let Some(path) = path() else { return Ok(None) };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            Ok(Some(Zeroizing::new(text.trim().to_owned())).filter(|token| !token.is_empty()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::local(format!("cannot read the token file {}", path.display())).because(error)),
    }
}

/// Stores a token. The file is replaced as a whole, so its mode is right from the start and no reader sees half a token.
pub(crate) fn write(token: &str) -> Result<PathBuf> {
    let path = path().ok_or_else(|| {
        Failure::local("the token cannot be stored").because("HOME is not set").fix("use --no-store, or set HOME")
    })?;
    let wrong = |error| Failure::local(format!("cannot write the token file {}", path.display())).because(error);
    let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(wrong)?;
    file.write_all(token.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
    fs::rename(&fresh, &path).map_err(wrong)?;
    Ok(path)
}

/// Forgets the stored token.
pub(crate) fn erase() -> Result<()> {
    let Some(path) = path() else { return Ok(()) };
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::local(format!("cannot remove the token file {}", path.display())).because(error))
        }
        _ => Ok(()),
    }
}

fn path() -> Option<PathBuf> {
    environment::setting("TOKEN_PATH")
        .map(PathBuf::from)
        .or_else(|| environment::home().map(|home| home.join(".vault-token")))
}

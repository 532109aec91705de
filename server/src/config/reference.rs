//! Secrets by reference, and PKCS#11 modules by name.

use super::ConfigError;
use chancery_engine::SecretString;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a secret stands. Never the secret itself, so a configuration can be shown to anybody.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// `file:PATH`
    File(PathBuf),
    /// `env:NAME`
    Environment(String),
    /// `cred:NAME`: a systemd credential, `$CREDENTIALS_DIRECTORY/NAME`.
    Credential(String),
    /// In the clear, as Vault's `pin` has it. Accepted only from Vault-shaped files.
    Inline(SecretString),
}

impl SecretReference {
    pub(crate) fn parse(key: &str, text: &str, base: &Path) -> Result<Self, ConfigError> {
        match text.split_once(':') {
            Some(("file", path)) => Ok(Self::File(base.join(path))),
            Some(("env", name)) => Ok(Self::Environment(name.to_owned())),
            Some(("cred", name)) if !name.contains('/') => Ok(Self::Credential(name.to_owned())),
            // The text may be the secret itself: it is not repeated.
            _ => Err(ConfigError::new(
                format!("`{key}` is not a reference to a secret"),
                "write file:PATH, env:NAME or cred:NAME",
            )),
        }
    }

    /// Fetches the secret; one line end after it is not part of it.
    ///
    /// # Errors
    /// A line that names the place, never the secret.
    pub fn resolve(&self) -> Result<SecretString, ConfigError> {
        let text = match self {
            Self::File(path) => read(path)?,
            Self::Credential(name) => read(&credential_path(name)?)?,
            Self::Environment(name) => std::env::var(name).map_err(|_| {
                ConfigError::new(format!("environment variable {name} is not set"), "set it, or refer to a file")
            })?,
            Self::Inline(secret) => return Ok(secret.clone()),
        };
        let trimmed = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        Ok(SecretString::new(trimmed.to_owned()))
    }
}

impl fmt::Debug for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::Credential(name) => write!(f, "cred:{name}"),
            Self::Inline(_) => f.write_str("[redacted]"),
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        let fix = "make it readable for this user and nobody else";
        ConfigError::new(format!("secret file {} cannot be read: {error}", path.display()), fix)
    })
}

fn credential_path(name: &str) -> Result<PathBuf, ConfigError> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(|directory| Path::new(&directory).join(name)).ok_or_else(|| {
        let fix = format!("run under systemd with LoadCredentialEncrypted={name}, or refer to a file");
        ConfigError::new(format!("there is no credentials directory for cred:{name}"), fix)
    })
}

/// A path of a plain file that may be given as a path, `file:PATH` or `cred:NAME`.
pub(crate) fn file_path(text: &str, base: &Path) -> Result<PathBuf, ConfigError> {
    match text.split_once(':') {
        Some(("file", path)) => Ok(base.join(path)),
        Some(("cred", name)) if !name.contains('/') => credential_path(name),
        _ => Ok(base.join(text)),
    }
}

/// Where distributions put PKCS#11 modules.
const MODULE_DIRECTORIES: [&str; 13] = [
    "/usr/lib/softhsm",
    "/usr/lib/x86_64-linux-gnu/softhsm",
    "/usr/lib/aarch64-linux-gnu/softhsm",
    "/usr/lib64/softhsm",
    "/usr/lib/x86_64-linux-gnu/pkcs11",
    "/usr/lib/aarch64-linux-gnu/pkcs11",
    "/usr/lib64/pkcs11",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/local/lib/softhsm",
    "/usr/local/lib",
    "/usr/lib",
];

/// Finds a PKCS#11 module: a path, or a name such as `softhsm2`, looked for where distributions put modules.
///
/// # Errors
/// The places that were searched, and what to do.
pub fn find_module(name: &str) -> Result<PathBuf, ConfigError> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return if path.is_file() {
            Ok(path)
        } else {
            let fix = "install the token's PKCS#11 library or correct `hsm.module`";
            Err(ConfigError::new(format!("PKCS#11 module {name} is not there"), fix))
        };
    }
    let files = [format!("lib{name}.so"), format!("{name}.so"), name.to_owned()];
    MODULE_DIRECTORIES
        .iter()
        .flat_map(|directory| files.iter().map(|file| Path::new(directory).join(file)))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            ConfigError::new(
                format!("PKCS#11 module {name:?} was not found in {}", MODULE_DIRECTORIES.join(", ")),
                "install it (Debian and Ubuntu: apt install softhsm2) or give its full path in `hsm.module`",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_references_and_are_not_repeated() {
        let parse = |text: &str| SecretReference::parse("hsm.pin", text, Path::new("/etc/chancery"));
        assert_eq!(parse("file:pin").unwrap(), SecretReference::File("/etc/chancery/pin".into()));
        assert_eq!(parse("cred:hsm-pin").unwrap(), SecretReference::Credential("hsm-pin".into()));
        let error = parse("1234").unwrap_err().to_string();
        assert!(!error.contains("1234"), "{error}");
        assert!(parse("cred:../x").is_err());
    }

    #[test]
    fn a_line_end_is_not_part_of_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        std::fs::write(&path, "1234\n").unwrap();
        assert_eq!(SecretReference::File(path).resolve().unwrap().expose(), "1234");
    }

    #[test]
    fn a_missing_module_names_the_fix() {
        let error = find_module("/nonexistent/module.so").unwrap_err().to_string();
        assert!(error.contains("hsm.module"), "{error}");
        assert!(find_module("no-such-module").is_err());
    }
}

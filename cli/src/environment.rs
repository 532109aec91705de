//! What the environment says. Every setting may be spelled `CHANCERY_X`, `BAO_X` or `VAULT_X`; the first that is set
//! wins, in this order, so a script written for either of the other tools works unchanged.

use std::env;

const PREFIXES: [&str; 3] = ["CHANCERY_", "BAO_", "VAULT_"];

/// The value of a setting such as `ADDR`; a variable that is set to nothing counts as absent.
pub(crate) fn setting(name: &str) -> Option<String> {
    PREFIXES.iter().find_map(|prefix| env::var(format!("{prefix}{name}")).ok()).filter(|value| !value.is_empty())
}

/// A setting that is a switch: `1`, `t`, `true` in any case.
pub(crate) fn switch(name: &str) -> bool {
    setting(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "t" | "true"))
}

/// The home directory, where the token file lives.
pub(crate) fn home() -> Option<std::path::PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

//! How we were called. As `vault` or `bao` the command line is in Go's dialect (`-format=json`, `-force=true`) and is
//! rewritten into ours before clap sees it; under any other name it is taken as it is.

use clap::{ArgAction, Command};
use std::{collections::BTreeSet, ffi::OsString, path::Path};

/// The arguments as clap shall see them.
pub(crate) fn arguments(raw: Vec<OsString>, command: &Command) -> Vec<OsString> {
    if !speaks_go(raw.first()) {
        return raw;
    }
    if let [_, only] = raw.as_slice()
        && ["-v", "-version", "--version"].iter().any(|flag| only == flag)
    {
        return vec![raw.into_iter().next().unwrap_or_default(), "version".into()];
    }
    let switches = switches(command);
    let mut literal = false;
    let mut rewritten = Vec::with_capacity(raw.len());
    for (position, argument) in raw.into_iter().enumerate() {
        let text = argument.to_str().unwrap_or_default();
        literal = literal || text == "--";
        match (position, literal) {
            (0, _) | (_, true) => rewritten.push(argument),
            _ => rewritten.extend(translate(text, &switches).unwrap_or(Some(argument))),
        }
    }
    rewritten
}

/// Whether we were called as one of the tools we stand in for.
pub(crate) fn in_disguise() -> bool {
    speaks_go(std::env::args_os().next().as_ref())
}

fn speaks_go(program: Option<&OsString>) -> bool {
    program
        .and_then(|program| Path::new(program).file_stem())
        .is_some_and(|name| name == "vault" || name == "bao" || name == "openbao")
}

/// `None`: not a Go flag, leave it alone. `Some(None)`: a switch turned off, drop it.
fn translate(text: &str, switches: &BTreeSet<String>) -> Option<Option<OsString>> {
    let body = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    if !body.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
    let dashes = if name.len() == 1 { "-" } else { "--" };
    match value {
        Some("true" | "1" | "t") if switches.contains(name) => Some(Some(format!("{dashes}{name}").into())),
        Some("false" | "0" | "f") if switches.contains(name) => Some(None),
        _ => Some(Some(format!("{dashes}{body}").into())),
    }
}

/// Names of all flags that take no value, anywhere in the tree.
fn switches(command: &Command) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for argument in command.get_arguments().filter(|argument| matches!(argument.get_action(), ArgAction::SetTrue)) {
        names.extend(argument.get_long_and_visible_aliases().unwrap_or_default().into_iter().map(str::to_owned));
        names.extend(argument.get_short().map(String::from));
    }
    for child in command.get_subcommands() {
        names.extend(switches(child));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::CommandFactory as _;

    fn rewritten(line: &str) -> Vec<String> {
        let raw = line.split(' ').map(OsString::from).collect();
        arguments(raw, &Arguments::command()).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn go_flags_become_ours_when_called_as_vault() {
        assert_eq!(rewritten("vault server -config=a.hcl")[2], "--config=a.hcl");
        assert_eq!(rewritten("/usr/bin/bao read -format json a/b")[2..], ["--format", "json", "a/b"]);
        assert_eq!(rewritten("vault write -f a/b")[2], "-f");
    }

    #[test]
    fn go_switches_lose_their_value() {
        assert_eq!(rewritten("vault write -force=true a/b")[2..], ["--force", "a/b"]);
        assert_eq!(rewritten("vault write -force=false a/b")[2..], ["a/b"]);
        assert_eq!(rewritten("vault token create -renewable=false")[3], "--renewable=false");
    }

    #[test]
    fn a_lone_dash_and_what_follows_two_dashes_are_left_alone() {
        assert_eq!(rewritten("vault policy write p -")[4], "-");
        assert_eq!(rewritten("vault dev -- ls -la")[3..], ["ls", "-la"]);
    }

    #[test]
    fn the_version_flag_is_the_version_command() {
        assert_eq!(rewritten("vault -version"), ["vault", "version"]);
    }

    #[test]
    fn under_our_own_name_nothing_is_touched() {
        assert_eq!(rewritten("chancery write -f a/b"), ["chancery", "write", "-f", "a/b"]);
    }
}

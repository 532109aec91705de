//! Mistakes in a configuration: where, what, and how to mend it, in one line.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: Option<PathBuf>,
    what: String,
    fix: String,
}

impl ConfigError {
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: None, what: what.into(), fix: fix.into() }
    }

    pub(crate) fn unreadable(path: &Path, source: &std::io::Error) -> Self {
        let fix = "give the path of a readable file with --config";
        Self::new(format!("cannot be read: {source}"), fix).in_file(path)
    }

    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// A message of serde's; `unknown field` becomes a suggestion.
    pub(crate) fn from_serde(message: &str, line: Option<usize>) -> Self {
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        if let Some(rest) = message.strip_prefix("unknown field `") {
            let mut names = rest.split('`');
            let unknown = names.next().unwrap_or_default();
            // serde puts the names it knows between backticks; separators stand in between.
            let known: Vec<&str> = names.filter(|name| !name.is_empty() && !name.contains([',', ' ', '\n'])).collect();
            return Self::unknown_key(&place, unknown, &known);
        }
        // serde quotes the value it found, which may be a PIN somebody wrote here by mistake: say what is wanted only.
        let first = message.lines().next().unwrap_or_default();
        let first = match (first.starts_with("invalid "), first.rsplit_once(", expected ")) {
            (true, Some((_, wanted))) => format!("expected {wanted}"),
            (true, None) => "a value of the wrong kind".to_owned(),
            (false, _) => first.to_owned(),
        };
        Self::new(format!("{place}{first}"), "see docs/configuration.md")
    }

    pub(crate) fn unknown_key(place: &str, unknown: &str, known: &[&str]) -> Self {
        let what = format!("{place}unknown key `{unknown}`");
        match nearest(unknown, known) {
            Some(name) => Self::new(what, format!("did you mean `{name}`?")),
            None => Self::new(what, format!("known here: {}", known.join(", "))),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        write!(f, "{}; {}", self.what, self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// The known name that takes the fewest edits, if that is few enough to be a slip.
fn nearest<'n>(unknown: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|name| (distance(unknown, name), *name))
        .min()
        .filter(|(edits, name)| *edits <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(b.chars()) {
            let substituted = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = substituted.min(*cell + 1).min(before + 1);
            *cell = before;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        let error = ConfigError::from_serde("unknown field `adress`, expected one of `address`, `tls_cert`", Some(3));
        assert_eq!(error.to_string(), "line 3: unknown key `adress`; did you mean `address`?");
        let error = ConfigError::from_serde("unknown field `zzz`, expected `address` or `tls_cert`", None);
        assert_eq!(error.to_string(), "unknown key `zzz`; known here: address, tls_cert");
    }
}

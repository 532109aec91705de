//! Matching of policy paths: exact, prefix, and `+` segments, by Vault's order of precedence (vault-api §4.3).

use std::cmp::Ordering;

/// A path of a rule, analysed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Matches one path.
    Exact(String),
    /// Has a trailing `*`, `+` segments, or both.
    Wild(WildPattern),
}

/// A pattern that matches many paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WildPattern {
    /// Without the trailing `*`.
    text: String,
    is_prefix: bool,
    /// Number of `+` segments.
    plus_segments: usize,
    /// Where the first `+` or `*` stands.
    first_wildcard: usize,
}

/// Whether Vault accepts the path of a rule.
pub(crate) fn check(path: &str) -> Result<(), &'static str> {
    if path.contains("+*") { Err("invalid use of wildcards ('+*' is forbidden)") } else { Ok(()) }
}

impl Pattern {
    /// Analyses the path of a rule.
    pub(crate) fn of(path: &str) -> Self {
        let (text, is_prefix) = match path.strip_suffix('*') {
            Some(text) => (text, true),
            None => (path, false),
        };
        let plus_segments = text.split('/').filter(|segment| *segment == "+").count();
        if plus_segments == 0 && !is_prefix {
            return Self::Exact(path.to_owned());
        }
        let first_wildcard = if plus_segments == 0 { text.len() } else { text.find('+').unwrap_or(text.len()) };
        Self::Wild(WildPattern { text: text.to_owned(), is_prefix, plus_segments, first_wildcard })
    }
}

impl WildPattern {
    /// Whether `path` is meant.
    pub(crate) fn matches(&self, path: &str) -> bool {
        if self.plus_segments == 0 {
            return path.starts_with(self.text.as_str());
        }
        let mut segments = path.split('/');
        let mut wanted = self.text.split('/').peekable();
        while let Some(want) = wanted.next() {
            let Some(segment) = segments.next() else { return false };
            let is_last = wanted.peek().is_none();
            let fits = want == "+" || want == segment || (is_last && self.is_prefix && segment.starts_with(want));
            if !fits {
                return false;
            }
        }
        self.is_prefix || segments.next().is_none()
    }

    /// Whether some path below `mount` (which ends in a slash) could match.
    pub(crate) fn reaches_into(&self, mount: &str) -> bool {
        let mut wanted = self.text.split('/').peekable();
        for segment in mount.trim_end_matches('/').split('/') {
            let Some(want) = wanted.next() else { return self.is_prefix };
            if wanted.peek().is_none() && self.is_prefix {
                return segment.starts_with(want);
            }
            if want != "+" && want != segment {
                return false;
            }
        }
        true
    }

    /// Higher precedence first, so that the first match of a sorted list decides.
    pub(crate) fn by_precedence(&self, other: &Self) -> Ordering {
        other
            .first_wildcard
            .cmp(&self.first_wildcard)
            .then_with(|| self.is_prefix.cmp(&other.is_prefix))
            .then_with(|| self.plus_segments.cmp(&other.plus_segments))
            .then_with(|| other.text.len().cmp(&self.text.len()))
            .then_with(|| other.text.cmp(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wild(path: &str) -> WildPattern {
        match Pattern::of(path) {
            Pattern::Wild(pattern) => pattern,
            Pattern::Exact(_) => panic!("{path} is exact"),
        }
    }

    #[test]
    fn plus_is_one_segment_and_star_is_the_rest() {
        for (pattern, path, matches) in [
            ("a/+", "a/b", true),
            ("a/+", "a/", true),
            ("a/+", "a/b/c", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c*", "a/b/cde/f", true),
            ("a/+/*", "a/b/", true),
            ("a/+/*", "a/b", false),
            ("+/b/*", "a/b/c", true),
            ("a*", "ab/c", true),
            ("*", "", true),
            ("a/*", "a", false),
        ] {
            assert_eq!(wild(pattern).matches(path), matches, "{pattern} {path}");
        }
        assert_eq!(Pattern::of("a*b"), Pattern::Exact("a*b".to_owned()));
        assert_eq!(Pattern::of("a/+b"), Pattern::Exact("a/+b".to_owned()));
    }

    #[test]
    fn precedence_is_vaults() {
        for (stronger, weaker) in [
            ("a/b/+", "a/+/c"),
            ("a/+", "a/*"),
            ("a/+/c", "a/+/*"),
            ("a/+/c/d", "a/+/+/d"),
            ("a/+/cc", "a/+/c"),
            ("a/+/d", "a/+/c"),
            ("a/b*", "a/*"),
        ] {
            assert_eq!(wild(stronger).by_precedence(&wild(weaker)), Ordering::Less, "{stronger} over {weaker}");
        }
    }

    #[test]
    fn a_mount_is_reached_by_rules_that_could_match_inside() {
        for (pattern, mount, reaches) in [
            ("secret/*", "secret/", true),
            ("sec*", "secret/", true),
            ("+/data/*", "secret/", true),
            ("other/*", "secret/", false),
            ("secret/a/b/*", "secret/", true),
            ("a/*", "a/b/", true),
        ] {
            assert_eq!(wild(pattern).reaches_into(mount), reaches, "{pattern} {mount}");
        }
    }
}

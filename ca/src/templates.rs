//! Identity templates in `allowed_domains` and `allowed_uri_sans`: `{{identity.entity.metadata.team}}.example.com`.
//!
//! A role with templates is made the caller's own before anything is judged; a pattern whose values are unknown or
//! hostile drops out, so it allows nothing. A value must not widen its pattern: `*` needs the role's leave, and what ends
//! a label, a path or a user name stands for nobody (GHSA-59w7-v8rr-pr4p has the same rule for policies).

use crate::{requester::Requester, role::Role};
use std::borrow::Cow;

/// Most templates in one pattern.
const MOST: usize = 16;

impl Role {
    /// The role as it is for this caller, without templates.
    #[must_use]
    pub fn for_requester(&self, requester: &Requester) -> Cow<'_, Self> {
        if !self.allowed_domains_template && !self.allowed_uri_sans_template {
            return Cow::Borrowed(self);
        }
        let globs = self.allow_globs_in_identity_templates;
        let fill_all = |patterns: &[String]| {
            patterns.iter().filter_map(|pattern| fill(pattern, requester, globs)).collect::<Vec<_>>()
        };
        let mut own = self.clone();
        if self.allowed_domains_template {
            own.allowed_domains = fill_all(&self.allowed_domains);
            own.allowed_domains_template = false;
        }
        if self.allowed_uri_sans_template {
            own.allowed_uri_sans = fill_all(&self.allowed_uri_sans);
            own.allowed_uri_sans_template = false;
        }
        Cow::Owned(own)
    }
}

/// The pattern with its templates filled in; none where one has no fitting value.
fn fill(pattern: &str, requester: &Requester, globs: bool) -> Option<String> {
    let mut filled = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut count = 0;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, tail) = behind.split_once("}}")?;
        count += 1;
        let value = requester.value_of(name.trim())?;
        if count > MOST || before.contains("}}") || !is_harmless(value, globs) {
            return None;
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = tail;
    }
    if rest.contains("}}") {
        return None;
    }
    filled.push_str(rest);
    Some(filled)
}

/// Dots may stand inside of a value: login names of many organisations have them.
fn is_harmless(value: &str, globs: bool) -> bool {
    !value.starts_with('.')
        && !value.ends_with('.')
        && !value.contains("..")
        && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_') || (globs && c == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requester() -> Requester {
        let metadata =
            [("team", "blue"), ("glob", "*"), ("path", "a/b"), ("at", "x@y"), ("dots", "a..b"), ("end", "a.")];
        Requester {
            display_name: "userpass-joe".into(),
            entity_id: "e-1".into(),
            metadata: metadata.map(|(key, value)| (key.into(), value.into())).into(),
        }
    }

    #[test]
    fn known_values_are_filled_in_and_others_allow_nothing() {
        let of = |pattern: &str| fill(pattern, &requester(), false);
        assert_eq!(of("plain.com").as_deref(), Some("plain.com"));
        assert_eq!(of("{{identity.entity.metadata.team}}.com").as_deref(), Some("blue.com"));
        assert_eq!(of("{{ identity.entity.id }}.x.{{identity.entity.metadata.team}}").as_deref(), Some("e-1.x.blue"));
        for bad in [
            "{{identity.entity.metadata.nope}}.com",
            "{{identity.entity.name}}.com",
            "{{identity.entity.metadata.glob}}.com",
            "{{identity.entity.metadata.path}}.com",
            "{{identity.entity.metadata.at}}.com",
            "{{identity.entity.metadata.dots}}.com",
            "{{identity.entity.metadata.end}}.com",
            "{{identity.entity.metadata.team.com",
            "identity.entity.metadata.team}}.com",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn globs_in_values_need_the_roles_leave() {
        let pattern = "{{identity.entity.metadata.glob}}.com";
        assert_eq!(fill(pattern, &requester(), true).as_deref(), Some("*.com"));
        assert_eq!(fill(pattern, &requester(), false), None);
    }

    #[test]
    fn only_lists_whose_flag_is_set_are_templates() {
        let pattern = vec!["{{identity.entity.metadata.team}}.com".to_owned()];
        let role = Role { allowed_domains: pattern.clone(), allowed_uri_sans: pattern.clone(), ..Role::default() };
        assert_eq!(role.for_requester(&requester()).allowed_domains, pattern);
        let role = Role { allowed_domains_template: true, ..role };
        let own = role.for_requester(&requester());
        assert_eq!((own.allowed_domains[0].as_str(), &own.allowed_uri_sans), ("blue.com", &pattern));
    }
}

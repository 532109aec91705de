//! `{{templates}}` in roles: values of the caller's login, refused where they could widen what the role grants
//! (GHSA-59w7-v8rr-pr4p).
//!
//! There are no entities here; what a login attached to its token stands for them. A token made from another token
//! carries what its maker chose, so it fills nothing in.

use crate::error::SshError;
use chancery_engine::Identity;

const LOGIN_METADATA: &str = "identity.entity.metadata.";
const ALIASES: &str = "identity.entity.aliases.";

/// What a value may hold besides letters, digits and the like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tolerance {
    /// `allow_commas_in_identity_templates`: the value is a list.
    pub(crate) commas: bool,
}

/// Fills `text` in.
///
/// # Errors
/// [`SshError::Caller`] that names the template: unknown to this caller, unbalanced, or filled with something hostile.
pub(crate) fn fill(text: &str, identity: Option<&Identity>, tolerance: Tolerance) -> Result<String, SshError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, tail) =
            behind.split_once("}}").ok_or_else(|| SshError::caller("unbalanced templating characters"))?;
        let name = name.trim();
        let value = identity.and_then(|identity| value_of(name, identity)).ok_or_else(|| {
            SshError::Caller(format!(
                "template {{{{{name}}}}} cannot be filled in: this caller's login has no such value"
            ))
        })?;
        if let Some(bad) = value.chars().find(|c| is_hostile(*c, tolerance)) {
            return Err(SshError::Caller(format!(
                "template {{{{{name}}}}} cannot be filled in: its value for this caller contains {bad:?}"
            )));
        }
        filled.push_str(before);
        filled.push_str(&value);
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Whether the text has a template at all.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

fn is_hostile(c: char, tolerance: Tolerance) -> bool {
    let is_list = c == ',' && tolerance.commas;
    !is_list && (c.is_control() || c.is_whitespace() || matches!(c, ',' | '*' | '?' | '!' | '{' | '}' | '"' | '\\'))
}

/// Metadata of the login that made the caller's token. `aliases` names the login's mount by its path, so that the same
/// member of another mount's login does not fill it in (CVE-2021-43998).
fn value_of(name: &str, identity: &Identity) -> Option<String> {
    let (login, metadata) = identity.login()?;
    let member = match name.strip_prefix(LOGIN_METADATA) {
        Some(member) => member,
        None => {
            let alias = name.strip_prefix(ALIASES)?;
            let alias = alias.strip_prefix(login.strip_prefix("auth/")?)?;
            alias.strip_prefix(".metadata.")?
        }
    };
    metadata.get(member).filter(|value| !value.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_engine::{identity::TokenType, policy::Acl};
    use std::{collections::BTreeMap, sync::Arc};

    fn caller(path: &str, value: &str) -> Identity {
        Identity {
            token_key: String::new(),
            accessor: String::new(),
            display_name: "userpass-mitch".to_owned(),
            policies: Arc::from(["default".to_owned()]),
            metadata: BTreeMap::from([("username".to_owned(), value.to_owned())]),
            path: path.to_owned(),
            entity_id: String::new(),
            token_type: TokenType::Service,
            token_ttl: 0,
            issue_time: jiff::Timestamp::UNIX_EPOCH,
            remaining_uses: 0,
            acl: Arc::new(Acl::compile(&[])),
        }
    }

    fn filled(text: &str, identity: &Identity) -> Result<String, String> {
        fill(text, Some(identity), Tolerance::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_of_the_login_are_filled_in() {
        let mitch = caller("auth/userpass/login/mitch", "mitch");
        assert_eq!(filled("ssh-{{identity.entity.metadata.username}}-x", &mitch).unwrap(), "ssh-mitch-x");
        assert_eq!(filled("{{ identity.entity.aliases.userpass.metadata.username }}", &mitch).unwrap(), "mitch");
        assert_eq!(filled("plain", &mitch).unwrap(), "plain");
    }

    #[test]
    fn unknown_values_and_values_of_other_logins_fill_nothing_in() {
        let mitch = caller("auth/userpass/login/mitch", "mitch");
        for text in [
            "{{identity.entity.id}}",
            "{{identity.entity.metadata.other}}",
            "{{identity.entity.aliases.other.metadata.username}}",
            "{{identity.entity.aliases.user.metadata.username}}",
            "{{",
            "{{identity.entity.metadata.username",
        ] {
            assert!(filled(text, &mitch).is_err(), "{text}");
        }
        assert!(fill("{{identity.entity.metadata.username}}", None, Tolerance::default()).is_err());
    }

    #[test]
    fn metadata_that_the_maker_of_a_token_chose_fills_nothing_in() {
        for path in ["auth/token/create", "auth/token/create-orphan", "auth/token/create/login", "auth/token/login"] {
            assert!(filled("{{identity.entity.metadata.username}}", &caller(path, "root")).is_err(), "{path}");
        }
    }

    #[test]
    fn ghsa_59w7_v8rr_pr4p_hostile_values_are_refused() {
        for value in ["*", "a,root", "a\nroot", "a b", "a\0", "{{x}}", "?", "!a", "a\u{2028}b", "\u{85}"] {
            let error = filled("{{identity.entity.metadata.username}}", &caller("auth/userpass/login/x", value));
            assert!(error.unwrap_err().contains("contains"), "{value:?}");
        }
        let list = fill(
            "{{identity.entity.metadata.username}}",
            Some(&caller("auth/userpass/login/x", "a,b")),
            Tolerance { commas: true },
        );
        assert_eq!(list.unwrap(), "a,b");
    }
}

//! Token roles: what is stored, and which policies a role lets through.

use crate::error::{AuthError, stored};
use chancery_engine::{Fault, response::TokenParameters};
use chancery_store::{Changes, Store, View};
use serde::{Deserialize, Serialize};

/// One role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TokenRole {
    pub(super) allowed_policies: Vec<String>,
    pub(super) disallowed_policies: Vec<String>,
    pub(super) allowed_policies_glob: Vec<String>,
    pub(super) disallowed_policies_glob: Vec<String>,
    pub(super) allowed_entity_aliases: Vec<String>,
    pub(super) orphan: bool,
    pub(super) renewable: bool,
    pub(super) path_suffix: String,
    pub(super) token: TokenParameters,
    /// Set by the older spelling, and shown under it.
    pub(super) old_period: u64,
    pub(super) old_explicit_max_ttl: u64,
    pub(super) old_bound_cidrs: Vec<String>,
}

impl Default for TokenRole {
    fn default() -> Self {
        Self {
            allowed_policies: Vec::new(),
            disallowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            allowed_entity_aliases: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            token: TokenParameters { token_type: "default-service".to_owned(), ..TokenParameters::default() },
            old_period: 0,
            old_explicit_max_ttl: 0,
            old_bound_cidrs: Vec::new(),
        }
    }
}

impl TokenRole {
    /// Whether the role itself says which policies are possible.
    pub(super) fn restricts(&self) -> bool {
        self.allows_list() || !self.disallowed_policies.is_empty() || !self.disallowed_policies_glob.is_empty()
    }

    pub(super) fn allows_list(&self) -> bool {
        !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty()
    }

    /// Checks policies against the four lists.
    pub(super) fn check(&self, policies: &[String]) -> Result<(), Fault> {
        if self.allows_list() {
            let allowed = crate::tokens::sanitize_policies(&self.allowed_policies, !self.token.no_default_policy);
            let fits = |name: &String| allowed.contains(name) || matches_any(&self.allowed_policies_glob, name);
            if !policies.iter().all(fits) {
                return Err(Fault::caller(format!(
                    "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                    go_list(policies),
                    go_list(&allowed),
                    go_list(&self.allowed_policies_glob)
                )));
            }
        }
        let barred = |name: &&String| {
            self.disallowed_policies.contains(name) || matches_any(&self.disallowed_policies_glob, name)
        };
        match policies.iter().find(barred) {
            Some(name) => Err(Fault::caller(format!("token policy {name:?} is disallowed by this role"))),
            None => Ok(()),
        }
    }
}

/// `["a" "b"]`, as Go prints a list.
fn go_list(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn matches_any(globs: &[String], name: &str) -> bool {
    globs.iter().any(|glob| matches_glob(glob, name))
}

/// `*` stands for any text, anywhere and any number of times.
fn matches_glob(glob: &str, name: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some((_, behind)) = left.split_once(part) else { return false };
        left = behind;
    }
    true
}

/// The stored roles.
#[derive(Debug)]
pub(super) struct Roles {
    view: View,
    store: Store,
}

impl Roles {
    pub(super) fn new(view: &View, store: Store) -> Self {
        Self { view: view.view("role"), store }
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<TokenRole>, Fault> {
        match stored(self.view.read(&name.to_lowercase()).await)? {
            Some(entry) => stored(entry.decode()).map(Some),
            None => Ok(None),
        }
    }

    /// Reads, changes and writes a role; a new one starts from the defaults.
    pub(super) async fn update<T>(
        &self,
        name: &str,
        change: impl Fn(&mut TokenRole) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let name = name.to_lowercase();
        let written = self.store.transact("write a token role", || async {
            let mut changes = Changes::default();
            let (mut role, version) = match self.view.read(&name).await? {
                Some(entry) => (entry.decode()?, Some(entry.version)),
                None => (TokenRole::default(), None),
            };
            let outcome = change(&mut role)?;
            match version {
                Some(version) => changes.replace(&self.view, &name, &role, version, None)?,
                None => changes.create(&self.view, &name, &role)?,
            };
            Ok::<_, AuthError>((changes, outcome))
        });
        Ok(written.await?)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Fault> {
        let mut changes = Changes::default();
        changes.delete(&self.view, &name.to_lowercase());
        stored(self.store.commit(changes).await.map(drop))
    }

    pub(super) async fn list(&self) -> Result<Vec<String>, Fault> {
        super::names(&self.view, "").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_anywhere() {
        for (glob, name, matches) in [
            ("q*", "qa", true),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("a*b*c", "axxbyyc", true),
            ("a*a", "a", false),
            ("exact", "exact", true),
        ] {
            assert_eq!(matches_glob(glob, name), matches, "{glob} {name}");
        }
    }
}

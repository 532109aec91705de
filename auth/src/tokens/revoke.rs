//! Revocation: a token dies with everything made with it.

use super::{Tokens, record::SPENT};
use crate::error::{AuthError, stored};
use chancery_engine::{Fault, SecretString};
use chancery_store::{Changes, Page};
use jiff::Timestamp;

/// Tokens deleted in one change.
const CHUNK: usize = 256;

/// What becomes of the children of a deleted token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Children {
    /// They end too, in the same change: nothing else would lead to them if the process died now.
    Due,
    /// They live on.
    Spared,
}

impl Tokens {
    /// Revokes the token and its tree. An unknown token counts as revoked.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_tree(&self, token: &SecretString) -> Result<(), Fault> {
        let key = self.key_of(token).await?;
        self.revoke_key(&key).await
    }

    /// Revokes the token with this hash and its tree: nobody can use one of them when this returns.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_key(&self, key: &str) -> Result<(), Fault> {
        // The parent goes first: once it is gone no child can be added, so the list that follows is whole.
        let mut level = vec![key.to_owned()];
        while !level.is_empty() {
            for chunk in level.chunks(CHUNK) {
                self.delete_tokens(chunk, Children::Due).await?;
            }
            let mut below = Vec::new();
            for parent in &level {
                below.extend(stored(self.0.places.children.list(parent, Page::default()).await)?);
            }
            level = below;
        }
        Ok(())
    }

    /// Revokes the token alone; its children become orphans.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_orphan(&self, key: &str) -> Result<(), Fault> {
        let inner = &self.0;
        self.delete_tokens(&[key.to_owned()], Children::Spared).await?;
        let children = stored(inner.places.children.list(key, Page::default()).await)?;
        for child in &children {
            let orphaned = inner.store.transact("orphan a token", || async {
                let mut changes = Changes::default();
                changes.delete(&inner.places.children, &format!("{key}/{child}"));
                if let Some(mut found) = self.load(child).await? {
                    found.record.parent = None;
                    let expires = found.record.expires;
                    changes.replace(&inner.places.tokens, child, &found.record, found.version, expires)?;
                }
                Ok::<_, AuthError>((changes, ()))
            });
            orphaned.await?;
        }
        inner.cache.remove(&children);
        Ok(())
    }

    /// Revokes what expired at or before `now`; answers how many tokens were found. Looks only at the expiry index.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, Fault> {
        let expired = stored(self.0.places.tokens.expired(now, limit).await)?;
        for key in &expired {
            self.revoke_key(key).await?;
        }
        Ok(expired.len())
    }

    /// Removes index entries whose token is gone; answers how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn tidy(&self) -> Result<usize, Fault> {
        let mut removed = 0;
        for accessor in self.accessors().await? {
            let Some(entry) = stored(self.0.places.accessors.read(&accessor).await)? else { continue };
            let key: String = stored(entry.decode())?;
            if self.load(&key).await?.is_none() {
                let mut changes = Changes::default();
                changes.delete(&self.0.places.accessors, &accessor);
                stored(self.0.store.commit(changes).await)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Deletes tokens with their indexes and cubbyholes and marks their leases as due, all in one change; then revokes
    /// the leases. What of those fails stays due and is tried again by the sweeper.
    async fn delete_tokens(&self, keys: &[String], children: Children) -> Result<(), Fault> {
        let inner = &self.0;
        let mut changes = Changes::default();
        let mut dead = keys.to_vec();
        for key in keys {
            if let Some(found) = self.load(key).await? {
                changes.delete(&inner.places.accessors, &found.record.accessor);
                inner.leases.delete_token_lease(&mut changes, &found.record.lease_id);
                if let Some(parent) = &found.record.parent {
                    changes.delete(&inner.places.children, &format!("{parent}/{key}"));
                }
            }
            changes.delete(&inner.places.tokens, key);
            changes.delete_view(&inner.places.cubbyholes.view(key));
            stored(inner.leases.expire_of_token(&mut changes, key).await)?;
            if children == Children::Due {
                dead.extend(self.end_children(&mut changes, key).await?);
            }
        }
        stored(inner.store.commit(changes).await)?;
        inner.cache.remove(&dead);
        for key in keys {
            inner.leases.revoke_of_token(key).await;
        }
        Ok(())
    }

    /// Adds to `changes` that nobody can use the token's children, and that the sweeper finds them. Answers their keys.
    async fn end_children(&self, changes: &mut Changes, parent: &str) -> Result<Vec<String>, Fault> {
        let now = self.0.clock.now();
        let children = stored(self.0.places.children.list(parent, Page::default()).await)?;
        for child in &children {
            if let Some(mut found) = self.load(child).await? {
                found.record.uses_left = SPENT;
                found.record.expires = Some(now);
                stored(changes.put_expiring(&self.0.places.tokens, child, &found.record, now).map(drop))?;
            }
        }
        Ok(children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policies::Policies, tokens::NewToken};
    use chancery_engine::{Clock, clock::ManualClock};
    use chancery_store::{Initialize, SealChoice, Store};
    use std::sync::Arc;

    async fn child_of(tokens: &Tokens, parent: Option<&SecretString>) -> SecretString {
        let parent = match parent {
            Some(token) => Some(tokens.key_of(token).await.unwrap()),
            None => None,
        };
        let policies = vec!["p".to_owned()];
        let new = NewToken { parent, policies, mount_ttls: (3600, 3600), ..NewToken::default() };
        tokens.create(new).await.unwrap().0.client_token
    }

    #[tokio::test]
    async fn a_tree_dies_also_when_the_revocation_stops_after_the_parent() {
        let store = Store::memory().await.unwrap();
        let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
        store.barrier().initialize(Initialize { seal }).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000));
        let tokens = Tokens::new(store.clone(), Arc::clone(&clock), Policies::new(store, clock));
        let parent = child_of(&tokens, None).await;
        let child = child_of(&tokens, Some(&parent)).await;
        let grandchild = child_of(&tokens, Some(&child)).await;
        for token in [&parent, &child, &grandchild] {
            tokens.authenticate(token, None).await.unwrap();
        }
        // What `revoke_key` does first; here the process "dies".
        let key = tokens.key_of(&parent).await.unwrap();
        tokens.delete_tokens(&[key], Children::Due).await.unwrap();
        assert!(tokens.authenticate(&child, None).await.is_err());
        while tokens.sweep(tokens.now(), 10).await.unwrap() > 0 {}
        assert!(tokens.authenticate(&grandchild, None).await.is_err());
        assert!(tokens.accessors().await.unwrap().is_empty());
    }
}

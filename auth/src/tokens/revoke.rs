//! Revocation: a token dies with everything made with it.

use super::Tokens;
use crate::error::{AuthError, stored};
use chancery_engine::{Fault, SecretString};
use chancery_store::{Changes, Page};
use jiff::Timestamp;

/// Tokens deleted in one change.
const CHUNK: usize = 256;

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
                self.delete_tokens(chunk).await?;
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
        self.delete_tokens(&[key.to_owned()]).await?;
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
    async fn delete_tokens(&self, keys: &[String]) -> Result<(), Fault> {
        let inner = &self.0;
        let mut changes = Changes::default();
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
        }
        stored(inner.store.commit(changes).await)?;
        inner.cache.remove(keys);
        for key in keys {
            inner.leases.revoke_of_token(key).await;
        }
        Ok(())
    }
}

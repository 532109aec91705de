//! Renewal: the TTL rule once more, from the time the token was made.

use super::{Found, Tokens, ttl};
use crate::error::AuthError;
use chancery_engine::{Fault, SecretString, response::AuthBlock};
use chancery_store::Changes;

impl Tokens {
    /// Renews the token with this hash; answers the block (with `shown` as its token) and warnings. The limits of the
    /// login role and of the mount were stored with the token.
    ///
    /// # Errors
    /// [`Fault::Caller`] with Vault's texts; the store's.
    pub async fn renew(
        &self,
        key: &str,
        increment: u64,
        shown: SecretString,
    ) -> Result<(AuthBlock, Vec<String>), Fault> {
        let inner = &self.0;
        let renewed = inner.store.transact("renew a token", || async {
            let now = inner.clock.now();
            let found = self.find_key(key).await?.ok_or_else(|| Fault::caller("token not found"))?;
            let Found { key, mut record, version } = found;
            if !record.renewable {
                return Err(AuthError::from(Fault::caller("lease is not renewable")));
            }
            let granted = ttl::grant(&record.limits, record.increment_or_last(increment), record.issued, now)?;
            let expires = granted.expires;
            record.expires = Some(expires);
            record.last_renewal = Some(now);
            let mut changes = Changes::default();
            changes.replace(&inner.places.tokens, &key, &record, version, Some(expires))?;
            inner.leases.put_token_lease(&mut changes, &record.lease_id, &key, expires)?;
            Ok((changes, (record.block(shown.clone(), granted.ttl), granted.warnings, key)))
        });
        let (block, warnings, key) = renewed.await?;
        self.0.cache.remove([&key]);
        Ok((block, warnings))
    }
}

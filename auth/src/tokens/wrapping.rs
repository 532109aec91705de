//! Response wrapping: a token of one use that holds an answer.

use super::{Found, NewToken, Tokens, record::TokenRecord};
use crate::{
    error::{AuthError, stored},
    policies::RESPONSE_WRAPPING,
};
use chancery_engine::{Fault, Identity, SecretString, response::WrapInfo};
use chancery_store::Changes;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// Key of the answer in the token's cubbyhole; old clients read it there.
pub(crate) const RESPONSE_KEY: &str = "response";

/// What `sys/wrapping/lookup` shows.
#[derive(Debug, Clone, Serialize)]
pub struct WrappingInformation {
    /// Path whose answer is wrapped.
    pub creation_path: String,
    /// RFC 3339.
    pub creation_time: String,
    /// Seconds.
    pub creation_ttl: u64,
}

/// An answer taken out of its wrapping.
pub struct Wrapped {
    /// The envelope as it was wrapped, JSON.
    pub payload: Zeroizing<Vec<u8>>,
    /// Path whose answer it is.
    pub creation_path: String,
    /// Accessor of the token inside, if any.
    pub wrapped_accessor: String,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("creation_path", &self.creation_path).finish_non_exhaustive()
    }
}

/// The cubbyhole entry, as old clients read it.
#[derive(Serialize, Deserialize)]
pub(super) struct Parcel {
    response: Zeroizing<String>,
}

/// Where the token keeps the accessor of the token it wraps.
const WRAPPED_ACCESSOR: &str = "wrapped_accessor";

fn invalid() -> Fault {
    Fault::caller("wrapping token is not valid or does not exist")
}

impl Tokens {
    /// Wraps `payload`, the JSON envelope of an answer, for `ttl` seconds.
    ///
    /// # Errors
    /// [`Fault::Caller`] for a TTL of 0; the store's.
    pub async fn create_wrapping(
        &self,
        ttl: u64,
        creation_path: &str,
        payload: &[u8],
        wrapped_accessor: &str,
    ) -> Result<WrapInfo, Fault> {
        if ttl == 0 {
            return Err(Fault::caller("wrapping TTL must be positive"));
        }
        let mut new = NewToken {
            policies: vec![RESPONSE_WRAPPING.to_owned()],
            path: creation_path.to_owned(),
            display_name: "token".to_owned(),
            increment: ttl,
            mount_ttls: (ttl, ttl),
            ..NewToken::default()
        };
        new.parameters.num_uses = 1;
        new.parameters.explicit_max_ttl = ttl;
        if !wrapped_accessor.is_empty() {
            new.internal.insert(WRAPPED_ACCESSOR.to_owned(), wrapped_accessor.to_owned());
        }
        let response = std::str::from_utf8(payload).map_err(|_| Fault::Bug("wrapped answer is not text".to_owned()))?;
        let parcel = Parcel { response: Zeroizing::new(response.trim_end().to_owned()) };
        let (block, record) = self.create_wrapped(new, &parcel).await?;
        Ok(WrapInfo {
            token: block.client_token,
            accessor: block.accessor,
            ttl,
            creation_time: record.issued.to_string(),
            creation_path: creation_path.to_owned(),
            wrapped_accessor: wrapped_accessor.to_owned(),
        })
    }

    /// Whether `token` is a wrapping token that still holds its answer; looking does not use it up.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_wrapping(&self, token: &SecretString) -> Result<bool, Fault> {
        Ok(self.find(token).await?.is_some_and(|found| wraps(&found.record)))
    }

    /// What is known of a wrapping token without using it up.
    ///
    /// # Errors
    /// [`Fault::Caller`] with Vault's text; the store's.
    pub async fn lookup_wrapping(&self, token: &SecretString) -> Result<WrappingInformation, Fault> {
        let found = self.find(token).await?.filter(|found| wraps(&found.record)).ok_or_else(invalid)?;
        Ok(WrappingInformation {
            creation_path: found.record.path,
            creation_time: found.record.issued.to_string(),
            creation_ttl: found.record.creation_ttl,
        })
    }

    /// Takes the answer out; of any number of callers exactly one gets it.
    ///
    /// # Errors
    /// [`Fault::Caller`] with Vault's text; the store's.
    pub async fn unwrap(&self, token: &SecretString) -> Result<Wrapped, Fault> {
        let found = self.find(token).await?.filter(|found| wraps(&found.record)).ok_or_else(invalid)?;
        self.open(found).await
    }

    /// Takes the answer out for a caller who authenticated with the wrapping token itself, its one use being this.
    ///
    /// # Errors
    /// As [`unwrap`](Self::unwrap).
    pub async fn unwrap_own(&self, identity: &Identity) -> Result<Wrapped, Fault> {
        let found = self.load(&identity.token_key).await?.filter(|found| wraps(&found.record)).ok_or_else(invalid)?;
        self.open(found).await
    }

    async fn open(&self, found: Found) -> Result<Wrapped, Fault> {
        let cubbyhole = self.0.places.cubbyholes.view(&found.key);
        let entry = stored(cubbyhole.read(RESPONSE_KEY).await)?.ok_or_else(invalid)?;
        let parcel: Parcel = stored(entry.decode())?;
        let mut changes = Changes::default();
        changes.expect_version(&self.0.places.tokens, &found.key, found.version);
        changes.delete(&self.0.places.tokens, &found.key);
        changes.delete(&self.0.places.accessors, &found.record.accessor);
        changes.delete_view(&cubbyhole);
        self.0.leases.delete_token_lease(&mut changes, &found.record.lease_id);
        match self.0.store.commit(changes).await {
            Ok(_) => {}
            Err(chancery_store::StoreError::Conflict) => return Err(invalid()),
            Err(error) => return Err(AuthError::Store(error).into()),
        }
        self.0.cache.remove([&found.key]);
        Ok(Wrapped {
            payload: Zeroizing::new(parcel.response.as_bytes().to_vec()),
            creation_path: found.record.path,
            wrapped_accessor: found.record.internal.get(WRAPPED_ACCESSOR).cloned().unwrap_or_default(),
        })
    }

    /// Moves the answer into a new wrapping token with the same TTL and path.
    ///
    /// # Errors
    /// As [`unwrap`](Self::unwrap).
    pub async fn rewrap(&self, token: &SecretString) -> Result<WrapInfo, Fault> {
        let ttl = self.lookup_wrapping(token).await?.creation_ttl;
        let wrapped = self.unwrap(token).await?;
        self.create_wrapping(ttl, &wrapped.creation_path, &wrapped.payload, &wrapped.wrapped_accessor).await
    }
}

fn wraps(record: &TokenRecord) -> bool {
    record.policies == [RESPONSE_WRAPPING]
}

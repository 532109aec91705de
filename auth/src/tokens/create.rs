//! Making tokens.

use super::{
    Tokens, batch,
    batch::BatchToken,
    record::{RenewalLimits, TokenRecord, later},
    ttl,
    wrapping::{Parcel, RESPONSE_KEY},
};
use crate::{error::AuthError, error::stored, random};
use chancery_engine::{
    Fault, MountPoint, SecretString,
    identity::TokenType,
    response::{AuthBlock, Login, TokenParameters},
};
use chancery_store::Changes;
use std::collections::BTreeMap;

/// Characters behind the prefix: 24 × log2(62) ≈ 143 bits would be Vault's; 36 give 214, more than the 190 we promise.
const TOKEN_LENGTH: usize = 36;
const ACCESSOR_LENGTH: usize = 24;

/// A token to be made. Its rights were checked by whoever fills this in.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// A text of the caller's choice instead of a random one.
    pub id: Option<SecretString>,
    /// Hash of the parent; `None` makes an orphan.
    pub parent: Option<String>,
    /// Policies, as [`sanitize_policies`] leaves them.
    pub policies: Vec<String>,
    /// Path of the request that makes it.
    pub path: String,
    /// Name for logs.
    pub display_name: String,
    /// Metadata to show; null where none was given.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Times, uses, address bounds and type. `policies` in here is not looked at.
    pub parameters: TokenParameters,
    /// TTL asked for in seconds, 0 for the usual.
    pub increment: u64,
    /// Whether it may be renewed.
    pub renewable: bool,
    /// Name of the token role.
    pub role: String,
    /// Kept for the login method.
    pub internal: BTreeMap<String, String>,
    /// Default and maximum TTL of the mount, in seconds.
    pub mount_ttls: (u64, u64),
    /// Whether it may live without end; only for `root`.
    pub endless: bool,
}

impl NewToken {
    fn limits(&self) -> RenewalLimits {
        RenewalLimits {
            ttl: self.parameters.ttl,
            max_ttl: self.parameters.max_ttl,
            explicit_max_ttl: self.parameters.explicit_max_ttl,
            period: self.parameters.period,
            mount_default_ttl: self.mount_ttls.0,
            mount_max_ttl: self.mount_ttls.1,
        }
    }
}

/// Lower-cases, trims, sorts and unites policy names; `root` stands alone (CVE-2025-5999).
#[must_use]
pub fn sanitize_policies(names: &[String], add_default: bool) -> Vec<String> {
    let mut clean: Vec<String> =
        names.iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
    if clean.iter().any(|name| name == "root") {
        return vec!["root".to_owned()];
    }
    if add_default {
        clean.push("default".to_owned());
    }
    clean.sort();
    clean.dedup();
    clean
}

impl Tokens {
    /// Makes a root token without end. Only initialisation and the root-generation ceremony may call this.
    ///
    /// # Errors
    /// The store's.
    pub async fn create_root(&self, id: Option<SecretString>) -> Result<AuthBlock, Fault> {
        let new = NewToken {
            id,
            policies: vec!["root".to_owned()],
            path: "auth/token/root".to_owned(),
            display_name: "root".to_owned(),
            endless: true,
            ..NewToken::default()
        };
        Ok(self.create(new).await?.0)
    }

    /// Makes the token of a successful login at `path`, with the warnings to show.
    ///
    /// # Errors
    /// [`Fault::Caller`] when the role asks for what no login may have; the store's.
    pub async fn create_for_login(
        &self,
        mount: &MountPoint,
        path: &str,
        login: Login,
    ) -> Result<(AuthBlock, Vec<String>), Fault> {
        let names = [login.policies, login.token.policies.clone()].concat();
        let policies = sanitize_policies(&names, !login.token.no_default_policy);
        if policies.iter().any(|name| name == "root") {
            return Err(Fault::caller("auth methods cannot create root tokens"));
        }
        if policies.iter().any(|name| is_unassignable(name)) {
            return Err(Fault::caller(format!("cannot assign policy {:?}", crate::policies::RESPONSE_WRAPPING)));
        }
        let method = mount.path.trim_end_matches('/').trim_start_matches("auth/").replace('/', "-");
        let display_name = match login.display_name.as_str() {
            "" => method,
            name => format!("{method}-{name}"),
        };
        let new = NewToken {
            policies,
            path: path.to_owned(),
            display_name,
            metadata: Some(login.metadata),
            increment: 0,
            renewable: true,
            internal: login.internal,
            mount_ttls: (mount.default_lease_ttl, mount.max_lease_ttl),
            parameters: login.token,
            ..NewToken::default()
        };
        self.create(new).await
    }

    /// Makes a token; durable on return. Answers the block to show and warnings.
    ///
    /// # Errors
    /// [`Fault::Caller`] for a taken id or a parent that is gone; the store's.
    pub async fn create(&self, new: NewToken) -> Result<(AuthBlock, Vec<String>), Fault> {
        let (granted, warnings) = self.granted(&new)?;
        if matches!(new.parameters.token_type.as_str(), "batch" | "default-batch") {
            return Ok((self.create_batch(new, granted).await?, warnings));
        }
        let (block, _) = self.create_service(new, granted, None).await?;
        Ok((block, warnings))
    }

    /// Makes a wrapping token together with what it holds.
    pub(super) async fn create_wrapped(
        &self,
        new: NewToken,
        parcel: &Parcel,
    ) -> Result<(AuthBlock, TokenRecord), Fault> {
        let (granted, _) = self.granted(&new)?;
        self.create_service(new, granted, Some(parcel)).await
    }

    /// The TTL, 0 for no end, and warnings.
    fn granted(&self, new: &NewToken) -> Result<(u64, Vec<String>), Fault> {
        let now = self.0.clock.now();
        let limits = new.limits();
        let is_root = new.policies.iter().any(|name| name == "root");
        let endless =
            new.endless && is_root && new.increment == 0 && limits.period == 0 && limits.explicit_max_ttl == 0;
        if endless {
            return Ok((0, Vec::new()));
        }
        let granted = ttl::grant(&limits, new.increment, now, now)?;
        Ok((granted.ttl, granted.warnings))
    }

    async fn create_service(
        &self,
        new: NewToken,
        granted: u64,
        parcel: Option<&Parcel>,
    ) -> Result<(AuthBlock, TokenRecord), Fault> {
        let now = self.0.clock.now();
        let limits = new.limits();
        let token = match &new.id {
            Some(id) => id.clone(),
            None => SecretString::new(format!("hvs.{}", random::text(TOKEN_LENGTH)?.expose())),
        };
        let key = self.key_of(&token).await?;
        let record = TokenRecord {
            accessor: random::text(ACCESSOR_LENGTH)?.expose().to_owned(),
            parent: new.parent,
            policies: new.policies,
            lease_id: format!("{}/h{key}", new.path),
            path: new.path,
            display_name: new.display_name,
            metadata: new.metadata,
            num_uses: new.parameters.num_uses.max(0),
            uses_left: new.parameters.num_uses.max(0),
            issued: now,
            creation_ttl: granted,
            expires: (granted > 0).then(|| later(now, granted)),
            last_renewal: None,
            renewable: new.renewable && granted > 0,
            limits,
            role: new.role,
            bound_cidrs: new.parameters.bound_cidrs,
            entity_id: String::new(),
            internal: new.internal,
        };
        self.write_new(&key, &record, parcel).await?;
        Ok((record.block(token, granted), record))
    }

    /// Writes token, accessor, child index and lease in one change; the parent must still be there when it is applied.
    async fn write_new(&self, key: &str, record: &TokenRecord, parcel: Option<&Parcel>) -> Result<(), Fault> {
        let inner = &self.0;
        if stored(inner.places.tokens.read(key).await)?.is_some() {
            return Err(Fault::caller("cannot create a token with a duplicate ID"));
        }
        let written = inner.store.transact("create a token", || async {
            let mut changes = Changes::default();
            if let Some(parent) = &record.parent {
                let found = self.find_key(parent).await?.ok_or(Fault::Denied)?;
                changes.expect_version(&inner.places.tokens, parent, found.version);
                changes.put(&inner.places.children, &format!("{parent}/{key}"), &())?;
            }
            match record.expires {
                Some(expires) => changes.create_expiring(&inner.places.tokens, key, record, expires)?,
                None => changes.create(&inner.places.tokens, key, record)?,
            };
            changes.create(&inner.places.accessors, &record.accessor, key)?;
            if let Some(expires) = record.expires {
                inner.leases.put_token_lease(&mut changes, &record.lease_id, key, expires)?;
            }
            if let Some(parcel) = parcel {
                changes.put(&inner.places.cubbyholes.view(key), RESPONSE_KEY, parcel)?;
            }
            Ok::<_, AuthError>((changes, ()))
        });
        Ok(written.await?)
    }

    async fn create_batch(&self, new: NewToken, ttl: u64) -> Result<AuthBlock, Fault> {
        let now = self.0.clock.now();
        if ttl == 0 || new.policies.iter().any(|name| name == "root") {
            return Err(Fault::caller("batch tokens cannot be root tokens"));
        }
        let batch = BatchToken {
            policies: new.policies,
            path: new.path,
            display_name: new.display_name,
            metadata: new.metadata,
            issued: now,
            ttl,
            expires: later(now, ttl),
            parent: new.parent,
            bound_cidrs: new.parameters.bound_cidrs,
            entity_id: String::new(),
            role: new.role,
        };
        let token = self.seal_batch(&batch).await?;
        debug_assert!(batch::is_batch(&token));
        Ok(AuthBlock {
            client_token: token,
            accessor: String::new(),
            policies: batch.policies.clone(),
            token_policies: batch.policies,
            identity_policies: Vec::new(),
            metadata: batch.metadata,
            lease_duration: ttl,
            renewable: false,
            entity_id: batch.entity_id,
            token_type: TokenType::Batch.as_str(),
            orphan: batch.parent.is_none(),
            mfa_requirement: None,
            num_uses: 0,
        })
    }
}

/// Policies nobody can give to a token.
pub(crate) fn is_unassignable(name: &str) -> bool {
    name == crate::policies::RESPONSE_WRAPPING || name == "control-group"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2025_5999_root_is_root_in_every_spelling() {
        for spelling in ["root", "Root", " ROOT ", "rOOt\t"] {
            let names = ["a".to_owned(), spelling.to_owned()];
            assert_eq!(sanitize_policies(&names, true), ["root"], "{spelling:?}");
        }
        let names = ["B".to_owned(), "a".to_owned(), " b ".to_owned(), String::new()];
        assert_eq!(sanitize_policies(&names, true), ["a", "b", "default"]);
    }
}

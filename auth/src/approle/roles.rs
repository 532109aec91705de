//! The roles of one mount. Below its view: `role/<name>`, and `role_id/<hash>` -> name.

use super::secret_ids::SecretIds;
use crate::{
    error::{AuthError, stored},
    parameters::OldSpellings,
};
use chancery_engine::{Fault, response::TokenParameters};
use chancery_store::{Changes, Store, View};
use serde::{Deserialize, Serialize};

/// One role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) role_id: String,
    pub(super) role_id_hash: String,
    pub(super) bind_secret_id: bool,
    pub(super) local_secret_ids: bool,
    pub(super) secret_id_bound_cidrs: Option<Vec<String>>,
    pub(super) secret_id_num_uses: i64,
    pub(super) secret_id_ttl: u64,
    pub(super) token: TokenParameters,
    pub(super) old: OldSpellings,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            role_id: String::new(),
            role_id_hash: String::new(),
            bind_secret_id: true,
            local_secret_ids: false,
            secret_id_bound_cidrs: None,
            secret_id_num_uses: 0,
            secret_id_ttl: 0,
            token: TokenParameters::default(),
            old: OldSpellings::default(),
        }
    }
}

/// A role id with its hash in front.
pub(super) type HashedId = (String, String);

/// The stored roles, by lower-case name.
#[derive(Debug)]
pub(super) struct Roles {
    roles: View,
    ids: View,
    store: Store,
}

impl Roles {
    pub(super) fn new(view: &View, store: Store) -> Self {
        Self { roles: view.view("role"), ids: view.view("role_id"), store }
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<Role>, Fault> {
        match stored(self.roles.read(&name.to_lowercase()).await)? {
            Some(entry) => stored(entry.decode()).map(Some),
            None => Ok(None),
        }
    }

    /// The role with this hash of its id, with its name.
    pub(super) async fn by_id(&self, id_hash: &str) -> Result<Option<(String, Role)>, Fault> {
        let Some(entry) = stored(self.ids.read(id_hash).await)? else { return Ok(None) };
        let name: String = stored(entry.decode())?;
        Ok(self.read(&name).await?.filter(|role| role.role_id_hash == id_hash).map(|role| (name, role)))
    }

    /// Reads, changes and writes a role. A missing one is made with `fresh` as its id, if that is given. `wanted` gives
    /// it another id, which no other role may have.
    pub(super) async fn update(
        &self,
        name: &str,
        wanted: Option<&HashedId>,
        fresh: Option<&HashedId>,
        change: impl Fn(&mut Role) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let name = name.to_lowercase();
        let written = self.store.transact("write an AppRole role", || async {
            let mut changes = Changes::default();
            let (mut role, version) = match self.roles.read(&name).await? {
                Some(entry) => (entry.decode::<Role>()?, Some(entry.version)),
                None if fresh.is_some() => (Role::default(), None),
                None => return Err(AuthError::from(unsupported())),
            };
            let id = wanted.or(if version.is_none() { fresh } else { None });
            if let Some((hash, id)) = id
                && *hash != role.role_id_hash
            {
                if self.ids.read(hash).await?.is_some() {
                    return Err(AuthError::from(Fault::caller("role_id already in use")));
                }
                if !role.role_id_hash.is_empty() {
                    changes.delete(&self.ids, &role.role_id_hash);
                }
                changes.create(&self.ids, hash, &name)?;
                role.role_id_hash.clone_from(hash);
                role.role_id.clone_from(id);
            }
            change(&mut role)?;
            match version {
                Some(version) => changes.replace(&self.roles, &name, &role, version, None)?,
                None => changes.create(&self.roles, &name, &role)?,
            };
            Ok((changes, ()))
        });
        Ok(written.await?)
    }

    /// Deletes a role with its id and its secret ids.
    pub(super) async fn delete(&self, name: &str, secret_ids: &SecretIds) -> Result<(), Fault> {
        let name = name.to_lowercase();
        let Some(role) = self.read(&name).await? else { return Ok(()) };
        let mut changes = Changes::default();
        changes.delete(&self.roles, &name).delete(&self.ids, &role.role_id_hash);
        secret_ids.delete_of_role(&mut changes, &name);
        stored(self.store.commit(changes).await.map(drop))
    }

    pub(super) async fn list(&self) -> Result<Vec<String>, Fault> {
        super::names(&self.roles, "").await
    }
}

/// What the real server answers to writes below a missing role.
fn unsupported() -> Fault {
    Fault::NotFound("1 error occurred:\n\t* unsupported path\n\n".to_owned())
}

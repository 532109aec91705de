//! The users of one mount.

use crate::{
    error::{AuthError, stored},
    parameters::OldSpellings,
};
use chancery_engine::{Fault, response::TokenParameters};
use chancery_store::{Changes, Page, Store, View};
use serde::{Deserialize, Serialize};

/// One user.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct User {
    /// bcrypt
    pub(super) password_hash: String,
    pub(super) token: TokenParameters,
    pub(super) old: OldSpellings,
}

/// The stored users, by lower-case name.
#[derive(Debug)]
pub(super) struct Users {
    view: View,
    store: Store,
}

impl Users {
    pub(super) fn new(view: &View, store: Store) -> Self {
        Self { view: view.view("user"), store }
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<User>, Fault> {
        match stored(self.view.read(&name.to_lowercase()).await)? {
            Some(entry) => stored(entry.decode()).map(Some),
            None => Ok(None),
        }
    }

    /// Reads, changes and writes a user; `change` gets nothing where there is none yet.
    pub(super) async fn update(
        &self,
        name: &str,
        change: impl Fn(Option<User>) -> Result<User, Fault>,
    ) -> Result<(), Fault> {
        let name = name.to_lowercase();
        let written = self.store.transact("write a user", || async {
            let mut changes = Changes::default();
            match self.view.read(&name).await? {
                Some(entry) => {
                    let user = change(Some(entry.decode()?))?;
                    changes.replace(&self.view, &name, &user, entry.version, None)?;
                }
                None => {
                    changes.create(&self.view, &name, &change(None)?)?;
                }
            }
            Ok::<_, AuthError>((changes, ()))
        });
        Ok(written.await?)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Fault> {
        let mut changes = Changes::default();
        changes.delete(&self.view, &name.to_lowercase());
        stored(self.store.commit(changes).await.map(drop))
    }

    pub(super) async fn list(&self) -> Result<Vec<String>, Fault> {
        stored(self.view.list("", Page::default()).await)
    }
}

//! Where things lie below `acme/` in the mount's view. Nothing else spells a storage key.
//!
//! | key | what | ends |
//! |---|---|---|
//! | `config` | [`Settings`] | |
//! | `account/<id>` | [`Account`] | thirty days after its last certificate |
//! | `key/<scope and thumbprint, hashed>` | id of the account with that key | with the account |
//! | `order/<account>/<id>` | [`Order`]; ids begin with the time | yes |
//! | `authorization/<account>/<id>` | [`Authorization`] | yes |
//! | `proof/<account>/<name, hashed>` | id of a valid authorization, to be used again | yes |
//! | `open/<account>/<order, hashed>` | id of an order for the same names that is not finalized | yes |
//! | `work/<kind>.<account>.<id>` | what must go on after a restart | |
//! | `star/<time>.<account>.<order>` | what is to be renewed when (RFC 8739) | |
//! | `issued/<serial>` | [`Issued`]: whose certificate it is, and what replaced it | yes |
//! | `eab/<id>` | [`crate::binding::BindingKey`] | |
//! | `replacements` | [`crate::server::Replacement`]s: certificates an operator wants replaced early | |
//!
//! Objects of an account lie below its id, so that asking for another's is asking for what is not there. Whatever ends is
//! found by the store's index of expiry; nothing is ever searched for.

use crate::{
    cache::{Cache, Pending},
    problem::Problem,
    records::{Account, Authorization, Order},
    settings::Settings,
};
use aws_lc_rs::digest;
use chancery_store::{Changes, Page, Sequence, Store, StoreError, View};
use data_encoding::{BASE32HEX_NOPAD, HEXLOWER};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// How long an order or authorization is shown after its end.
pub(crate) const AFTERLIFE: SignedDuration = SignedDuration::from_hours(24);

pub(crate) const CONFIG: &str = "config";
pub(crate) const REPLACEMENTS: &str = "replacements";
pub(crate) const ACCOUNTS: &str = "account/";
pub(crate) const BINDINGS: &str = "eab/";
pub(crate) const WORK: &str = "work/";
pub(crate) const STAR: &str = "star/";

/// A record with what is needed to replace it.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub(crate) value: T,
    pub(crate) version: u64,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Whose certificate it is, and which order replaces it (RFC 9773 §5).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Issued {
    pub(crate) account: String,
    pub(crate) order: String,
    #[serde(default)]
    pub(crate) replaced_by: Option<String>,
    /// Whether its order renews it (RFC 8739).
    #[serde(default)]
    pub(crate) renewed: bool,
    pub(crate) ends: Timestamp,
}

/// An object that most requests look at, so that it is worth remembering.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Account(Box<Account>),
    Order(Box<Order>),
    Authorization(Box<Authorization>),
}

/// One kind of such objects.
pub(crate) trait Object: Clone + Serialize + DeserializeOwned {
    /// Where it lies.
    fn key(&self) -> String;
    fn keep(self) -> Kept;
    fn kept(kept: Kept) -> Option<Self>;
}

macro_rules! object {
    ($kind:ident, $key:expr) => {
        impl Object for $kind {
            fn key(&self) -> String {
                let key: fn(&Self) -> String = $key;
                key(self)
            }

            fn keep(self) -> Kept {
                Kept::$kind(Box::new(self))
            }

            fn kept(kept: Kept) -> Option<Self> {
                if let Kept::$kind(object) = kept { Some(*object) } else { None }
            }
        }
    };
}

object!(Account, |account| account_key(&account.id));
object!(Order, |order| order_key(&order.account, &order.id));
object!(Authorization, |authorization| authorization_key(&authorization.account, &authorization.id));

/// Changes that are gathered for one commit, with the objects among them.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    changes: Changes,
    objects: Vec<(String, Stored<Kept>)>,
}

impl Deref for Edit {
    type Target = Changes;

    fn deref(&self) -> &Changes {
        &self.changes
    }
}

impl DerefMut for Edit {
    fn deref_mut(&mut self) -> &mut Changes {
        &mut self.changes
    }
}

/// Records of one mount.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    pub(crate) store: Store,
    pub(crate) view: View,
    /// None where other servers write the database too.
    cache: Option<Arc<Cache>>,
}

impl Records {
    pub(crate) fn new(store: Store, view: View) -> Self {
        let cache = (!store.is_shared()).then(Arc::default);
        Self { store, view, cache }
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>, StoreError> {
        let Some(entry) = self.view.read(key).await? else { return Ok(None) };
        Ok(Some(Stored { value: entry.decode()?, version: entry.version, expires_at: entry.expires_at }))
    }

    async fn object<T: Object>(&self, key: &str) -> Result<Option<Stored<T>>, StoreError> {
        let Some(cache) = &self.cache else { return self.read(key).await };
        let ticket = match cache.look(key) {
            Ok(Stored { value, version, expires_at }) => {
                return Ok(T::kept(value).map(|value| Stored { value, version, expires_at }));
            }
            Err(ticket) => ticket,
        };
        let found = self.read::<T>(key).await?;
        if let Some(Stored { value, version, expires_at }) = found.clone() {
            cache.fill(key, ticket, Stored { value: value.keep(), version, expires_at });
        }
        Ok(found)
    }

    /// Forgets what is remembered of the database.
    pub(crate) fn forget(&self) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    /// The changes, and what is to be told when they are durable.
    pub(crate) fn begin(&self, edit: Edit) -> (Changes, Pending) {
        let pending = self.cache.as_ref().map(|cache| cache.pending(edit.objects));
        (edit.changes, pending.unwrap_or_default())
    }

    /// Commits, as [`Store::commit`] does.
    pub(crate) async fn commit(&self, edit: Edit) -> Result<Sequence, StoreError> {
        let (changes, pending) = self.begin(edit);
        let at = self.store.commit(changes).await?;
        pending.settle(at.0);
        Ok(at)
    }

    /// Commits what `attempt` read and computed, as [`Store::transact`] does.
    pub(crate) async fn transact<T, E, F, Fut>(&self, name: &'static str, attempt: F) -> Result<T, E>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(Edit, T), E>>,
        E: From<StoreError>,
    {
        let last = Mutex::new(Pending::default());
        let begun = || async {
            // That of the attempt before: what it read is read again.
            drop(std::mem::take(&mut *last.lock()));
            let (edit, outcome) = attempt().await?;
            let (changes, pending) = self.begin(edit);
            *last.lock() = pending;
            Ok::<_, E>((changes, outcome))
        };
        let (at, outcome) = self.store.transact_at(name, begun).await?;
        last.into_inner().settle(at.0);
        Ok(outcome)
    }

    pub(crate) async fn settings(&self) -> Result<Settings, StoreError> {
        Ok(self.read(CONFIG).await?.map(|stored| stored.value).unwrap_or_default())
    }

    pub(crate) async fn account(&self, id: &str) -> Result<Option<Stored<Account>>, StoreError> {
        self.object(&account_key(id)).await
    }

    /// The account with this key in a directory.
    pub(crate) async fn account_by_key(
        &self,
        scope: &str,
        thumbprint: &str,
    ) -> Result<Option<Stored<Account>>, StoreError> {
        match self.read::<String>(&key_key(scope, thumbprint)).await? {
            Some(id) => self.account(&id.value).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn order(&self, account: &str, id: &str) -> Result<Option<Stored<Order>>, StoreError> {
        self.object(&order_key(account, id)).await
    }

    pub(crate) async fn authorization(
        &self,
        account: &str,
        id: &str,
    ) -> Result<Option<Stored<Authorization>>, StoreError> {
        self.object(&authorization_key(account, id)).await
    }

    /// Ids of an account's orders behind one, the oldest first.
    pub(crate) async fn orders(&self, account: &str, page: Page) -> Result<Vec<String>, StoreError> {
        self.view.list(&format!("order/{account}"), page).await
    }

    pub(crate) async fn issued(&self, serial: &str) -> Result<Option<Stored<Issued>>, StoreError> {
        self.read(&issued_key(serial)).await
    }

    /// Replaces a record that was read.
    pub(crate) fn replace<T: Serialize>(
        &self,
        changes: &mut Changes,
        key: &str,
        stored: &Stored<T>,
    ) -> Result<(), StoreError> {
        changes.replace(&self.view, key, &stored.value, stored.version, stored.expires_at).map(|_| ())
    }

    /// Replaces an object that was read.
    pub(crate) fn replace_object<T: Object>(&self, edit: &mut Edit, stored: &Stored<T>) -> Result<(), StoreError> {
        let key = stored.value.key();
        self.replace(&mut edit.changes, &key, stored)?;
        edit.keep(key, stored.value.clone(), stored.expires_at);
        Ok(())
    }

    /// Writes a new object.
    pub(crate) fn put_object<T: Object>(&self, edit: &mut Edit, object: &T, ends: Timestamp) -> Result<(), StoreError> {
        let key = object.key();
        edit.changes.put_expiring(&self.view, &key, object, ends)?;
        edit.keep(key, object.clone(), Some(ends));
        Ok(())
    }

    /// Removes what has had its time; how many there were.
    pub(crate) async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let keys = self.view.expired(now, limit).await?;
        let mut changes = Changes::default();
        for key in &keys {
            changes.delete(&self.view, key);
        }
        if !keys.is_empty() {
            self.store.commit(changes).await?;
        }
        if let Some(cache) = &self.cache {
            keys.iter().for_each(|key| cache.forget(key));
        }
        Ok(keys.len())
    }
}

impl Edit {
    fn keep(&mut self, key: String, object: impl Object, expires_at: Option<Timestamp>) {
        // A later change in the same commit is the one that counts.
        self.objects.retain(|(other, _)| *other != key);
        self.objects.push((key, Stored { value: object.keep(), version: 0, expires_at }));
    }
}

pub(crate) fn account_key(id: &str) -> String {
    format!("{ACCOUNTS}{id}")
}

pub(crate) fn key_key(scope: &str, thumbprint: &str) -> String {
    format!("key/{}", hashed(&[scope, thumbprint]))
}

pub(crate) fn order_key(account: &str, id: &str) -> String {
    format!("order/{account}/{id}")
}

pub(crate) fn authorization_key(account: &str, id: &str) -> String {
    format!("authorization/{account}/{id}")
}

pub(crate) fn proof_key(account: &str, name: &str) -> String {
    format!("proof/{account}/{}", hashed(&[name]))
}

pub(crate) fn open_key(account: &str, what: &[&str]) -> String {
    format!("open/{account}/{}", hashed(what))
}

pub(crate) fn issued_key(serial: &str) -> String {
    format!("issued/{serial}")
}

/// Where an order stands that is to be renewed; none where it is not.
pub(crate) fn star_key(order: &Order) -> Option<String> {
    let due = order.auto_renewal.as_ref()?.due?;
    Some(format!("{STAR}{:012}.{}.{}", due.as_second(), order.account, order.id))
}

/// The second, the account and the order of such a place, told by its name below the folder.
pub(crate) fn star_parts(name: &str) -> Option<(i64, &str, &str)> {
    let (due, rest) = name.split_once('.')?;
    let (account, order) = rest.split_once('.')?;
    Some((due.parse().ok()?, account, order))
}

pub(crate) fn binding_key(id: &str) -> String {
    format!("{BINDINGS}{id}")
}

/// Names of any length and form as a key of one length.
fn hashed(parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(0).to_be_bytes());
        context.update(part.as_bytes());
    }
    BASE32HEX_NOPAD.encode(context.finish().as_ref()).to_ascii_lowercase()
}

/// An id nobody can guess, which sorts by the time it was made.
pub(crate) fn new_id(now: Timestamp) -> Result<String, getrandom::Error> {
    let mut random = [0; 12];
    getrandom::fill(&mut random)?;
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0).to_be_bytes();
    let time = milliseconds.get(2..).unwrap_or_default();
    Ok(format!("{}{}", HEXLOWER.encode(time), HEXLOWER.encode(&random)))
}

/// What clients are told when the store fails; what it was goes to the log.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() || matches!(error, StoreError::Sealed) {
            return Self::busy();
        }
        Self::internal(&error)
    }
}

impl From<getrandom::Error> for Problem {
    fn from(error: getrandom::Error) -> Self {
        Self::internal(&error)
    }
}

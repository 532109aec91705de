//! Named policy documents: stored, parsed once, compiled once per set of names.

use crate::error::{AuthError, stored};
use chancery_engine::{
    Clock, Fault,
    policy::{Acl, Compilation, Policy},
};
use chancery_store::{Changes, Page, Store, View};
use jiff::Timestamp;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

mod builtin;

pub(crate) use builtin::RESPONSE_WRAPPING;

/// Most compiled sets kept.
const MAX_COMPILED: usize = 4096;

/// The policies of the installation. Cheap to clone.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    store: Store,
    view: View,
    clock: Arc<dyn Clock>,
    /// Grows with every change; what was compiled under another generation is stale.
    generation: AtomicU64,
    parsed: RwLock<HashMap<String, Option<Arc<Policy>>>>,
    compiled: RwLock<CompiledSets>,
}

/// By set of names: the generation it was compiled under, and the outcome.
type CompiledSets = HashMap<Arc<[String]>, (u64, Arc<Acl>)>;

/// A stored document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyDocument {
    /// The text as it was written.
    pub source: String,
    /// When it was written last.
    pub modified: Timestamp,
    /// How often it was written.
    pub version: u64,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}

impl Policies {
    /// The policies in `store`.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let view = store.view("sys/policy/");
        Self(Arc::new(Inner {
            store,
            view,
            clock,
            generation: AtomicU64::new(0),
            parsed: RwLock::default(),
            compiled: RwLock::default(),
        }))
    }

    /// Writes the built-in policies where they are missing; called once after every unseal.
    ///
    /// # Errors
    /// The store's.
    pub async fn ensure_builtin(&self) -> Result<(), Fault> {
        for (name, source) in builtin::ALL {
            if stored(self.0.view.read(name).await)?.is_none() {
                self.put(name, source).await?;
            }
        }
        Ok(())
    }

    /// The document of `name`; `root` exists and is empty.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(&self, name: &str) -> Result<Option<PolicyDocument>, Fault> {
        let name = canonical(name);
        if name == "root" {
            return Ok(Some(PolicyDocument { source: String::new(), modified: Timestamp::UNIX_EPOCH, version: 0 }));
        }
        let Some(entry) = stored(self.0.view.read(&name).await)? else { return Ok(None) };
        stored(entry.decode()).map(Some)
    }

    /// Writes a document.
    ///
    /// # Errors
    /// [`Fault::Caller`] with Vault's text when it does not parse or may not be changed.
    pub async fn write(&self, name: &str, source: &str) -> Result<(), Fault> {
        let name = canonical(name);
        check_name(&name)?;
        if builtin::is_immutable(&name) {
            return Err(Fault::caller(format!("cannot update {name:?} policy")));
        }
        Policy::parse(&name, source).map_err(|error| Fault::caller(error.to_string()))?;
        self.put(&name, source).await
    }

    /// Deletes a document; one that is not there counts as deleted.
    ///
    /// # Errors
    /// [`Fault::Caller`] for the built-in ones.
    pub async fn delete(&self, name: &str) -> Result<(), Fault> {
        let name = canonical(name);
        check_name(&name)?;
        if builtin::is_immutable(&name) {
            return Err(Fault::caller(format!("cannot delete {name:?} policy")));
        }
        if name == "default" {
            return Err(Fault::caller("cannot delete default policy"));
        }
        let mut changes = Changes::default();
        changes.delete(&self.0.view, &name);
        stored(self.0.store.commit(changes).await)?;
        self.invalidate();
        Ok(())
    }

    /// Names of the documents a client may see, sorted, with `root`.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self) -> Result<Vec<String>, Fault> {
        let mut names = stored(self.0.view.list("", Page::default()).await)?;
        names.retain(|name| !builtin::is_hidden(name));
        names.push("root".to_owned());
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Whether there is such a policy.
    ///
    /// # Errors
    /// The store's.
    pub async fn exists(&self, name: &str) -> Result<bool, Fault> {
        Ok(name == "root" || self.parsed(name).await?.is_some())
    }

    /// The compiled policies of this set of names. Names without a document grant nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn acl_for(&self, names: &[String]) -> Result<Arc<Acl>, Fault> {
        let generation = self.generation();
        let now = self.0.clock.now();
        if let Some((compiled_at, acl)) = self.0.compiled.read().get(names)
            && *compiled_at == generation
            && acl.valid_until().is_none_or(|until| now < until)
        {
            return Ok(Arc::clone(acl));
        }
        let mut policies = Vec::with_capacity(names.len());
        for name in names {
            if name == "root" {
                policies.push(Arc::new(Policy { name: name.clone(), ..Policy::default() }));
            } else if let Some(policy) = self.parsed(name).await? {
                policies.push(policy);
            }
        }
        let acl = Arc::new(Acl::compile_for(&policies, Compilation { now, value_of: &|_| None }));
        let mut compiled = self.0.compiled.write();
        if compiled.len() >= MAX_COMPILED {
            compiled.clear();
        }
        compiled.insert(names.into(), (generation, Arc::clone(&acl)));
        Ok(acl)
    }

    /// Grows with every change of a policy.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Forgets everything cached: sealed, or another node wrote.
    pub fn invalidate(&self) {
        {
            // Under one lock: whoever sees the new generation must not find a document of the old one.
            let mut parsed = self.0.parsed.write();
            self.0.generation.fetch_add(1, Ordering::AcqRel);
            parsed.clear();
        }
        self.0.compiled.write().clear();
    }

    async fn put(&self, name: &str, source: &str) -> Result<(), Fault> {
        let inner = &self.0;
        let written = inner.store.transact("write policy", || async {
            let known = inner.view.read(name).await?;
            let before: Option<PolicyDocument> = known.as_ref().map(chancery_store::Entry::decode).transpose()?;
            let version = before.map_or(0, |document| document.version) + 1;
            let document = PolicyDocument { source: source.to_owned(), modified: inner.clock.now(), version };
            let mut changes = Changes::default();
            match known {
                Some(entry) => changes.replace(&inner.view, name, &document, entry.version, None)?,
                None => changes.create(&inner.view, name, &document)?,
            };
            Ok::<_, AuthError>((changes, ()))
        });
        written.await?;
        self.invalidate();
        Ok(())
    }

    async fn parsed(&self, name: &str) -> Result<Option<Arc<Policy>>, Fault> {
        if let Some(policy) = self.0.parsed.read().get(name) {
            return Ok(policy.clone());
        }
        let generation = self.generation();
        let policy = match self.read(name).await? {
            Some(document) => Policy::parse(name, &document.source)
                .map(Arc::new)
                .map(Some)
                .map_err(|error| Fault::Bug(format!("stored policy {name:?}: {error}")))?,
            None => None,
        };
        let mut parsed = self.0.parsed.write();
        if parsed.len() >= MAX_COMPILED {
            parsed.clear();
        }
        // A change since the read would make this a stale entry that nobody removes.
        if self.generation() == generation {
            parsed.insert(name.to_owned(), policy.clone());
        }
        Ok(policy)
    }
}

/// Names are lower case and without outer blanks, everywhere (CVE-2025-5999).
fn canonical(name: &str) -> String {
    name.trim().to_lowercase()
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/' || c == ',') {
        return Err(Fault::caller("invalid policy name"));
    }
    Ok(())
}

//! The mount's issuers, rotations and default as one consistent picture, and how that picture is changed.
//!
//! Readers share an `Arc<Authority>`; writers work on a [`Draft`], whose differences are committed only if nobody else
//! committed meanwhile (one guard entry carries the version).

use crate::{
    error::SshError,
    issuer::Issuer,
    rotation::{Phase, Rotation},
    settings::IssuerSettings,
    storage,
};
use chancery_store::{Changes, View};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The reference that stands for the default issuer.
pub const DEFAULT: &str = "default";

/// Issuers and rotations of one mount.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// By id.
    pub issuers: BTreeMap<String, Arc<Issuer>>,
    /// Deleted issuers, by id: hosts may still trust their keys.
    pub retired: BTreeMap<String, Arc<Issuer>>,
    /// By id of the old issuer.
    pub rotations: BTreeMap<String, Rotation>,
    /// Id of the default issuer; empty where there is none.
    pub default: String,
    /// Version of the guard entry when this was read; none before the first change.
    pub(crate) guard: Option<u64>,
}

impl Authority {
    /// Finds an issuer by `default`, id or name.
    ///
    /// # Errors
    /// [`SshError::Caller`] that names the reference.
    pub fn issuer(&self, reference: &str) -> Result<&Arc<Issuer>, SshError> {
        let missing = || SshError::Caller(format!("unable to find issuer for reference: {reference}"));
        if reference == DEFAULT {
            if self.default.is_empty() {
                return Err(SshError::caller("no default issuer currently configured"));
            }
            return self.issuers.get(&self.default).ok_or_else(missing);
        }
        let by_name = || self.issuers.values().find(|issuer| !reference.is_empty() && issuer.record.name == reference);
        self.issuers.get(reference).or_else(by_name).ok_or_else(missing)
    }

    /// Finds an issuer, deleted ones too (by id only: their names may be others' by now).
    ///
    /// # Errors
    /// [`SshError::Caller`] that names the reference.
    pub fn issuer_or_retired(&self, reference: &str) -> Result<&Arc<Issuer>, SshError> {
        self.retired.get(reference).map_or_else(|| self.issuer(reference), Ok)
    }

    /// The issuer whose key this is, deleted ones too.
    #[must_use]
    pub fn by_key(&self, blob: &[u8]) -> Option<&Arc<Issuer>> {
        self.issuers.values().chain(self.retired.values()).find(|issuer| issuer.public_key.blob() == blob)
    }

    /// The rotation an issuer is part of, as the old one or as the new one; the one still on its way before one that ended.
    #[must_use]
    pub fn rotation_of(&self, id: &str) -> Option<&Rotation> {
        let part = || self.rotations.values().filter(|rotation| rotation.old == id || rotation.new == id);
        part().find(|rotation| rotation.phase != Phase::OldRetired).or_else(|| part().next())
    }

    /// The issuers whose keys hosts shall trust where they trust this one.
    #[must_use]
    pub fn trusted(&self, id: &str) -> Vec<Arc<Issuer>> {
        let ids = match self.rotation_of(id) {
            None => vec![id],
            Some(rotation) => {
                let (old, new) = rotation.phase.trusts();
                [(old, rotation.old.as_str()), (new, rotation.new.as_str())]
                    .into_iter()
                    .filter(|(trusted, _)| *trusted)
                    .map(|(_, id)| id)
                    .collect()
            }
        };
        ids.into_iter().filter_map(|id| self.issuers.get(id).cloned()).collect()
    }

    /// Refuses a name that cannot be given to the issuer `id` (none yet for a new one).
    ///
    /// # Errors
    /// [`SshError::Caller`] in OpenBao's words.
    pub fn check_name(&self, name: &str, id: Option<&str>) -> Result<(), SshError> {
        if name.is_empty() {
            return Ok(());
        }
        if name == DEFAULT {
            return Err(SshError::caller("reserved keyword 'default' can not be used as issuer name"));
        }
        if !chancery_engine::route::is_name(name) {
            return Err(SshError::caller("issuer name contained invalid characters"));
        }
        let taken = self.issuers.values().any(|issuer| issuer.record.name == name && Some(&*issuer.record.id) != id);
        if taken { Err(SshError::caller("issuer name already in use")) } else { Ok(()) }
    }
}

/// A picture being changed.
#[derive(Debug)]
pub struct Draft {
    authority: Authority,
    issuers: BTreeSet<String>,
    rotations: BTreeSet<String>,
    default: bool,
}

impl Draft {
    pub(crate) fn new(authority: Authority) -> Self {
        Self { authority, issuers: BTreeSet::new(), rotations: BTreeSet::new(), default: false }
    }

    /// The picture as it is now.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Adds or replaces an issuer. The first one becomes the default.
    pub fn put_issuer(&mut self, issuer: Issuer) {
        let id = issuer.record.id.clone();
        self.authority.issuers.insert(id.clone(), Arc::new(issuer));
        self.issuers.insert(id.clone());
        if self.authority.default.is_empty() && self.authority.issuers.len() == 1 {
            self.set_default(id);
        }
    }

    /// Removes an issuer, its key with it; returns whether it was the default.
    pub fn remove_issuer(&mut self, id: &str) -> bool {
        if let Some(issuer) = self.authority.issuers.remove(id) {
            let mut issuer = issuer.as_ref().clone();
            issuer.record.key = None;
            self.authority.retired.insert(id.to_owned(), Arc::new(issuer));
        }
        self.issuers.insert(id.to_owned());
        let ended: Vec<String> = self
            .authority
            .rotations
            .iter()
            .filter(|(old, rotation)| *old == id || rotation.new == id)
            .map(|(old, _)| old.clone())
            .collect();
        for old in ended {
            self.remove_rotation(&old);
        }
        let was_default = self.authority.default == id;
        if was_default {
            self.set_default(String::new());
        }
        was_default
    }

    /// Makes an issuer the default; none where the id is empty.
    pub fn set_default(&mut self, id: String) {
        self.authority.default = id;
        self.default = true;
    }

    /// Adds or replaces a rotation.
    pub fn put_rotation(&mut self, rotation: Rotation) {
        let old = rotation.old.clone();
        self.authority.rotations.insert(old.clone(), rotation);
        self.rotations.insert(old);
    }

    /// Forgets a rotation.
    pub fn remove_rotation(&mut self, old: &str) {
        self.authority.rotations.remove(old);
        self.rotations.insert(old.to_owned());
    }

    /// Whether issuers or rotations differ, on which the revocation lists depend.
    pub(crate) fn touches_lists(&self) -> bool {
        !self.issuers.is_empty() || !self.rotations.is_empty()
    }

    /// What differs, to be committed only if the guard has not moved.
    pub(crate) fn into_changes(self, view: &View) -> Result<Changes, SshError> {
        let mut changes = Changes::default();
        if self.issuers.is_empty() && self.rotations.is_empty() && !self.default {
            return Ok(changes);
        }
        for id in &self.issuers {
            let key = storage::issuer(id);
            match (self.authority.issuers.get(id), self.authority.retired.get(id)) {
                (Some(issuer), _) => changes.put(view, &key, &issuer.record)?,
                (None, Some(issuer)) => changes.delete(view, &key).put(view, &storage::retired(id), &issuer.record)?,
                (None, None) => changes.delete(view, &key),
            };
        }
        for old in &self.rotations {
            let key = storage::rotation(old);
            match self.authority.rotations.get(old) {
                Some(rotation) => changes.put(view, &key, rotation)?,
                None => changes.delete(view, &key),
            };
        }
        if self.default {
            let settings = IssuerSettings { default: self.authority.default.clone() };
            changes.put(view, storage::CONFIG_ISSUERS, &settings)?;
        }
        match self.authority.guard {
            Some(version) => changes.replace(view, storage::GUARD, &(), version, None)?,
            None => changes.create(view, storage::GUARD, &())?,
        };
        Ok(changes)
    }
}

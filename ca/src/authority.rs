//! The mount's issuers, keys and settings as one consistent picture, and how that picture is changed.
//!
//! Readers share an `Arc<Authority>`; writers work on a [`Draft`], whose differences are committed only if nobody else
//! committed meanwhile (one guard entry carries the version).

use crate::{
    error::CaError,
    facts::CertificateFacts,
    issuer::{Issuer, Usage},
    key::KeyRecord,
    settings::{ClusterSettings, CrlSettings, IssuerSettings, KeySettings, UrlSettings},
    storage,
    urls::Urls,
};
use chancery_store::{Changes, View};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

/// Issuers, keys and settings of one mount.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// By id.
    pub issuers: BTreeMap<String, Arc<Issuer>>,
    /// Deleted issuers, by id: what they issued stays on the CRL of their key and name, whose numbers only rise.
    pub retired: BTreeMap<String, Arc<Issuer>>,
    /// By id.
    pub keys: BTreeMap<String, Arc<KeyRecord>>,
    /// `config/issuers`
    pub issuer_settings: IssuerSettings,
    /// `config/keys`
    pub key_settings: KeySettings,
    /// `config/urls`
    pub url_settings: UrlSettings,
    /// `config/cluster`
    pub cluster_settings: ClusterSettings,
    /// `config/crl`
    pub crl_settings: CrlSettings,
    /// Version of the guard entry when this was read; none before the first change.
    pub(crate) guard: Option<u64>,
    /// Which issuers signed which, by id: found out once, since a look costs as much as a signature.
    pub(crate) parents: OnceLock<BTreeMap<String, Vec<String>>>,
}

/// The reference that stands for the default issuer or key.
pub const DEFAULT: &str = "default";

impl Authority {
    /// Finds an issuer by `default`, id or name.
    ///
    /// # Errors
    /// [`CaError::Missing`] that names the reference.
    pub fn issuer(&self, reference: &str) -> Result<&Arc<Issuer>, CaError> {
        let missing = || CaError::Missing(format!("unable to find PKI issuer for reference: {reference}"));
        if reference == DEFAULT {
            let id = &self.issuer_settings.default;
            if id.is_empty() {
                return Err(CaError::Missing("no default issuer currently configured".to_owned()));
            }
            return self.issuers.get(id).ok_or_else(missing);
        }
        let by_name = || self.issuers.values().find(|issuer| !reference.is_empty() && issuer.record.name == reference);
        self.issuers.get(reference).or_else(by_name).ok_or_else(missing)
    }

    /// Finds a key by `default`, id or name.
    ///
    /// # Errors
    /// [`CaError::Missing`] that names the reference.
    pub fn key(&self, reference: &str) -> Result<&Arc<KeyRecord>, CaError> {
        let missing = || CaError::Missing(format!("unable to find PKI key for reference: {reference}"));
        if reference == DEFAULT {
            let id = &self.key_settings.default;
            if id.is_empty() {
                return Err(CaError::Missing("no default key currently configured".to_owned()));
            }
            return self.keys.get(id).ok_or_else(missing);
        }
        let by_name = || self.keys.values().find(|key| !reference.is_empty() && key.name == reference);
        self.keys.get(reference).or_else(by_name).ok_or_else(missing)
    }

    /// Finds an issuer that may sign certificates, and its key.
    ///
    /// # Errors
    /// [`CaError::Caller`] in the words clients know.
    pub fn issuing(&self, reference: &str) -> Result<(Arc<Issuer>, Arc<KeyRecord>), CaError> {
        let issuer = self
            .issuer(reference)
            .map_err(|error| CaError::Caller(format!("could not fetch the CA certificate (was one set?): {error}")))?;
        issuer.require(Usage::IssuingCertificates)?;
        let key = self
            .keys
            .get(&issuer.record.key_id)
            .ok_or_else(|| CaError::corrupt(format!("issuer {}", issuer.record.id), "its key is not in this mount"))?;
        Ok((Arc::clone(issuer), Arc::clone(key)))
    }

    /// Where certificates of `issuer` point to: its own URLs where it has any, else the mount's, filled in.
    ///
    /// # Errors
    /// [`CaError::Caller`] where a template asks for what `config/cluster` does not say.
    pub fn urls_of<'a>(&'a self, issuer: &'a Issuer) -> Result<Cow<'a, Urls>, CaError> {
        let record = &issuer.record;
        if record.urls.is_empty() {
            return self.mount_urls(&record.id);
        }
        if record.enable_aia_url_templating {
            return record.urls.filled(&record.id, &self.cluster_settings).map(Cow::Owned);
        }
        Ok(Cow::Borrowed(&record.urls))
    }

    /// Where the certificate of a root called `id` points to: the mount's URLs, filled in.
    ///
    /// # Errors
    /// See [`Authority::urls_of`].
    pub fn mount_urls(&self, id: &str) -> Result<Cow<'_, Urls>, CaError> {
        let settings = &self.url_settings;
        if settings.enable_templating {
            return settings.urls.filled(id, &self.cluster_settings).map(Cow::Owned);
        }
        Ok(Cow::Borrowed(&settings.urls))
    }

    /// The issuer and those above it, as far as this mount knows them; its own certificate first.
    #[must_use]
    pub fn chain(&self, issuer: &Arc<Issuer>) -> Vec<Arc<Issuer>> {
        if !issuer.record.manual_chain.is_empty() {
            return issuer.record.manual_chain.iter().filter_map(|id| self.issuers.get(id).cloned()).collect();
        }
        let mut chain = vec![Arc::clone(issuer)];
        while let Some(last) = chain.last()
            && let Some(parents) = self.parents().get(&last.record.id)
        {
            let is_new = |id: &&String| chain.iter().all(|known| known.record.id != **id);
            let Some(parent) = parents.iter().find(is_new).and_then(|id| self.issuers.get(id)) else { break };
            chain.push(Arc::clone(parent));
        }
        chain
    }

    /// The chains that lead from the issuer upwards, the usual one first: where a CA above is certified more than once (its
    /// root was rotated, somebody else has cross-signed it), each certificate gives a chain of its own.
    #[must_use]
    pub fn chains(&self, issuer: &Arc<Issuer>) -> Vec<Vec<Arc<Issuer>>> {
        const MOST: usize = 8;
        let usual = self.chain(issuer);
        let mut found = vec![usual];
        let start = self.issuers.values().filter(|other| other.is_equivalent(issuer));
        let mut open: Vec<Vec<Arc<Issuer>>> = start.map(|first| vec![Arc::clone(first)]).collect();
        while let Some(chain) = open.pop() {
            let Some(last) = chain.last().cloned() else { continue };
            let parents = self.parents().get(&last.record.id).into_iter().flatten();
            let parents: Vec<_> = parents
                .filter(|id| chain.iter().all(|known| known.record.id != **id))
                .filter_map(|id| self.issuers.get(id))
                .collect();
            for parent in &parents {
                open.push(chain.iter().chain([*parent]).cloned().collect());
            }
            let ids = |chain: &[Arc<Issuer>]| chain.iter().map(|one| one.record.id.clone()).collect::<Vec<_>>();
            if parents.is_empty() && found.iter().all(|known| ids(known) != ids(&chain)) {
                found.push(chain);
            }
            if found.len() >= MOST {
                break;
            }
        }
        found
    }

    /// The issuers here that signed each one that did not sign itself.
    fn parents(&self) -> &BTreeMap<String, Vec<String>> {
        self.parents.get_or_init(|| {
            let signed = self.issuers.values().filter(|issuer| !issuer.facts.is_self_issued());
            let parents = |facts: &CertificateFacts| {
                let named = self.issuers.values().filter(|candidate| candidate.facts.subject == facts.issuer);
                let signers = named.filter(|candidate| facts.is_signed_by(&candidate.facts));
                signers.map(|signer| signer.record.id.clone()).collect()
            };
            signed.map(|issuer| (issuer.record.id.clone(), parents(&issuer.facts))).collect()
        })
    }

    /// Issuers whose certificates belong on the CRL of `issuer`: the same key under the same name, deleted ones last.
    #[must_use]
    pub fn equivalents(&self, issuer: &Issuer) -> Vec<Arc<Issuer>> {
        let all = self.issuers.values().chain(self.retired.values());
        all.filter(|other| other.is_equivalent(issuer)).cloned().collect()
    }
}

/// A picture being changed.
#[derive(Debug)]
pub struct Draft {
    authority: Authority,
    issuers: BTreeSet<String>,
    keys: BTreeSet<String>,
    settings: BTreeSet<&'static str>,
}

impl Draft {
    pub(crate) fn new(authority: Authority) -> Self {
        Self { authority, issuers: BTreeSet::new(), keys: BTreeSet::new(), settings: BTreeSet::new() }
    }

    /// The picture as it is now.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Adds or replaces an issuer. Where there is no default, a new one becomes it; so does every new one with a key where
    /// the settings say so.
    pub fn put_issuer(&mut self, issuer: Issuer) {
        self.authority.parents = OnceLock::new();
        let id = issuer.record.id.clone();
        let is_new = !self.authority.issuers.contains_key(&id);
        let has_key = !issuer.record.key_id.is_empty();
        let gets_key = self.authority.issuers.get(&id).is_some_and(|present| present.record.key_id.is_empty());
        self.authority.issuers.insert(id.clone(), Arc::new(issuer));
        self.issuers.insert(id.clone());
        let settings = &mut self.authority.issuer_settings;
        let takes_over = settings.default_follows_latest_issuer && has_key;
        // One that waited for its key counts as new when the key comes.
        let is_first = settings.default.is_empty() && has_key && (is_new || gets_key);
        if is_first || (is_new && takes_over) {
            settings.default = id;
            self.settings.insert(storage::CONFIG_ISSUERS);
        }
    }

    /// Removes an issuer; returns whether it was the default.
    pub fn remove_issuer(&mut self, id: &str) -> bool {
        self.authority.parents = OnceLock::new();
        if let Some(issuer) = self.authority.issuers.remove(id) {
            self.authority.retired.insert(id.to_owned(), issuer);
        }
        self.issuers.insert(id.to_owned());
        let was_default = self.authority.issuer_settings.default == id;
        if was_default {
            self.authority.issuer_settings.default.clear();
            self.settings.insert(storage::CONFIG_ISSUERS);
        }
        was_default
    }

    /// Adds or replaces a key. The first one becomes the default.
    pub fn put_key(&mut self, key: KeyRecord) {
        let id = key.id.clone();
        self.authority.keys.insert(id.clone(), Arc::new(key));
        self.keys.insert(id.clone());
        if self.authority.key_settings.default.is_empty() && self.authority.keys.len() == 1 {
            self.authority.key_settings.default = id;
            self.settings.insert(storage::CONFIG_KEYS);
        }
    }

    /// Removes a key; returns whether it was the default.
    pub fn remove_key(&mut self, id: &str) -> bool {
        self.authority.keys.remove(id);
        self.keys.insert(id.to_owned());
        let was_default = self.authority.key_settings.default == id;
        if was_default {
            self.authority.key_settings.default.clear();
            self.settings.insert(storage::CONFIG_KEYS);
        }
        was_default
    }

    /// `config/issuers`
    pub fn issuer_settings(&mut self) -> &mut IssuerSettings {
        self.settings.insert(storage::CONFIG_ISSUERS);
        &mut self.authority.issuer_settings
    }

    /// `config/keys`
    pub fn key_settings(&mut self) -> &mut KeySettings {
        self.settings.insert(storage::CONFIG_KEYS);
        &mut self.authority.key_settings
    }

    /// `config/urls`
    pub fn url_settings(&mut self) -> &mut UrlSettings {
        self.settings.insert(storage::CONFIG_URLS);
        &mut self.authority.url_settings
    }

    /// `config/cluster`
    pub fn cluster_settings(&mut self) -> &mut ClusterSettings {
        self.settings.insert(storage::CONFIG_CLUSTER);
        &mut self.authority.cluster_settings
    }

    /// `config/crl`
    pub fn crl_settings(&mut self) -> &mut CrlSettings {
        self.settings.insert(storage::CONFIG_CRL);
        &mut self.authority.crl_settings
    }

    /// What differs, to be committed only if the guard has not moved.
    pub(crate) fn into_changes(self, view: &View) -> Result<Changes, CaError> {
        let mut changes = Changes::default();
        if self.issuers.is_empty() && self.keys.is_empty() && self.settings.is_empty() {
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
        for id in &self.keys {
            let key = storage::key(id);
            match self.authority.keys.get(id) {
                Some(record) => changes.put(view, &key, record.as_ref())?,
                None => changes.delete(view, &key),
            };
        }
        for setting in &self.settings {
            match *setting {
                storage::CONFIG_ISSUERS => changes.put(view, setting, &self.authority.issuer_settings)?,
                storage::CONFIG_KEYS => changes.put(view, setting, &self.authority.key_settings)?,
                storage::CONFIG_URLS => changes.put(view, setting, &self.authority.url_settings)?,
                storage::CONFIG_CLUSTER => changes.put(view, setting, &self.authority.cluster_settings)?,
                _ => changes.put(view, setting, &self.authority.crl_settings)?,
            };
        }
        match self.authority.guard {
            Some(version) => changes.replace(view, storage::GUARD, &(), version, None)?,
            None => changes.create(view, storage::GUARD, &())?,
        };
        Ok(changes)
    }
}

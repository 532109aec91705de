//! Keys out of this mount and into it again, whole: the policy of `policy.rs` against the records of `storage.rs`.

use crate::{
    derivation::{ConvergentVersion, Kdf},
    encoding,
    error::TransitError,
    import::off_thread,
    key::{Imported, KeyRecord, Milestone, SHORTEST_ROTATION_SECONDS},
    key_type::{KeyType, Protection},
    policy::{Archive, Backup, Entry, Info, Policy, number_of, type_numbered},
    storage::Stored,
    transit::Transit,
    version::{KeyVersion, VersionRecord},
};
use chancery_store::Changes;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const NANOSECONDS: i64 = 1_000_000_000;

/// The version prefix of ciphertexts, which a policy may name but not change here.
const VERSION_TEMPLATE: &str = "vault:v{{version}}:";

/// A key read from a backup, every version ready to be stored.
pub(crate) struct Restored {
    pub(crate) name: String,
    record: KeyRecord,
    versions: BTreeMap<u32, VersionRecord>,
}

impl Transit {
    /// Backs up a key, and notes it in the key. `None` where there is no such key.
    pub(crate) async fn backup(&self, name: &str) -> Result<Option<Zeroizing<String>>, TransitError> {
        let now = self.now();
        let backed_up = self
            .storage
            .store()
            .transact("back up transit key", || async {
                let mut changes = Changes::default();
                let Some(mut stored) = self.storage.record(name).await? else { return Ok((changes, None)) };
                check(&stored.record)?;
                stored.record.backup_info = Some(Milestone { time: now, version: stored.record.latest_version });
                let backup = self.write_backup(name, &stored.record).await?;
                self.storage.replace(&mut changes, name, &stored)?;
                Ok::<_, TransitError>((changes, Some(backup)))
            })
            .await?;
        self.forget_cached(Some(name));
        Ok(backed_up)
    }

    async fn write_backup(&self, name: &str, record: &KeyRecord) -> Result<Zeroizing<String>, TransitError> {
        let mut versions = Vec::new();
        for number in record.existing_versions() {
            versions.push((number, self.storage.version(name, number).await?.ok_or(TransitError::NoSuchVersion)?));
        }
        let (name, record) = (name.to_owned(), record.clone());
        off_thread(move || {
            let backup = Backup {
                archived_keys: Some(archive(&record, &versions)?),
                policy: Some(policy(name, &record, &versions)?),
            };
            let json = serde_json::to_vec(&backup).map_err(|_| TransitError::Bug("a backup could not be written"))?;
            Ok(Zeroizing::new(encoding::encode(&Zeroizing::new(json))))
        })
        .await
    }

    /// Stores a key of a backup; with `force` in the place of one there is. `false` where there is one without it.
    pub(crate) async fn restore(&self, restored: Restored, force: bool) -> Result<bool, TransitError> {
        let Restored { name, mut record, versions } = restored;
        record.latest_version_at = versions.get(&record.latest_version).map(|version| version.created_at);
        record.restore_info = Some(Milestone { time: self.now(), version: record.latest_version });
        let stored = self
            .storage
            .store()
            .transact("restore transit key", || async {
                let mut changes = Changes::default();
                let objects = match self.storage.record(&name).await? {
                    Some(_) if !force => return Ok((changes, None)),
                    Some(existing) => self.replace_key(&mut changes, &name, existing, &record).await?,
                    None => {
                        let latest = versions.get(&record.latest_version).ok_or(TransitError::NoSuchVersion)?;
                        self.storage.create(&mut changes, &name, &record, latest)?;
                        Vec::new()
                    }
                };
                for (number, version) in &versions {
                    self.storage.add_version(&mut changes, &name, *number, version)?;
                }
                Ok::<_, TransitError>((changes, Some(objects)))
            })
            .await?;
        self.forget_cached(Some(&name));
        let Some(objects) = stored else { return Ok(false) };
        self.destroy_all(objects.iter()).await;
        Ok(true)
    }

    /// Takes the versions of a key away and puts another record in its place. Answers its objects in the token.
    async fn replace_key(
        &self,
        changes: &mut Changes,
        name: &str,
        mut existing: Stored,
        record: &KeyRecord,
    ) -> Result<Vec<chancery_hsm::KeyReference>, TransitError> {
        let numbers = 1..existing.record.latest_version.saturating_add(1);
        let objects = self.objects(name, &existing, numbers).await?;
        for number in existing.record.existing_versions() {
            self.storage.delete_version(changes, name, number);
        }
        existing.record = record.clone();
        self.storage.replace(changes, name, &existing)?;
        Ok(objects)
    }
}

/// Refuses to back up a key that does not allow it.
fn check(record: &KeyRecord) -> Result<(), TransitError> {
    let refusal = if record.soft_deleted {
        return Err(TransitError::SoftDeleted);
    } else if !record.exportable || record.protection == Protection::Hsm {
        "exporting is disallowed on the policy"
    } else if !record.allow_plaintext_backup {
        "plaintext backup is disallowed on the policy"
    } else if number_of(record.key_type).is_none() {
        "keys of this type cannot be backed up"
    } else {
        return Ok(());
    };
    Err(TransitError::caller(refusal))
}

/// All versions, each at the place of its number less the lowest available.
fn archive(record: &KeyRecord, versions: &[(u32, VersionRecord)]) -> Result<Archive, TransitError> {
    let mut keys = Vec::new();
    if record.min_available_version == 0 {
        keys.push(Entry { time: Some(year_one()), ..Entry::default() });
    }
    for (_, version) in versions {
        keys.push(Entry::of(record.key_type, version)?);
    }
    Ok(Archive { keys: Some(keys) })
}

/// Go's zero time.
fn year_one() -> jiff::Timestamp {
    "0001-01-01T00:00:00Z".parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn policy(name: String, record: &KeyRecord, versions: &[(u32, VersionRecord)]) -> Result<Policy, TransitError> {
    let mut keys = BTreeMap::new();
    for (number, version) in versions.iter().filter(|(number, _)| *number >= record.min_decryption_version) {
        keys.insert(number.to_string(), Entry::of(record.key_type, version)?);
    }
    let info = |milestone: Milestone| Info { time: milestone.time, version: milestone.version };
    let convergent_version = match (record.convergent_encryption, record.convergent_version) {
        (false, _) => 0,
        (true, None) => -1,
        (true, Some(version)) => i64::from(version.number()),
    };
    Ok(Policy {
        name,
        key_size: record.key_size.map_or(0, i64::from),
        keys: Some(keys),
        derived: record.derived,
        kdf: i64::from(record.derived && record.kdf == Kdf::HkdfSha256),
        convergent_encryption: record.convergent_encryption,
        exportable: record.exportable,
        min_decryption_version: i64::from(record.min_decryption_version),
        min_encryption_version: i64::from(record.min_encryption_version),
        latest_version: i64::from(record.latest_version),
        archive_version: i64::from(record.latest_version),
        archive_min_version: i64::from(record.min_available_version),
        min_available_version: i64::from(record.min_available_version),
        deletion_allowed: record.deletion_allowed,
        convergent_version,
        key_type: number_of(record.key_type).unwrap_or_default(),
        backup_info: record.backup_info.map(info),
        restore_info: record.restore_info.map(info),
        allow_plaintext_backup: record.allow_plaintext_backup,
        auto_rotate_period: record.auto_rotate_period_seconds.saturating_mul(NANOSECONDS),
        imported: record.imported.is_some(),
        allow_imported_key_rotation: record.imported.is_some_and(|imported| imported.allow_rotation),
        soft_deleted: record.soft_deleted,
        ..Policy::default()
    })
}

impl Restored {
    /// Reads a backup, for the name given or else its own. Takes long for many RSA keys.
    pub(crate) fn read(backup: &str, name: Option<&str>) -> Result<Self, TransitError> {
        let json = encoding::decode(backup)?;
        // What serde says of a mistake could repeat a key.
        let backup: Backup =
            serde_json::from_slice(&json).map_err(|_| TransitError::caller("the backup is not the JSON of a key"))?;
        let policy = backup.policy.ok_or_else(|| TransitError::caller("the backup holds no key"))?;
        let name = name.map_or_else(|| policy.name.clone(), ToOwned::to_owned);
        check_name(&name)?;
        let failed = |text: String| TransitError::Caller(format!("failed to restore the policy {name:?}: {text}"));
        let key_type =
            type_numbered(policy.key_type).ok_or_else(|| failed(format!("unknown key type {}", policy.key_type)))?;
        let archive = backup.archived_keys.and_then(|archive| archive.keys).unwrap_or_default();
        let (record, versions) = read(key_type, policy, archive).map_err(failed)?;
        Ok(Self { name, record, versions })
    }
}

/// Refuses a name that no path could reach.
fn check_name(name: &str) -> Result<(), TransitError> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let refusal = if name.is_empty() || name.contains('/') {
        "failed restored policy name validator: entry would not be accessible"
    } else if name.starts_with(word) && name.ends_with(word) && name.chars().all(|c| word(c) || c == '-' || c == '.') {
        return Ok(());
    } else {
        "failed restored policy name validator: name does not match framework.GenericNameRegex"
    };
    Err(TransitError::caller(refusal))
}

type Read = (KeyRecord, BTreeMap<u32, VersionRecord>);

fn read(key_type: KeyType, mut policy: Policy, archive: Vec<Entry>) -> Result<Read, String> {
    check_bounds(&policy)?;
    let entries = entries(&mut policy, archive)?;
    let record = record(key_type, &policy, &entries)?;
    let mut versions = BTreeMap::new();
    for (number, entry) in entries {
        let wrong = |text: String| format!("version {number}: {text}");
        let version = entry.read(key_type).map_err(wrong)?;
        let trial = VersionRecord {
            created_at: version.created_at,
            material: version.material.clone(),
            certificate_chain: Vec::new(),
            convergent_version: version.convergent_version,
        };
        KeyVersion::expand(&record, trial).map_err(|_| wrong("the key cannot be used".to_owned()))?;
        versions.insert(number, version);
    }
    Ok((record, versions))
}

/// The reference's checks in its order, and what it trips over later.
fn check_bounds(policy: &Policy) -> Result<(), String> {
    let Policy {
        min_decryption_version: decryption, min_encryption_version: encryption, latest_version: latest, ..
    } = *policy;
    let (archived, available) = (policy.archive_version, policy.min_available_version);
    if decryption < 1 {
        return Err(format!("minimum decryption version of {decryption} is less than 1"));
    }
    if latest < 1 {
        return Err(format!("latest version of {latest} is less than 1"));
    }
    if archived > latest {
        return Err(format!("archive version of {archived} is greater than the latest version {latest}"));
    }
    if encryption > 0 && encryption < decryption {
        return Err(format!(
            "minimum decryption version of {decryption} is greater than minimum encryption version {encryption}"
        ));
    }
    if decryption > latest {
        return Err(format!("minimum decryption version of {decryption} is greater than the latest version {latest}"));
    }
    if encryption > latest || encryption < 0 {
        return Err(format!("minimum encryption version of {encryption} is not among the versions"));
    }
    if available > decryption || available < 0 {
        return Err(format!("minimum available version of {available} is not among the versions"));
    }
    if !matches!(policy.version_template.as_str(), "" | VERSION_TEMPLATE) {
        return Err("a version template of its own is not supported".to_owned());
    }
    Ok(())
}

/// The versions from the latest down, as far as there are any: those of the policy itself, older ones of the archive.
fn entries(policy: &mut Policy, archive: Vec<Entry>) -> Result<BTreeMap<u32, Entry>, String> {
    let mut keys = policy.keys.take().unwrap_or_default();
    let mut archive: BTreeMap<i64, Entry> = (policy.min_available_version..).zip(archive).collect();
    let mut entries = BTreeMap::new();
    for number in (policy.min_available_version.max(1)..=policy.latest_version).rev() {
        let Some(entry) = keys.remove(&number.to_string()).or_else(|| archive.remove(&number)) else { break };
        entries.insert(u32::try_from(number).map_err(|_| "too many versions")?, entry);
    }
    let lowest = entries.keys().next().copied().map_or(policy.latest_version.saturating_add(1), i64::from);
    if lowest > policy.min_decryption_version {
        return Err(format!("version {} is missing", lowest.saturating_sub(1)));
    }
    Ok(entries)
}

fn record(key_type: KeyType, policy: &Policy, entries: &BTreeMap<u32, Entry>) -> Result<KeyRecord, String> {
    let number = |number: i64| u32::try_from(number).map_err(|_| "too many versions".to_owned());
    let period = policy.auto_rotate_period / NANOSECONDS;
    if policy.auto_rotate_period < 0 || (policy.auto_rotate_period > 0 && period < SHORTEST_ROTATION_SECONDS) {
        return Err("auto rotate period must be 0 to disable or at least an hour".to_owned());
    }
    if policy.convergent_encryption && !(policy.derived && key_type.is_aead()) {
        return Err("convergent encryption requires derivation to be enabled".to_owned());
    }
    let kdf = match policy.kdf {
        0 => Kdf::HmacSha256Counter,
        1 => Kdf::HkdfSha256,
        other => return Err(format!("unknown key derivation function {other}")),
    };
    let lowest = entries.keys().next().copied().unwrap_or(1);
    let available = number(policy.min_available_version)?;
    let key_size = entries.values().next_back().and_then(|entry| entry.key.as_ref()).map(|key| key.0.len());
    Ok(KeyRecord {
        derived: policy.derived,
        convergent_encryption: policy.convergent_encryption,
        exportable: policy.exportable,
        allow_plaintext_backup: policy.allow_plaintext_backup,
        deletion_allowed: policy.deletion_allowed,
        soft_deleted: policy.soft_deleted,
        auto_rotate_period_seconds: period,
        key_size: key_size.filter(|_| key_type == KeyType::Hmac).and_then(|size| u16::try_from(size).ok()),
        latest_version: number(policy.latest_version)?,
        min_decryption_version: number(policy.min_decryption_version)?,
        min_encryption_version: number(policy.min_encryption_version)?,
        // Versions that the backup does not hold are gone.
        min_available_version: if lowest > available.max(1) { lowest } else { available },
        imported: policy.imported.then_some(Imported { allow_rotation: policy.allow_imported_key_rotation }),
        backup_info: policy.backup_info.as_ref().map(|info| Milestone { time: info.time, version: info.version }),
        kdf: if policy.derived { kdf } else { Kdf::default() },
        convergent_version: ConvergentVersion::of_policy(policy.convergent_version)
            .filter(|_| policy.convergent_encryption),
        ..KeyRecord::new(key_type)
    })
}

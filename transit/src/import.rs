//! Key material that comes from outside: checked, brought into our form, and made a version of a key.

use crate::{
    encoding,
    error::TransitError,
    key::KeyRecord,
    key_type::{KeyType, Protection},
    pem_blocks,
    private_key::PrivateKey,
    public_key::PublicKey,
    storage::Stored,
    transit::Transit,
    version::{KeyVersion, StoredBytes, StoredMaterial, VersionRecord},
    wrapping::OaepHash,
};
use chancery_store::Changes;
use zeroize::Zeroizing;

/// Bytes that the key of a type `hmac` may have.
const HMAC_KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=512;

/// Material as it came, unwrapped but not looked at.
pub(crate) enum Incoming {
    /// PKCS#8 for a pair, the bare key for all else.
    Private(Zeroizing<Vec<u8>>),
    /// A public key in PEM.
    Public(String),
}

/// Material that was checked, in the form it is stored in.
pub(crate) struct Checked {
    key: StoredBytes,
    /// SubjectPublicKeyInfo in DER, where there is a public half.
    public_key: Option<Vec<u8>>,
    private: bool,
    /// The length of the key of a type `hmac`.
    key_size: Option<u16>,
}

/// A version to be added, or the private half of one.
struct Addition {
    /// The number asked for.
    version: Option<i64>,
    checked: Checked,
    now: jiff::Timestamp,
    material: StoredMaterial,
}

/// Which types can be imported, and whether by their public half.
pub(crate) fn importable(key_type: KeyType) -> bool {
    !matches!(
        key_type,
        KeyType::ExternalKey | KeyType::ManagedKey | KeyType::MlKem512 | KeyType::MlKem768 | KeyType::MlKem1024
    )
}

impl Incoming {
    /// Checks the material for a key of this record. Takes milliseconds for RSA: not on a thread that serves requests.
    pub(crate) fn check(&self, record: &KeyRecord) -> Result<Checked, TransitError> {
        let key_type = record.key_type;
        let mut checked = match self {
            Self::Public(_) if key_type == KeyType::Ed25519 && record.derived => {
                return Err(TransitError::caller(
                    "unable to import only public key for derived Ed25519 key: imported key should not be an Ed25519 \
                     key pair but is instead an HKDF key",
                ));
            }
            Self::Public(pem) => {
                let key = read_public(pem)?;
                key.fit(key_type)?;
                let der = key.der().to_vec();
                Checked::new(Zeroizing::new(der.clone()), Some(der), false)
            }
            Self::Private(bytes) if key_type.is_asymmetric() => {
                let key = PrivateKey::from_pkcs8(bytes)?;
                key.fit(key_type)?;
                Checked::new(key.to_stored()?, None, true)
            }
            Self::Private(bytes) => return symmetric(key_type, bytes),
        };
        // What cannot be made ready for use must not get into the store.
        let trial = VersionRecord::new(jiff::Timestamp::UNIX_EPOCH, checked.material(None));
        let expanded = KeyVersion::expand(record, trial)
            .map_err(|_| TransitError::caller("error parsing asymmetric key: the key cannot be used"))?;
        checked.public_key = expanded.public_key;
        Ok(checked)
    }
}

impl Checked {
    fn new(key: Zeroizing<Vec<u8>>, public_key: Option<Vec<u8>>, private: bool) -> Self {
        Self { key: StoredBytes::new(key), public_key, private, key_size: None }
    }

    /// The material with an HMAC key beside it.
    fn material(&self, mac: Option<StoredBytes>) -> StoredMaterial {
        let key = StoredBytes::new(Zeroizing::new(self.key.bytes().to_vec()));
        match self.private {
            true => StoredMaterial::Software { key, mac },
            false => StoredMaterial::Public { key, mac },
        }
    }

    /// The material of a new version, with a fresh HMAC key where it needs one.
    fn new_material(&self) -> Result<StoredMaterial, TransitError> {
        let mac = match self.key_size {
            Some(_) => None,
            None => Some(StoredBytes::mac_key()?),
        };
        Ok(self.material(mac))
    }
}

fn symmetric(key_type: KeyType, bytes: &[u8]) -> Result<Checked, TransitError> {
    let fits = match key_type.symmetric_bytes() {
        Some(expected) => bytes.len() == expected,
        None => key_type == KeyType::Hmac && HMAC_KEY_BYTES.contains(&bytes.len()),
    };
    if !fits {
        let (length, name) = (bytes.len(), key_type.name());
        return Err(TransitError::Caller(format!("invalid key size {length} bytes for key type {name}")));
    }
    let mut checked = Checked::new(Zeroizing::new(bytes.to_vec()), None, true);
    checked.key_size = u16::try_from(bytes.len()).ok().filter(|_| key_type == KeyType::Hmac);
    Ok(checked)
}

fn read_public(pem: &str) -> Result<PublicKey, TransitError> {
    let (block, _) =
        pem_blocks::first(pem).ok_or_else(|| TransitError::caller("error parsing public key: not in PEM format"))?;
    PublicKey::from_der(&block.der).map_err(|text| TransitError::Caller(format!("error parsing public key: {text}")))
}

/// Runs work that takes long off the threads that serve requests.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransitError> + Send + 'static,
) -> Result<T, TransitError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| TransitError::Bug("work on a key was cancelled"))?
}

impl Transit {
    /// Opens an import blob (base64) with the mount's wrapping key.
    pub(crate) async fn unwrap(&self, hash: OaepHash, blob: &str) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let blob = encoding::decode(blob)?;
        let wrapping_key = self.wrapping_key().await?;
        off_thread(move || wrapping_key.private_key.unwrap(hash, &blob)).await
    }

    /// Makes a key of material from outside. `false` where there is a key of that name.
    pub(crate) async fn import(&self, name: &str, record: KeyRecord, incoming: Incoming) -> Result<bool, TransitError> {
        let (record, checked) = off_thread(move || {
            let checked = incoming.check(&record)?;
            Ok((record, checked))
        })
        .await?;
        let record = KeyRecord { key_size: checked.key_size, ..record };
        let version = VersionRecord::new(self.now(), checked.new_material()?);
        let created = self
            .storage
            .store()
            .transact("import transit key", || async {
                let mut changes = Changes::default();
                let absent = self.storage.record(name).await?.is_none();
                if absent {
                    self.storage.create(&mut changes, name, &record, &version)?;
                }
                Ok::<_, TransitError>((changes, absent))
            })
            .await;
        self.forget_cached(Some(name));
        created
    }

    /// Adds a version of material from outside, or the private half to one that has only the public one: to `version`
    /// where it is given, else to the latest if it fits. `allow` looks at the record first. `false`: no such key.
    pub(crate) async fn import_version<F>(
        &self,
        name: &str,
        incoming: Incoming,
        version: Option<i64>,
        allow: F,
    ) -> Result<bool, TransitError>
    where
        F: Fn(&KeyRecord) -> Result<(), TransitError>,
    {
        let Some(Stored { record, .. }) = self.storage.record(name).await? else { return Ok(false) };
        allow(&record)?;
        refuse_use(&record)?;
        let private = matches!(incoming, Incoming::Private(_));
        if let Some(number) = version {
            self.check_incomplete(name, &record, number, private).await?;
        }
        let checked = off_thread(move || incoming.check(&record)).await?;
        let material = checked.new_material()?;
        let addition = Addition { version, checked, now: self.now(), material };
        let imported = self
            .storage
            .store()
            .transact("import transit key version", || async {
                let Some(stored) = self.storage.record(name).await? else { return Ok((Changes::default(), false)) };
                allow(&stored.record)?;
                refuse_use(&stored.record)?;
                let changes = self.version_changes(name, stored, &addition).await?;
                Ok::<_, TransitError>((changes, true))
            })
            .await;
        self.forget_cached(Some(name));
        imported
    }

    async fn version_changes(
        &self,
        name: &str,
        mut stored: Stored,
        addition: &Addition,
    ) -> Result<Changes, TransitError> {
        let Addition { version, checked, now, material } = addition;
        let mut changes = Changes::default();
        let latest = stored.record.latest_version;
        let completed = match version {
            Some(number) => {
                let number = self.check_incomplete(name, &stored.record, *number, checked.private).await?;
                Some((number, self.completed(name, number, checked).await?.ok_or_else(mismatch)?))
            }
            None if checked.private => self.completed(name, latest, checked).await?.map(|record| (latest, record)),
            None => None,
        };
        if let Some((number, record)) = completed {
            self.storage.add_version(&mut changes, name, number, &record)?;
        } else {
            let number = stored.record.add_version(*now)?;
            stored.record.key_size = checked.key_size.or(stored.record.key_size);
            self.storage.add_version(&mut changes, name, number, &VersionRecord::new(*now, material.clone()))?;
        }
        self.storage.replace(&mut changes, name, &stored)?;
        Ok(changes)
    }

    /// Refuses to add to a version that wants nothing, in the reference's order. Answers the number.
    async fn check_incomplete(
        &self,
        name: &str,
        record: &KeyRecord,
        number: i64,
        private: bool,
    ) -> Result<u32, TransitError> {
        let number = u32::try_from(number).ok().filter(|number| record.usable_versions().contains(number));
        let number = number.ok_or(TransitError::NoSuchVersion)?;
        let found = self.storage.version(name, number).await?.ok_or(TransitError::NoSuchVersion)?;
        let incomplete = matches!(found.material, StoredMaterial::Public { .. });
        let refusal = match (record.key_type.is_asymmetric(), incomplete, private) {
            (false, ..) => "provided type does not support importing key versions",
            (true, true, false) => "cannot add a public key to a key version that already has a public key set",
            (true, false, _) => "private key imported, key version cannot be updated",
            (true, true, true) => return Ok(number),
        };
        Err(TransitError::caller(refusal))
    }

    /// A version with the private half added. `None` where it has one or where that is another key's.
    async fn completed(
        &self,
        name: &str,
        number: u32,
        checked: &Checked,
    ) -> Result<Option<VersionRecord>, TransitError> {
        let Some(mut found) = self.storage.version(name, number).await? else { return Ok(None) };
        let StoredMaterial::Public { key, mac } = &mut found.material else { return Ok(None) };
        if checked.public_key.as_deref() != Some(key.bytes()) {
            return Ok(None);
        }
        found.material = checked.material(mac.take());
        Ok(Some(found))
    }
}

fn refuse_use(record: &KeyRecord) -> Result<(), TransitError> {
    if record.soft_deleted {
        return Err(TransitError::SoftDeleted);
    }
    if record.protection == Protection::Hsm {
        return Err(TransitError::caller("keys with protection hsm are made in the token, not imported"));
    }
    Ok(())
}

fn mismatch() -> TransitError {
    TransitError::caller("cannot import key, key pair does not match")
}

//! A named key: its options, its versions, and which of them may do what.

use crate::{
    ciphertext::Kind,
    derivation::{ConvergentVersion, Kdf},
    error::TransitError,
    key_type::{KeyType, ML_DSA, Protection},
    version::{KeyVersion, VersionRecord},
    versions::Versions,
};
use chancery_engine::wire::Count;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Shortest rotation period, in seconds.
pub(crate) const SHORTEST_ROTATION_SECONDS: i64 = 3600;

/// What is stored of a key besides its versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    #[serde(rename = "type")]
    pub(crate) key_type: KeyType,
    pub(crate) protection: Protection,
    pub(crate) derived: bool,
    pub(crate) convergent_encryption: bool,
    pub(crate) exportable: bool,
    pub(crate) allow_plaintext_backup: bool,
    pub(crate) deletion_allowed: bool,
    #[serde(default)]
    pub(crate) soft_deleted: bool,
    pub(crate) auto_rotate_period_seconds: i64,
    /// Bytes of a key of type `hmac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_size: Option<u16>,
    pub(crate) latest_version: u32,
    /// When the latest version was made, from which its rotation is reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest_version_at: Option<Timestamp>,
    pub(crate) min_decryption_version: u32,
    /// 0: no floor besides the decryption one.
    pub(crate) min_encryption_version: u32,
    /// 0: never trimmed.
    pub(crate) min_available_version: u32,
    /// Made as Vault's `type=ml-dsa` with a `parameter_set`, and shown that way.
    #[serde(default)]
    pub(crate) named_by_parameter_set: bool,
    /// Absent: made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) imported: Option<Imported>,
    /// When and at which version the key was last backed up, and restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backup_info: Option<Milestone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restore_info: Option<Milestone>,
    /// How a derived key makes the keys of a context.
    #[serde(default)]
    pub(crate) kdf: Kdf,
    /// What convergent encryption a restored key used before versions told their own (`VersionRecord`); absent for
    /// keys made here. Vault writes -1 for "each version tells".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) convergent_version: Option<ConvergentVersion>,
}

/// What is remembered of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Imported {
    /// Whether versions may be made here besides the imported ones.
    pub(crate) allow_rotation: bool,
}

/// A backup or a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Milestone {
    pub(crate) time: Timestamp,
    pub(crate) version: u32,
}

/// A key ready for use: everything an operation needs, without store or lock.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) record: KeyRecord,
    /// The versions from the decryption minimum up.
    pub(crate) versions: Versions,
}

/// A version with its number.
#[derive(Clone, Copy)]
pub(crate) struct Numbered<'k> {
    pub(crate) number: u32,
    pub(crate) version: &'k KeyVersion,
}

impl KeyRecord {
    /// The record of a new key with nothing but a type.
    pub(crate) fn new(key_type: KeyType) -> Self {
        Self {
            key_type,
            protection: Protection::Software,
            derived: false,
            convergent_encryption: false,
            exportable: false,
            allow_plaintext_backup: false,
            deletion_allowed: false,
            soft_deleted: false,
            auto_rotate_period_seconds: 0,
            key_size: None,
            latest_version: 1,
            latest_version_at: None,
            min_decryption_version: 1,
            min_encryption_version: 0,
            min_available_version: 0,
            named_by_parameter_set: false,
            imported: None,
            backup_info: None,
            restore_info: None,
            kdf: Kdf::default(),
            convergent_version: None,
        }
    }

    /// Numbers of the versions that may be used.
    pub(crate) fn usable_versions(&self) -> RangeInclusive<u32> {
        self.min_decryption_version.max(1)..=self.latest_version
    }

    /// Numbers of the versions that exist, usable or not.
    pub(crate) fn existing_versions(&self) -> RangeInclusive<u32> {
        self.min_available_version.max(1)..=self.latest_version
    }

    /// Makes room for one more version and answers its number.
    pub(crate) fn add_version(&mut self, made_at: Timestamp) -> Result<u32, TransitError> {
        self.latest_version = self.latest_version.checked_add(1).ok_or(TransitError::NoSuchVersion)?;
        self.latest_version_at = Some(made_at);
        Ok(self.latest_version)
    }

    /// Refuses to make a version of an imported key here unless that was allowed at the import.
    pub(crate) fn may_rotate(&self, name: &str) -> Result<(), TransitError> {
        match self.imported {
            Some(Imported { allow_rotation: false }) => {
                Err(TransitError::Caller(format!("imported key {name} does not allow rotation within Vault")))
            }
            _ => Ok(()),
        }
    }

    /// The number of a version asked for by `version`, if it may be used; the latest where none is asked for.
    pub(crate) fn numbered(&self, version: Option<Count>) -> Option<u32> {
        let Some(Count(number)) = version else { return Some(self.latest_version) };
        u32::try_from(number).ok().filter(|number| self.usable_versions().contains(number))
    }

    /// The convergent encryption of a version; `None` where the key's encryption is not convergent.
    pub(crate) fn convergent_version_of(&self, version: &VersionRecord) -> Option<ConvergentVersion> {
        self.convergent_encryption.then(|| version.convergent_version.or(self.convergent_version).unwrap_or_default())
    }

    /// The type's name as the key was made with.
    pub(crate) fn type_name(&self) -> &'static str {
        if self.named_by_parameter_set { ML_DSA } else { self.key_type.name() }
    }

    /// Bytes of a key of type `hmac`.
    pub(crate) fn mac_key_bytes(&self) -> usize {
        self.key_size.map_or(32, usize::from)
    }
}

impl Key {
    /// Refuses a key that is kept but must not be used.
    pub(crate) fn usable(&self) -> Result<(), TransitError> {
        if self.record.soft_deleted { Err(TransitError::SoftDeleted) } else { Ok(()) }
    }

    /// The version that encrypts or signs; `requested` 0 is the latest. `operation` goes into the texts.
    pub(crate) fn version_to_make(
        &self,
        requested: i64,
        operation: &'static str,
    ) -> Result<Numbered<'_>, TransitError> {
        let number = match u32::try_from(requested) {
            Ok(0) => self.record.latest_version,
            Err(_) if requested < 0 => return Err(TransitError::VersionNegative(operation)),
            Ok(number) if number <= self.record.latest_version => number,
            _ => return Err(TransitError::VersionTooHigh(operation)),
        };
        if number < self.record.min_encryption_version {
            return Err(TransitError::VersionBelowMinimum(operation));
        }
        self.numbered(number)
    }

    /// The version that made a ciphertext or a signature.
    pub(crate) fn version_to_check(&self, number: i64, kind: Kind) -> Result<Numbered<'_>, TransitError> {
        if number > i64::from(self.record.latest_version) {
            return Err(kind.too_new());
        }
        if number < i64::from(self.record.min_decryption_version) {
            return Err(TransitError::VersionTooOld);
        }
        self.numbered(u32::try_from(number).map_err(|_| TransitError::NoSuchVersion)?)
    }

    /// The version that makes an HMAC; the texts differ from the others'.
    pub(crate) fn version_for_hmac(&self, requested: i64) -> Result<Numbered<'_>, TransitError> {
        let latest = self.record.latest_version;
        let number = match u32::try_from(requested) {
            Ok(0) => latest,
            Ok(number) if number <= latest => number,
            Err(_) if requested < 0 => {
                return Err(TransitError::caller("key version does not exist (cannot be negative)"));
            }
            _ => {
                return Err(TransitError::caller(format!(
                    "key version does not exist; latest key version is {latest}"
                )));
            }
        };
        if number < self.record.min_encryption_version {
            return Err(TransitError::caller("cannot generate HMAC: version is too old (disallowed by policy)"));
        }
        self.numbered(number)
    }

    /// The version that made an HMAC.
    pub(crate) fn version_to_check_hmac(&self, number: i64) -> Result<Numbered<'_>, TransitError> {
        if number > i64::from(self.record.latest_version) {
            return Err(Kind::Hmac.too_new());
        }
        if number < i64::from(self.record.min_decryption_version) {
            return Err(TransitError::caller("cannot verify HMAC: version is too old (disallowed by policy)"));
        }
        self.numbered(u32::try_from(number).map_err(|_| TransitError::NoSuchVersion)?)
    }

    fn numbered(&self, number: u32) -> Result<Numbered<'_>, TransitError> {
        Ok(Numbered { number, version: self.versions.require(number)? })
    }
}

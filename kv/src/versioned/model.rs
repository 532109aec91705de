//! What lies in the store, and the rules of versions.
//!
//! | key below the mount's view | value |
//! |---|---|
//! | `config` | [`Config`] |
//! | `metadata/<path>` | [`Metadata`] |
//! | `version/<path>@<number>` | the JSON object as it was written |

use super::Versioned;
use crate::error::KvError;
use chancery_engine::wire::format_go_duration;
use chancery_store::{Changes, Entry, View};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Versions kept where neither the mount nor the secret says otherwise.
const DEFAULT_MAX_VERSIONS: u64 = 10;

/// Limits of the mount.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub(super) cas_required: bool,
    /// Seconds; 0 is never, negative switches it off.
    pub(super) delete_version_after: i64,
    pub(super) max_versions: u64,
    pub(super) metadata_cas_required: bool,
}

/// One secret without its values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Metadata {
    pub(super) cas_required: bool,
    pub(super) created_time: Timestamp,
    pub(super) current_metadata_version: u64,
    pub(super) current_version: u64,
    pub(super) custom_metadata: Option<BTreeMap<String, String>>,
    pub(super) delete_version_after: i64,
    pub(super) max_versions: u64,
    pub(super) metadata_cas_required: bool,
    pub(super) oldest_version: u64,
    pub(super) updated_time: Timestamp,
    pub(super) versions: BTreeMap<u64, Version>,
}

/// One version without its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) created_time: Timestamp,
    pub(super) deletion_time: Option<Timestamp>,
    pub(super) destroyed: bool,
}

/// A version as answers show it.
#[derive(Debug, Serialize)]
pub(super) struct VersionView<'a> {
    created_time: Timestamp,
    custom_metadata: Option<&'a BTreeMap<String, String>>,
    deletion_time: String,
    destroyed: bool,
    version: u64,
}

/// A secret in the store with the entry's version, to replace it only if nobody else did.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) metadata: Metadata,
    entry: u64,
}

impl Version {
    pub(super) fn is_gone(&self, now: Timestamp) -> bool {
        self.destroyed || self.deletion_time.is_some_and(|time| time <= now)
    }
}

impl Metadata {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            cas_required: false,
            created_time: now,
            current_metadata_version: 0,
            current_version: 0,
            custom_metadata: None,
            delete_version_after: 0,
            max_versions: 0,
            metadata_cas_required: false,
            oldest_version: 0,
            updated_time: now,
            versions: BTreeMap::new(),
        }
    }

    /// Adds the next version and returns the numbers of those that are pushed out.
    pub(super) fn add_version(&mut self, config: &Config, now: Timestamp) -> Vec<u64> {
        self.current_version += 1;
        let deletion_time =
            self.lifetime(config).and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok());
        self.versions.insert(self.current_version, Version { created_time: now, deletion_time, destroyed: false });
        self.updated_time = now;
        let kept = [self.max_versions, config.max_versions]
            .into_iter()
            .find(|&limit| limit > 0)
            .unwrap_or(DEFAULT_MAX_VERSIONS);
        let Some(last_pushed) = self.current_version.checked_sub(kept).filter(|&number| number > 0) else {
            return Vec::new();
        };
        let pushed: Vec<u64> = self.versions.range(..=last_pushed).map(|(&number, _)| number).collect();
        for number in &pushed {
            self.versions.remove(number);
        }
        self.oldest_version = last_pushed + 1;
        pushed
    }

    /// Seconds after which a new version is deleted by itself: the shorter of the mount's and the secret's.
    fn lifetime(&self, config: &Config) -> Option<i64> {
        match (config.delete_version_after, self.delete_version_after) {
            (mount, own) if mount < 0 || own < 0 => None,
            (0, 0) => None,
            (0, one) | (one, 0) => Some(one),
            (mount, own) => Some(mount.min(own)),
        }
    }

    pub(super) fn view(&self, number: u64, version: &Version) -> VersionView<'_> {
        VersionView {
            created_time: version.created_time,
            custom_metadata: self.custom_metadata.as_ref(),
            deletion_time: version.deletion_time.map(|time| time.to_string()).unwrap_or_default(),
            destroyed: version.destroyed,
            version: number,
        }
    }
}

impl Versioned {
    pub(super) fn metadata_view(&self) -> View {
        self.view.view("metadata")
    }

    pub(super) fn version_view(&self) -> View {
        self.view.view("version")
    }

    pub(super) async fn config(&self) -> Result<Config, KvError> {
        match self.view.read("config").await? {
            Some(entry) => Ok(entry.decode()?),
            None => Ok(Config::default()),
        }
    }

    pub(super) fn store_config(&self, config: &Config) -> Result<Changes, KvError> {
        let mut changes = Changes::default();
        changes.put(&self.view, "config", config)?;
        Ok(changes)
    }

    pub(super) async fn load(&self, path: &str) -> Result<Option<Stored>, KvError> {
        let Some(entry) = self.metadata_view().read(path).await? else { return Ok(None) };
        Ok(Some(Stored { metadata: entry.decode()?, entry: entry.version }))
    }

    pub(super) async fn load_value(&self, path: &str, number: u64) -> Result<Option<Entry>, KvError> {
        Ok(self.version_view().read(&version_key(path, number)).await?)
    }

    /// Writes the metadata back: over the entry it was read from, or as a new one.
    pub(super) fn store(
        &self,
        changes: &mut Changes,
        path: &str,
        metadata: &Metadata,
        over: Option<&Stored>,
    ) -> Result<(), KvError> {
        let view = self.metadata_view();
        match over {
            Some(stored) => changes.replace(&view, path, metadata, stored.entry, None)?,
            None => changes.create(&view, path, metadata)?,
        };
        Ok(())
    }

    pub(super) fn store_value(
        &self,
        changes: &mut Changes,
        path: &str,
        number: u64,
        value: &RawValue,
    ) -> Result<(), KvError> {
        changes.put(&self.version_view(), &version_key(path, number), value)?;
        Ok(())
    }

    pub(super) fn drop_values(&self, changes: &mut Changes, path: &str, numbers: impl IntoIterator<Item = u64>) {
        let view = self.version_view();
        for number in numbers {
            changes.delete(&view, &version_key(path, number));
        }
    }
}

/// `delete_version_after` as answers print it.
pub(super) fn duration_text(seconds: i64) -> String {
    let text = format_go_duration(seconds.unsigned_abs());
    if seconds < 0 { format!("-{text}") } else { text }
}

/// The last `@` of the key divides it: a number has none.
fn version_key(path: &str, number: u64) -> String {
    format!("{path}@{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn versions_beyond_the_limit_are_pushed_out() {
        let mut metadata = Metadata::new(now());
        let config = Config { max_versions: 2, ..Config::default() };
        assert!(metadata.add_version(&config, now()).is_empty());
        assert!(metadata.add_version(&config, now()).is_empty());
        assert_eq!(metadata.add_version(&config, now()), [1]);
        assert_eq!(metadata.oldest_version, 2);
        metadata.max_versions = 1;
        assert_eq!(metadata.add_version(&config, now()), [2, 3]);
    }

    #[test]
    fn ten_versions_are_kept_unless_told_otherwise() {
        let mut metadata = Metadata::new(now());
        let pushed: Vec<_> = (0..11).flat_map(|_| metadata.add_version(&Config::default(), now())).collect();
        assert_eq!(pushed, [1]);
    }

    #[test]
    fn the_shorter_lifetime_wins_and_a_negative_one_switches_it_off() {
        let mut metadata = Metadata::new(now());
        let config = Config { delete_version_after: 60, ..Config::default() };
        assert_eq!(metadata.lifetime(&config), Some(60));
        metadata.delete_version_after = 30;
        assert_eq!(metadata.lifetime(&config), Some(30));
        metadata.delete_version_after = -1;
        assert_eq!(metadata.lifetime(&config), None);
    }
}

//! What the appliance reads from its operator and from its disk.

use crate::{lines, text};
use chancery_server::{
    audit::{MAX_PROBLEMS, verify},
    config::{Config, ConfigError},
};
use chancery_store::fuzzing;
use std::path::Path;

/// Our own configuration.
pub fn config_toml(data: &[u8]) {
    if let Some(text) = text(data) {
        check_config(text, Config::from_toml(text, Path::new("/nonexistent")));
    }
}

/// Vault's configuration, in HCL or JSON.
pub fn config_vault(data: &[u8]) {
    if let Some(text) = text(data) {
        check_config(text, Config::from_vault(text));
    }
}

/// A refusal is one line and never shows a PIN; what is taken can be shown to anybody.
fn check_config(text: &str, read: Result<Config, ConfigError>) {
    const PIN: &str = "s3cret-pin";
    let is_the_pin = text.matches(PIN).count() == 1
        && ["pin = \"", "\"pin\":\"", "\"pin\": \""].iter().any(|key| text.contains(&format!("{key}{PIN}\"")));
    match read {
        Ok(config) => {
            assert!(!config.listeners.is_empty());
            assert!(!is_the_pin || !format!("{config:?}").contains(PIN));
        }
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains('\n'), "{line:?}");
            assert!(!is_the_pin || !line.contains(PIN), "{line}");
        }
    }
}

/// Audit files: any bytes give a report, and a report without problems means that each line is linked.
pub fn audit_verify(data: &[u8]) {
    let report = verify(data, None).expect("memory can be read");
    let parts = data.split_inclusive(|byte| *byte == b'\n').count() as u64;
    assert_eq!(report.lines, parts);
    assert!(report.problems.len() <= MAX_PROBLEMS);
    if !report.is_sound() || data.is_empty() {
        return;
    }
    let (first, head) = (report.first_seq.expect("a sound file has a first line"), report.head.expect("and a last"));
    assert_eq!(head.seq - first + 1, report.lines);
    // Whatever byte of a sound file changes, it is no longer sound.
    let mut altered = data.to_vec();
    let at = altered.len() / 2;
    altered[at] ^= 1;
    assert!(!verify(altered.as_slice(), None).expect("memory can be read").is_sound(), "byte {at} was altered unseen");
}

/// The text of a key share; then a threshold and shares in raw bytes; then a key that is split and put together.
pub fn shares(data: &[u8]) {
    if let Some(share) = text(data).and_then(|text| chancery_server::fuzzing::share(lines(text).0)) {
        assert!((16..=33).contains(&share.len()));
    }
    let [threshold, count, rest @ ..] = data else { return };
    let given: Vec<Vec<u8>> = rest.chunks(33).map(<[u8]>::to_vec).collect();
    if fuzzing::combine(&given, *threshold).is_some() {
        assert!(given.len() >= usize::from(*threshold), "fewer shares than the threshold made a key");
        let mut numbers: Vec<_> = given.iter().map(|share| share[0]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(*threshold == 1 || numbers.len() == given.len(), "the same share counted twice");
    }
    let Some(key) = rest.first_chunk::<32>() else { return };
    // Large numbers are slow and no different.
    let Some(made) = fuzzing::split(*key, *count % 16, *threshold % 16) else { return };
    let chosen = &made[..usize::from(*threshold % 16)];
    assert_eq!(fuzzing::combine(chosen, *threshold % 16).as_deref(), Some(&key[..]));
}

/// Records as they lie in the database: damaged ones are refused, and nothing opens that these keys did not seal.
pub fn store_records(data: &[u8]) {
    assert!(!fuzzing::seal_record(data).1, "the root key opened under a foreign key");
    assert!(!fuzzing::barrier_record(data), "a record opened under a foreign key");
    assert!(!fuzzing::entry("mount/fuzzed/a", data).1, "an entry opened that nobody sealed");
    if let Some(stored) = fuzzing::keyring(data) {
        assert_eq!(fuzzing::keyring(&stored).as_ref(), Some(&stored), "a keyring changes by being stored");
    }
}

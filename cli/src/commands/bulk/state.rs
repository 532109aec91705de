//! Where a run that was cut short goes on: a small JSON file, replaced as a whole after each window.

use crate::failure::{Failure, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// What was counted so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Ciphertexts found, by the version of the key they named.
    pub(super) versions: BTreeMap<u64, u64>,
    pub(super) rewrapped: u64,
    pub(super) newest: u64,
    pub(super) empty: u64,
    /// Rows that hold something else than a ciphertext.
    pub(super) foreign: u64,
    pub(super) changed: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// Rows that are done with, whatever became of them.
    pub(super) fn rows(&self) -> u64 {
        self.versions.values().sum::<u64>() + self.empty + self.foreign
    }
}

/// The state of a run, and the file that remembers it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) tally: Tally,
    /// Where an earlier run stopped.
    pub(super) position: Option<Value>,
    pub(super) resumed: bool,
    path: Option<PathBuf>,
    identity: Value,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// What this is a run over: another key, file or table must not go on here.
    run: Value,
    position: Value,
    tally: Tally,
}

impl State {
    /// Reads the file if it is there. `identity` tells this run from others.
    pub(super) fn load(path: Option<PathBuf>, identity: Value) -> Result<Self> {
        let fresh = Self { tally: Tally::default(), position: None, resumed: false, path, identity };
        let Some(path) = fresh.path.as_deref() else { return Ok(fresh) };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fresh),
            Err(error) => return Err(Failure::local(format!("cannot read {}", path.display())).because(error)),
        };
        let foreign = |why: &str| {
            Failure::local(format!("{} is not the state of this run", path.display()))
                .because(why)
                .fix("delete it to begin anew, or name another with --state")
        };
        let stored: Stored = serde_json::from_str(&text).map_err(|error| foreign(&error.to_string()))?;
        if stored.run != fresh.identity {
            return Err(foreign("it is about another key, file or table, or the file has changed since"));
        }
        Ok(Self { tally: stored.tally, position: Some(stored.position), resumed: true, ..fresh })
    }

    /// Whether a later run can go on from a file.
    pub(super) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Remembers that everything before this position is done.
    pub(super) fn save(&mut self, position: Value) -> Result<()> {
        let Some(path) = self.path.as_deref() else { return Ok(()) };
        let stored = Stored { run: self.identity.clone(), position, tally: self.tally.clone() };
        write(path, &stored).map_err(|error| {
            Failure::local(format!("cannot write {}", path.display()))
                .because(error)
                .fix("name a place that can be written to with --state")
        })
    }

    /// The run is over.
    pub(super) fn remove(self) -> Result<()> {
        match self.path.map(fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&serde_json::to_vec(stored)?)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_goes_on_and_another_run_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = Some(directory.path().join("state"));
        let mut state = State::load(path.clone(), json!("a")).unwrap();
        assert!(!state.resumed && state.position.is_none());
        state.tally.versions.insert(3, 7);
        state.tally.rewrapped = 7;
        state.save(json!({"offset": 9})).unwrap();
        let again = State::load(path.clone(), json!("a")).unwrap();
        assert_eq!((again.position.as_ref(), again.tally.rows()), (Some(&json!({"offset": 9})), 7));
        assert!(State::load(path.clone(), json!("b")).unwrap_err().to_string().contains("delete it"));
        again.remove().unwrap();
        assert!(!State::load(path, json!("b")).unwrap().resumed);
    }

    #[test]
    fn a_file_that_is_no_state_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        fs::write(&path, "precious").unwrap();
        assert!(State::load(Some(path.clone()), json!("a")).is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "precious");
    }
}

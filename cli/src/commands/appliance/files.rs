//! Files nobody else may read.

use crate::failure::{Failure, Result};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Writes a new file with mode 0600; one that is there already is left alone and reported.
pub(super) fn create(path: &Path, text: &str) -> Result<()> {
    let wrong = |error| Failure::local(format!("cannot write {}", path.display())).because(error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)
}

/// Makes a directory with mode 0700, and those above it.
pub(super) fn directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::local(format!("cannot make {}", path.display())).because(error))
}

/// Reads a text file.
pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_are_private_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        create(&path, "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path, "two").is_err());
        assert_eq!(read(&path).unwrap(), "one");
    }
}

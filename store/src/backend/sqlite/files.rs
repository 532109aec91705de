//! The database's files: for the owner only, and open in one process only.

use crate::StoreError;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The place of a database whose lock this process holds until the value is dropped.
pub(super) struct Files {
    pub(super) database: PathBuf,
    _lock: File,
}

/// Makes directory (0700) and files (0600) where they are missing and takes the lock.
///
/// SQLite gives `-wal` and `-shm` the mode of the database file. The lock is a file of its own, `<database>.lock`: one on
/// the database itself would meet SQLite's. It stays behind, because deleting a lock file is a race.
pub(super) fn claim(path: &Path) -> Result<Files, StoreError> {
    let name = path.file_name().ok_or_else(|| StoreError::backend("open", format!("{} is no file", path.display())))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("mkdir", folder))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed("chmod", folder))?;
    }
    warn_if_others_can_write(folder)?;
    let folder = folder.canonicalize().map_err(failed("realpath", folder))?;
    let database = folder.join(name);

    let mut lock_name = name.to_owned();
    lock_name.push(".lock");
    let lock = private_file(&folder.join(lock_name))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: database }),
        Err(TryLockError::Error(error)) => return Err(failed("flock", &database)(error)),
    }
    private_file(&database)?;
    // The new names in the directory must be durable before the first commit is acknowledged.
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed("fsync", &folder))?;
    Ok(Files { database, _lock: lock })
}

/// A directory that was there before is the operator's: its mode is not changed, but whoever can write in it can put
/// another database in place.
fn warn_if_others_can_write(folder: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(folder).map_err(failed("stat", folder))?.permissions().mode();
    if mode & 0o022 != 0 {
        tracing::warn!(folder = %folder.display(), mode = format!("{:o}", mode & 0o7777), "others can write in the directory of the database");
    }
    Ok(())
}

/// Opens or creates a file that only its owner can read, whatever the umask says.
fn private_file(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = opened.map_err(failed("open", path))?;
    let mode = file.metadata().map_err(failed("stat", path))?.permissions().mode();
    if mode & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed("chmod", path))?;
    }
    Ok(file)
}

fn failed(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::backend(call, format!("{}: {error}", path.display()))
}

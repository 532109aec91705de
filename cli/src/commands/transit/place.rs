//! Where a file comes from and where its successor goes: `-` is standard input or output; a file is written under a
//! temporary name beside its place and takes its own name only when it is complete and on disk.

use crate::failure::{Failure, Result};
use std::{
    fs::{File, Permissions},
    io::{self, IsTerminal as _, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Whether a path means standard input or output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// The path for people.
pub(super) fn name(path: &Path) -> String {
    if is_standard(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Opens a file, or standard input for `-`.
pub(super) fn source(path: &Path) -> Result<Box<dyn Read>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(open(path)?))
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<File> {
    let wrong = |why: &dyn std::fmt::Display| Failure::local(format!("cannot read {}", path.display())).because(why);
    let file = File::open(path).map_err(|error| wrong(&error).fix("check the name and who may read it"))?;
    if file.metadata().is_ok_and(|data| data.is_dir()) {
        return Err(wrong(&"it is a directory").fix("name files, one by one"));
    }
    Ok(file)
}

/// A file under way, or standard output.
pub(super) enum Target {
    Standard(io::Stdout),
    File { temporary: NamedTempFile, path: PathBuf, replace: bool },
}

impl Target {
    /// Prepares a file with these permissions (less the umask). Refuses now what it would refuse at the end.
    pub(super) fn create(path: &Path, replace: bool, mode: u32) -> Result<Self> {
        if is_standard(path) {
            return Ok(Self::Standard(io::stdout()));
        }
        if !replace && path.symlink_metadata().is_ok() {
            return Err(taken(path));
        }
        let temporary = tempfile::Builder::new()
            .prefix(".chancery-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory(path))
            .map_err(|error| unwritable(path, &error))?;
        Ok(Self::File { temporary, path: path.to_owned(), replace })
    }

    pub(super) fn is_standard(&self) -> bool {
        matches!(self, Self::Standard(_))
    }

    /// Whether bytes would end on somebody's screen.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(stdout) if stdout.is_terminal())
    }

    /// The file under its temporary name.
    pub(super) fn file(&self) -> Option<&File> {
        match self {
            Self::Standard(_) => None,
            Self::File { temporary, .. } => Some(temporary.as_file()),
        }
    }

    /// Everything is written: the file is put on disk and takes its name. A target that is dropped leaves nothing.
    pub(super) fn finish(self) -> Result<()> {
        let (temporary, path, replace) = match self {
            Self::Standard(mut stdout) => return Ok(stdout.flush()?),
            Self::File { temporary, path, replace } => (temporary, path, replace),
        };
        temporary.as_file().sync_all().map_err(|error| unwritable(&path, &error))?;
        let named = if replace { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
        match named {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Err(taken(&path)),
            Err(error) => return Err(unwritable(&path, &error.error)),
        }
        // The name is durable only when its directory is.
        let directory = File::open(directory(&path)).and_then(|directory| directory.sync_all());
        directory.map_err(|error| unwritable(&path, &error))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(stdout) => stdout.write(bytes),
            Self::File { temporary, .. } => temporary.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(stdout) => stdout.flush(),
            Self::File { temporary, .. } => temporary.flush(),
        }
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn taken(path: &Path) -> Failure {
    Failure::local(format!("{} is there already", path.display()))
        .because("nothing is overwritten unasked")
        .fix("give another name with --output, or --force to replace it")
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("cannot write {}", path.display()))
        .because(error)
        .fix("check that its directory is there, that you may write to it, and that the disk has room")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_appears_only_when_it_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut target = Target::create(&path, false, 0o600).unwrap();
        target.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(target);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
        let mut target = Target::create(&path, false, 0o600).unwrap();
        target.write_all(b"whole").unwrap();
        target.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_replaced_only_when_asked_for_even_if_it_came_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let target = Target::create(&path, false, 0o600).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(target.finish().unwrap_err().to_string().contains("there already"));
        assert!(Target::create(&path, false, 0o600).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        Target::create(&path, true, 0o600).unwrap().finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}

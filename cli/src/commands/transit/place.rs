//! Where a file comes from and where its successor goes: `-` is standard input or output; a file is written without a name
//! (`O_TMPFILE`, so that a run that is killed leaves nothing) and gets its name only when it is complete and on disk.

use crate::failure::{Failure, Result};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use std::{
    fs::{File, Permissions},
    io::{self, IsTerminal as _, Read, Write},
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};
use tempfile::{NamedTempFile, TempPath};

/// Whether a path means standard input or output.
pub(in crate::commands) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// The path for people.
pub(in crate::commands) fn name(path: &Path) -> String {
    if is_standard(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Opens a file, or standard input for `-`.
pub(in crate::commands) fn source(path: &Path) -> Result<Box<dyn Read>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(open(path)?))
}

/// Opens a file.
pub(in crate::commands) fn open(path: &Path) -> Result<File> {
    let wrong = |why: &dyn std::fmt::Display| Failure::local(format!("cannot read {}", path.display())).because(why);
    let file = File::open(path).map_err(|error| wrong(&error).fix("check the name and who may read it"))?;
    if file.metadata().is_ok_and(|data| data.is_dir()) {
        return Err(wrong(&"it is a directory").fix("name files, one by one"));
    }
    Ok(file)
}

/// A file under way, or standard output.
pub(in crate::commands) enum Target {
    Standard(io::Stdout),
    File { unfinished: Unfinished, path: PathBuf, replace: bool },
}

/// A file without its name.
pub(in crate::commands) enum Unfinished {
    Nameless(File),
    /// Where the file system knows no files without a name.
    Named(NamedTempFile),
}

impl Target {
    /// Prepares a file with these permissions (less the umask). Refuses now what it would refuse at the end.
    pub(in crate::commands) fn create(path: &Path, replace: bool, mode: u32) -> Result<Self> {
        if is_standard(path) {
            return Ok(Self::Standard(io::stdout()));
        }
        if !replace && path.symlink_metadata().is_ok() {
            return Err(taken(path));
        }
        let unfinished = Unfinished::create(directory(path), mode).map_err(|error| unwritable(path, &error))?;
        Ok(Self::File { unfinished, path: path.to_owned(), replace })
    }

    pub(in crate::commands) fn is_standard(&self) -> bool {
        matches!(self, Self::Standard(_))
    }

    /// Whether bytes would end on somebody's screen.
    pub(in crate::commands) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(stdout) if stdout.is_terminal())
    }

    /// The file before it has its name.
    pub(in crate::commands) fn file(&self) -> Option<&File> {
        match self {
            Self::Standard(_) => None,
            Self::File { unfinished, .. } => Some(unfinished.file()),
        }
    }

    /// Everything is written: the file is put on disk and gets its name. A target that is dropped leaves nothing.
    pub(in crate::commands) fn finish(self) -> Result<()> {
        let (unfinished, path, replace) = match self {
            Self::Standard(mut stdout) => return Ok(stdout.flush()?),
            Self::File { unfinished, path, replace } => (unfinished, path, replace),
        };
        unfinished.file().sync_all().map_err(|error| unwritable(&path, &error))?;
        match unfinished.name(&path, replace) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken(&path)),
            Err(error) => return Err(unwritable(&path, &error)),
        }
        // The name is durable only when its directory is.
        let directory = File::open(directory(&path)).and_then(|directory| directory.sync_all());
        directory.map_err(|error| unwritable(&path, &error))
    }
}

impl Unfinished {
    fn create(directory: &Path, mode: u32) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(directory, flags, Mode::from_raw_mode(mode)) {
            return Ok(Self::Nameless(file.into()));
        }
        let permissions = Permissions::from_mode(mode);
        tempfile::Builder::new().prefix(".chancery-").permissions(permissions).tempfile_in(directory).map(Self::Named)
    }

    fn file(&self) -> &File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(temporary) => temporary.as_file(),
        }
    }

    /// Gives the file its name; without `replace` only if nobody has that name.
    fn name(self, path: &Path, replace: bool) -> io::Result<()> {
        let temporary = match self {
            Self::Nameless(file) if !replace => return link(&file, path),
            // A link cannot replace, a rename can: first a name that nobody has, then the one that is wanted.
            Self::Nameless(file) => {
                let mut builder = tempfile::Builder::new();
                builder.prefix(".chancery-").make_in(directory(path), |name| link(&file, name))?.into_temp_path()
            }
            Self::Named(temporary) => temporary.into_temp_path(),
        };
        let named: Result<(), tempfile::PathPersistError> =
            if replace { temporary.persist(path) } else { TempPath::persist_noclobber(temporary, path) };
        named.map_err(|error| error.error)
    }
}

/// Links a file without a name into its directory; fails if the name is taken.
fn link(file: &File, path: &Path) -> io::Result<()> {
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, opened, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(stdout) => stdout.write(bytes),
            Self::File { unfinished, .. } => unfinished.file().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(stdout) => stdout.flush(),
            Self::File { unfinished, .. } => unfinished.file().flush(),
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
    fn a_file_system_without_nameless_files_does_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        for replace in [false, true] {
            let named = tempfile::Builder::new().prefix(".chancery-").tempfile_in(directory.path()).unwrap();
            let unfinished = Unfinished::Named(named);
            unfinished.file().write_all(b"whole").unwrap();
            unfinished.name(&path, replace).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"whole");
        }
        let named = tempfile::Builder::new().tempfile_in(directory.path()).unwrap();
        assert_eq!(Unfinished::Named(named).name(&path, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_file_appears_only_when_it_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut target = Target::create(&path, false, 0o600).unwrap();
        target.write_all(b"half").unwrap();
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            0,
            "it has no name yet, and none to be left behind"
        );
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

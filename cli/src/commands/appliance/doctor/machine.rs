//! Files and the limits of this machine.

use super::Finding;
use chancery_server::hardening;
use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

/// A file that nobody else may read.
pub(super) fn private_file(what: &str, path: &Path) -> Finding {
    let name = path.display();
    match fs::metadata(path) {
        Err(error) => {
            Finding::fail(what, format!("{name}: {error}"), "give its path, or make it readable for this user")
        }
        Ok(data) if data.permissions().mode() & 0o077 != 0 => {
            let mode = data.permissions().mode() & 0o777;
            Finding::warn(what, format!("{name} may be read by others (mode {mode:o})"), format!("chmod 600 {name}"))
        }
        Ok(_) => Finding::ok(what, format!("{name}, private")),
    }
}

/// A directory data is written to, and how long the disk takes to hold on to it.
pub(super) fn durable_directory(what: &str, path: &Path) -> Finding {
    let name = path.display();
    match slowest_sync(path) {
        Err(error) => {
            Finding::fail(what, format!("cannot write in {name}: {error}"), "make it writable for the server's user")
        }
        Ok(slow) if slow > Duration::from_millis(50) => Finding::warn(
            what,
            format!("{name}: making a write durable takes {} ms", slow.as_millis()),
            "use a faster disk; every change waits for this",
        ),
        Ok(time) => Finding::ok(what, format!("{name} is writable, durable in {:.1} ms", time.as_secs_f64() * 1000.0)),
    }
}

fn slowest_sync(directory: &Path) -> std::io::Result<Duration> {
    let path = directory.join(format!(".chancery-doctor-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    let mut slowest = Duration::ZERO;
    let mut outcome = Ok(());
    for _ in 0..10 {
        let began = Instant::now();
        outcome = file.write_all(&[0; 4096]).and_then(|()| file.sync_data());
        slowest = slowest.max(began.elapsed());
        if outcome.is_err() {
            break;
        }
    }
    fs::remove_file(&path)?;
    outcome.map(|()| slowest)
}

/// What the kernel lets this user's processes do.
pub(super) fn limits() -> Vec<Finding> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let core = match soft_limit(&limits, "Max core file size") {
        Some("0") => Finding::ok("core dumps", "off"),
        Some(_) => Finding::ok("core dumps", "the server turns its own off"),
        None => Finding::warn("core dumps", "the limit cannot be read", "make /proc readable"),
    };
    let files = match soft_limit(&limits, "Max open files").and_then(|text| text.parse::<u64>().ok()) {
        Some(count) if count < 4096 => Finding::warn(
            "open files",
            format!("only {count} at once, one per connection"),
            "LimitNOFILE=65536 in the unit, or ulimit -n 65536",
        ),
        Some(count) => Finding::ok("open files", count.to_string()),
        None => Finding::ok("open files", "unlimited"),
    };
    vec![core, files, swap()]
}

fn swap() -> Finding {
    match (hardening::may_lock_memory(), hardening::swap_is_on()) {
        (true, _) => Finding::ok("swap", "the server locks its memory, nothing of it is swapped"),
        (false, false) => Finding::ok("swap", "none"),
        (false, true) => Finding::warn(
            "swap",
            "memory may be written to disk: RLIMIT_MEMLOCK does not let the server lock it",
            "LimitMEMLOCK=infinity or MemorySwapMax=0 in the unit, or encrypt the swap",
        ),
    }
}

/// The soft limit of a row of `/proc/PID/limits`: name, soft, hard, unit, in columns of blanks.
fn soft_limit<'a>(limits: &'a str, name: &str) -> Option<&'a str> {
    limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_their_name() {
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax core file size        0      unlimited      bytes\n";
        assert_eq!(soft_limit(limits, "Max core file size"), Some("0"));
        assert_eq!(soft_limit(limits, "Max nonsense"), None);
    }

    #[test]
    fn a_file_others_may_read_is_a_warning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(private_file("x", file.path()).detail.contains("644"));
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(private_file("x", file.path()).fix.is_none());
    }

    #[test]
    fn a_directory_that_is_not_there_cannot_be_written() {
        let finding = durable_directory("storage", Path::new("/no/such/directory"));
        assert!(finding.fix.is_some(), "{}", finding.detail);
    }
}

//! What the process gives up so that what is in its memory stays there: core dumps, other processes' looks (ptrace,
//! `/proc/PID/mem`), files others may read, and pages in swap. Called before the first secret is read.

use rustix::{
    fs::Mode,
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask},
};

/// `CAP_IPC_LOCK` of linux/capability.h: its holder may lock any amount of memory.
const CAP_IPC_LOCK: u64 = 1 << 14;

/// No core dumps, no attaching by processes of the same user. Answers a remark for the operator where something was
/// refused.
#[must_use]
pub fn harden() -> Vec<String> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    [
        ("PR_SET_DUMPABLE", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
        ("RLIMIT_CORE", setrlimit(Resource::Core, none)),
    ]
    .into_iter()
    .filter_map(|(what, outcome)| outcome.err().map(|error| (what, error)))
    .map(|(what, error)| format!("{what} was refused ({error}): a crash may write secrets to disk"))
    .collect()
}

/// No file that this process makes from now on may be read by others.
pub fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Keeps the memory of this process, now and later, out of swap. Answers a remark for the operator where it cannot.
///
/// Asked for only where no limit can be met later: with a small `RLIMIT_MEMLOCK` the call succeeds and an allocation fails
/// some day. Pages are locked as they are touched, so that reserved but unused memory costs nothing.
#[must_use]
pub fn lock_memory() -> Option<String> {
    let danger = if swap_is_on() { "secrets may be written to swap" } else { "there is no swap now" };
    if !may_lock_memory() {
        return Some(format!(
            "memory is not locked, {danger}: RLIMIT_MEMLOCK is too small; set LimitMEMLOCK=infinity in the unit (ulimit -l \
             unlimited), or say disable_mlock = true"
        ));
    }
    let outcome = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    outcome.err().map(|error| format!("memory is not locked, {danger}: mlockall: {error}"))
}

/// Whether the system lets this process lock all of its memory.
#[must_use]
pub fn may_lock_memory() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    getrlimit(Resource::Memlock).current.is_none() || effective_capabilities(&status) & CAP_IPC_LOCK != 0
}

/// Whether pages of memory can be written to a disk.
#[must_use]
pub fn swap_is_on() -> bool {
    // The first line is the heading.
    std::fs::read_to_string("/proc/swaps").is_ok_and(|table| table.lines().count() > 1)
}

fn effective_capabilities(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::dumpable_behavior;

    #[test]
    fn the_process_gives_up_core_dumps_and_visitors() {
        assert_eq!(harden(), Vec::<String>::new());
        keep_files_private();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(umask(Mode::RWXG | Mode::RWXO), Mode::RWXG | Mode::RWXO);
    }

    #[test]
    fn capabilities_are_read_from_the_status() {
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t0000000000004000\n"), CAP_IPC_LOCK);
        assert_eq!(effective_capabilities("Name:\tx\n"), 0);
    }
}

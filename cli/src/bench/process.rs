//! The server's CPU time and memory, where it runs on this machine: `/proc` tells who listens on a port and what it has
//! used.

use std::{fs, path::Path, time::Duration};

/// Ticks per second of the times in `/proc/PID/stat` (`USER_HZ`, fixed by the kernel's interface).
const TICKS: u64 = 100;

/// The process that listens on a TCP port, if we may know.
pub(super) fn listening_on(port: u16) -> Option<u32> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| table.lines().filter_map(|line| listener(line, port)).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .find_map(|(pid, path): (u32, _)| holds(&path, &sockets).then_some(pid))
}

/// Inode of the socket if `line` is a listening one on `port`: `sl local remote st … uid timeout inode`.
fn listener(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let listening = *fields.get(3)? == "0A";
    let ours = listening && u16::from_str_radix(local_port, 16) == Ok(port);
    ours.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)))
}

/// CPU time a process has used so far, all threads.
pub(super) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    used(&stat)
}

/// Fields 14 and 15; counted from behind the command's name, which may hold anything.
fn used(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

/// What a process held in memory, in bytes: before the load, and at most under it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) resting: u64,
    pub(super) peak: u64,
}

/// Forgets the highest mark (`proc(5)`, `clear_refs`) and answers where memory stands now.
pub(super) fn start_measuring_memory(pid: u32) -> Option<u64> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").ok()?;
    memory(pid, "VmRSS:")
}

/// The most a process has held since [`start_measuring_memory`].
pub(super) fn peak_memory(pid: u32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, member: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(member))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listening_process_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listening_on(listener.local_addr().unwrap().port()), Some(std::process::id()));
    }

    #[test]
    fn memory_under_load_is_more_than_before() {
        let resting = start_measuring_memory(std::process::id()).unwrap();
        let load = vec![1_u8; 32 << 20];
        assert!(load.iter().all(|byte| *byte == 1));
        let peak = peak_memory(std::process::id()).unwrap();
        assert!(peak >= resting + (30 << 20), "{resting} {peak}");
    }

    #[test]
    fn cpu_time_is_read_behind_a_hostile_name() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(used(stat), Some(Duration::from_secs(2)));
        assert!(cpu_time(std::process::id()).is_some());
    }
}

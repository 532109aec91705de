//! What one piece of work costs, told as `scripts/bench.sh` reads it. CPU time comes from `/proc`, all threads of the process
//! together, as `chancery bench` reads that of a server.

use std::time::{Duration, Instant};

/// Ticks per second of the times in `/proc/PID/stat` (`USER_HZ`, fixed by the kernel's interface).
const TICKS: f64 = 100.0;

/// How long each is measured, in seconds; `PART_SECONDS` sets another time.
fn length() -> Duration {
    let seconds = std::env::var("PART_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    Duration::from_secs_f64(seconds)
}

/// Microseconds of CPU that the process has used.
fn used() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc tells about us");
    // Fields 14 and 15; counted from behind the command's name.
    let (_, rest) = stat.rsplit_once(')').expect("the command's name stands in brackets");
    let ticks: f64 = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum();
    ticks / TICKS * 1e6
}

/// Does `work`, which comes to `items` of what is counted, over and over and prints what one of them costs.
pub(crate) fn part(name: &str, items: u32, mut work: impl FnMut()) {
    // What happens only the first time is not the part's.
    work();
    let (began, before, mut done) = (Instant::now(), used(), 0_u32);
    while began.elapsed() < length() {
        work();
        done += items;
    }
    let (took, cost) = (began.elapsed(), (used() - before) / f64::from(done));
    let rate = f64::from(done) / took.as_secs_f64();
    println!("{{\"part\": \"{name}\", \"cpu_us\": {cost:.1}, \"per_second\": {rate:.0}}}");
}

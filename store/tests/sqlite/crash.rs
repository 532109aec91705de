//! `kill -9` under load: the test binary runs itself as a child that acknowledges commits on its standard output.
//!
//! This finds an acknowledgement sent before the commit, and a database that does not come back. It cannot find a missing
//! fsync, because the kernel keeps what a killed process has written: with `synchronous=OFF` it passes as well. The
//! negative control for that is a power cut (QEMU, or LazyFS dropping unsynced data), where `NORMAL` loses one commit in
//! ten and `FULL` none.

use super::common::Place;
use chancery_store::{Changes, Store};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

const DATABASE: &str = "CHANCERY_STORE_CRASH_DATABASE";
const SHARE: &str = "CHANCERY_STORE_CRASH_SHARE";
const WRITERS: u32 = 8;
const ROUNDS: u32 = 10;

/// The child: writes until it is killed. Without the variables it is an empty test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_child() {
    let (Ok(path), Ok(share)) = (std::env::var(DATABASE), std::env::var(SHARE)) else { return };
    let store = Store::sqlite(path.as_ref(), super::clock()).await.unwrap();
    let share = data_encoding::HEXLOWER.decode(share.as_bytes()).unwrap();
    assert!(!store.barrier().submit_share(&share).await.unwrap().sealed);
    let tasks: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write_forever(store.clone(), writer))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Counts one entry up and writes a second beside it, so that a torn change set would show.
async fn write_forever(store: Store, writer: u32) {
    let view = store.view("crash");
    let (count, twin) = (format!("count-{writer}"), format!("twin-{writer}"));
    let mut next = match view.read(&count).await.unwrap() {
        Some(entry) => entry.decode::<u64>().unwrap() + 1,
        None => 1,
    };
    loop {
        let mut changes = Changes::default();
        changes.put(&view, &count, &next).unwrap().put(&view, &twin, &next).unwrap();
        store.commit(changes).await.unwrap();
        let mut output = std::io::stdout();
        writeln!(output, "ack {writer} {next}").unwrap();
        next += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    drop(store);
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let acks = acks_of_a_killed_child(&place, &shares[0], Duration::from_millis(150 + u64::from(round) * 20));
        assert!(!acks.is_empty(), "the child must get as far as acknowledging");
        acknowledged.extend(acks);

        let store = place.reopen(&shares).await;
        let view = store.view("crash");
        for (writer, acked) in &acknowledged {
            let read = |key: String| {
                let view = view.clone();
                async move { view.read(&key).await.unwrap().unwrap().decode::<u64>().unwrap() }
            };
            let (count, twin) = (read(format!("count-{writer}")).await, read(format!("twin-{writer}")).await);
            assert!(count >= *acked, "round {round}, writer {writer}: {acked} was acknowledged, {count} is there");
            assert!(count <= acked + 1, "round {round}, writer {writer}: one commit at most was in flight");
            assert_eq!(count, twin, "round {round}, writer {writer}: a change set was torn");
        }
    }
}

/// From the 60th fsync on the disk fails: the child must end by itself, having acknowledged nothing after that.
#[tokio::test]
#[ignore = "needs strace"]
async fn a_failed_fsync_is_an_error_and_never_an_acknowledgement() {
    const HEALTHY: u32 = 60;
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    drop(store);
    let failing = format!("inject=fsync,fdatasync:error=EIO:when={HEALTHY}+");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &failing]);
    let output = child(strace.arg(std::env::current_exe().unwrap()), &place, &shares[0])
        .stderr(Stdio::null())
        .output()
        .expect("strace is installed");
    assert!(!output.status.success(), "a commit must have failed");
    let acks = String::from_utf8_lossy(&output.stdout).matches("ack ").count();
    assert!(acks > 0, "the first commits succeed");
    assert!(acks <= usize::try_from(HEALTHY * WRITERS).unwrap(), "{acks} acknowledgements");
}

/// The command that runs this binary as the child.
fn child<'a>(command: &'a mut Command, place: &Place, share: &[u8]) -> &'a mut Command {
    command
        .args(["--exact", "crash::crash_child", "--nocapture", "--test-threads=1"])
        .env(DATABASE, place.database())
        .env(SHARE, data_encoding::HEXLOWER.encode(share))
        .stdout(Stdio::piped())
}

/// The last acknowledgement of each writer.
fn acks_of_a_killed_child(place: &Place, share: &[u8], lifetime: Duration) -> BTreeMap<u32, u64> {
    let mut child = child(&mut Command::new(std::env::current_exe().unwrap()), place, share).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        let ack = |line: String| {
            // The harness prints the test's name on the same line as the first acknowledgement.
            let (_, ack) = line.split_once("ack ")?;
            let (writer, number) = ack.split_once(' ')?;
            Some((writer.parse::<u32>().ok()?, number.parse::<u64>().ok()?))
        };
        lines.filter_map(ack).collect::<BTreeMap<_, _>>()
    });
    std::thread::sleep(lifetime);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

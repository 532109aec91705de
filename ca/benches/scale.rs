//! What a mount costs when it has a million certificates: each figure beside the same one with a thousand, in one run, on
//! SQLite, keys in the software token.
//!
//! `CHANCERY_BENCH_CERTIFICATES` (1,000,000) and `CHANCERY_BENCH_REVOKED` (100,000) set another size.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../tests/api/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

use chancery_ca::{crl::shard, serial::SerialNumber};
use chancery_hsm::Hsm;
use chancery_store::{CertificateChange, CertificateIntent, Changes, Initialize, Revocation, SealChoice, Store};
use harness::{Mount, NOW, tick};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const SHARDS: u32 = 64;
const FEW: u64 = 1000;
const PER_COMMIT: u64 = 500;
const CALLERS: usize = 16;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn mount_at(path: &std::path::Path) -> Mount {
    let store = Store::sqlite(path, Arc::new(Timestamp::now)).await.unwrap();
    store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
    let mount = Mount::beside(store, Hsm::software(), "1");
    let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "87600h", "issuer_name": "root"});
    mount.write("root/generate/internal", root).await.ok();
    mount.write("config/urls", json!({"crl_distribution_points": "http://crl.example.com/{{shard}}"})).await.ok();
    mount.write("config/crl", json!({"shards": SHARDS})).await.ok();
    mount.role("r", json!({"allow_any_name": true})).await;
    mount
}

/// Certificates as issuing leaves them behind, without the signatures.
async fn fill(mount: &Mount, certificates: u64, revoked: u64) {
    let issuer = mount.read("issuer/root").await.text("issuer_id");
    let at = |seconds: u64| Timestamp::from_second(NOW + i64::try_from(seconds).unwrap()).unwrap();
    let mut done = 0;
    while done < certificates {
        let mut changes = Changes::default();
        for number in done..certificates.min(done + PER_COMMIT) {
            // A certificate a second, until now.
            let made = NOW - i64::try_from(certificates - number).unwrap();
            let serial = SerialNumber::fresh(Timestamp::from_second(made).unwrap()).unwrap();
            let bytes = serial.as_bytes().to_vec();
            changes.certificate(CertificateChange::Intent(CertificateIntent {
                mount: "mount/1/".to_owned(),
                serial: bytes.clone(),
                issuer: issuer.clone(),
                role: format!("role-{}", number % 10),
                requester: format!("requester-{}", number % 50),
                common_name: format!("host-{number}.example.com"),
                names: vec![format!("host-{number}.example.com")],
                key_type: "ec-p256".to_owned(),
                not_before: at(0),
                not_after: at(3_000_000 + number % 1_000_000),
                created_at: at(0),
                shard: shard::of(&serial, SHARDS),
            }));
            let mount = || "mount/1/".to_owned();
            changes.certificate(CertificateChange::Issued {
                mount: mount(),
                serial: bytes.clone(),
                der: vec![0x30; 600],
            });
            if number < revoked {
                let revocation = Revocation { at: at(1), reason: 1 };
                changes.certificate(CertificateChange::Revoke { mount: mount(), serial: bytes, revocation });
            }
        }
        mount.store.commit(changes).await.unwrap();
        done += PER_COMMIT;
    }
}

/// Certificates issued in a second, by many callers.
async fn issue_rate(mount: &Arc<Mount>) -> f64 {
    let (started, until) = (Instant::now(), Instant::now() + Duration::from_secs(4));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let mount = Arc::clone(mount);
        tasks.spawn(async move {
            let mut count = 0_u32;
            while Instant::now() < until {
                mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
                count += 1;
            }
            count
        });
    }
    let count: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// From the request to revoke until the shard that the certificate names lists it.
async fn revoke_to_published(mount: &Mount) -> Duration {
    let issued: Value = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    let serial = SerialNumber::parse(issued["serial_number"].as_str().unwrap()).unwrap();
    let shard = shard::of(&serial, SHARDS);
    let started = Instant::now();
    mount.write("revoke", json!({"serial_number": issued["serial_number"]})).await.ok();
    let list = mount.read(&format!("crl/shard/{shard}")).await.raw;
    let took = started.elapsed();
    let list = chancery_ca::crl::list::CrlList::parse(&list).unwrap();
    assert!(list.entries().any(|entry| entry.unwrap().serial == serial), "the shard lists it");
    took
}

async fn page(mount: &Mount, parameters: Value) -> Duration {
    let best = async || {
        let started = Instant::now();
        let found = mount.send(chancery_engine::Verb::Read, "certs/search", parameters.to_string().into_bytes()).await;
        assert!(matches!(found.status, 200 | 404), "{found:?}");
        started.elapsed()
    };
    let mut shortest = best().await;
    for _ in 0..9 {
        shortest = shortest.min(best().await);
    }
    shortest
}

fn show(name: &str, few: impl std::fmt::Display, many: impl std::fmt::Display) {
    println!("{name:48} {few:>16} {many:>16}");
}

fn milliseconds(took: Duration) -> String {
    format!("{:.2} ms", took.as_secs_f64() * 1000.0)
}

async fn run() {
    let (certificates, revoked) =
        (setting("CHANCERY_BENCH_CERTIFICATES", 1_000_000), setting("CHANCERY_BENCH_REVOKED", 100_000));
    let folder = tempfile::tempdir().unwrap();
    let few = Arc::new(mount_at(&folder.path().join("few.db")).await);
    let many = Arc::new(mount_at(&folder.path().join("many.db")).await);
    fill(&few, FEW, FEW / 10).await;
    let filling = Instant::now();
    fill(&many, certificates, revoked).await;
    println!("{certificates} certificates, {revoked} revoked, filled in {:.0} s", filling.elapsed().as_secs_f64());
    show("", FEW, certificates);

    for mount in [&few, &many] {
        tick(mount, NOW).await.unwrap();
    }
    let (one, other) = (issue_rate(&few).await, issue_rate(&many).await);
    show("issue, certificates a second", format!("{one:.0}"), format!("{other:.0}"));
    println!("    rate with {certificates} at {:.0} % of that with {FEW}", other / one * 100.0);

    let slowest = async |mount: &Mount| {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            slowest = slowest.max(revoke_to_published(mount).await);
        }
        slowest
    };
    show(
        "revoke to published shard, slowest of 20",
        milliseconds(slowest(&few).await),
        milliseconds(slowest(&many).await),
    );

    for (name, parameters) in [
        ("page of 100, by expiry", json!({})),
        ("page of 100, by common name", json!({"sort": "common_name"})),
        ("page of 100 of a role, by expiry", json!({"role": "role-3"})),
        ("page of 100 of a role, by creation", json!({"role": "role-3", "sort": "created"})),
        ("page of 100, revoked", json!({"status": "revoked"})),
        ("page of 100, ends within 40 days", json!({"expires_before": "960h"})),
        ("by common name", json!({"common_name": "host-777.example.com"})),
        ("by subject alternative name", json!({"name": "host-777.example.com"})),
    ] {
        let (one, other) = (page(&few, parameters.clone()).await, page(&many, parameters).await);
        show(name, milliseconds(one), milliseconds(other));
    }
    let tidy = async |mount: &Mount| {
        let started = Instant::now();
        mount.write("tidy", json!({"tidy_cert_store": true, "tidy_revoked_certs": true})).await;
        while mount.read("tidy-status").await.ok()["state"] != "Finished" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        started.elapsed()
    };
    show("tidy with nothing to remove", milliseconds(tidy(&few).await), milliseconds(tidy(&many).await));
    start_up(many, &folder.path().join("many.db"), few, &folder.path().join("few.db")).await;
}

/// From opening the database until its inventory answers.
async fn start_up(many: Arc<Mount>, many_at: &std::path::Path, few: Arc<Mount>, few_at: &std::path::Path) {
    drop((many, few));
    let open = async |path: &std::path::Path| {
        let started = Instant::now();
        let store = Store::sqlite(path, Arc::new(Timestamp::now)).await.unwrap();
        store.sequence().await.unwrap();
        started.elapsed()
    };
    let (one, other) = (open(few_at).await, open(many_at).await);
    show("start-up of the store", milliseconds(one), milliseconds(other));
}

fn main() {
    // `cargo test --benches` passes this; the figures are for `cargo bench`.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(run());
}

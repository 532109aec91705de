//! Two engines on two connections to one PostgreSQL database, as two processes have them: nothing is shared but the
//! database and the token.

use crate::harness::{Mount, tick};
use chancery_ca::crl::list::CrlList;
use chancery_hsm::Hsm;
use chancery_store::{Clock, Initialize, PostgresConfig, SealChoice, Store};
use jiff::Timestamp;
use serde_json::json;
use std::{
    collections::HashSet,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const EACH: usize = 60;

/// A new database on the test server.
fn database() -> PostgresConfig {
    let variable = |name| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this under scripts/with_postgres.py"))
    };
    let (url, password) = (variable("CHANCERY_TEST_POSTGRES"), variable("CHANCERY_TEST_POSTGRES_PASSWORD"));
    let name = format!("ca_{}", uuid::Uuid::new_v4().simple());
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
    let made = Command::new("psql").args([&url, "-c", &create]).env("PGPASSWORD", &password).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    PostgresConfig::parse(&url).unwrap().with_password(password.as_bytes()).with_readers(3)
}

async fn two() -> (Arc<Mount>, Arc<Mount>) {
    let (config, hsm) = (database(), Hsm::software());
    let clock: Clock = Arc::new(Timestamp::now);
    let one = Store::postgres(config.clone(), Arc::clone(&clock)).await.unwrap();
    let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
    let shares = one.barrier().initialize(Initialize { seal }).await.unwrap().shares;
    let other = Store::postgres(config, clock).await.unwrap();
    other.barrier().submit_share(&shares[0]).await.unwrap();
    let one = Mount::beside(one, hsm.clone(), "1");
    let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "87600h", "issuer_name": "root"});
    one.write("root/generate/internal", root).await.ok();
    one.write("config/urls", json!({"crl_distribution_points": "http://crl.example.com/{{shard}}"})).await.ok();
    one.write("config/crl", json!({"shards": 2})).await.ok();
    one.role("r", json!({"allow_any_name": true})).await;
    (Arc::new(one), Arc::new(Mount::beside(other, hsm, "1")))
}

/// The list's number and its serial numbers.
async fn read(mount: &Mount, path: &str) -> (u64, HashSet<String>) {
    let list = mount.read(path).await.raw;
    if list.is_empty() {
        return (0, HashSet::new());
    }
    let list = CrlList::parse(&list).unwrap();
    (list.number.unwrap(), list.entries().map(|entry| entry.unwrap().serial.to_string()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a PostgreSQL server: scripts/with_postgres.py"]
async fn two_nodes_revoking_and_issuing_never_step_a_number_back_nor_lose_a_revocation() {
    let (one, other) = two().await;
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for mount in [&one, &other, &one, &other] {
        let mount = Arc::clone(mount);
        writers.spawn(async move {
            let mut revoked = Vec::new();
            for _ in 0..EACH {
                let serial = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number");
                mount.write("revoke", json!({"serial_number": serial})).await.ok();
                revoked.push(serial);
            }
            revoked
        });
    }
    let mut readers = tokio::task::JoinSet::new();
    for mount in [&one, &other] {
        for path in ["crl", "crl/shard/1", "crl/shard/2"] {
            let (mount, over) = (Arc::clone(mount), Arc::clone(&over));
            readers.spawn(async move {
                let (mut last, mut listed) = (0, HashSet::new());
                while !over.load(Ordering::SeqCst) {
                    mount.clock.advance(2);
                    let (number, serials) = read(&mount, path).await;
                    assert!(number >= last, "{path}: {number} after {last}");
                    assert!(listed.is_subset(&serials), "{path}: a revocation went away");
                    (last, listed) = (number, serials);
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            });
        }
    }
    let revoked: HashSet<String> = writers.join_all().await.into_iter().flatten().collect();
    over.store(true, Ordering::SeqCst);
    readers.join_all().await;
    assert_eq!(revoked.len(), 4 * EACH);
    for mount in [&one, &other] {
        mount.clock.advance(2);
        tick(mount, mount.now()).await.unwrap();
        mount.clock.advance(2);
        let (_, whole) = read(mount, "crl").await;
        let sharded: HashSet<String> = {
            let (first, second) = (read(mount, "crl/shard/1").await.1, read(mount, "crl/shard/2").await.1);
            first.union(&second).cloned().collect()
        };
        assert!(revoked.is_subset(&whole) && revoked.is_subset(&sharded));
    }
}

//! What one certificate costs, with the parts that cannot be avoided beside it; and what revocation lists cost: 100,000
//! entries read and written anew, and one more entry in such a list, revoked and fetched.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "../tests/api/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

use chancery_hsm::{HashAlgorithm, Hsm, KeyAlgorithm, SignInput, SignScheme, software::SoftwareKey};
use chancery_store::{Changes, Initialize, SealChoice, SshChange, SshRevocationOrder, SshRevocationTarget, Store};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use harness::{Mount, NOW, Pair};
use jiff::Timestamp;
use serde_json::json;
use std::{cell::Cell, hint::black_box, sync::Arc};

const ENTRIES: u64 = 100_000;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn sign(criterion: &mut Criterion) {
    let runtime = runtime();
    let mount = runtime.block_on(Mount::ready());
    let body = json!({"public_key": Pair::ed25519().line(), "valid_principals": "mitch"});
    let mut group = criterion.benchmark_group("ssh sign");
    group.bench_function("key to recorded certificate", |bencher| {
        bencher.iter(|| runtime.block_on(mount.write("sign/user", body.clone())).ok());
    });
    let key = SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap();
    let (scheme, input) = (SignScheme::Ecdsa(HashAlgorithm::Sha256), SignInput::Message(vec![7; 500]));
    let signature = key.sign(scheme, &input).unwrap();
    group.bench_function("part: one signature", |bencher| {
        bencher.iter(|| key.sign(scheme, black_box(&input)).unwrap());
    });
    group.bench_function("part: verify after sign", |bencher| {
        let spki = key.public_key_der().unwrap();
        bencher.iter(|| chancery_hsm::verify(spki, scheme, &input, black_box(&signature)).unwrap());
    });
    group.finish();
}

/// A mount in SQLite with so many revocations, no two serial numbers near each other: the longest list there is.
async fn revoked(folder: &tempfile::TempDir) -> (Store, Hsm) {
    let store = Store::sqlite(&folder.path().join("bench.db"), Arc::new(Timestamp::now)).await.unwrap();
    store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
    let hsm = Hsm::software();
    let mount = Mount::beside(store.clone(), hsm.clone(), "1");
    let issuer = mount.write("config/ca", json!({"key_type": "ec"})).await.text("issuer_id");
    let order = |serial: u64| SshRevocationOrder {
        mount: "mount/1/".to_owned(),
        issuer: issuer.clone(),
        target: SshRevocationTarget::Serials { first: serial, last: serial },
        requester: "bench".to_owned(),
        reason: String::new(),
        at: Timestamp::from_second(NOW).unwrap(),
        expires_at: None,
    };
    let serials: Vec<u64> = (0..ENTRIES).map(|number| (number + 1) * 1_000_003).collect();
    for chunk in serials.chunks(5_000) {
        let mut changes = Changes::default();
        for serial in chunk {
            changes.ssh(SshChange::Revoke(order(*serial)));
        }
        store.commit(changes).await.unwrap();
    }
    (store, hsm)
}

fn krl(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let (store, hsm) = runtime.block_on(revoked(&folder));
    let mut group = criterion.benchmark_group("ssh krl");
    group.sample_size(10);
    group.bench_function("100,000 entries, read and built", |bencher| {
        bencher.iter_batched(
            || Mount::beside(store.clone(), hsm.clone(), "1"),
            |mount| {
                let bytes = runtime.block_on(mount.read("krl")).raw;
                assert!(bytes.len() > 800_000, "{} bytes", bytes.len());
                bytes
            },
            BatchSize::PerIteration,
        );
    });
    let mount = Mount::beside(store.clone(), hsm.clone(), "1");
    let serial = Cell::new(2_u64);
    let _warm = runtime.block_on(mount.read("krl"));
    group.bench_function("one more, revoked and fetched", |bencher| {
        bencher.iter(|| {
            serial.set(serial.get() + 2);
            let body = json!({"serial_number": format!("{:x}", serial.get()), "issuer_ref": "default"});
            runtime.block_on(async {
                mount.write("revoke", body).await.ok();
                mount.read("krl").await.raw
            })
        });
    });
    group.finish();
}

criterion_group!(benches, sign, krl);
criterion_main!(benches);

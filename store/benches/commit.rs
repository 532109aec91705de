//! What a commit and a read cost on SQLite, and on PostgreSQL where `scripts/with_postgres.py` runs this: group commit with
//! 1, 8 and 64 callers, and reads beside it.
//!
//! The database lies in the directory for temporary files; on a memory file system there a commit costs no disk.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use chancery_store::{Changes, Initialize, PostgresConfig, SealChoice, Store};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// About the size of a token's entry.
const VALUE_BYTES: usize = 400;

async fn unsealed(store: Store) -> Store {
    let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
    store.barrier().initialize(Initialize { seal }).await.unwrap();
    store
}

/// A store on the test server, if there is one.
async fn postgres() -> Option<Store> {
    let url = std::env::var("CHANCERY_TEST_POSTGRES").ok()?;
    let password = std::env::var("CHANCERY_TEST_POSTGRES_PASSWORD").ok()?;
    let config = PostgresConfig::parse(&url).unwrap().with_password(password.as_bytes());
    Some(unsealed(Store::postgres(config, Arc::new(Timestamp::now)).await.unwrap()).await)
}

async fn commit(store: &Store, key: &str, value: &str) {
    let view = store.view("bench");
    let mut changes = Changes::default();
    changes.put(&view, key, value).unwrap();
    store.commit(changes).await.unwrap();
}

/// The time for so many commits by so many callers at once.
async fn commits(store: &Store, callers: u64, commits: u64) -> Duration {
    let value: Arc<str> = "v".repeat(VALUE_BYTES).into();
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, value) = (store.clone(), value.clone());
            let share = commits / callers + u64::from(caller < commits % callers);
            tokio::spawn(async move {
                for number in 0..share {
                    commit(&store, &format!("{caller}/{}", number % 1000), &value).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    started.elapsed()
}

fn bench_commits(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.db");
    let store =
        runtime.block_on(async { unsealed(Store::sqlite(&path, Arc::new(Timestamp::now)).await.unwrap()).await });
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(Duration::from_secs(4));
    for callers in [1, 8, 64] {
        group.bench_function(BenchmarkId::new("sqlite", callers), |bencher| {
            bencher.iter_custom(|count| runtime.block_on(commits(&store, callers, count)));
        });
    }
    let postgres = runtime.block_on(postgres());
    if let Some(store) = &postgres {
        for callers in [1, 8, 64] {
            group.bench_function(BenchmarkId::new("postgres", callers), |bencher| {
                bencher.iter_custom(|count| runtime.block_on(commits(store, callers, count)));
            });
        }
    }
    let memory = runtime.block_on(async { unsealed(Store::memory().await.unwrap()).await });
    group.bench_function("memory", |bencher| {
        bencher.iter_custom(|count| runtime.block_on(commits(&memory, 1, count)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(Duration::from_secs(3));
    let others = postgres.as_ref().map(|store| ("postgres", store));
    for (name, store) in [("sqlite", &store), ("memory", &memory)].into_iter().chain(others) {
        runtime.block_on(commit(store, "read", &"v".repeat(VALUE_BYTES)));
        let view = store.view("bench");
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(view.read("read")).unwrap().unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, bench_commits);
criterion_main!(benches);

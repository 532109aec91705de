//! Connections that break, at every moment and above all behind `COMMIT`.

use super::{
    number, put,
    server::{Database, client},
};
use chancery_store::{PostgresConfig, Store, StoreError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What the proxy does with the next `COMMIT` that passes.
const PASS: u32 = 0;
/// Cuts the connection instead of passing it on: nothing is committed.
const CUT_BEFORE: u32 = 1;
/// Passes it on and cuts the connection instead of passing the answer back: it is committed.
const CUT_BEHIND: u32 = 2;
/// The same, and no connection is let in any more.
const CUT_BEHIND_FOR_GOOD: u32 = 3;

/// A proxy in front of the test server that knows a `COMMIT` when it sees one.
struct Proxy {
    order: Arc<AtomicU32>,
    cuts: Arc<AtomicU32>,
    config: PostgresConfig,
}

impl Proxy {
    async fn before(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (url, password) = super::server::server();
        let server = url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
        let name = database.config.name().split(' ').next().unwrap();
        let config = PostgresConfig::parse(&format!("postgres://owner@127.0.0.1:{port}/{name}")).unwrap();
        let config = config.with_password(password.as_bytes()).with_readers(2);
        let (order, cuts) = (Arc::new(AtomicU32::new(PASS)), Arc::new(AtomicU32::new(0)));
        let (orders, counted) = (Arc::clone(&order), Arc::clone(&cuts));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if orders.load(SeqCst) == CUT_BEHIND_FOR_GOOD && counted.load(SeqCst) > 0 {
                    continue;
                }
                let upstream = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, upstream, Arc::clone(&orders), Arc::clone(&counted)));
            }
        });
        Self { order, cuts, config }
    }

    async fn open(&self, share: &[u8]) -> Store {
        let store = Store::postgres(self.config.clone(), Arc::new(jiff::Timestamp::now)).await.unwrap();
        store.barrier().submit_share(share).await.unwrap();
        store
    }
}

async fn pass(client: TcpStream, upstream: TcpStream, order: Arc<AtomicU32>, cuts: Arc<AtomicU32>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let silent = Arc::new(AtomicU32::new(0));
    let over = Arc::new(Notify::new());
    let (silenced, ended) = (Arc::clone(&silent), Arc::clone(&over));
    let down = tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if silenced.load(SeqCst) == 1 {
                // The server has answered, so it has committed.
                break;
            }
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        ended.notify_one();
    });
    let up = async {
        let mut buffer = vec![0; 65536];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if buffer[..read].windows(7).any(|window| window == b"COMMIT\0") {
                match order.load(SeqCst) {
                    CUT_BEFORE => {
                        order.store(PASS, SeqCst);
                        cuts.fetch_add(1, SeqCst);
                        return;
                    }
                    cut @ (CUT_BEHIND | CUT_BEHIND_FOR_GOOD) => {
                        if cut == CUT_BEHIND {
                            order.store(PASS, SeqCst);
                        }
                        cuts.fetch_add(1, SeqCst);
                        silent.store(1, SeqCst);
                    }
                    _ => {}
                }
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = over.notified() => {}
    }
    down.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_connection_cut_at_commit_neither_loses_nor_doubles_a_change() {
    let database = Database::new().await;
    let (direct, share) = database.initialized().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.open(&share).await;
    put(&store, "warm", 0).await.unwrap();
    let mut last = 0;
    for round in 0..10 {
        let cut = if round % 2 == 0 { CUT_BEFORE } else { CUT_BEHIND };
        proxy.order.store(cut, SeqCst);
        // Created, so that a second application of the same change would be a conflict.
        let key = format!("k{round}");
        let mut changes = chancery_store::Changes::default();
        changes.create(&store.view("v"), &key, &round).unwrap();
        let sequence = store.commit(changes).await.unwrap();
        assert_eq!(proxy.cuts.load(SeqCst), round + 1, "the proxy has cut");
        assert_eq!(number(&direct, &key).await, Some(u64::from(round)));
        assert_eq!(direct.view("v").read(&key).await.unwrap().unwrap().version, sequence.0);
        assert!(sequence.0 > last);
        last = sequence.0;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn an_outcome_that_cannot_be_found_out_is_unknown_and_not_a_success() {
    let database = Database::new().await;
    let (direct, share) = database.initialized().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.open(&share).await;
    put(&store, "warm", 0).await.unwrap();
    proxy.order.store(CUT_BEHIND_FOR_GOOD, SeqCst);
    let outcome = put(&store, "a", 1).await;
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown)), "{outcome:?}");
    assert_eq!(number(&direct, "a").await, Some(1), "it was made after all");
    // While the database is away nobody waits for long.
    let started = Instant::now();
    assert!(matches!(put(&store, "b", 1).await, Err(StoreError::Unavailable { .. })));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    proxy.order.store(PASS, SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;
    put(&store, "b", 2).await.unwrap();
    assert_eq!(number(&direct, "b").await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn terminated_backends_under_load_lose_nothing_acknowledged() {
    let database = Database::new().await;
    let (store, _) = database.initialized().await;
    let name = database.config.name().split(' ').next().unwrap().to_owned();
    let stop = Instant::now() + Duration::from_secs(4);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut acknowledged, mut next) = (0, 1);
                while Instant::now() < stop {
                    if put(&store, &format!("w{writer}"), next).await.is_ok() {
                        acknowledged = next;
                    }
                    next += 1;
                }
                acknowledged
            })
        })
        .collect();
    let sql = client("postgres").await;
    let mut terminated = 0;
    while Instant::now() < stop {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
        terminated += sql.query_one(kill, &[&name]).await.unwrap().get::<_, i64>(0);
    }
    assert!(terminated > 20, "{terminated}");
    for (writer, task) in writers.into_iter().enumerate() {
        let acknowledged = task.await.unwrap();
        let stored = number(&store, &format!("w{writer}")).await.unwrap();
        assert!(
            acknowledged > 0 && stored >= acknowledged,
            "writer {writer}: {acknowledged} acknowledged, {stored} stored"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_database_that_hangs_is_an_error_and_not_a_hang() {
    let database = Database::new().await;
    let (store, _) = database.initialized().await;
    put(&store, "a", 1).await.unwrap();
    let name = database.config.name().split(' ').next().unwrap().to_owned();
    let blocker = client(&name).await;
    blocker.batch_execute("BEGIN; SELECT value FROM change_sequence FOR UPDATE").await.unwrap();
    let started = Instant::now();
    let outcome = put(&store, "a", 2).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!(number(&store, "a").await, Some(1), "reading goes on");
    blocker.batch_execute("ROLLBACK").await.unwrap();
    put(&store, "a", 3).await.unwrap();
    assert_eq!(number(&store, "a").await, Some(3));
}

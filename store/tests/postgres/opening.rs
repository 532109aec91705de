//! What is refused when a database is opened, and with which words.

use super::{
    number, put,
    server::{Database, client, server},
};
use chancery_store::{BarrierPhase, PostgresConfig, Store, StoreError};
use jiff::Timestamp;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

async fn refused(config: PostgresConfig) -> StoreError {
    Store::postgres(config, Arc::new(Timestamp::now)).await.unwrap_err()
}

#[tokio::test]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn what_was_committed_is_there_after_a_restart() {
    let database = Database::new().await;
    let (store, share) = database.initialized().await;
    put(&store, "a", 7).await.unwrap();
    drop(store);
    let store = database.sealed().await;
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Sealed);
    assert!(matches!(store.view("v").read("a").await, Err(StoreError::Sealed)));
    store.barrier().submit_share(&share).await.unwrap();
    assert_eq!(number(&store, "a").await, Some(7));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn wrong_passwords_users_and_databases_say_what_to_mend() {
    let (url, password) = server();
    let config = |url: &str, password: &str| PostgresConfig::parse(url).unwrap().with_password(password.as_bytes());
    let host = url.split_once('@').unwrap().1;
    let elsewhere = format!("{}/nowhere", url.rsplit_once('/').unwrap().0);
    let cases = [
        (config(&url, "hunter2"), "password authentication failed", "correct the user or the password"),
        (config(&format!("postgres://nobody@{host}"), &password), "nobody", "correct the user or the password"),
        (config(&elsewhere, &password), "\"nowhere\" does not exist", "create the database"),
        (PostgresConfig::parse(&url).unwrap(), "password missing", "give the password"),
    ];
    for (config, said, fix) in cases {
        let error = refused(config).await;
        let text = error.to_string();
        assert!(matches!(error, StoreError::Refused { .. }), "{text}");
        assert!(text.contains(said) && text.contains(fix) && !text.contains("hunter2"), "{text}");
        assert!(!text.contains(&password), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_server_that_is_not_there_is_waited_for_as_long_as_asked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config = PostgresConfig::parse(&format!("postgres://u@127.0.0.1:{port}/d")).unwrap();
    let started = Instant::now();
    assert!(matches!(refused(config.clone()).await, StoreError::Unavailable { .. }));
    assert!(started.elapsed() < Duration::from_secs(1));
    let started = Instant::now();
    let error = refused(config.with_patience(Duration::from_secs(1))).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!((0.5..3.0).contains(&started.elapsed().as_secs_f64()), "{:?}", started.elapsed());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_newer_schema_is_refused_and_stops_who_is_running() {
    let database = Database::new().await;
    let (store, _) = database.initialized().await;
    put(&store, "a", 1).await.unwrap();
    let name = database.config.name().split(' ').next().unwrap().to_owned();
    let sql = client(&name).await;
    sql.batch_execute("INSERT INTO schema_version VALUES (4711, 'from the future')").await.unwrap();
    let error = refused(database.config.clone()).await;
    assert!(matches!(error, StoreError::NewerSchema { found: 4711, .. }), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
    assert!(matches!(put(&store, "a", 2).await, Err(StoreError::NewerSchema { found: 4711, .. })));
    assert_eq!(number(&store, "a").await, Some(1));
    let changed = "DELETE FROM schema_version WHERE version = 4711; UPDATE schema_version SET checksum = 'other'";
    sql.batch_execute(changed).await.unwrap();
    assert!(matches!(refused(database.config.clone()).await, StoreError::ForeignSchema { version: 1, .. }));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_read_only_database_and_one_without_rights_are_refused() {
    let database = Database::new().await;
    let name = database.config.name().split(' ').next().unwrap().to_owned();
    let sql = client("postgres").await;
    sql.batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await.unwrap();
    let error = refused(database.config.clone()).await.to_string();
    assert!(error.contains("read"), "{error}");
    sql.batch_execute(&format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await.unwrap();
    let role = format!("role_{name}");
    sql.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await.unwrap();
    let (url, _) = server();
    let host = url.split_once('@').unwrap().1.rsplit_once('/').unwrap().0;
    let config = PostgresConfig::parse(&format!("postgres://{role}@{host}/{name}")).unwrap().with_password(b"x");
    let error = refused(config).await.to_string();
    assert!(error.contains("GRANT CREATE ON SCHEMA"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn processes_that_start_together_migrate_once() {
    let database = Database::new().await;
    let starts: Vec<_> =
        (0..6).map(|_| tokio::spawn(Store::postgres(database.config.clone(), Arc::new(Timestamp::now)))).collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
}

//! Databases on the test server, which `scripts/with_postgres.py` starts.

use chancery_store::{Clock, Initialize, PostgresConfig, SealChoice, Store};
use jiff::Timestamp;
use std::sync::Arc;
use tokio_postgres::{Client, Config, NoTls};

/// A database of its own on the test server.
pub(crate) struct Database {
    /// How it is reached.
    pub(crate) config: PostgresConfig,
}

/// Address of the test server and its superuser's password.
pub(crate) fn server() -> (String, String) {
    let variable = |name| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this under scripts/with_postgres.py"))
    };
    (variable("CHANCERY_TEST_POSTGRES"), variable("CHANCERY_TEST_POSTGRES_PASSWORD"))
}

/// A connection past the store.
pub(crate) async fn client(database: &str) -> Client {
    let (url, password) = server();
    let mut config: Config = url.parse().unwrap();
    let (client, connection) = config.password(&password).dbname(database).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Database {
    /// A new, empty one.
    pub(crate) async fn new() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("t_{}", data_encoding::HEXLOWER.encode(&random));
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
        client("postgres").await.batch_execute(&create).await.unwrap();
        let (url, password) = server();
        let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
        Self { config: PostgresConfig::parse(&url).unwrap().with_password(password.as_bytes()).with_readers(3) }
    }

    /// The store in it, as it is after a start.
    pub(crate) async fn sealed(&self) -> Store {
        let clock: Clock = Arc::new(|| Timestamp::from_second(1_700_000_000).unwrap());
        Store::postgres(self.config.clone(), clock).await.unwrap()
    }

    /// A new store, unsealed, and its one share.
    pub(crate) async fn initialized(&self) -> (Store, Vec<u8>) {
        let store = self.sealed().await;
        let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
        let initialized = store.barrier().initialize(Initialize { seal }).await.unwrap();
        (store, initialized.shares[0].to_vec())
    }
}

//! One connection, made ready: timeouts set, durability checked, statements prepared once.

use super::{
    config::PostgresConfig,
    failure::{self, of_connecting},
};
use crate::StoreError;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Error, NoTls, Statement};

/// Oldest release that is supported.
const OLDEST_SERVER: i32 = 130_000;
/// Statements kept prepared; searches have one for every set of fields.
const STATEMENTS: usize = 256;

/// A hung statement is ended by the server, a waiting lock sooner, and a transaction whose client has gone as well.
const SETTINGS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '4s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET default_transaction_isolation = 'read committed'; \
    SET client_min_messages = 'warning'";

const CONDITION: &str = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
    current_setting('synchronous_commit'), current_setting('fsync') || current_setting('full_page_writes'), \
    current_setting('server_encoding'), current_setting('server_version_num')::integer";

/// A connection. The task behind it ends with it.
pub(super) struct Session {
    pub(super) client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    connection: AbortHandle,
}

impl Session {
    /// Connects and prepares the connection.
    pub(super) async fn open(config: &PostgresConfig) -> Result<Self, StoreError> {
        let started = Instant::now();
        let opened = tokio::time::timeout(Duration::from_secs(15), Self::connect(config)).await;
        let session =
            opened.map_err(|_| StoreError::unavailable(format!("{}: connecting takes too long", config.name)))??;
        tracing::debug!(database = config.name, elapsed = ?started.elapsed(), "connected");
        Ok(session)
    }

    async fn connect(config: &PostgresConfig) -> Result<Self, StoreError> {
        let failed = |error: Error| of_connecting(&config.name, &error);
        let (client, connection) = match &config.tls {
            Some(tls) => {
                let (client, connection) = config.driver.connect(tls.clone()).await.map_err(failed)?;
                (client, tokio::spawn(async move { end(connection.await) }).abort_handle())
            }
            None => {
                let (client, connection) = config.driver.connect(NoTls).await.map_err(failed)?;
                (client, tokio::spawn(async move { end(connection.await) }).abort_handle())
            }
        };
        let session = Self { client, statements: Mutex::default(), connection };
        session.client.batch_execute(SETTINGS).await.map_err(failed)?;
        session.check(config).await?;
        Ok(session)
    }

    /// Refuses a server that cannot keep what it acknowledges.
    async fn check(&self, config: &PostgresConfig) -> Result<(), StoreError> {
        let failed = |error: Error| of_connecting(&config.name, &error);
        let refused = |detail: String, fix: &str| {
            Err(StoreError::Refused { database: config.name.clone(), detail, fix: fix.to_owned() })
        };
        let row = self.client.query_one(CONDITION, &[]).await.map_err(failed)?;
        let read = |column: usize| row.try_get::<_, String>(column).map_err(failed);
        let (read_only, version) =
            (row.try_get::<_, bool>(0).map_err(failed)?, row.try_get::<_, i32>(4).map_err(failed)?);
        let (synchronous_commit, safe, encoding) = (read(1)?, read(2)?, read(3)?);
        if version < OLDEST_SERVER {
            return refused(format!("PostgreSQL {} is too old", version / 10_000), "upgrade it to 13 or newer");
        }
        if read_only {
            let fix = "name the primary; of several hosts in storage.url the one that takes writes is found";
            return refused("it is a read-only standby".to_owned(), fix);
        }
        if encoding != "UTF8" {
            return refused(format!("its encoding is {encoding}"), "create the database with ENCODING 'UTF8'");
        }
        if safe != "onon" {
            return refused(
                "fsync or full_page_writes is off".to_owned(),
                "turn both on: a crash would lose certificates",
            );
        }
        if synchronous_commit == "off" {
            self.client.batch_execute("SET synchronous_commit = on").await.map_err(failed)?;
        }
        Ok(())
    }

    /// The statement, prepared at its first use.
    pub(super) async fn statement(&self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.statements.lock();
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Whether it can still be used.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Closes it at once, whatever is under way: what the server does with it is over when the server notices.
    pub(super) fn abandon(self) {
        self.connection.abort();
    }
}

/// What a connection ended with is told to whoever waited for an answer.
fn end(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::debug!(reason = failure::reason(&error), "a database connection ended");
    }
}

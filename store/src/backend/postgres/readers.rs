//! Connections that read. Each query is one statement, so a connection is held for one round trip.

use super::{
    connector::Connector,
    failure::{self, Meaning},
    session::Session,
};
use crate::StoreError;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_postgres::{Error, Row, types::ToSql};

/// Longer than the server's own limits: only a server that does not answer at all gets here.
const PATIENCE: Duration = Duration::from_secs(7);

pub(super) struct Readers {
    connector: Arc<Connector>,
    idle: Mutex<Vec<Session>>,
    free: Semaphore,
}

/// The values of a statement.
pub(super) type Values<'v> = &'v [&'v (dyn ToSql + Sync)];

impl Readers {
    pub(super) fn new(connector: Arc<Connector>, count: usize, first: Session) -> Self {
        Self { connector, idle: Mutex::new(vec![first]), free: Semaphore::new(count) }
    }

    /// The rows of a query. A connection that turns out to be dead is replaced once.
    pub(super) async fn query(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let waited = tokio::time::timeout(PATIENCE, self.free.acquire()).await;
        let _turn = waited
            .map_err(|_| StoreError::unavailable("all database connections are busy"))?
            .map_err(|_| StoreError::unavailable("the database is closed"))?;
        for attempt in 0..2 {
            let idle = if attempt == 0 { self.idle.lock().pop().filter(Session::is_open) } else { None };
            let session = match idle {
                Some(session) => session,
                None => self.connector.connect().await?,
            };
            let Ok(outcome) = tokio::time::timeout(PATIENCE, rows(&session, sql, values)).await else {
                session.abandon();
                return Err(StoreError::unavailable("the database does not answer"));
            };
            match outcome {
                Ok(rows) => {
                    self.idle.lock().push(session);
                    return Ok(rows);
                }
                Err(error) if failure::meaning(&error) == Meaning::Lost && attempt == 0 => {
                    // What one connection died of, the others most likely died of too.
                    self.idle.lock().retain(Session::is_open);
                }
                Err(error) => {
                    if session.is_open() && failure::meaning(&error) != Meaning::Lost {
                        self.idle.lock().push(session);
                    }
                    return Err(failure::told("postgres SELECT", &error));
                }
            }
        }
        Err(StoreError::unavailable("the database does not answer"))
    }
}

async fn rows(session: &Session, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
    let statement = session.statement(sql).await?;
    session.client.query(&statement, values).await
}

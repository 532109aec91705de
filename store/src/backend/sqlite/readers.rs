//! A few read-only connections, used on the blocking pool.

use super::{connect, failed};
use crate::StoreError;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{num::NonZeroUsize, path::Path, sync::Arc};
use tokio::sync::Semaphore;

/// More connections than this only compete for the page cache.
const MOST_CONNECTIONS: usize = 8;

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
}

/// Gives the connection back even if the query panics.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.idle.lock().extend(self.connection.take());
    }
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let count = cores.clamp(2, MOST_CONNECTIONS);
        let mut idle = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = connect(path)?;
            connection.execute_batch("PRAGMA query_only = ON").map_err(failed("sqlite PRAGMA query_only"))?;
            idle.push(connection);
        }
        Ok(Self { idle: Arc::new(Mutex::new(idle)), free: Arc::new(Semaphore::new(count)) })
    }

    /// Runs a query on a free connection.
    pub(super) async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let closed = || StoreError::backend("read", "the database is closed");
        let permit = self.free.clone().acquire_owned().await.map_err(|_| closed())?;
        let lent = Lent { connection: self.idle.lock().pop(), idle: self.idle.clone() };
        let run = move || {
            let connection = lent.connection.as_ref().ok_or_else(closed);
            let outcome = connection.and_then(|connection| query(connection).map_err(failed("sqlite SELECT")));
            drop(lent);
            drop(permit);
            outcome
        };
        tokio::task::spawn_blocking(run).await.map_err(|error| StoreError::backend("read", error))?
    }

    /// Closes the idle connections; nobody can be reading when the last owner closes.
    pub(super) fn close(&self) {
        self.free.close();
        self.idle.lock().clear();
    }
}

//! PostgreSQL: the schema, what a broken connection may not lose, and several processes on one database.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "common/server.rs"]
mod server;

#[path = "postgres/breaks.rs"]
mod breaks;
#[path = "postgres/nodes.rs"]
mod nodes;
#[path = "postgres/opening.rs"]
mod opening;

use chancery_store::{Changes, Sequence, Store, StoreError};

async fn put(store: &Store, key: &str, value: u64) -> Result<Sequence, StoreError> {
    let mut changes = Changes::default();
    changes.put(&store.view("v"), key, &value).unwrap();
    store.commit(changes).await
}

async fn number(store: &Store, key: &str) -> Option<u64> {
    store.view("v").read(key).await.unwrap().map(|entry| entry.decode().unwrap())
}

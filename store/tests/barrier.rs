//! The barrier as its callers see it: seals, shares, rotation, rekeying, and what an attacker with the database can do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/place.rs"]
mod common;

#[path = "barrier/hsm_seal.rs"]
mod hsm_seal;
#[path = "barrier/rotation.rs"]
mod rotation;
#[path = "barrier/shamir_seal.rs"]
mod shamir_seal;
#[path = "barrier/tampering.rs"]
mod tampering;

use chancery_store::{Changes, Store, View};

async fn put(store: &Store, view: &View, key: &str, value: &str) {
    let mut changes = Changes::default();
    changes.put(view, key, value).unwrap();
    store.commit(changes).await.unwrap();
}

async fn text(view: &View, key: &str) -> String {
    view.read(key).await.unwrap().unwrap().decode().unwrap()
}

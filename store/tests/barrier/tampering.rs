//! What whoever holds the database can and cannot do.

use super::{common::Place, put, text};
use chancery_store::{Changes, Store, StoreError};
use jiff::Timestamp;
use rusqlite::Connection;
use std::{fs, path::Path};

const CANARY: &str = "canary-7d1f0b5e-plaintext";

fn contains(path: &Path, needle: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

/// The files of the database, by name.
fn files(place: &Place) -> Vec<std::path::PathBuf> {
    let folder = place.database().parent().unwrap().to_owned();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn is_corrupt(store: &Store, key: &str) -> bool {
    matches!(store.view("v").read(key).await, Err(StoreError::Corrupt { place }) if place == format!("v/{key}"))
}

#[tokio::test]
async fn plaintext_and_keys_never_reach_the_files() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    let view = store.view("v");
    for number in 0..50 {
        put(&store, &view, &format!("name-{number}"), &format!("{CANARY}-{number}").repeat(number + 1)).await;
    }
    let mut changes = Changes::default();
    changes.put_expiring(&view, "short", CANARY, Timestamp::UNIX_EPOCH).unwrap().delete(&view, "name-3");
    store.commit(changes).await.unwrap();
    store.barrier().rotate().await.unwrap();
    let open = files(&place);
    assert!(open.iter().any(|path| path.to_string_lossy().ends_with("-wal")), "{open:?}");
    let mut seen_name = false;
    for _ in 0..2 {
        for file in files(&place) {
            assert!(!contains(&file, CANARY.as_bytes()), "{}", file.display());
            assert!(!contains(&file, &shares[0]), "{}", file.display());
            // The search itself works: names are not secret, and lie there in clear.
            seen_name |= contains(&file, b"name-7");
        }
        assert!(seen_name);
        store.barrier().seal().await;
    }
}

#[tokio::test]
async fn an_entry_moved_or_edited_in_the_database_is_refused() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    for key in ["a", "b", "c", "d"] {
        put(&store, &store.view("v"), key, key).await;
    }
    let mut changes = Changes::default();
    changes.put_expiring(&store.view("v"), "token", "t", Timestamp::from_second(100).unwrap()).unwrap();
    store.commit(changes).await.unwrap();
    drop(store);

    let database = Connection::open(place.database()).unwrap();
    database
        .execute_batch(
            "UPDATE entries SET path = 'swap' WHERE path = 'v/a';
             UPDATE entries SET path = 'v/a' WHERE path = 'v/b';
             UPDATE entries SET path = 'v/b' WHERE path = 'swap';
             UPDATE entries SET value = x'00' WHERE path = 'v/c';
             UPDATE entries SET expires_at = 900000000 WHERE path = 'v/token';",
        )
        .unwrap();
    drop(database);

    let store = place.reopen(&shares).await;
    for key in ["a", "b", "c", "token"] {
        assert!(is_corrupt(&store, key).await, "{key}");
    }
    assert_eq!(text(&store.view("v"), "d").await, "d");
}

#[tokio::test]
async fn an_entry_of_an_unknown_term_is_refused() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    put(&store, &store.view("v"), "a", "value").await;
    drop(store);
    let database = Connection::open(place.database()).unwrap();
    let value: Vec<u8> = database.query_row("SELECT value FROM entries", [], |row| row.get(0)).unwrap();
    let mut forged = value.clone();
    forged[4] = 9;
    database.execute("UPDATE entries SET value = ?1", [&forged]).unwrap();
    drop(database);
    let store = place.reopen(&shares).await;
    assert!(is_corrupt(&store, "a").await);
}

#[tokio::test]
async fn a_damaged_keyring_unseals_nothing_and_says_so() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    drop(store);
    let database = Connection::open(place.database()).unwrap();
    database.execute("UPDATE barrier_records SET value = zeroblob(200) WHERE name = 'keyring'", []).unwrap();
    drop(database);
    let store = place.sealed().await;
    let refused = store.barrier().submit_share(&shares[0]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { place }) if place == "keyring"));
    assert!(matches!(store.view("v").read("a").await, Err(StoreError::Sealed)));
}

#[tokio::test]
async fn the_keyring_of_another_installation_does_not_fit() {
    let (one, other) = (Place::sqlite(), Place::sqlite());
    let (store, shares) = one.initialized(1, 1).await;
    drop(store);
    drop(other.initialized(1, 1).await);
    let database = Connection::open(one.database()).unwrap();
    database.execute("ATTACH ?1 AS other", [other.database().to_str().unwrap()]).unwrap();
    let sql = "UPDATE barrier_records SET value = (SELECT value FROM other.barrier_records WHERE name = 'keyring')
        WHERE name = 'keyring'";
    database.execute(sql, []).unwrap();
    drop(database);
    let store = one.sealed().await;
    assert!(matches!(store.barrier().submit_share(&shares[0]).await, Err(StoreError::Corrupt { .. })));
}

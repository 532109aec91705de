//! The database file: permissions, the lock, the schema, and what a crash may not lose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/place.rs"]
mod common;

#[path = "sqlite/crash.rs"]
mod crash;

use chancery_store::{Changes, RevokedPage, RevokedScope, Store, StoreError};
use common::{Place, clock};
use rusqlite::Connection;
use std::{fs, os::unix::fs::PermissionsExt};

#[tokio::test]
async fn files_are_for_the_owner_only() {
    let place = Place::sqlite();
    let path = place.database().with_file_name("state").join("deep").join("chancery.db");
    let store = Store::sqlite(&path, clock()).await.unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = path.parent().unwrap();
    assert_eq!((mode(folder), mode(folder.parent().unwrap())), (0o700, 0o700));
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap().path();
        assert_eq!(mode(&entry), 0o600, "{}", entry.display());
        seen += 1;
    }
    assert!(seen >= 3, "database, -wal and lock");
    drop(store);

    // A database someone has opened up is closed again.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = Store::sqlite(&path, clock()).await.unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_second_opening_is_refused_and_names_the_file() {
    let place = Place::sqlite();
    let store = place.sealed().await;
    let refused = Store::sqlite(&place.database(), clock()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }));
    assert!(refused.to_string().contains("chancery.db"), "{refused}");
    drop(store);
    Store::sqlite(&place.database(), clock()).await.unwrap();
}

/// A database of the first release, with a certificate that was revoked there.
fn first_release(path: &std::path::Path) {
    let database = Connection::open(path).unwrap();
    let sql = include_str!("../src/backend/sqlite/migrations/0001_entries_and_certificates.sql");
    database.execute_batch(sql).unwrap();
    database
        .execute_batch(
            "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL) STRICT;
             INSERT INTO schema_version
                VALUES (1, 'dfd93b18dc3807ee8bad3aae0a5b13df1c4924b6c43656ae9cb041a619d74b66');
             UPDATE change_sequence SET value = 7;
             INSERT INTO certificates
                VALUES (1, 'm', x'0a', 'i', 'r', 'q', 'cn', 'ec', 0, 10, 0, 2, x'30', 5000000, 4),
                       (2, 'm', x'0b', 'i', 'r', 'q', 'cn', 'ec', 0, 20, 0, 1, x'31', NULL, NULL);
             INSERT INTO certificate_names VALUES (1, 0, 'a.example');",
        )
        .unwrap();
}

#[tokio::test]
async fn a_database_of_the_first_release_is_brought_forward_and_keeps_its_revocations() {
    let place = Place::sqlite();
    first_release(&place.database());
    let store = place.open().await;
    let scope = RevokedScope { issuer: "i".to_owned(), shard: None };
    let revoked = store.certificates().revoked("m", scope, RevokedPage::default()).await.unwrap();
    assert_eq!(revoked.len(), 1);
    assert_eq!((revoked[0].serial.as_slice(), revoked[0].sequence, revoked[0].revocation.reason), (&[10][..], 1, 4));
    let row = store.certificates().by_serial("m", &[10]).await.unwrap().unwrap();
    assert_eq!((row.intent.shard, row.intent.names.as_slice()), (0, &["a.example".to_owned()][..]));
    drop(store);
    place.sealed().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let place = Place::sqlite();
    drop(place.open().await);
    let database = Connection::open(place.database()).unwrap();
    database.execute("INSERT INTO schema_version VALUES (4711, 'from the future')", []).unwrap();
    drop(database);
    let before = fs::read(place.database()).unwrap();
    let refused = Store::sqlite(&place.database(), clock()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NewerSchema { found: 4711, known: 3, .. }), "{refused}");
    assert!(refused.to_string().contains("chancery.db"));
    assert_eq!(fs::read(place.database()).unwrap(), before);
}

#[tokio::test]
async fn a_migration_changed_after_it_was_applied_is_refused() {
    let place = Place::sqlite();
    drop(place.open().await);
    let database = Connection::open(place.database()).unwrap();
    database.execute("UPDATE schema_version SET checksum = 'other' WHERE version = 1", []).unwrap();
    drop(database);
    let refused = Store::sqlite(&place.database(), clock()).await.unwrap_err();
    assert!(matches!(refused, StoreError::ForeignSchema { version: 1, .. }), "{refused}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = Place::sqlite();
    fs::write(place.database(), "this is a letter, not a database; it is long enough to have a header ".repeat(50))
        .unwrap();
    let before = fs::read(place.database()).unwrap();
    let refused = Store::sqlite(&place.database(), clock()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Backend { .. }), "{refused}");
    assert_eq!(fs::read(place.database()).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_at_once_conflict_only_with_themselves() {
    let place = Place::sqlite();
    let store = place.open().await;
    let view = store.view("v");
    let tasks: Vec<_> = (0..200_u32)
        .map(|number| {
            let (store, view) = (store.clone(), view.clone());
            tokio::spawn(async move {
                let mut changes = Changes::default();
                changes.put(&view, &format!("k{number}"), &number).unwrap();
                if number % 3 == 0 {
                    changes.expect_version(&view, "missing", 1);
                }
                store.commit(changes).await
            })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        let outcome = task.await.unwrap();
        let stored = view.read(&format!("k{number}")).await.unwrap();
        if number % 3 == 0 {
            assert!(matches!(outcome, Err(StoreError::Conflict)));
            assert!(stored.is_none());
        } else {
            assert_eq!(stored.unwrap().version, outcome.unwrap().0);
        }
    }
}

#[tokio::test]
async fn the_wal_does_not_grow_without_end() {
    let place = Place::sqlite();
    let store = place.open().await;
    let view = store.view("v");
    let value = "x".repeat(60_000);
    for number in 0..600 {
        let mut changes = Changes::default();
        changes.put(&view, &format!("k{}", number % 10), &value).unwrap();
        store.commit(changes).await.unwrap();
    }
    let wal = fs::metadata(place.database().with_file_name("chancery.db-wal")).unwrap().len();
    assert!(wal < 16 << 20, "36 MB were written and the WAL has {wal} bytes");
}

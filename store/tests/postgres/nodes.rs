//! Two stores on one database, as two processes have them.

use super::{number, put, server::Database};
use chancery_store::{Changes, FeedPosition, Store, StoreError};
use std::time::Duration;

async fn two(database: &Database) -> (Store, Store) {
    let (one, share) = database.initialized().await;
    let other = database.sealed().await;
    other.barrier().submit_share(&share).await.unwrap();
    (one, other)
}

async fn position(store: &Store) -> FeedPosition {
    store.changes_by_others(None).await.unwrap().position
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn increments_by_two_nodes_lose_none_and_versions_never_repeat() {
    let database = Database::new().await;
    let (one, other) = two(&database).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = if task % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move {
                let view = store.view("v");
                let mut versions = Vec::new();
                for _ in 0..20 {
                    store
                        .transact("increment", || async {
                            let mut changes = Changes::default();
                            match view.read("n").await? {
                                Some(entry) => {
                                    let next = entry.decode::<u64>()? + 1;
                                    changes.replace(&view, "n", &next, entry.version, None)?;
                                }
                                None => drop(changes.create(&view, "n", &1_u64)?),
                            }
                            Ok::<_, StoreError>((changes, ()))
                        })
                        .await
                        .unwrap();
                    versions.push(put(&store, &format!("own{task}"), 0).await.unwrap().0);
                }
                versions
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.extend(task.await.unwrap());
    }
    assert_eq!(number(&one, "n").await, Some(160));
    let count = versions.len();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn the_feed_tells_what_the_other_node_changed_and_nothing_else() {
    let database = Database::new().await;
    let (one, other) = two(&database).await;
    put(&one, "a", 1).await.unwrap();
    let start = position(&other).await;
    assert!(other.changes_by_others(Some(start.clone())).await.unwrap().paths.is_empty());
    put(&one, "b", 1).await.unwrap();
    put(&other, "c", 1).await.unwrap();
    let mut changes = Changes::default();
    changes.delete(&one.view("v"), "a").delete_view(&one.view("w"));
    one.commit(changes).await.unwrap();
    one.barrier().rotate().await.unwrap();
    let seen = other.changes_by_others(Some(start)).await.unwrap();
    assert!(!seen.everything);
    assert_eq!(seen.paths.into_iter().collect::<Vec<_>>(), ["v/a", "v/b"]);
    assert_eq!(seen.prefixes.into_iter().collect::<Vec<_>>(), ["w/"]);
    assert!(seen.records.contains("keyring"), "{:?}", seen.records);
    let again = other.changes_by_others(Some(seen.position.clone())).await.unwrap();
    assert!(again.paths.is_empty() && again.records.is_empty() && !again.everything);
    assert_eq!(again.position, seen.position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_follower_that_was_away_too_long_takes_everything_as_changed() {
    let database = Database::new().await;
    let (one, other) = two(&database).await;
    put(&one, "a", 1).await.unwrap();
    let start = position(&other).await;
    put(&one, "b", 1).await.unwrap();
    let name = database.config.name().split(' ').next().unwrap().to_owned();
    let sql = super::server::client(&name).await;
    let trim = "DELETE FROM change_log WHERE sequence < (SELECT value FROM change_sequence)";
    sql.batch_execute(trim).await.unwrap();
    assert!(other.changes_by_others(Some(start)).await.unwrap().everything);
    // A restored database counts on with numbers that were given before.
    let now = position(&other).await;
    sql.batch_execute("UPDATE change_log SET token = '\\x00'").await.unwrap();
    assert!(other.changes_by_others(Some(now)).await.unwrap().everything);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_node_reads_what_another_sealed_under_a_new_term_and_counts_with_it() {
    let database = Database::new().await;
    let (one, other) = two(&database).await;
    one.barrier().rotate().await.unwrap();
    put(&one, "a", 1).await.unwrap();
    assert_eq!(number(&other, "a").await, Some(1));
    one.barrier().set_encryption_limit(20).await.unwrap();
    for count in 0..60 {
        put(if count % 2 == 0 { &one } else { &other }, &format!("k{count}"), count).await.unwrap();
    }
    for count in 0..60 {
        assert_eq!(number(&one, &format!("k{count}")).await, Some(count));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(one.barrier().key_status().await.unwrap().term > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
async fn a_node_follows_a_rotation_and_seals_where_people_hold_new_shares() {
    let database = Database::new().await;
    let (one, share) = database.initialized().await;
    let other = database.sealed().await;
    other.barrier().follow().await.unwrap();
    other.barrier().submit_share(&share).await.unwrap();
    one.barrier().rotate().await.unwrap();
    other.barrier().follow().await.unwrap();
    assert_eq!(other.barrier().key_status().await.unwrap().term, 2);
    let proof = [zeroize::Zeroizing::new(share)];
    let new = one.barrier().rekey(&proof, 1_u32, 1_u32).await.unwrap();
    assert!(matches!(other.barrier().follow().await, Err(StoreError::Sealed)));
    other.barrier().seal().await;
    assert!(other.barrier().submit_share(&proof[0]).await.is_err(), "the old share is worthless");
    other.barrier().submit_share(&new.shares[0]).await.unwrap();
    put(&other, "a", 1).await.unwrap();
    assert_eq!(number(&one, "a").await, Some(1));
}

//! Terms: by request, at the limit, and the count that never regresses.

use super::{common::Place, put, text};
use chancery_store::{Changes, MAXIMUM_ENCRYPTIONS, StoreError};

#[tokio::test]
async fn entries_of_every_term_are_readable_after_rotation_and_restart() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    let view = store.view("v");
    for term in 1..=4 {
        assert_eq!(store.barrier().key_status().await.unwrap().term, term);
        put(&store, &view, &format!("of-term-{term}"), "value").await;
        store.barrier().rotate().await.unwrap();
    }
    drop((store, view));

    let store = place.reopen(&shares).await;
    let status = store.barrier().key_status().await.unwrap();
    assert_eq!((status.term, status.install_time.as_second()), (5, 1_700_000_000));
    for term in 1..=4 {
        assert_eq!(text(&store.view("v"), &format!("of-term-{term}")).await, "value");
    }
    store.barrier().seal().await;
    assert!(matches!(store.barrier().rotate().await, Err(StoreError::Sealed)));
    assert!(matches!(store.barrier().key_status().await, Err(StoreError::Sealed)));
}

#[tokio::test]
async fn a_term_is_replaced_at_the_limit() {
    let store = Place::default().open().await;
    assert_eq!(store.barrier().encryption_limit().unwrap(), MAXIMUM_ENCRYPTIONS);
    let view = store.view("v");
    store.barrier().set_encryption_limit(10).await.unwrap();
    assert_eq!(store.barrier().encryption_limit().unwrap(), 10);
    let mut terms = Vec::new();
    for number in 0..30 {
        put(&store, &view, &number.to_string(), "value").await;
        let status = store.barrier().key_status().await.unwrap();
        assert!(status.encryptions <= 10, "{status:?}");
        terms.push(status.term);
    }
    assert_eq!(terms, (0..30).map(|number| 1 + number / 10).collect::<Vec<_>>());
    for number in 0..30 {
        assert_eq!(text(&view, &number.to_string()).await, "value");
    }
}

#[tokio::test]
async fn a_change_set_larger_than_what_is_left_goes_to_the_next_term() {
    let store = Place::default().open().await;
    let view = store.view("v");
    store.barrier().set_encryption_limit(10).await.unwrap();
    put(&store, &view, "first", "value").await;
    let mut changes = Changes::default();
    for number in 0..10 {
        changes.put(&view, &number.to_string(), "value").unwrap();
    }
    store.commit(changes).await.unwrap();
    let status = store.barrier().key_status().await.unwrap();
    assert_eq!((status.term, status.encryptions), (2, 10));
}

#[tokio::test]
async fn the_count_never_regresses_over_crashes() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    drop(store);
    let mut done = 0;
    let mut counted = 0;
    for round in 0..5_u64 {
        // Nothing is written when the store is dropped: for the counter this is a crash.
        let store = place.reopen(&shares).await;
        let before = store.barrier().key_status().await.unwrap().encryptions;
        assert!(before >= counted, "round {round}: {before} after {counted}");
        for number in 0..=round {
            put(&store, &store.view("v"), &number.to_string(), "value").await;
            done += 1;
        }
        counted = store.barrier().key_status().await.unwrap().encryptions;
        assert!(counted > before && counted >= done);
    }
}

#[tokio::test]
async fn restarts_alone_reach_the_limit_and_rotate() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    store.barrier().set_encryption_limit(100).await.unwrap();
    drop(store);
    for _ in 0..3 {
        // Each start reserves all that is left, so the next one must rotate.
        let store = place.reopen(&shares).await;
        put(&store, &store.view("v"), "a", "value").await;
    }
    let store = place.reopen(&shares).await;
    assert_eq!(store.barrier().key_status().await.unwrap().term, 3);
    assert_eq!(text(&store.view("v"), "a").await, "value");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_under_load_loses_nothing() {
    let place = Place::sqlite();
    let (store, _) = place.initialized(1, 1).await;
    store.barrier().set_encryption_limit(7).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    put(&store, &store.view("v"), &format!("{task}-{number}"), "value").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for task in 0..8 {
        for number in 0..20 {
            assert_eq!(text(&store.view("v"), &format!("{task}-{number}")).await, "value");
        }
    }
    assert!(store.barrier().key_status().await.unwrap().term >= 22);
}

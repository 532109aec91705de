//! Leases of jobs: one holder, higher numbers, and no commit under a lease that was lost.

use chancery_store::{Changes, Store, StoreError, under_lease};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

pub(crate) async fn a_lease_has_one_holder_until_its_end(store: Store) {
    let first = store.claim_lease("jobs", "a", LONG).await.unwrap().unwrap();
    assert_eq!(store.claim_lease("jobs", "b", LONG).await.unwrap(), None);
    assert_eq!(store.claim_lease("jobs", "a", LONG).await.unwrap().unwrap().epoch, first.epoch, "renewed");
    let other = store.claim_lease("others", "b", LONG).await.unwrap().unwrap();
    assert_eq!(other.name, "others");
    store.release_lease(&first).await.unwrap();
    let second = store.claim_lease("jobs", "b", Duration::from_millis(1)).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let third = store.claim_lease("jobs", "a", LONG).await.unwrap().unwrap();
    assert!(third.epoch > second.epoch, "its end has come");
    // Letting go of what one no longer has changes nothing.
    store.release_lease(&second).await.unwrap();
    assert_eq!(store.claim_lease("jobs", "b", LONG).await.unwrap(), None);
}

pub(crate) async fn what_is_committed_under_a_lost_lease_is_refused(store: Store) {
    let view = store.view("v");
    let put = |key: &'static str| {
        let (store, view) = (store.clone(), view.clone());
        async move {
            let mut changes = Changes::default();
            changes.put(&view, key, "by a job").unwrap();
            store.commit(changes).await
        }
    };
    let lease = store.claim_lease("jobs", "a", Duration::from_millis(1)).await.unwrap().unwrap();
    // Its time is over, but nobody has taken it: no other can have done the work.
    tokio::time::sleep(Duration::from_millis(20)).await;
    under_lease(lease.clone(), put("first")).await.unwrap();
    store.claim_lease("jobs", "b", LONG).await.unwrap().unwrap();
    assert!(matches!(under_lease(lease, put("second")).await, Err(StoreError::LeaseLost)));
    assert!(view.read("second").await.unwrap().is_none());
    put("third").await.unwrap();
    assert!(view.read("first").await.unwrap().is_some() && view.read("third").await.unwrap().is_some());
}

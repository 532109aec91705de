use crate::{Changes, Initialize, SealChoice, Store, StoreError};

async fn unsealed() -> Store {
    let store = Store::memory().await.unwrap();
    let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
    store.barrier().initialize(Initialize { seal }).await.unwrap();
    store
}

#[tokio::test]
async fn reads_what_was_committed() {
    let store = unsealed().await;
    let view = store.view("sys/policy");
    let mut changes = Changes::default();
    changes.put(&view, "a", "first").unwrap();
    let sequence = store.commit(changes).await.unwrap();
    let entry = view.read("a").await.unwrap().unwrap();
    assert_eq!(entry.decode::<String>().unwrap(), "first");
    assert_eq!(entry.version, sequence.0);
    assert!(matches!(entry.decode::<u8>(), Err(StoreError::Corrupt { place }) if place == "sys/policy/a"));
}

#[tokio::test]
async fn a_sealed_store_neither_reads_nor_writes() {
    let store = unsealed().await;
    let view = store.view("a");
    store.barrier().seal().await;
    let mut changes = Changes::default();
    changes.put(&view, "b", &1).unwrap();
    assert!(matches!(store.commit(changes).await, Err(StoreError::Sealed)));
    assert!(matches!(view.read("b").await, Err(StoreError::Sealed)));
    assert!(matches!(view.list("", Default::default()).await, Err(StoreError::Sealed)));
    assert!(matches!(view.keys("", Default::default()).await, Err(StoreError::Sealed)));
    assert!(matches!(store.certificates().by_serial("m", &[1]).await, Err(StoreError::Sealed)));
    assert!(matches!(store.commit(Changes::default()).await, Err(StoreError::Sealed)));
}

#[tokio::test]
async fn impossible_keys_are_refused_when_written_and_absent_when_read() {
    let store = unsealed().await;
    let view = store.view("a");
    for key in ["", "x\0y", &"k".repeat(5000)] {
        assert!(matches!(Changes::default().put(&view, key, &1), Err(StoreError::InvalidKey)), "{key}");
        assert!(view.read(key).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn transact_gives_up_only_after_many_conflicts() {
    let store = unsealed().await;
    let view = store.view("a");
    let tries = std::sync::atomic::AtomicU32::new(0);
    let outcome: Result<(), StoreError> = store
        .transact("never", || async {
            tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut changes = Changes::default();
            changes.expect_version(&view, "missing", 1);
            Ok((changes, ()))
        })
        .await;
    assert!(matches!(outcome, Err(StoreError::Conflict)));
    assert_eq!(tries.into_inner(), super::ATTEMPTS + 1);
}

//! Entries: atomicity, versions, listing, expiry, concurrency.

use chancery_store::{Changes, Page, Store, StoreError, View};
use jiff::Timestamp;
use std::sync::Arc;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

async fn put(store: &Store, view: &View, keys: &[&str]) {
    let mut changes = Changes::default();
    for key in keys {
        changes.put(view, key, key).unwrap();
    }
    store.commit(changes).await.unwrap();
}

async fn text(view: &View, key: &str) -> Option<String> {
    view.read(key).await.unwrap().map(|entry| entry.decode().unwrap())
}

async fn version(view: &View, key: &str) -> u64 {
    view.read(key).await.unwrap().unwrap().version
}

fn page(after: Option<&str>, limit: usize) -> Page {
    Page { after: after.map(str::to_owned), limit: Some(limit) }
}

pub(crate) async fn an_entry_is_read_back_with_version_and_expiry(store: Store) {
    let view = store.view("v");
    assert!(view.read("a").await.unwrap().is_none());
    let mut changes = Changes::default();
    changes.put_expiring(&view, "a", &[1, 2], at(77)).unwrap();
    let sequence = store.commit(changes).await.unwrap();
    let entry = view.read("a").await.unwrap().unwrap();
    assert_eq!(entry.decode::<Vec<u8>>().unwrap(), [1, 2]);
    assert_eq!((entry.version, entry.expires_at), (sequence.0, Some(at(77))));
}

pub(crate) async fn versions_grow_and_never_come_back(store: Store) {
    let view = store.view("v");
    put(&store, &view, &["a"]).await;
    let first = version(&view, "a").await;
    let mut changes = Changes::default();
    changes.delete(&view, "a");
    store.commit(changes).await.unwrap();
    assert!(view.read("a").await.unwrap().is_none());
    put(&store, &view, &["a"]).await;
    assert!(version(&view, "a").await > first);
}

pub(crate) async fn a_change_set_is_applied_whole_or_not_at_all(store: Store) {
    let view = store.view("v");
    put(&store, &view, &["kept"]).await;
    let mut changes = Changes::default();
    changes.put(&view, "a", "a").unwrap().delete(&view, "kept").expect_version(&view, "kept", 9999);
    assert!(matches!(store.commit(changes).await, Err(StoreError::Conflict)));
    assert_eq!(text(&view, "a").await, None);
    assert_eq!(text(&view, "kept").await.as_deref(), Some("kept"));
}

pub(crate) async fn expectations_see_the_state_before_the_change_set(store: Store) {
    let view = store.view("v");
    let mut changes = Changes::default();
    changes.put(&view, "a", "a").unwrap().expect_absent(&view, "a");
    store.commit(changes).await.unwrap();
    let mut again = Changes::default();
    again.delete(&view, "a").expect_absent(&view, "a");
    assert!(matches!(store.commit(again).await, Err(StoreError::Conflict)));
}

pub(crate) async fn create_conflicts_with_what_exists(store: Store) {
    let view = store.view("v");
    let mut changes = Changes::default();
    changes.create(&view, "a", "first").unwrap();
    store.commit(changes).await.unwrap();
    let mut changes = Changes::default();
    changes.create_expiring(&view, "a", "second", at(1)).unwrap();
    assert!(matches!(store.commit(changes).await, Err(StoreError::Conflict)));
    assert_eq!(text(&view, "a").await.as_deref(), Some("first"));
}

pub(crate) async fn replace_conflicts_with_another_version(store: Store) {
    let view = store.view("v");
    put(&store, &view, &["a"]).await;
    let read = version(&view, "a").await;
    let mut changes = Changes::default();
    changes.replace(&view, "a", "second", read, Some(at(5))).unwrap();
    store.commit(changes).await.unwrap();
    let mut changes = Changes::default();
    changes.replace(&view, "a", "third", read, None).unwrap();
    assert!(matches!(store.commit(changes).await, Err(StoreError::Conflict)));
    assert_eq!(text(&view, "a").await.as_deref(), Some("second"));
    let mut changes = Changes::default();
    changes.replace(&view, "missing", "x", read, None).unwrap();
    assert!(matches!(store.commit(changes).await, Err(StoreError::Conflict)));
}

pub(crate) async fn operations_apply_in_order(store: Store) {
    let view = store.view("v");
    let mut changes = Changes::default();
    changes.put(&view, "a", "first").unwrap().delete_view(&view).put(&view, "b", "b").unwrap();
    changes.put(&view, "c", "first").unwrap().put(&view, "c", "last").unwrap();
    store.commit(changes).await.unwrap();
    assert_eq!(view.list("", Page::default()).await.unwrap(), ["b", "c"]);
    assert_eq!(text(&view, "c").await.as_deref(), Some("last"));
}

pub(crate) async fn lists_direct_children_in_byte_order(store: Store) {
    let view = store.view("v");
    put(&store, &view, &["b", "a", "a/x", "a/y/z", "a-b", "Z", "ä", "a0", "a/x/deep"]).await;
    assert_eq!(view.list("", Page::default()).await.unwrap(), ["Z", "a", "a-b", "a/", "a0", "b", "ä"]);
    assert_eq!(view.list("a/", Page::default()).await.unwrap(), ["x", "x/", "y/"]);
    assert_eq!(view.list("a", Page::default()).await.unwrap(), ["x", "x/", "y/"]);
    assert!(view.list("nothing/", Page::default()).await.unwrap().is_empty());
}

pub(crate) async fn lists_in_pages_across_folders(store: Store) {
    let view = store.view("v");
    let keys: Vec<String> =
        (0..40).flat_map(|n| [format!("k{n:02}"), format!("k{n:02}/x"), format!("k{n:02}/y")]).collect();
    put(&store, &view, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let all = view.list("", Page::default()).await.unwrap();
    assert_eq!(all.len(), 80);
    for size in [1, 3, 80, 200] {
        let mut paged = Vec::<String>::new();
        loop {
            let next = view.list("", page(paged.last().map(String::as_str), size)).await.unwrap();
            assert!(next.len() <= size);
            if next.is_empty() {
                break;
            }
            paged.extend(next);
        }
        assert_eq!(paged, all);
    }
    assert!(view.list("", page(None, 0)).await.unwrap().is_empty());
    assert_eq!(view.list("", page(Some("k389"), 1)).await.unwrap(), ["k39"]);
}

pub(crate) async fn keys_are_full_depth_and_paged(store: Store) {
    let view = store.view("v");
    put(&store, &view, &["a", "a/x", "a/y/z", "b"]).await;
    assert_eq!(view.keys("", Page::default()).await.unwrap(), ["a", "a/x", "a/y/z", "b"]);
    assert_eq!(view.keys("a/", Page::default()).await.unwrap(), ["x", "y/z"]);
    assert_eq!(view.keys("", page(Some("a"), 2)).await.unwrap(), ["a/x", "a/y/z"]);
}

pub(crate) async fn views_nest_and_do_not_leak_into_their_neighbours(store: Store) {
    let outer = store.view("mount/1");
    put(&store, &outer, &["role/a"]).await;
    put(&store, &store.view("mount/10/"), &["b"]).await;
    assert_eq!(text(&outer.view("role"), "a").await.as_deref(), Some("role/a"));
    assert_eq!(outer.view("role/").name(), "mount/1/role/");
    assert_eq!(outer.keys("", Page::default()).await.unwrap(), ["role/a"]);
    assert_eq!(store.view("").list("mount", Page::default()).await.unwrap(), ["1/", "10/"]);
}

pub(crate) async fn delete_view_removes_everything_below_and_nothing_beside(store: Store) {
    put(&store, &store.view("m/1"), &["a", "deep/er/b"]).await;
    put(&store, &store.view("m/10"), &["a"]).await;
    put(&store, &store.view("m"), &["1", "0"]).await;
    let mut changes = Changes::default();
    changes.delete_view(&store.view("m/1"));
    store.commit(changes).await.unwrap();
    assert_eq!(store.view("").keys("", Page::default()).await.unwrap(), ["m/0", "m/1", "m/10/a"]);
}

pub(crate) async fn expired_entries_come_earliest_first(store: Store) {
    let view = store.view("v");
    let mut changes = Changes::default();
    for (key, seconds) in [("c", 3), ("a", 9), ("b/deep", 1), ("d", 5)] {
        changes.put_expiring(&view, key, key, at(seconds)).unwrap();
    }
    changes.put(&view, "never", "").unwrap().put_expiring(&store.view("w"), "other", "", at(1)).unwrap();
    store.commit(changes).await.unwrap();
    assert_eq!(view.expired(at(5), 10).await.unwrap(), ["b/deep", "c", "d"]);
    assert_eq!(view.expired(at(5), 2).await.unwrap(), ["b/deep", "c"]);
    assert!(view.expired(at(0), 10).await.unwrap().is_empty());
    assert_eq!(text(&view, "c").await.as_deref(), Some("c"), "reading does not look at the expiry");
}

pub(crate) async fn rewriting_without_expiry_removes_it(store: Store) {
    let view = store.view("v");
    let mut changes = Changes::default();
    changes.put_expiring(&view, "a", "", at(1)).unwrap();
    store.commit(changes).await.unwrap();
    put(&store, &view, &["a"]).await;
    assert!(view.expired(at(100), 10).await.unwrap().is_empty());
    assert_eq!(view.read("a").await.unwrap().unwrap().expires_at, None);
}

pub(crate) async fn parallel_increments_lose_none(store: Store) {
    let view = store.view("v");
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (store, view) = (store.clone(), view.clone());
            tokio::spawn(async move {
                let step = || async {
                    let mut changes = Changes::default();
                    let next = match view.read("count").await? {
                        None => {
                            changes.create(&view, "count", &1)?;
                            1
                        }
                        Some(entry) => {
                            let next = entry.decode::<u32>()? + 1;
                            changes.replace(&view, "count", &next, entry.version, None)?;
                            next
                        }
                    };
                    Ok::<_, StoreError>((changes, next))
                };
                store.transact("increment", step).await.unwrap()
            })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=100).collect::<Vec<u32>>());
    assert_eq!(view.read("count").await.unwrap().unwrap().decode::<u32>().unwrap(), 100);
}

pub(crate) async fn parallel_creates_let_exactly_one_win(store: Store) {
    let view = Arc::new(store.view("v"));
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (store, view) = (store.clone(), view.clone());
            tokio::spawn(async move {
                let mut changes = Changes::default();
                changes.create(&view, "one", &number).unwrap();
                changes.put(&view, &format!("of/{number}"), &number).unwrap();
                store.commit(changes).await
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => winners += 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict), "{error}"),
        }
    }
    assert_eq!(winners, 1);
    let winner: u32 = view.read("one").await.unwrap().unwrap().decode().unwrap();
    assert_eq!(view.keys("of", Page::default()).await.unwrap(), [winner.to_string()]);
}

pub(crate) async fn the_sequence_grows_with_every_commit_and_not_with_a_conflict(store: Store) {
    let view = store.view("v");
    put(&store, &view, &["warm-up"]).await;
    let before = store.sequence().await.unwrap();
    let mut changes = Changes::default();
    changes.put(&view, "a", "").unwrap();
    let committed = store.commit(changes).await.unwrap();
    assert!(committed > before);
    let mut changes = Changes::default();
    changes.create(&view, "a", "").unwrap();
    assert!(store.commit(changes).await.is_err());
    assert_eq!(store.commit(Changes::default()).await.unwrap(), committed);
    assert_eq!(store.sequence().await.unwrap(), committed);
}

//! Random histories: all backends must answer the same to everything.

use super::{common::Place, server::Database};
use chancery_store::{Changes, Page, Store, StoreError};
use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};

#[derive(Debug, Clone)]
enum Step {
    Put(String),
    PutExpiring(String, i64),
    Create(String),
    /// Replaces at the version that is there, or one beside it.
    Replace(String, bool),
    Delete(String),
    DeleteView(String),
}

/// Few characters, so that keys meet: the slash and its neighbours in byte order, and one of two bytes.
fn key() -> impl Strategy<Value = String> {
    "[ab./0é]{1,5}"
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => key().prop_map(Step::Put),
        2 => (key(), -5_i64..5).prop_map(|(key, at)| Step::PutExpiring(key, at)),
        2 => key().prop_map(Step::Create),
        2 => (key(), any::<bool>()).prop_map(|(key, right)| Step::Replace(key, right)),
        2 => key().prop_map(Step::Delete),
        1 => key().prop_map(Step::DeleteView),
    ]
}

async fn apply(store: &Store, steps: &[Step]) -> Result<u64, String> {
    let view = store.view("v");
    let mut changes = Changes::default();
    for step in steps {
        match step {
            Step::Put(key) => changes.put(&view, key, key).map(|_| ()),
            Step::PutExpiring(key, at) => {
                let at = Timestamp::from_second(*at).unwrap();
                changes.put_expiring(&view, key, key, at).map(|_| ())
            }
            Step::Create(key) => changes.create(&view, key, key).map(|_| ()),
            Step::Replace(key, right) => {
                let version = view.read(key).await.unwrap().map_or(1, |entry| entry.version);
                changes.replace(&view, key, key, version + u64::from(!right), None).map(|_| ())
            }
            Step::Delete(key) => {
                changes.delete(&view, key);
                Ok(())
            }
            Step::DeleteView(key) => {
                changes.delete_view(&view.view(key));
                Ok(())
            }
        }
        .unwrap();
    }
    match store.commit(changes).await {
        Ok(sequence) => Ok(sequence.0),
        Err(error) => {
            assert!(matches!(error, StoreError::Conflict), "{error}");
            Err("conflict".to_owned())
        }
    }
}

/// Everything the store can be asked, in one text.
async fn everything(store: &Store, folders: &[String], limit: usize) -> String {
    let view = store.view("v");
    let all = view.keys("", Page::default()).await.unwrap();
    let mut answers = format!("{all:?} {:?}", store.sequence().await.unwrap());
    for key in &all {
        let entry = view.read(key).await.unwrap().unwrap();
        let value: String = entry.decode().unwrap();
        answers += &format!("\n{key} = {value} {} {:?}", entry.version, entry.expires_at);
    }
    for at in [-5, 0, 5] {
        let at = Timestamp::from_second(at).unwrap();
        answers += &format!("\nexpired {:?}", view.expired(at, limit).await.unwrap());
    }
    for folder in folders {
        let list = view.list(folder, Page::default()).await.unwrap();
        answers += &format!("\n{folder}: {list:?}");
        for after in list {
            let page = Page { after: Some(after), limit: Some(limit) };
            answers += &format!(" {:?}", view.list(folder, page.clone()).await.unwrap());
            answers += &format!(" {:?}", view.keys(folder, page).await.unwrap());
        }
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn memory_and_sqlite_answer_the_same(
        history in vec(vec(step(), 1..6), 1..25),
        folders in vec(key(), 3),
        limit in 0_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = Place::sqlite();
            same(Place::default().open().await, place.open().await, &history, folders, limit).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    #[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
    fn memory_and_postgres_answer_the_same(
        history in vec(vec(step(), 1..6), 1..25),
        folders in vec(key(), 3),
        limit in 0_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (postgres, _) = Database::new().await.initialized().await;
            same(Place::default().open().await, postgres, &history, folders, limit).await;
        });
    }
}

async fn same(memory: Store, other: Store, history: &[Vec<Step>], mut folders: Vec<String>, limit: usize) {
    folders.push(String::new());
    for steps in history {
        assert_eq!(apply(&memory, steps).await, apply(&other, steps).await, "{steps:?}");
    }
    assert_eq!(everything(&memory, &folders, limit).await, everything(&other, &folders, limit).await);
}

//! The engine as its door sees it: requests in, data out, over a memory store.

#![cfg(test)]

use chancery_engine::{
    Body, Call, Clock, Engine, Fault, Hosted, Identity, MountPoint, Operation, Response, Service, Verb,
    clock::ManualClock,
    identity::TokenType,
    policy::{AccessRequest, Acl, Policy},
    response::Disposition,
};
use chancery_kv::{Plain, Versioned};
use chancery_store::{Initialize, SealChoice, Store};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

struct Mount {
    engine: Arc<dyn Engine>,
    clock: ManualClock,
}

impl Mount {
    async fn plain() -> Self {
        let (store, clock) = opened_store().await;
        Self { engine: hosted(Plain::new(store.view("mount/1/"), store)), clock }
    }

    async fn versioned() -> Self {
        let (store, clock) = opened_store().await;
        let engine = Versioned::new(store.view("mount/1/"), store, Arc::new(clock.clone()));
        Self { engine: hosted(engine), clock }
    }

    async fn send(&self, verb: Verb, path: &str, body: Value) -> Result<Response, Fault> {
        let matched = self.engine.find(verb, path).expect("a route");
        let body = if body.is_null() { Body::default() } else { Body::from_json(body.to_string().into_bytes()) };
        let operation = match verb {
            Verb::Read => Operation::Read,
            Verb::List => Operation::List,
            Verb::Delete => Operation::Delete,
            Verb::Patch => Operation::Patch,
            _ => Operation::Update,
        };
        let identity = root();
        let request = AccessRequest { path, operation, body: &body, needs_sudo: false, wrap_ttl: None };
        let permit = identity.acl.authorize(&identity, &request).expect("root may");
        self.engine.handle(matched.index, verb, Call::new(permit, point(), matched.captures, body)).await
    }

    async fn data(&self, verb: Verb, path: &str, body: Value) -> Value {
        data_of(&self.send(verb, path, body).await.expect("an answer"))
    }

    async fn refusal(&self, verb: Verb, path: &str, body: Value) -> String {
        match self.send(verb, path, body).await {
            Err(Fault::Caller(text)) => text,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
}

fn hosted<S: Service>(service: Arc<S>) -> Arc<dyn Engine> {
    Arc::new(Hosted::new(service))
}

async fn opened_store() -> (Store, ManualClock) {
    let store = Store::memory().await.unwrap();
    let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
    store.barrier().initialize(Initialize { seal }).await.unwrap();
    (store, ManualClock::at(1_800_000_000))
}

fn root() -> Arc<Identity> {
    let policy = Policy { name: "root".to_owned(), ..Policy::default() };
    Arc::new(Identity {
        token_key: String::new(),
        accessor: String::new(),
        display_name: "root".to_owned(),
        policies: ["root".to_owned()].into(),
        metadata: BTreeMap::new(),
        path: String::new(),
        entity_id: String::new(),
        token_type: TokenType::Service,
        token_ttl: 0,
        issue_time: jiff::Timestamp::UNIX_EPOCH,
        remaining_uses: 0,
        acl: Arc::new(Acl::compile(&[Arc::new(policy)])),
    })
}

fn point() -> Arc<MountPoint> {
    Arc::new(MountPoint {
        path: "kv/".to_owned(),
        kind: "kv".to_owned(),
        accessor: "kv_00000000".to_owned(),
        uuid: "1".to_owned(),
        default_lease_ttl: 2_764_800,
        max_lease_ttl: 2_764_800,
        options: BTreeMap::new(),
    })
}

fn data_of(response: &Response) -> Value {
    serde_json::from_slice(response.data.as_ref().expect("data").expose()).unwrap()
}

#[tokio::test]
async fn plain_secrets_come_back_as_written() {
    let kv = Mount::plain().await;
    let secret = json!({"path": "kept", "n": 5, "ttl": "1h"});
    assert!(kv.send(Verb::Write, "a/b", secret.clone()).await.unwrap().is_empty());
    let response = kv.send(Verb::Read, "a/b", Value::Null).await.unwrap();
    assert_eq!(data_of(&response), secret);
    let lease = response.lease.unwrap();
    assert_eq!((lease.ttl, lease.renewable), (3600, false));
    assert_eq!(kv.data(Verb::List, "", Value::Null).await, json!({"keys": ["a/"]}));
    assert_eq!(kv.data(Verb::List, "a", Value::Null).await, json!({"keys": ["b"]}));
    assert_eq!(kv.refusal(Verb::Write, "a/b", json!({})).await, "missing data fields");
    kv.send(Verb::Delete, "a/b", Value::Null).await.unwrap();
    assert!(matches!(kv.send(Verb::Read, "a/b", Value::Null).await, Err(Fault::Absent)));
    assert!(matches!(kv.send(Verb::List, "", Value::Null).await, Err(Fault::Absent)));
}

#[tokio::test]
async fn each_write_is_a_version() {
    let kv = Mount::versioned().await;
    let first = kv.data(Verb::Write, "data/a", json!({"data": {"x": "1"}})).await;
    assert_eq!(first["version"], 1);
    assert_eq!(first["deletion_time"], "");
    assert_eq!(first["custom_metadata"], Value::Null);
    kv.data(Verb::Write, "data/a", json!({"data": {"x": "2"}})).await;
    assert_eq!(kv.data(Verb::Read, "data/a", Value::Null).await["data"], json!({"x": "2"}));
    assert_eq!(kv.data(Verb::Read, "data/a", json!({"version": "1"})).await["data"], json!({"x": "1"}));
    assert!(matches!(kv.send(Verb::Read, "data/a", json!({"version": 9})).await, Err(Fault::Absent)));
}

#[tokio::test]
async fn check_and_set_refuses_a_version_that_moved_on() {
    let kv = Mount::versioned().await;
    let cas = |seen: i64| json!({"data": {}, "options": {"cas": seen}});
    kv.data(Verb::Write, "data/a", cas(0)).await;
    let text = "check-and-set parameter did not match the current version";
    assert_eq!(kv.refusal(Verb::Write, "data/a", cas(0)).await, text);
    kv.data(Verb::Write, "data/a", cas(1)).await;
    kv.send(Verb::Write, "metadata/a", json!({"cas_required": true})).await.unwrap();
    let text = "check-and-set parameter required for this call";
    assert_eq!(kv.refusal(Verb::Write, "data/a", json!({"data": {}})).await, text);
    assert_eq!(kv.refusal(Verb::Write, "data/a", json!({})).await, "no data provided");
}

#[tokio::test]
async fn deleted_versions_answer_absent_with_their_metadata() {
    let kv = Mount::versioned().await;
    kv.data(Verb::Write, "data/a", json!({"data": {"x": "1"}})).await;
    kv.send(Verb::Delete, "data/a", Value::Null).await.unwrap();
    let gone = kv.send(Verb::Read, "data/a", Value::Null).await.unwrap();
    assert_eq!(gone.disposition, Disposition::AbsentWithData);
    assert_eq!(data_of(&gone)["data"], Value::Null);
    assert_ne!(data_of(&gone)["metadata"]["deletion_time"], "");
    kv.send(Verb::Write, "undelete/a", json!({"versions": [1]})).await.unwrap();
    assert_eq!(kv.data(Verb::Read, "data/a", Value::Null).await["data"], json!({"x": "1"}));
    kv.send(Verb::Write, "destroy/a", json!({"versions": "1"})).await.unwrap();
    kv.send(Verb::Write, "undelete/a", json!({"versions": [1]})).await.unwrap();
    let gone = kv.send(Verb::Read, "data/a", Value::Null).await.unwrap();
    assert_eq!(data_of(&gone)["metadata"]["destroyed"], true);
}

#[tokio::test]
async fn versions_end_by_themselves() {
    let kv = Mount::versioned().await;
    kv.send(Verb::Write, "config", json!({"delete_version_after": "30s"})).await.unwrap();
    assert_eq!(kv.data(Verb::Read, "config", Value::Null).await["delete_version_after"], "30s");
    kv.data(Verb::Write, "data/a", json!({"data": {"x": "1"}})).await;
    kv.data(Verb::Read, "data/a", Value::Null).await;
    kv.clock.advance(30);
    assert!(kv.clock.now().as_second() > 0);
    let gone = kv.send(Verb::Read, "data/a", Value::Null).await.unwrap();
    assert_eq!(gone.disposition, Disposition::AbsentWithData);
}

#[tokio::test]
async fn metadata_lists_patches_and_deletes() {
    let kv = Mount::versioned().await;
    kv.data(Verb::Write, "data/d/e", json!({"data": {"x": "1", "y": {"z": 1}}})).await;
    kv.send(Verb::Write, "metadata/d/e", json!({"max_versions": "2", "custom_metadata": {"k": 5}})).await.unwrap();
    kv.send(Verb::Patch, "metadata/d/e", json!({"custom_metadata": {"l": "m", "k": null}})).await.unwrap();
    let metadata = kv.data(Verb::Read, "metadata/d/e", Value::Null).await;
    assert_eq!(metadata["custom_metadata"], json!({"l": "m"}));
    assert_eq!(metadata["current_metadata_version"], 2);
    assert_eq!(metadata["max_versions"], 2);
    assert_eq!(metadata["versions"]["1"]["destroyed"], false);
    assert_eq!(kv.data(Verb::List, "metadata", Value::Null).await, json!({"keys": ["d/"]}));
    let subkeys = kv.data(Verb::Read, "subkeys/d/e", Value::Null).await;
    assert_eq!(subkeys["subkeys"], json!({"x": null, "y": {"z": null}}));
    kv.data(Verb::Patch, "data/d/e", json!({"data": {"x": null}})).await;
    assert_eq!(kv.data(Verb::Read, "data/d/e", Value::Null).await["data"], json!({"y": {"z": 1}}));
    kv.send(Verb::Delete, "metadata/d/e", Value::Null).await.unwrap();
    assert!(matches!(kv.send(Verb::Read, "data/d/e", Value::Null).await, Err(Fault::Absent)));
    assert_eq!(
        kv.send(Verb::Patch, "data/d/e", json!({"data": {}})).await.unwrap().disposition,
        Disposition::Chosen(404)
    );
}

#[tokio::test]
async fn unversioned_paths_are_explained() {
    let kv = Mount::versioned().await;
    let answer = kv.send(Verb::Read, "a", Value::Null).await.unwrap();
    assert_eq!(answer.disposition, Disposition::AbsentWithData);
    assert!(answer.warnings[0].starts_with("Invalid path for a versioned K/V secrets engine"), "{:?}", answer.warnings);
}

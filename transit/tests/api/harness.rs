//! A mount with a root caller, spoken to in JSON.

use crate::token;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::{
    Body, Call, Clock as _, Engine, Fault, Hosted, Identity, MountPoint, Operation, Response, RouteMiss, Verb,
    clock::ManualClock,
    identity::TokenType,
    policy::{AccessRequest, Acl, Policy},
    response::Disposition,
};
use chancery_hsm::{ExternalKeys, Hsm};
use chancery_store::{
    Changes, Initialize, SealChoice, Store,
    backend::{Backend, Memory},
};
use chancery_transit::Transit;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// 2026-11-21T00:00:00Z
pub(crate) const NOW: i64 = 1_795_219_200;

/// Where the mount's entries lie in the store.
const VIEW: &str = "mount/1/";

pub(crate) struct Mount {
    pub(crate) engine: Hosted<Transit>,
    pub(crate) transit: Arc<Transit>,
    pub(crate) hsm: Hsm,
    pub(crate) clock: ManualClock,
    pub(crate) store: Store,
}

/// An answer with the status the edge gives it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) data: Value,
    pub(crate) error: String,
    pub(crate) warnings: Vec<String>,
}

impl Mount {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(Memory::default())).await
    }

    /// A mount in a new store on this backend.
    pub(crate) async fn on(backend: Arc<dyn Backend>) -> Self {
        let store = Store::on(backend, Arc::new(Timestamp::now)).await.unwrap();
        store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
        Self::start(store, token::open().await, ManualClock::at(NOW))
    }

    /// The mount as the next process finds it: only store, token and time are the same.
    pub(crate) fn restarted(&self) -> Self {
        Self::start(self.store.clone(), self.hsm.clone(), self.clock.clone())
    }

    fn start(store: Store, hsm: Hsm, clock: ManualClock) -> Self {
        let view = store.view(VIEW);
        let transit = Transit::new(view, store.clone(), Some(hsm.clone()), Arc::new(clock.clone()));
        Self { engine: Hosted::new(Arc::clone(&transit)), transit, hsm, clock, store }
    }

    /// A mount that may use registered keys.
    pub(crate) async fn with_external_keys(keys: Arc<dyn ExternalKeys>) -> Self {
        let mut mount = Self::new().await;
        let (view, clock) = (mount.store.view(VIEW), Arc::new(mount.clock.clone()));
        let hsm = Some(mount.hsm.clone());
        mount.transit = Transit::with_external_keys(view, mount.store.clone(), hsm, keys, clock);
        mount.engine = Hosted::new(Arc::clone(&mount.transit));
        mount
    }

    /// A mount with one key named `k`.
    pub(crate) async fn with_key(parameters: Value) -> Self {
        let mount = Self::new().await;
        let made = mount.write("keys/k", parameters).await;
        assert_eq!(made.status, 200, "{made:?}");
        mount
    }

    /// The mount's own work, as the server starts it every minute.
    pub(crate) async fn tick(&self) -> Result<(), Fault> {
        self.engine.tick(mount_point(), self.clock.now()).await?;
        self.engine.tend().await
    }

    /// An entry of the mount's view as JSON.
    pub(crate) async fn entry(&self, place: &str) -> Option<Value> {
        self.store.view(VIEW).read(place).await.unwrap().map(|entry| entry.decode().unwrap())
    }

    /// Replaces an entry of the mount's view.
    pub(crate) async fn put_entry(&self, place: &str, value: &Value) {
        let mut changes = Changes::default();
        changes.put(&self.store.view(VIEW), place, value).unwrap();
        self.store.commit(changes).await.unwrap();
    }

    pub(crate) async fn write(&self, path: &str, body: Value) -> Reply {
        let body = token::protect(path, body);
        self.send(Verb::Write, path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn read(&self, path: &str, parameters: Value) -> Reply {
        self.send(Verb::Read, path, parameters.to_string().into_bytes()).await
    }

    pub(crate) async fn list(&self, path: &str, parameters: Value) -> Reply {
        self.send(Verb::List, path, parameters.to_string().into_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Verb::Delete, path, Vec::new()).await
    }

    pub(crate) async fn send(&self, verb: Verb, path: &str, body: Vec<u8>) -> Reply {
        self.send_as(verb, path, body, None).await
    }

    /// Sends with an operation that is not the one the existence check gives.
    pub(crate) async fn send_as(&self, verb: Verb, path: &str, body: Vec<u8>, forced: Option<Operation>) -> Reply {
        let matched = match self.engine.find(verb, path) {
            Ok(matched) => matched,
            Err(RouteMiss::Path) => return Reply::failed(404, "unsupported path"),
            Err(RouteMiss::Operation) => return Reply::failed(405, "unsupported operation"),
        };
        let operation = match verb {
            Verb::Read => Operation::Read,
            Verb::List => Operation::List,
            Verb::Delete => Operation::Delete,
            _ if self.engine.exists(&matched).await.unwrap() => Operation::Update,
            _ => Operation::Create,
        };
        let body = Body::from_json(body);
        let identity = root();
        let full_path = format!("transit/{path}");
        let access = AccessRequest {
            path: &full_path,
            operation: forced.unwrap_or(operation),
            body: &body,
            needs_sudo: false,
            wrap_ttl: None,
        };
        let permit = identity.acl.authorize(&identity, &access).unwrap();
        let call = Call::new(permit, mount_point(), matched.captures.clone(), body);
        Reply::of(self.engine.handle(matched.index, verb, call).await)
    }

    /// Encrypts with `k` and answers the ciphertext.
    pub(crate) async fn ciphertext(&self, plaintext: &[u8]) -> String {
        let reply = self.write("encrypt/k", json!({"plaintext": b64(plaintext)})).await;
        reply.data["ciphertext"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
    }
}

impl Reply {
    fn failed(status: u16, error: &str) -> Self {
        Self { status, data: Value::Null, error: error.to_owned(), warnings: Vec::new() }
    }

    fn of(outcome: Result<Response, Fault>) -> Self {
        let response = match outcome {
            Ok(response) => response,
            Err(fault) => {
                let status = match &fault {
                    Fault::Caller(_) => 400,
                    Fault::Absent => 404,
                    Fault::Sealed | Fault::Busy { .. } => 503,
                    _ => 500,
                };
                return Self::failed(status, &fault.to_string());
            }
        };
        let status = match response.disposition {
            Disposition::Done if response.is_empty() => 204,
            Disposition::Done => 200,
            Disposition::CallerFailedInPart => 400,
            Disposition::InternalFailedInPart => 500,
            Disposition::Chosen(code) => code,
            other => panic!("{other:?}"),
        };
        let data = response.data.map_or(Value::Null, |data| serde_json::from_slice(data.expose()).unwrap());
        Self { status, data, error: String::new(), warnings: response.warnings }
    }

    /// Asserts a 400 with this text.
    #[track_caller]
    pub(crate) fn refused(&self, text: &str) {
        assert_eq!((self.status, self.error.as_str()), (400, text), "{self:?}");
    }

    /// Asserts a 200 and answers the data.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.data
    }
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_b64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// The bytes of a ciphertext, and it again with other bytes.
pub(crate) fn payload(ciphertext: &str) -> Vec<u8> {
    from_b64(ciphertext.rsplit(':').next().unwrap())
}

pub(crate) fn envelope(version: &str, payload: &[u8]) -> String {
    format!("vault:{version}:{}", b64(payload))
}

fn root() -> Arc<Identity> {
    let policy = Policy { name: "root".to_owned(), ..Policy::default() };
    Arc::new(Identity {
        token_key: String::new(),
        accessor: String::new(),
        display_name: "root".to_owned(),
        policies: Arc::from(["root".to_owned()]),
        metadata: BTreeMap::new(),
        path: String::new(),
        entity_id: String::new(),
        token_type: TokenType::Service,
        token_ttl: 0,
        issue_time: "2026-11-21T00:00:00Z".parse().unwrap(),
        remaining_uses: 0,
        acl: Arc::new(Acl::compile(&[Arc::new(policy)])),
    })
}

fn mount_point() -> Arc<MountPoint> {
    Arc::new(MountPoint {
        path: "transit/".to_owned(),
        kind: "transit".to_owned(),
        accessor: "transit_1".to_owned(),
        uuid: "1".to_owned(),
        default_lease_ttl: 0,
        max_lease_ttl: 0,
        options: BTreeMap::new(),
    })
}

//! A mount with a root caller, spoken to in JSON.

use chancery_ca::CertificateAuthority;
use chancery_engine::{
    Body, Call, Clock, Engine, Fault, Hosted, Identity, MountPoint, Operation, Response, RouteMiss, Verb,
    clock::ManualClock,
    identity::TokenType,
    policy::{AccessRequest, Acl, Policy},
    response::LeaseGrant,
};
use chancery_hsm::Hsm;
use chancery_store::{Initialize, SealChoice, Store};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// 2026-11-21T00:00:00Z
pub(crate) const NOW: i64 = 1_795_219_200;

pub(crate) struct Mount {
    pub(crate) engine: Hosted<CertificateAuthority>,
    pub(crate) hsm: Hsm,
    pub(crate) clock: ManualClock,
    pub(crate) store: Store,
    point: Arc<MountPoint>,
}

/// An answer with the status the edge gives it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) data: Value,
    pub(crate) error: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) raw: Vec<u8>,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) lease: Option<LeaseGrant>,
}

impl Mount {
    pub(crate) async fn new() -> Self {
        let store = Store::memory().await.unwrap();
        store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
        Self::beside(store, Hsm::software(), "1")
    }

    /// Another mount on the same store and token.
    pub(crate) fn beside(store: Store, hsm: Hsm, uuid: &str) -> Self {
        let clock = ManualClock::at(NOW);
        let view = store.view(&format!("mount/{uuid}/"));
        let authority = CertificateAuthority::new(view, store.clone(), Some(hsm.clone()), Arc::new(clock.clone()));
        let point = MountPoint {
            path: format!("pki{uuid}/"),
            kind: "pki".to_owned(),
            accessor: format!("pki_{uuid}"),
            uuid: uuid.to_owned(),
            default_lease_ttl: 2_764_800,
            max_lease_ttl: 315_360_000,
            options: BTreeMap::new(),
        };
        Self { engine: Hosted::new(authority), hsm, clock, store, point: Arc::new(point) }
    }

    /// A mount with a P-256 root of ten years.
    pub(crate) async fn with_root() -> Self {
        let mount = Self::new().await;
        let parameters = json!({"common_name": "Root", "key_type": "ec", "ttl": "87600h", "issuer_name": "root"});
        mount.write("root/generate/internal", parameters).await.ok();
        mount
    }

    /// A mount with a root and a role `r` made of these members over `key_type` ec and `ttl` 1h.
    pub(crate) async fn with_role(role: Value) -> Self {
        let mount = Self::with_root().await;
        mount.role("r", role).await;
        mount
    }

    /// The test's time, in seconds.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    pub(crate) async fn role(&self, name: &str, role: Value) {
        let mut all = json!({"key_type": "ec", "ttl": "1h"});
        for (member, value) in role.as_object().unwrap() {
            all[member] = value.clone();
        }
        self.write(&format!("roles/{name}"), all).await.ok();
    }

    pub(crate) async fn write(&self, path: &str, body: Value) -> Reply {
        self.send(Verb::Write, path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn read(&self, path: &str) -> Reply {
        self.send(Verb::Read, path, Vec::new()).await
    }

    pub(crate) async fn list(&self, path: &str) -> Reply {
        self.send(Verb::List, path, Vec::new()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Verb::Delete, path, Vec::new()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Verb::Patch, path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn send(&self, verb: Verb, path: &str, body: Vec<u8>) -> Reply {
        let matched = match self.engine.find(verb, path) {
            Ok(matched) => matched,
            Err(RouteMiss::Path) => return Reply::failed(404, "unsupported path"),
            Err(RouteMiss::Operation) => return Reply::failed(405, "unsupported operation"),
        };
        let operation = match verb {
            Verb::Read => Operation::Read,
            Verb::List => Operation::List,
            Verb::Delete => Operation::Delete,
            Verb::Patch => Operation::Patch,
            _ if self.engine.exists(&matched).await.unwrap() => Operation::Update,
            _ => Operation::Create,
        };
        let body = Body::from_json(body);
        let identity = root();
        let path = format!("{}{path}", self.point.path);
        let access = AccessRequest { path: &path, operation, body: &body, needs_sudo: false, wrap_ttl: None };
        let permit = identity.acl.authorize(&identity, &access).unwrap();
        let call = Call::new(permit, Arc::clone(&self.point), matched.captures.clone(), body);
        Reply::of(self.engine.handle(matched.index, verb, call).await)
    }
}

impl Reply {
    fn failed(status: u16, error: &str) -> Self {
        Self {
            status,
            data: Value::Null,
            error: error.to_owned(),
            warnings: Vec::new(),
            raw: Vec::new(),
            content_type: "application/json",
            headers: Vec::new(),
            lease: None,
        }
    }

    fn of(outcome: Result<Response, Fault>) -> Self {
        let response = match outcome {
            Ok(response) => response,
            Err(fault) => {
                let status = match &fault {
                    Fault::Caller(_) => 400,
                    Fault::Absent | Fault::NotFound(_) => 404,
                    Fault::Sealed | Fault::Busy { .. } => 503,
                    _ => 500,
                };
                return Self::failed(status, &fault.to_string());
            }
        };
        let status = if response.is_empty() && response.warnings.is_empty() { 204 } else { 200 };
        let data = response.data.map_or(Value::Null, |data| serde_json::from_slice(data.expose()).unwrap());
        let (content_type, raw, headers) = response
            .raw
            .map_or(("application/json", Vec::new(), Vec::new()), |raw| (raw.content_type, raw.bytes, raw.headers));
        let (warnings, lease) = (response.warnings, response.lease);
        Self { status, data, error: String::new(), warnings, raw, content_type, headers, lease }
    }

    /// Asserts a 400 with this text.
    #[track_caller]
    pub(crate) fn refused(&self, text: &str) {
        assert_eq!((self.status, self.error.as_str()), (400, text), "{self:?}");
    }

    /// Asserts a 404 with this text.
    #[track_caller]
    pub(crate) fn missing(&self, text: &str) {
        assert_eq!((self.status, self.error.as_str()), (404, text), "{self:?}");
    }

    /// Asserts a 200 and answers the data.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.data
    }

    /// Asserts a 200 and answers a text of the data.
    #[track_caller]
    pub(crate) fn text(self, member: &str) -> String {
        let data = self.ok();
        data[member].as_str().unwrap_or_else(|| panic!("no {member} in {data}")).to_owned()
    }
}

/// What happens about once a minute.
pub(crate) async fn tick(mount: &Mount, seconds: i64) -> Result<(), Fault> {
    mount.engine.tick(Arc::clone(&mount.point), Timestamp::from_second(seconds).unwrap()).await
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

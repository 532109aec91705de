//! The appliance the tests talk to.

use chancery_engine::{SystemClock, response::AuthBlock};
use chancery_hsm::Hsm;
use chancery_server::{
    Appliance, Core,
    audit::NewDevice,
    config::Config,
    core::{Parts, Settings},
    mount::{MountClass, NewMount},
};
use chancery_store::{Initialize, SealChoice, Store};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc};

pub(crate) struct Running {
    pub(crate) appliance: Appliance,
    pub(crate) root: String,
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Settings with a key-encryption label and nothing else said.
pub(crate) fn settings() -> Settings {
    Settings::default()
}

/// An audit sink that writes to `path`.
pub(crate) fn file_sink(path: &Path) -> NewDevice {
    NewDevice {
        path: "file".to_owned(),
        kind: "file".to_owned(),
        options: BTreeMap::from([("file_path".to_owned(), path.display().to_string())]),
        ..NewDevice::default()
    }
}

/// An unsealed appliance with a root token and a `kv/` mount.
pub(crate) async fn start() -> Running {
    start_with(Store::memory().await.unwrap(), Hsm::software(), settings()).await
}

/// The same over a store and a token of the caller's; initialises the store if nobody has.
pub(crate) async fn start_with(store: Store, hsm: Hsm, settings: Settings) -> Running {
    let barrier = store.barrier().clone();
    let fresh = barrier.state().await.seal.is_none();
    if fresh {
        let seal = SealChoice::Pkcs11 {
            hsm: hsm.clone(),
            key_label: settings.key_encryption_label.clone(),
            recovery_shares: 1,
            recovery_threshold: 1,
        };
        barrier.initialize(Initialize { seal }).await.unwrap();
    }
    let parts = Parts { clock: Arc::new(SystemClock), store, hsm: Some(hsm), settings };
    let appliance = Appliance::start_with(&Config::for_tests(), parts).await.unwrap();
    let AuthBlock { client_token, .. } = appliance.core().tokens.create_root(None).await.unwrap();
    if fresh {
        let new = NewMount::new(MountClass::Secret, "kv", "kv");
        appliance.core().mounts.mount(new).await.unwrap();
    }
    let url = format!("http://{}", appliance.addresses()[0].0);
    let client = reqwest::Client::builder().build().unwrap();
    Running { appliance, root: client_token.expose().to_owned(), client, url }
}

impl Running {
    pub(crate) fn core(&self) -> &Arc<Core> {
        self.appliance.core()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request of the root token's.
    pub(crate) async fn root(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = self.request(method, path).header("X-Vault-Token", &self.root).body(body.to_owned());
        Answer::of(request.send().await.unwrap()).await
    }

    /// A request of nobody's.
    pub(crate) async fn stranger(&self, method: &str, path: &str, body: &str) -> Answer {
        Answer::of(self.request(method, path).body(body.to_owned()).send().await.unwrap()).await
    }

    /// A token with these policies.
    pub(crate) async fn token(&self, policies: &[&str]) -> String {
        let new = chancery_auth::NewToken {
            policies: policies.iter().map(|name| (*name).to_owned()).collect(),
            path: "auth/token/create".to_owned(),
            display_name: "token".to_owned(),
            mount_ttls: (3600, 7200),
            ..chancery_auth::NewToken::default()
        };
        self.core().tokens.create(new).await.unwrap().0.client_token.expose().to_owned()
    }

    /// A request with a token of the caller's.
    pub(crate) async fn with_token(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let request = self.request(method, path).header("X-Vault-Token", token).body(body.to_owned());
        Answer::of(request.send().await.unwrap()).await
    }
}

#[tokio::test]
async fn a_restarted_appliance_unseals_itself_and_keeps_its_data() {
    let (store, hsm) = (Store::memory().await.unwrap(), Hsm::software());
    let first = start_with(store.clone(), hsm.clone(), settings()).await;
    assert_eq!(first.root("POST", "/v1/kv/a", r#"{"b":"c"}"#).await.status, 204);
    let cluster = first.core().cluster().unwrap().id.clone();
    first.appliance.shutdown().await;
    let second = start_with(store, hsm, settings()).await;
    assert_eq!(second.root("GET", "/v1/kv/a", "").await.json()["data"]["b"], "c");
    assert_eq!(second.core().cluster().unwrap().id, cluster);
}

#[tokio::test]
async fn a_sealed_appliance_answers_nothing_but_that() {
    let running = start().await;
    running.core().seal().await;
    for (method, path) in [("GET", "/v1/kv/a"), ("POST", "/v1/kv/a"), ("GET", "/v1/nosuch"), ("LIST", "/v1/kv")] {
        let answer = running.root(method, path, "").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE.as_u16(), "{method} {path}");
        assert_eq!(answer.text, "{\"errors\":[\"Vault is sealed\"]}\n");
    }
    assert_eq!(running.stranger("GET", "/readyz", "").await.status, 503);
    assert_eq!(running.stranger("GET", "/livez", "").await.status, 200);
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::for_tests();
    config.listeners[0].address = taken.local_addr().unwrap().to_string();
    let error = Appliance::start(config).await.err().unwrap().to_string();
    assert!(error.contains("another process uses that port") && error.lines().count() == 1, "{error}");
}

#[tokio::test]
async fn a_clock_that_is_to_stand_still_stands_still() {
    let moment: jiff::Timestamp = "2027-03-01T12:00:00Z".parse().unwrap();
    let mut config = Config::for_tests();
    config.settings.fixed_clock = Some(moment);
    let appliance = Appliance::start(config).await.unwrap();
    let url = format!("http://{}/v1/sys/health?uninitcode=200", appliance.addresses()[0].0);
    let health: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(health["server_time_utc"], moment.as_second());
    assert_eq!(appliance.core().clock.now(), moment);
    appliance.shutdown().await;
}

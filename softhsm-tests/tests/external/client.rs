//! An appliance in this process, spoken to over HTTP as root.

use crate::token::Token;
use chancery_engine::SystemClock;
use chancery_hsm::Hsm;
use chancery_server::{
    Appliance,
    config::Config,
    core::{Parts, Settings},
    external::KmsLibrary,
};
use chancery_store::{Initialize, SealChoice, Store};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) struct Client {
    appliance: Appliance,
    http: reqwest::Client,
    url: String,
    root: String,
}

impl Client {
    /// An appliance with a token of its own, whose module it also knows as the library `operator`.
    pub(crate) async fn start(token: &Token) -> Self {
        let hsm = Hsm::open(token.config()).await.expect("the appliance's token opens");
        let store = Store::memory().await.expect("a store");
        let library = KmsLibrary { module: token.module.clone(), sessions: Some(2), queue: None };
        let settings =
            Settings { kms_libraries: BTreeMap::from([("operator".to_owned(), library)]), ..Settings::default() };
        let seal = SealChoice::Pkcs11 {
            hsm: hsm.clone(),
            key_label: settings.key_encryption_label.clone(),
            recovery_shares: 1,
            recovery_threshold: 1,
        };
        store.barrier().clone().initialize(Initialize { seal }).await.expect("the store is initialised");
        let parts = Parts { clock: Arc::new(SystemClock), store, hsm: Some(hsm), settings };
        let appliance = Appliance::start_with(&Config::for_tests(), parts).await.expect("the appliance starts");
        let root = appliance.core().tokens.create_root(None).await.expect("a root token");
        let url = format!("http://{}/v1/", appliance.addresses().first().expect("a listener").0);
        let root = root.client_token.expose().to_owned();
        let client = Self { appliance, http: reqwest::Client::new(), url, root };
        client.call("POST", "sys/mounts/transit", serde_json::json!({"type": "transit"})).await;
        client
    }

    pub(crate) async fn stop(self) {
        self.appliance.shutdown().await;
    }

    /// Status and body.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url)).header("X-Vault-Token", &self.root);
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let response = request.send().await.expect("the appliance answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The data of an answer that must be a success.
    pub(crate) async fn ok(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let (status, mut answer) = self.call(method, path, body.clone()).await;
        if status == 200 || status == 204 {
            return Ok(answer.get_mut("data").map(Value::take).unwrap_or_default());
        }
        Err(format!("{method} {path} {body}: {status} {answer}"))
    }

    /// The text of an answer that must be a refusal.
    pub(crate) async fn refused(&self, method: &str, path: &str, body: Value) -> Result<String, String> {
        let (status, answer) = self.call(method, path, body.clone()).await;
        let text = answer.pointer("/errors/0").and_then(Value::as_str);
        match (status, text) {
            (400, Some(text)) => Ok(text.to_owned()),
            _ => Err(format!("{method} {path} {body}: {status} {answer}, not a refusal")),
        }
    }
}

//! A mount with a root and its ACME server, spoken to as the door speaks to it; a client that signs; a web server that
//! answers every http-01 challenge of one account.

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_acme_server::{AcmeServer, Front, Knobs};
use chancery_ca::CertificateAuthority;
use chancery_engine::{
    Body, Call, Clock as _, Engine, Fault, Identity, MountPoint, Operation, Response, Verb,
    clock::ManualClock,
    identity::TokenType,
    policy::{AccessRequest, Acl, Policy},
    response::Disposition,
};
use chancery_hsm::Hsm;
use chancery_store::{Initialize, SealChoice, Store};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

pub(crate) const BASE: &str = "https://acme.test/v1/pki/";

/// 2026-11-21T00:00:00Z
const NOW: i64 = 1_795_219_200;

pub(crate) struct Mount {
    pub(crate) front: Front,
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) hsm: Hsm,
    point: Arc<MountPoint>,
    knobs: Knobs,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

pub(crate) struct Client<'m> {
    pub(crate) mount: &'m Mount,
    pub(crate) key: Key,
    pub(crate) account: Option<String>,
    pub(crate) nonce: String,
    pub(crate) directory: String,
}

pub(crate) struct Key(EcdsaKeyPair);

/// Answers `/.well-known/acme-challenge/<token>` with the token and whatever thumbprint is set.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) port: u16,
    pub(crate) thumbprint: Arc<Mutex<String>>,
}

impl Web {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let web = Self { port: listener.local_addr().unwrap().port(), thumbprint: Arc::default() };
        let thumbprint = Arc::clone(&web.thumbprint);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let thumbprint = Arc::clone(&thumbprint);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 4096];
                    let length = stream.read(&mut buffer).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or_default();
                    let token = path.rsplit('/').next().unwrap_or_default();
                    let body = format!("{token}.{}", thumbprint.lock());
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    let _gone = stream.write_all(format!("{head}{body}").as_bytes()).await;
                });
            }
        });
        web
    }
}

impl Mount {
    /// A mount with a root, a role `web` and ACME on, whose challenges are looked for at the web server's port.
    pub(crate) async fn new(web: &Web) -> Self {
        Self::with(Knobs { http_port: Some(web.port), allow_private: true, ..Knobs::default() }).await
    }

    pub(crate) async fn with(knobs: Knobs) -> Self {
        Self::beside(Store::memory().await.unwrap(), knobs).await
    }

    /// The same in a database that holds nothing yet.
    pub(crate) async fn beside(store: Store, knobs: Knobs) -> Self {
        store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
        let mount = Self::on(store, Hsm::software(), knobs);
        let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "87600h", "issuer_name": "root"});
        mount.admin(Verb::Write, "root/generate/internal", root).await.unwrap();
        let role = json!({"allow_any_name": true, "key_type": "any", "ttl": "24h", "max_ttl": "240h"});
        mount.admin(Verb::Write, "roles/web", role).await.unwrap();
        let cluster = json!({"path": BASE.trim_end_matches('/')});
        mount.admin(Verb::Write, "config/cluster", cluster).await.unwrap();
        mount.admin(Verb::Write, "config/acme", json!({"enabled": true})).await.unwrap();
        mount
    }

    /// The same mount after a crash: nothing of its memory is left.
    pub(crate) fn restarted(&self) -> Self {
        self.restarted_with(self.knobs.clone())
    }

    /// The same with other switches.
    pub(crate) fn restarted_with(&self, knobs: Knobs) -> Self {
        let again = Self::on(self.store.clone(), self.hsm.clone(), knobs);
        again.clock.advance(self.clock.now().as_second() - NOW);
        again
    }

    /// The same with another token.
    pub(crate) fn restarted_on(&self, hsm: Hsm) -> Self {
        let again = Self::on(self.store.clone(), hsm, self.knobs.clone());
        again.clock.advance(self.clock.now().as_second() - NOW);
        again
    }

    fn on(store: Store, hsm: Hsm, knobs: Knobs) -> Self {
        let clock = ManualClock::at(NOW);
        let view = store.view("mount/1/");
        let shared: Arc<dyn chancery_engine::Clock> = Arc::new(clock.clone());
        let authority = CertificateAuthority::new(view.clone(), store.clone(), Some(hsm.clone()), Arc::clone(&shared));
        let acme = AcmeServer::new(Arc::clone(&authority), (&view, store.clone()), shared, knobs.clone()).unwrap();
        let point = MountPoint {
            path: "pki/".to_owned(),
            kind: "pki".to_owned(),
            accessor: "pki_1".to_owned(),
            uuid: "1".to_owned(),
            default_lease_ttl: 2_764_800,
            max_lease_ttl: 315_360_000,
            options: BTreeMap::new(),
        };
        Self { front: Front::new(authority, acme), store, clock, hsm, point: Arc::new(point), knobs }
    }

    /// What an operator does; the answer's data, or the text of the refusal.
    pub(crate) async fn admin(&self, verb: Verb, path: &str, body: Value) -> Result<Value, String> {
        let matched = self.front.find(verb, path).map_err(|miss| format!("{miss:?}"))?;
        let operation = match verb {
            Verb::Read => Operation::Read,
            Verb::List => Operation::List,
            Verb::Delete => Operation::Delete,
            _ => Operation::Update,
        };
        let body = Body::from_json(body.to_string().into_bytes());
        let (identity, place) = (root(), format!("pki/{path}"));
        let access = AccessRequest { path: &place, operation, body: &body, needs_sudo: false, wrap_ttl: None };
        let permit = identity.acl.authorize(&identity, &access).unwrap();
        let call = Call::new(permit, Arc::clone(&self.point), matched.captures.clone(), body);
        let response = self.front.handle(matched.index, verb, call).await.map_err(|fault| fault.to_string())?;
        Ok(response.data.map_or(Value::Null, |data| serde_json::from_slice(data.expose()).unwrap()))
    }

    /// What goes on when the server starts.
    pub(crate) async fn begin(&self) -> Result<(), Fault> {
        self.front.begin(Arc::clone(&self.point)).await
    }

    /// What goes on about once a minute.
    pub(crate) async fn tick(&self) -> Result<(), Fault> {
        self.front.tick(Arc::clone(&self.point), self.clock.now()).await
    }

    /// A request of the protocol, as the door carries it.
    pub(crate) async fn send(&self, verb: Verb, url: &str, carried: Value) -> Reply {
        let path = url.strip_prefix(BASE).unwrap_or(url);
        let Ok(matched) = self.front.find(verb, path) else {
            return Reply { status: 404, body: Vec::new(), headers: Vec::new() };
        };
        let operation = if verb == Verb::Read { Operation::Read } else { Operation::Update };
        let permit = Acl::permit_public(&matched, operation).expect("a route of the protocol is public");
        let body = Body::from_json(carried.to_string().into_bytes());
        let mut call = Call::new(permit, Arc::clone(&self.point), matched.captures.clone(), body);
        call.client = Some("192.0.2.1:1234".parse().unwrap());
        Reply::of(self.front.handle(matched.index, verb, call).await.unwrap())
    }

    pub(crate) async fn get(&self, url: &str) -> Reply {
        self.send(Verb::Read, url, json!({})).await
    }

    /// A request with a body of any kind.
    pub(crate) async fn post(&self, url: &str, text: &str) -> Reply {
        self.send(Verb::Write, url, json!({"content_type": "application/jose+json", "jws": text})).await
    }

    pub(crate) async fn nonce(&self) -> String {
        self.get(&format!("{BASE}acme/new-nonce")).await.header("replay-nonce").unwrap()
    }

    /// A client with an account at the mount's own directory.
    pub(crate) async fn client(&self, web: &Web) -> Client<'_> {
        let mut client = self.stranger("acme").await;
        *web.thumbprint.lock() = client.key.thumbprint();
        client.register(json!({})).await.created();
        client
    }

    /// A client without an account.
    pub(crate) async fn stranger(&self, directory: &str) -> Client<'_> {
        let nonce = self.nonce().await;
        Client { mount: self, key: Key::new(), account: None, nonce, directory: format!("{BASE}{directory}") }
    }
}

impl Reply {
    fn of(response: Response) -> Self {
        let raw = response.raw.expect("the protocol answers in its own form");
        let status = match response.disposition {
            Disposition::Chosen(status) => status,
            other => panic!("{other:?}"),
        };
        let mut headers: Vec<_> = raw.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        headers.push(("content-type".to_owned(), raw.content_type.to_owned()));
        Self { status, body: raw.bytes, headers }
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub(crate) fn links(&self, relation: &str) -> Vec<String> {
        let wanted = format!(">;rel=\"{relation}\"");
        self.headers
            .iter()
            .filter(|(name, _)| name == "link")
            .filter_map(|(_, value)| Some(value.strip_suffix(&wanted)?.trim_start_matches('<').to_owned()))
            .collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn created(&self) -> String {
        assert_eq!(self.status, 201, "{}", String::from_utf8_lossy(&self.body));
        self.header("location").expect("what was made has a place")
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts a problem document of this type and status; answers its detail.
    #[track_caller]
    pub(crate) fn problem(&self, kind: &str, status: u16) -> String {
        let document = self.json();
        assert_eq!(self.header("content-type").as_deref(), Some("application/problem+json"), "{document}");
        assert_eq!(document["type"], format!("urn:ietf:params:acme:error:{kind}"), "{document}");
        assert_eq!(self.status, status, "{document}");
        let detail = document["detail"].as_str().unwrap().to_owned();
        assert!(detail.len() > 10, "{document}");
        detail
    }
}

impl Key {
    pub(crate) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref())
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({
            "crv": "P-256", "kty": "EC",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        })
    }

    pub(crate) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.jwk().to_string().as_bytes()))
    }

    /// A JWS with this header over this payload.
    pub(crate) fn sign(&self, header: &Value, payload: Option<&Value>) -> Value {
        let protected = URL_SAFE_NO_PAD.encode(header.to_string());
        let payload = payload.map(|payload| URL_SAFE_NO_PAD.encode(payload.to_string())).unwrap_or_default();
        let text = format!("{protected}.{payload}");
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        json!({"protected": protected, "payload": payload, "signature": URL_SAFE_NO_PAD.encode(signature.as_ref())})
    }

    /// A key by what [`Key::pkcs8`] gave.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Self {
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap())
    }

    /// The key as PKCS#8, for those who make requests with it.
    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        self.0.to_pkcs8v1().unwrap().as_ref().to_vec()
    }
}

impl Client<'_> {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.directory)
    }

    pub(crate) fn header(&self, url: &str) -> Value {
        let mut header = json!({"alg": "ES256", "nonce": self.nonce, "url": url});
        match &self.account {
            Some(account) => header["kid"] = account.as_str().into(),
            None => header["jwk"] = self.key.jwk(),
        }
        header
    }

    pub(crate) async fn signed(&mut self, url: &str, payload: Option<Value>) -> Reply {
        let jws = self.key.sign(&self.header(url), payload.as_ref());
        self.raw(url, &jws.to_string()).await
    }

    pub(crate) async fn raw(&mut self, url: &str, text: &str) -> Reply {
        let reply = self.mount.post(url, text).await;
        if let Some(nonce) = reply.header("replay-nonce") {
            self.nonce = nonce;
        }
        reply
    }

    pub(crate) async fn post(&mut self, url: &str, payload: Value) -> Reply {
        self.signed(url, Some(payload)).await
    }

    pub(crate) async fn read(&mut self, url: &str) -> Reply {
        self.signed(url, None).await
    }

    pub(crate) async fn register(&mut self, payload: Value) -> Reply {
        let reply = self.post(&self.url("new-account"), payload).await;
        if reply.status < 300 {
            self.account = reply.header("location");
        }
        reply
    }

    /// A new order for these addresses.
    pub(crate) async fn order(&mut self, addresses: &[&str]) -> (String, Value) {
        let identifiers: Vec<_> = addresses.iter().map(|value| json!({"type": "ip", "value": value})).collect();
        let reply = self.post(&self.url("new-order"), json!({"identifiers": identifiers})).await;
        (reply.created(), reply.json())
    }

    /// Answers every http-01 challenge of an order.
    pub(crate) async fn authorize(&mut self, order: &Value) {
        for url in order["authorizations"].as_array().unwrap() {
            let authorization = self.read(url.as_str().unwrap()).await.ok();
            if authorization["status"] == "pending" {
                let challenge = challenge(&authorization, "http-01");
                let reply = self.post(&challenge, json!({})).await.ok();
                assert_eq!(reply["status"], "valid", "{reply}");
            }
        }
    }

    /// A certificate for these addresses: its order and the chain.
    pub(crate) async fn certificate(&mut self, addresses: &[&str]) -> (String, String) {
        let (url, order) = self.order(addresses).await;
        self.authorize(&order).await;
        let finalized = self.post(order["finalize"].as_str().unwrap(), finalize(addresses)).await.ok();
        assert_eq!(finalized["status"], "valid", "{finalized}");
        let chain = self.read(finalized["certificate"].as_str().unwrap()).await;
        assert_eq!(chain.header("content-type").as_deref(), Some("application/pem-certificate-chain"));
        (url, String::from_utf8(chain.body).unwrap())
    }
}

/// URL of an authorization's challenge of this type.
#[track_caller]
pub(crate) fn challenge(authorization: &Value, kind: &str) -> String {
    let challenges = authorization["challenges"].as_array().unwrap();
    let found = challenges.iter().find(|challenge| challenge["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {authorization}"))["url"].as_str().unwrap().to_owned()
}

/// The payload of a finalize with a request for these names by a key of its own.
pub(crate) fn finalize(names: &[&str]) -> Value {
    finalize_with(&rcgen::KeyPair::generate().unwrap(), names)
}

pub(crate) fn finalize_with(key: &rcgen::KeyPair, names: &[&str]) -> Value {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let request = parameters.serialize_request(key).unwrap();
    json!({"csr": URL_SAFE_NO_PAD.encode(request.der())})
}

/// The first certificate of a chain, in DER.
pub(crate) fn leaf(chain: &str) -> Vec<u8> {
    chancery_ca::pem::decode_first(chain).unwrap().unwrap().bytes.to_vec()
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

//! A mount with a root caller, spoken to in JSON.

use chancery_engine::{
    Body, Call, Engine, Fault, Hosted, Identity, MountPoint, Operation, Response, RouteMiss, Verb,
    clock::ManualClock,
    identity::TokenType,
    policy::{AccessRequest, Acl, Policy},
    response::LeaseGrant,
};
use chancery_hsm::{Hsm, KeyAlgorithm, SignInput, SignScheme, software::SoftwareKey};
use chancery_ssh_ca::{SshAuthority, krl::Krl, public_key::SshPublicKey};
use chancery_store::{Initialize, SealChoice, Store};
use serde_json::{Value, json};
use ssh_key::{Certificate, encoding::Encode};
use std::{collections::BTreeMap, sync::Arc};

/// 2026-11-21T00:00:00Z
pub(crate) const NOW: i64 = 1_795_219_200;

pub(crate) struct Mount {
    pub(crate) engine: Hosted<SshAuthority>,
    pub(crate) hsm: Hsm,
    pub(crate) clock: ManualClock,
    pub(crate) store: Store,
    pub(crate) point: Arc<MountPoint>,
    /// Who asks.
    pub(crate) caller: Arc<Identity>,
}

/// An answer with the status the edge gives it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) data: Value,
    pub(crate) error: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) raw: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) lease: Option<LeaseGrant>,
}

/// A key pair of a user or a host.
pub(crate) struct Pair {
    pub(crate) private: SoftwareKey,
    pub(crate) public: SshPublicKey,
}

impl Pair {
    pub(crate) fn ed25519() -> Self {
        Self::of(KeyAlgorithm::Ed25519)
    }

    pub(crate) fn of(algorithm: KeyAlgorithm) -> Self {
        let private = SoftwareKey::generate(algorithm).unwrap();
        let public = SshPublicKey::from_spki(private.public_key_der().unwrap()).unwrap();
        Self { private, public }
    }

    pub(crate) fn line(&self) -> String {
        self.public.to_line()
    }

    /// What `ssh-keygen -Y sign -n NAMESPACE` makes of a message, for an Ed25519 key.
    pub(crate) fn proof(&self, namespace: &str, message: &str) -> String {
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let hash = chancery_hsm::HashAlgorithm::Sha512.digest(message.as_bytes());
        let common = [string(namespace.as_bytes()), string(b""), string(b"sha512")].concat();
        let signed = [&b"SSHSIG"[..], &common, &string(&hash)].concat();
        let signature = self.private.sign(SignScheme::Ed25519, &SignInput::Message(signed)).unwrap();
        let signature = [string(b"ssh-ed25519"), string(&signature)].concat();
        let blob = [&b"SSHSIG\0\0\0\x01"[..], &string(self.public.blob()), &common, &string(&signature)].concat();
        let text = data_encoding::BASE64.encode(&blob);
        let lines: Vec<&str> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }
}

impl Mount {
    pub(crate) async fn new() -> Self {
        let store = Store::memory().await.unwrap();
        store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
        Self::beside(store, Hsm::software(), "1")
    }

    /// Another mount on the same store and token; or the same one after a restart.
    pub(crate) fn beside(store: Store, hsm: Hsm, uuid: &str) -> Self {
        let clock = ManualClock::at(NOW);
        let view = store.view(&format!("mount/{uuid}/"));
        let authority = SshAuthority::new(view, store.clone(), Some(hsm.clone()), Arc::new(clock.clone()));
        let point = MountPoint {
            path: format!("ssh{uuid}/"),
            kind: "ssh".to_owned(),
            accessor: format!("ssh_{uuid}"),
            uuid: uuid.to_owned(),
            default_lease_ttl: 2_764_800,
            max_lease_ttl: 2_764_800,
            options: BTreeMap::new(),
        };
        let caller = caller("root", "", &[]);
        Self { engine: Hosted::new(authority), hsm, clock, store, point: Arc::new(point), caller }
    }

    /// A mount with a P-256 CA, a role `user` for everybody and a role `host` for example.com.
    pub(crate) async fn ready() -> Self {
        let mount = Self::new().await;
        mount.write("config/ca", json!({"key_type": "ec", "issuer_name": "main"})).await.ok();
        mount.role("user", json!({"allow_user_certificates": true, "allowed_users": "*", "ttl": "1h"})).await;
        let host = json!({
            "allow_host_certificates": true, "allowed_domains": "example.com", "allow_subdomains": true,
            "allow_host_renewal": true, "ttl": "24h", "renewal_grace": "2h",
        });
        mount.role("host", host).await;
        mount
    }

    /// Makes a role of these members over `key_type` ca.
    pub(crate) async fn role(&self, name: &str, members: Value) {
        let mut body = json!({"key_type": "ca"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        assert_eq!(self.write(&format!("roles/{name}"), body).await.status, 204);
    }

    /// A certificate under a role.
    pub(crate) async fn sign(&self, role: &str, key: &Pair, members: Value) -> Reply {
        let mut body = json!({"public_key": key.line()});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.write(&format!("sign/{role}"), body).await
    }

    pub(crate) async fn read(&self, path: &str) -> Reply {
        self.send(Verb::Read, path, Vec::new()).await
    }

    pub(crate) async fn list(&self, path: &str, body: Value) -> Reply {
        self.send(Verb::List, path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Verb::Delete, path, Vec::new()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Verb::Patch, path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn write(&self, path: &str, body: Value) -> Reply {
        self.send(Verb::Write, path, body.to_string().into_bytes()).await
    }

    /// The list of the mount, or of an issuer, as our reader has it.
    pub(crate) async fn krl(&self, path: &str) -> Krl {
        Krl::decode(&self.read(path).await.raw).unwrap()
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
        let path = format!("{}{path}", self.point.path);
        let access = AccessRequest { path: &path, operation, body: &body, needs_sudo: false, wrap_ttl: None };
        let permit = self.caller.acl.authorize(&self.caller, &access).unwrap();
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
                    Fault::Refused(_) | Fault::Denied => 403,
                    Fault::Absent | Fault::NotFound(_) => 404,
                    Fault::Sealed | Fault::Busy { .. } => 503,
                    _ => 500,
                };
                return Self::failed(status, &fault.to_string());
            }
        };
        let status = if response.is_empty() && response.warnings.is_empty() { 204 } else { 200 };
        let data = response.data.map_or(Value::Null, |data| serde_json::from_slice(data.expose()).unwrap());
        let (raw, headers) = response.raw.map_or_else(Default::default, |raw| (raw.bytes, raw.headers));
        let (warnings, lease) = (response.warnings, response.lease);
        Self { status, data, error: String::new(), warnings, raw, headers, lease }
    }

    /// Asserts a 400 with this text.
    #[track_caller]
    pub(crate) fn refused(&self, text: &str) {
        assert_eq!((self.status, self.error.as_str()), (400, text), "{self:?}");
    }

    /// Asserts a refusal whose text has this in it.
    #[track_caller]
    pub(crate) fn refused_for(&self, status: u16, text: &str) {
        assert!(self.status == status && self.error.contains(text), "{text}: {self:?}");
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

    /// Asserts a certificate and reads it.
    #[track_caller]
    pub(crate) fn certificate(self) -> Certificate {
        Certificate::from_openssh(&self.text("signed_key")).unwrap()
    }
}

/// The CA's key in a certificate.
pub(crate) fn signer(certificate: &Certificate) -> Vec<u8> {
    certificate.signature_key().encode_vec().unwrap()
}

/// A caller who may do everything, with the token of a login, or of nothing where `path` is empty.
pub(crate) fn caller(display_name: &str, path: &str, metadata: &[(&str, &str)]) -> Arc<Identity> {
    let policy = Policy { name: "root".to_owned(), ..Policy::default() };
    Arc::new(Identity {
        token_key: String::new(),
        accessor: String::new(),
        display_name: display_name.to_owned(),
        policies: Arc::from(["root".to_owned()]),
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        path: path.to_owned(),
        entity_id: String::new(),
        token_type: TokenType::Service,
        token_ttl: 0,
        issue_time: "2026-11-21T00:00:00Z".parse().unwrap(),
        remaining_uses: 0,
        acl: Arc::new(Acl::compile(&[Arc::new(policy)])),
    })
}

//! The road of a request as the server has it, without HTTP and audit.

use chancery_auth::{AppRole, Cubbyhole, Leases, Policies, TokenEngine, Tokens, Userpass};
use chancery_engine::{
    Access, Body, Call, Clock, Engine, Fault, Hosted, MountPoint, Operation, Permit, Response, SecretString, Verb,
    clock::ManualClock,
    policy::{AccessRequest, Acl},
    response::{AuthBlock, AuthOutcome, Disposition},
};
use chancery_store::{Initialize, SealChoice, Store};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

pub(crate) const ROOT: &str = "the-root-token";

/// An installation.
pub(crate) struct Rig {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) policies: Policies,
    pub(crate) tokens: Tokens,
    pub(crate) leases: Leases,
    pub(crate) client: SocketAddr,
    mounts: Vec<(Arc<MountPoint>, Arc<dyn Engine>)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) data: Value,
    pub(crate) auth: Option<AuthBlock>,
    pub(crate) warnings: Vec<String>,
    pub(crate) disposition: Disposition,
    pub(crate) is_empty: bool,
}

impl Answer {
    pub(crate) fn token(&self) -> String {
        self.auth.as_ref().unwrap().client_token.expose().to_owned()
    }

    pub(crate) fn auth(&self) -> &AuthBlock {
        self.auth.as_ref().unwrap()
    }
}

fn mount(path: &str, kind: &str) -> Arc<MountPoint> {
    Arc::new(MountPoint {
        path: path.to_owned(),
        kind: kind.to_owned(),
        accessor: format!("{kind}_1"),
        uuid: format!("uuid-{kind}"),
        default_lease_ttl: 2_764_800,
        max_lease_ttl: 2_764_800,
        options: BTreeMap::new(),
    })
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let store = Store::memory().await.unwrap();
        let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
        store.barrier().initialize(Initialize { seal }).await.unwrap();
        let clock = ManualClock::at(1_700_000_000);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let policies = Policies::new(store.clone(), Arc::clone(&shared));
        policies.ensure_builtin().await.unwrap();
        let tokens = Tokens::new(store.clone(), Arc::clone(&shared), policies.clone());
        tokens.create_root(Some(SecretString::new(ROOT.to_owned()))).await.unwrap();
        let view = |name: &str| store.view(&format!("mount/{name}"));
        let mounts: Vec<(Arc<MountPoint>, Arc<dyn Engine>)> = vec![
            (
                mount("auth/token/", "token"),
                Arc::new(Hosted::new(TokenEngine::new(tokens.clone(), &view("token"), store.clone()))),
            ),
            (
                mount("auth/approle/", "approle"),
                Arc::new(Hosted::new(AppRole::new(view("approle"), store.clone(), Arc::clone(&shared)))),
            ),
            (
                mount("auth/userpass/", "userpass"),
                Arc::new(Hosted::new(Userpass::new(&view("userpass"), store.clone(), shared))),
            ),
            (mount("cubbyhole/", "cubbyhole"), Arc::new(Hosted::new(Cubbyhole::new(store.clone())))),
        ];
        let leases = Leases::new(tokens.clone());
        let client = "127.0.0.1:4000".parse().unwrap();
        Self { store, clock, policies, tokens, leases, client, mounts }
    }

    pub(crate) async fn write(&self, token: &str, path: &str, body: Value) -> Result<Answer, Fault> {
        self.send(token, Verb::Write, path, &body.to_string()).await
    }

    pub(crate) async fn read(&self, token: &str, path: &str) -> Result<Answer, Fault> {
        self.send(token, Verb::Read, path, "").await
    }

    pub(crate) async fn list(&self, token: &str, path: &str) -> Result<Answer, Fault> {
        self.send(token, Verb::List, path, "").await
    }

    pub(crate) async fn delete(&self, token: &str, path: &str) -> Result<Answer, Fault> {
        self.send(token, Verb::Delete, path, "").await
    }

    /// As root; must succeed.
    pub(crate) async fn set(&self, path: &str, body: Value) -> Answer {
        self.write(ROOT, path, body).await.unwrap()
    }

    /// The text a write is refused with.
    pub(crate) async fn refusal(&self, token: &str, path: &str, body: Value) -> String {
        self.write(token, path, body).await.unwrap_err().to_string()
    }

    pub(crate) async fn send(&self, token: &str, verb: Verb, path: &str, body: &str) -> Result<Answer, Fault> {
        let (point, engine) = self
            .mounts
            .iter()
            .find(|(point, _)| path.starts_with(&point.path) || format!("{path}/") == point.path)
            .unwrap();
        let rest = path.strip_prefix(&point.path).unwrap_or("");
        let matched = engine.find(verb, rest).map_err(|_| Fault::NotFound("unsupported path".to_owned()))?;
        let operation = match verb {
            Verb::Read => Operation::Read,
            Verb::List => Operation::List,
            Verb::Delete => Operation::Delete,
            Verb::Write if matched.has_existence_check && !engine.exists(&matched).await? => Operation::Create,
            _ => Operation::Update,
        };
        let body = Body::from_json(body.as_bytes().to_vec());
        let permit = match Acl::permit_public(&matched, operation) {
            Some(permit) => permit,
            None => {
                let needs_sudo = matched.access == Access::Sudo;
                let access = AccessRequest { path, operation, body: &body, needs_sudo, wrap_ttl: None };
                self.permit(token, &access).await?
            }
        };
        let identity = permit.identity().cloned();
        let mut call = Call::new(permit, Arc::clone(point), matched.captures, body);
        call.client = Some(self.client);
        call.token = Some(SecretString::new(token.to_owned()));
        let handled = engine.handle(matched.index, verb, call).await;
        if let Some(identity) = identity {
            self.tokens.finish(&identity).await?;
        }
        self.answer(handled?, point, path).await
    }

    async fn permit(&self, token: &str, access: &AccessRequest<'_>) -> Result<Permit, Fault> {
        let token = SecretString::new(token.to_owned());
        let identity = self.tokens.authenticate(&token, Some(self.client.ip())).await?;
        identity.acl.authorize(&identity, access)
    }

    async fn answer(&self, response: Response, point: &MountPoint, path: &str) -> Result<Answer, Fault> {
        let is_empty = response.is_empty();
        let data = response.data.as_ref().map_or(Value::Null, |data| serde_json::from_slice(data.expose()).unwrap());
        let mut warnings = response.warnings;
        let auth = match response.auth {
            Some(AuthOutcome::Issued(block)) => Some(*block),
            Some(AuthOutcome::Login(login)) => {
                let (block, more) = self.tokens.create_for_login(point, path, *login).await?;
                warnings.extend(more);
                Some(block)
            }
            None => None,
        };
        Ok(Answer { data, auth, warnings, disposition: response.disposition, is_empty })
    }

    /// Writes a policy and makes a token with it.
    pub(crate) async fn token_with(&self, policy: &str, body: Value) -> String {
        self.policies.write("test", policy).await.unwrap();
        let mut body = body;
        body["policies"] = serde_json::json!(["test"]);
        self.set("auth/token/create", body).await.token()
    }

    /// Whether the token still opens the door.
    pub(crate) async fn is_alive(&self, token: &str) -> bool {
        self.tokens.authenticate(&SecretString::new(token.to_owned()), Some(self.client.ip())).await.is_ok()
    }
}

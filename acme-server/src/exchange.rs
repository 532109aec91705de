//! One request of the protocol: at which directory it came, who signed it, and how its answer looks.

use crate::{
    jwk::Jwk,
    jws::{Jws, Signer},
    problem::{self, Problem, ProblemType},
    records::Account,
    server::{AcmeServer, Configured},
    settings::Settings,
    state::AccountStatus,
    storage::Stored,
};
use chancery_ca::door::DoorRole;
use chancery_engine::{Call, Captures, Fault, Response, response::Disposition, response::RawBody};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::sync::Arc;

/// Which directory: the mount's own, or that of a role, an issuer or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) role: Option<String>,
    pub(crate) issuer: Option<String>,
}

/// A request of the protocol.
pub(crate) struct Exchange {
    pub(crate) call: Call,
    pub(crate) scope: Scope,
    /// URL of the directory's folder: `https://host/v1/pki/roles/web/acme`.
    pub(crate) base: String,
    pub(crate) now: Timestamp,
    pub(crate) configured: Arc<Configured>,
    notes: Notes,
}

/// What the audit log is told besides: account, order, serial.
type Notes = Arc<Mutex<Vec<(&'static str, String)>>>;

/// What the door carried in, besides parameters of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Carried {
    jws: Option<String>,
    content_type: Option<String>,
    method: Option<String>,
}

/// A request that an account signed.
pub(crate) struct Signed {
    pub(crate) payload: Vec<u8>,
    pub(crate) account: Stored<Account>,
}

/// What goes back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) links: Vec<(&'static str, String)>,
}

impl Scope {
    fn of(captures: &Captures) -> Self {
        let text = |name| Some(captures.text(name)).filter(|text| !text.is_empty()).map(str::to_owned);
        Self { role: text("role"), issuer: text("issuer") }
    }

    /// Reads what [`Scope::path`] wrote.
    pub(crate) fn parse(path: &str) -> Self {
        let mut scope = Self::default();
        let mut segments = path.split('/');
        while let (Some(kind), Some(name)) = (segments.next(), segments.next()) {
            match kind {
                "roles" => scope.role = Some(name.to_owned()),
                "issuer" => scope.issuer = Some(name.to_owned()),
                _ => {}
            }
        }
        scope
    }

    /// The directory's place in the mount: empty, or `issuer/i/roles/r/` or a part of that.
    pub(crate) fn path(&self) -> String {
        let issuer = self.issuer.as_ref().map(|issuer| format!("issuer/{issuer}/")).unwrap_or_default();
        let role = self.role.as_ref().map(|role| format!("roles/{role}/")).unwrap_or_default();
        format!("{issuer}{role}")
    }

    /// The role by which certificates are issued here; none where whatever was proved is certified.
    pub(crate) fn role<'a>(&'a self, settings: &'a Settings) -> Result<Option<&'a str>, Problem> {
        match &self.role {
            Some(role) => Ok(Some(role)),
            None => settings.default_role(),
        }
    }
}

/// The X.509 engine's word for a role or none.
pub(crate) fn door_role(role: Option<&str>) -> DoorRole<'_> {
    role.map_or(DoorRole::Proved, DoorRole::Named)
}

/// Runs an endpoint of the protocol; whatever comes of it goes out as the protocol has it.
pub(crate) async fn protocol<F, Fut>(server: Arc<AcmeServer>, call: Call, endpoint: F) -> Result<Response, Fault>
where
    F: FnOnce(Arc<AcmeServer>, Exchange) -> Fut,
    Fut: Future<Output = Result<Answer, Problem>>,
{
    let notes = Notes::default();
    let is_post = call.permit.operation() != chancery_engine::Operation::Read;
    let (base, outcome) = match server.enter(call, Arc::clone(&notes)).await {
        // As the real server has it: a mount without ACME knows none of these paths.
        Ok(None) => {
            let nothing = RawBody { content_type: "application/json", bytes: Vec::new(), headers: Vec::new() };
            let disposition = Disposition::Chosen(404);
            return Ok(Response { raw: Some(nothing), disposition, ..Response::empty() });
        }
        Ok(Some(exchange)) => (exchange.base.clone(), endpoint(Arc::clone(&server), exchange).await),
        Err(problem) => (String::new(), Err(problem)),
    };
    let refused_nonce = matches!(&outcome, Err(problem) if problem.kind == ProblemType::BadNonce);
    let mut answer = outcome.unwrap_or_else(|problem| {
        notes.lock().push(("problem", problem.kind.name().to_owned()));
        Answer::problem(&problem)
    });
    if !base.is_empty() {
        answer.links.push(("index", format!("{base}/directory")));
    }
    if is_post {
        // RFC 8555 §6.5: with every answer to a POST, also where it says that something is wrong.
        match if refused_nonce { server.nonces.give_again() } else { server.nonces.give() } {
            Ok(nonce) => answer.headers.push(("replay-nonce", nonce)),
            Err(error) => tracing::error!(%error, "no randomness for a nonce"),
        }
    }
    let noted = std::mem::take(&mut *notes.lock());
    Ok(answer.into_response(noted))
}

impl AcmeServer {
    /// Looks whether the directory is served; `None` where ACME is off.
    async fn enter(&self, call: Call, notes: Notes) -> Result<Option<Exchange>, Problem> {
        let configured = self.configured().await?;
        let settings = &configured.settings;
        if !settings.enabled {
            return Ok(None);
        }
        let scope = Scope::of(&call.captures);
        let cluster = self.authority.cluster_path().await.map_err(|error| Problem::internal(&error))?;
        if cluster.is_empty() {
            let detail = "nobody has said where this server is reached (config/cluster, path)";
            return Err(ProblemType::ServerInternal.because(detail));
        }
        let base = format!("{cluster}/{}acme", scope.path());
        self.check_scope(&scope, settings).await?;
        Ok(Some(Exchange { call, scope, base, now: self.now(), configured, notes }))
    }

    pub(crate) async fn check_scope(&self, scope: &Scope, settings: &Settings) -> Result<(), Problem> {
        let role = scope.role(settings)?;
        if let Some(role) = &scope.role
            && !settings.allows_role(role)
        {
            return Err(Problem::malformed(format!("the role {role} is not served by ACME")));
        }
        let unserved = |error: chancery_ca::CaError| Problem::from_authority(&error, ProblemType::Malformed);
        let found = self.authority.door_issuer(door_role(role), scope.issuer.as_deref()).await.map_err(unserved)?;
        if settings.allowed_issuers.iter().any(|allowed| allowed == "*") {
            return Ok(());
        }
        for allowed in &settings.allowed_issuers {
            if let Ok(id) = self.authority.door_issuer(DoorRole::Proved, Some(allowed)).await
                && id == found
            {
                return Ok(());
            }
        }
        Err(Problem::malformed("the issuer of this directory is not served by ACME"))
    }
}

impl Exchange {
    pub(crate) fn settings(&self) -> &Settings {
        &self.configured.settings
    }

    /// URL of something below the directory's folder.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub(crate) fn account_url(&self, account: &str) -> String {
        self.url(&format!("account/{account}"))
    }

    pub(crate) fn capture(&self, name: &str) -> &str {
        self.call.captures.text(name)
    }

    /// Tells the audit log what this was about.
    pub(crate) fn note(&self, name: &'static str, value: &str) {
        self.notes.lock().push((name, value.to_owned()));
    }

    fn carried(&self) -> Carried {
        serde_json::from_slice(self.call.body.json()).unwrap_or_default()
    }

    /// Whether only the headers were asked for.
    pub(crate) fn is_head(&self) -> bool {
        self.carried().method.as_deref() == Some("HEAD")
    }

    /// The request, taken apart; its URL and its nonce are good.
    fn jws(&self, server: &AcmeServer, path: &str) -> Result<Jws, Problem> {
        let carried = self.carried();
        let content_type = carried.content_type.unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        // RFC 8555 §6.2
        if !media.eq_ignore_ascii_case("application/jose+json") {
            let shown: String = media.chars().take(64).collect();
            let detail = format!("the request is of type {shown:?}, not \"application/jose+json\"");
            return Err(Problem::malformed(detail).with_status(415));
        }
        let jws = Jws::parse(carried.jws.as_deref().unwrap_or_default())?;
        self.check_url(&jws, path)?;
        let nonce = jws.header.nonce.as_deref();
        server
            .nonces
            .take(nonce.ok_or_else(|| ProblemType::BadNonce.because("the protected header holds no \"nonce\""))?)?;
        Ok(jws)
    }

    /// RFC 8555 §6.4: what was signed is meant for this URL, as the outside knows it.
    pub(crate) fn check_url(&self, jws: &Jws, path: &str) -> Result<(), Problem> {
        let expected = self.url(path);
        match &jws.header.url {
            Some(url) if *url == expected => Ok(()),
            Some(url) => {
                let shown: String = url.chars().take(300).collect();
                let detail =
                    format!("the protected header's \"url\" is {shown:?}, but the request was sent to {expected}");
                Err(ProblemType::Unauthorized.because(detail))
            }
            None => Err(Problem::malformed("the protected header holds no \"url\"")),
        }
    }

    /// A request signed with a key that is in it.
    pub(crate) fn by_key(&self, server: &AcmeServer, path: &str) -> Result<(Jws, Jwk), Problem> {
        let jws = self.jws(server, path)?;
        match jws.signer()? {
            Signer::Key(key) => {
                jws.verify(&key)?;
                Ok((jws, *key))
            }
            Signer::Account(_) => Err(Problem::malformed("this request is to be signed with the key in \"jwk\"")),
        }
    }

    /// A request signed by an account of this directory.
    pub(crate) async fn by_account(&self, server: &AcmeServer, path: &str) -> Result<Signed, Problem> {
        let jws = self.jws(server, path)?;
        match jws.signer()? {
            Signer::Account(url) => self.signed_by(server, jws, &url).await,
            Signer::Key(_) => {
                Err(Problem::malformed("this request is to be signed by an account: \"kid\", not \"jwk\""))
            }
        }
    }

    /// A request signed by either.
    pub(crate) async fn by_either(
        &self,
        server: &AcmeServer,
        path: &str,
    ) -> Result<Result<Signed, (Jws, Jwk)>, Problem> {
        let jws = self.jws(server, path)?;
        match jws.signer()? {
            Signer::Account(url) => Ok(Ok(self.signed_by(server, jws, &url).await?)),
            Signer::Key(key) => {
                jws.verify(&key)?;
                Ok(Err((jws, *key)))
            }
        }
    }

    async fn signed_by(&self, server: &AcmeServer, jws: Jws, url: &str) -> Result<Signed, Problem> {
        let unknown = || ProblemType::AccountDoesNotExist.because("\"kid\" is no account of this directory");
        let id = url.strip_prefix(&self.account_url("")).filter(|id| chancery_engine::route::is_name(id));
        let account = server.records.account(id.ok_or_else(unknown)?).await?.ok_or_else(unknown)?;
        if account.value.scope != self.scope.path() {
            return Err(unknown());
        }
        jws.verify(&account.value.key)?;
        self.note("account", &account.value.id);
        // RFC 8555 §7.3.6
        if account.value.status != AccountStatus::Valid {
            let detail = format!("the account is {:?}", account.value.status).to_lowercase();
            return Err(ProblemType::Unauthorized.because(detail).with_status(401));
        }
        if self.settings().binds_all_accounts() && account.value.binding.is_none() {
            let detail = "this server serves only accounts that are bound to an external account";
            return Err(ProblemType::ExternalAccountRequired.because(detail));
        }
        Ok(Signed { payload: jws.payload, account })
    }
}

impl Signed {
    /// Id of the account.
    pub(crate) fn account(&self) -> &str {
        &self.account.value.id
    }

    /// Whether nothing is to be changed (RFC 8555 §6.3).
    pub(crate) fn is_post_as_get(&self) -> bool {
        self.payload.is_empty()
    }

    /// Refuses a request that carries something where there is only to be read.
    pub(crate) fn only_reads(&self) -> Result<(), Problem> {
        if self.is_post_as_get() {
            return Ok(());
        }
        Err(Problem::malformed("the payload is not empty; this is read by POST-as-GET"))
    }

    /// What is asked for.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        parse(&self.payload)
    }
}

/// Reads a payload. Members nobody knows are ignored (RFC 8555 §7.1).
pub(crate) fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(payload).map_err(|error| Problem::malformed(format!("the payload does not parse: {error}")))
}

/// Sets a member of an object.
pub(crate) fn set(object: &mut Value, member: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(member.to_owned(), value.into());
    }
}

impl Answer {
    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, body: Some(("application/json", body.to_string().into_bytes())), ..Self::default() }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    fn problem(problem: &Problem) -> Self {
        let mut answer =
            Self { status: problem.status, body: Some((problem::MEDIA_TYPE, problem.to_json())), ..Self::default() };
        // RFC 8555 §6.7 asks for the language of what humans read.
        answer.headers.push(("content-language", "en".to_owned()));
        if let Some(location) = &problem.location {
            answer.headers.push(("location", location.clone()));
        }
        if let Some(seconds) = problem.retry_after {
            answer.headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(Value::String(terms)) = problem.members.get("instance") {
            answer.links.push(("terms-of-service", terms.clone()));
        }
        answer
    }

    pub(crate) fn at(mut self, location: String) -> Self {
        self.headers.push(("location", location));
        self
    }

    pub(crate) fn link(mut self, relation: &'static str, url: String) -> Self {
        self.links.push((relation, url));
        self
    }

    pub(crate) fn again_after(mut self, seconds: u32) -> Self {
        self.headers.push(("retry-after", seconds.to_string()));
        self
    }

    fn into_response(self, noted: Vec<(&'static str, String)>) -> Response {
        let (content_type, bytes) = self.body.unwrap_or(("application/json", Vec::new()));
        let mut headers = self.headers;
        // A field each: some clients look for one relation a field.
        headers.extend(self.links.iter().map(|(relation, url)| ("link", format!("<{url}>;rel=\"{relation}\""))));
        // Browsers may read it all; nothing here is protected by where a page comes from.
        headers.push(("access-control-allow-origin", "*".to_owned()));
        headers.push((
            "access-control-expose-headers",
            "Link, Replay-Nonce, Location, Retry-After, Cert-Not-Before, Cert-Not-After".to_owned(),
        ));
        let raw = RawBody { content_type, bytes, headers };
        Response { raw: Some(raw), disposition: Disposition::Chosen(self.status), noted, ..Response::empty() }
    }
}

impl Problem {
    /// What clients are told when the X.509 engine refuses or fails; `refused` is the type of a refusal.
    pub(crate) fn from_authority(error: &chancery_ca::CaError, refused: ProblemType) -> Self {
        use chancery_ca::CaError;
        match error {
            CaError::Caller(text) | CaError::Missing(text) => refused.because(text.as_str()),
            CaError::Lint(_) => refused.because(error.to_string()),
            CaError::Hsm(error) if error.is_caller_fault() => refused.because(error.to_string()),
            CaError::Hsm(_) => {
                tracing::warn!(%error, "the HSM could not serve an ACME request");
                Self::busy()
            }
            CaError::Store(error) if error.is_temporary() => Self::busy(),
            CaError::Fault(Fault::Busy { .. } | Fault::Sealed) => Self::busy(),
            _ => Self::internal(error),
        }
    }
}

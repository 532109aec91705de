//! Login by user name and password, `auth/userpass/`.
//!
//! Names are lower case everywhere (CVE-2025-6004). A login of an unknown user costs and answers the same as one with a
//! wrong password (CVE-2025-6011).

mod lockout;
mod password;
mod users;

use crate::{
    cidr,
    parameters::{TokenFields, TokenMembers, parse_part},
};
use async_trait::async_trait;
use chancery_engine::{
    Call, Clock, Fault, Response, Route, RouteTable, SecretString, Service, Verb, response::Login, wire::Text,
};
use chancery_store::{Store, View};
use lockout::Lockout;
use password::Hasher;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};
use users::Users;

/// The engine of a userpass mount; kind `userpass`.
#[derive(Debug)]
pub struct Userpass {
    users: Users,
    hasher: Hasher,
    lockout: Lockout,
}

impl Userpass {
    /// The engine with its users in `view`.
    #[must_use]
    pub fn new(view: &View, store: Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            users: Users::new(view, store.clone()),
            hasher: Hasher::default(),
            lockout: Lockout::new(view.view("lockout"), store, clock),
        })
    }
}

#[async_trait]
impl Service for Userpass {
    fn routes() -> RouteTable<Self> {
        use Verb::{Delete, List, Read, Write};
        RouteTable::new(vec![
            Route::at("users", "Names of the users").on(List, list),
            Route::at("users/:username", "A user").on(Read, read).on(Write, write).on(Delete, delete).exists(
                |engine: Arc<Self>, captures| async move {
                    Ok(engine.users.read(captures.text("username")).await?.is_some())
                },
            ),
            Route::at("users/:username/password", "A user's password").on(Write, write_password),
            Route::at("users/:username/policies", "A user's policies").on(Write, write_policies),
            Route::at("login/:username", "Log in").on(Write, log_in).public(),
        ])
    }

    fn forget(&self) {
        self.lockout.forget();
    }

    /// Only failures are kept in memory, and those are this process's own.
    fn changed_elsewhere(&self, _keys: &[&str]) {}
}

/// The password, as text or as a bcrypt hash.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct PasswordFields {
    password: SecretString,
    password_hash: Text,
}

impl Default for PasswordFields {
    fn default() -> Self {
        Self { password: SecretString::new(String::new()), password_hash: Text::default() }
    }
}

impl PasswordFields {
    /// The hash to store; `None` where no password was sent.
    async fn hash(self, hasher: &Hasher) -> Result<Option<String>, Fault> {
        match (self.password.expose().is_empty(), self.password_hash.0.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Err(Fault::caller("only one of password or password_hash can be provided")),
            (false, true) => hasher.hash(self.password).await.map(Some),
            (true, false) => password::checked_hash(self.password_hash.0).map(Some),
        }
    }

    fn is_absent(&self) -> bool {
        self.password.expose().is_empty() && self.password_hash.0.is_empty()
    }
}

const NO_PASSWORD: &str = "must provide either password or password_hash";

async fn list(engine: Arc<Userpass>, _call: Call) -> Result<Response, Fault> {
    Response::list(&engine.users.list().await?)
}

async fn read(engine: Arc<Userpass>, call: Call) -> Result<Response, Fault> {
    let user = engine.users.read(call.captures.text("username")).await?.ok_or(Fault::Absent)?;
    Response::data(&TokenMembers::of(&user.token, user.old))
}

async fn write(engine: Arc<Userpass>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("username");
    let password: PasswordFields = parse_part(&call)?;
    if password.is_absent() && engine.users.read(name).await?.is_none() {
        return Err(Fault::caller(NO_PASSWORD));
    }
    let hash = password.hash(&engine.hasher).await?;
    engine
        .users
        .update(name, |user| {
            let mut user = user.unwrap_or_default();
            if let Some(hash) = &hash {
                user.password_hash.clone_from(hash);
            }
            if user.password_hash.is_empty() {
                return Err(Fault::caller(NO_PASSWORD));
            }
            let fields: TokenFields = parse_part(&call)?;
            fields.note(&mut user.old);
            fields.apply(&mut user.token)?;
            Ok(user)
        })
        .await?;
    Ok(Response::empty())
}

async fn delete(engine: Arc<Userpass>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("username");
    engine.users.delete(name).await?;
    engine.lockout.clear(&name.to_lowercase()).await?;
    Ok(Response::empty())
}

async fn write_password(engine: Arc<Userpass>, call: Call) -> Result<Response, Fault> {
    let password: PasswordFields = call.parse()?;
    let hash = password.hash(&engine.hasher).await?.ok_or_else(|| Fault::caller(NO_PASSWORD))?;
    engine
        .users
        .update(call.captures.text("username"), |user| {
            let mut user = user.ok_or_else(|| Fault::caller("username does not exist"))?;
            user.password_hash.clone_from(&hash);
            Ok(user)
        })
        .await?;
    Ok(Response::empty())
}

async fn write_policies(engine: Arc<Userpass>, call: Call) -> Result<Response, Fault> {
    engine
        .users
        .update(call.captures.text("username"), |user| {
            let mut user = user.ok_or_else(|| Fault::caller("username does not exist"))?;
            let fields: TokenFields = parse_part(&call)?;
            let fields = fields.policies_only();
            fields.note(&mut user.old);
            fields.apply(&mut user.token)?;
            Ok(user)
        })
        .await?;
    Ok(Response::empty())
}

async fn log_in(engine: Arc<Userpass>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("username").to_lowercase();
    let request: PasswordFields = call.parse()?;
    if request.password.expose().is_empty() {
        return Err(Fault::caller("missing password"));
    }
    if engine.lockout.is_locked(&name).await? {
        return Err(Fault::Denied);
    }
    let user = engine.users.read(&name).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let is_right = engine.hasher.verify(request.password, hash).await?;
    // Asked again: of many guesses at once no more than the threshold may learn anything.
    if engine.lockout.is_locked(&name).await? {
        return Err(Fault::Denied);
    }
    let Some(user) = user.filter(|_| is_right) else {
        engine.lockout.note_failure(&name).await?;
        return Err(Fault::caller("invalid username or password"));
    };
    if !cidr::admits(&user.token.bound_cidrs, call.client.map(|client| client.ip())) {
        return Err(Fault::Denied);
    }
    engine.lockout.clear(&name).await?;
    Ok(Response::login(Login {
        display_name: name.clone(),
        alias: name.clone(),
        metadata: BTreeMap::from([("username".to_owned(), name)]),
        token: user.token,
        ..Login::default()
    }))
}

//! The token endpoints, `auth/token/` (vault-api §4.4).

mod create;
mod lookup;
mod renew;
mod revoke;
mod role_api;
mod roles;

use crate::{
    error::stored,
    tokens::{Found, Tokens},
};
use async_trait::async_trait;
use chancery_engine::{Call, Fault, Response, Route, RouteTable, SecretString, Service, Verb, wire::Text};
use chancery_store::{Store, View};
use roles::Roles;
use serde::Deserialize;
use std::sync::Arc;

/// The engine of `auth/token/`; kind `token`.
#[derive(Debug)]
pub struct TokenEngine {
    tokens: Tokens,
    roles: Roles,
}

impl TokenEngine {
    /// The engine over `tokens`, with its roles in `view`.
    #[must_use]
    pub fn new(tokens: Tokens, view: &View, store: Store) -> Arc<Self> {
        Arc::new(Self { tokens, roles: Roles::new(view, store) })
    }
}

#[async_trait]
impl Service for TokenEngine {
    fn routes() -> RouteTable<Self> {
        use Verb::{Delete, List, Read, Write};
        RouteTable::new(vec![
            Route::at("accessors", "Accessors of all tokens").on(List, list_accessors).sudo(),
            Route::at("create", "Make a token").on(Write, create::create),
            Route::at("create-orphan", "Make a token without a parent").on(Write, create::create_orphan),
            Route::at("create/:role", "Make a token by a role").on(Write, create::create_with_role),
            Route::at("lookup", "Show a token").on(Read, lookup::lookup).on(Write, lookup::lookup),
            Route::at("lookup-self", "Show the caller's token")
                .on(Read, lookup::lookup_self)
                .on(Write, lookup::lookup_self),
            Route::at("lookup-accessor", "Show the token of an accessor").on(Write, lookup::lookup_accessor),
            Route::at("renew", "Renew a token").on(Write, renew::renew),
            Route::at("renew-self", "Renew the caller's token").on(Write, renew::renew_self),
            Route::at("renew-accessor", "Renew the token of an accessor").on(Write, renew::renew_accessor),
            Route::at("revoke", "Revoke a token and its tree").on(Write, revoke::revoke),
            Route::at("revoke-self", "Revoke the caller's token and its tree").on(Write, revoke::revoke_self),
            Route::at("revoke-accessor", "Revoke the token of an accessor").on(Write, revoke::revoke_accessor),
            Route::at("revoke-orphan", "Revoke a token and spare its children").on(Write, revoke::revoke_orphan),
            Route::at("roles", "Names of the roles").on(List, role_api::list),
            Route::at("roles/:name", "A role")
                .on(Read, role_api::read)
                .on(Write, role_api::write)
                .on(Delete, role_api::delete)
                .exists(|engine: Arc<Self>, captures| async move {
                    Ok(engine.roles.read(captures.text("name")).await?.is_some())
                }),
            Route::at("tidy", "Remove what dead tokens left behind").on(Write, revoke::tidy),
        ])
    }
}

/// `token` and `accessor` of the endpoints that act on somebody's token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    token: Text,
    accessor: Text,
    increment: Option<chancery_engine::wire::DurationSeconds>,
    /// Old clients send it; it means nothing.
    #[serde(rename = "urlincrement")]
    _url_increment: serde::de::IgnoredAny,
}

impl Target {
    fn token(&self) -> Option<SecretString> {
        let text = self.token.0.trim();
        (!text.is_empty()).then(|| SecretString::new(text.to_owned()))
    }

    fn increment(&self) -> Result<u64, Fault> {
        let seconds = self.increment.unwrap_or_default().0;
        u64::try_from(seconds).map_err(|_| {
            Fault::caller(format!(
                "Field validation failed: error converting input for field \"increment\": cannot provide negative value '{seconds}'"
            ))
        })
    }
}

async fn list_accessors(engine: Arc<TokenEngine>, _call: Call) -> Result<Response, Fault> {
    Response::list(&engine.tokens.accessors().await?)
}

impl TokenEngine {
    async fn by_accessor(&self, target: &Target) -> Result<Option<Found>, Fault> {
        if target.accessor.0.is_empty() {
            return Err(Fault::caller("1 error occurred:\n\t* missing accessor\n\n"));
        }
        self.tokens.find_accessor(&target.accessor.0).await
    }
}

fn invalid_accessor() -> Fault {
    Fault::caller("1 error occurred:\n\t* invalid accessor\n\n")
}

/// The token the caller presented.
fn own_token(call: &Call) -> SecretString {
    call.token.clone().unwrap_or_else(|| SecretString::new(String::new()))
}

/// Names at a place of a view, for LIST.
async fn names(view: &View, prefix: &str) -> Result<Vec<String>, Fault> {
    stored(view.list(prefix, chancery_store::Page::default()).await)
}

//! A token's private storage, `cubbyhole/`: no other token sees it, and it dies with the token.

use crate::error::stored;
use async_trait::async_trait;
use chancery_engine::{Call, Fault, Response, Route, RouteTable, Service, Verb, identity::TokenType};
use chancery_store::{Changes, Page, Store, View};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

const WRAPPED: &str = "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, as it provides additional security checks and other benefits.";

/// The engine of `cubbyhole/`; kind `cubbyhole`.
#[derive(Debug)]
pub struct Cubbyhole {
    store: Store,
    /// One view a token below it; the token store deletes that with the token.
    view: View,
}

impl Cubbyhole {
    /// The engine; tokens of the same store own its views.
    #[must_use]
    pub fn new(store: Store) -> Arc<Self> {
        let view = store.view("sys/cubbyhole/");
        Arc::new(Self { store, view })
    }

    fn own_view(&self, call: &Call) -> Result<View, Fault> {
        let identity = call.identity()?;
        if identity.token_type == TokenType::Batch {
            return Err(Fault::caller("cubbyhole operations are only supported by \"service\" type tokens"));
        }
        Ok(self.view.view(&identity.token_key))
    }
}

#[async_trait]
impl Service for Cubbyhole {
    fn routes() -> RouteTable<Self> {
        RouteTable::new(vec![
            Route::at("", "Names at the top").on(Verb::List, list),
            Route::at("*path", "A private entry")
                .on(Verb::Read, read)
                .on(Verb::Write, write)
                .on(Verb::Delete, delete)
                .on(Verb::List, list),
        ])
    }
}

async fn read(engine: Arc<Cubbyhole>, call: Call) -> Result<Response, Fault> {
    let path = call.captures.text("path");
    let entry = stored(engine.own_view(&call)?.read(path).await)?.ok_or(Fault::Absent)?;
    let response = Response::json(entry.value.to_vec());
    Ok(if path == crate::tokens::RESPONSE_KEY { response.warn(WRAPPED) } else { response })
}

async fn write(engine: Arc<Cubbyhole>, call: Call) -> Result<Response, Fault> {
    let members: BTreeMap<String, Box<RawValue>> = call.parse()?;
    if members.is_empty() {
        return Err(Fault::caller("missing data fields"));
    }
    let mut changes = Changes::default();
    stored(changes.put(&engine.own_view(&call)?, call.captures.text("path"), &members).map(drop))?;
    stored(engine.store.commit(changes).await)?;
    Ok(Response::empty())
}

async fn delete(engine: Arc<Cubbyhole>, call: Call) -> Result<Response, Fault> {
    let mut changes = Changes::default();
    changes.delete(&engine.own_view(&call)?, call.captures.text("path"));
    stored(engine.store.commit(changes).await)?;
    Ok(Response::empty())
}

async fn list(engine: Arc<Cubbyhole>, call: Call) -> Result<Response, Fault> {
    let prefix = call.captures.text("path").trim_end_matches('/');
    Response::list(&stored(engine.own_view(&call)?.list(prefix, Page::default()).await)?)
}

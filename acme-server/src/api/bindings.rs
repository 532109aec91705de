//! External account keys: making, listing, deleting (`acme/new-eab`, `eab`), as the real server has it.

use super::config::fault;
use crate::{
    binding::BindingKey,
    exchange::Scope,
    exchange::set,
    server::AcmeServer,
    storage::{BINDINGS, binding_key},
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, Flag, Text},
};
use chancery_store::{Changes, Page};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewRequest {
    /// Ours: the key stays when an account was made with it.
    reusable: Flag,
}

#[derive(Serialize)]
struct Made<'a> {
    acme_directory: String,
    created_on: String,
    id: &'a str,
    key: &'a str,
    key_type: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reusable: bool,
}

/// Pages of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Paging {
    after: Option<Text>,
    limit: Option<Count>,
}

/// Most entries of one page.
const LONGEST_PAGE: usize = 1000;

impl Paging {
    pub(crate) fn page(&self) -> Page {
        let after = self.after.as_ref().map(|after| after.0.clone()).filter(|after| !after.is_empty());
        let limit = self.limit.as_ref().and_then(|limit| usize::try_from(limit.0).ok()).filter(|limit| *limit > 0);
        Page { after, limit: Some(limit.unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE)) }
    }
}

/// `POST acme/new-eab`, and at every other directory
pub(crate) async fn new(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let request: NewRequest = call.parse()?;
    let text = |name| Some(call.captures.text(name)).filter(|text| !text.is_empty()).map(str::to_owned);
    let scope = Scope { role: text("role"), issuer: text("issuer") };
    let made = BindingKey::new(scope.path(), server.now(), request.reusable.0)
        .map_err(|error| Fault::Dependency(format!("getrandom: {error}")))?;
    let id = uuid()?;
    let mut changes = Changes::default();
    changes.create(&server.records.view, &binding_key(&id), &made).map_err(fault)?;
    server.records.store.commit(changes).await.map_err(fault)?;
    Response::data(&Made {
        acme_directory: made.directory(),
        created_on: second(made.created_at),
        id: &id,
        key: made.key.expose(),
        key_type: "hs",
        reusable: made.reusable,
    })
}

/// `LIST eab`
pub(crate) async fn list(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let paging: Paging = call.parse()?;
    let ids = server.records.view.list(BINDINGS, paging.page()).await.map_err(fault)?;
    let mut info = Map::new();
    for id in &ids {
        let Some(key) = server.records.read::<BindingKey>(&binding_key(id)).await.map_err(fault)? else { continue };
        let mut entry = json!({
            "acme_directory": key.value.directory(),
            "created_on": second(key.value.created_at),
            "key_type": "hs",
        });
        if key.value.reusable {
            set(&mut entry, "reusable", true);
        }
        info.insert(id.clone(), entry);
    }
    listed(&ids, &info)
}

/// A list with what there is to say of each entry.
pub(crate) fn listed(ids: &[String], info: &Map<String, Value>) -> Result<Response, Fault> {
    if ids.is_empty() {
        return Err(Fault::Absent);
    }
    Response::data(&json!({ "key_info": info, "keys": ids }))
}

/// `DELETE eab/:id`
pub(crate) async fn delete(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let id = call.captures.text("id");
    if server.records.read::<BindingKey>(&binding_key(id)).await.map_err(fault)?.is_none() {
        return Ok(Response::empty().warn(format!("No key id found with id: {id}")));
    }
    let mut changes = Changes::default();
    changes.delete(&server.records.view, &binding_key(id));
    server.records.store.commit(changes).await.map_err(fault)?;
    Ok(Response::empty())
}

/// To the second, as the real server writes times here.
fn second(at: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn uuid() -> Result<String, Fault> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Fault::Dependency(format!("getrandom: {error}")))?;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    Ok([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-"))
}

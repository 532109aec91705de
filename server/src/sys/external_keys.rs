//! `external-keys/configs…`: registered keys in OpenBao's dialect: a configuration names a token, a key in it an object,
//! a grant a mount that may use the key.
//!
//! The one plugin is `pkcs11`. Texts and statuses are OpenBao's, where a configuration or key that is not there is 400.

use super::System;
use crate::external::{
    ConfigRecord, KeyRecord, Place,
    parameters::{PLUGIN, Values, text},
    records::Verify,
};
use crate::fault::from_store;
use chancery_engine::{
    Call, Fault, Response, Route, SecretString, Verb,
    wire::{Count, Flag, Text},
};
use chancery_store::Page;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

const REDACTED: &str = "(redacted)";

#[derive(Deserialize, Default)]
#[serde(default)]
struct ListRequest {
    after: Text,
    limit: Count,
}

/// Parameters of a write, taken apart.
struct Parameters {
    plugin: Option<String>,
    verify: Verify,
    /// `Some(None)`: to be removed.
    pin: Option<Option<SecretString>>,
    values: Values,
}

#[derive(Serialize)]
struct ConfigView<'a> {
    plugin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'static str>,
    #[serde(flatten)]
    values: &'a Values,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("external-keys/configs", "Lists the tokens whose keys can be registered.").on(Verb::List, list),
        Route::at("external-keys/configs/:config", "One token: how it is reached.")
            .on(Verb::Read, read)
            .on(Verb::Write, write)
            .on(Verb::Patch, patch)
            .on(Verb::Delete, delete),
        Route::at("external-keys/configs/:config/keys", "Lists the keys registered in a token.")
            .on(Verb::List, list_keys),
        Route::at("external-keys/configs/:config/keys/:key", "One registered key.")
            .on(Verb::Read, read_key)
            .on(Verb::Write, write_key)
            .on(Verb::Patch, patch_key)
            .on(Verb::Delete, delete_key),
        Route::at("external-keys/configs/:config/keys/:key/grants", "Lists the mounts that may use a key.")
            .on(Verb::List, list_grants),
        Route::at("external-keys/configs/:config/keys/:key/grants/*mount", "Lets a mount use a key, or no longer.")
            .on(Verb::Write, |system, call| change_grant(system, call, Grant::Add))
            .on(Verb::Delete, |system, call| change_grant(system, call, Grant::Remove)),
    ]
}

async fn list(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let page = page(&call)?;
    Response::list(&system.core.external_keys.config_names(page).await.map_err(from_store)?)
}

async fn read(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("config");
    let record = system.core.external_keys.config(name).await.map_err(from_store)?;
    let record = record.ok_or_else(|| config_absent(name))?;
    check_metadata(&record.plugin)?;
    let pin = record.pin.is_some().then_some(REDACTED);
    Response::data(&ConfigView { plugin: &record.plugin, pin, values: &record.values })
}

async fn write(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let Parameters { plugin, verify, pin, values } = Parameters::of_config(&call)?;
    let plugin = plugin.ok_or_else(|| Fault::caller("missing required field \"plugin\""))?;
    let record = ConfigRecord { plugin, values, pin: pin.flatten() };
    system.core.external_keys.change_config(call.captures.text("config"), verify, |_| Ok(record)).await?;
    Ok(Response::empty())
}

/// A merge patch (RFC 7396) of the parameters; `plugin` is replaced where it is given.
async fn patch(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("config");
    let Parameters { plugin, verify, pin, values } = Parameters::of_config(&call)?;
    let edit = |record: Option<ConfigRecord>| {
        let mut record = record.ok_or_else(|| config_absent(name))?;
        merge(&mut record.values, values);
        record.pin = pin.unwrap_or(record.pin);
        record.plugin = plugin.unwrap_or(record.plugin);
        Ok(record)
    };
    system.core.external_keys.change_config(name, verify, edit).await?;
    Ok(Response::empty())
}

async fn delete(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    system.core.external_keys.delete_config(call.captures.text("config")).await?;
    Ok(Response::empty())
}

async fn list_keys(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let page = page(&call)?;
    let names = system.core.external_keys.key_names(call.captures.text("config"), page).await;
    Response::list(&names.map_err(from_store)?)
}

async fn read_key(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let place = place(&call);
    let registry = &system.core.external_keys;
    let record = registry.key(&place).await.map_err(from_store)?.ok_or_else(|| key_absent(&place))?;
    let config = registry.config(&place.config).await.map_err(from_store)?.ok_or_else(|| key_absent(&place))?;
    check_metadata(&config.plugin)?;
    Response::data(&record.values)
}

async fn write_key(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let Parameters { verify, values, .. } = Parameters::of_key(&call)?;
    let edit = |record: Option<KeyRecord>| Ok(KeyRecord { values, ..record.unwrap_or_default() });
    system.core.external_keys.change_key(&place(&call), verify, edit).await?;
    Ok(Response::empty())
}

async fn patch_key(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let place = place(&call);
    let Parameters { verify, values, .. } = Parameters::of_key(&call)?;
    let edit = |record: Option<KeyRecord>| {
        let mut record = record.ok_or_else(|| key_absent(&place))?;
        merge(&mut record.values, values);
        Ok(record)
    };
    system.core.external_keys.change_key(&place, verify, edit).await?;
    Ok(Response::empty())
}

async fn delete_key(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    system.core.external_keys.delete_key(&place(&call)).await?;
    Ok(Response::empty())
}

async fn list_grants(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let place = place(&call);
    let record = system.core.external_keys.key(&place).await.map_err(from_store)?;
    let record = record.ok_or_else(|| key_absent(&place))?;
    Response::list(&record.grants.into_iter().collect::<Vec<_>>())
}

#[derive(Clone, Copy)]
enum Grant {
    Add,
    Remove,
}

/// The mount need not be there: a grant may come first.
async fn change_grant(system: Arc<System>, call: Call, change: Grant) -> Result<Response, Fault> {
    let place = place(&call);
    let mount = format!("{}/", call.captures.text("mount").trim_end_matches('/'));
    let edit = |record: Option<KeyRecord>| {
        let mut record = record.ok_or_else(|| key_absent(&place))?;
        match change {
            Grant::Add => record.grants.insert(mount),
            Grant::Remove => record.grants.remove(&mount),
        };
        Ok(record)
    };
    system.core.external_keys.change_key(&place, Verify::No, edit).await?;
    Ok(Response::empty())
}

impl Parameters {
    fn of_config(call: &Call) -> Result<Self, Fault> {
        let mut given = Self::of_key(call)?;
        given.plugin = text(&given.values, "plugin").map_err(Fault::Caller)?;
        given.values.remove("plugin");
        given.pin = match given.values.remove("pin") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(Value::String(pin)) => Some(Some(SecretString::new(pin))),
            Some(Value::Number(pin)) => Some(Some(SecretString::new(pin.to_string()))),
            Some(_) => return Err(Fault::caller("'pin' is not a text")),
        };
        Ok(given)
    }

    fn of_key(call: &Call) -> Result<Self, Fault> {
        let mut values: Values = call.parse()?;
        let verify = match values.remove("verify").map(serde_json::from_value::<Flag>) {
            None | Some(Ok(Flag(true))) => Verify::Yes,
            Some(Ok(Flag(false))) => Verify::No,
            Some(Err(_)) => {
                return Err(Fault::caller(
                    "Field validation failed: error converting input for field \"verify\": '' cannot parse value as 'bool': strconv.ParseBool: invalid syntax",
                ));
            }
        };
        Ok(Self { plugin: None, verify, pin: None, values })
    }
}

fn merge(values: &mut Values, patch: Values) {
    for (name, value) in patch {
        if value.is_null() {
            values.remove(&name);
        } else {
            values.insert(name, value);
        }
    }
}

fn page(call: &Call) -> Result<Page, Fault> {
    let request: ListRequest = call.parse()?;
    Ok(Page {
        after: Some(request.after.0).filter(|after| !after.is_empty()),
        limit: usize::try_from(request.limit.0).ok().filter(|limit| *limit > 0),
    })
}

fn place(call: &Call) -> Place {
    Place { config: call.captures.text("config").to_owned(), key: call.captures.text("key").to_owned() }
}

/// Only a provider knows which of its parameters are secret.
fn check_metadata(plugin: &str) -> Result<(), Fault> {
    if plugin == PLUGIN {
        return Ok(());
    }
    Err(Fault::Caller(format!("failed to read metadata for plugin {plugin:?}: unknown plugin: {plugin}")))
}

fn config_absent(name: &str) -> Fault {
    Fault::Caller(format!("config {name:?} not found"))
}

fn key_absent(place: &Place) -> Fault {
    Fault::Caller(format!("key {:?} not found", place.key))
}

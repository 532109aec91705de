//! `managed-keys/:type…`: registered keys in Vault Enterprise's dialect: token and key in one entry, and mounts that are
//! tuned to use it.
//!
//! The managed key `k` is the key `k:k` of `external-keys`: one store, two faces. The one type is `pkcs11`. Written from
//! Vault's public API pages; there is no server to ask.

use super::System;
use crate::external::{
    ConfigRecord, KeyRecord, Place,
    parameters::{PLUGIN, Values, flag, text},
    records::Verify,
    told_to_author,
};
use crate::fault::{from_hsm, from_store};
use chancery_engine::{Call, Fault, Response, Route, SecretString, Verb, wire::Text};
use chancery_hsm::{HashAlgorithm, KeyAlgorithm, Mechanism, SignInput, SignScheme};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Types of Vault; those that are not ours have no keys.
const TYPES: [&str; 4] = [PLUGIN, "awskms", "azurekeyvault", "gcpckms"];

/// Members in Vault's words; [`ManagedKeyRequest::apply`] gives them those of the store.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ManagedKeyRequest {
    library: Option<Text>,
    slot: Option<Text>,
    token_label: Option<Text>,
    pin: Option<Text>,
    force_rw_session: Option<Text>,
    max_parallel: Option<Text>,
    key_label: Option<Text>,
    key_id: Option<Text>,
    mechanism: Option<Text>,
    key_bits: Option<Text>,
    curve: Option<Text>,
    allow_generate_key: Option<Text>,
    allow_replace_key: Option<Text>,
    allow_store_key: Option<Text>,
    any_mount: Option<Text>,
}

#[derive(Serialize)]
struct ManagedKeyResponse<'a> {
    #[serde(rename = "UUID")]
    uuid: &'a str,
    allow_generate_key: bool,
    allow_replace_key: bool,
    allow_store_key: bool,
    any_mount: bool,
    curve: String,
    force_rw_session: bool,
    key_bits: u64,
    key_id: String,
    key_label: String,
    library: String,
    mechanism: u64,
    name: &'a str,
    pin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u64>,
    token_label: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("managed-keys/{type}", "Lists the managed keys of a type.").on(Verb::List, list),
        Route::at("managed-keys/{type}/:name", "One managed key.")
            .on(Verb::Read, read)
            .on(Verb::Write, write)
            .on(Verb::Delete, delete),
        Route::at("managed-keys/{type}/:name/test/sign", "Signs something with a managed key, to see that it works.")
            .on(Verb::Write, test_sign),
    ]
}

async fn list(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    if !is_ours(&call)? {
        return Err(Fault::Absent);
    }
    let registry = &system.core.external_keys;
    let mut names = Vec::new();
    for name in registry.config_names(chancery_store::Page::default()).await.map_err(from_store)? {
        if registry.key(&Place::managed(&name)).await.map_err(from_store)?.is_some() {
            names.push(name);
        }
    }
    Response::list(&names)
}

async fn read(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let place = addressed(&call)?;
    let registry = &system.core.external_keys;
    let key = registry.key(&place).await.map_err(from_store)?.ok_or(Fault::Absent)?;
    let config = registry.config(&place.config).await.map_err(from_store)?.ok_or(Fault::Absent)?;
    Response::data(&ManagedKeyResponse::of(&place.key, &config, &key).map_err(Fault::Caller)?)
}

/// What is not given stays as it was; an empty text clears.
async fn write(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let place = addressed(&call)?;
    let request: ManagedKeyRequest = call.parse()?;
    let registry = &system.core.external_keys;
    let mut config = registry.config(&place.config).await.map_err(from_store)?.unwrap_or_default();
    let mut key = registry.key(&place).await.map_err(from_store)?.unwrap_or_default();
    request.apply(&mut config, &mut key);
    PLUGIN.clone_into(&mut config.plugin);
    registry.check(&config, &key).map_err(told_to_author)?;
    registry.change_config(&place.config, Verify::No, |_| Ok(config)).await?;
    let values = key.values;
    registry.change_key(&place, Verify::No, |old| Ok(KeyRecord { values, ..old.unwrap_or_default() })).await?;
    Ok(Response::empty())
}

/// Refused while a mount is tuned to use the key. The object in the token stays.
async fn delete(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let place = addressed(&call)?;
    let allowed = |mount: &Arc<crate::mount::Mounted>| mount.entry.tuning.allowed_managed_keys.contains(&place.key);
    if let Some(mount) = system.core.mounts.all().iter().find(|mount| allowed(mount)) {
        let (name, path) = (&place.key, &mount.entry.path);
        return Err(Fault::Caller(format!("managed key {name:?} is in the allowed_managed_keys of mount {path:?}")));
    }
    let registry = &system.core.external_keys;
    registry.delete_key(&place).await?;
    let others = registry.key_names(&place.config, chancery_store::Page::default()).await.map_err(from_store)?;
    if others.is_empty() {
        registry.delete_config(&place.config).await?;
    }
    Ok(Response::empty())
}

async fn test_sign(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let place = addressed(&call)?;
    let external = system.core.external_keys.key_ready(&place).await.map_err(told_to_author)?;
    let key = &external.key;
    let hash = HashAlgorithm::Sha256;
    let scheme = match key.algorithm {
        KeyAlgorithm::Ed25519 => SignScheme::Ed25519,
        rsa if rsa.is_rsa() && external.mechanism == Some(Mechanism::RsaPkcs) => SignScheme::RsaPkcs1(hash),
        rsa if rsa.is_rsa() => SignScheme::rsa_pss(hash),
        pair if pair.is_asymmetric() => SignScheme::Ecdsa(hash),
        secret => return Err(Fault::Caller(format!("a key of type {secret} does not sign"))),
    };
    let mut text = vec![0; 32];
    getrandom::fill(&mut text).map_err(|error| Fault::Dependency(error.to_string()))?;
    // The facade verifies what the token signed.
    external.hsm.sign(key, scheme, SignInput::Message(text)).await.map_err(from_hsm)?;
    Ok(Response::empty())
}

/// Whether the type is the one that has keys here.
fn is_ours(call: &Call) -> Result<bool, Fault> {
    let kind = call.captures.text("type");
    if TYPES.contains(&kind) {
        return Ok(kind == PLUGIN);
    }
    Err(Fault::Caller(format!("unsupported managed key type {kind:?}")))
}

fn addressed(call: &Call) -> Result<Place, Fault> {
    if is_ours(call)? {
        return Ok(Place::managed(call.captures.text("name")));
    }
    Err(Fault::Caller(format!("managed keys of type {} are not supported: {PLUGIN} are", call.captures.text("type"))))
}

impl ManagedKeyRequest {
    fn apply(self, config: &mut ConfigRecord, key: &mut KeyRecord) {
        match self.pin {
            Some(Text(pin)) if pin.is_empty() => config.pin = None,
            Some(Text(pin)) => config.pin = Some(SecretString::new(pin)),
            None => {}
        }
        for (name, given) in [
            ("lib", self.library),
            ("slot", self.slot),
            ("token_label", self.token_label),
            ("force_rw_session", self.force_rw_session),
            ("max_parallel", self.max_parallel),
        ] {
            set(&mut config.values, name, given);
        }
        for (name, given) in [
            ("label", self.key_label),
            ("id", self.key_id),
            ("mechanism", self.mechanism),
            ("key_bits", self.key_bits),
            ("curve", self.curve),
            ("allow_generate_key", self.allow_generate_key),
            ("allow_replace_key", self.allow_replace_key),
            ("allow_store_key", self.allow_store_key),
            ("any_mount", self.any_mount),
        ] {
            set(&mut key.values, name, given);
        }
    }
}

fn set(values: &mut Values, name: &str, given: Option<Text>) {
    match given {
        None => {}
        Some(Text(text)) if text.is_empty() => drop(values.remove(name)),
        Some(Text(text)) => drop(values.insert(name.to_owned(), Value::String(text))),
    }
}

impl<'a> ManagedKeyResponse<'a> {
    fn of(name: &'a str, config: &ConfigRecord, key: &'a KeyRecord) -> Result<Self, String> {
        let of_token = |name| text(&config.values, name).map(Option::unwrap_or_default);
        let of_key = |name| text(&key.values, name).map(Option::unwrap_or_default);
        Ok(Self {
            uuid: &key.uuid,
            allow_generate_key: flag(&key.values, "allow_generate_key")?,
            allow_replace_key: flag(&key.values, "allow_replace_key")?,
            allow_store_key: flag(&key.values, "allow_store_key")?,
            any_mount: flag(&key.values, "any_mount")?,
            curve: of_key("curve")?,
            force_rw_session: flag(&config.values, "force_rw_session")?,
            key_bits: of_key("key_bits")?.parse().unwrap_or_default(),
            key_id: of_key("id")?,
            key_label: of_key("label")?,
            library: of_token("lib")?,
            mechanism: Mechanism::parse(&of_key("mechanism")?).map_or(0, Mechanism::code),
            name,
            pin: "redacted",
            slot: of_token("slot")?.parse().ok(),
            token_label: of_token("token_label")?,
            kind: PLUGIN,
        })
    }
}

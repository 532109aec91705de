//! `data/:path`: reading and writing versions.

use super::{
    Versioned, absent_without_body, fault,
    model::{Metadata, Stored, VersionView},
};
use crate::error::KvError;
use chancery_engine::{Call, Fault, Response, response::Disposition, wire::Count};
use chancery_store::Changes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ReadRequest {
    pub(super) version: Count,
    /// Only `subkeys` looks at it.
    pub(super) depth: Count,
}

#[derive(Deserialize)]
struct WriteRequest {
    #[serde(default, deserialize_with = "given")]
    data: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "given")]
    options: Option<Box<RawValue>>,
    /// Old clients send it besides; the version is never chosen by the caller.
    #[serde(default, rename = "version")]
    _version: Option<Count>,
}

#[derive(Deserialize, Default)]
struct Options {
    #[serde(default, deserialize_with = "given")]
    cas: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct ReadResponse<'a> {
    data: Option<&'a RawValue>,
    metadata: VersionView<'a>,
}

/// Check-and-set: the version the caller saw.
#[derive(Clone, Copy)]
struct Cas(Option<u64>);

pub(super) async fn read(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let request: ReadRequest = call.parse()?;
    let path = call.captures.text("path");
    let stored = engine.load(path).await.map_err(fault)?.ok_or(Fault::Absent)?;
    let (number, version) = chosen(&stored.metadata, request.version)?;
    let metadata = stored.metadata.view(number, version);
    if version.is_gone(engine.clock.now()) {
        return Ok(Response::data(&ReadResponse { data: None, metadata })?.disposed(Disposition::AbsentWithData));
    }
    let entry = engine.load_value(path, number).await.map_err(fault)?.ok_or(Fault::Absent)?;
    let data: &RawValue = serde_json::from_slice(&entry.value).map_err(fault)?;
    Response::data(&ReadResponse { data: Some(data), metadata })
}

pub(super) async fn write(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let request: WriteRequest = call.parse()?;
    let cas = checked_options(request.options.as_deref())?;
    let data = request.data.ok_or_else(|| Fault::caller("no data provided"))?;
    require_object(&data)?;
    let path = call.captures.text("path");
    let (engine, data) = (&engine, &*data);
    let (number, metadata) = engine
        .store
        .transact("kv write", || async move {
            let stored = engine.load(path).await?;
            engine.next_version(path, stored, data, cas).await
        })
        .await?;
    answer(&metadata, number)
}

pub(super) async fn patch(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let request: WriteRequest = call.parse()?;
    let cas = checked_options(request.options.as_deref())?;
    let data = request.data.ok_or_else(|| Fault::caller("no data provided"))?;
    require_object(&data)?;
    let patch: serde_json::Value = serde_json::from_str(data.get()).map_err(fault)?;
    let path = call.captures.text("path");
    let (engine, patch) = (&engine, &patch);
    let patched = engine
        .store
        .transact("kv patch", || async move {
            let stored = engine.load(path).await?.ok_or(KvError::Absent)?;
            let (number, version) = chosen(&stored.metadata, Count(0)).map_err(|_| KvError::Absent)?;
            if version.is_gone(engine.clock.now()) {
                return Err(KvError::Absent);
            }
            let entry = engine.load_value(path, number).await?.ok_or(KvError::Absent)?;
            let mut value: serde_json::Value = serde_json::from_slice(&entry.value)?;
            merge(&mut value, patch);
            let value = serde_json::value::to_raw_value(&value)?;
            engine.next_version(path, Some(stored), &value, cas).await
        })
        .await;
    match patched {
        Ok((number, metadata)) => answer(&metadata, number),
        Err(KvError::Absent) => Ok(absent_without_body()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn delete_latest(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let path = call.captures.text("path");
    let engine = &engine;
    engine
        .store
        .transact("kv delete", || async move {
            let mut changes = Changes::default();
            let Some(stored) = engine.load(path).await? else { return Ok::<_, KvError>((changes, ())) };
            let now = engine.clock.now();
            let mut metadata = stored.metadata.clone();
            let current = metadata.current_version;
            let Some(version) = metadata.versions.get_mut(&current).filter(|version| !version.is_gone(now)) else {
                return Ok((changes, ()));
            };
            version.deletion_time = Some(now);
            engine.store(&mut changes, path, &metadata, Some(&stored))?;
            Ok((changes, ()))
        })
        .await?;
    Ok(Response::empty())
}

impl Versioned {
    /// The changes that add `data` as the next version of the secret.
    async fn next_version(
        &self,
        path: &str,
        stored: Option<Stored>,
        data: &RawValue,
        cas: Cas,
    ) -> Result<(Changes, (u64, Metadata)), KvError> {
        let config = self.config().await?;
        let now = self.clock.now();
        let mut metadata = stored.as_ref().map_or_else(|| Metadata::new(now), |stored| stored.metadata.clone());
        match cas.0 {
            None if config.cas_required || metadata.cas_required => {
                return Err(KvError::request("check-and-set parameter required for this call"));
            }
            Some(seen) if seen != metadata.current_version => {
                return Err(KvError::request("check-and-set parameter did not match the current version"));
            }
            _ => {}
        }
        let pushed = metadata.add_version(&config, now);
        let number = metadata.current_version;
        let mut changes = Changes::default();
        self.store_value(&mut changes, path, number, data)?;
        self.drop_values(&mut changes, path, pushed);
        self.store(&mut changes, path, &metadata, stored.as_ref())?;
        Ok((changes, (number, metadata)))
    }
}

/// The version asked for; 0 is the current one.
pub(super) fn chosen(metadata: &Metadata, asked: Count) -> Result<(u64, &super::model::Version), Fault> {
    let number = match u64::try_from(asked.0) {
        Ok(0) => metadata.current_version,
        Ok(number) => number,
        Err(_) => return Err(Fault::Absent),
    };
    metadata.versions.get(&number).map(|version| (number, version)).ok_or(Fault::Absent)
}

fn answer(metadata: &Metadata, number: u64) -> Result<Response, Fault> {
    let version = metadata.versions.get(&number).ok_or_else(|| Fault::Bug("version without metadata".to_owned()))?;
    Response::data(&metadata.view(number, version))
}

/// Tells a member that is null from one that is missing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

fn require_object(data: &RawValue) -> Result<(), Fault> {
    if data.get().starts_with('{') || data.get() == "null" {
        return Ok(());
    }
    Err(Fault::caller("error converting input for field \"data\": expected a JSON object"))
}

fn checked_options(options: Option<&RawValue>) -> Result<Cas, Fault> {
    let Some(options) = options.filter(|options| options.get() != "null") else { return Ok(Cas(None)) };
    let options: Options = serde_json::from_str(options.get())
        .map_err(|_| Fault::caller("error converting input for field \"options\": expected a JSON object"))?;
    let Some(cas) = options.cas else { return Ok(Cas(None)) };
    let invalid = || Fault::caller("error parsing check-and-set parameter");
    let Count(cas) = serde_json::from_str(cas.get()).map_err(|_| invalid())?;
    u64::try_from(cas).map(|cas| Cas(Some(cas))).map_err(|_| invalid())
}

/// RFC 7396 §2.
fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            members.remove(key);
        } else {
            merge(members.entry(key.clone()).or_insert(serde_json::Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rfc7396_nulls_remove_and_objects_merge() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1], "e": "x"});
        merge(&mut value, &json!({"a": {"b": null, "n": {"m": null}}, "d": {"x": 1}, "e": null}));
        assert_eq!(value, json!({"a": {"c": 2, "n": {}}, "d": {"x": 1}}));
    }

    #[test]
    fn check_and_set_is_a_number_in_any_spelling() {
        let cas = |json: &str| {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            checked_options(Some(&raw)).map(|cas| cas.0)
        };
        assert_eq!(cas(r#"{"cas": 3}"#).unwrap(), Some(3));
        assert_eq!(cas(r#"{"cas": "3"}"#).unwrap(), Some(3));
        assert_eq!(cas(r#"{}"#).unwrap(), None);
        assert!(cas(r#"{"cas": "x"}"#).is_err());
        assert!(cas(r#"{"cas": -1}"#).is_err());
        assert!(cas(r#""text""#).is_err());
    }
}

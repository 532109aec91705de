//! `subkeys/:path`: the structure of a secret, each value replaced by null.

use super::{
    Versioned,
    data::{ReadRequest, chosen},
    fault,
    model::VersionView,
};
use chancery_engine::{Call, Fault, Response, response::Disposition};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Serialize)]
struct SubkeysResponse<'a> {
    metadata: VersionView<'a>,
    subkeys: Option<Value>,
}

pub(super) async fn read(engine: Arc<Versioned>, call: Call) -> Result<Response, Fault> {
    let request: ReadRequest = call.parse()?;
    let path = call.captures.text("path");
    let stored = engine.load(path).await.map_err(fault)?.ok_or(Fault::Absent)?;
    let (number, version) = chosen(&stored.metadata, request.version)?;
    let metadata = stored.metadata.view(number, version);
    if version.is_gone(engine.clock.now()) {
        return Ok(Response::data(&SubkeysResponse { metadata, subkeys: None })?.disposed(Disposition::AbsentWithData));
    }
    let entry = engine.load_value(path, number).await.map_err(fault)?.ok_or(Fault::Absent)?;
    let value: Value = serde_json::from_slice(&entry.value).map_err(fault)?;
    let depth = usize::try_from(request.depth.0).unwrap_or(0);
    Response::data(&SubkeysResponse { metadata, subkeys: Some(structure(value, depth)) })
}

/// Objects down to `depth` (0: all of them) with null for everything else.
fn structure(value: Value, depth: usize) -> Value {
    let Value::Object(members) = value else { return Value::Null };
    if members.is_empty() {
        return Value::Null;
    }
    let shown: Map<String, Value> = members
        .into_iter()
        .map(|(name, value)| (name, if depth == 1 { Value::Null } else { structure(value, depth.saturating_sub(1)) }))
        .collect();
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_disappear_and_depth_limits() {
        let value = json!({"a": {"b": [1, {"c": 2}], "d": {"e": 1}}, "f": {}});
        assert_eq!(structure(value.clone(), 0), json!({"a": {"b": null, "d": {"e": null}}, "f": null}));
        assert_eq!(structure(value.clone(), 1), json!({"a": null, "f": null}));
        assert_eq!(structure(value, 2), json!({"a": {"b": null, "d": null}, "f": null}));
    }
}

//! What comes in by HTTP before an engine sees it.

use crate::{lines, text};
use chancery_engine::{
    LimitError, Limits, RequestPath, check_json_limits,
    policy::{Acl, Policy},
    wire::{Base64Bytes, CommaList, Count, DurationSeconds, Flag, KeyValues, Text, parse_body},
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Whatever stands in a URL: refused, or a path without dot segments, empty segments and control characters
/// (CVE-2026-3605).
pub fn request_path(data: &[u8]) {
    let Some(Ok(path)) = text(data).map(RequestPath::parse) else { return };
    let path = path.as_str();
    assert!(!path.starts_with('/') && !path.ends_with('/'));
    assert!(path.is_empty() || path.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    assert!(!path.chars().any(char::is_control) && !path.contains('\\'));
}

/// Policy documents in HCL or JSON: refused, or compiled; a compiled one answers for any path and makes nobody root.
pub fn policy(data: &[u8]) {
    let Some(Ok(policy)) = text(data).map(|text| Policy::parse("fuzzed", text)) else { return };
    let paths: Vec<String> = policy.rules.iter().map(|rule| rule.path.clone()).collect();
    let acl = Acl::compile(&[Arc::new(policy)]);
    assert!(!acl.is_root(), "a document must not make a root policy");
    for path in &paths {
        assert!(!acl.capabilities(path).is_empty());
        let _ = acl.capabilities(&format!("{path}/x"));
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parameters {
    duration: DurationSeconds,
    list: CommaList,
    flag: Flag,
    count: Count,
    bytes: Base64Bytes,
    text: Text,
    pairs: KeyValues,
}

/// Request bodies into the weakly typed field types: refused with a text that quotes no value (CVE-2025-4166), or read.
pub fn parameters(data: &[u8]) {
    let mut ignored = 0_usize;
    match parse_body::<Parameters>(data, |_| ignored += 1) {
        Ok(parameters) => {
            let _ = parameters.duration.as_u64();
            assert!(parameters.list.0.iter().all(|item| !item.is_empty()));
            let _ = (parameters.flag, parameters.count, parameters.bytes, parameters.text, parameters.pairs);
        }
        Err(refusal) => assert_quotes_no_value(data, &refusal.to_string()),
    }
}

/// Seeds hold this word in values only; a key that became it by mutation may be shown.
const SECRET: &str = "s3cret";

fn assert_quotes_no_value(data: &[u8], refusal: &str) {
    let value_only = serde_json::from_slice::<Value>(data).is_ok_and(|value| !is_a_key(&value));
    assert!(!value_only || !refusal.contains(SECRET), "the refusal quotes a value: {refusal}");
}

fn is_a_key(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, value)| key.contains(SECRET) || is_a_key(value)),
        Value::Array(items) => items.iter().any(is_a_key),
        _ => false,
    }
}

/// The scan before the parser agrees with a count of the parsed value (CVE-2025-6203).
pub fn json_limits(data: &[u8]) {
    let limits = Limits { max_depth: 8, max_strings: 16, max_total: 32 };
    let scanned = check_json_limits(data, &limits);
    // A parsed object keeps one of several members of the same name, so what was parsed is a lower bound.
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let mut parts = Parts::default();
    parts.count(&value, 0);
    match scanned {
        Ok(()) => assert!(parts.depth <= 8 && parts.strings <= 16 && parts.total <= 32, "{parts:?} passed"),
        Err(LimitError::TooDeep(_)) => {
            let flat = data.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
            assert!(flat > 8, "refused as too deep");
        }
        Err(LimitError::TooManyStrings(_)) => {
            let quotes = data.iter().filter(|byte| **byte == b'"').count();
            assert!(quotes > 32, "refused for its strings");
        }
        Err(LimitError::TooManyValues(_)) => assert!(data.len() > 32, "refused for its values"),
    }
}

#[derive(Debug, Default)]
struct Parts {
    depth: usize,
    strings: usize,
    total: usize,
}

impl Parts {
    fn count(&mut self, value: &Value, above: usize) {
        self.total += 1;
        match value {
            Value::String(_) => self.strings += 1,
            Value::Array(items) => {
                self.depth = self.depth.max(above + 1);
                items.iter().for_each(|item| self.count(item, above + 1));
            }
            Value::Object(members) => {
                self.depth = self.depth.max(above + 1);
                self.strings += members.len();
                self.total += members.len();
                members.values().for_each(|value| self.count(value, above + 1));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// JSON bodies: refused without a quotation, or one JSON object within the limits, byte for byte.
pub fn body(data: &[u8]) {
    match chancery_server::fuzzing::body(data.to_vec(), "application/json", &Limits::default()) {
        Err(refusal) => assert!(!refusal.to_string().contains(SECRET), "{refusal}"),
        Ok(body) if body.is_empty() => {}
        Ok(body) => {
            assert_eq!(body.json(), data);
            assert!(check_json_limits(data, &Limits::default()).is_ok());
            // Numbers beyond what a float holds are valid JSON that serde_json does not turn into a value.
            assert!(serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok());
        }
    }
}

/// Forms and query strings become an object of texts; the first line is the query, the rest the form.
pub fn form(data: &[u8]) {
    let (query, form) = text(data).map_or(("", data), |text| (lines(text).0, lines(text).1.as_bytes()));
    let limits = Limits::default();
    let content_type = "application/x-www-form-urlencoded";
    let bodies =
        [chancery_server::fuzzing::query(query), chancery_server::fuzzing::body(form.to_vec(), content_type, &limits)];
    let [query, form] = bodies.map(|body| body.map(|body| body.json().to_vec()).unwrap_or_default());
    for json in [query.as_slice(), form.as_slice()] {
        if json.is_empty() {
            continue;
        }
        let value: Value = serde_json::from_slice(json).expect("a converted body is JSON");
        let members = value.as_object().expect("a converted body is an object");
        assert!(json.starts_with(b"{\"") || !members.is_empty());
    }
    if let Ok(Value::Object(members)) = serde_json::from_slice(&query) {
        assert!(members.values().all(Value::is_string));
        assert!(!["list", "scan", "help"].iter().any(|own| members.contains_key(*own)));
    }
}

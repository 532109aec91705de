//! From a body's bytes to an endpoint's struct, with errors that name the member and never quote its value.
//!
//! The texts are those of Vault's framework; serde's own would repeat what the caller sent (CVE-2025-4166), so only
//! messages known to be free of values pass.

use crate::fault::Fault;
use serde::Deserialize;

/// Messages of the field types in this module's siblings; any other custom message is replaced.
pub(super) const DURATION: &str = "time: invalid duration";
pub(super) const OUT_OF_RANGE: &str = "value out of range";
pub(super) const NOT_BOOL: &str = "'' cannot parse value as 'bool': strconv.ParseBool: invalid syntax";
pub(super) const NOT_INT: &str = "'' cannot parse value as 'int': strconv.ParseInt: invalid syntax";
pub(super) const INT_OUT_OF_RANGE: &str = "'' cannot parse value as 'int': strconv.ParseInt: value out of range";
pub(super) const NOT_PAIR: &str = "invalid key pair";
pub(super) const NOT_BASE64: &str = "illegal base64 data";
const OWN_MESSAGES: [&str; 7] = [DURATION, OUT_OF_RANGE, INT_OUT_OF_RANGE, NOT_BOOL, NOT_INT, NOT_PAIR, NOT_BASE64];

/// Parses a JSON object into `T`; empty bytes are an empty object. `ignored` hears of members `T` does not know.
///
/// # Errors
/// [`Fault::Caller`] that says where and what, never quoting a value.
pub fn parse_body<'a, T: Deserialize<'a>>(json: &'a [u8], mut ignored: impl FnMut(String)) -> Result<T, Fault> {
    let json = if json.is_empty() { b"{}".as_slice() } else { json };
    // A derived struct would also read itself from an array, member by member.
    if let Some(kind) = json.iter().find(|byte| !byte.is_ascii_whitespace()).and_then(|byte| other_than_object(*byte)) {
        return Err(Fault::Caller(format!(
            "failed to decode JSON input: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = serde_ignored::deserialize(&mut deserializer, |path| {
        // Only top-level members are parameters; what lies inside one is the endpoint's own business.
        if let serde_ignored::Path::Map { parent: serde_ignored::Path::Root, key } = path {
            ignored(key);
        }
    });
    parsed.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| explain::<T>(json, &error))
}

fn other_than_object(first: u8) -> Option<&'static str> {
    match first {
        b'[' => Some("array"),
        b'"' => Some("string"),
        b't' | b'f' => Some("bool"),
        b'-' | b'0'..=b'9' => Some("number"),
        _ => None,
    }
}

/// Parses once more, slower, to learn which member is wrong.
fn explain<'a, T: Deserialize<'a>>(json: &'a [u8], error: &serde_json::Error) -> Fault {
    Fault::Caller(match error.classify() {
        serde_json::error::Category::Eof => "failed to decode JSON input: unexpected EOF".to_owned(),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("failed to decode JSON input: invalid character at line {} column {}", error.line(), error.column())
        }
        serde_json::error::Category::Data => {
            let what = without_values(&error.to_string());
            match member_of_error::<T>(json) {
                Some(member) => {
                    format!("Field validation failed: error converting input for field {member:?}: {what}")
                }
                None => format!("Field validation failed: {what}"),
            }
        }
    })
}

fn member_of_error<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err()?;
    match error.path().iter().next()? {
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        _ => None,
    }
}

fn without_values(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    if OWN_MESSAGES.contains(&message) {
        return message.to_owned();
    }
    if message.starts_with("missing field `") || message.starts_with("duplicate field `") {
        return message.replace('`', "\"");
    }
    if let Some(rest) = message.strip_prefix("invalid type: ") {
        let got = go_type(rest);
        // What was received may itself hold the word; what was expected is ours and stands last.
        let expected = rest.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
        return format!("'' expected type '{}', got unconvertible type '{got}'", go_name(expected));
    }
    "invalid value".to_owned()
}

/// Go's name for the kind of JSON value that serde's message begins with.
fn go_type(message: &str) -> &'static str {
    for (kind, name) in [
        ("map", "map[string]interface {}"),
        ("sequence", "[]interface {}"),
        ("boolean", "bool"),
        ("integer", "json.Number"),
        ("floating point", "json.Number"),
        ("number", "json.Number"),
        ("string", "string"),
        ("null", "nil"),
        ("unit", "nil"),
    ] {
        if message.starts_with(kind) {
            return name;
        }
    }
    "unknown"
}

fn go_name(expected: &str) -> &'static str {
    match expected {
        "a boolean" => "bool",
        "an integer" | "i64" | "u64" | "i32" | "u32" | "u16" | "u8" => "int",
        "a map" | "an object of strings, or a list of \"key=value\"" => "map[string]interface {}",
        "a sequence" => "[]interface {}",
        text if text.starts_with("struct ") => "map[string]interface {}",
        _ => "string",
    }
}

#[cfg(test)]
mod tests;

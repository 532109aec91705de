//! Whatever way parameters come, they become the text of one JSON object: JSON, a form, a query string.

use chancery_engine::{Body, Fault, Limits, check_json_limits};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt};

/// Parameters of a form or a query string: no client sends more, and each costs far more memory than the two bytes it
/// takes on the wire.
const MOST_PAIRS: usize = 1000;

/// Bounds on what a body may hold, checked before anything is built from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes; more is 413.
    pub bytes: usize,
    /// What JSON may hold (CVE-2025-6203).
    pub json: Limits,
    /// The same for engines that take batches: room for 100,000 items of four members each. What such a body costs is
    /// bounded by its bytes.
    pub batch: Limits,
}

impl Default for BodyLimits {
    fn default() -> Self {
        let batch = Limits { max_strings: 1_000_000, max_total: 2_000_000, ..Limits::default() };
        Self { bytes: 32 << 20, json: Limits::default(), batch }
    }
}

/// The body of a POST, PUT or PATCH. The Content-Type matters only for forms: many clients do not set it.
pub(crate) fn parse(bytes: Vec<u8>, content_type: &str, limits: &Limits) -> Result<Body, Fault> {
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Ok(Body::default());
    }
    if content_type.starts_with("application/x-www-form-urlencoded")
        && !text.starts_with(b"{")
        && !text.starts_with(b"[")
    {
        let form = String::from_utf8(bytes).map_err(|_| Fault::caller("form body is not valid UTF-8"))?;
        return from_pairs(form_pairs(&form));
    }
    check(text, limits)?;
    if text == b"null" {
        return Ok(Body::default());
    }
    if !text.starts_with(b"{") {
        return Err(Fault::caller("failed to decode JSON input: expected a JSON object"));
    }
    Ok(Body::from_json(bytes))
}

/// The query string of a GET, LIST, SCAN or DELETE. `list` and `scan` are the door's own; so is `help`, which stays for
/// the audit log.
pub(crate) fn from_query(query: &str) -> Result<Body, Fault> {
    from_pairs(form_pairs(query).filter(|(key, _)| !matches!(key.as_str(), "list" | "scan")))
}

/// Value of one query parameter.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    form_pairs(query).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// A repeated key becomes one text with commas, which every list field understands.
fn from_pairs(pairs: impl Iterator<Item = (String, String)>) -> Result<Body, Fault> {
    let mut members: BTreeMap<String, String> = BTreeMap::new();
    for (count, (key, value)) in pairs.enumerate() {
        if count == MOST_PAIRS {
            return Err(Fault::Caller(format!("more than {MOST_PAIRS} parameters")));
        }
        members
            .entry(key)
            .and_modify(|known| {
                known.push(',');
                known.push_str(&value);
            })
            .or_insert(value);
    }
    if members.is_empty() {
        return Ok(Body::default());
    }
    serde_json::to_vec(&members).map(Body::from_json).map_err(|error| Fault::Bug(error.to_string()))
}

/// `application/x-www-form-urlencoded`; an escape that is none stays as it is (WHATWG URL §5.1).
fn form_pairs(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (form_decode(key), form_decode(value))
    })
}

fn form_decode(text: &str) -> String {
    let digit =
        |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        match (byte, digit(bytes.get(index + 1)), digit(bytes.get(index + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                index += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Checks that `text` is one JSON value within the limits, building nothing.
fn check(text: &[u8], limits: &Limits) -> Result<(), Fault> {
    check_json_limits(text, limits).map_err(|error| Fault::Caller(error.to_string()))?;
    if std::str::from_utf8(text).is_err() {
        return Err(Fault::caller("failed to decode JSON input: not valid UTF-8"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Syntax::deserialize(&mut deserializer)
        .and_then(|Syntax| deserializer.end())
        .map_err(|error| Fault::Caller(format!("failed to decode JSON input: {}", Position(&error))))
}

/// Reads any JSON value and keeps nothing of it.
struct Syntax;

impl<'de> Deserialize<'de> for Syntax {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// What is wrong and where, never a piece of the input.
struct Position<'e>(&'e serde_json::Error);

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.0.is_eof() { "unexpected end of JSON input" } else { "invalid JSON" };
        write!(f, "{what} at line {}, column {}", self.0.line(), self.0.column())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &Body) -> &str {
        std::str::from_utf8(body.json()).unwrap()
    }

    fn json(bytes: &[u8]) -> Result<Body, Fault> {
        parse(bytes.to_vec(), "", &Limits::default())
    }

    #[test]
    fn content_types_are_ignored_except_for_forms() {
        let form = "application/x-www-form-urlencoded";
        let limits = Limits::default();
        assert_eq!(text(&parse(b"a=b+c&d=%2Fe&d=f".to_vec(), form, &limits).unwrap()), r#"{"a":"b c","d":"/e,f"}"#);
        assert_eq!(text(&parse(br#"{"a":1}"#.to_vec(), form, &limits).unwrap()), r#"{"a":1}"#);
        assert!(parse(b"a=b".to_vec(), "application/json", &limits).is_err());
        assert!(json(b" ").unwrap().is_empty() && json(b"null").unwrap().is_empty());
    }

    #[test]
    fn broken_json_is_refused_without_quoting_it() {
        for hostile in ["{\"s3cret", "{s3cret}", "[1]", "{} s3cret", "\"s3cret\"", "{\"a\":\"\u{1}s3cret\"}"] {
            let error = json(hostile.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_batch_of_a_hundred_thousand_items_fits_where_batches_are_taken() {
        let item = r#"{"plaintext":"aGVsbG8=","context":"aGk="}"#;
        let body = format!("{{\"batch_input\":[{}]}}", vec![item; 100_000].join(","));
        let limits = BodyLimits::default();
        assert!(body.len() < limits.bytes);
        assert!(parse(body.clone().into_bytes(), "", &limits.batch).is_ok());
        assert!(parse(body.into_bytes(), "", &limits.json).is_err());
    }

    #[test]
    fn a_form_of_millions_of_parameters_is_refused() {
        let form = |pairs: usize| (0..pairs).map(|number| format!("{number}&")).collect::<String>().into_bytes();
        let parse = |form| parse(form, "application/x-www-form-urlencoded", &Limits::default());
        assert!(parse(form(1000)).is_ok());
        assert!(parse(form(1001)).is_err() && parse(form(1_000_000)).is_err());
    }

    #[test]
    fn query_parameters_become_members() {
        assert_eq!(text(&from_query("list=true&after=a%20b&limit=5").unwrap()), r#"{"after":"a b","limit":"5"}"#);
        assert!(from_query("list=true").unwrap().is_empty());
        assert_eq!(form_decode("%zz%4"), "%zz%4");
    }
}

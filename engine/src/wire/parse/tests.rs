use super::*;
use crate::wire::{Base64Bytes, CommaList, Count, DurationSeconds, Flag, KeyValues, Text};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    ttl: DurationSeconds,
    uses: Count,
    flag: Flag,
    name: Text,
    list: CommaList,
    meta: KeyValues,
    bytes: Base64Bytes,
    plain: String,
    small: u8,
    inner: BTreeMap<String, Inner>,
    choice: Choice,
}

#[derive(Debug, Default, Deserialize)]
struct Inner {
    count: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    #[default]
    One,
}

fn parse(json: &str) -> Result<Form, String> {
    parse_body(json.as_bytes(), |_| {}).map_err(|fault| fault.to_string())
}

#[test]
fn the_member_is_named_in_vaults_words() {
    for (json, text) in [
        (
            r#"{"uses":"x"}"#,
            "error converting input for field \"uses\": '' cannot parse value as 'int': strconv.ParseInt: invalid syntax",
        ),
        (
            r#"{"flag":"maybe"}"#,
            "error converting input for field \"flag\": '' cannot parse value as 'bool': strconv.ParseBool: invalid syntax",
        ),
        (
            r#"{"flag":{}}"#,
            "error converting input for field \"flag\": '' expected type 'bool', got unconvertible type 'map[string]interface {}'",
        ),
        (
            r#"{"name":["s"]}"#,
            "error converting input for field \"name\": '' expected type 'string', got unconvertible type '[]interface {}'",
        ),
        (r#"{"ttl":"1 fortnight"}"#, "error converting input for field \"ttl\": time: invalid duration"),
        (
            r#"{"inner":{"k":{"count":[]}}}"#,
            "error converting input for field \"inner\": '' expected type 'int', got unconvertible type '[]interface {}'",
        ),
    ] {
        let error = parse(json).unwrap_err();
        let text = format!("Field validation failed: {text}");
        assert_eq!(error, text, "{json}");
    }
}

#[test]
fn a_repeated_member_is_refused() {
    let error = parse(r#"{"uses":1,"uses":2}"#).unwrap_err();
    assert!(error.ends_with("duplicate field \"uses\""), "{error}");
}

#[test]
fn a_body_that_is_not_an_object_is_refused() {
    for (json, text) in [
        ("[]", "cannot unmarshal array into Go value"),
        (" \"s3cret\"", "cannot unmarshal string"),
        ("{\"ttl\":", "unexpected EOF"),
        ("{} {}", "invalid character at line 1 column 4"),
        ("{\"ttl\": s3cret}", "invalid character"),
    ] {
        let error = parse(json).unwrap_err();
        assert!(error.starts_with("failed to decode JSON input: ") && error.contains(text), "{json}: {error}");
        assert!(!error.contains("s3cret"));
    }
    assert!(parse("").is_ok());
}

#[test]
fn cve_2025_4166_no_error_quotes_a_value() {
    let values = [
        "\"s3cret, expected s3cret\"",
        "[\"s3cret\"]",
        "{\"s3cret\":\"s3cret\"}",
        "{\"s3cret\":[\"s3cret\"]}",
        "31337.5e99",
        "-31337",
        "true",
        "\"s3cret at line 3\"",
        "[[\"s3cret\"]]",
        "\"{\\\"s3cret\\\":[]}\"",
    ];
    for member in ["ttl", "uses", "flag", "name", "list", "meta", "bytes", "plain", "small", "inner", "choice"] {
        for value in values {
            if let Err(error) = parse(&format!("{{\"{member}\":{value}}}")) {
                assert!(!error.contains("s3cret") && !error.contains("31337"), "{member} {value}: {error}");
                let names_it = error.contains(&format!("{member:?}")) || error.contains("at line 1 column");
                assert!(names_it, "{member} {value}: {error}");
            }
        }
    }
}

#[test]
fn only_top_level_members_are_reported_as_ignored() {
    let mut ignored = Vec::new();
    let form: Form =
        parse_body(br#"{"a.b":1,"zz":2,"inner":{"k":{"count":"3","zzz":1}}}"#, |name| ignored.push(name)).unwrap();
    assert_eq!(ignored, ["a.b", "zz"]);
    assert_eq!(form.inner["k"].count, Count(3));
}

#[test]
fn fractions_survive_as_text() {
    let form = parse(r#"{"name":1.5,"uses":2,"flag":1,"list":[1,true],"ttl":"90m"}"#).unwrap();
    assert_eq!((form.name.0.as_str(), form.uses.0, form.flag.0, form.ttl.0), ("1.5", 2, true, 5400));
    assert_eq!(form.list.0, ["1", "1"]);
    assert!(form.meta.0.is_empty() && form.plain.is_empty() && form.small == 0 && form.bytes.0.expose().is_empty());
    assert!(matches!(form.choice, Choice::One));
}

#[test]
fn what_is_no_whole_number_is_no_count_and_no_flag() {
    let of = |value: &str| parse(&format!(r#"{{"uses":{value}}}"#)).unwrap_err();
    for value in ["2.9", "2.0", "1e3", "\"2.9\"", "\"x\""] {
        assert!(of(value).ends_with("strconv.ParseInt: invalid syntax"), "{value}");
    }
    for value in ["9223372036854775808", "1e40", "-99999999999999999999", "\"99999999999999999999\""] {
        assert!(of(value).ends_with("strconv.ParseInt: value out of range"), "{value}");
    }
    for value in ["2", "-1", "1.5", "\"yes\""] {
        let told = parse(&format!(r#"{{"flag":{value}}}"#)).unwrap_err();
        assert!(told.ends_with("strconv.ParseBool: invalid syntax"), "{value}: {told}");
    }
}

proptest! {
    #[test]
    fn hostile_bodies_never_panic(json in "[\\[\\]{}\",:a-c0-9. \\\\-]{0,60}") {
        drop(parse(&json));
    }
}

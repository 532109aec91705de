//! Parameters on the command line: `key=value`, `key=@file`, `key=-`, and a whole JSON object from `@file` or `-`.

use crate::failure::{Failure, Result};
use serde_json::{Map, Value};
use std::{fs, io::Read};

/// Reads the parameters into one JSON object. A key given twice becomes a list, as Vault's own command line does.
pub(crate) fn parse(words: &[String], stdin: &mut dyn Read) -> Result<Map<String, Value>> {
    let mut members = Map::new();
    for word in words {
        if word == "-" {
            members.extend(object(&read_all(stdin)?, "standard input")?);
        } else if let Some(path) = word.strip_prefix('@') {
            members.extend(object(&read_file(path)?, path)?);
        } else {
            let (key, value) = word.split_once('=').ok_or_else(|| {
                Failure::local(format!("cannot read the parameter {word:?}")).because(
                    "a parameter is key=value, key=@file, key=- (standard input), or a JSON object as @file or -",
                )
            })?;
            add(&mut members, key, Value::String(resolve(value, stdin)?));
        }
    }
    Ok(members)
}

/// Like [`parse`], for places where only texts make sense (query strings, options).
pub(crate) fn pairs(words: &[String]) -> Result<Map<String, Value>> {
    parse(words, &mut std::io::empty())
}

fn resolve(value: &str, stdin: &mut dyn Read) -> Result<String> {
    if value == "-" {
        read_all(stdin)
    } else if let Some(path) = value.strip_prefix('@') {
        read_file(path)
    } else if let Some(escaped) = value.strip_prefix("\\@") {
        Ok(format!("@{escaped}"))
    } else {
        Ok(value.to_owned())
    }
}

fn add(members: &mut Map<String, Value>, key: &str, value: Value) {
    match members.get_mut(key) {
        None => {
            members.insert(key.to_owned(), value);
        }
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn object(text: &str, source: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text).map_err(|error| Failure::local(format!("{source} is not a JSON object")).because(error))
}

fn read_file(path: &str) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::local(format!("cannot read {path}")).because(error))
}

fn read_all(stdin: &mut dyn Read) -> Result<String> {
    let mut text = String::new();
    stdin
        .read_to_string(&mut text)
        .map_err(|error| Failure::local("cannot read standard input as text").because(error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(words: &[&str], stdin: &str) -> Result<Map<String, Value>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(&words, &mut stdin.as_bytes())
    }

    #[test]
    fn values_are_texts_and_repeated_keys_are_lists() {
        let members = parsed(&["a=1", "b=x=y", "a=2", "a=3"], "").unwrap();
        assert_eq!(Value::Object(members), json!({"a": ["1", "2", "3"], "b": "x=y"}));
    }

    #[test]
    fn standard_input_is_a_value_or_an_object() {
        assert_eq!(parsed(&["key=-"], "text\n").unwrap()["key"], "text\n");
        assert_eq!(parsed(&["-", "b=2"], r#"{"a": 1}"#).unwrap()["a"], 1);
        assert!(parsed(&["-"], "[]").is_err());
    }

    #[test]
    fn files_are_read_unless_the_at_sign_is_escaped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "from the file").unwrap();
        let members = parsed(&[&format!("a=@{}", file.path().display()), "b=\\@home"], "").unwrap();
        assert_eq!(Value::Object(members), json!({"a": "from the file", "b": "@home"}));
        assert_eq!(parsed(&["a=@/no/such/file"], "").unwrap_err().exit, 1);
    }

    #[test]
    fn a_word_without_an_equals_sign_is_refused() {
        assert!(parsed(&["novalue"], "").unwrap_err().to_string().contains("key=value"));
    }
}

//! JSON values as YAML. Strings that YAML could take for something else are written in JSON's quotes, which YAML reads.

use serde_json::Value;
use std::fmt::Write as _;

pub(crate) fn render(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let _ = write!(text, "{:1$}{2}:", "", depth * 2, scalar(&Value::String(name.clone())));
                child(member, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(text, "{:1$}-", "", depth * 2);
                child(item, depth, text);
            }
        }
        other => {
            let _ = writeln!(text, "{:1$}{2}", "", depth * 2, scalar(other));
        }
    }
}

fn child(value: &Value, depth: usize, text: &mut String) {
    let nested = matches!(value, Value::Object(members) if !members.is_empty())
        || matches!(value, Value::Array(items) if !items.is_empty());
    if nested {
        text.push('\n');
        block(value, depth + 1, text);
    } else {
        let _ = writeln!(text, " {}", scalar(value));
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Letters first and nothing YAML gives a meaning to; words it reads as booleans or null do not pass.
fn is_plain(text: &str) -> bool {
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "_-./+".contains(char))
        && !reserved.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_are_indented_and_doubtful_strings_quoted() {
        let text = render(&json!({"a": {"b": [1, "x"]}, "c": "no", "d": {}, "e": "vault:v1:abc", "f": null, "g": "1"}));
        assert_eq!(text, "a:\n  b:\n    - 1\n    - x\nc: \"no\"\nd: {}\ne: \"vault:v1:abc\"\nf: null\ng: \"1\"\n");
    }

    #[test]
    fn items_that_are_objects_stand_below_their_dash() {
        assert_eq!(render(&json!([{"a": 1}])), "-\n  a: 1\n");
    }
}

//! `allowed_parameters`, `denied_parameters` and `required_parameters` of a rule (vault-api §4.3).
//!
//! Keys are lower-cased; `*` stands for every key; an empty list of values for every value; denied beats allowed.

use crate::request::Body;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// Lists of values by parameter.
type ByName = BTreeMap<String, Vec<Value>>;

/// What a rule demands of the request's top-level parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParameterRules {
    allowed: ByName,
    denied: ByName,
    required: Vec<String>,
}

impl ParameterRules {
    /// Whether nothing is demanded, so that the body need not be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty() && self.required.is_empty()
    }

    pub(crate) fn allow(&mut self, more: &ByName) {
        unite(&mut self.allowed, more);
    }

    pub(crate) fn deny(&mut self, more: &ByName) {
        unite(&mut self.denied, more);
    }

    pub(crate) fn require(&mut self, more: &[String]) {
        for name in more {
            let name = name.to_lowercase();
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
    }

    /// Unites the rules of two policies on the same path.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.allow(&other.allowed);
        self.deny(&other.denied);
        self.require(&other.required);
    }

    /// Whether `body` is acceptable. A body that is not an object, or repeats a key, never is.
    pub(crate) fn accept(&self, body: &Body) -> bool {
        if self.is_empty() {
            return true;
        }
        let json = if body.is_empty() { b"{}".as_slice() } else { body.json() };
        let Ok(Members(members)) = serde_json::from_slice(json) else { return false };
        if !self.required.iter().all(|name| members.contains_key(name)) {
            return false;
        }
        if members.is_empty() {
            return true;
        }
        !self.denies(&members) && self.allows(&members)
    }

    fn denies(&self, members: &BTreeMap<String, Value>) -> bool {
        self.denied.contains_key("*")
            || members.iter().any(|(name, value)| {
                self.denied.get(&name.to_lowercase()).is_some_and(|values| is_listed(value, values))
            })
    }

    fn allows(&self, members: &BTreeMap<String, Value>) -> bool {
        let allows_others = self.allowed.contains_key("*");
        self.allowed.is_empty()
            || members.iter().all(|(name, value)| match self.allowed.get(&name.to_lowercase()) {
                Some(values) => is_listed(value, values),
                None => allows_others,
            })
    }
}

/// An empty list, which means any value, survives a union.
fn unite(into: &mut ByName, more: &ByName) {
    for (name, values) in more {
        match into.get_mut(name) {
            Some(known) if known.is_empty() || values.is_empty() => known.clear(),
            Some(known) => known.extend(values.iter().cloned()),
            None => {
                into.insert(name.clone(), values.clone());
            }
        }
    }
}

/// Numbers and booleans are compared as they are spelled, since endpoints take them as texts too.
fn is_listed(value: &Value, values: &[Value]) -> bool {
    values.is_empty()
        || values.iter().any(|listed| match (spelled(listed), spelled(value)) {
            (Some(pattern), Some(text)) => matches_glob(&pattern, &text),
            _ => listed == value,
        })
}

fn spelled(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `*` at the beginning, at the end, or both.
fn matches_glob(pattern: &str, text: &str) -> bool {
    if pattern.len() < 2 {
        return pattern == text;
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => text.contains(pattern.trim_start_matches('*').trim_end_matches('*')),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => pattern == text,
    }
}

/// A JSON object without repeated keys: the policies and the endpoint must not see different values.
struct Members(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<Members, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(de::Error::custom("a member occurs twice"));
                    }
                }
                Ok(Members(map))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn by_name(value: &Value) -> ByName {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn accepts(rules: &ParameterRules, body: &str) -> bool {
        rules.accept(&Body::from_json(body.as_bytes().to_vec()))
    }

    #[test]
    fn allowed_lists_names_and_globs_of_values() {
        let mut rules = ParameterRules::default();
        rules.allow(&by_name(&json!({"foo": ["x", "b*", "*z", "*mid*", 1], "bar": []})));
        for (body, accepted) in [
            (r#"{"foo":"x","bar":[1]}"#, true),
            (r#"{"foo":"bx"}"#, true),
            (r#"{"foo":"az"}"#, true),
            (r#"{"foo":"amidb"}"#, true),
            (r#"{"FOO":"x"}"#, true),
            (r#"{"foo":1}"#, true),
            (r#"{"foo":"1"}"#, true),
            (r#"{"foo":"q"}"#, false),
            (r#"{"foo":["x"]}"#, false),
            (r#"{"other":1}"#, false),
            (r#"{"foo":"x","foo":"q"}"#, false),
            ("[]", false),
            ("", true),
        ] {
            assert_eq!(accepts(&rules, body), accepted, "{body}");
        }
    }

    #[test]
    fn denied_beats_allowed_and_required_must_be_there() {
        let mut rules = ParameterRules::default();
        rules.allow(&by_name(&json!({"*": []})));
        rules.deny(&by_name(&json!({"a": [], "b": ["bad*"]})));
        rules.require(&["C".to_owned()]);
        for (body, accepted) in [
            (r#"{"c":1}"#, true),
            (r#"{"C":1}"#, false),
            (r#"{"c":1,"A":0}"#, false),
            (r#"{"c":1,"b":"badly"}"#, false),
            (r#"{"c":1,"b":"good"}"#, true),
            ("{}", false),
        ] {
            assert_eq!(accepts(&rules, body), accepted, "{body}");
        }
    }

    #[test]
    fn an_empty_value_list_survives_merging() {
        let mut rules = ParameterRules::default();
        rules.allow(&by_name(&json!({"a": ["x"], "b": []})));
        let mut other = ParameterRules::default();
        other.allow(&by_name(&json!({"a": [], "b": ["y"], "c": ["z"]})));
        rules.merge(&other);
        assert!(accepts(&rules, r#"{"a":"any","b":"any","c":"z"}"#));
        assert!(!accepts(&rules, r#"{"c":"q"}"#));
    }
}

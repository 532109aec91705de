//! Weakly typed members: flags, counts, texts, lists, key-value pairs and base64.

use super::parse::{INT_OUT_OF_RANGE, NOT_BASE64, NOT_BOOL, NOT_INT, NOT_PAIR};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{
    collections::BTreeMap,
    fmt,
    num::{IntErrorKind, ParseIntError},
};

/// A boolean: `true`, `"true"`, `"1"`, `1`, `"t"`; null and "" are false (Go's `ParseBool` and weak decoding).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Flag(pub bool);

/// An integer: a number or a numeric string; "" is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Count(pub i64);

/// A text: a string, or a number or boolean in its JSON spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Text(pub String);

/// A list of texts: an array, or one comma-separated string. Items are trimmed, empty ones dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CommaList(pub Vec<String>);

/// Key-value pairs: an object, `"k=v"`, or a list of `"k=v"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KeyValues(pub BTreeMap<String, String>);

/// Bytes in standard base64. Zeroed on drop, hidden from `Debug`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base64Bytes(pub crate::secret::SecretBytes);

macro_rules! scalar {
    ($type:ident, $expecting:literal, $from_text:expr, $from_bool:expr, $from_i64:expr, $from_f64:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: de::Error>(self, value: &str) -> Result<$type, E> {
                        $from_text(value).map($type).map_err(E::custom)
                    }

                    fn visit_bool<E: de::Error>(self, value: bool) -> Result<$type, E> {
                        $from_bool(value).map($type).map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<$type, E> {
                        $from_i64(value).map($type).map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, value: u64) -> Result<$type, E> {
                        let value = i64::try_from(value).map_err(|_| E::custom(INT_OUT_OF_RANGE))?;
                        $from_i64(value).map($type).map_err(E::custom)
                    }

                    fn visit_f64<E: de::Error>(self, value: f64) -> Result<$type, E> {
                        $from_f64(value).map($type).map_err(E::custom)
                    }

                    fn visit_unit<E: de::Error>(self) -> Result<$type, E> {
                        Ok($type::default())
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

scalar!(
    Flag,
    "a boolean",
    |text: &str| match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" | "" => Ok(false),
        _ => Err(NOT_BOOL),
    },
    Ok::<bool, &str>,
    |number: i64| if (0..=1).contains(&number) { Ok(number == 1) } else { Err(NOT_BOOL) },
    |_: f64| Err::<bool, &str>(NOT_BOOL)
);

scalar!(
    Count,
    "an integer",
    |text: &str| {
        let text = text.trim();
        if text.is_empty() { Ok(0) } else { text.parse::<i64>().map_err(|error| not_int(&error)) }
    },
    |flag: bool| Ok::<i64, &str>(i64::from(flag)),
    Ok::<i64, &str>,
    whole
);

scalar!(
    Text,
    "a string",
    |text: &str| Ok::<String, &str>(text.to_owned()),
    |flag: bool| Ok::<String, &str>(if flag { "1" } else { "0" }.to_owned()),
    |number: i64| Ok::<String, &str>(number.to_string()),
    |number: f64| Ok::<String, &str>(number.to_string())
);

fn not_int(error: &ParseIntError) -> &'static str {
    match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => INT_OUT_OF_RANGE,
        _ => NOT_INT,
    }
}

/// Refuses what is no whole number; JSON numbers beyond 64 bits arrive as floating point too.
fn whole(number: f64) -> Result<i64, &'static str> {
    Err(if number.abs() >= 9.2e18 { INT_OUT_OF_RANGE } else { NOT_INT })
}

impl<'de> Deserialize<'de> for CommaList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = CommaList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings, or one comma-separated string")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<CommaList, E> {
                Ok(CommaList(trimmed(value.split(',').map(str::to_owned))))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<CommaList, E> {
                Ok(CommaList(vec![value.to_string()]))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<CommaList, E> {
                Ok(CommaList(vec![value.to_string()]))
            }

            fn visit_unit<E: de::Error>(self) -> Result<CommaList, E> {
                Ok(CommaList::default())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<CommaList, A::Error> {
                let mut list = Vec::new();
                while let Some(Text(item)) = items.next_element::<Text>()? {
                    list.push(item);
                }
                Ok(CommaList(trimmed(list.into_iter())))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn trimmed(items: impl Iterator<Item = String>) -> Vec<String> {
    items.map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

impl<'de> Deserialize<'de> for KeyValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = KeyValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings, or a list of \"key=value\"")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<KeyValues, E> {
                if value.trim_start().starts_with('{') {
                    let pairs: BTreeMap<String, Text> = serde_json::from_str(value).map_err(|_| E::custom(NOT_PAIR))?;
                    return Ok(KeyValues(pairs.into_iter().map(|(key, Text(value))| (key, value)).collect()));
                }
                value
                    .split(',')
                    .map(str::trim)
                    .filter(|pair| !pair.is_empty())
                    .map(split_pair)
                    .collect::<Result<_, _>>()
                    .map(KeyValues)
            }

            fn visit_unit<E: de::Error>(self) -> Result<KeyValues, E> {
                Ok(KeyValues::default())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<KeyValues, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((key, Text(value))) = members.next_entry::<String, Text>()? {
                    pairs.insert(key, value);
                }
                Ok(KeyValues(pairs))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<KeyValues, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some(item) = items.next_element::<String>()? {
                    let (key, value) = split_pair(&item)?;
                    pairs.insert(key, value);
                }
                Ok(KeyValues(pairs))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn split_pair<E: de::Error>(pair: &str) -> Result<(String, String), E> {
    let (key, value) = pair.split_once('=').ok_or_else(|| E::custom(NOT_PAIR))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Base64Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64-encoded string")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Base64Bytes, E> {
                // The decoder's own error would quote a byte of the input, which may be a plaintext sent by mistake.
                let bytes = STANDARD.decode(value).map_err(|_| E::custom(NOT_BASE64))?;
                Ok(Base64Bytes(crate::secret::SecretBytes::new(bytes)))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Base64Bytes, E> {
                Ok(Base64Bytes::default())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_in_every_spelling() {
        for (json, value) in
            [("true", true), ("\"true\"", true), ("1", true), ("\"1\"", true), ("\"\"", false), ("null", false)]
        {
            assert_eq!(serde_json::from_str::<Flag>(json).unwrap(), Flag(value), "{json}");
        }
        assert!(serde_json::from_str::<Flag>("\"maybe\"").is_err());
        assert!(serde_json::from_str::<Flag>("[]").is_err());
    }

    #[test]
    fn lists_are_arrays_or_csv() {
        let list = |json: &str| serde_json::from_str::<CommaList>(json).unwrap().0;
        assert_eq!(list("\"a, b,,c\""), ["a", "b", "c"]);
        assert_eq!(list("[\"a\", 5]"), ["a", "5"]);
        assert!(list("\"\"").is_empty());
    }

    #[test]
    fn pairs_are_objects_or_lists() {
        let pairs = |json: &str| serde_json::from_str::<KeyValues>(json).unwrap().0;
        assert_eq!(pairs("{\"a\":1}"), pairs("[\"a=1\"]"));
        assert_eq!(pairs("\"a=1,b=2\"").len(), 2);
        assert!(serde_json::from_str::<KeyValues>("[\"a\"]").is_err());
    }

    #[test]
    fn bad_base64_is_refused_without_quoting_it() {
        let error = serde_json::from_str::<Base64Bytes>("\"s3cret!\"").unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

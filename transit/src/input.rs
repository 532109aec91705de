//! Members of a request body, borrowed from it where they can be.
//!
//! The hot endpoints carry texts of any size, so they are not copied out of the body: a JSON string without escapes is
//! borrowed. Loose spellings (numbers and flags for strings) become texts as everywhere on this API.

use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, fmt};

/// A text of the request; `null` is the empty text, an absent member is `None` in an `Option`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Text(text) => Ok(Self(text)),
            Loose::Integer(number) => Ok(Self(Cow::Owned(number.to_string()))),
            Loose::Float(number) => Ok(Self(Cow::Owned(number.to_string()))),
            Loose::Flag(flag) => Ok(Self(Cow::Borrowed(if flag { "1" } else { "0" }))),
            Loose::Null => Ok(Self::default()),
            Loose::List | Loose::Map => Err(de::Error::custom("expected a string")),
        }
    }
}

/// For `#[serde(deserialize_with)]`: tells `null`, which counts as given, from an absent member.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A member of any type; lists and objects are skipped, only their kind is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Loose<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Null,
    List,
    Map,
}

impl Loose<'_> {
    /// What Go, in which the texts of these errors were first written, calls the type.
    pub(crate) fn go_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Integer(_) | Self::Float(_) => "json.Number",
            Self::Flag(_) => "bool",
            Self::Null => "<nil>",
            Self::List => "[]interface {}",
            Self::Map => "map[string]interface {}",
        }
    }

    /// What Go calls the kind of the type; its JSON numbers are strings underneath.
    pub(crate) fn go_kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Integer(_) | Self::Float(_) => "string",
            Self::Flag(_) => "bool",
            Self::Null => "invalid",
            Self::List => "slice",
            Self::Map => "map",
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> de::Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Loose<'de>, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Loose<'de>, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Loose<'de>, E> {
        Ok(Loose::Flag(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Loose<'de>, E> {
        Ok(Loose::Integer(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Loose<'de>, E> {
        Ok(i64::try_from(number).map_or(Loose::Float(f64::MAX), Loose::Integer))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Loose<'de>, E> {
        Ok(Loose::Float(number))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Loose<'de>, E> {
        Ok(Loose::Null)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Loose<'de>, A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Loose::List)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<Loose<'de>, A::Error> {
        while members.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        Ok(Loose::Map)
    }
}

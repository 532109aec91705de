//! The items of a batch, read from the request's own bytes, borrowed, a few at a time.
//!
//! A batch of any length takes no more memory than the items that are worked on. What is wrong with an item's shape is
//! gathered to the end, because the refusal names all of it.

use super::refusal;
use crate::{cipher::CipherItem, error::TransitError, input::Loose};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, marker::PhantomData};

/// An item that is built member by member.
pub(crate) trait BatchItem<'a>: Default {
    /// Whether the endpoint reads its members loosely; the reference then tells a wrong shape in other words.
    const LOOSE: bool;

    /// Takes one member if the item knows it; `Err` says what is wrong with its type.
    fn take(&mut self, member: &str, value: Loose<'a>) -> Result<(), String>;

    /// What is still missing when all members were taken: `member' what`.
    fn missing(&self) -> Option<&'static str> {
        None
    }
}

/// What is left to read of a batch.
pub(crate) struct Items<'a, T> {
    /// Behind the bracket or the comma before the next item.
    rest: &'a str,
    read: usize,
    mistakes: Vec<String>,
    item: PhantomData<T>,
}

impl<'a, T: BatchItem<'a>> Items<'a, T> {
    /// The items of `raw`, which is the text of the member `batch_input`.
    pub(crate) fn of(raw: &'a RawValue) -> Result<Self, TransitError> {
        let text = raw.get();
        let Some(rest) = text.strip_prefix('[') else {
            let found = serde_json::from_str::<Loose<'_>>(text).unwrap_or(Loose::Null);
            let (place, found) = if T::LOOSE { ("'' ", found.go_kind()) } else { ("", found.go_type()) };
            return Err(refusal(&format!("{place}source data must be an array or slice, got {found}")));
        };
        let rest = rest.trim_ascii_start();
        Ok(Self { rest: if rest == "]" { "" } else { rest }, read: 0, mistakes: Vec::new(), item: PhantomData })
    }

    /// The next item; `None` at the end of the list.
    pub(crate) fn next(&mut self) -> Result<Option<T>, TransitError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let broken = || refusal("the list is not valid JSON");
        let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<Shaped<T>>();
        let shaped = stream.next().and_then(Result::ok).ok_or_else(broken)?;
        let behind = self.rest.get(stream.byte_offset()..).ok_or_else(broken)?.trim_ascii_start();
        self.rest = match behind.as_bytes().first() {
            Some(b',') => behind.get(1..).unwrap_or_default(),
            Some(b']') => "",
            _ => return Err(broken()),
        };
        let index = self.read;
        self.mistakes.extend(shaped.mistakes.into_iter().map(|mistake| mistake.told(index, T::LOOSE)));
        self.read += 1;
        Ok(Some(shaped.item))
    }

    /// Replaces what `items` holds by the next ones, `most` of them unless the list ends before.
    pub(crate) fn read(&mut self, most: usize, items: &mut Vec<T>) -> Result<(), TransitError> {
        items.clear();
        while items.len() < most {
            match self.next()? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        Ok(())
    }

    /// To be called when all was read: refuses a batch in which an item had the wrong shape, or that had none.
    pub(crate) fn finish(self) -> Result<(), TransitError> {
        if !self.mistakes.is_empty() {
            let lead = if T::LOOSE { "decoding failed due to the following error(s):\n\n" } else { "" };
            return Err(refusal(&format!("{lead}{}", self.mistakes.join("\n"))));
        }
        if self.read == 0 {
            return Err(TransitError::caller("missing batch input to process"));
        }
        Ok(())
    }
}

/// Reads all items of `raw` at once.
pub(crate) fn parse<'a, T: BatchItem<'a>>(raw: &'a RawValue) -> Result<Vec<T>, TransitError> {
    let mut items = Items::of(raw)?;
    let mut all = Vec::new();
    items.read(usize::MAX, &mut all)?;
    items.finish().map(|()| all)
}

/// An item with what is wrong with its shape.
struct Shaped<T> {
    item: T,
    mistakes: Vec<Mistake>,
}

/// What is wrong with the shape of an item.
enum Mistake {
    /// It is no object; what Go calls its kind and its type.
    NotAMap(&'static str, &'static str),
    /// `member' what`
    Member(String),
}

impl Mistake {
    fn told(self, index: usize, loose: bool) -> String {
        match self {
            Self::NotAMap(kind, _) if loose => format!("'[{index}]' expected a map or struct, got {kind:?}"),
            Self::NotAMap(_, found) => format!("[{index}] expected a map, got '{found}'"),
            Self::Member(what) => format!("'[{index}].{what}"),
        }
    }
}

impl<T: Default> Shaped<T> {
    fn not_a_map(found: &Loose<'_>) -> Self {
        Self { item: T::default(), mistakes: vec![Mistake::NotAMap(found.go_kind(), found.go_type())] }
    }
}

impl<'de, T: BatchItem<'de>> Deserialize<'de> for Shaped<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor(PhantomData))
    }
}

struct ItemVisitor<T>(PhantomData<T>);

impl<'de, T: BatchItem<'de>> de::Visitor<'de> for ItemVisitor<T> {
    type Value = Shaped<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<Shaped<T>, A::Error> {
        let mut item = T::default();
        let mut mistakes = Vec::new();
        while let Some(MemberName(member)) = members.next_key()? {
            let value = members.next_value::<Loose<'de>>()?;
            if let Err(what) = item.take(&member, value) {
                mistakes.push(format!("{member}' {what}"));
            }
        }
        if let (Some(missing), true) = (item.missing(), mistakes.is_empty()) {
            mistakes.push(missing.to_owned());
        }
        mistakes.sort();
        Ok(Shaped { item, mistakes: mistakes.into_iter().map(Mistake::Member).collect() })
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Shaped<T>, E> {
        Ok(Shaped::not_a_map(&Loose::Text(Cow::Borrowed(""))))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Shaped<T>, E> {
        Ok(Shaped::not_a_map(&Loose::Flag(flag)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Shaped<T>, E> {
        Ok(Shaped::not_a_map(&Loose::Integer(number)))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Shaped<T>, E> {
        Ok(Shaped::not_a_map(&Loose::Integer(0)))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Shaped<T>, E> {
        Ok(Shaped::not_a_map(&Loose::Float(number)))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Shaped<T>, E> {
        Ok(Shaped::not_a_map(&Loose::Null))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Shaped<T>, A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Shaped::not_a_map(&Loose::List))
    }
}

/// A member's name, borrowed where it has no escapes.
struct MemberName<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for MemberName<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Text(text) => Ok(Self(text)),
            _ => Err(de::Error::custom("a member's name is a string")),
        }
    }
}

/// A text member; other types are a mistake.
pub(crate) fn text<'a>(value: Loose<'a>) -> Result<Cow<'a, str>, String> {
    match value {
        Loose::Text(text) => Ok(text),
        other => Err(format!("expected type 'string', got unconvertible type '{}'", other.go_type())),
    }
}

/// Like [`text`], with `null` as the empty text.
pub(crate) fn optional_text<'a>(value: Loose<'a>) -> Result<Cow<'a, str>, String> {
    if value == Loose::Null { Ok(Cow::Borrowed("")) } else { text(value) }
}

/// A text member of the endpoints that read numbers and flags for texts too.
pub(crate) fn loose_text<'a>(value: Loose<'a>) -> Result<Cow<'a, str>, String> {
    match value {
        Loose::Integer(number) => Ok(Cow::Owned(number.to_string())),
        Loose::Float(number) => Ok(Cow::Owned(number.to_string())),
        Loose::Flag(flag) => Ok(Cow::Borrowed(if flag { "1" } else { "0" })),
        other => optional_text(other),
    }
}

/// An integer member.
pub(crate) fn integer(value: Loose<'_>) -> Result<i64, String> {
    match value {
        Loose::Integer(number) => Ok(number),
        Loose::Null => Ok(0),
        Loose::Float(_) => Err("expected type 'int', got a number with a fraction or out of range".to_owned()),
        other => Err(format!("expected type 'int', got unconvertible type '{}'", other.go_type())),
    }
}

impl<'a> CipherItem<'a> {
    fn take_option(&mut self, member: &str, value: Loose<'a>) -> Result<(), String> {
        match member {
            "context" => self.context = optional_text(value)?,
            "associated_data" => self.associated_data = optional_text(value)?,
            "key_version" => self.key_version = integer(value)?,
            "reference" => self.reference = optional_text(value)?,
            "nonce" => self.rare.get_or_insert_default().nonce = optional_text(value)?,
            "padding_scheme" | "decrypt_padding_scheme" => {
                self.rare.get_or_insert_default().padding = optional_text(value)?;
            }
            "encrypt_padding_scheme" => self.rare.get_or_insert_default().new_padding = optional_text(value)?,
            _ => {}
        }
        Ok(())
    }
}

/// An item of an encrypting batch.
#[derive(Default)]
pub(crate) struct EncryptItem<'a>(pub(crate) CipherItem<'a>);

impl<'a> BatchItem<'a> for EncryptItem<'a> {
    const LOOSE: bool = false;

    fn take(&mut self, member: &str, value: Loose<'a>) -> Result<(), String> {
        if member != "plaintext" {
            return self.0.take_option(member, value);
        }
        self.0.payload = Some(text(value)?);
        Ok(())
    }

    fn missing(&self) -> Option<&'static str> {
        self.0.payload.is_none().then_some("plaintext' missing plaintext to encrypt")
    }
}

/// An item of a decrypting batch.
#[derive(Default)]
pub(crate) struct DecryptItem<'a>(pub(crate) CipherItem<'a>);

impl<'a> BatchItem<'a> for DecryptItem<'a> {
    const LOOSE: bool = false;

    fn take(&mut self, member: &str, value: Loose<'a>) -> Result<(), String> {
        if member != "ciphertext" {
            return self.0.take_option(member, value);
        }
        self.0.payload = Some(text(value)?);
        Ok(())
    }

    fn missing(&self) -> Option<&'static str> {
        self.0.payload.is_none().then_some("ciphertext' missing ciphertext to decrypt")
    }
}

/// An item of a rewrapping batch; a missing ciphertext is told in its result.
#[derive(Default)]
pub(crate) struct RewrapItem<'a>(pub(crate) CipherItem<'a>);

impl<'a> BatchItem<'a> for RewrapItem<'a> {
    const LOOSE: bool = true;

    fn take(&mut self, member: &str, value: Loose<'a>) -> Result<(), String> {
        match member {
            "ciphertext" => self.0.payload = Some(loose_text(value)?),
            "associated_data" => {}
            _ => return self.0.take_option(member, value),
        }
        Ok(())
    }
}

/// The three items above are views of the same one.
macro_rules! is_cipher_item {
    ($($item:ident),*) => {$(
        impl<'a> AsRef<CipherItem<'a>> for $item<'a> {
            fn as_ref(&self) -> &CipherItem<'a> {
                &self.0
            }
        }

        impl<'a> From<$item<'a>> for CipherItem<'a> {
            fn from(item: $item<'a>) -> Self {
                item.0
            }
        }
    )*};
}

is_cipher_item!(EncryptItem, DecryptItem, RewrapItem);

/// An item of a signing, verifying or HMAC batch.
#[derive(Default)]
pub(crate) struct SignatureItem<'a> {
    /// Base64; `None` where the member was absent.
    pub(crate) input: Option<Cow<'a, str>>,
    /// Base64.
    pub(crate) context: Cow<'a, str>,
    pub(crate) signature: Option<Cow<'a, str>>,
    pub(crate) hmac: Option<Cow<'a, str>>,
    pub(crate) cmac: Option<Cow<'a, str>>,
    pub(crate) mac_length: i64,
    pub(crate) reference: Cow<'a, str>,
}

impl<'a> BatchItem<'a> for SignatureItem<'a> {
    const LOOSE: bool = true;

    fn take(&mut self, member: &str, value: Loose<'a>) -> Result<(), String> {
        match member {
            "input" => self.input = Some(loose_text(value)?),
            "context" => self.context = loose_text(value)?,
            "signature" => self.signature = Some(loose_text(value)?),
            "hmac" => self.hmac = Some(loose_text(value)?),
            "cmac" => self.cmac = Some(loose_text(value)?),
            "mac_length" => self.mac_length = integer(value)?,
            "reference" => self.reference = loose_text(value)?,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal_of(json: &str) -> String {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        parse::<EncryptItem<'_>>(raw).err().unwrap().to_string()
    }

    #[test]
    fn items_borrow_from_the_request() {
        let raw: &RawValue = serde_json::from_str(r#"[{"plaintext":"aA==","key_version":2,"extra":[{}]}]"#).unwrap();
        let items = parse::<EncryptItem<'_>>(raw).unwrap();
        assert!(matches!(items[0].0.payload, Some(Cow::Borrowed("aA=="))));
        assert_eq!(items[0].0.key_version, 2);
    }

    #[test]
    fn a_wrong_shape_fails_the_whole_batch_in_the_references_words() {
        let prefix = "failed to parse batch input: ";
        for (json, what) in [
            ("5", "source data must be an array or slice, got json.Number"),
            ("{}", "source data must be an array or slice, got map[string]interface {}"),
            ("[5]", "[0] expected a map, got 'json.Number'"),
            ("[null]", "[0] expected a map, got '<nil>'"),
            (r#"[{"plaintext":""},{}]"#, "'[1].plaintext' missing plaintext to encrypt"),
            (r#"[{"plaintext":null}]"#, "'[0].plaintext' expected type 'string', got unconvertible type '<nil>'"),
            (
                r#"[{"plaintext":5},{"plaintext":5,"context":7}]"#,
                "'[0].plaintext' expected type 'string', got unconvertible type 'json.Number'\n\
                 '[1].context' expected type 'string', got unconvertible type 'json.Number'\n\
                 '[1].plaintext' expected type 'string', got unconvertible type 'json.Number'",
            ),
        ] {
            assert_eq!(refusal_of(json), format!("{prefix}{what}"), "{json}");
        }
        assert_eq!(refusal_of("[]"), "missing batch input to process");
        let loose: &RawValue = serde_json::from_str("[5]").unwrap();
        let text = parse::<RewrapItem<'_>>(loose).err().unwrap().to_string();
        let lead = "decoding failed due to the following error(s):\n\n";
        assert_eq!(text, format!("{prefix}{lead}'[0]' expected a map or struct, got \"string\""));
    }

    #[test]
    fn items_come_in_pieces_and_the_refusal_names_them_all() {
        let list = format!("[ {} ]", [r#"{"plaintext":"aA=="}"#; 5].join(" ,\n"));
        let raw: &RawValue = serde_json::from_str(&list).unwrap();
        let (mut items, mut piece) = (Items::<EncryptItem<'_>>::of(raw).unwrap(), Vec::new());
        for expected in [2, 2, 1, 0] {
            items.read(2, &mut piece).unwrap();
            assert_eq!(piece.len(), expected);
        }
        assert!(items.finish().is_ok());
        let wrong: &RawValue = serde_json::from_str(r#"[7,{"plaintext":"aA=="},{}]"#).unwrap();
        let mut items = Items::<EncryptItem<'_>>::of(wrong).unwrap();
        for _ in 0..3 {
            items.read(1, &mut piece).unwrap();
        }
        let text = items.finish().unwrap_err().to_string();
        assert!(text.contains("[0] expected a map") && text.contains("'[2].plaintext' missing"), "{text}");
    }
}

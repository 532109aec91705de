//! Batches: `batch_input` in, `batch_results` out, order kept (`vault-api.md` §1.5).
//!
//! The items are read from the request's own bytes, borrowed. A batch with an item of the wrong shape fails as a
//! whole; what is wrong with an item's value is told in its result, and the label of the whole answer follows from
//! all of them ([`label`]).

use crate::{
    cipher::CipherItem,
    ciphertext::write_number,
    error::{Failures, TransitError},
    input::Loose,
};
use chancery_engine::{Response, response::Disposition};
use serde::{
    Deserialize,
    de::{self, DeserializeSeed},
};
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

/// Reads the items of `raw`, which is the text of the member `batch_input`.
pub(crate) fn parse<'a, T: BatchItem<'a>>(raw: &'a RawValue) -> Result<Vec<T>, TransitError> {
    let text = raw.get();
    if !text.starts_with('[') {
        let found = serde_json::from_str::<Loose<'_>>(text).unwrap_or(Loose::Null);
        let (place, found) = if T::LOOSE { ("'' ", found.go_kind()) } else { ("", found.go_type()) };
        return Err(refusal(&format!("{place}source data must be an array or slice, got {found}")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (items, mistakes) =
        Items(PhantomData).deserialize(&mut deserializer).map_err(|_| refusal("the list is not valid JSON"))?;
    if !mistakes.is_empty() {
        let lead = if T::LOOSE { "decoding failed due to the following error(s):\n\n" } else { "" };
        return Err(refusal(&format!("{lead}{}", mistakes.join("\n"))));
    }
    if items.is_empty() {
        return Err(TransitError::caller("missing batch input to process"));
    }
    Ok(items)
}

fn refusal(what: &str) -> TransitError {
    TransitError::Caller(format!("failed to parse batch input: {what}"))
}

struct Items<T>(PhantomData<T>);

impl<'de, T: BatchItem<'de>> DeserializeSeed<'de> for Items<T> {
    type Value = (Vec<T>, Vec<String>);

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: BatchItem<'de>> de::Visitor<'de> for Items<T> {
    type Value = (Vec<T>, Vec<String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut mistakes) = (Vec::new(), Vec::new());
        loop {
            let item = ItemReader { index: items.len(), mistakes: &mut mistakes, item: PhantomData };
            match sequence.next_element_seed(item)? {
                Some(item) => items.push(item),
                None => return Ok((items, mistakes)),
            }
        }
    }
}

struct ItemReader<'m, T> {
    index: usize,
    mistakes: &'m mut Vec<String>,
    item: PhantomData<T>,
}

impl<'a, T: BatchItem<'a>> ItemReader<'_, T> {
    fn not_a_map(self, found: &Loose<'_>) -> T {
        let index = self.index;
        self.mistakes.push(if T::LOOSE {
            format!("'[{index}]' expected a map or struct, got {:?}", found.go_kind())
        } else {
            format!("[{index}] expected a map, got '{}'", found.go_type())
        });
        T::default()
    }
}

impl<'de, T: BatchItem<'de>> DeserializeSeed<'de> for ItemReader<'_, T> {
    type Value = T;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: BatchItem<'de>> de::Visitor<'de> for ItemReader<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<T, A::Error> {
        let mut item = T::default();
        let before = self.mistakes.len();
        while let Some(member) = members.next_key_seed(MemberName)? {
            let value = members.next_value::<Loose<'de>>()?;
            if let Err(what) = item.take(&member, value) {
                self.mistakes.push(format!("'[{}].{member}' {what}", self.index));
            }
        }
        if let (Some(missing), true) = (item.missing(), self.mistakes.len() == before) {
            self.mistakes.push(format!("'[{}].{missing}", self.index));
        }
        if let Some(mistakes) = self.mistakes.get_mut(before..) {
            mistakes.sort();
        }
        Ok(item)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<T, E> {
        Ok(self.not_a_map(&Loose::Text(Cow::Borrowed(""))))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        Ok(self.not_a_map(&Loose::Flag(flag)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Ok(self.not_a_map(&Loose::Integer(number)))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<T, E> {
        Ok(self.not_a_map(&Loose::Integer(0)))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        Ok(self.not_a_map(&Loose::Float(number)))
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Ok(self.not_a_map(&Loose::Null))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(self.not_a_map(&Loose::List))
    }
}

/// A member's name, borrowed where it has no escapes.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Text(text) => Ok(text),
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

/// Refuses a batch where some items carry a context and others do not.
pub(crate) fn check_contexts<'i, 'a: 'i>(
    items: &(impl Iterator<Item = &'i CipherItem<'a>> + Clone),
) -> Result<(), TransitError> {
    if items.clone().all(|item| item.context.is_empty()) || items.clone().all(|item| !item.context.is_empty()) {
        return Ok(());
    }
    Err(TransitError::caller("context should be set either in all the request blocks or in none"))
}

/// Where an item stands, for texts: `'[3].`
pub(crate) fn place(index: usize) -> String {
    format!("'[{index}].")
}

/// Opens `{"batch_results":[`.
pub(crate) fn open_results(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"batch_results":["#);
}

/// Closes what [`open_results`] opened.
pub(crate) fn close_results(out: &mut Vec<u8>) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend_from_slice(b"]}");
}

/// Writes `,"key_version":N`.
pub(crate) fn write_key_version(version: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","key_version":"#);
    write_number(version, out);
}

/// Writes `"error":"…",`. What the caller cannot mend is told in the log instead.
pub(crate) fn write_error(error: &TransitError, out: &mut Vec<u8>) {
    if !error.is_callers() && !error.is_lacking() {
        tracing::warn!(%error, "an item of a batch failed");
    }
    out.extend_from_slice(br#""error":"#);
    write_text(&error.item_text(), out);
    out.push(b',');
}

/// Writes `"reference":"…"},` and so ends an item.
pub(crate) fn write_reference(reference: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""reference":"#);
    write_text(reference, out);
    out.extend_from_slice(b"},");
}

/// Writes a JSON string.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// Labels the answer of an encrypting or decrypting batch: a caller's mistake in any item makes it a 400, only
/// internal failures a 500; `chosen` replaces either where at least one item succeeded.
pub(crate) fn label(response: Response, failures: Failures, chosen: i64) -> Response {
    let disposition = match (failures.by_caller, failures.internal) {
        (false, false) => return response,
        (true, _) => Disposition::CallerFailedInPart,
        (false, true) => Disposition::InternalFailedInPart,
    };
    match u16::try_from(chosen) {
        Ok(code @ 200..=599) if failures.succeeded => response.disposed(Disposition::Chosen(code)),
        _ => response.disposed(disposition),
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
    fn texts_with_quotes_and_controls_are_escaped() {
        let mut out = Vec::new();
        write_text("a\"\\\n", &mut out);
        assert_eq!(out, br#""a\"\\\n""#);
    }

    #[test]
    fn the_label_follows_the_worst_item() {
        let of = |by_caller, internal, succeeded, chosen| {
            label(Response::empty(), Failures { by_caller, internal, succeeded, lacking: false }, chosen).disposition
        };
        assert_eq!(of(false, false, true, 207), Disposition::Done);
        assert_eq!(of(true, true, true, 0), Disposition::CallerFailedInPart);
        assert_eq!(of(false, true, true, 0), Disposition::InternalFailedInPart);
        assert_eq!(of(true, false, true, 207), Disposition::Chosen(207));
        assert_eq!(of(true, false, false, 207), Disposition::CallerFailedInPart);
        assert_eq!(of(true, false, true, 99), Disposition::CallerFailedInPart);
    }
}

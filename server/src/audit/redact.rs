//! Hides values: string values of JSON become keyed hashes while the text streams through, without a tree of values.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use std::{borrow::Cow, collections::HashSet};

/// The secret of one sink. Whoever knows a value can ask `sys/audit-hash` for its hash; nobody can go back.
pub(crate) struct Salt(hmac::Key);

/// How one sink wants values shown.
pub(crate) struct Redaction<'a> {
    /// `None` shows values in clear (`log_raw`).
    pub(crate) salt: Option<&'a Salt>,
    /// Top-level members shown in clear (`audit_non_hmac_*_keys`).
    pub(crate) clear_keys: &'a HashSet<String>,
}

impl Salt {
    /// Bytes of a salt.
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// `hmac-sha256:` and the hash in hex.
    pub(crate) fn hash(&self, value: &[u8]) -> String {
        let mut out = Vec::with_capacity(76);
        self.write(value, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    pub(crate) fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        let tag = hmac::sign(&self.0, value);
        out.extend_from_slice(b"hmac-sha256:");
        let mut hex = [0_u8; 64];
        HEXLOWER.encode_mut(tag.as_ref(), &mut hex);
        out.extend_from_slice(&hex);
    }
}

impl Redaction<'_> {
    /// A JSON string with `value` hidden.
    pub(crate) fn write_secret(&self, value: &str, out: &mut Vec<u8>) {
        match self.salt {
            Some(salt) => {
                out.push(b'"');
                salt.write(value.as_bytes(), out);
                out.push(b'"');
            }
            None => write_text(value, out),
        }
    }

    /// Copies the JSON text of an object, hiding every string that is a value. Keys, numbers and booleans stay; blanks
    /// between them do not, because a line end in a caller's body must not become one in the log.
    pub(crate) fn write_object(&self, json: &[u8], out: &mut Vec<u8>) {
        let mut rest = json;
        let mut depth = 0_usize;
        let mut clear = false;
        while let Some(start) = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',')) {
            let (before, from) = rest.split_at(start);
            write_without_blanks(before, out);
            let Some((&mark, tail)) = from.split_first() else { return };
            if mark != b'"' {
                out.push(mark);
                match mark {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth <= 1 && matches!(mark, b',' | b'}') {
                    clear = false;
                }
                rest = tail;
                continue;
            }
            let length = string_length(from);
            let (string, tail) = from.split_at(length);
            let is_key = tail.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
            match self.salt {
                Some(salt) if !is_key && !clear => {
                    out.push(b'"');
                    salt.write(unescape(string).as_bytes(), out);
                    out.push(b'"');
                }
                _ => out.extend_from_slice(string),
            }
            if is_key && depth == 1 && !self.clear_keys.is_empty() {
                clear = self.clear_keys.contains(unescape(string).as_ref());
            }
            rest = tail;
        }
        write_without_blanks(rest, out);
    }
}

fn write_without_blanks(json: &[u8], out: &mut Vec<u8>) {
    out.extend(json.iter().filter(|byte| !byte.is_ascii_whitespace()));
}

/// A JSON string of `text`.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"\"\"");
    }
}

/// Hides what looks like a token in a path or an error text: `hvs.`, `hvb.`, `hvr.`, `s.` and its kin, followed by a
/// long run of token characters. Some old endpoints take tokens in the path.
pub(crate) fn mask_tokens(text: &str) -> Cow<'_, str> {
    const PREFIXES: [&str; 6] = ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."];
    const SHORTEST: usize = 20;
    if !PREFIXES.iter().any(|prefix| text.contains(prefix)) {
        return Cow::Borrowed(text);
    }
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word_end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(word_end);
        let secret = PREFIXES.iter().any(|prefix| word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= SHORTEST));
        masked.push_str(if secret { "[token]" } else { word });
        let next = tail.find(is_token).unwrap_or(tail.len());
        let (between, tail) = tail.split_at(next);
        masked.push_str(between);
        rest = tail;
    }
    Cow::Owned(masked)
}

/// Length of the string literal at the start of `text`, with both quotes.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (index, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The text a string literal stands for, so that the same value hashes alike however it was escaped.
fn unescape(literal: &[u8]) -> Cow<'_, str> {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains(&b'\\') {
        return String::from_utf8_lossy(inner);
    }
    serde_json::from_slice::<String>(literal).map_or_else(|_| String::from_utf8_lossy(inner), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(json: &str, clear: &[&str]) -> String {
        let salt = Salt::new(&[7; 32]);
        let clear_keys = clear.iter().map(|key| (*key).to_owned()).collect();
        let mut out = Vec::new();
        Redaction { salt: Some(&salt), clear_keys: &clear_keys }.write_object(json.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn string_values_are_hashed_and_nothing_else() {
        let salt = Salt::new(&[7; 32]);
        let hash = |text: &str| salt.hash(text.as_bytes());
        assert_eq!(
            redacted(r#"{"a":"x","n":5,"b":true,"l":["x",{"k" : "y"}],"z":null}"#, &[]),
            format!(r#"{{"a":"{}","n":5,"b":true,"l":["{}",{{"k":"{}"}}],"z":null}}"#, hash("x"), hash("x"), hash("y"))
        );
    }

    #[test]
    fn line_ends_between_members_do_not_reach_the_log() {
        let body = "{\n  \"a\": [\n 1,\t2 ],\r\n \"b\": \"two words\"\n}\n";
        assert_eq!(redacted(body, &["b"]), r#"{"a":[1,2],"b":"two words"}"#);
        let mut raw = Vec::new();
        Redaction { salt: None, clear_keys: &HashSet::new() }.write_object(body.as_bytes(), &mut raw);
        assert_eq!(raw, br#"{"a":[1,2],"b":"two words"}"#);
    }

    #[test]
    fn escapes_do_not_hide_the_end_of_a_string() {
        let out = redacted(r#"{"a":"q\"s3cret","b":"back\\","c":"s3cret"}"#, &[]);
        assert!(!out.contains("s3cret"), "{out}");
        assert!(out.contains(&Salt::new(&[7; 32]).hash(b"q\"s3cret")));
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
    }

    #[test]
    fn clear_keys_hold_at_the_top_only() {
        let out = redacted(r#"{"name":["web","x"],"deep":{"name":"hidden"},"after":"hidden2"}"#, &["name"]);
        assert!(out.contains(r#""name":["web","x"]"#), "{out}");
        assert!(!out.contains("hidden"), "{out}");
        let out = redacted(r#"{"o":{"p":"seen","q":["seen2"]},"after":"hidden"}"#, &["o"]);
        assert!(out.contains("seen2") && !out.contains("hidden"), "{out}");
    }

    #[test]
    fn tokens_in_paths_are_masked() {
        assert_eq!(mask_tokens("auth/token/lookup/hvs.AAAAAAAAAAAAAAAAAAAAAAAA"), "auth/token/lookup/[token]");
        assert_eq!(mask_tokens("transit/keys/s.short"), "transit/keys/s.short");
        assert_eq!(mask_tokens("plain"), "plain");
    }
}

//! Hides values: string values of JSON become keyed hashes while the text streams through, without a tree of values.

use super::salt::Salt;
use std::{borrow::Cow, collections::HashSet};

/// How one sink wants values shown.
pub(crate) struct Redaction<'a> {
    /// `None` shows values in clear (`log_raw`).
    pub(crate) salt: Option<&'a Salt>,
    /// Top-level members shown in clear (`audit_non_hmac_*_keys`).
    pub(crate) clear_keys: &'a HashSet<String>,
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
        while let Some((&byte, tail)) = rest.split_first() {
            if byte == b'"' {
                let string = Literal::at_start_of(rest);
                let tail = rest.get(string.text.len()..).unwrap_or_default();
                let is_key = tail.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                match self.salt {
                    Some(salt) if !is_key && !clear => string.write_hash(salt, out),
                    _ => out.extend_from_slice(string.text),
                }
                if is_key && depth == 1 && !self.clear_keys.is_empty() {
                    clear = self.clear_keys.contains(string.unescaped().as_ref());
                }
                rest = tail;
                continue;
            }
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth <= 1 && matches!(byte, b',' | b'}') {
                clear = false;
            }
            if !byte.is_ascii_whitespace() {
                out.push(byte);
            }
            rest = tail;
        }
    }
}

/// A string of a JSON text with both its quotes.
struct Literal<'j> {
    text: &'j [u8],
    escaped: bool,
}

impl<'j> Literal<'j> {
    fn at_start_of(json: &'j [u8]) -> Self {
        let mut at = 1;
        let mut escaped = false;
        while let Some(found) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
            at += found;
            if json.get(at) == Some(&b'"') {
                return Self { text: json.get(..=at).unwrap_or_default(), escaped };
            }
            escaped = true;
            at += 2;
        }
        Self { text: json, escaped }
    }

    /// What stands between the quotes.
    fn inner(&self) -> &'j [u8] {
        self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default()
    }

    /// The text it stands for, so that the same value hashes alike however it was escaped.
    fn unescaped(&self) -> Cow<'j, str> {
        if !self.escaped {
            return String::from_utf8_lossy(self.inner());
        }
        serde_json::from_slice::<String>(self.text).map_or_else(|_| String::from_utf8_lossy(self.inner()), Cow::Owned)
    }

    fn write_hash(&self, salt: &Salt, out: &mut Vec<u8>) {
        out.push(b'"');
        if self.escaped {
            salt.write(self.unescaped().as_bytes(), out);
        } else {
            salt.write(self.inner(), out);
        }
        out.push(b'"');
    }
}

/// A JSON string of `text`.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Looks at every byte, wherever the first odd one is: that way it takes many at a time.
    let plain = |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, plain) {
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
    if !text.contains('.') || !PREFIXES.iter().any(|prefix| text.contains(prefix)) {
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

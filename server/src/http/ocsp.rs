//! OCSP over HTTP (RFC 6960 appendix A): bytes in a body or in a path become the parameter `req` in base64, so that behind
//! the door they are a request like any other. Only below mounts of certificates; elsewhere nothing changes.

use super::door::Door;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_engine::{Body, RequestPath};
use std::borrow::Cow;

const MEDIA_TYPE: &str = "application/ocsp-request";

/// The URL's path below `/v1/`, with an OCSP request in it in the alphabet that needs no escapes: in the usual one the
/// request may hold slashes, escaped or not, and empty segments, which no other path may.
pub(crate) fn path<'p>(door: &Door, encoded: &'p str) -> Cow<'p, str> {
    let Some(at) = encoded.find("/ocsp/") else { return Cow::Borrowed(encoded) };
    let (place, request) = encoded.split_at(at + "/ocsp".len());
    let request = request.get(1..).unwrap_or_default();
    match in_safe_alphabet(request) {
        Some(request) if is_responder(door, place) => Cow::Owned(format!("{place}/{request}")),
        _ => Cow::Borrowed(encoded),
    }
}

/// The body of an OCSP request as parameters; `None` for any other body.
pub(crate) fn body(door: &Door, path: &RequestPath, content_type: &str, bytes: &[u8]) -> Option<Body> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(MEDIA_TYPE) || !is_responder(door, path.as_str()) {
        return None;
    }
    Some(Body::from_json(format!("{{\"req\":\"{}\"}}", URL_SAFE_NO_PAD.encode(bytes)).into_bytes()))
}

fn is_responder(door: &Door, path: &str) -> bool {
    door.core.mounts.route(path).is_some_and(|(mounted, rest)| mounted.entry.kind == "pki" && rest == "ocsp")
}

/// Base64 in either alphabet, escaped or not, in the URL's own and without padding; `None` where it is none.
fn in_safe_alphabet(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high << 4 | low).ok()?
            }
            plain => plain,
        };
        match byte {
            b'+' | b'-' => out.push('-'),
            b'/' | b'_' => out.push('_'),
            b'=' => {}
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => return None,
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::in_safe_alphabet;

    #[test]
    fn every_spelling_of_base64_is_one() {
        for text in ["ab//+w==", "ab%2F%2f%2Bw%3D%3D", "ab__-w"] {
            assert_eq!(in_safe_alphabet(text).as_deref(), Some("ab__-w"), "{text}");
        }
        for text in ["", "a.b", "a%2", "a%zz", "a%00"] {
            assert_eq!(in_safe_alphabet(text), None, "{text}");
        }
    }
}

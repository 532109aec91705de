//! Base64 as the wire has it: standard alphabet with padding, read the way Go reads it.
//!
//! Vault decodes with Go's `base64.StdEncoding`: line breaks are skipped, spare bits in the last character are not
//! checked, and a mistake is reported by its offset. The fast decoder takes the usual case; only what it refuses goes
//! through the slow one, which knows Go's rules.

use crate::error::TransitError;
use base64::{
    Engine as _,
    engine::{
        Simd,
        general_purpose::{PAD, URL_SAFE_NO_PAD},
    },
};
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Takes the processor's wide registers for texts long enough to gain by it.
static STANDARD: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

/// Decodes `text` behind what `out` already holds.
pub(crate) fn decode_onto(text: &str, out: &mut Vec<u8>) -> Result<(), TransitError> {
    if text.is_empty() {
        return Ok(());
    }
    let start = out.len();
    // Reserving first keeps the buffer from moving while it fills, which would leave an unwiped copy behind.
    out.reserve(text.len() / 4 * 3 + 3);
    if STANDARD.decode_vec(text, out).is_ok() {
        return Ok(());
    }
    out.truncate(start);
    decode_slowly(text.as_bytes(), out).map_err(TransitError::IllegalBase64)
}

/// Decodes `text`, which may be a secret.
pub(crate) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let mut out = Zeroizing::new(Vec::new());
    decode_onto(text, &mut out)?;
    Ok(out)
}

/// Decodes base64url without padding (RFC 7515 §2), as JWS signatures come.
pub(crate) fn decode_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches(['\r', '\n'])).ok()
}

/// Standard base64 of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Base64url without padding of `bytes`.
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Writes standard base64 of `bytes` behind what `out` holds, without a string in between.
pub(crate) fn encode_onto(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), TransitError> {
    let start = out.len();
    let length = bytes.len().div_ceil(3) * 4;
    out.resize(start + length, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    STANDARD.encode_slice(bytes, room).map_err(|_| TransitError::Bug("base64 does not fit its own length"))?;
    Ok(())
}

/// The lenient decoder; `Err` is the offset Go would name.
fn decode_slowly(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
    let next_solid = |from: usize| {
        text.iter().enumerate().skip(from).find(|(_, byte)| !is_break(**byte)).map_or(text.len(), |(at, _)| at)
    };
    let mut at = 0;
    loop {
        let mut quantum: u32 = 0;
        let mut digits = 0;
        while digits < 4 {
            let Some(&byte) = text.get(at) else {
                // The end may only stand between quanta, padding being required.
                return if digits == 0 { Ok(()) } else { Err(at - digits) };
            };
            at += 1;
            if is_break(byte) {
                continue;
            }
            if let Some(value) = digit_value(byte) {
                quantum = quantum << 6 | u32::from(value);
                digits += 1;
                continue;
            }
            if byte != b'=' || digits < 2 {
                return Err(at - 1);
            }
            if digits == 2 {
                at = next_solid(at);
                match text.get(at) {
                    None => return Err(text.len()),
                    Some(b'=') => at += 1,
                    Some(_) => return Err(at - 1),
                }
            }
            let rest = next_solid(at);
            if rest < text.len() {
                return Err(rest);
            }
            push_partial(quantum, digits, out);
            return Ok(());
        }
        out.extend(quantum.to_be_bytes().into_iter().skip(1));
    }
}

fn push_partial(quantum: u32, digits: usize, out: &mut Vec<u8>) {
    let aligned = quantum << (6 * (4 - digits));
    out.extend(aligned.to_be_bytes().into_iter().skip(1).take(digits - 1));
}

fn digit_value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(text: &str) -> Option<usize> {
        match decode(text) {
            Err(TransitError::IllegalBase64(at)) => Some(at),
            _ => None,
        }
    }

    #[test]
    fn line_breaks_and_spare_bits_are_read_like_go_reads_them() {
        assert_eq!(decode("aGVs\r\nbG8=\n").unwrap().as_slice(), b"hello");
        assert_eq!(decode("aGVsbG9=").unwrap().as_slice(), b"hello");
        assert_eq!(decode("").unwrap().as_slice(), b"");
        assert_eq!(decode("eA==").unwrap().as_slice(), b"x");
    }

    #[test]
    fn mistakes_are_named_by_the_offset_go_names() {
        assert_eq!(offset("!!!"), Some(0));
        assert_eq!(offset("5"), Some(0));
        assert_eq!(offset("aGVsbG8"), Some(4));
        assert_eq!(offset("aGVsbG8=x"), Some(8));
        assert_eq!(offset("aG=s"), Some(2));
        assert_eq!(offset("aGVs bG8="), Some(4));
        assert_eq!(offset("aG="), Some(3));
    }

    #[test]
    fn encoding_appends() {
        let mut out = b"vault:v1:".to_vec();
        encode_onto(b"hello", &mut out).unwrap();
        assert_eq!(out, b"vault:v1:aGVsbG8=");
    }
}

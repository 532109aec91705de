//! Batches: `batch_input` in, `batch_results` out, order kept.
//!
//! | file | holds |
//! |---|---|
//! | `items` | what a batch asks for, read from the request's bytes |
//! | `ciphers` | encrypting, decrypting and rewrapping: the loop over the items |
//!
//! A batch with an item of the wrong shape fails as a whole; what is wrong with an item's value is told in its result,
//! and the label of the whole answer follows from all of them ([`label`]).

pub(crate) mod ciphers;
mod items;

pub(crate) use items::{BatchItem, DecryptItem, EncryptItem, Items, RewrapItem, SignatureItem, parse};

use crate::{
    ciphertext::write_number,
    error::{Failures, TransitError},
};
use chancery_engine::{Response, response::Disposition};

fn refusal(what: &str) -> TransitError {
    TransitError::Caller(format!("failed to parse batch input: {what}"))
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
    // Looks at every byte, wherever the first odd one is: that way it takes many at a time.
    let plain = |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// Labels the answer of an encrypting or decrypting batch: a caller's mistake in any item makes it a 400, only
/// internal failures a 500; `chosen` replaces either where at least one item succeeded.
pub(crate) fn label(response: Response, failures: Failures, chosen: Option<i64>) -> Response {
    let (disposition, status) = match (failures.by_caller, failures.internal) {
        (false, false) => return response,
        (true, _) => (Disposition::CallerFailedInPart, 400),
        (false, true) => (Disposition::InternalFailedInPart, 500),
    };
    let Some(chosen) = chosen.filter(|_| failures.succeeded) else { return response.disposed(disposition) };
    match u16::try_from(chosen) {
        Ok(code @ 200..=599) => response.disposed(Disposition::Chosen(code)),
        _ => response.disposed(disposition).warn(format!(
            "invalid HTTP response code override from partial_failure_response_code, reverting to {status}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_quotes_and_controls_are_escaped() {
        let mut out = Vec::new();
        write_text("a\"\\\n", &mut out);
        assert_eq!(out, br#""a\"\\\n""#);
    }

    #[test]
    fn the_label_follows_the_worst_item() {
        let of = |by_caller, internal, succeeded, chosen| {
            let failures = Failures { by_caller, internal, succeeded, lacking: false };
            let response = label(Response::empty(), failures, chosen);
            (response.disposition, response.warnings.len())
        };
        assert_eq!(of(false, false, true, Some(207)), (Disposition::Done, 0));
        assert_eq!(of(true, true, true, None), (Disposition::CallerFailedInPart, 0));
        assert_eq!(of(false, true, true, None), (Disposition::InternalFailedInPart, 0));
        assert_eq!(of(true, false, true, Some(207)), (Disposition::Chosen(207), 0));
        assert_eq!(of(true, false, false, Some(207)), (Disposition::CallerFailedInPart, 0));
        for impossible in [-1, 0, 99, 600] {
            assert_eq!(of(true, false, true, Some(impossible)), (Disposition::CallerFailedInPart, 1));
        }
    }
}

//! Key material from outside, as transit takes it.

use crate::text;
use chancery_transit::fuzzing::material::{self, Wrapping};
use std::cell::LazyCell;

thread_local! {
    static WRAPPING: LazyCell<Wrapping> = LazyCell::new(|| Wrapping::fresh().expect("an RSA key can be made"));
}

/// A blob that nobody wrapped opens as nothing; as a target of its own the input comes back.
pub fn import_blob(data: &[u8]) {
    WRAPPING.with(|wrapping| {
        assert_eq!(wrapping.open(data), None, "opened what nobody wrapped");
        let Some(blob) = wrapping.seal(data) else { return };
        // Targets of up to eight bytes are one block, which the reference refuses.
        assert_eq!(wrapping.open(&blob), (data.len() > 8).then(|| data.to_vec()));
    });
}

/// Keys in DER, or in PEM with certificates and requests: refused, or of use once they are stored.
pub fn pkcs8(data: &[u8]) {
    let mut candidates = vec![data.to_vec()];
    if let Some(text) = text(data) {
        let _ = material::certificates(text);
        candidates.extend(material::blocks(text));
    }
    for der in candidates {
        assert_ne!(material::private_key(&der), Some(false));
        assert_ne!(material::public_key(&der), Some(false));
    }
}

/// The JSON of a backup: refused, or every version of use. No refusal repeats a value.
pub fn backup(data: &[u8]) {
    if let Err(refusal) = material::backup(data) {
        assert!(!refusal.contains("s3cret"), "the refusal quotes a value: {refusal}");
    }
}

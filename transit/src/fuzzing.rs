//! What the fuzz targets and their corpus tests reach of the private parsers. No part of the interface.

use crate::{
    aead::AeadKey,
    api::encrypt::EncryptRequest,
    batch::{self, BatchItem, DecryptItem, EncryptItem, RewrapItem, SignatureItem},
    cipher::{CipherItem, Workbench},
    ciphertext::Kind,
    derivation::{DerivationKey, Kdf},
    encoding,
    error::TransitError,
    key::{Key, KeyRecord},
    key_type::KeyType,
    version::{KeyVersion, MacKey, Material},
    versions::Versions,
};
use chancery_engine::wire::parse_body;
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::borrow::Cow;

pub mod material;

/// Version and payload of a ciphertext, a signature and an HMAC, where they are taken.
#[must_use]
pub fn envelopes(text: &str) -> [Option<(i64, &str)>; 3] {
    [Kind::Ciphertext, Kind::Signature, Kind::Hmac]
        .map(|kind| kind.parse(text).ok().map(|envelope| (envelope.version, envelope.payload)))
}

/// Base64 as the wire reads it.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    encoding::decode(text).ok().map(|bytes| bytes.to_vec())
}

/// Reads the body of an `encrypt` request; `Err` is the refusal the caller is told.
///
/// # Errors
/// The text of the refusal.
pub fn encrypt_request(json: &[u8]) -> Result<(), String> {
    parse_body::<EncryptRequest<'_>>(json, drop).map(drop).map_err(|fault| fault.to_string())
}

/// Reads a `batch_input` as each kind of endpoint does: how many items there are, or the refusal.
pub fn batches(raw: &RawValue) -> [Result<usize, String>; 4] {
    fn count<'a, T: BatchItem<'a>>(raw: &'a RawValue) -> Result<usize, String> {
        batch::parse::<T>(raw).map(|items| items.len()).map_err(|error| error.to_string())
    }
    [
        count::<EncryptItem<'_>>(raw),
        count::<DecryptItem<'_>>(raw),
        count::<RewrapItem<'_>>(raw),
        count::<SignatureItem<'_>>(raw),
    ]
}

/// Keys of every symmetric kind, plain and derived, to decrypt with.
pub struct Ciphers(Vec<Key>);

impl Ciphers {
    /// The same keys each time.
    #[must_use]
    pub fn fixed() -> Self {
        let kinds = [
            (KeyType::Aes256Gcm96, false),
            (KeyType::ChaCha20Poly1305, false),
            (KeyType::XChaCha20Poly1305, false),
            (KeyType::Aes256Gcm96, true),
        ];
        Self(kinds.into_iter().filter_map(|(key_type, derived)| key(key_type, derived).ok()).collect())
    }

    /// Tries to decrypt and to rewrap, with every key; how many of those succeeded.
    #[must_use]
    pub fn opened(&self, ciphertext: &str, context: &str, associated_data: &str) -> usize {
        let item = CipherItem {
            payload: Some(Cow::Borrowed(ciphertext)),
            context: Cow::Borrowed(context),
            associated_data: Cow::Borrowed(associated_data),
            ..CipherItem::default()
        };
        let mut bench = Workbench::default();
        let opened = |key: &Key| {
            let mut out = Vec::new();
            let decrypted = bench.decrypt(key, &item, &mut out).is_ok();
            usize::from(decrypted) + usize::from(bench.rewrap(key, &item, &mut out).is_ok())
        };
        self.0.iter().map(opened).sum()
    }

    /// Encrypts and decrypts again with every key: whether all give back `plaintext` (base64), or all refuse it.
    #[must_use]
    pub fn round_trip(&self, plaintext: &str) -> bool {
        let item = |payload| CipherItem {
            payload: Some(payload),
            context: Cow::Borrowed("Y29udGV4dA=="),
            ..CipherItem::default()
        };
        let canonical = decode_base64(plaintext).map(|bytes| encoding::encode(&bytes));
        self.0.iter().all(|key| {
            let mut bench = Workbench::default();
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            let made = bench.encrypt(key, &item(Cow::Borrowed(plaintext)), &mut sealed);
            let Some(canonical) = &canonical else { return made.is_err() };
            let Ok(sealed) = String::from_utf8(sealed) else { return false };
            made.is_ok()
                && bench.decrypt(key, &item(Cow::Owned(sealed)), &mut opened).is_ok()
                && opened == canonical.as_bytes()
        })
    }
}

fn key(key_type: KeyType, derived: bool) -> Result<Key, TransitError> {
    let bytes = [7; 32];
    let material = if derived {
        Material::Derived(DerivationKey::new(Kdf::default(), None, bytes.to_vec().into()))
    } else {
        Material::Aead(AeadKey::expand(key_type, &bytes)?)
    };
    let version = KeyVersion {
        created_at: Timestamp::UNIX_EPOCH,
        material,
        mac: MacKey::Missing,
        public_key: None,
        certificate_chain: Vec::new(),
        counter: None,
    };
    let record = KeyRecord { derived, ..KeyRecord::new(key_type) };
    Ok(Key { name: "fuzzed".to_owned(), record, versions: Versions::first(version) })
}

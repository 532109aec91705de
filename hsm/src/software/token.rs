//! A token in memory with the behaviour of a well-made PKCS#11 one, for tests.
//!
//! Keys live as long as the [`crate::Hsm`] and its clones; purposes are enforced, references are checked.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use data_encoding::HEXLOWER;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{SoftwareKey, fill_random, verify::verify};
use crate::{
    AeadSealed, Capabilities, HsmError, KeyAlgorithm, KeyAttributes, KeyId, KeyPurpose, KeyReference, KeySearch,
    KeySpec, KeySummary, LABEL_PREFIX, MacAlgorithm, Need, TokenIdentity,
    capability::{IvPolicy, Support},
    command::{Command, Reply},
    external::reserved,
};

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

pub(crate) struct SoftwareToken {
    identity: TokenIdentity,
    capabilities: Arc<Capabilities>,
    keys: RwLock<BTreeMap<KeyId, Arc<Entry>>>,
}

struct Entry {
    key: SoftwareKey,
    purpose: KeyPurpose,
    label: String,
    reference: KeyReference,
}

impl SoftwareToken {
    pub(crate) fn new() -> Self {
        let mut serial = [0; 8];
        // Two tokens of one process must not be taken for each other; without randomness nothing else works either.
        let _ = fill_random(&mut serial);
        let identity = TokenIdentity {
            label: "software".into(),
            serial: HEXLOWER.encode(&serial),
            manufacturer: "Chancery".into(),
            model: "in-memory".into(),
        };
        Self { identity, capabilities: Arc::new(capabilities()), keys: RwLock::default() }
    }

    pub(crate) fn identity(&self) -> TokenIdentity {
        self.identity.clone()
    }

    pub(crate) fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.capabilities)
    }

    pub(crate) fn execute(&self, command: Command) -> Result<Reply, HsmError> {
        match command {
            Command::Generate(spec) => self.generate(&spec).map(Reply::Key),
            Command::Find(search) => self.search(&search).map(Reply::Key),
            Command::Sign { key, scheme, input } => {
                let entry = self.find(&key, KeyPurpose::signs, "signatures")?;
                let signature = entry.key.sign(scheme, &input)?;
                let public = key.public_key.as_deref().unwrap_or_default();
                if verify(public, scheme, &input, &signature)? {
                    Ok(Reply::Bytes(signature))
                } else {
                    Err(HsmError::BadSignature { key: key.to_string() })
                }
            }
            Command::Encrypt { key, aad, plaintext } => {
                let entry = self.find(&key, |purpose| purpose == KeyPurpose::Encrypt, "encryption")?;
                encrypt(&entry.key, &key.origin.wire_aad(&aad), &plaintext).map(Reply::Sealed)
            }
            Command::Decrypt { key, aad, sealed } => {
                let entry = self.find(&key, |purpose| purpose == KeyPurpose::Encrypt, "decryption")?;
                decrypt(&entry.key, &key.origin.wire_aad(&aad), &sealed).map(Reply::Secret)
            }
            Command::RsaDecrypt { key, padding, ciphertext } => {
                let entry = self.find(&key, KeyPurpose::decrypts_rsa, "decryption")?;
                entry.key.rsa_decrypt(padding, &ciphertext).map(Reply::Secret)
            }
            Command::Mac { key, algorithm, data } => {
                let entry = self.find(&key, |purpose| purpose == KeyPurpose::Mac, "message authentication")?;
                entry.key.mac(algorithm, &data).map(Reply::Bytes)
            }
            Command::Random { bytes } => {
                let mut random = Zeroizing::new(vec![0; bytes]);
                fill_random(&mut random)?;
                Ok(Reply::Secret(random))
            }
            Command::Destroy { key } => {
                self.find(&key, |_| true, "")?;
                self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(&key.id);
                Ok(Reply::Done)
            }
            Command::Attributes { key } => {
                let entry = self.find(&key, |_| true, "")?;
                Ok(Reply::Attributes(entry.attributes()))
            }
            Command::List => {
                let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
                let summary = |e: &Arc<Entry>| KeySummary { label: e.label.clone(), reference: e.reference.clone() };
                Ok(Reply::Keys(keys.values().filter(|e| e.reference.origin.is_own()).map(summary).collect()))
            }
        }
    }

    fn generate(&self, spec: &KeySpec) -> Result<KeyReference, HsmError> {
        let key = SoftwareKey::generate(spec.algorithm)?;
        let reference = KeyReference {
            token: self.identity(),
            id: spec.new_id()?,
            algorithm: spec.algorithm,
            public_key: key.public_key_der().map(<[u8]>::to_vec),
            check_value: check_value(&key)?,
            origin: spec.origin(),
        };
        let entry = Entry { key, purpose: spec.purpose, label: spec.label.clone(), reference: reference.clone() };
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(reference.id.clone(), Arc::new(entry));
        Ok(reference)
    }

    /// The one key that others named so.
    fn search(&self, search: &KeySearch) -> Result<KeyReference, HsmError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = keys.values().filter(|entry| {
            search.id.as_ref().is_none_or(|id| *id == entry.reference.id)
                && search.label.as_ref().is_none_or(|label| *label == entry.label)
        });
        match (found.next(), found.next()) {
            (None, _) => Err(HsmError::KeyNotFound { key: search.to_string() }),
            (Some(_), Some(_)) => Err(HsmError::KeyMismatch { key: search.to_string(), detail: "there are several" }),
            (Some(entry), None) if entry.reference.origin.is_own() => Err(reserved()),
            (Some(entry), None) => Ok(entry.reference.clone()),
        }
    }

    fn find(&self, key: &KeyReference, allowed: fn(KeyPurpose) -> bool, what: &str) -> Result<Arc<Entry>, HsmError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let entry = keys.get(&key.id).ok_or_else(|| HsmError::KeyNotFound { key: key.to_string() })?;
        if entry.reference.algorithm != key.algorithm || entry.reference.public_key != key.public_key {
            return Err(HsmError::KeyMismatch {
                key: key.to_string(),
                detail: "it is another key than the recorded one",
            });
        }
        if !allowed(entry.purpose) {
            return Err(HsmError::invalid(format!("{key} was not made for {what}")));
        }
        Ok(Arc::clone(entry))
    }
}

impl Entry {
    fn full_label(&self) -> String {
        if self.reference.origin.is_own() { format!("{LABEL_PREFIX}{}", self.label) } else { self.label.clone() }
    }

    fn attributes(&self) -> KeyAttributes {
        KeyAttributes {
            label: self.full_label(),
            token: Some(true),
            private: Some(true),
            sensitive: Some(true),
            extractable: Some(false),
            always_sensitive: Some(true),
            never_extractable: Some(true),
            local: Some(true),
            sign: Some(self.purpose.signs() || self.purpose == KeyPurpose::Mac),
            encrypt: Some(self.purpose == KeyPurpose::Encrypt),
            decrypt: Some(self.purpose == KeyPurpose::Encrypt || self.purpose.decrypts_rsa()),
            wrap: Some(false),
            unwrap: Some(false),
        }
    }
}

/// Everything aws-lc-rs does; the rest is said by name.
fn capabilities() -> Capabilities {
    let mut table = Capabilities::default();
    for need in Need::all() {
        let support = match need {
            Need::Sign(_, scheme) if !signs(scheme) => Support::Missing("aws-lc-rs does not sign this way".into()),
            _ => Support::Works,
        };
        table.record(need, support);
    }
    table.set_aead(IvPolicy::App);
    table
}

fn signs(scheme: crate::SignScheme) -> bool {
    match scheme {
        crate::SignScheme::RsaPkcs1(_) | crate::SignScheme::RsaPss { .. } => {
            super::parameters::rsa_signing(scheme, 256).is_ok()
        }
        _ => true,
    }
}

fn aead_key(key: &SoftwareKey) -> Result<LessSafeKey, HsmError> {
    let algorithm = match key.algorithm() {
        KeyAlgorithm::Aes128 => &AES_128_GCM,
        KeyAlgorithm::Aes256 => &AES_256_GCM,
        other => return Err(HsmError::invalid(format!("a key of type {other} cannot encrypt"))),
    };
    let unbound = UnboundKey::new(algorithm, key.secret().unwrap_or_default());
    unbound.map(LessSafeKey::new).map_err(|_| HsmError::Internal { detail: "an AES key has the wrong length" })
}

fn encrypt(key: &SoftwareKey, wire_aad: &[u8], plaintext: &[u8]) -> Result<AeadSealed, HsmError> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    let mut ciphertext = plaintext.to_vec();
    aead_key(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(wire_aad), &mut ciphertext)
        .map_err(|_| HsmError::Internal { detail: "software encryption failed" })?;
    Ok(AeadSealed { nonce: nonce.to_vec(), ciphertext })
}

fn decrypt(key: &SoftwareKey, wire_aad: &[u8], sealed: &AeadSealed) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| HsmError::BadData)?;
    let mut buffer = Zeroizing::new(sealed.ciphertext.clone());
    let length = buffer.len().checked_sub(TAG_BYTES).ok_or(HsmError::BadData)?;
    aead_key(key)?.open_in_place(nonce, Aad::from(wire_aad), &mut buffer).map_err(|_| HsmError::BadData)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// The start of an HMAC over a fixed text: enough to notice another key, too little to learn this one.
fn check_value(key: &SoftwareKey) -> Result<Option<Vec<u8>>, HsmError> {
    let Some(secret) = key.secret() else { return Ok(None) };
    let mut padded = Zeroizing::new([0; 32]);
    for (to, from) in padded.iter_mut().zip(secret) {
        *to = *from;
    }
    let mac = SoftwareKey::from_bytes(KeyAlgorithm::Hmac, padded.as_slice())?;
    let mut value = mac.mac(MacAlgorithm::HmacSha256, b"chancery key check value")?;
    value.truncate(8);
    Ok(Some(value))
}

/// Compares check values without telling where they differ.
pub(crate) fn same_check_value(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

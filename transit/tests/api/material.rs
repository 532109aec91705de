//! Key material as a client makes it: wrapped for import, and in PEM.

use crate::harness::{Mount, Reply, b64};
use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
        OaepPublicEncryptingKey, PublicEncryptingKey,
    },
};
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use chancery_store::Changes;
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(crate) const PAIRS: [(&str, KeyAlgorithm); 5] = [
    ("ecdsa-p256", KeyAlgorithm::EcP256),
    ("ecdsa-p384", KeyAlgorithm::EcP384),
    ("ecdsa-p521", KeyAlgorithm::EcP521),
    ("ed25519", KeyAlgorithm::Ed25519),
    ("rsa-2048", KeyAlgorithm::Rsa2048),
];

pub(crate) const SECRETS: [(&str, usize); 7] = [
    ("aes128-gcm96", 16),
    ("aes256-gcm96", 32),
    ("chacha20-poly1305", 32),
    ("xchacha20-poly1305", 32),
    ("hmac", 40),
    ("aes128-cmac", 16),
    ("aes256-cmac", 32),
];

/// One wrapping key for all mounts of the tests: making one takes seconds.
static WRAPPING_KEY: LazyLock<Vec<u8>> =
    LazyLock::new(|| SoftwareKey::generate(KeyAlgorithm::Rsa4096).unwrap().to_bytes().unwrap().to_vec());

impl Mount {
    /// A mount that has its wrapping key already.
    pub(crate) async fn for_import() -> Self {
        let mount = Self::new().await;
        let mut changes = Changes::default();
        let stored = json!({"key": b64(&WRAPPING_KEY)});
        changes.put(&mount.store.view("mount/1/"), "config/wrapping-key", &stored).unwrap();
        mount.store.commit(changes).await.unwrap();
        mount
    }

    /// Imports wrapped material as `k`.
    pub(crate) async fn import(&self, target: &[u8], parameters: Value) -> Reply {
        self.import_at("keys/k/import", target, parameters).await
    }

    pub(crate) async fn import_at(&self, path: &str, target: &[u8], mut parameters: Value) -> Reply {
        let public_key = self.read("wrapping_key", json!({})).await.ok()["public_key"].as_str().map(der_of).unwrap();
        parameters["ciphertext"] = json!(b64(&wrapped(&public_key, &OAEP_SHA256_MGF1SHA256, target)));
        self.write(path, parameters).await
    }
}

pub(crate) fn oaep(name: &str) -> &'static OaepAlgorithm {
    match name {
        "SHA1" => &OAEP_SHA1_MGF1SHA1,
        "SHA384" => &OAEP_SHA384_MGF1SHA384,
        "SHA512" => &OAEP_SHA512_MGF1SHA512,
        _ => &OAEP_SHA256_MGF1SHA256,
    }
}

/// RSA-OAEP over an AES-256 key, then AES-KWP.
pub(crate) fn wrapped(public_key: &[u8], hash: &'static OaepAlgorithm, target: &[u8]) -> Vec<u8> {
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public_key).unwrap()).unwrap();
    let mut blob = vec![0; key.ciphertext_size()];
    key.encrypt(hash, &[9; 32], &mut blob, None).unwrap();
    let mut room = vec![0; target.len() + 16];
    let wrapped = AesKek::new(&AES_256, &[9; 32]).unwrap().wrap_with_padding(target, &mut room).unwrap();
    [blob, wrapped.to_vec()].concat()
}

/// A pair as PKCS#8 and its public key in PEM.
pub(crate) fn pair(algorithm: KeyAlgorithm) -> (Vec<u8>, String) {
    let key = SoftwareKey::generate(algorithm).unwrap();
    (key.to_bytes().unwrap().to_vec(), pem("PUBLIC KEY", key.public_key_der().unwrap()))
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", b64(der))
}

pub(crate) fn der_of(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    crate::harness::from_b64(&body)
}

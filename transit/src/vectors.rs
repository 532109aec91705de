//! Vectors of other makers: what they encrypted and signed must be read here.
//!
//! `layout.json` and `types.json` in `tests/vectors` are made with Python's `cryptography`, `openbao.json` and
//! `openbao_types.json` with a running OpenBao; the scripts beside them say how.

use crate::{
    cipher::{CipherItem, RareOptions, Workbench},
    encoding,
    hash::HashName,
    kem,
    key::{Key, KeyRecord},
    key_type::KeyType,
    mac, ml_dsa,
    signing::{self, OptionTexts, SignOptions},
    transit::Transit,
    version::{KeyVersion, Material, VersionRecord},
    versions::Versions,
};
use chancery_engine::SystemClock;
use chancery_store::Store;
use serde_json::{Value, json};
use std::sync::Arc;

const LAYOUT: &str = include_str!("../tests/vectors/layout.json");
const TYPES: &str = include_str!("../tests/vectors/types.json");
const OPENBAO: &str = include_str!("../tests/vectors/openbao.json");
const OPENBAO_TYPES: &str = include_str!("../tests/vectors/openbao_types.json");

/// The bytes that a standard prints in hexadecimal, spaces and line breaks aside.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn vectors(file: &str, list: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file[list].as_array().unwrap().clone()
}

fn text<'v>(vector: &'v Value, member: &str) -> &'v str {
    vector[member].as_str().unwrap_or_default()
}

/// A key whose first version has this material.
fn key(vector: &Value, key_type: KeyType, secret: &str) -> Key {
    let flag = |member: &str| vector[member].as_bool().unwrap_or_default();
    let record =
        KeyRecord { derived: flag("derived"), convergent_encryption: flag("convergent"), ..KeyRecord::new(key_type) };
    key_of_record(record, secret)
}

fn key_of_record(record: KeyRecord, secret: &str) -> Key {
    let stored = json!({"created_at": "2026-11-21T00:00:00Z", "material": {"protection": "software", "key": secret}});
    let stored: VersionRecord = serde_json::from_value(stored).unwrap();
    let versions = Versions::first(KeyVersion::expand(&record, stored).unwrap());
    Key { name: "k".to_owned(), record, versions }
}

fn check_ciphers(file: &str) -> usize {
    let vectors = vectors(file, "ciphers");
    for vector in &vectors {
        let key = key(vector, KeyType::named(text(vector, "type")).unwrap(), text(vector, "key"));
        let item = CipherItem {
            payload: Some(text(vector, "ciphertext").into()),
            context: text(vector, "context").into(),
            associated_data: text(vector, "associated_data").into(),
            ..CipherItem::default()
        };
        let mut plaintext = Vec::new();
        Workbench::default().decrypt(&key, &item, &mut plaintext).unwrap();
        assert_eq!(plaintext, text(vector, "plaintext").as_bytes(), "{vector}");
        // With associated data we take another nonce than OpenBao, so that none repeats.
        if key.record.convergent_encryption && text(vector, "associated_data").is_empty() {
            let mut ciphertext = Vec::new();
            let item = CipherItem { payload: Some(text(vector, "plaintext").into()), ..item };
            Workbench::default().encrypt(&key, &item, &mut ciphertext).unwrap();
            assert_eq!(ciphertext, text(vector, "ciphertext").as_bytes(), "{vector}");
        }
    }
    vectors.len()
}

#[test]
fn ciphertexts_of_other_makers_decrypt_and_convergent_ones_come_out_equal() {
    assert_eq!(check_ciphers(LAYOUT), 36);
    assert_eq!(check_ciphers(OPENBAO), 20);
    assert_eq!(check_ciphers(OPENBAO_TYPES), 12);
}

/// Decrypts; what went wrong, as its text.
fn decrypt(key: &Key, item: &CipherItem<'_>) -> Result<String, String> {
    let mut plaintext = Vec::new();
    Workbench::default().decrypt(key, item, &mut plaintext).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(plaintext).unwrap())
}

#[test]
fn older_derivations_and_convergent_versions_are_read_and_not_written() {
    let vectors = vectors(TYPES, "legacy");
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        let (kdf, version) = (vector["kdf"].clone(), vector["convergent_version"].clone());
        let record = KeyRecord {
            derived: true,
            convergent_encryption: !version.is_null(),
            kdf: serde_json::from_value(kdf).unwrap(),
            convergent_version: serde_json::from_value(version.clone()).unwrap(),
            ..KeyRecord::new(KeyType::named(text(&vector, "type")).unwrap())
        };
        let key = key_of_record(record, text(&vector, "key"));
        let item = |payload, nonce| CipherItem {
            payload: Some(text(&vector, payload).into()),
            context: text(&vector, "context").into(),
            rare: RareOptions::given(nonce, "", ""),
            ..CipherItem::default()
        };
        let nonce = text(&vector, "nonce");
        assert_eq!(decrypt(&key, &item("ciphertext", nonce)).unwrap(), text(&vector, "plaintext"), "{vector}");
        let mut out = Vec::new();
        let encrypted = Workbench::default().encrypt(&key, &item("plaintext", ""), &mut out);
        match version.as_str() {
            None => assert!(encrypted.is_ok()),
            Some(version) => {
                let refusal = encrypted.unwrap_err().to_string();
                let number = &version[1..];
                assert_eq!(
                    refusal,
                    format!(
                        "this key version uses convergent encryption of version {number}, which is read but not written; rotate the key"
                    )
                );
            }
        }
        if nonce.is_empty() {
            let ignored = decrypt(&key, &item("ciphertext", "AAAAAAAAAAAAAAAA")).unwrap();
            assert_eq!(ignored, text(&vector, "plaintext"));
            continue;
        }
        for (nonce, refusal) in [
            ("", "invalid convergent nonce supplied"),
            ("!", "failed to base64-decode nonce"),
            ("AAAA", "base64-decoded nonce must be 12 bytes long when using convergent encryption with this key"),
            ("AAAAAAAAAAAAAAAA", "cipher: message authentication failed"),
        ] {
            assert_eq!(decrypt(&key, &item("ciphertext", nonce)).unwrap_err(), refusal);
        }
    }
}

#[test]
fn a_key_with_the_counter_kdf_goes_on_with_keyed_convergent_nonces_after_a_rotation() {
    let kdf = serde_json::from_value(json!("hmac_sha256_counter")).unwrap();
    let record = KeyRecord { derived: true, convergent_encryption: true, kdf, ..KeyRecord::new(KeyType::Aes256Gcm96) };
    let key = key_of_record(record, &encoding::encode(&[7; 32]));
    let item = |payload: &str| CipherItem {
        payload: Some(payload.to_owned().into()),
        context: "eA==".into(),
        ..CipherItem::default()
    };
    let seal = || {
        let mut out = Vec::new();
        Workbench::default().encrypt(&key, &item("aGVsbG8="), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(seal(), seal());
    assert_eq!(decrypt(&key, &item(&seal())).unwrap(), "aGVsbG8=");
}

#[test]
fn convergent_ciphertexts_repeat_for_equal_associated_data_and_never_their_nonce_for_another() {
    for key_type in [KeyType::Aes256Gcm96, KeyType::ChaCha20Poly1305, KeyType::XChaCha20Poly1305] {
        let record = KeyRecord { derived: true, convergent_encryption: true, ..KeyRecord::new(key_type) };
        let key = key_of_record(record, &encoding::encode(&[7; 32]));
        let seal = |text: &[u8], associated_data: &[u8]| {
            let item = CipherItem {
                payload: Some(encoding::encode(text).into()),
                context: "eA==".into(),
                associated_data: encoding::encode(associated_data).into(),
                ..CipherItem::default()
            };
            let mut out = Vec::new();
            Workbench::default().encrypt(&key, &item, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let nonce = |sealed: &str| encoding::decode(&sealed[9..]).unwrap()[..key_type.nonce_bytes()].to_vec();
        let texts: [(&[u8], &[u8]); 6] =
            [(b"text", b""), (b"text", b"a"), (b"text", b"b"), (b"text", b"ab"), (b"btext", b"a"), (b"xt", b"te")];
        let mut seen = std::collections::BTreeSet::new();
        for (text, associated_data) in texts {
            let sealed = seal(text, associated_data);
            assert_eq!(sealed, seal(text, associated_data));
            assert!(seen.insert(nonce(&sealed)), "{key_type:?} {text:?} {associated_data:?}");
        }
    }
}

#[test]
fn ml_kem_ciphertexts_are_laid_out_as_documented() {
    let vectors = vectors(TYPES, "kem");
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let key_type = KeyType::named(text(&vector, "type")).unwrap();
        let key = key(&vector, key_type, text(&vector, "key"));
        let public_key = key.versions.get(1).unwrap().public_key.as_ref().unwrap();
        let raw = kem::raw_public_key(key_type, public_key).unwrap();
        assert_eq!(encoding::encode(raw), text(&vector, "public_key"));
        let item = |ciphertext: &str, associated_data: &'static str| CipherItem {
            payload: Some(ciphertext.to_owned().into()),
            associated_data: associated_data.into(),
            ..CipherItem::default()
        };
        let associated_data: &'static str = if text(&vector, "associated_data").is_empty() { "" } else { "cGxhY2U=" };
        let sealed = text(&vector, "ciphertext");
        assert_eq!(decrypt(&key, &item(sealed, associated_data)).unwrap(), text(&vector, "plaintext"));
        assert_eq!(decrypt(&key, &item(sealed, "b3RoZXI=")).unwrap_err(), "cipher: message authentication failed");
        let bytes = encoding::decode(&sealed[9..]).unwrap().to_vec();
        for at in [0, 500, bytes.len() - 1, bytes.len() - 20, bytes.len() - 50] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let bad = format!("vault:v1:{}", encoding::encode(&bad));
            let refused = decrypt(&key, &item(&bad, associated_data)).unwrap_err();
            assert_eq!(refused, "cipher: message authentication failed", "byte {at}");
        }
        for length in [0, 100, 1088, 1099] {
            let short = format!("vault:v1:{}", encoding::encode(&bytes[..length]));
            assert!(decrypt(&key, &item(&short, associated_data)).is_err(), "{length} bytes");
        }
    }
}

#[test]
fn bad_pkcs1_padding_decrypts_to_what_openssl_makes_of_it() {
    let vectors = vectors(TYPES, "pkcs1");
    assert_eq!(vectors.iter().filter(|vector| vector["damaged"] == true).count(), 8);
    for vector in vectors {
        let key = key(&vector, KeyType::Rsa2048, text(&vector, "key"));
        let item = CipherItem {
            payload: Some(text(&vector, "ciphertext").into()),
            rare: RareOptions::given("", "pkcs1v15", ""),
            ..CipherItem::default()
        };
        assert_eq!(decrypt(&key, &item).unwrap(), text(&vector, "plaintext"), "{vector}");
    }
}

#[test]
fn signatures_of_openbao_with_every_hash_and_type_verify() {
    let vectors = vectors(OPENBAO_TYPES, "signatures");
    assert_eq!(vectors.len(), 62);
    for vector in vectors {
        let key_type = KeyType::named(text(&vector, "type")).unwrap();
        let key = key(&vector, key_type, text(&vector, "key"));
        let given = &vector["options"];
        let texts = OptionTexts {
            hash: given["hash_algorithm"].as_str().unwrap_or("sha2-256"),
            algorithm: text(given, "signature_algorithm"),
            salt: given["salt_length"].as_str(),
            marshaling: text(given, "marshaling_algorithm"),
            prehashed: given["prehashed"] == true,
            ..OptionTexts::default()
        };
        let options = &SignOptions::read(&texts).unwrap();
        options.check(key_type).unwrap();
        let verify = |input: &str, signature: &str| signing::verify(&key, options, signature, (input, "")).unwrap();
        let signature = text(&vector, "signature");
        assert!(verify(text(&vector, "input"), signature), "{vector}");
        assert!(!verify("b3RoZXI=", signature), "{vector}");
        let other_hash = OptionTexts { hash: "sha2-224", ..texts };
        if key_type.is_rsa() && given["hash_algorithm"] != "sha2-224" && given["prehashed"] != true {
            let options = &SignOptions::read(&other_hash).unwrap();
            assert!(!signing::verify(&key, options, signature, (text(&vector, "input"), "")).unwrap(), "{vector}");
        }
        if key_type.is_ml_dsa() {
            let public_key = key.versions.get(1).unwrap().public_key.as_ref().unwrap();
            let raw = ml_dsa::raw_public_key(key_type, public_key).unwrap();
            assert_eq!(encoding::encode(raw), text(&vector, "public_key"));
        }
    }
}

#[test]
fn ed25519_keys_and_signatures_plain_and_derived_equal_those_of_another_maker() {
    for vector in vectors(LAYOUT, "ed25519") {
        let key = key(&vector, KeyType::Ed25519, text(&vector, "seed"));
        let options = &SignOptions::read(&OptionTexts { hash: "sha2-256", ..OptionTexts::default() }).unwrap();
        let input = (text(&vector, "input"), text(&vector, "context"));
        assert!(signing::verify(&key, options, text(&vector, "signature"), input).unwrap());
        if let Some(Material::Derived(secret)) = key.versions.get(1).map(|version| &version.material) {
            let context = encoding::decode(input.1).unwrap();
            let pair = crate::ed25519::Pair::derive(secret, &context).unwrap();
            assert_eq!(encoding::encode(pair.public_key()), text(&vector, "public_key"));
        }
    }
}

#[test]
fn signatures_of_openbao_verify_with_every_option_it_made_them_with() {
    let vectors = vectors(OPENBAO, "signatures");
    assert_eq!(vectors.len(), 30);
    for vector in vectors {
        let key_type = KeyType::named(text(&vector, "type")).unwrap();
        // Go exports Ed25519 as seed and public key.
        let secret = match key_type {
            KeyType::Ed25519 => encoding::encode(&encoding::decode(text(&vector, "key")).unwrap()[..32]),
            _ => text(&vector, "key").to_owned(),
        };
        let key = key(&vector, key_type, &secret);
        let given = &vector["options"];
        let hash = given["hash_algorithm"].as_str().unwrap_or("sha2-256");
        let texts = OptionTexts {
            hash,
            algorithm: text(given, "signature_algorithm"),
            salt: given["salt_length"].as_str(),
            marshaling: text(given, "marshaling_algorithm"),
            ..OptionTexts::default()
        };
        let options = &SignOptions::read(&texts).unwrap();
        let context = text(&vector, "context");
        let verify =
            |input: &str| signing::verify(&key, options, text(&vector, "signature"), (input, context)).unwrap();
        assert!(verify(text(&vector, "input")), "{vector}");
        assert!(!verify("b3RoZXI="), "{vector}");
    }
}

#[tokio::test]
async fn hmacs_of_other_makers_come_out_equal() {
    let store = Store::memory().await.unwrap();
    let transit = Transit::new(store.view("mount/1/"), store.clone(), None, Arc::new(SystemClock));
    let vectors: Vec<_> = [LAYOUT, OPENBAO].into_iter().flat_map(|file| vectors(file, "hmac")).collect();
    assert_eq!(vectors.len(), 32);
    for vector in vectors {
        let key = key(&vector, KeyType::Hmac, text(&vector, "key"));
        let hash = HashName::named(text(&vector, "hash")).unwrap();
        let made = mac::make(&transit, &key, hash, 0, text(&vector, "input")).await.unwrap();
        assert_eq!(made, text(&vector, "hmac"), "{vector}");
    }
}

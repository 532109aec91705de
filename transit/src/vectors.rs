//! Vectors of other makers: what they encrypted and signed must be read here.
//!
//! `tests/vectors/layout.json` is made with Python's `cryptography`, `openbao.json` with a running OpenBao; the scripts
//! beside them say how.

use crate::{
    cipher::{CipherItem, Workbench},
    encoding,
    hash::HashName,
    key::{Key, KeyRecord},
    key_type::KeyType,
    mac,
    signing::{self, SignOptions},
    transit::Transit,
    version::{KeyVersion, Material, VersionRecord},
};
use chancery_engine::SystemClock;
use chancery_store::Store;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const LAYOUT: &str = include_str!("../tests/vectors/layout.json");
const OPENBAO: &str = include_str!("../tests/vectors/openbao.json");

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
    let stored = json!({"created_at": "2026-11-21T00:00:00Z", "material": {"protection": "software", "key": secret}});
    let stored: VersionRecord = serde_json::from_value(stored).unwrap();
    let versions = BTreeMap::from([(1, KeyVersion::expand(&record, stored).unwrap())]);
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
        if key.record.convergent_encryption {
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
}

#[test]
fn ed25519_keys_and_signatures_plain_and_derived_equal_those_of_another_maker() {
    for vector in vectors(LAYOUT, "ed25519") {
        let key = key(&vector, KeyType::Ed25519, text(&vector, "seed"));
        let options = SignOptions::parse("sha2-256", "", None, "", false).unwrap();
        let input = (text(&vector, "input"), text(&vector, "context"));
        assert!(signing::verify(&key, options, text(&vector, "signature"), input).unwrap());
        if let Some(Material::Derived(secret)) = key.versions.get(&1).map(|version| &version.material) {
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
        let (algorithm, salt) = (text(given, "signature_algorithm"), given["salt_length"].as_str());
        let options = SignOptions::parse(hash, algorithm, salt, text(given, "marshaling_algorithm"), false).unwrap();
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

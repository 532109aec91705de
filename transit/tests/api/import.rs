//! `keys/:name/import`.

use crate::{
    harness::{Mount, b64, payload},
    material::{PAIRS, SECRETS, der_of, oaep, pair, wrapped},
};
use chancery_hsm::KeyAlgorithm;
use serde_json::{Value, json};

#[tokio::test]
async fn an_imported_key_is_the_one_that_was_sent() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let mount = Mount::for_import().await;
    assert_eq!(mount.import(&[7; 32], json!({})).await.status, 204);
    let shown = mount.read("keys/k", json!({})).await.ok();
    assert_eq!((&shown["imported_key"], &shown["imported_key_allow_rotation"]), (&json!(true), &json!(false)));
    let mut raw = payload(&mount.ciphertext(b"hello").await);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let (nonce, sealed) = raw.split_at_mut(12);
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    assert_eq!(key.open_in_place(nonce, Aad::empty(), sealed).unwrap(), b"hello");
}

#[tokio::test]
async fn every_type_and_every_hash_is_taken() {
    let mount = Mount::for_import().await;
    for (key_type, bytes) in SECRETS {
        let name = format!("keys/{key_type}");
        let parameters = json!({"type": key_type, "exportable": true});
        let reply = mount.import_at(&format!("{name}/import"), &vec![5; bytes], parameters).await;
        assert_eq!(reply.status, 204, "{key_type}: {reply:?}");
        let shown = mount.read(&name, json!({})).await.ok();
        assert_eq!(shown["type"], key_type);
        assert_eq!(shown.get("key_size"), (key_type == "hmac").then(|| json!(40)).as_ref());
    }
    for (key_type, algorithm) in PAIRS {
        let (pkcs8, public_key) = pair(algorithm);
        let name = format!("keys/{key_type}");
        let parameters = json!({"type": key_type.to_uppercase(), "exportable": true});
        let reply = mount.import_at(&format!("{name}/import"), &pkcs8, parameters).await;
        assert_eq!(reply.status, 204, "{key_type}: {reply:?}");
        let exported = mount.read(&format!("export/public-key/{key_type}"), json!({"format": "der"})).await.ok();
        assert_eq!(exported["keys"]["1"], b64(&der_of(&public_key)), "{key_type}");
        let signed = mount.write(&format!("sign/{key_type}"), json!({"input": "aGk="})).await.ok();
        let body = json!({"input": "aGk=", "signature": signed["signature"]});
        assert_eq!(mount.write(&format!("verify/{key_type}"), body).await.ok()["valid"], true);
    }
    let wrapping_key = mount.read("wrapping_key", json!({})).await.ok();
    let wrapping_key = der_of(wrapping_key["public_key"].as_str().unwrap());
    for hash in ["SHA1", "SHA256", "SHA384", "SHA512"] {
        let ciphertext = b64(&wrapped(&wrapping_key, oaep(hash), &[7; 32]));
        let body = json!({"ciphertext": ciphertext, "hash_function": hash.to_lowercase()});
        assert_eq!(mount.write(&format!("keys/{hash}/import"), body).await.status, 204, "{hash}");
    }
}

#[tokio::test]
async fn a_derived_imported_key_derives_as_the_reference_does() {
    let mount = Mount::for_import().await;
    assert_eq!(mount.import(&[7; 32], json!({"derived": true})).await.status, 204);
    let shown = mount.read("keys/k", json!({})).await.ok();
    assert_eq!((&shown["kdf"], &shown["kdf_mode"]), (&json!("hmac-sha256-counter"), &json!("hmac-sha256-counter")));
    let made = mount.write("encrypt/k", json!({"plaintext": "aGk=", "context": "eA=="})).await.ok();
    let body = json!({"ciphertext": made["ciphertext"], "context": "eA=="});
    assert_eq!(mount.write("decrypt/k", body).await.ok()["plaintext"], "aGk=");
}

#[tokio::test]
async fn refusals_say_what_is_wrong_and_write_nothing() {
    let mount = Mount::for_import().await;
    let (p256, p256_public) = pair(KeyAlgorithm::EcP256);
    let (p384, _) = pair(KeyAlgorithm::EcP384);
    let (ed25519, ed25519_public) = pair(KeyAlgorithm::Ed25519);
    let wrapping_key = mount.read("wrapping_key", json!({})).await.ok();
    let wrapping_key = der_of(wrapping_key["public_key"].as_str().unwrap());
    let blob = |target: &[u8]| b64(&wrapped(&wrapping_key, oaep("SHA256"), target));
    let (good, short) = (blob(&[7; 32]), "provided ciphertext is too short");
    let cases: Vec<(Value, &str)> = vec![
        (json!({}), "provided type does not support public_key import"),
        (json!({"ciphertext": ""}), short),
        (json!({"ciphertext": "AAAA"}), short),
        (json!({"ciphertext": b64(&[0; 512])}), short),
        (json!({"ciphertext": b64(&[0; 513])}), "crypto/rsa: decryption error"),
        (json!({"ciphertext": "!!!"}), "illegal base64 data at input byte 0"),
        (json!({"ciphertext": good, "type": "foo"}), "unknown key type: foo"),
        (json!({"ciphertext": good, "type": "external-key"}), "unknown key type: external-key"),
        (json!({"ciphertext": good, "hash_function": "MD5"}), "unknown hash function: MD5"),
        (json!({"ciphertext": good, "hash_function": "SHA1"}), "crypto/rsa: decryption error"),
        (
            json!({"ciphertext": good, "convergent_encryption": false}),
            "import cannot be used on keys with convergent encryption enabled",
        ),
        (
            json!({"ciphertext": good, "auto_rotate_period": "1h"}),
            "allow_rotation must be set to true if auto-rotation is enabled",
        ),
        (
            json!({"ciphertext": blob(&[7; 31])}),
            "error importing key: invalid key size 31 bytes for key type aes256-gcm96",
        ),
        (
            json!({"ciphertext": blob(&[7; 31]), "type": "hmac"}),
            "error importing key: invalid key size 31 bytes for key type hmac",
        ),
        (
            json!({"ciphertext": blob(&[7; 513]), "type": "hmac"}),
            "error importing key: invalid key size 513 bytes for key type hmac",
        ),
        (json!({"ciphertext": blob(&[7; 5])}), "kwp: wrapped key size too small"),
        (json!({"public_key": "x"}), "provided type does not support public_key import"),
        (
            json!({"public_key": "x", "type": "ecdsa-p256"}),
            "error importing key: error parsing public key: not in PEM format",
        ),
        (
            json!({"public_key": ed25519_public, "type": "ecdsa-p256"}),
            "error importing key: invalid key type: expected ecdsa-p256, got ed25519.PublicKey",
        ),
        (
            json!({"public_key": p256_public, "type": "ecdsa-p384"}),
            "error importing key: invalid curve: expected P-384, got P-256",
        ),
        (
            json!({"public_key": p256_public, "type": "rsa-2048"}),
            "error importing key: invalid key type: expected rsa-2048, got *ecdsa.PublicKey",
        ),
        (
            json!({"ciphertext": blob(&p256), "type": "ed25519"}),
            "error importing key: invalid key type: expected ed25519, got *ecdsa.PrivateKey",
        ),
        (
            json!({"ciphertext": blob(&ed25519), "type": "rsa-2048"}),
            "error importing key: invalid key type: expected rsa-2048, got ed25519.PrivateKey",
        ),
        (
            json!({"ciphertext": blob(&p384), "type": "ecdsa-p256"}),
            "error importing key: invalid curve: expected P-256, got P-384",
        ),
    ];
    for (body, text) in cases {
        mount.write("keys/k/import", body).await.refused(text);
        assert_eq!(mount.read("keys/k", json!({})).await.status, 404, "{text}");
    }
    assert_eq!(mount.write("keys/k/import", json!({"ciphertext": good})).await.status, 204);
    mount.write("keys/k/import", json!({"ciphertext": good})).await.refused(
        "the import path cannot be used with an existing key; use import-version to rotate an existing imported key",
    );
}

#[tokio::test]
async fn an_imported_key_rotates_only_where_that_is_allowed() {
    let mount = Mount::for_import().await;
    mount.import(&[7; 32], json!({})).await;
    mount.write("keys/k/rotate", json!({})).await.refused("imported key k does not allow rotation within Vault");
    mount.import_at("keys/r/import", &[7; 32], json!({"allow_rotation": true})).await;
    let rotated = mount.write("keys/r/rotate", json!({})).await.ok();
    // From then on it is a key like any other, as in the reference.
    assert_eq!((&rotated["latest_version"], &rotated["imported_key"]), (&json!(2), &json!(false)));
}

/// Private keys broken on purpose, with what OpenBao 2.7 answered to each (`make_pkcs8_vectors.py`).
#[tokio::test]
async fn hostile_private_keys_get_the_answers_of_the_reference() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../vectors/pkcs8.json")).unwrap();
    let mount = Mount::for_import().await;
    let mut refused = 0;
    for (index, vector) in vectors.iter().enumerate() {
        let der = crate::harness::from_b64(vector["pkcs8"].as_str().unwrap());
        let path = format!("keys/v{index}");
        let reply = mount.import_at(&format!("{path}/import"), &der, json!({"type": vector["type"]})).await;
        let expected = vector.get("ours").unwrap_or(&vector["answer"]).as_str();
        let Some(text) = expected else {
            assert_eq!(reply.status, 204, "{}: {reply:?}", vector["name"]);
            continue;
        };
        assert_eq!((reply.status, reply.error.as_str()), (400, text), "{}", vector["name"]);
        assert_eq!(mount.read(&path, json!({})).await.status, 404);
        refused += 1;
    }
    assert!(refused > 40 && refused < vectors.len());
}

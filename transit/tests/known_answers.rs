//! Answers computed by Python's `cryptography` (`scripts/transit_vectors.py`), asked of the endpoints.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; clippy sees only functions marked as tests as such"
)]

#[expect(dead_code, reason = "the endpoints' own tests use all of it")]
#[path = "api/harness.rs"]
mod harness;
#[expect(dead_code, reason = "the endpoint suite uses all of it")]
#[path = "api/token.rs"]
mod token;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use harness::{Mount, b64, from_b64};
use serde_json::{Value, json};

fn vectors(family: &str, count: usize) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors/known_answers.json")).unwrap();
    let family = all[family].as_array().unwrap().clone();
    assert_eq!(family.len(), count, "as many as the script makes");
    family
}

fn bytes(value: &Value) -> Vec<u8> {
    from_b64(value.as_str().unwrap())
}

/// Brings keys into a mount the way clients do.
struct Importer {
    mount: Mount,
    wrapping: OaepPublicEncryptingKey,
    count: usize,
}

impl Importer {
    async fn new() -> Self {
        let mount = Mount::new().await;
        let shown = mount.read("wrapping_key", json!({})).await.ok();
        let pem = shown["public_key"].as_str().unwrap();
        let der = from_b64(&pem.lines().filter(|line| !line.starts_with('-')).collect::<String>());
        let wrapping = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&der).unwrap()).unwrap();
        Self { mount, wrapping, count: 0 }
    }

    /// Imports a key whose second half was wrapped elsewhere; answers its name.
    async fn wrapped(&mut self, ephemeral: &[u8], wrapped: &[u8], mut options: Value) -> String {
        let mut blob = vec![0; self.wrapping.ciphertext_size()];
        self.wrapping.encrypt(&OAEP_SHA256_MGF1SHA256, ephemeral, &mut blob, None).unwrap();
        blob.extend_from_slice(wrapped);
        options["ciphertext"] = json!(b64(&blob));
        self.count += 1;
        let name = format!("k{}", self.count);
        let reply = self.mount.write(&format!("keys/{name}/import"), options).await;
        assert_eq!(reply.status, 204, "{reply:?}");
        name
    }

    async fn plain(&mut self, key: &[u8], options: Value) -> String {
        use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
        let mut room = vec![0; key.len() + 16];
        let wrapped = AesKek::new(&AES_256, &[9; 32]).unwrap().wrap_with_padding(key, &mut room).unwrap().to_vec();
        self.wrapped(&[9; 32], &wrapped, options).await
    }
}

#[tokio::test]
async fn ciphertexts_laid_out_elsewhere_decrypt() {
    let mut importer = Importer::new().await;
    for vector in vectors("layouts", 32) {
        let name = importer.plain(&bytes(&vector["key"]), json!({"type": vector["type"]})).await;
        let body = json!({"ciphertext": vector["ciphertext"], "associated_data": vector["associated_data"]});
        let opened = importer.mount.write(&format!("decrypt/{name}"), body).await.ok();
        assert_eq!(opened["plaintext"], vector["plaintext"], "{vector}");
    }
}

#[tokio::test]
async fn ciphertexts_under_derived_keys_decrypt() {
    let mount = Mount::new().await;
    for vector in vectors("derivations", 4) {
        let name = restored(&mount, &vector).await;
        for answer in answers(&vector, 4) {
            let body = json!({"ciphertext": answer["ciphertext"], "context": answer["context"]});
            let opened = mount.write(&format!("decrypt/{name}"), body).await.ok();
            assert_eq!(opened["plaintext"], answer["plaintext"], "{name}");
        }
    }
}

#[tokio::test]
async fn ciphertexts_under_imported_derived_keys_decrypt() {
    let mut importer = Importer::new().await;
    for vector in vectors("imported_derivations", 12) {
        let name = importer.plain(&bytes(&vector["key"]), json!({"type": vector["type"], "derived": true})).await;
        let body = json!({"ciphertext": vector["ciphertext"], "context": vector["context"]});
        let opened = importer.mount.write(&format!("decrypt/{name}"), body).await.ok();
        assert_eq!(opened["plaintext"], vector["plaintext"], "{vector}");
    }
}

#[tokio::test]
async fn derived_ed25519_keys_are_the_same_keys() {
    let mount = Mount::new().await;
    for vector in vectors("ed25519_derivations", 1) {
        let name = restored(&mount, &vector).await;
        for answer in answers(&vector, 4) {
            let body = json!({"input": answer["input"], "context": answer["context"]});
            let signed = mount.write(&format!("sign/{name}"), body).await.ok();
            assert_eq!(signed["signature"], answer["signature"], "Ed25519 is deterministic");
            assert_eq!(signed["public_key"], answer["public_key"]);
        }
    }
}

#[tokio::test]
async fn convergent_keys_of_a_backup_make_the_same_ciphertexts() {
    let mount = Mount::new().await;
    for vector in vectors("convergent", 4) {
        let name = restored(&mount, &vector).await;
        for answer in answers(&vector, 12) {
            let body = json!({"plaintext": answer["plaintext"], "context": answer["context"]});
            let sealed = mount.write(&format!("encrypt/{name}"), body).await.ok();
            assert_eq!(sealed["ciphertext"], answer["ciphertext"], "{name}");
            let body = json!({"ciphertext": answer["ciphertext"], "context": answer["context"]});
            let opened = mount.write(&format!("decrypt/{name}"), body).await.ok();
            assert_eq!(opened["plaintext"], answer["plaintext"], "{name}");
        }
    }
}

/// Restores the vector's backup; answers the key's name.
async fn restored(mount: &Mount, vector: &Value) -> String {
    let reply = mount.write("restore", json!({"backup": vector["backup"]})).await;
    assert_eq!(reply.status, 204, "{reply:?}");
    vector["type"].as_str().unwrap().to_owned()
}

fn answers(vector: &Value, count: usize) -> Vec<Value> {
    let answers = vector["answers"].as_array().unwrap().clone();
    assert_eq!(answers.len(), count);
    answers
}

#[tokio::test]
async fn targets_wrapped_elsewhere_come_out_again() {
    let mut importer = Importer::new().await;
    for vector in vectors("wrapped_targets", 13) {
        let key_type = vector["type"].as_str().unwrap();
        let options = json!({"type": key_type, "exportable": true});
        let name = importer.wrapped(&bytes(&vector["ephemeral"]), &bytes(&vector["wrapped"]), options).await;
        let (form, format) = match key_type {
            "hmac" => ("hmac-key", ""),
            ecdsa if ecdsa.starts_with("ecdsa") => ("signing-key", "der"),
            _ => ("encryption-key", ""),
        };
        let path = format!("export/{form}/{name}");
        let shown = importer.mount.read(&path, json!({"format": format})).await.ok();
        assert_eq!(shown["keys"]["1"], vector["target"], "{key_type}");
    }
}

#[tokio::test]
async fn hmacs_are_the_same() {
    let mut importer = Importer::new().await;
    for vector in vectors("macs", 36) {
        let name = importer.plain(&bytes(&vector["key"]), json!({"type": "hmac"})).await;
        let body = json!({"input": vector["input"], "algorithm": vector["algorithm"]});
        let made = importer.mount.write(&format!("hmac/{name}"), body).await.ok();
        assert_eq!(made["hmac"], vector["hmac"], "{}", vector["algorithm"]);
    }
}

#[tokio::test]
async fn cmacs_are_the_same() {
    let mut importer = Importer::new().await;
    for vector in vectors("cmacs", 6) {
        let name = importer.plain(&bytes(&vector["key"]), json!({"type": vector["type"]})).await;
        let made = importer.mount.write(&format!("cmac/{name}"), json!({"input": vector["input"]})).await.ok();
        assert_eq!(made["cmac"], vector["cmac"], "{}", vector["type"]);
    }
}

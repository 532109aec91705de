//! Keys that others made: types `external-key` and `managed_key` over a registry of the test's own. Statuses and texts are
//! OpenBao 2.7.2's over its `transit` plugin; what it fails at (rewrap, datakey, JWS, false signatures) works here.

use crate::harness::{Mount, b64};
use async_trait::async_trait;
use chancery_hsm::{
    ExternalKey, ExternalKeyError, ExternalKeyName, ExternalKeys, Hsm, KeyAlgorithm, KeyPurpose, KeySearch, KeySpec,
    Mechanism, RsaPadding,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Keys by reference or name; all may use all.
#[derive(Default)]
struct Registry(Mutex<HashMap<String, Arc<ExternalKey>>>);

#[async_trait]
impl ExternalKeys for Registry {
    async fn resolve(&self, name: &ExternalKeyName) -> Result<Arc<ExternalKey>, ExternalKeyError> {
        let (ExternalKeyName::Reference(name) | ExternalKeyName::Managed(name) | ExternalKeyName::ManagedId(name)) =
            name;
        let found = self.0.lock().unwrap().get(name).cloned();
        found.ok_or_else(|| ExternalKeyError::Refused(format!("key {name:?} does not exist")))
    }
}

impl Registry {
    async fn register(&self, name: &str, algorithm: KeyAlgorithm, mechanism: Option<Mechanism>) {
        let purpose = match algorithm {
            KeyAlgorithm::Aes128 | KeyAlgorithm::Aes256 => KeyPurpose::Encrypt,
            KeyAlgorithm::Hmac => KeyPurpose::Mac,
            rsa if rsa.is_rsa() => KeyPurpose::SignAndDecrypt,
            _ => KeyPurpose::Sign,
        };
        let hsm = Hsm::software();
        let search = KeySearch { id: None, label: Some(name.to_owned()) };
        let key = hsm.generate(KeySpec::named(algorithm, purpose, search)).await.unwrap();
        let padding = match mechanism {
            Some(Mechanism::RsaPkcs) => RsaPadding::Pkcs1v15,
            _ => RsaPadding::OaepSha256,
        };
        self.0.lock().unwrap().insert(name.to_owned(), Arc::new(ExternalKey { hsm, key, padding, mechanism }));
    }
}

/// A mount with the registered keys `c:aes`, `c:rsa`, `c:p256`, `c:ed25519` and `c:mac`, and a key of the mount for each.
async fn mount() -> (Mount, Arc<Registry>) {
    let registry = Arc::new(Registry::default());
    let mount = Mount::with_external_keys(Arc::clone(&registry) as Arc<dyn ExternalKeys>).await;
    for (name, algorithm) in [
        ("aes", KeyAlgorithm::Aes256),
        ("rsa", KeyAlgorithm::Rsa2048),
        ("p256", KeyAlgorithm::EcP256),
        ("ed25519", KeyAlgorithm::Ed25519),
        ("mac", KeyAlgorithm::Hmac),
    ] {
        registry.register(&format!("c:{name}"), algorithm, None).await;
        mount.write(&format!("keys/{name}"), key_of(&format!("c:{name}"))).await.ok();
    }
    (mount, registry)
}

fn key_of(reference: &str) -> Value {
    json!({"type": "external-key", "external_key_ref": reference})
}

#[tokio::test]
async fn reading_shows_the_reference_and_the_public_half() {
    let (mount, _) = mount().await;
    let shown = mount.read("keys/p256", json!({})).await.ok();
    assert_eq!(shown["keys"], json!({"1": "c:p256"}));
    assert_eq!((&shown["type"], &shown["protection"]), (&json!("external-key"), &json!("hsm")));
    for operation in ["encryption", "decryption", "signing"] {
        assert_eq!(shown[format!("supports_{operation}")], true, "{operation}");
    }
    assert!(shown["public_keys"]["1"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    assert_eq!(mount.read("keys/aes", json!({})).await.ok()["public_keys"], json!({}));
}

#[tokio::test]
async fn creation_refuses_what_does_not_fit_together() {
    let (mount, _) = mount().await;
    for (body, text) in [
        (json!({"type": "external-key"}), "must provide external_key_ref to create policy of type external-key"),
        (json!({"external_key_ref": "c:aes"}), "must provide type=external-key to use external_key_ref"),
        (key_of("c:none"), "failed to fetch external key: key \"c:none\" does not exist"),
        (
            json!({"type": "external-key", "external_key_ref": "c:aes", "derived": true}),
            "key derivation and convergent encryption not supported for keys of type external-key",
        ),
        (
            json!({"type": "external-key", "external_key_ref": "c:aes", "auto_rotate_period": "24h"}),
            "cannot enable auto-rotation with external keys",
        ),
        (
            json!({"type": "external-key", "external_key_ref": "c:aes", "exportable": true}),
            "keys with protection hsm never leave the token",
        ),
        (
            json!({"type": "managed_key"}),
            "must provide managed_key_name or managed_key_id to create policy of type managed_key",
        ),
    ] {
        mount.write("keys/new", body).await.refused(text);
    }
    assert_eq!(mount.read("keys/new", json!({})).await.status, 404);
    let text = "auto rotate period must be disabled on external keys";
    mount.write("keys/aes/config", json!({"auto_rotate_period": "24h"})).await.refused(text);
}

#[tokio::test]
async fn texts_are_encrypted_and_rewrapped_one_and_many() {
    let (mount, registry) = mount().await;
    registry.register("c:pkcs1", KeyAlgorithm::Rsa2048, Some(Mechanism::RsaPkcs)).await;
    mount.write("keys/pkcs1", key_of("c:pkcs1")).await.ok();
    for key in ["aes", "rsa", "pkcs1"] {
        let sealed = mount.write(&format!("encrypt/{key}"), json!({"plaintext": b64(b"text")})).await.ok();
        let rewrapped = mount.write(&format!("rewrap/{key}"), json!({"ciphertext": sealed["ciphertext"]})).await.ok();
        let batch =
            json!({"batch_input": [{"ciphertext": sealed["ciphertext"]}, {"ciphertext": rewrapped["ciphertext"]}]});
        let opened = mount.write(&format!("decrypt/{key}"), batch).await.ok();
        assert_eq!(opened["batch_results"][1]["plaintext"], b64(b"text"), "{key}");
        let data_key = mount.write(&format!("datakey/plaintext/{key}"), json!({})).await.ok();
        let opened = mount.write(&format!("decrypt/{key}"), json!({"ciphertext": data_key["ciphertext"]})).await.ok();
        assert_eq!(opened["plaintext"], data_key["plaintext"], "{key}");
        assert_eq!(mount.write(&format!("decrypt/{key}"), json!({"ciphertext": "vault:v1:AAAA"})).await.status, 400);
    }
    let with_data = json!({"plaintext": b64(b"text"), "associated_data": b64(b"aad")});
    assert_eq!(mount.write("encrypt/aes", with_data.clone()).await.status, 200);
    let text = "'associated_data' provided for non-AEAD cipher suite rsa-2048";
    mount.write("encrypt/rsa", with_data).await.refused(text);
    let text = "message encryption not supported for key type ecdsa-p256";
    mount.write("encrypt/p256", json!({"plaintext": b64(b"text")})).await.refused(text);
}

#[tokio::test]
async fn signatures_are_made_and_false_ones_are_false() {
    let (mount, _) = mount().await;
    for key in ["rsa", "p256", "ed25519"] {
        for options in [json!({}), json!({"hash_algorithm": "none"}), json!({"marshaling_algorithm": "jws"})] {
            let with = |members: Value| {
                let mut all = options.clone();
                all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
                all
            };
            let signed = mount.write(&format!("sign/{key}"), with(json!({"input": b64(b"text")}))).await.ok();
            for (text, valid) in [(b"text", true), (b"TEXT", false)] {
                let proof = with(json!({"input": b64(text), "signature": signed["signature"]}));
                let verified = mount.write(&format!("verify/{key}"), proof).await.ok();
                assert_eq!(verified["valid"], valid, "{key} {options}");
            }
        }
    }
    let text = "key type aes256-gcm96 does not support signing";
    mount.write("sign/aes", json!({"input": b64(b"text")})).await.refused(text);
    let text = "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15";
    mount
        .write("sign/rsa", json!({"input": b64(b"t"), "hash_algorithm": "none", "prehashed": true}))
        .await
        .refused(text);
}

#[tokio::test]
async fn macs_come_from_the_named_key_or_from_one_beside_it() {
    let (mount, _) = mount().await;
    for key in ["aes", "p256", "mac"] {
        let made = mount.write(&format!("hmac/{key}"), json!({"input": b64(b"text")})).await.ok();
        for (text, valid) in [(b"text", true), (b"TEXT", false)] {
            let proof = json!({"input": b64(text), "hmac": made["hmac"]});
            assert_eq!(mount.write(&format!("verify/{key}"), proof).await.ok()["valid"], valid, "{key}");
        }
    }
}

#[tokio::test]
async fn versions_may_point_elsewhere() {
    let (mount, _) = mount().await;
    let sealed = mount.write("encrypt/aes", json!({"plaintext": b64(b"text")})).await.ok();
    let text = "must provide external_key_ref to rotate policy of type external-key";
    mount.write("keys/aes/rotate", json!({})).await.refused(text);
    let text = "failed to fetch external key: key \"c:none\" does not exist";
    mount.write("keys/aes/rotate", json!({"external_key_ref": "c:none"})).await.refused(text);
    let rotated = mount.write("keys/aes/rotate", json!({"external_key_ref": "c:rsa"})).await.ok();
    assert_eq!(rotated["keys"], json!({"1": "c:aes", "2": "c:rsa"}));
    let rewrapped = mount.write("rewrap/aes", json!({"ciphertext": sealed["ciphertext"]})).await.ok();
    assert_eq!(rewrapped["key_version"], 2);
    let opened = mount.write("decrypt/aes", json!({"ciphertext": rewrapped["ciphertext"]})).await.ok();
    assert_eq!(opened["plaintext"], b64(b"text"));
    mount.write("keys/soft", json!({})).await.ok();
    let text = "cannot use external_key_ref on key of type aes256-gcm96";
    mount.write("keys/soft/rotate", json!({"external_key_ref": "c:aes"})).await.refused(text);
}

#[tokio::test]
async fn another_key_under_the_same_name_is_noticed() {
    let (mount, registry) = mount().await;
    let sealed = mount.write("encrypt/aes", json!({"plaintext": b64(b"text")})).await.ok();
    for name in ["c:aes", "c:p256"] {
        let algorithm = if name == "c:aes" { KeyAlgorithm::Aes256 } else { KeyAlgorithm::EcP256 };
        registry.register(name, algorithm, None).await;
    }
    for (path, body) in [
        ("decrypt/aes", json!({"ciphertext": sealed["ciphertext"]})),
        ("encrypt/aes", json!({"plaintext": b64(b"text")})),
        ("sign/p256", json!({"input": b64(b"text")})),
    ] {
        let reply = mount.write(path, body).await;
        assert_eq!(reply.status, 500, "{path}");
        assert!(reply.error.contains("another key is registered under its name"), "{}", reply.error);
    }
    registry.0.lock().unwrap().clear();
    let text = "factory[0] failed to fetch external key: key \"c:aes\" does not exist";
    mount.write("encrypt/aes", json!({"plaintext": b64(b"text")})).await.refused(text);
    let text = "factory failed to fetch external key: key \"c:p256\" does not exist";
    mount.write("sign/p256", json!({"input": b64(b"text")})).await.refused(text);
}

#[tokio::test]
async fn nothing_of_them_can_be_exported() {
    let (mount, _) = mount().await;
    for kind in ["encryption-key", "signing-key", "hmac-key"] {
        mount.read(&format!("export/{kind}/aes"), json!({})).await.refused("private key material is not exportable");
    }
}

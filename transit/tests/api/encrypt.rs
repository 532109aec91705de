//! `encrypt/:name` with one text.

use crate::harness::{Mount, b64, payload};
use chancery_engine::{Operation, Verb};
use serde_json::{Value, json};

const MISSING_CONTEXT: &str = "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key";

async fn encrypt(mount: &Mount, body: Value) -> crate::harness::Reply {
    mount.write("encrypt/k", body).await
}

#[tokio::test]
async fn every_encrypting_type_comes_back_in_the_layout_of_the_wire() {
    for protection in ["software", "hsm"] {
        for (key_type, length) in
            [("aes128-gcm96", 33), ("aes256-gcm96", 33), ("chacha20-poly1305", 33), ("rsa-2048", 256)]
        {
            if (protection, key_type) == ("hsm", "chacha20-poly1305") {
                continue;
            }
            let mount = Mount::with_key(json!({"type": key_type, "protection": protection})).await;
            let data = encrypt(&mount, json!({"plaintext": b64(b"hello")})).await.ok();
            assert_eq!(data["key_version"], 1);
            let ciphertext = data["ciphertext"].as_str().unwrap();
            assert!(ciphertext.starts_with("vault:v1:"), "{ciphertext}");
            assert_eq!(payload(ciphertext).len(), length, "{key_type}");
            let opened = mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok();
            assert_eq!(opened, json!({"plaintext": b64(b"hello")}), "{key_type} {protection}");
        }
    }
}

#[tokio::test]
async fn bad_input_is_refused_in_the_references_words() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let plaintext = b64(b"hello");
        let associated =
            "unable to get associated_data/additional_data from factory[0]: illegal base64 data at input byte 0";
        for (body, text) in [
            (json!({}), "missing plaintext to encrypt"),
            (json!({"plaintext": "!!!"}), "illegal base64 data at input byte 0"),
            (json!({"plaintext": "aGVsbG8"}), "illegal base64 data at input byte 4"),
            (json!({"plaintext": 5}), "illegal base64 data at input byte 0"),
            (json!({"plaintext": plaintext, "key_version": -1}), "requested version for encryption is negative"),
            (
                json!({"plaintext": plaintext, "key_version": 2}),
                "requested version for encryption is higher than the latest key version",
            ),
            (
                json!({"plaintext": plaintext, "key_version": 99_999_999_999_i64}),
                "requested version for encryption is higher than the latest key version",
            ),
            (json!({"plaintext": plaintext, "context": "!!"}), "illegal base64 data at input byte 0"),
            (json!({"plaintext": plaintext, "associated_data": "!!"}), associated),
            (json!({"plaintext": plaintext, "associated_data": 5}), associated),
        ] {
            encrypt(&mount, body).await.refused(text);
        }
        for body in [
            r#"{"plaintext":[]}"#,
            r#"{"plaintext":"","key_version":"x"}"#,
            r#"{"plaintext":"","key_version":99999999999999999999}"#,
            "not json",
        ] {
            let reply = mount.send(Verb::Write, "encrypt/k", body.as_bytes().to_vec()).await;
            assert_eq!(reply.status, 400, "{body}");
        }
        for body in
            [json!({"plaintext": ""}), json!({"plaintext": null}), json!({"plaintext": plaintext, "key_version": "1"})]
        {
            assert_eq!(encrypt(&mount, body).await.ok()["key_version"], 1);
        }
    }
}

/// Row CVE-2023-4680: a nonce given by the caller is never used. The member is ignored with the reference's warning.
#[tokio::test]
async fn cve_2023_4680_a_callers_nonce_is_never_used() {
    for parameters in [json!({}), json!({"derived": true}), json!({"derived": true, "convergent_encryption": true})] {
        let mount = Mount::with_key(parameters.clone()).await;
        let mut body = json!({"plaintext": b64(b"hello"), "nonce": b64(b"123456789012")});
        if parameters != json!({}) {
            body["context"] = json!("eA==");
        }
        let reply = encrypt(&mount, body.clone()).await;
        assert_eq!(reply.warnings, ["Endpoint ignored these unrecognized parameters: [nonce]"]);
        assert_ne!(&payload(reply.ok()["ciphertext"].as_str().unwrap())[..12], b"123456789012");
        let data = encrypt(&mount, json!({"batch_input": [body]})).await.ok();
        let ciphertext = data["batch_results"][0]["ciphertext"].as_str().unwrap();
        assert_ne!(&payload(ciphertext)[..12], b"123456789012");
    }
}

#[tokio::test]
async fn equal_texts_never_encrypt_alike_unless_the_key_is_convergent() {
    let mount = Mount::with_key(json!({})).await;
    assert_ne!(mount.ciphertext(b"x").await, mount.ciphertext(b"x").await);
    let mount = Mount::with_key(json!({"derived": true, "convergent_encryption": true})).await;
    let of = async |context: &str| {
        encrypt(&mount, json!({"plaintext": "eA==", "context": context})).await.ok()["ciphertext"].clone()
    };
    assert_eq!(of("eA==").await, of("eA==").await);
    assert_ne!(of("eA==").await, of("eQ==").await);
}

#[tokio::test]
async fn derived_keys_need_the_right_context() {
    let mount = Mount::with_key(json!({"derived": true})).await;
    encrypt(&mount, json!({"plaintext": "eA=="})).await.refused(MISSING_CONTEXT);
    let ciphertext = encrypt(&mount, json!({"plaintext": "eA==", "context": "eA=="})).await.ok()["ciphertext"].clone();
    let decrypt = async |body: Value| mount.write("decrypt/k", body).await;
    decrypt(json!({"ciphertext": ciphertext})).await.refused(MISSING_CONTEXT);
    decrypt(json!({"ciphertext": ciphertext, "context": "eQ=="}))
        .await
        .refused("cipher: message authentication failed");
    assert_eq!(decrypt(json!({"ciphertext": ciphertext, "context": "eA=="})).await.ok()["plaintext"], "eA==");
    mount.write("datakey/plaintext/k", json!({})).await.refused(MISSING_CONTEXT);
    mount.write("rewrap/k", json!({"ciphertext": ciphertext})).await.refused(MISSING_CONTEXT);
}

#[tokio::test]
async fn associated_data_is_bound_and_only_taken_by_aead_types() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let ciphertext =
            encrypt(&mount, json!({"plaintext": "eA==", "associated_data": "YQ=="})).await.ok()["ciphertext"].clone();
        let unauthentic = "cipher: message authentication failed";
        mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.refused(unauthentic);
        mount
            .write("decrypt/k", json!({"ciphertext": ciphertext, "associated_data": "Yg=="}))
            .await
            .refused(unauthentic);
        let opened = mount.write("decrypt/k", json!({"ciphertext": ciphertext, "associated_data": "YQ=="})).await.ok();
        assert_eq!(opened["plaintext"], "eA==");
        let mount = Mount::with_key(json!({"protection": protection, "type": "rsa-2048"})).await;
        encrypt(&mount, json!({"plaintext": "eA==", "associated_data": "YQ=="}))
            .await
            .refused("'[0].associated_data' provided for non-AEAD cipher suite rsa-2048");
    }
}

#[tokio::test]
async fn types_that_cannot_encrypt_say_so() {
    let mount = Mount::new().await;
    for key_type in ["ecdsa-p256", "ed25519", "hmac"] {
        let parameters =
            if key_type == "hmac" { json!({"type": "hmac", "key_size": 32}) } else { json!({"type": key_type}) };
        mount.write(&format!("keys/{key_type}"), parameters).await.ok();
        let text = format!("message encryption not supported for key type {key_type}");
        mount.write(&format!("encrypt/{key_type}"), json!({"plaintext": ""})).await.refused(&text);
        mount.write(&format!("datakey/plaintext/{key_type}"), json!({})).await.refused(&text);
        let text = format!("message decryption not supported for key type {key_type}");
        mount.write(&format!("decrypt/{key_type}"), json!({"ciphertext": "vault:v1:aaaa"})).await.refused(&text);
        mount.write(&format!("rewrap/{key_type}"), json!({"ciphertext": "vault:v1:aaaa"})).await.refused(&text);
    }
}

#[tokio::test]
async fn a_text_too_long_for_rsa_is_refused() {
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    encrypt(&mount, json!({"plaintext": b64(&[0; 190])})).await.ok();
    encrypt(&mount, json!({"plaintext": b64(&[0; 191])}))
        .await
        .refused("failed to RSA encrypt the plaintext: crypto/rsa: message too long for RSA key size");
}

#[tokio::test]
async fn a_missing_key_is_made_for_whoever_may_create() {
    let mount = Mount::new().await;
    assert_eq!(encrypt(&mount, json!({"plaintext": "eA=="})).await.ok()["key_version"], 1);
    assert_eq!(mount.read("keys/k", json!({})).await.ok()["type"], "aes256-gcm96");
    let made = |name: &'static str, body: Value| {
        let mount = &mount;
        async move {
            mount.write(&format!("encrypt/{name}"), body).await.ok();
            mount.read(&format!("keys/{name}"), json!({})).await.ok()
        }
    };
    let chacha = made("c", json!({"plaintext": "", "type": "chacha20-poly1305"})).await;
    assert_eq!(chacha["type"], "chacha20-poly1305");
    let derived = made("d", json!({"plaintext": "", "context": "eA=="})).await;
    assert_eq!((&derived["derived"], &derived["convergent_encryption"]), (&json!(true), &json!(false)));
    let convergent = made("e", json!({"plaintext": "", "context": "eA==", "convergent_encryption": true})).await;
    assert_eq!(convergent["convergent_encryption_version"], -1);
    let batch = made("f", json!({"batch_input": [{"plaintext": "", "context": "eA=="}]})).await;
    assert_eq!(batch["derived"], true);
}

#[tokio::test]
async fn upsert_is_refused_where_it_makes_no_sense_or_is_not_allowed() {
    let mount = Mount::new().await;
    for (body, text) in [
        (json!({"plaintext": "", "type": "rsa-2048"}), "unknown key type rsa-2048"),
        (json!({"plaintext": "", "type": "foo"}), "unknown key type foo"),
        (
            json!({"plaintext": "", "convergent_encryption": true}),
            "convergent encryption requires derivation to be enabled, so context is required",
        ),
        (json!({}), "missing plaintext to encrypt"),
        (json!({"batch_input": []}), "missing batch input to process"),
    ] {
        encrypt(&mount, body).await.refused(text);
        assert_eq!(mount.read("keys/k", json!({})).await.status, 404);
    }
    let body = json!({"plaintext": ""}).to_string().into_bytes();
    let updater = mount.send_as(Verb::Write, "encrypt/k", body, Some(Operation::Update)).await;
    updater.refused("encryption key not found");
    assert_eq!(mount.read("config/keys", json!({})).await.ok(), json!({"disable_upsert": false}));
    assert_eq!(
        mount.write("config/keys", json!({"disable_upsert": "true"})).await.ok(),
        json!({"disable_upsert": true})
    );
    encrypt(&mount, json!({"plaintext": ""})).await.refused("encryption key not found");
    assert_eq!(mount.read("keys/k", json!({})).await.status, 404);
}

#[tokio::test]
async fn unknown_members_are_warned_of_and_change_nothing() {
    let mount = Mount::with_key(json!({})).await;
    let reply = encrypt(&mount, json!({"plaintext": "eA==", "zzz": 1, "aaa": 2, "name": "q"})).await;
    assert_eq!(
        reply.warnings,
        [
            "Endpoint ignored these unrecognized parameters: [aaa zzz]",
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [name]"
        ]
    );
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn data_keys_come_in_three_sizes() {
    for protection in ["software", "hsm"] {
        for key_type in ["aes256-gcm96", "rsa-2048"] {
            let mount = Mount::with_key(json!({"type": key_type, "protection": protection})).await;
            for (bits, bytes) in [(json!({}), 32), (json!({"bits": 128}), 16), (json!({"bits": "512"}), 64)] {
                let data = mount.write("datakey/plaintext/k", bits).await.ok();
                let plaintext = data["plaintext"].as_str().unwrap();
                assert_eq!(crate::harness::from_b64(plaintext).len(), bytes);
                let opened = mount.write("decrypt/k", json!({"ciphertext": data["ciphertext"]})).await.ok();
                assert_eq!(opened["plaintext"], plaintext);
            }
            let wrapped = mount.write("datakey/wrapped/k", json!({})).await.ok();
            assert_eq!(wrapped.get("plaintext"), None);
            assert_eq!(wrapped["key_version"], 1);
            mount.write("datakey/plaintext/k", json!({"bits": 100})).await.refused("invalid bit length");
            mount
                .write("datakey/plaintext/k", json!({"context": "!!"}))
                .await
                .refused("failed to base64-decode context");
            mount.write("datakey/foo/k", json!({})).await.refused("Invalid path, must be 'plaintext' or 'wrapped'");
            mount.write("datakey/plaintext/none", json!({})).await.refused("encryption key not found");
        }
    }
}

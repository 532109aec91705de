//! The types that came after the first eleven: what each can do, and what it refuses.

use crate::harness::{Mount, b64, envelope, from_b64, payload};
use serde_json::json;

#[tokio::test]
async fn xchacha_ciphertexts_begin_with_24_bytes_of_nonce() {
    for parameters in [
        json!({"type": "xchacha20-poly1305"}),
        json!({"type": "xchacha20-poly1305", "derived": true}),
        json!({"type": "xchacha20-poly1305", "derived": true, "convergent_encryption": true}),
    ] {
        let mount = Mount::with_key(parameters.clone()).await;
        let body = json!({"plaintext": b64(b"hello"), "context": "eA==", "associated_data": "YWFk"});
        let sealed = mount.write("encrypt/k", body.clone()).await.ok()["ciphertext"].as_str().unwrap().to_owned();
        let bytes = payload(&sealed);
        assert_eq!(bytes.len(), 24 + 5 + 16, "{parameters}");
        let decrypt = async |ciphertext: &str, associated_data: &str| {
            let body = json!({"ciphertext": ciphertext, "context": "eA==", "associated_data": associated_data});
            mount.write("decrypt/k", body).await
        };
        assert_eq!(decrypt(&sealed, "YWFk").await.ok()["plaintext"], b64(b"hello"));
        decrypt(&sealed, "").await.refused("cipher: message authentication failed");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            decrypt(&envelope("v1", &bad), "YWFk").await.refused("cipher: message authentication failed");
        }
        for length in [0, 12, 23] {
            decrypt(&envelope("v1", &bytes[..length]), "YWFk").await.refused("invalid ciphertext length");
        }
        for length in [24, 39] {
            decrypt(&envelope("v1", &bytes[..length]), "YWFk").await.refused("cipher: message authentication failed");
        }
        let again = mount.write("encrypt/k", body).await.ok()["ciphertext"] == *sealed;
        assert_eq!(again, parameters["convergent_encryption"] == true);
    }
}

#[tokio::test]
async fn ml_dsa_keys_show_the_name_they_were_made_with() {
    for (set, public_bytes) in [("44", 1312), ("65", 1952), ("87", 2592)] {
        let mount = Mount::new().await;
        let short = mount.write("keys/o", json!({"type": format!("mldsa-{set}")})).await.ok();
        assert_eq!((&short["type"], short.get("parameter_set")), (&json!(format!("mldsa-{set}")), None));
        let long = mount.write("keys/v", json!({"type": "ml-dsa", "parameter_set": set})).await.ok();
        assert_eq!((&long["type"], &long["parameter_set"]), (&json!("ml-dsa"), &json!(set)));
        for body in [short, long] {
            assert_eq!(from_b64(body["keys"]["1"]["public_key"].as_str().unwrap()).len(), public_bytes);
            assert_eq!(body["keys"]["1"]["name"], format!("mldsa-{set}"));
            assert_eq!((&body["supports_signing"], &body["supports_encryption"]), (&json!(true), &json!(false)));
        }
        mount.write("keys/v/rotate", json!({})).await.ok();
        assert_eq!(mount.read("keys/v", json!({})).await.ok()["keys"]["2"]["name"], format!("mldsa-{set}"));
    }
    let mount = Mount::new().await;
    for (parameters, text) in [
        (json!({"type": "ml-dsa"}), "invalid parameter set  for key type ml-dsa"),
        (json!({"type": "ml-dsa", "parameter_set": "66"}), "invalid parameter set 66 for key type ml-dsa"),
        (json!({"type": "ml-dsa-65"}), "unknown key type ml-dsa-65"),
        (
            json!({"type": "mldsa-65", "derived": true}),
            "key derivation and convergent encryption not supported for keys of type mldsa-65",
        ),
        (json!({"type": "mldsa-65", "key_size": 32}), "key_size is not valid for algorithm mldsa-65"),
    ] {
        mount.write("keys/x", parameters).await.refused(text);
    }
    assert_eq!(mount.read("keys/x", json!({})).await.status, 404);
}

#[tokio::test]
async fn ml_dsa_signs_messages_whatever_the_other_options_say() {
    for (key_type, bytes) in [("mldsa-44", 2420), ("mldsa-65", 3309), ("mldsa-87", 4627)] {
        let mount = Mount::with_key(json!({"type": key_type})).await;
        for options in [
            json!({}),
            json!({"prehashed": true}),
            json!({"hash_algorithm": "none"}),
            json!({"signature_algorithm": "foo"}),
        ] {
            let mut body = options.clone();
            body["input"] = json!(b64(b"hello"));
            let signed = mount.write("sign/k", body).await.ok()["signature"].as_str().unwrap().to_owned();
            let signature = payload(&signed);
            assert_eq!(signature.len(), bytes);
            let valid = async |input: &[u8], signature: &[u8]| {
                let body = json!({"input": b64(input), "signature": envelope("v1", signature)});
                mount.write("verify/k", body).await.ok()["valid"].clone()
            };
            assert_eq!(valid(b"hello", &signature).await, true, "{options}");
            assert_eq!(valid(b"hullo", &signature).await, false);
            assert_eq!(valid(b"hello", &signature[1..]).await, false);
            assert_eq!(valid(b"hello", b"").await, false);
            let mut bad = signature.clone();
            bad[bytes / 2] ^= 1;
            assert_eq!(valid(b"hello", &bad).await, false);
        }
        let context = json!({"input": "", "signature_context": "eA=="});
        let text = format!("signature_context is not supported for key type {key_type}");
        mount.write("sign/k", context).await.refused(&text);
        assert_eq!(mount.write("hmac/k", json!({"input": ""})).await.status, 200);
    }
}

#[tokio::test]
async fn ml_kem_keys_wrap_data_keys() {
    for (key_type, kem_bytes, public_bytes) in
        [("ml-kem-512", 768, 800), ("ml-kem-768", 1088, 1184), ("ml-kem-1024", 1568, 1568)]
    {
        let mount = Mount::with_key(json!({"type": key_type})).await;
        let body = mount.read("keys/k", json!({})).await.ok();
        assert_eq!(from_b64(body["keys"]["1"]["public_key"].as_str().unwrap()).len(), public_bytes);
        for (bits, bytes) in [(128, 16), (256, 32), (512, 64)] {
            let request = json!({"bits": bits, "associated_data": "YWFk"});
            let made = mount.write("datakey/plaintext/k", request.clone()).await.ok();
            let sealed = made["ciphertext"].as_str().unwrap();
            assert_eq!(payload(sealed).len(), kem_bytes + 12 + bytes + 16);
            let opened = mount.write("decrypt/k", json!({"ciphertext": sealed, "associated_data": "YWFk"})).await;
            assert_eq!(opened.ok()["plaintext"], made["plaintext"]);
            mount
                .write("decrypt/k", json!({"ciphertext": sealed}))
                .await
                .refused("cipher: message authentication failed");
            assert_eq!(mount.write("datakey/wrapped/k", request).await.ok().get("plaintext"), None);
        }
        let sealed = mount.ciphertext(b"hello").await;
        mount.write("keys/k/rotate", json!({})).await.ok();
        let rewrapped = mount.write("rewrap/k", json!({"ciphertext": sealed})).await.ok()["ciphertext"].clone();
        assert!(rewrapped.as_str().unwrap().starts_with("vault:v2:"));
        for ciphertext in [json!(sealed), rewrapped] {
            let opened = mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok();
            assert_eq!(opened["plaintext"], b64(b"hello"));
        }
        for length in [0, 1, kem_bytes - 1] {
            let short = envelope("v1", &payload(&sealed)[..length]);
            mount.write("decrypt/k", json!({"ciphertext": short})).await.refused("invalid ciphertext length");
        }
        let text = format!("key type {key_type} does not support signing");
        mount.write("sign/k", json!({"input": ""})).await.refused(&text);
    }
}

#[tokio::test]
async fn a_token_refuses_new_types_by_the_mechanism_it_lacks() {
    let mount = Mount::new().await;
    for (key_type, mechanism) in [
        ("chacha20-poly1305", "CKM_CHACHA20_POLY1305"),
        ("xchacha20-poly1305", "XChaCha20-Poly1305"),
        ("aes128-cmac", "CKM_AES_CMAC"),
        ("mldsa-65", "CKM_ML_DSA"),
        ("ml-kem-768", "CKM_ML_KEM"),
    ] {
        let reply = mount.write("keys/x", json!({"type": key_type, "protection": "hsm"})).await;
        reply.refused(&format!("the token does not support {mechanism}"));
        assert_eq!(mount.read("keys/x", json!({})).await.status, 404);
    }
}

//! `sign/:name`, and that what it makes verifies.

use crate::harness::{Mount, b64, from_b64};
use serde_json::{Value, json};

const SIGNING: [&str; 5] = ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048"];

async fn sign(mount: &Mount, body: Value) -> crate::harness::Reply {
    mount.write("sign/k", body).await
}

/// Signs and verifies with the same options.
async fn round_trip(mount: &Mount, options: &Value) {
    let mut body = options.clone();
    if body.get("input").is_none() {
        body["input"] = json!(b64(b"hello"));
    }
    let signed = sign(mount, body.clone()).await.ok();
    body["signature"] = signed["signature"].clone();
    assert_eq!(mount.write("verify/k", body.clone()).await.ok(), json!({"valid": true}), "{body}");
    body["input"] = json!(b64(b"other-other-other-other-other-ot"));
    assert_eq!(mount.write("verify/k", body.clone()).await.ok(), json!({"valid": false}), "{body}");
}

#[tokio::test]
async fn every_type_signs_with_every_marshaling() {
    for protection in ["software", "hsm"] {
        for key_type in SIGNING {
            let mount = Mount::with_key(json!({"type": key_type, "protection": protection})).await;
            for options in [
                json!({}),
                json!({"marshaling_algorithm": "jws"}),
                json!({"signature_algorithm": "pkcs1v15"}),
                json!({"salt_length": "hash"}),
                json!({"salt_length": "20"}),
                json!({"salt_length": 0}),
                json!({"hash_algorithm": "sha2-512"}),
                json!({"algorithm": "sha2-384"}),
                json!({"input": ""}),
            ] {
                round_trip(&mount, &options).await;
            }
            if key_type.starts_with("ecdsa") {
                for hash in ["sha1", "sha2-224", "sha3-224", "sha3-256", "sha3-384", "sha3-512"] {
                    round_trip(&mount, &json!({"hash_algorithm": hash})).await;
                }
                for length in [0, 5, 20, 32, 48, 64] {
                    let input = b64(&vec![7; length]);
                    round_trip(&mount, &json!({"input": input, "prehashed": true})).await;
                    let none = json!({"input": input, "prehashed": true, "hash_algorithm": "none", "signature_algorithm": "pkcs1v15"});
                    round_trip(&mount, &none).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn the_path_names_the_hash_before_the_body_does() {
    let mount = Mount::with_key(json!({"type": "ecdsa-p256"})).await;
    let body = json!({"input": b64(b"x"), "hash_algorithm": "sha1", "algorithm": "sha2-224"});
    let signature = mount.write("sign/k/sha2-384", body).await.ok()["signature"].clone();
    let valid = async |hash: &str| {
        let body = json!({"input": b64(b"x"), "signature": signature, "hash_algorithm": hash});
        mount.write("verify/k", body).await.ok()["valid"].clone()
    };
    assert_eq!(valid("sha2-384").await, true);
    assert_eq!(valid("sha1").await, false);
    mount.write("sign/k/foo", json!({"input": ""})).await.refused("invalid hash algorithm \"foo\"");
}

#[tokio::test]
async fn jws_signatures_are_r_and_s_of_fixed_width() {
    for (key_type, width) in [("ecdsa-p256", 64), ("ecdsa-p384", 96), ("ecdsa-p521", 132), ("ed25519", 64)] {
        let mount = Mount::with_key(json!({"type": key_type})).await;
        for _ in 0..8 {
            let data = sign(&mount, json!({"input": "", "marshaling_algorithm": "jws"})).await.ok();
            let payload = data["signature"].as_str().unwrap().strip_prefix("vault:v1:").unwrap().to_owned();
            assert!(!payload.contains(['+', '/', '=']), "{payload}");
            assert_eq!(payload.len(), (width * 4_usize).div_ceil(3));
        }
    }
}

#[tokio::test]
async fn rsa_signs_digests_and_refuses_other_lengths() {
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    for algorithm in ["pss", "pkcs1v15"] {
        let options = json!({"input": b64(&[7; 32]), "prehashed": true, "signature_algorithm": algorithm});
        round_trip(&mount, &options).await;
        let short = json!({"input": b64(b"hello"), "prehashed": true, "signature_algorithm": algorithm});
        sign(&mount, short).await.refused("crypto/rsa: input must be hashed with given hash");
    }
    let digest = from_b64(
        mount.write("hash", json!({"input": b64(b"hello"), "format": "base64"})).await.ok()["sum"].as_str().unwrap(),
    );
    let signature = sign(&mount, json!({"input": b64(&digest), "prehashed": true})).await.ok()["signature"].clone();
    let verified = mount.write("verify/k", json!({"input": b64(b"hello"), "signature": signature})).await.ok();
    assert_eq!(verified["valid"], true);
}

#[tokio::test]
async fn without_a_hash_rsa_signs_what_names_its_hash_itself() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"type": "rsa-2048", "protection": protection})).await;
        let digest = mount.write("hash", json!({"input": b64(b"hello"), "format": "base64"})).await.ok()["sum"].clone();
        let mut info = from_b64("MDEwDQYJYIZIAWUDBAIBBQAEIA==");
        info.extend(from_b64(digest.as_str().unwrap()));
        let none = json!({"input": b64(&info), "prehashed": true, "hash_algorithm": "none", "signature_algorithm": "pkcs1v15"});
        round_trip(&mount, &none).await;
        let plain = json!({"input": b64(b"hello"), "signature_algorithm": "pkcs1v15"});
        let (by_caller, by_us) = (sign(&mount, none).await.ok(), sign(&mount, plain).await.ok());
        assert_eq!(by_caller["signature"], by_us["signature"]);
    }
}

#[tokio::test]
async fn what_the_library_cannot_do_fails_with_the_mechanisms_name() {
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    sign(&mount, json!({"input": "", "hash_algorithm": "sha3-256"}))
        .await
        .refused("the token does not support RSA-PSS with SHA3-256 (salt Auto)");
    sign(&mount, json!({"input": "", "hash_algorithm": "sha3-224", "signature_algorithm": "pkcs1v15"}))
        .await
        .refused("the token does not support RSA PKCS#1 v1.5 with SHA3-224");
    let none = json!({"input": "", "hash_algorithm": "none", "prehashed": true, "signature_algorithm": "pkcs1v15"});
    sign(&mount, none).await.refused("the token does not support RSA PKCS#1 v1.5 without a hash");
}

#[tokio::test]
async fn bad_options_are_refused_in_the_references_words() {
    let none = "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15";
    for key_type in ["ecdsa-p256", "rsa-2048", "ed25519"] {
        let mount = Mount::with_key(json!({"type": key_type})).await;
        for (body, text) in [
            (json!({"input": "!!"}), "unable to decode input as base64: illegal base64 data at input byte 0"),
            (json!({"hash_algorithm": "foo"}), "invalid hash algorithm \"foo\""),
            (json!({"marshaling_algorithm": "foo"}), "invalid marshaling type \"foo\""),
            (json!({"salt_length": "x"}), "salt length neither 'auto', 'hash', nor an int: x"),
            (json!({"salt_length": ""}), "salt length neither 'auto', 'hash', nor an int: "),
            (json!({"salt_length": -2}), "salt length is invalid: -2"),
            (json!({"context": "!!"}), "failed to base64-decode context"),
            (json!({"key_version": 2}), "requested version for signing is higher than the latest key version"),
            (json!({"key_version": -1}), "requested version for signing is negative"),
        ] {
            sign(&mount, body).await.refused(text);
        }
        if key_type == "ed25519" {
            round_trip(&mount, &json!({"hash_algorithm": "none"})).await;
            continue;
        }
        sign(&mount, json!({"hash_algorithm": "none"})).await.refused(none);
        sign(&mount, json!({"hash_algorithm": "none", "prehashed": true})).await.refused(none);
        sign(&mount, json!({"hash_algorithm": "none", "signature_algorithm": "pkcs1v15"})).await.refused(none);
    }
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    sign(&mount, json!({"signature_algorithm": "foo"})).await.refused("unsupported rsa signature algorithm foo");
    sign(&mount, json!({"salt_length": 9999})).await.refused("requested salt length 9999 is invalid");
    mount.write("sign/none", json!({"input": ""})).await.refused("signing key not found");
    let misspelt = sign(&mount, json!({"marshalling_algorithm": "jws"})).await;
    assert_eq!(misspelt.warnings, ["Endpoint ignored these unrecognized parameters: [marshalling_algorithm]"]);
    let mount = Mount::with_key(json!({})).await;
    sign(&mount, json!({"input": ""})).await.refused("key type aes256-gcm96 does not support signing");
}

#[tokio::test]
async fn a_batch_is_a_200_with_errors_in_its_items() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"type": "ecdsa-p256", "protection": protection})).await;
        let items = json!([{"input": "eA==", "reference": "a"}, {"input": "!!"}, {}, {"input": 5}]);
        let results = sign(&mount, json!({"batch_input": items})).await.ok()["batch_results"].clone();
        assert_eq!((&results[0]["reference"], &results[0]["key_version"]), (&json!("a"), &json!(1)));
        let not_base64 = "unable to decode input as base64: illegal base64 data at input byte 0";
        assert_eq!(results[1], json!({"key_version": 0, "error": not_base64, "reference": ""}));
        assert_eq!(results[2], json!({"key_version": 0, "error": "missing input", "reference": ""}));
        assert_eq!(results[3]["error"], not_base64);
    }
}

#[tokio::test]
async fn derived_keys_sign_per_context_and_show_the_public_key() {
    let mount = Mount::with_key(json!({"type": "ed25519", "derived": true})).await;
    let missing = "error deriving key: missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key";
    sign(&mount, json!({"input": ""})).await.refused(missing);
    let signed = sign(&mount, json!({"input": "", "context": "eA=="})).await.ok();
    let shown = mount.read("keys/k", json!({"context": "eA=="})).await.ok()["keys"]["1"]["public_key"].clone();
    assert_eq!(signed["public_key"], shown);
    for (context, valid) in [("eA==", true), ("eQ==", false)] {
        let body = json!({"input": "", "context": context, "signature": signed["signature"]});
        assert_eq!(mount.write("verify/k", body).await.ok()["valid"], valid);
    }
    mount.write("verify/k", json!({"input": "", "signature": signed["signature"]})).await.refused(missing);
    let batch = sign(&mount, json!({"batch_input": [{"input": "", "context": "eA=="}]})).await.ok();
    assert_eq!(batch["batch_results"][0]["publickey"], shown);
}

#[tokio::test]
async fn ed25519_signs_as_each_of_its_variants() {
    let context = b64(b"context");
    let digest = json!({"input": b64(&[7; 64]), "signature_algorithm": "ed25519ph", "prehashed": true});
    for parameters in [json!({"type": "ed25519"}), json!({"type": "ed25519", "derived": true})] {
        let mount = Mount::with_key(parameters).await;
        let variants = [
            json!({}),
            json!({"signature_algorithm": "ed25519ph"}),
            json!({"signature_algorithm": "ed25519ph", "signature_context": context}),
            json!({"signature_context": context}),
            json!({"signature_context": b64(b"other")}),
            digest.clone(),
        ];
        let mut signatures = Vec::new();
        for options in &variants {
            let mut body = options.clone();
            body["context"] = json!("eA==");
            round_trip(&mount, &body).await;
            body["input"] = json!(body["input"].as_str().unwrap_or("aGVsbG8="));
            signatures.push(sign(&mount, body).await.ok()["signature"].clone());
        }
        for (made_with, signature) in signatures.iter().enumerate() {
            for (checked_with, options) in variants[..5].iter().enumerate() {
                let mut body = options.clone();
                (body["input"], body["context"], body["signature"]) =
                    (json!("aGVsbG8="), json!("eA=="), signature.clone());
                let valid = mount.write("verify/k", body).await.ok()["valid"].clone();
                assert_eq!(valid, made_with == checked_with, "{made_with} {checked_with}");
            }
        }
        let named = json!({"input": "aGVsbG8=", "context": "eA==", "signature_algorithm": "ed25519ctx", "signature_context": context});
        assert_eq!(sign(&mount, named).await.ok()["signature"], signatures[3]);
    }
    let mount = Mount::with_key(json!({"type": "ed25519"})).await;
    for (body, text) in [
        (json!({"signature_algorithm": "ed25519ctx"}), "signature_algorithm=ed25519ctx requires a signature_context"),
        (json!({"signature_context": "!"}), "failed to base64-decode signature_context"),
        (json!({"signature_context": b64(&[1; 256])}), "signature_context has more than 255 bytes"),
        (
            json!({"input": "aGVsbG8=", "signature_algorithm": "ed25519ph", "prehashed": true}),
            "prehashed input of ed25519ph must be a SHA-512 digest, 64 bytes",
        ),
    ] {
        sign(&mount, body).await.refused(text);
    }
    let short = json!({"input": "aGVsbG8=", "signature_algorithm": "ed25519ph", "prehashed": true, "signature": "vault:v1:AA=="});
    assert_eq!(mount.write("verify/k", short).await.ok()["valid"], false);
    let mount = Mount::with_key(json!({"type": "ed25519", "protection": "hsm"})).await;
    sign(&mount, digest).await.refused("the token does not support Ed25519ph");
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    sign(&mount, json!({"signature_context": context}))
        .await
        .refused("signature_context is not supported for key type rsa-2048");
    sign(&mount, json!({"signature_algorithm": "ed25519ph"}))
        .await
        .refused("unsupported rsa signature algorithm of Ed25519");
}

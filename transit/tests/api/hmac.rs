//! `hmac/:name`.

use crate::harness::{Mount, from_b64};
use serde_json::json;

#[tokio::test]
async fn every_type_makes_hmacs_that_verify() {
    for (parameters, hashes) in [
        (json!({}), &["sha1", "sha2-224", "sha2-256", "sha2-512", "sha3-256", "sha3-384", "sha3-512"][..]),
        (json!({"type": "hmac", "key_size": 512}), &["sha2-256"][..]),
        (json!({"type": "ed25519"}), &["sha2-256"][..]),
        (json!({"protection": "hsm"}), &["sha2-256", "sha2-384", "sha2-512"][..]),
        (json!({"type": "hmac", "key_size": 32, "protection": "hsm"}), &["sha2-256"][..]),
        (json!({"type": "rsa-2048", "protection": "hsm"}), &["sha2-256"][..]),
    ] {
        let mount = Mount::with_key(parameters.clone()).await;
        for hash in hashes {
            let code = mount.write(&format!("hmac/k/{hash}"), json!({"input": "eA=="})).await.ok()["hmac"].clone();
            let verify = async |input: &str, hash: &str| {
                let reply = mount.write(&format!("verify/k/{hash}"), json!({"input": input, "hmac": code})).await;
                reply.ok()["valid"].clone()
            };
            assert_eq!(verify("eA==", hash).await, true, "{parameters} {hash}");
            assert_eq!(verify("eQ==", hash).await, false, "{parameters} {hash}");
            assert_eq!(verify("eA==", if *hash == "sha2-384" { "sha2-512" } else { "sha2-384" }).await, false);
        }
    }
}

#[tokio::test]
async fn an_exported_key_makes_the_same_hmac() {
    let mount = Mount::with_key(json!({"type": "hmac", "key_size": 40, "exportable": true})).await;
    let key = mount.read("export/hmac-key/k", json!({})).await.ok()["keys"]["1"].as_str().map(from_b64).unwrap();
    assert_eq!(key.len(), 40);
    let code = mount.write("hmac/k", json!({"input": "eA=="})).await.ok()["hmac"].as_str().unwrap().to_owned();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    assert_eq!(crate::harness::payload(&code), aws_lc_rs::hmac::sign(&key, b"x").as_ref());
}

#[tokio::test]
async fn bad_input_is_refused_in_the_references_words() {
    let mount = Mount::with_key(json!({})).await;
    let not_base64 = "unable to decode input as base64: illegal base64 data at input byte 0";
    for (body, text) in [
        (json!({}), "missing input for HMAC"),
        (json!({"input": "!!"}), not_base64),
        (json!({"input": "", "algorithm": "none"}), "algorithm cannot be none"),
        (json!({"input": "", "algorithm": "foo"}), "unsupported algorithm \"foo\""),
        (json!({"input": "", "key_version": 3}), "key version does not exist; latest key version is 1"),
        (json!({"input": "", "key_version": -1}), "key version does not exist (cannot be negative)"),
    ] {
        mount.write("hmac/k", body).await.refused(text);
    }
    mount.write("hmac/none", json!({"input": ""})).await.refused("encryption key not found");
    for (code, text) in [
        ("x", "invalid HMAC to verify: no prefix"),
        ("vault:v1:!!", "unable to decode verification HMAC as base64: illegal base64 data at input byte 0"),
        ("vault:v2:aaaa", "invalid HMAC: version is too new"),
        ("vault:v0:aaaa", "cannot verify HMAC: version is too old (disallowed by policy)"),
        ("vault:vx:aaaa", "invalid HMAC: version number could not be decoded"),
    ] {
        mount.write("verify/k", json!({"input": "", "hmac": code})).await.refused(text);
    }
    let items = json!([{"input": "", "reference": "z"}, {"input": "!!"}, {}]);
    let results = mount.write("hmac/k", json!({"batch_input": items})).await.ok()["batch_results"].clone();
    assert_eq!(results[0]["reference"], "z");
    assert!(results[0]["hmac"].as_str().unwrap().starts_with("vault:v1:"));
    assert_eq!(results[1], json!({"error": not_base64, "reference": ""}));
    assert_eq!(results[2], json!({"error": "missing input for HMAC", "reference": ""}));
    let ignored = mount.write("hmac/k", json!({"input": "", "hash_algorithm": "sha2-512"})).await;
    assert_eq!(ignored.warnings, ["Endpoint ignored these unrecognized parameters: [hash_algorithm]"]);
}

#[tokio::test]
async fn a_hash_the_token_has_no_hmac_for_fails_by_name() {
    let mount = Mount::with_key(json!({"protection": "hsm"})).await;
    mount.write("hmac/k/sha1", json!({"input": ""})).await.refused("the token does not support HMAC with SHA-1");
}

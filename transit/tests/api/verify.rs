//! `verify/:name` with signatures that are not right.

use crate::harness::{Mount, b64};
use serde_json::json;

#[tokio::test]
async fn malformed_signatures_are_refused_and_wrong_ones_are_false() {
    for key_type in ["ecdsa-p256", "ed25519", "rsa-2048"] {
        let mount = Mount::with_key(json!({"type": key_type})).await;
        let input = b64(b"hello");
        let good = mount.write("sign/k", json!({"input": input})).await.ok()["signature"].as_str().unwrap().to_owned();
        let verify =
            async |signature: &str| mount.write("verify/k", json!({"input": input, "signature": signature})).await;
        verify("zz").await.refused("invalid signature: no prefix");
        verify("").await.refused("invalid signature: no prefix");
        verify("vault:v1").await.refused("invalid signature: wrong number of fields");
        verify("vault:v9:eno=").await.refused("invalid signature: version is too new");
        verify("vault:v-1:eno=").await.refused("ciphertext or signature version is disallowed by policy (too old)");
        verify("vault:vx:eno=").await.refused("invalid signature: version number could not be decoded");
        verify("vault:v1:!!").await.refused("invalid base64 signature value");
        let short = &good[..good.len() - 8];
        if key_type == "ecdsa-p256" {
            verify("vault:v1:eno=").await.refused("supplied signature is invalid");
            verify(short).await.refused("supplied signature is invalid");
        } else {
            assert_eq!(verify("vault:v1:eno=").await.ok()["valid"], false);
            assert_eq!(verify(short).await.ok()["valid"], false);
        }
        mount
            .write("verify/k", json!({"input": "!!", "signature": good}))
            .await
            .refused("unable to decode input as base64: illegal base64 data at input byte 0");
        mount
            .write("verify/k", json!({"input": input}))
            .await
            .refused("neither a 'signature' nor an 'hmac' were given to verify");
        assert_eq!(mount.write("verify/k", json!({"signature": good})).await.ok()["valid"], false);
        let both = json!({"input": input, "signature": good, "hmac": good});
        assert_eq!(mount.write("verify/k", both).await.ok()["valid"], true);
    }
}

#[tokio::test]
async fn wrong_options_are_false_or_refused() {
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    let signature = mount.write("sign/k", json!({"input": ""})).await.ok()["signature"].clone();
    let verify = async |mut body: serde_json::Value| {
        body["input"] = json!("");
        body["signature"] = signature.clone();
        mount.write("verify/k", body).await
    };
    assert_eq!(verify(json!({"prehashed": true})).await.ok()["valid"], false);
    assert_eq!(verify(json!({"salt_length": 20})).await.ok()["valid"], false);
    assert_eq!(verify(json!({"signature_algorithm": "pkcs1v15"})).await.ok()["valid"], false);
    assert_eq!(verify(json!({"hash_algorithm": "sha2-512"})).await.ok()["valid"], false);
    verify(json!({"signature_algorithm": "foo"})).await.refused("unsupported rsa signature algorithm foo");
    verify(json!({"salt_length": 9999})).await.refused("requested salt length 9999 is invalid");
    verify(json!({"salt_length": -7})).await.refused("salt length is invalid: -7");
    verify(json!({"context": "!!"})).await.refused("failed to base64-decode context");
    mount
        .write("verify/none", json!({"input": "", "signature": signature}))
        .await
        .refused("signature verification key not found");
    let mount = Mount::with_key(json!({})).await;
    mount
        .write("verify/k", json!({"input": "", "signature": "vault:v1:aaaa"}))
        .await
        .refused("key type aes256-gcm96 does not support verification");
}

#[tokio::test]
async fn batches_are_all_signatures_or_all_hmacs() {
    let mount = Mount::with_key(json!({"type": "ecdsa-p256"})).await;
    let s = mount.write("sign/k", json!({"input": "eA=="})).await.ok()["signature"].clone();
    let h = mount.write("hmac/k", json!({"input": "eA=="})).await.ok()["hmac"].clone();
    let verify = async |items: serde_json::Value| mount.write("verify/k", json!({"batch_input": items})).await;
    let missing = "some elements of batch_input are missing 'signature'";
    verify(json!([{"input": "eA=="}, {"input": "eA==", "signature": s}])).await.refused(missing);
    verify(json!([{"input": "eA==", "signature": s}, {"input": "eA=="}])).await.refused(missing);
    verify(json!([{"input": "eA=="}])).await.refused("no batch_input elements have 'signature' or 'hmac'");
    verify(json!([{"input": "eA==", "hmac": h}, {"input": "eA==", "signature": s}]))
        .await
        .refused("elements of batch_input must all provide 'signature' or all provide 'hmac'");
    let results = verify(json!([
        {"input": "eA==", "signature": s, "reference": "a"}, {"input": "eA==", "signature": "x"},
        {"input": "!!", "signature": s}, {"input": "eQ==", "signature": s}
    ]))
    .await
    .ok()["batch_results"]
        .clone();
    assert_eq!(results[0], json!({"valid": true, "reference": "a"}));
    assert_eq!(results[1], json!({"valid": false, "error": "invalid signature: no prefix", "reference": ""}));
    assert_eq!(results[2]["error"], "unable to decode input as base64: illegal base64 data at input byte 0");
    assert_eq!(results[3], json!({"valid": false, "reference": ""}));
    let results = verify(json!([{"input": "eA==", "hmac": h, "reference": "k"}, {"input": "eQ==", "hmac": h}])).await;
    let results = results.ok()["batch_results"].clone();
    assert_eq!(results[0], json!({"valid": true, "reference": "k"}));
    assert_eq!(results[1]["valid"], false);
}

#[tokio::test]
async fn old_versions_stop_verifying_when_the_floor_rises() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"type": "ecdsa-p256", "protection": protection})).await;
        let s = mount.write("sign/k", json!({"input": ""})).await.ok()["signature"].clone();
        let h = mount.write("hmac/k", json!({"input": ""})).await.ok()["hmac"].clone();
        mount.write("keys/k/rotate", json!({})).await.ok();
        mount.write("keys/k/config", json!({"min_decryption_version": 2})).await.ok();
        let too_old = "ciphertext or signature version is disallowed by policy (too old)";
        mount.write("verify/k", json!({"input": "", "signature": s})).await.refused(too_old);
        let too_old = "cannot verify HMAC: version is too old (disallowed by policy)";
        mount.write("verify/k", json!({"input": "", "hmac": h})).await.refused(too_old);
        mount.write("sign/k", json!({"input": "", "key_version": 1})).await.refused("no such key version");
        mount.write("hmac/k", json!({"input": "", "key_version": 1})).await.refused("no such key version");
        mount.write("keys/k/config", json!({"min_decryption_version": 1, "min_encryption_version": 2})).await.ok();
        assert_eq!(mount.write("verify/k", json!({"input": "", "signature": s})).await.ok()["valid"], true);
        assert_eq!(mount.write("verify/k", json!({"input": "", "hmac": h})).await.ok()["valid"], true);
        let below = "requested version for signing is less than the minimum encryption key version";
        mount.write("sign/k", json!({"input": "", "key_version": 1})).await.refused(below);
        let below = "cannot generate HMAC: version is too old (disallowed by policy)";
        mount.write("hmac/k", json!({"input": "", "key_version": 1})).await.refused(below);
    }
}

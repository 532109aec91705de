//! `cmac/:name`, and the half of `verify` that checks what it makes. The texts are those of Vault Enterprise.

use crate::harness::{Mount, from_b64};
use serde_json::{Value, json};

async fn cmac(mount: &Mount, path: &str, body: Value) -> String {
    mount.write(path, body).await.ok()["cmac"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn cmacs_verify_at_the_length_they_were_made_with() {
    for key_type in ["aes128-cmac", "aes256-cmac"] {
        let mount = Mount::with_key(json!({"type": key_type})).await;
        let whole = cmac(&mount, "cmac/k", json!({"input": "aGVsbG8="})).await;
        assert_eq!(from_b64(whole.strip_prefix("vault:v1:").unwrap()).len(), 16);
        assert_eq!(cmac(&mount, "cmac/k", json!({"input": "aGVsbG8="})).await, whole);
        for (path, length) in [("", 0), ("/16", 16), ("/4", 4), ("/1", 1)] {
            let made = cmac(&mount, &format!("cmac/k{path}"), json!({"input": "aGVsbG8="})).await;
            let by_body = cmac(&mount, "cmac/k", json!({"input": "aGVsbG8=", "mac_length": length})).await;
            assert_eq!(made, by_body);
            let valid = async |input: &str, path: &str, length: i64| {
                let body = json!({"input": input, "cmac": made, "mac_length": length});
                mount.write(&format!("verify/k{path}"), body).await.ok()["valid"].clone()
            };
            assert_eq!(valid("aGVsbG8=", "", length).await, true);
            assert_eq!(valid("aGVsbG8=", path, 0).await, true);
            assert_eq!(valid("aGVsbG8=", "/7", 0).await, false);
            if length != 1 {
                assert_eq!(valid("b3RoZXI=", path, 0).await, false);
            }
        }
    }
}

#[tokio::test]
async fn versions_have_their_own_cmacs() {
    let mount = Mount::with_key(json!({"type": "aes256-cmac"})).await;
    let first = cmac(&mount, "cmac/k", json!({"input": "aGVsbG8="})).await;
    mount.write("keys/k/rotate", json!({})).await.ok();
    let second = cmac(&mount, "cmac/k", json!({"input": "aGVsbG8="})).await;
    assert!(second.starts_with("vault:v2:"));
    assert_eq!(cmac(&mount, "cmac/k", json!({"input": "aGVsbG8=", "key_version": 1})).await, first);
    let valid = async |code: &str| mount.write("verify/k", json!({"input": "aGVsbG8=", "cmac": code})).await;
    assert_eq!(valid(&first).await.ok()["valid"], true);
    let crossed = second.replace("vault:v2:", "vault:v1:");
    assert_eq!(valid(&crossed).await.ok()["valid"], false);
    valid(&second.replace("v2", "v3")).await.refused("invalid CMAC: version is too new");
    mount.write("keys/k/config", json!({"min_decryption_version": 2})).await.ok();
    valid(&first).await.refused("ciphertext or signature version is disallowed by policy (too old)");
}

#[tokio::test]
async fn a_batch_keeps_order_lengths_and_references() {
    let mount = Mount::with_key(json!({"type": "aes128-cmac"})).await;
    let items = json!([
        {"input": "aGVsbG8=", "reference": "a"},
        {"input": "aGVsbG8=", "mac_length": 8},
        {"input": "!!"},
        {"input": "aGVsbG8=", "mac_length": 17}
    ]);
    let made = mount.write("cmac/k", json!({"batch_input": items})).await.ok()["batch_results"].clone();
    assert_eq!(made[0]["reference"], "a");
    assert_eq!(from_b64(made[1]["cmac"].as_str().unwrap().strip_prefix("vault:v1:").unwrap()).len(), 8);
    let not_base64 = "unable to decode input as base64: illegal base64 data at input byte 0";
    assert_eq!(made[2], json!({"error": not_base64, "reference": ""}));
    assert_eq!(made[3]["error"], "must not be greater than 16");
    let items = json!([
        {"input": "aGVsbG8=", "cmac": made[0]["cmac"], "reference": "a"},
        {"input": "aGVsbG8=", "cmac": made[1]["cmac"], "mac_length": 8},
        {"input": "aGVsbG8=", "cmac": made[1]["cmac"]},
        {"input": "aGVsbG8=", "cmac": "vault:v1:!"}
    ]);
    let checked = mount.write("verify/k", json!({"batch_input": items})).await.ok()["batch_results"].clone();
    assert_eq!(checked[0], json!({"valid": true, "reference": "a"}));
    assert_eq!(checked[1], json!({"valid": true, "reference": ""}));
    assert_eq!(checked[2], json!({"valid": false, "reference": ""}));
    assert_eq!(checked[3], json!({"valid": false, "error": "invalid base64 CMAC value", "reference": ""}));
    let overridden = json!({"batch_input": [{"input": "aGVsbG8=", "mac_length": 8}]});
    let reply = mount.write("cmac/k/4", overridden).await;
    assert_eq!(reply.warnings, ["input item 0 mac_length of 8 overridden by url_mac_length 4"]);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let mount = Mount::with_key(json!({"type": "aes256-cmac"})).await;
    for (path, body, text) in [
        ("cmac/k", json!({}), "input item 0 was blank"),
        ("cmac/k", json!({"input": ""}), "input item 0 was blank"),
        ("cmac/k", json!({"input": "aA==", "mac_length": -1}), "must not be less than 0"),
        ("cmac/k", json!({"input": "aA==", "mac_length": 17}), "must not be greater than 16"),
        ("cmac/k/17", json!({"input": "aA=="}), "the url mac-length parameter is invalid: must not be greater than 16"),
        ("cmac/k/x", json!({"input": "aA=="}), "the url mac-length parameter failed parsing: not a number"),
        ("cmac/none", json!({"input": "aA=="}), "encryption key not found"),
        ("cmac/k", json!({"input": "aA==", "key_version": 2}), "key version does not exist; latest key version is 1"),
        ("verify/k", json!({"input": "aA==", "cmac": "x"}), "invalid CMAC: no prefix"),
        ("verify/k", json!({"cmac": "vault:v1:"}), "input field on item 0 was blank"),
        ("verify/k", json!({"input": "aA==", "cmac": " "}), "cmac field on item 0 was blank"),
        (
            "verify/k",
            json!({"input": "aA==", "cmac": "vault:v1:", "mac_length": 99}),
            "mac_length field on item 0 was not valid: must not be greater than 16",
        ),
        (
            "verify/k/sha2-256",
            json!({"input": "aA==", "cmac": "vault:v1:"}),
            "the url mac-length parameter failed parsing: not a number",
        ),
        (
            "verify/k",
            json!({"batch_input": [{"input": "aA==", "cmac": "x"}, {"input": "aA==", "hmac": "x"}]}),
            "elements of batch_input must all provide 'signature', all provide 'hmac' or all provide 'cmac'",
        ),
        ("hmac/k", json!({"input": "aA=="}), "no HMAC key exists for that key version"),
        ("sign/k", json!({"input": "aA=="}), "key type aes256-cmac does not support signing"),
        ("encrypt/k", json!({"plaintext": "aA=="}), "message encryption not supported for key type aes256-cmac"),
    ] {
        mount.write(path, body).await.refused(text);
    }
    let mount = Mount::with_key(json!({})).await;
    let text = "key k is not a supported CMAC key type: aes256-gcm96";
    mount.write("cmac/k", json!({"input": "aA=="})).await.refused(text);
    mount.write("verify/k", json!({"input": "aA==", "cmac": "vault:v1:AA=="})).await.refused(text);
}

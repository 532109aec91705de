//! `rewrap/:name`.

use crate::harness::{Mount, b64};
use serde_json::json;

#[tokio::test]
async fn an_old_ciphertext_becomes_one_of_the_version_asked_for() {
    for (key_type, protection) in [
        ("aes256-gcm96", "software"),
        ("aes256-gcm96", "hsm"),
        ("rsa-2048", "software"),
        ("rsa-2048", "hsm"),
        ("chacha20-poly1305", "software"),
    ] {
        let mount = Mount::with_key(json!({"type": key_type, "protection": protection})).await;
        let old = mount.ciphertext(b"text").await;
        mount.write("keys/k/rotate", json!({})).await.ok();
        let new = mount.write("rewrap/k", json!({"ciphertext": old})).await.ok();
        assert_eq!(new["key_version"], 2);
        assert!(new["ciphertext"].as_str().unwrap().starts_with("vault:v2:"));
        let opened = mount.write("decrypt/k", json!({"ciphertext": new["ciphertext"]})).await.ok();
        assert_eq!(opened["plaintext"], b64(b"text"));
        let back = mount.write("rewrap/k", json!({"ciphertext": new["ciphertext"], "key_version": 1})).await.ok();
        assert_eq!(back["key_version"], 1);
        mount
            .write("rewrap/k", json!({"ciphertext": old, "key_version": 9}))
            .await
            .refused("requested version for encryption is higher than the latest key version");
        mount.write("rewrap/k", json!({})).await.refused("missing ciphertext to decrypt");
        mount.write("rewrap/none", json!({"ciphertext": old})).await.refused("encryption key not found");
    }
}

#[tokio::test]
async fn a_batch_is_a_200_with_errors_in_its_items() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let good = mount.ciphertext(b"text").await;
        let reply = mount
            .write("rewrap/k", json!({"batch_input": [{"ciphertext": good, "reference": "a"}, {"ciphertext": "x"}, {}, {"ciphertext": good, "key_version": 7}]}))
            .await;
        let results = reply.ok()["batch_results"].clone();
        assert_eq!((&results[0]["reference"], &results[0]["key_version"]), (&json!("a"), &json!(1)));
        assert_eq!(results[1], json!({"error": "invalid ciphertext: no prefix", "reference": ""}));
        assert_eq!(results[2], json!({"error": "missing ciphertext to decrypt", "reference": ""}));
        let text = "requested version for encryption is higher than the latest key version";
        assert_eq!(results[3], json!({"error": text, "reference": ""}));
    }
}

//! Keys of old Vaults: restored from a backup that names the counter KDF or convergent encryption 1 or 2, read, and
//! carried over to what is written today.

use crate::harness::{Mount, b64};
use serde_json::{Value, json};

/// A backup as Vault wrote it when `vector` was new.
fn backup(vector: &Value) -> Value {
    let convergent_version = match vector["convergent_version"].as_str() {
        // The first Vaults with convergent encryption did not number it.
        Some("v1") | None => 0,
        Some(_) => 2,
    };
    let version = json!({"key": vector["key"], "hmac_key": b64(&[7; 32]), "time": "2016-05-01T00:00:00Z", "creation_time": 1_462_060_800});
    let policy = json!({
        "name": "k", "keys": {"1": version}, "derived": true, "kdf": i64::from(vector["kdf"] == "hkdf_sha256"),
        "convergent_encryption": !vector["convergent_version"].is_null(), "convergent_version": convergent_version,
        "exportable": true, "allow_plaintext_backup": true, "min_decryption_version": 1, "latest_version": 1,
        "archive_version": 1, "type": 0
    });
    let keys = json!({"policy": policy, "archived_keys": {"keys": [{}, version]}});
    json!({"backup": b64(keys.to_string().as_bytes())})
}

#[tokio::test]
async fn restored_keys_of_old_vaults_decrypt_and_are_rewrapped_to_todays_encryption() {
    let file: Value = serde_json::from_str(include_str!("../vectors/types.json")).unwrap();
    let vectors = file["legacy"].as_array().unwrap().iter().filter(|vector| vector["type"] == "aes256-gcm96");
    let mut seen = 0;
    for vector in vectors {
        seen += 1;
        let mount = Mount::new().await;
        assert_eq!(mount.write("restore/k", backup(vector)).await.status, 204, "{vector}");
        let shown = mount.read("keys/k", json!({})).await.ok();
        let counter = vector["kdf"] == "hmac_sha256_counter";
        let kdf = if counter { "hmac-sha256-counter" } else { "hkdf_sha256" };
        assert_eq!((&shown["kdf"], shown.get("kdf_mode").is_some()), (&json!(kdf), counter));
        let convergent = match vector["convergent_version"].as_str() {
            None => Value::Null,
            Some("v1") => json!(1),
            Some(_) => json!(2),
        };
        assert_eq!(shown["convergent_encryption_version"], convergent);
        let old = json!({"ciphertext": vector["ciphertext"], "context": vector["context"], "nonce": vector["nonce"]});
        assert_eq!(mount.write("decrypt/k", old.clone()).await.ok()["plaintext"], vector["plaintext"]);
        let batch = mount.write("decrypt/k", json!({"batch_input": [old]})).await.ok();
        assert_eq!(batch["batch_results"][0]["plaintext"], vector["plaintext"]);
        if vector["nonce"] != "" {
            let without = json!({"ciphertext": vector["ciphertext"], "context": vector["context"]});
            mount.write("decrypt/k", without).await.refused("invalid convergent nonce supplied");
        }
        mount.write("keys/k/rotate", json!({})).await.ok();
        let new = mount.write("rewrap/k", old).await.ok()["ciphertext"].clone();
        assert!(new.as_str().unwrap().starts_with("vault:v2:"));
        let decrypted = mount.write("decrypt/k", json!({"ciphertext": new, "context": vector["context"]})).await.ok();
        assert_eq!(decrypted["plaintext"], vector["plaintext"]);
        let again = json!({"plaintext": vector["plaintext"], "context": vector["context"]});
        let again = mount.write("encrypt/k", again).await.ok()["ciphertext"].clone();
        assert_eq!(again == new, !convergent.is_null(), "a rotated convergent key converges, any other does not");
    }
    assert_eq!(seen, 6);
}

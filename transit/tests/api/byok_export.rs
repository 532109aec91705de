//! `byok-export/:destination/:source[/:version]`.

use crate::{
    harness::Mount,
    material::{PAIRS, SECRETS},
};
use serde_json::json;

#[tokio::test]
async fn what_is_exported_for_a_wrapping_key_can_be_imported_there() {
    let (source, target) = (Mount::new().await, Mount::for_import().await);
    let wrapping_key = target.read("wrapping_key", json!({})).await.ok()["public_key"].clone();
    let body = json!({"type": "rsa-4096", "public_key": wrapping_key});
    assert_eq!(source.write("keys/destination/import", body).await.status, 204);
    let types = SECRETS.iter().map(|(key_type, _)| *key_type).chain(PAIRS.iter().map(|(key_type, _)| *key_type));
    for key_type in types.chain(["mldsa-65"]) {
        let mut parameters = json!({"type": key_type, "exportable": true});
        if key_type == "hmac" {
            parameters["key_size"] = json!(40);
        }
        source.write(&format!("keys/{key_type}"), parameters).await.ok();
        source.write(&format!("keys/{key_type}/rotate"), json!({})).await.ok();
        let path = format!("byok-export/destination/{key_type}");
        let exported = source.read(&path, json!({"hash": "SHA512"})).await.ok();
        assert_eq!(exported["keys"].as_object().unwrap().len(), 2);
        assert_eq!((&exported["name"], &exported["type"]), (&json!(key_type), &json!(key_type)));
        let body = json!({"type": key_type, "ciphertext": exported["keys"]["2"], "hash_function": "SHA512", "exportable": true});
        let imported = target.write(&format!("keys/{key_type}/import"), body).await;
        assert_eq!(imported.status, 204, "{key_type}: {imported:?}");
        let kind = if PAIRS.iter().any(|(pair, _)| *pair == key_type) || key_type.contains("mldsa") {
            "signing-key"
        } else if key_type == "hmac" || key_type.contains("cmac") {
            "hmac-key"
        } else {
            "encryption-key"
        };
        if key_type.contains("cmac") {
            continue;
        }
        let ours = source.read(&format!("export/{kind}/{key_type}/2"), json!({})).await.ok();
        let theirs = target.read(&format!("export/{kind}/{key_type}/1"), json!({})).await.ok();
        assert_eq!(ours["keys"]["2"], theirs["keys"]["1"], "{key_type}");
    }
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let mount = Mount::new().await;
    for key_type in ["rsa-2048", "ecdsa-p256", "ed25519", "aes256-gcm96"] {
        mount.write(&format!("keys/{key_type}"), json!({"type": key_type, "exportable": true})).await.ok();
    }
    mount.write("keys/kept", json!({})).await.ok();
    for (path, text) in [
        ("none/ed25519", "no such destination key to export to"),
        ("rsa-2048/none", "no such source key for export"),
        ("rsa-2048/kept", "key is not exportable"),
        ("ecdsa-p256/ed25519", "unsupported key type in use; must be a rsa key"),
        ("aes256-gcm96/ed25519", "key wrapping (requring message signing) is not supported for key type aes256-gcm96"),
        ("rsa-2048/ed25519/2", "version does not exist or cannot be found"),
        ("rsa-2048/ed25519/0", "version for export is below minimum decryption version"),
        ("rsa-2048/ed25519/x", "invalid key version"),
    ] {
        mount.read(&format!("byok-export/{path}"), json!({})).await.refused(text);
    }
    mount.read("byok-export/rsa-2048/ed25519", json!({"hash": "md5"})).await.refused("unknown hash function: md5");
    for version in ["1", "v1", "latest"] {
        let exported = mount.read(&format!("byok-export/rsa-2048/ed25519/{version}"), json!({})).await.ok();
        assert!(exported["keys"]["1"].is_string());
    }
    assert_eq!(mount.delete("keys/ed25519/soft-delete").await.status, 200);
    mount
        .read("byok-export/rsa-2048/ed25519", json!({}))
        .await
        .refused("for source key: refusing to use soft-deleted key");
}

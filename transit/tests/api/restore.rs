//! `restore[/:name]`.

use crate::harness::{Mount, b64, from_b64};
use serde_json::{Value, json};

async fn backup() -> (Mount, Value) {
    let mount = Mount::with_key(json!({"exportable": true, "allow_plaintext_backup": true})).await;
    for _ in 0..3 {
        mount.write("keys/k/rotate", json!({})).await.ok();
    }
    mount.write("keys/k/config", json!({"min_decryption_version": 2, "min_encryption_version": 3})).await.ok();
    let backup = mount.read("backup/k", json!({})).await.ok()["backup"].clone();
    (mount, backup)
}

fn encoded(json: &Value) -> Value {
    json!({"backup": b64(json.to_string().as_bytes())})
}

#[tokio::test]
async fn keys_backed_up_by_openbao_do_their_work_here() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../vectors/backups.json")).unwrap();
    for vector in &vectors {
        let mount = Mount::new().await;
        let reply = mount.write("restore/k", json!({"backup": vector["backup"]})).await;
        assert_eq!(reply.status, 204, "{}: {reply:?}", vector["type"]);
        for (index, texts) in vector["texts"].as_array().unwrap().iter().enumerate() {
            // Version 1 lies in the archive or was trimmed.
            let usable = index >= 1;
            let context = &vector["context"];
            if let Some(ciphertext) = texts.get("ciphertext") {
                let reply = mount.write("decrypt/k", json!({"ciphertext": ciphertext, "context": context})).await;
                assert_eq!(reply.status == 200, usable, "{reply:?}");
                assert!(!usable || reply.data["plaintext"] == "aGVsbG8=");
            }
            for form in ["signature", "hmac"] {
                let Some(text) = texts.get(form) else { continue };
                let mut body = json!({"input": "aGVsbG8=", "context": context});
                body[form] = text.clone();
                let reply = mount.write("verify/k", body).await;
                assert_eq!(reply.status == 200, usable, "{} {form}: {reply:?}", vector["type"]);
                assert!(!usable || reply.data["valid"] == true, "{} {form}", vector["type"]);
            }
        }
        let shown = mount.read("keys/k", json!({})).await.ok();
        assert_eq!((&shown["latest_version"], &shown["restore_info"]["version"]), (&json!(3), &json!(3)));
    }
}

#[tokio::test]
async fn archived_versions_come_back_and_can_be_used_again() {
    let (mount, backup) = backup().await;
    let other = Mount::new().await;
    assert_eq!(other.write("restore", json!({"backup": backup})).await.status, 204);
    let exported = async |mount: &Mount| mount.read("export/encryption-key/k", json!({})).await;
    assert_eq!(exported(&other).await.ok(), exported(&mount).await.ok());
    for mount in [&mount, &other] {
        mount.write("keys/k/config", json!({"min_decryption_version": 1})).await.ok();
    }
    assert_eq!(exported(&other).await.ok(), exported(&mount).await.ok());
    assert_eq!(exported(&other).await.ok()["keys"].as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn a_key_that_exists_is_replaced_only_by_force() {
    let (mount, backup) = backup().await;
    mount.write("restore", json!({"backup": backup})).await.refused("key \"k\" already exists");
    // The name in the body is not looked at.
    mount.write("restore", json!({"backup": backup, "name": "other"})).await.refused("key \"k\" already exists");
    let before = mount.ciphertext(b"hello").await;
    for _ in 0..3 {
        mount.write("keys/k/rotate", json!({})).await.ok();
    }
    assert_eq!(mount.write("restore", json!({"backup": backup, "force": true})).await.status, 204);
    assert_eq!(mount.read("keys/k", json!({})).await.ok()["latest_version"], 4);
    assert_eq!(mount.write("decrypt/k", json!({"ciphertext": before})).await.ok()["plaintext"], "aGVsbG8=");
    assert_eq!(mount.write("keys/k/rotate", json!({})).await.ok()["latest_version"], 5);
}

#[tokio::test]
async fn hostile_backups_are_refused_and_write_nothing() {
    let (_, backup) = backup().await;
    let good: Value = serde_json::from_slice(&from_b64(backup.as_str().unwrap())).unwrap();
    let mount = Mount::new().await;
    mount.write("restore", json!({})).await.refused("'backup' must be supplied");
    mount.write("restore", json!({"backup": "!!!"})).await.refused("illegal base64 data at input byte 0");
    mount.write("restore", json!({"backup": b64(b"x")})).await.refused("the backup is not the JSON of a key");
    mount.write("restore", encoded(&json!({}))).await.refused("the backup holds no key");
    let failed = |text: &str| format!("failed to restore the policy \"k\": {text}");
    let cases = [
        ("/policy/type", json!(99), failed("unknown key type 99")),
        ("/policy/type", json!("aes"), "the backup is not the JSON of a key".to_owned()),
        ("/policy/latest_version", json!(0), failed("latest version of 0 is less than 1")),
        ("/policy/latest_version", json!(-1), failed("latest version of -1 is less than 1")),
        ("/policy/latest_version", json!(9), failed("version 9 is missing")),
        ("/policy/latest_version", json!(i64::MAX), failed(&format!("version {} is missing", i64::MAX - 1))),
        ("/policy/min_decryption_version", json!(0), failed("minimum decryption version of 0 is less than 1")),
        (
            "/policy/min_decryption_version",
            json!(4),
            failed("minimum decryption version of 4 is greater than minimum encryption version 3"),
        ),
        ("/policy/archive_version", json!(9), failed("archive version of 9 is greater than the latest version 4")),
        (
            "/policy/min_encryption_version",
            json!(9),
            failed("minimum encryption version of 9 is not among the versions"),
        ),
        ("/policy/min_available_version", json!(3), failed("minimum available version of 3 is not among the versions")),
        ("/policy/keys/4/key", json!("AAAA"), failed("version 4: invalid key size")),
        ("/policy/keys/4/key", json!(null), failed("version 4: invalid key size")),
        ("/policy/keys/4", json!(null), "the backup is not the JSON of a key".to_owned()),
        (
            "/policy/auto_rotate_period",
            json!(60_000_000_000_i64),
            failed("auto rotate period must be 0 to disable or at least an hour"),
        ),
        ("/policy/version_template", json!("x{{version}}"), failed("a version template of its own is not supported")),
        (
            "/policy/convergent_encryption",
            json!(true),
            failed("convergent encryption requires derivation to be enabled"),
        ),
        (
            "/policy/name",
            json!("a/b"),
            "failed restored policy name validator: entry would not be accessible".to_owned(),
        ),
        ("/policy/name", json!(""), "failed restored policy name validator: entry would not be accessible".to_owned()),
        (
            "/policy/name",
            json!("a b"),
            "failed restored policy name validator: name does not match framework.GenericNameRegex".to_owned(),
        ),
    ];
    for (place, value, text) in cases {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = value;
        mount.write("restore", encoded(&bad)).await.refused(&text);
    }
    assert_eq!(mount.list("keys", json!({})).await.status, 404);
    // Without an archive the old versions are gone, and the key says so.
    let mut bare = good.clone();
    bare["archived_keys"] = json!(null);
    assert_eq!(mount.write("restore", encoded(&bare)).await.status, 204);
    assert_eq!(mount.read("keys/k", json!({})).await.ok()["min_available_version"], 2);
}

//! `backup/:name`, and the way through import, export, backup and restore.

use crate::{
    harness::{Mount, from_b64},
    material::{PAIRS, SECRETS, pair},
};
use serde_json::{Value, json};

/// Makes something with the latest version of `k` and answers the request that checks it, and what must come out.
async fn trace(mount: &Mount, key_type: &str) -> (String, Value, Value) {
    if key_type.contains("cmac") {
        let mac = mount.write("cmac/k", json!({"input": "aGk="})).await.ok();
        return ("verify/k".to_owned(), json!({"input": "aGk=", "cmac": mac["cmac"]}), json!({"valid": true}));
    }
    if key_type.contains("gcm") || key_type.contains("chacha") {
        let made = mount.write("encrypt/k", json!({"plaintext": "aGk="})).await.ok();
        let body = json!({"ciphertext": made["ciphertext"]});
        return ("decrypt/k".to_owned(), body, json!({"plaintext": "aGk="}));
    }
    if key_type == "hmac" {
        let made = mount.write("hmac/k", json!({"input": "aGk="})).await.ok();
        return ("verify/k".to_owned(), json!({"input": "aGk=", "hmac": made["hmac"]}), json!({"valid": true}));
    }
    let made = mount.write("sign/k", json!({"input": "aGk="})).await.ok();
    ("verify/k".to_owned(), json!({"input": "aGk=", "signature": made["signature"]}), json!({"valid": true}))
}

#[tokio::test]
async fn every_type_survives_import_export_backup_and_restore() {
    let secrets = SECRETS.map(|(key_type, bytes)| (key_type, vec![3; bytes]));
    let pairs = PAIRS.map(|(key_type, algorithm)| (key_type, pair(algorithm).0));
    for (key_type, target) in secrets.into_iter().chain(pairs) {
        let mount = Mount::for_import().await;
        let parameters = json!({"type": key_type, "exportable": true, "allow_plaintext_backup": true});
        assert_eq!(mount.import(&target, parameters).await.status, 204, "{key_type}");
        let (path, body, expected) = trace(&mount, key_type).await;
        let kind = match key_type {
            "hmac" => "hmac-key",
            pair if pair.starts_with("ec") || pair.starts_with("ed") || pair.starts_with("rsa") => "signing-key",
            cmac if cmac.contains("cmac") => "hmac-key",
            _ => "encryption-key",
        };
        let exported = mount.read(&format!("export/{kind}/k"), json!({})).await.ok();
        let backup = mount.read("backup/k", json!({})).await.ok();
        assert_eq!(mount.read("keys/k", json!({})).await.ok()["backup_info"]["version"], 1);
        let other = Mount::new().await;
        assert_eq!(other.write("restore/k", json!({"backup": backup["backup"]})).await.status, 204, "{key_type}");
        assert_eq!(other.write(&path, body).await.ok(), expected, "{key_type}");
        assert_eq!(other.read(&format!("export/{kind}/k"), json!({})).await.ok(), exported, "{key_type}");
        let shown = other.read("keys/k", json!({})).await.ok();
        assert_eq!((&shown["restore_info"]["version"], &shown["imported_key"]), (&json!(1), &json!(true)));
    }
}

#[tokio::test]
async fn a_backup_has_the_shape_that_the_reference_writes() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../vectors/backups.json")).unwrap();
    let parse = |backup: &Value| -> Value {
        let json = String::from_utf8(from_b64(backup.as_str().unwrap())).unwrap();
        // Numbers longer than a machine word become texts, so that they can be compared.
        let long = |number: &str| format!("\"{number}\"");
        let mut text = String::new();
        let mut digits = String::new();
        for c in json.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            text += &if digits.len() > 18 { long(&digits) } else { digits.clone() };
            digits.clear();
            text.push(c);
        }
        serde_json::from_str(&text).unwrap()
    };
    for vector in &vectors {
        let mount = Mount::new().await;
        assert_eq!(mount.write("restore/k", json!({"backup": vector["backup"]})).await.status, 204);
        let ours = mount.read("backup/k", json!({})).await.ok();
        let (mut ours, mut theirs) = (parse(&ours["backup"]), parse(&vector["backup"]));
        assert_eq!(ours["policy"]["name"], "k");
        for backup in [&mut ours, &mut theirs] {
            for member in ["name", "backup_info", "restore_info"] {
                backup["policy"].as_object_mut().unwrap().remove(member);
            }
        }
        assert_eq!(ours, theirs, "{}", vector["type"]);
    }
    assert_eq!(vectors.len(), 14);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let mount = Mount::with_key(json!({"allow_plaintext_backup": true})).await;
    mount.read("backup/none", json!({})).await.refused("key \"none\" not found");
    mount.read("backup/k", json!({})).await.refused("exporting is disallowed on the policy");
    mount.write("keys/e", json!({"exportable": true})).await.ok();
    mount.read("backup/e", json!({})).await.refused("plaintext backup is disallowed on the policy");
    mount.write("keys/s", json!({"exportable": true, "allow_plaintext_backup": true})).await.ok();
    assert_eq!(mount.delete("keys/s/soft-delete").await.status, 200);
    mount.read("backup/s", json!({})).await.refused("refusing to use soft-deleted key");
    assert_eq!(mount.read("keys/s", json!({})).await.ok().get("backup_info"), None);
}

//! `config`, `rotate`, `trim`, soft deletion.

use crate::harness::{Mount, NOW, b64};
use serde_json::{Value, json};

async fn three_versions() -> Mount {
    let mount = Mount::with_key(json!({"exportable": true, "allow_plaintext_backup": "true"})).await;
    mount.clock.advance(10);
    mount.write("keys/k/rotate", json!({})).await.ok();
    mount.write("keys/k/rotate", json!({})).await.ok();
    mount
}

async fn config(mount: &Mount, body: Value) -> crate::harness::Reply {
    mount.write("keys/k/config", body).await
}

#[tokio::test]
async fn rotation_adds_a_version_with_its_own_time() {
    let mount = three_versions().await;
    let body = mount.read("keys/k", json!({})).await.ok();
    assert_eq!(body["keys"], json!({"1": NOW, "2": NOW + 10, "3": NOW + 10}));
    assert_eq!(body["latest_version"], 3);
    let reply = mount.write("keys/k/rotate", json!({"x": 1})).await;
    assert_eq!(reply.warnings, ["Endpoint ignored these unrecognized parameters: [x]"]);
    mount.write("keys/none/rotate", json!({})).await.refused("key not found");
    let foreign = mount.write("keys/k/rotate", json!({"external_key_ref": "x"})).await;
    foreign.refused("cannot use external_key_ref on key of type aes256-gcm96");
}

#[tokio::test]
async fn floors_are_checked_against_each_other_and_the_latest() {
    let mount = three_versions().await;
    let reply = config(&mount, json!({"min_decryption_version": 0})).await;
    assert_eq!(
        reply.warnings,
        ["since Vault 0.3 (prior to the OpenBao fork), transit key numbering starts at 1; forcing minimum to 1"]
    );
    assert_eq!(reply.ok()["min_decryption_version"], 1);
    let body = config(&mount, json!({"min_decryption_version": 3})).await.ok();
    assert_eq!(body["keys"], json!({"3": NOW + 10}));
    let lower = |minimum: u32| {
        format!(
            "cannot set min encryption/decryption values; min encryption version of {minimum} must be greater than or equal to min decryption version of 3"
        )
    };
    config(&mount, json!({"min_encryption_version": 1})).await.refused(&lower(1));
    for (body, text) in [
        (json!({"min_decryption_version": -1}), "min decryption version cannot be negative"),
        (json!({"min_encryption_version": -1}), "min encryption version cannot be negative"),
        (json!({"min_decryption_version": 4}), "cannot set min decryption version of 4, latest key version is 3"),
        (
            json!({"min_decryption_version": 99_999_999_999_i64}),
            "cannot set min decryption version of 99999999999, latest key version is 3",
        ),
        (json!({"min_encryption_version": 4}), "cannot set min encryption version of 4, latest key version is 3"),
        (json!({"auto_rotate_period": "10m"}), "auto rotate period must be 0 to disable or at least an hour"),
    ] {
        let before = mount.read("keys/k", json!({})).await.ok();
        config(&mount, body).await.refused(text);
        assert_eq!(mount.read("keys/k", json!({})).await.ok(), before);
    }
    assert_eq!(config(&mount, json!({"min_encryption_version": 3})).await.ok()["min_encryption_version"], 3);
    assert_eq!(config(&mount, json!({"min_decryption_version": "1"})).await.ok()["keys"].as_object().unwrap().len(), 3);
    mount
        .write("encrypt/k", json!({"plaintext": "", "key_version": 2}))
        .await
        .refused("requested version for encryption is less than the minimum encryption key version");
    mount.write("keys/none/config", json!({})).await.refused("no existing key named none could be found");
    for body in [json!({"min_decryption_version": "x"}), json!({"deletion_allowed": []})] {
        assert_eq!(config(&mount, body).await.status, 400);
    }
}

#[tokio::test]
async fn exportable_and_backup_can_only_be_switched_on() {
    let mount = three_versions().await;
    let body = config(&mount, json!({"exportable": false, "allow_plaintext_backup": false})).await.ok();
    assert_eq!((&body["exportable"], &body["allow_plaintext_backup"]), (&json!(true), &json!(true)));
    assert_eq!(config(&mount, json!({"auto_rotate_period": "1h"})).await.ok()["auto_rotate_period"], 3600);
    assert_eq!(config(&mount, json!({"auto_rotate_period": 0})).await.ok()["auto_rotate_period"], 0);
    let mount = Mount::with_key(json!({"protection": "hsm"})).await;
    config(&mount, json!({"exportable": true})).await.refused("keys with protection hsm never leave the token");
}

#[tokio::test]
async fn trimming_follows_the_floors_and_is_final() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let trim = async |minimum: Value| mount.write("keys/k/trim", minimum).await;
        trim(json!({"min_available_version": 1}))
            .await
            .refused("minimum available version cannot be set when minimum encryption version is not set");
        for _ in 0..3 {
            mount.write("keys/k/rotate", json!({})).await.ok();
        }
        config(&mount, json!({"min_encryption_version": 3, "min_decryption_version": 2})).await.ok();
        for (body, text) in [
            (json!({}), "missing min_available_version"),
            (json!({"min_available_version": 0}), "minimum available version should be positive"),
            (json!({"min_available_version": -1}), "minimum available version cannot be decremented"),
            (
                json!({"min_available_version": 3}),
                "minimum available version cannot be greater than minimum decryption version",
            ),
            (
                json!({"min_available_version": 9}),
                "minimum available version cannot be greater than minmum encryption version",
            ),
        ] {
            trim(body).await.refused(text);
        }
        let objects = mount.hsm.list().await.unwrap().len();
        assert_eq!(trim(json!({"min_available_version": 2})).await.ok()["min_available_version"], 2);
        assert_eq!(trim(json!({"min_available_version": 2})).await.status, 200);
        trim(json!({"min_available_version": 1})).await.refused("minimum available version cannot be decremented");
        config(&mount, json!({"min_decryption_version": 1}))
            .await
            .refused("min decryption version should not be less then min available version");
        for body in
            [json!({"min_encryption_version": 0}), json!({"min_encryption_version": 1, "min_decryption_version": 1})]
        {
            config(&mount, body).await.refused("min encryption version should not be less than min available version");
        }
        let gone = if protection == "hsm" { 2 } else { 0 };
        assert_eq!(mount.hsm.list().await.unwrap().len(), objects - gone);
        mount.write("keys/none/trim", json!({"min_available_version": 1})).await.refused("invalid key name");
    }
}

#[tokio::test]
async fn a_soft_deleted_key_is_shown_but_does_not_work() {
    let mount = Mount::with_key(json!({})).await;
    let ciphertext = mount.ciphertext(b"x").await;
    assert_eq!(mount.delete("keys/k/soft-delete").await.ok()["soft_deleted"], true);
    let text = "refusing to use soft-deleted key";
    mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.refused(text);
    mount.write("encrypt/k", json!({"plaintext": ""})).await.refused(text);
    mount.write("hmac/k", json!({"input": ""})).await.refused(text);
    mount.write("keys/k/rotate", json!({})).await.refused(text);
    assert_eq!(mount.delete("keys/k/soft-delete").await.warnings, ["key was already marked as soft deleted"]);
    mount.write("keys/k/config", json!({"min_decryption_version": 1})).await.ok();
    mount.write("keys/k/soft-delete-restore", json!({})).await.ok();
    assert_eq!(mount.write("keys/k/soft-delete-restore", json!({})).await.warnings, ["key was already restored"]);
    assert_eq!(mount.delete("keys/none/soft-delete").await.status, 204);
    assert_eq!(mount.write("keys/none/soft-delete-restore", json!({})).await.status, 204);
    assert_eq!(mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok()["plaintext"], b64(b"x"));
}

#[tokio::test]
async fn an_imported_key_is_rotated_only_where_its_import_allowed_it() {
    let imported = async |allowed: bool| {
        let mount = Mount::with_key(json!({"auto_rotate_period": "1h"})).await;
        let mut record = mount.entry("key/k").await.unwrap();
        record["imported"] = json!({"allow_rotation": allowed});
        mount.put_entry("key/k", &record).await;
        let mount = mount.restarted();
        config(&mount, json!({"deletion_allowed": true})).await.ok();
        mount.clock.advance(3600);
        mount.tick().await.unwrap();
        mount
    };
    let mount = imported(false).await;
    assert_eq!(mount.read("keys/k", json!({})).await.ok()["latest_version"], 1);
    let text = "imported key k does not allow rotation within Vault";
    mount.write("keys/k/rotate", json!({})).await.refused(text);
    let body = imported(true).await.read("keys/k", json!({})).await.ok();
    assert_eq!((&body["latest_version"], &body["imported_key"]), (&json!(2), &json!(false)));
}

#[tokio::test]
async fn rotations_at_once_all_count() {
    let mount = std::sync::Arc::new(Mount::with_key(json!({})).await);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let mount = std::sync::Arc::clone(&mount);
            tokio::spawn(async move { mount.write("keys/k/rotate", json!({})).await.status })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let body = mount.read("keys/k", json!({})).await.ok();
    assert_eq!((&body["latest_version"], body["keys"].as_object().unwrap().len()), (&json!(21), 21));
}

#[tokio::test]
async fn creating_one_key_twice_at_once_makes_one() {
    let mount = std::sync::Arc::new(Mount::new().await);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let mount = std::sync::Arc::clone(&mount);
            tokio::spawn(async move {
                mount.write("encrypt/k", json!({"plaintext": "eA=="})).await.ok()["ciphertext"].clone()
            })
        })
        .collect();
    for task in tasks {
        let ciphertext = task.await.unwrap();
        assert_eq!(mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok()["plaintext"], "eA==");
    }
}

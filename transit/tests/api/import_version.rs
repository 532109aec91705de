//! `keys/:name/import_version`.

use crate::{
    harness::Mount,
    material::{PAIRS, pair},
};
use chancery_hsm::KeyAlgorithm;
use serde_json::json;

#[tokio::test]
async fn a_version_is_added_to_a_secret_key() {
    let mount = Mount::for_import().await;
    mount.import(&[7; 32], json!({})).await;
    let first = mount.ciphertext(b"one").await;
    assert_eq!(mount.import_at("keys/k/import_version", &[8; 32], json!({})).await.status, 204);
    assert!(mount.ciphertext(b"two").await.starts_with("vault:v2:"));
    assert_eq!(mount.write("decrypt/k", json!({"ciphertext": first})).await.ok()["plaintext"], "b25l");
    mount.import_at("keys/h/import", &[7; 32], json!({"type": "hmac"})).await;
    mount.import_at("keys/h/import_version", &[7; 64], json!({})).await;
    assert_eq!(mount.read("keys/h", json!({})).await.ok()["key_size"], 64);
}

#[tokio::test]
async fn a_public_half_gets_its_private_half_later() {
    let mount = Mount::for_import().await;
    for (key_type, algorithm) in PAIRS {
        let ((private, public), (other, other_public)) = (pair(algorithm), pair(algorithm));
        let at = |operation: &str| format!("keys/{key_type}/{operation}");
        let body = json!({"type": key_type, "public_key": public, "exportable": true});
        assert_eq!(mount.write(&at("import"), body).await.status, 204);
        let sign = |version| (format!("sign/{key_type}"), json!({"input": "aGk=", "key_version": version}));
        let (path, body) = sign(1);
        mount.write(&path, body).await.refused("requested version for signing does not contain a private part");
        let exported = mount.read(&format!("export/signing-key/{key_type}"), json!({})).await.ok();
        assert_eq!(exported["keys"], json!({"1": ""}));
        for (body, text) in [
            (
                json!({"public_key": public, "version": 1}),
                "cannot add a public key to a key version that already has a public key set",
            ),
            (json!({"public_key": public, "version": 2}), "no such key version"),
            (json!({"public_key": public, "version": 0}), "no such key version"),
            (json!({"public_key": public, "version": -1}), "no such key version"),
        ] {
            mount.write(&at("import_version"), body).await.refused(text);
        }
        let mismatched = mount.import_at(&at("import_version"), &other, json!({"version": 1})).await;
        mismatched.refused("cannot import key, key pair does not match");
        assert_eq!(mount.import_at(&at("import_version"), &private, json!({})).await.status, 204);
        let shown = mount.read(&format!("keys/{key_type}"), json!({})).await.ok();
        assert_eq!(shown["latest_version"], 1, "{key_type}");
        let (path, body) = sign(1);
        assert_eq!(mount.write(&path, body).await.status, 200);
        let again = mount.import_at(&at("import_version"), &private, json!({"version": 1})).await;
        again.refused("private key imported, key version cannot be updated");
        // Another pair makes versions of its own, by its public half and by its private one.
        let body = json!({"public_key": other_public});
        assert_eq!(mount.write(&at("import_version"), body).await.status, 204);
        assert_eq!(mount.import_at(&at("import_version"), &pair(algorithm).0, json!({})).await.status, 204);
        assert_eq!(mount.read(&format!("keys/{key_type}"), json!({})).await.ok()["latest_version"], 3);
        assert_eq!(mount.import_at(&at("import_version"), &other, json!({"version": 2})).await.status, 204);
        let (path, body) = sign(2);
        assert_eq!(mount.write(&path, body).await.status, 200);
    }
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let mount = Mount::for_import().await;
    mount.write("keys/made", json!({})).await.ok();
    let absent = "no key found with name none; to import a new key, use the import/ endpoint";
    mount.import_at("keys/none/import_version", &[7; 32], json!({})).await.refused(absent);
    mount
        .import_at("keys/made/import_version", &[7; 32], json!({}))
        .await
        .refused("the import_version endpoint can only be used with an imported key");
    mount.import(&[7; 32], json!({})).await;
    for (target, body, text) in [
        (&[7; 16][..], json!({}), "invalid key size 16 bytes for key type aes256-gcm96"),
        (&[7; 32], json!({"version": 1}), "provided type does not support importing key versions"),
        (&[7; 32], json!({"version": 7}), "no such key version"),
    ] {
        mount.import_at("keys/k/import_version", target, body).await.refused(text);
    }
    mount
        .write("keys/k/import_version", json!({"public_key": "x"}))
        .await
        .refused("provided type does not support public_key import");
    let (private, public) = pair(KeyAlgorithm::Ed25519);
    mount.write("keys/d/import", json!({"type": "ed25519", "public_key": public, "derived": true})).await.refused(
        "error importing key: unable to import only public key for derived Ed25519 key: imported key should not be an \
             Ed25519 key pair but is instead an HKDF key",
    );
    mount.import_at("keys/d/import", &private, json!({"type": "ed25519"})).await;
    assert_eq!(mount.delete("keys/d/soft-delete").await.status, 200);
    mount.import_at("keys/d/import_version", &private, json!({})).await.refused("refusing to use soft-deleted key");
    assert_eq!(mount.read("keys/k", json!({})).await.ok()["latest_version"], 1);
}

//! `export/:type/:name[/:version]`.

use crate::harness::{Mount, from_b64, payload};
use serde_json::json;

#[tokio::test]
async fn an_exported_key_decrypts_what_the_mount_encrypted() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let mount = Mount::with_key(json!({"exportable": true})).await;
    let exported = mount.read("export/encryption-key/k", json!({})).await.ok();
    assert_eq!((&exported["name"], &exported["type"]), (&json!("k"), &json!("aes256-gcm96")));
    let key = from_b64(exported["keys"]["1"].as_str().unwrap());
    let mut raw = payload(&mount.ciphertext(b"hello").await);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let (nonce, sealed) = raw.split_at_mut(12);
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    assert_eq!(key.open_in_place(nonce, Aad::empty(), sealed).unwrap(), b"hello");
}

#[tokio::test]
async fn keys_come_in_their_forms() {
    let mount = Mount::new().await;
    for (key_type, label) in
        [("rsa-2048", "RSA PRIVATE KEY"), ("ecdsa-p256", "EC PRIVATE KEY"), ("ecdsa-p521", "EC PRIVATE KEY")]
    {
        mount.write(&format!("keys/{key_type}"), json!({"type": key_type, "exportable": true})).await.ok();
        let one = async |export: &str, format: &str| {
            let reply = mount.read(&format!("export/{export}/{key_type}"), json!({"format": format})).await;
            reply.ok()["keys"]["1"].as_str().unwrap().to_owned()
        };
        assert!(one("signing-key", "").await.starts_with(&format!("-----BEGIN {label}-----\n")));
        // The reference ends RSA keys with a line break, and no others.
        let line_end = if key_type == "rsa-2048" { "\n" } else { "" };
        assert!(one("signing-key", "pem").await.ends_with(&format!("\n-----END PRIVATE KEY-----{line_end}")));
        assert!(one("public-key", "").await.ends_with(&format!("\n-----END PUBLIC KEY-----{line_end}")));
        assert!(!from_b64(&one("signing-key", "der").await).is_empty());
        assert!(!from_b64(&one("public-key", "der").await).is_empty());
        let kind = if key_type == "rsa-2048" { "rsa" } else { "ec" };
        mount
            .read(&format!("export/signing-key/{key_type}"), json!({"format": "raw"}))
            .await
            .refused(&format!("unknown key format for {kind} key; supported values are ``, `der`, or `pem`"));
    }
    mount.write("keys/ed", json!({"type": "ed25519", "exportable": true})).await.ok();
    let private =
        mount.read("export/signing-key/ed", json!({})).await.ok()["keys"]["1"].as_str().map(from_b64).unwrap();
    let public = mount.read("export/public-key/ed", json!({})).await.ok()["keys"]["1"].as_str().map(from_b64).unwrap();
    assert_eq!(private[32..], public);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let mount = Mount::with_key(json!({})).await;
    mount.write("keys/e", json!({"exportable": true})).await.ok();
    mount.write("keys/h", json!({"type": "ecdsa-p256", "protection": "hsm"})).await.ok();
    for (path, text) in [
        ("encryption-key/k", "private key material is not exportable"),
        ("hmac-key/k", "private key material is not exportable"),
        ("signing-key/h", "private key material is not exportable"),
        ("signing-key/e", "signing not supported for the key"),
        ("public-key/e", "unknown key type aes256-gcm96 for export type public-key"),
        ("certificate-chain/e", "certificate chain not supported for keys that do not support signing"),
        ("certificate-chain/h", "selected key version does not have a certificate chain imported"),
        ("foo/e", "invalid export type: foo"),
        ("encryption-key/e/2", "version does not exist or cannot be found"),
        ("encryption-key/e/0", "version for export is below minimum decryption version"),
        ("encryption-key/e/-1", "version for export is below minimum decryption version"),
        ("encryption-key/e/v", "invalid key version"),
        ("encryption-key/e/99999999999999999999", "invalid key version"),
    ] {
        mount.read(&format!("export/{path}"), json!({})).await.refused(text);
    }
    mount.read("export/encryption-key/e", json!({"format": "x"})).await.refused("invalid format: x");
    assert_eq!(mount.read("export/encryption-key/none", json!({})).await.status, 404);
    for version in ["1", "v1", "latest"] {
        let data = mount.read(&format!("export/public-key/h/{version}"), json!({})).await.ok();
        assert_eq!(data["keys"].as_object().unwrap().len(), 1);
    }
}

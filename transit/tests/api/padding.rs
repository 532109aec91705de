//! `padding_scheme` of RSA keys, on every endpoint that encrypts or decrypts.

use crate::harness::{Mount, b64, envelope, from_b64, payload};
use serde_json::json;

#[tokio::test]
async fn rsa_encrypts_with_either_padding_and_rewraps_from_one_to_the_other() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"type": "rsa-2048", "protection": protection})).await;
        let decrypt = async |ciphertext: &serde_json::Value, padding: &str| {
            mount.write("decrypt/k", json!({"ciphertext": ciphertext, "padding_scheme": padding})).await
        };
        let pkcs1 = json!({"plaintext": b64(b"hello"), "padding_scheme": "pkcs1v15"});
        let old = mount.write("encrypt/k", pkcs1).await.ok()["ciphertext"].clone();
        assert_eq!(decrypt(&old, "pkcs1v15").await.ok()["plaintext"], b64(b"hello"));
        decrypt(&old, "oaep").await.refused("failed to RSA decrypt the ciphertext: crypto/rsa: decryption error");
        decrypt(&old, "").await.refused("failed to RSA decrypt the ciphertext: crypto/rsa: decryption error");
        let body = json!({"ciphertext": old, "decrypt_padding_scheme": "pkcs1v15"});
        let new = mount.write("rewrap/k", body).await.ok()["ciphertext"].clone();
        assert_eq!(decrypt(&new, "oaep").await.ok()["plaintext"], b64(b"hello"));
        let back = json!({"ciphertext": new, "encrypt_padding_scheme": "pkcs1v15"});
        let back = mount.write("rewrap/k", back).await.ok()["ciphertext"].clone();
        assert_eq!(decrypt(&back, "pkcs1v15").await.ok()["plaintext"], b64(b"hello"));
        let made = mount.write("datakey/plaintext/k", json!({"padding_scheme": "pkcs1v15"})).await.ok();
        assert_eq!(decrypt(&made["ciphertext"], "pkcs1v15").await.ok()["plaintext"], made["plaintext"]);
        let items = json!([
            {"ciphertext": back, "padding_scheme": "pkcs1v15"}, {"ciphertext": new}, {"ciphertext": new, "padding_scheme": "x"}
        ]);
        let batch = mount.write("decrypt/k", json!({"batch_input": items})).await;
        assert_eq!(batch.status, 400);
        assert_eq!(batch.data["batch_results"][0]["plaintext"], b64(b"hello"));
        assert_eq!(batch.data["batch_results"][1]["plaintext"], b64(b"hello"));
        let unknown = "padding_scheme argument invalid: unknown padding scheme \"x\", expected oaep or pkcs1v15";
        assert_eq!(batch.data["batch_results"][2]["error"], unknown);
    }
}

#[tokio::test]
async fn bad_pkcs1_padding_is_no_oracle() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"type": "rsa-2048", "protection": protection})).await;
        let body = json!({"plaintext": b64(b"hello"), "padding_scheme": "pkcs1v15"});
        let sealed = mount.write("encrypt/k", body).await.ok()["ciphertext"].as_str().unwrap().to_owned();
        let decrypt = async |payload: &[u8]| {
            let body = json!({"ciphertext": envelope("v1", payload), "padding_scheme": "pkcs1v15"});
            mount.write("decrypt/k", body).await
        };
        let mut lengths = std::collections::BTreeSet::new();
        for at in 0..40 {
            let mut bad = payload(&sealed);
            bad[200] ^= at + 1;
            let opened = decrypt(&bad).await.ok()["plaintext"].clone();
            assert_eq!(decrypt(&bad).await.ok()["plaintext"], opened, "the same ciphertext opens to the same text");
            let opened = from_b64(opened.as_str().unwrap());
            assert!(opened.len() <= 245 && opened != b"hello");
            lengths.insert(opened.len());
        }
        assert!(lengths.len() > 10, "lengths are drawn too: {lengths:?}");
        for length in [0, 255, 257] {
            let refusal = "failed to RSA decrypt the ciphertext: crypto/rsa: decryption error";
            decrypt(&vec![1; length]).await.refused(refusal);
        }
    }
}

#[tokio::test]
async fn only_rsa_keys_have_a_padding() {
    let mount = Mount::with_key(json!({})).await;
    let sealed = mount.ciphertext(b"hello").await;
    let refusal = "padding_scheme argument invalid: unsupported key type aes256-gcm96 for padding scheme";
    for (path, mut body) in [
        ("encrypt/k", json!({"plaintext": ""})),
        ("decrypt/k", json!({"ciphertext": sealed})),
        ("datakey/wrapped/k", json!({})),
    ] {
        body["padding_scheme"] = json!("pkcs1v15");
        mount.write(path, body.clone()).await.refused(refusal);
        body["padding_scheme"] = json!("");
        assert_eq!(mount.write(path, body).await.status, 200, "{path}");
    }
    for member in ["decrypt_padding_scheme", "encrypt_padding_scheme"] {
        let mut body = json!({"ciphertext": sealed});
        body[member] = json!("oaep");
        mount.write("rewrap/k", body).await.refused(refusal);
    }
    let mount = Mount::with_key(json!({"type": "rsa-2048"})).await;
    let unknown = "padding_scheme argument invalid: unknown padding scheme \"OAEP\", expected oaep or pkcs1v15";
    mount.write("encrypt/k", json!({"plaintext": "", "padding_scheme": "OAEP"})).await.refused(unknown);
    let long = json!({"plaintext": b64(&[0; 246]), "padding_scheme": "pkcs1v15"});
    let refusal = "failed to RSA encrypt the plaintext: crypto/rsa: message too long for RSA key size";
    mount.write("encrypt/k", long).await.refused(refusal);
}

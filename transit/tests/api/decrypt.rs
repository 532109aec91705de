//! `decrypt/:name` with one ciphertext.

use crate::harness::{Mount, b64, envelope, payload};
use serde_json::json;

#[tokio::test]
async fn malformed_and_altered_ciphertexts_are_refused_in_the_references_words() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        mount.write("keys/k/rotate", json!({})).await.ok();
        let good = mount.ciphertext(b"hello").await;
        let raw = payload(&good);
        let flipped = |index: usize| {
            let mut raw = raw.clone();
            raw[index] ^= 1;
            envelope("v2", &raw)
        };
        let unauthentic = "cipher: message authentication failed";
        let undecodable = "invalid ciphertext: version number could not be decoded";
        for (ciphertext, text) in [
            (String::new(), "missing ciphertext to decrypt"),
            ("abc".to_owned(), "invalid ciphertext: no prefix"),
            (format!(" {good}"), "invalid ciphertext: no prefix"),
            (good.replacen("vault", "VAULT", 1), "invalid ciphertext: no prefix"),
            ("vault:2:aaaa".to_owned(), "invalid ciphertext: no prefix"),
            ("vault:v2".to_owned(), "invalid ciphertext: wrong number of fields"),
            ("vault:v2:".to_owned(), "invalid ciphertext length"),
            (envelope("v2", b"x"), "invalid ciphertext length"),
            ("vault:v2:!!!".to_owned(), "invalid ciphertext: could not decode base64"),
            (format!("{good}:x"), "invalid ciphertext: could not decode base64"),
            (envelope("v2", &raw[..12]), unauthentic),
            (envelope("v2", &raw[..27]), unauthentic),
            (envelope("v2", &raw[..28]), unauthentic),
            (flipped(0), unauthentic),
            (flipped(13), unauthentic),
            (flipped(raw.len() - 1), unauthentic),
            (envelope("v0", &raw), unauthentic),
            (envelope("v1", &raw), unauthentic),
            (envelope("v3", &raw), "invalid ciphertext: version is too new"),
            (envelope("v-1", &raw), "ciphertext or signature version is disallowed by policy (too old)"),
            (envelope("v99999999999999999999", &raw), undecodable),
            (envelope("vx", &raw), undecodable),
        ] {
            mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.refused(text);
        }
        for ciphertext in [good.clone(), format!("{good}\n"), envelope("v02", &raw), envelope("v+2", &raw)] {
            let data = mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok();
            assert_eq!(data["plaintext"], b64(b"hello"));
        }
        mount.write("decrypt/k", json!({})).await.refused("missing ciphertext to decrypt");
        mount.write("decrypt/k", json!({"ciphertext": 5})).await.refused("invalid ciphertext: no prefix");
        mount.write("decrypt/none", json!({"ciphertext": good})).await.refused("encryption key not found");
    }
}

#[tokio::test]
async fn every_bit_of_a_ciphertext_counts() {
    let mount = Mount::with_key(json!({"type": "chacha20-poly1305"})).await;
    let raw = payload(&mount.ciphertext(b"hello").await);
    for bit in 0..raw.len() * 8 {
        let mut raw = raw.clone();
        raw[bit / 8] ^= 1 << (bit % 8);
        mount
            .write("decrypt/k", json!({"ciphertext": envelope("v1", &raw)}))
            .await
            .refused("cipher: message authentication failed");
    }
}

#[tokio::test]
async fn rsa_refuses_alike_whatever_is_wrong() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"type": "rsa-2048", "protection": protection})).await;
        for raw in [vec![], vec![1; 3], vec![0; 256], vec![0xff; 256], vec![7; 257]] {
            mount
                .write("decrypt/k", json!({"ciphertext": envelope("v1", &raw)}))
                .await
                .refused("failed to RSA decrypt the ciphertext: crypto/rsa: decryption error");
        }
    }
}

#[tokio::test]
async fn a_version_below_the_minimum_is_refused() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let old = mount.ciphertext(b"old").await;
        mount.write("keys/k/rotate", json!({})).await.ok();
        mount.write("keys/k/config", json!({"min_decryption_version": 2})).await.ok();
        let text = "ciphertext or signature version is disallowed by policy (too old)";
        mount.write("decrypt/k", json!({"ciphertext": old})).await.refused(text);
        mount.write("rewrap/k", json!({"ciphertext": old})).await.refused(text);
        mount.write("encrypt/k", json!({"plaintext": "", "key_version": 1})).await.refused("no such key version");
        mount.write("keys/k/config", json!({"min_decryption_version": 1})).await.ok();
        assert_eq!(mount.write("decrypt/k", json!({"ciphertext": old})).await.ok()["plaintext"], b64(b"old"));
    }
}

#[tokio::test]
async fn a_large_ciphertext_survives_the_way_off_the_request_thread() {
    let mount = Mount::with_key(json!({})).await;
    let text = vec![7; 600_000];
    let ciphertext = mount.ciphertext(&text).await;
    assert_eq!(mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok()["plaintext"], b64(&text));
}

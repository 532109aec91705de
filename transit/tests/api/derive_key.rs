//! `derive-key/:name`.

use crate::{
    harness::{Mount, from_b64, payload},
    material::{der_of, pair, pem},
};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use chancery_hsm::KeyAlgorithm;
use serde_json::json;

#[tokio::test]
async fn both_sides_derive_the_same_key() {
    let mount = Mount::with_key(json!({"type": "ecdsa-p256", "exportable": true})).await;
    let (peer, peer_public) = pair(KeyAlgorithm::EcP256);
    let body = json!({"base_key_name": "k", "peer_public_key": peer_public});
    assert_eq!(mount.write("derive-key/d", body.clone()).await.status, 204);
    let shown = mount.read("keys/d", json!({})).await.ok();
    assert_eq!((&shown["type"], &shown["imported_key"]), (&json!("aes256-gcm96"), &json!(true)));
    assert_eq!((&shown["exportable"], &shown["latest_version"]), (&json!(false), &json!(1)));
    // The peer's side, by hand.
    let public = mount.read("export/public-key/k", json!({"format": "der"})).await.ok();
    let public = from_b64(public["keys"]["1"].as_str().unwrap());
    let private = PrivateKey::from_private_key_der(&ECDH_P256, &peer).unwrap();
    let secret =
        agree(&private, UnparsedPublicKey::new(&ECDH_P256, public), "failed", |secret| Ok(secret.to_vec())).unwrap();
    let mut key = [0; 32];
    let salt = aws_lc_rs::hkdf::Salt::new(aws_lc_rs::hkdf::HKDF_SHA256, &[]);
    let prk = salt.extract(&secret);
    prk.expand(&[], aws_lc_rs::hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    let made = mount.write("encrypt/d", json!({"plaintext": "aGk="})).await.ok();
    let mut raw = payload(made["ciphertext"].as_str().unwrap());
    let cipher = aws_lc_rs::aead::LessSafeKey::new(
        aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_256_GCM, &key).unwrap(),
    );
    let (nonce, sealed) = raw.split_at_mut(12);
    let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).unwrap();
    assert_eq!(cipher.open_in_place(nonce, aws_lc_rs::aead::Aad::empty(), sealed).unwrap(), b"hi");
    // Deriving again adds a version.
    assert_eq!(mount.write("derive-key/d", body).await.status, 204);
    assert_eq!(mount.read("keys/d", json!({})).await.ok()["latest_version"], 2);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let mount = Mount::with_key(json!({"type": "ecdsa-p256"})).await;
    mount.write("keys/p384", json!({"type": "ecdsa-p384"})).await.ok();
    mount.write("keys/aes", json!({})).await.ok();
    mount.write("keys/ed", json!({"type": "ed25519"})).await.ok();
    let (_, p256) = pair(KeyAlgorithm::EcP256);
    let (_, ed25519) = pair(KeyAlgorithm::Ed25519);
    mount.write("keys/public/import", json!({"type": "ecdsa-p256", "public_key": p256})).await;
    let mut off = der_of(&p256);
    *off.last_mut().unwrap() ^= 1;
    let parse = "failed to parse supplied peer public key PEM: ";
    for (body, text) in [
        (json!({}), "peer public key not provided".to_owned()),
        (json!({"peer_public_key": p256}), "specified base key not found".to_owned()),
        (json!({"peer_public_key": p256, "base_key_name": "none"}), "specified base key not found".to_owned()),
        (
            json!({"peer_public_key": p256, "base_key_name": "aes"}),
            "base key type aes256-gcm96 does not support key agreement".to_owned(),
        ),
        (
            json!({"peer_public_key": p256, "base_key_name": "ed"}),
            "base key type ed25519 does not support key agreement".to_owned(),
        ),
        (
            json!({"peer_public_key": p256, "base_key_name": "p384"}),
            "base private key type ecdsa-p384 does not match peer public key curve".to_owned(),
        ),
        (
            json!({"peer_public_key": ed25519, "base_key_name": "k"}),
            "supplied peer public key is not an ECDSA key".to_owned(),
        ),
        (
            json!({"peer_public_key": "x", "base_key_name": "k"}),
            format!("{parse}data does not contain any valid public keys "),
        ),
        (
            json!({"peer_public_key": p256.clone() + "x", "base_key_name": "k"}),
            format!("{parse}unexpected trailing data after parsed PEM block "),
        ),
        (
            json!({"peer_public_key": pem("PUBLIC KEY", &off), "base_key_name": "k"}),
            format!("{parse}P256 point not on curve "),
        ),
        (
            json!({"peer_public_key": p256, "base_key_name": "k", "base_key_version": -1}),
            "requested version of the base key is negative".to_owned(),
        ),
        (
            json!({"peer_public_key": p256, "base_key_name": "k", "base_key_version": 2}),
            "requested version of the base key is higher than the latest key version".to_owned(),
        ),
        (
            json!({"peer_public_key": p256, "base_key_name": "k", "derived_key_type": "hmac"}),
            "unknown key type hmac".to_owned(),
        ),
        (
            json!({"peer_public_key": p256, "base_key_name": "k", "key_derivation_algorithm": "x"}),
            "key derivation algorithm x not supported".to_owned(),
        ),
        (
            json!({"peer_public_key": p256, "base_key_name": "public"}),
            "the base key version has no private key that can be agreed with here".to_owned(),
        ),
    ] {
        mount.write("derive-key/d", body).await.refused(&text);
    }
    assert_eq!(mount.read("keys/d", json!({})).await.status, 404);
}

//! What a signed request of ACME costs at the least beside any HTTP request: reading it and verifying its signature (ES256).
//!
//! `scripts/bench.sh` runs it.
#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a measuring tool")]

#[path = "../../hsm/examples/support/cost.rs"]
mod cost;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_acme_server::{jwk::Jwk, jws::Jws};
use serde_json::json;
use std::hint::black_box;

fn main() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (_, point) = pair.public_key().as_ref().split_first().unwrap();
    let (x, y) = point.split_at(32);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = Jwk::parse(&json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})).unwrap();
    let header = json!({
        "alg": "ES256",
        "kid": "https://127.0.0.1:8200/v1/pki/acme/account/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
        "nonce": encode(&[7; 24]),
        "url": "https://127.0.0.1:8200/v1/pki/acme/new-order",
    });
    let payload = json!({"identifiers": [{"type": "dns", "value": "host.example.com"}]});
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.to_string().as_bytes()));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let (protected, payload) = signed.split_once('.').unwrap();
    let text = json!({"protected": protected, "payload": payload, "signature": encode(signature.as_ref())}).to_string();
    cost::part("read a JWS and verify it, ES256", 1, || {
        Jws::parse(black_box(&text)).unwrap().verify(&key).unwrap();
    });
}

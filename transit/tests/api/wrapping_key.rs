//! `wrapping_key`.

use crate::{harness::Mount, material::der_of};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_made_however_many_ask_and_it_stays() {
    let mount = Mount::new().await;
    let reads = (0..8).map(|_| mount.read("wrapping_key", json!({})));
    let answers: Vec<_> =
        futures_util::future::join_all(reads).await.into_iter().map(crate::harness::Reply::ok).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let pem = answers[0]["public_key"].as_str().unwrap();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.ends_with("\n-----END PUBLIC KEY-----\n"));
    let key = aws_lc_rs::rsa::PublicEncryptingKey::from_der(&der_of(pem)).unwrap();
    assert_eq!(key.key_size_bits(), 4096);
    // What the engine forgets, as at a seal, the store still has.
    use chancery_engine::Service as _;
    mount.transit.forget();
    assert_eq!(mount.read("wrapping_key", json!({})).await.ok(), answers[0]);
    assert_eq!(mount.list("keys", json!({})).await.status, 404);
}

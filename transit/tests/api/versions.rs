//! Keys with many versions, and many keys: what is loaded, and what the cache keeps.

use crate::{
    counting::Counting,
    harness::{Mount, b64},
};
use serde_json::json;
use std::collections::BTreeMap;

#[tokio::test]
async fn a_key_of_many_versions_loads_the_ones_that_are_used() {
    let backend = Counting::new();
    let mount = Mount::on(backend.clone()).await;
    mount.write("keys/k", json!({})).await.ok();
    let mut ciphertexts = BTreeMap::new();
    for version in 1..=200 {
        ciphertexts.insert(version, mount.ciphertext(&[version]).await);
        // `trim` and `rotate` answer all versions; the endpoint is not what is measured here.
        mount.write("keys/k/rotate", json!({})).await.ok();
    }
    let mount = mount.restarted();
    backend.take();
    mount.ciphertext(b"x").await;
    let (reads, _, _) = backend.take();
    assert!(reads <= 5, "{reads} reads for the latest version");
    let old = json!({"ciphertext": ciphertexts[&7]});
    assert_eq!(mount.write("decrypt/k", old.clone()).await.ok()["plaintext"], b64(&[7]));
    assert!(backend.take().0 <= 2);
    mount.write("rewrap/k", old).await.ok();
    assert_eq!(backend.take().0, 0);
    // A batch over all of them, in one go.
    let items: Vec<_> = ciphertexts.values().map(|text| json!({"ciphertext": text})).collect();
    let results = mount.write("decrypt/k", json!({"batch_input": items})).await.ok();
    for (version, result) in ciphertexts.keys().zip(results["batch_results"].as_array().unwrap()) {
        assert_eq!(result["plaintext"], b64(&[*version]));
    }
    assert_eq!(mount.read("keys/k", json!({})).await.ok()["keys"].as_object().unwrap().len(), 201);
}

#[tokio::test]
async fn signatures_and_hmacs_of_old_versions_are_checked_after_a_restart() {
    for parameters in [json!({"type": "ed25519"}), json!({"type": "ecdsa-p256", "protection": "hsm"})] {
        let mount = Mount::with_key(parameters).await;
        let input = json!({"input": "eA=="});
        let signature = mount.write("sign/k", input.clone()).await.ok()["signature"].clone();
        let hmac = mount.write("hmac/k", input.clone()).await.ok()["hmac"].clone();
        mount.write("keys/k/rotate", json!({})).await.ok();
        for (member, proof) in [("signature", &signature), ("hmac", &hmac)] {
            let mount = mount.restarted();
            let reply = mount.write("verify/k", json!({"input": "eA==", member: proof})).await;
            assert_eq!(reply.ok()["valid"], true, "{member}");
        }
        for endpoint in ["sign/k", "hmac/k"] {
            let mount = mount.restarted();
            mount.write(endpoint, json!({"input": "eA==", "key_version": 1})).await.ok();
        }
    }
}

#[tokio::test]
async fn a_version_trimmed_behind_the_cache_is_told_apart_from_a_failure() {
    let mount = Mount::with_key(json!({})).await;
    let ciphertext = mount.ciphertext(b"x").await;
    for _ in 0..2 {
        mount.write("keys/k/rotate", json!({})).await.ok();
    }
    let other = mount.restarted();
    other.ciphertext(b"warm").await;
    mount.write("keys/k/config", json!({"min_decryption_version": 3, "min_encryption_version": 3})).await.ok();
    mount.write("keys/k/trim", json!({"min_available_version": 3})).await.ok();
    assert_eq!(other.write("decrypt/k", json!({"ciphertext": ciphertext})).await.status, 400);
    let text = "ciphertext or signature version is disallowed by policy (too old)";
    other.write("decrypt/k", json!({"ciphertext": ciphertext})).await.refused(text);
}

#[tokio::test]
async fn a_bounded_cache_forgets_what_is_idle_and_nothing_else() {
    let backend = Counting::new();
    let mount = Mount::on(backend.clone()).await;
    for number in 0..50 {
        mount.write(&format!("keys/k{number}"), json!({})).await.ok();
    }
    let encrypt_all = async || {
        for number in 0..50 {
            mount.write(&format!("encrypt/k{number}"), json!({"plaintext": "eA=="})).await.ok();
        }
    };
    encrypt_all().await;
    backend.take();
    encrypt_all().await;
    assert_eq!(backend.take(), (0, 0, 0), "without a bound every key stays");
    assert_eq!(mount.write("cache-config", json!({"size": 10})).await.status, 200);
    backend.take();
    encrypt_all().await;
    let (reads, _, _) = backend.take();
    assert!(reads >= 40, "{reads} reads: keys were forgotten");
    mount.tick().await.unwrap();
    encrypt_all().await;
    let mount = mount.restarted();
    for _ in 0..2 {
        backend.take();
        for number in 0..50 {
            mount.write(&format!("encrypt/k{number}"), json!({"plaintext": "eA=="})).await.ok();
        }
    }
    assert!(backend.take().0 >= 40, "the bound survives a restart");
}

/// What `docs/performance.md` says of idle keys. `cargo test --release -p chancery-transit --test api -- --ignored
/// --nocapture idle_keys`
#[tokio::test]
#[ignore = "a measurement of a minute; the figures depend on the machine"]
async fn idle_keys_take_little_memory_and_cost_no_speed() {
    use std::io::Write as _;
    const KEYS: u32 = 100_000;
    let mount = Mount::new().await;
    for number in 0..KEYS {
        mount.write(&format!("keys/key-{number}"), json!({})).await.ok();
    }
    let mount = mount.restarted();
    let before = resident_bytes();
    let encrypt = async |number: u32| {
        mount.write(&format!("encrypt/key-{number}"), json!({"plaintext": "eA=="})).await.ok();
    };
    for number in 0..KEYS {
        encrypt(number).await;
    }
    let each = (resident_bytes() - before) / u64::from(KEYS);
    let mut out = std::io::stderr();
    writeln!(out, "{each} bytes for each key in the cache").unwrap();
    for keys in [10, 1000, KEYS] {
        let started = std::time::Instant::now();
        for turn in 0..KEYS {
            // A walk over all of them that jumps.
            encrypt(turn.wrapping_mul(2_654_435_761) % keys).await;
        }
        writeln!(
            out,
            "{keys} keys: {:.2} µs for each request",
            started.elapsed().as_secs_f64() * 1e6 / f64::from(KEYS)
        )
        .unwrap();
    }
    assert!(each < 2500, "{each} bytes");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

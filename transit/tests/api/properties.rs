//! Whatever is done to a key in whatever order, its ciphertexts stay readable until a floor says otherwise.

use crate::harness::{Mount, Reply, b64};
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone)]
enum Step {
    Encrypt(u8),
    EncryptWith(u8, u32),
    Rewrap(usize),
    Rotate,
    Floors(u32, u32),
    Trim(u32),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Encrypt),
        2 => (any::<u8>(), 0..6_u32).prop_map(|(text, version)| Step::EncryptWith(text, version)),
        2 => any::<usize>().prop_map(Step::Rewrap),
        2 => Just(Step::Rotate),
        2 => (0..6_u32, 0..6_u32).prop_map(|(decryption, encryption)| Step::Floors(decryption, encryption)),
        1 => (0..6_u32).prop_map(Step::Trim),
        1 => Just(Step::Forget),
    ]
}

/// What the test knows of a ciphertext.
struct Known {
    ciphertext: String,
    version: u64,
    text: u8,
}

fn keep(known: &mut Vec<Known>, reply: &Reply, text: u8) {
    if reply.status == 200 {
        let ciphertext = reply.data["ciphertext"].as_str().unwrap().to_owned();
        known.push(Known { ciphertext, version: reply.data["key_version"].as_u64().unwrap(), text });
    }
}

async fn run(parameters: serde_json::Value, steps: Vec<Step>) {
    use chancery_engine::Service;
    let mount = Mount::with_key(parameters).await;
    let mut known = Vec::new();
    for step in steps {
        match step {
            Step::Encrypt(text) => {
                let reply = mount.write("encrypt/k", json!({"plaintext": b64(&[text])})).await;
                assert_eq!(reply.status, 200, "the latest version always encrypts: {reply:?}");
                keep(&mut known, &reply, text);
            }
            Step::EncryptWith(text, version) => {
                let body = json!({"plaintext": b64(&[text]), "key_version": version});
                keep(&mut known, &mount.write("encrypt/k", body).await, text);
            }
            Step::Rewrap(index) if !known.is_empty() => {
                let old = &known[index % known.len()];
                let text = old.text;
                let reply = mount.write("rewrap/k", json!({"ciphertext": old.ciphertext})).await;
                keep(&mut known, &reply, text);
            }
            Step::Rewrap(_) => {}
            Step::Rotate => drop(mount.write("keys/k/rotate", json!({})).await.ok()),
            Step::Floors(decryption, encryption) => {
                let body = json!({"min_decryption_version": decryption, "min_encryption_version": encryption});
                mount.write("keys/k/config", body).await;
            }
            Step::Trim(version) => {
                mount.write("keys/k/trim", json!({"min_available_version": version})).await;
            }
            Step::Forget => mount.transit.forget(),
        }
        let key = mount.read("keys/k", json!({})).await.ok();
        let floor = key["min_decryption_version"].as_u64().unwrap();
        for Known { ciphertext, version, text } in &known {
            let reply = mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await;
            if *version >= floor {
                assert_eq!(reply.ok()["plaintext"], b64(&[*text]));
            } else {
                reply.refused("ciphertext or signature version is disallowed by policy (too old)");
            }
        }
    }
}

fn check(parameters: &serde_json::Value, cases: u32, longest: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    runner
        .run(&proptest::collection::vec(step(), 1..longest), |steps| {
            runtime.block_on(run(parameters.clone(), steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn ciphertexts_of_software_keys_stay_readable() {
    check(&json!({}), 64, 25);
    check(&json!({"type": "chacha20-poly1305"}), 16, 25);
}

#[test]
fn ciphertexts_of_hsm_keys_stay_readable() {
    check(&json!({"protection": "hsm"}), 32, 20);
}

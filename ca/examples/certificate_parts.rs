//! What a certificate costs at the least beside its signatures and its row: reading the request and verifying its signature,
//! applying the role and encoding (with the text form that clients get).
//!
//! `scripts/bench.sh` runs it beside the server.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measuring tool"
)]

#[path = "../../hsm/examples/support/cost.rs"]
mod cost;
#[path = "../tests/api/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

use chancery_ca::{
    approve::{Applicant, Asked},
    csr::Csr,
    facts::CertificateFacts,
    pem,
    profile::{Signatory, encode},
    role::Role,
    serial::SerialNumber,
    urls::Urls,
    validity::Validity,
};
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use harness::{Mount, NOW};
use jiff::Timestamp;
use serde_json::json;
use std::hint::black_box;

/// AlgorithmIdentifier of ecdsa-with-SHA256.
const ALGORITHM: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

fn request() -> String {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "bench.dev.test");
    parameters.serialize_request(&key).unwrap().pem().unwrap()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let issuer = runtime.block_on(async { Mount::with_role(json!({})).await.read("ca").await }).raw;
    let issuer = CertificateFacts::parse(&issuer).unwrap();
    let csr = request();
    cost::part("read a request and verify it, P-256", 1, || {
        black_box(Csr::from_pem(black_box(&csr)).unwrap());
    });
    let parsed = Csr::from_pem(&csr).unwrap();
    let role = Role { allow_any_name: true, key_type: "ec".to_owned(), ..Role::default() };
    let at = |seconds: i64| Timestamp::from_second(NOW + seconds).unwrap();
    let validity = Validity { not_before: at(0), not_after: at(3600) };
    let (asked, urls) = (Asked::default(), Urls::default());
    cost::part("approve and encode a certificate", 1, || {
        let (approved, _) = role.approve(Applicant::Csr(&parsed), &asked, "", validity).unwrap();
        let signatory = Signatory { issuer: Some(&issuer), algorithm: &ALGORITHM, urls: &urls };
        let draft = encode(approved, SerialNumber::fresh(Timestamp::now()).unwrap(), signatory).unwrap();
        black_box(draft);
        black_box(pem::encode("CERTIFICATE", &issuer.der));
    });
    cost::part("make a P-256 key pair", 1, || {
        black_box(SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap().to_bytes().unwrap());
    });
}

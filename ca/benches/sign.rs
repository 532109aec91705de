//! What one certificate costs: a P-256 request signed by a P-256 issuer in the software token, certificate stored in
//! memory. Beside it the parts that cannot be avoided, so that the ratio can be read from one run.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "../tests/api/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

use chancery_ca::csr::Csr;
use chancery_hsm::{HashAlgorithm, KeyAlgorithm, SignInput, SignScheme, software::SoftwareKey};
use criterion::{Criterion, criterion_group, criterion_main};
use harness::Mount;
use serde_json::json;
use std::hint::black_box;

fn request() -> String {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "a.example.com");
    parameters.serialize_request(&key).unwrap().pem().unwrap()
}

fn sign(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mount = runtime.block_on(Mount::with_role(json!({"allowed_domains": "example.com", "allow_subdomains": true})));
    runtime.block_on(mount.role("unstored", json!({"allow_any_name": true, "no_store": true})));
    let csr = request();
    let body = json!({"csr": csr});

    let mut group = criterion.benchmark_group("sign");
    group.bench_function("request to stored certificate", |bencher| {
        bencher.iter(|| runtime.block_on(mount.write("sign/r", body.clone())).ok());
    });
    group.bench_function("request to certificate, not stored", |bencher| {
        bencher.iter(|| runtime.block_on(mount.write("sign/unstored", body.clone())).ok());
    });
    group.bench_function("part: parse and verify the request", |bencher| {
        bencher.iter(|| Csr::from_pem(black_box(&csr)).unwrap());
    });
    let key = SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap();
    let (scheme, input) = (SignScheme::Ecdsa(HashAlgorithm::Sha256), SignInput::Message(vec![7; 400]));
    let signature = key.sign(scheme, &input).unwrap();
    group.bench_function("part: one signature", |bencher| {
        bencher.iter(|| key.sign(scheme, black_box(&input)).unwrap());
    });
    group.bench_function("part: verify after sign", |bencher| {
        let spki = key.public_key_der().unwrap();
        bencher.iter(|| chancery_hsm::verify(spki, scheme, &input, black_box(&signature)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, sign);
criterion_main!(benches);

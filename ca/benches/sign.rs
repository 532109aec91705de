//! What one certificate costs: a P-256 request signed by a P-256 issuer in the software token, certificate stored in
//! memory. Beside it the parts that cannot be avoided, so that the ratio can be read from one run; the row of the inventory
//! is one of a group that SQLite commits together, as it does for many callers at once.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "../tests/api/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

use chancery_ca::{
    approve::{Applicant, Asked},
    csr::Csr,
    facts::CertificateFacts,
    lint::{Surroundings, lint},
    profile::{Signatory, encode},
    role::Role,
    serial::SerialNumber,
    urls::Urls,
    validity::Validity,
};
use chancery_hsm::{HashAlgorithm, KeyAlgorithm, SignInput, SignScheme, software::SoftwareKey};
use chancery_store::{CertificateChange, CertificateIntent, Changes, Initialize, SealChoice, Store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::{Mount, NOW};
use jiff::Timestamp;
use serde_json::json;
use std::{hint::black_box, sync::Arc};

/// Certificates that are committed together.
const GROUP: usize = 16;

/// AlgorithmIdentifier of ecdsa-with-SHA256.
const ALGORITHM: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

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
    let parsed = Csr::from_pem(&csr).unwrap();
    let issuer = runtime.block_on(mount.read("ca")).raw;
    let issuer = CertificateFacts::parse(&issuer).unwrap();
    let role = Role { allow_any_name: true, key_type: "ec".to_owned(), ..Role::default() };
    let validity = Validity { not_before: at(0), not_after: at(3600) };
    let (asked, urls) = (Asked::default(), Urls::default());
    let draft = || {
        let (approved, _) = role.approve(Applicant::Csr(&parsed), &asked, "", validity).unwrap();
        let signatory = Signatory { issuer: Some(&issuer), algorithm: &ALGORITHM, urls: &urls };
        encode(approved, SerialNumber::fresh(Timestamp::now()).unwrap(), signatory).unwrap()
    };
    group.bench_function("part: approve and encode", |bencher| bencher.iter(draft));
    let around = Surroundings { issuer: Some(&issuer), algorithm: &ALGORITHM, may_outlive_issuer: false, urls: &urls };
    group.bench_function("approve, encode and lint", |bencher| bencher.iter(|| lint(draft(), around).unwrap()));
    group.bench_function("part: a key pair for the requester", |bencher| {
        bencher.iter(|| SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap().to_bytes().unwrap());
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
    inventory(criterion, &runtime);
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

/// Intent and certificate of a group, each in a commit of its own, as issuing writes them.
fn inventory(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime) {
    let folder = tempfile::tempdir().unwrap();
    let store = runtime.block_on(async {
        let store = Store::sqlite(&folder.path().join("bench.db"), Arc::new(Timestamp::now)).await.unwrap();
        store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
        store
    });
    let mut group = criterion.benchmark_group("inventory");
    group.throughput(Throughput::Elements(GROUP.try_into().unwrap()));
    group.bench_function("part: rows of a grouped insert (per certificate: divide by 16)", |bencher| {
        bencher.iter(|| {
            let serials: Vec<_> = (0..GROUP).map(|_| SerialNumber::fresh(Timestamp::now()).unwrap()).collect();
            let (mut intents, mut issued) = (Changes::default(), Changes::default());
            for serial in &serials {
                intents.certificate(CertificateChange::Intent(intent(serial)));
                let (mount, serial) = ("mount/1/".to_owned(), serial.as_bytes().to_vec());
                issued.certificate(CertificateChange::Issued { mount, serial, der: vec![0x30; 500] });
            }
            runtime.block_on(async {
                store.commit(intents).await.unwrap();
                store.commit(issued).await.unwrap();
            });
        });
    });
    group.finish();
}

fn intent(serial: &SerialNumber) -> CertificateIntent {
    CertificateIntent {
        mount: "mount/1/".to_owned(),
        serial: serial.as_bytes().to_vec(),
        issuer: "c8368dfe-1e4b-419f-b557-76d3d78a5e82".to_owned(),
        role: "web".to_owned(),
        requester: "root".to_owned(),
        common_name: "a.example.com".to_owned(),
        names: vec!["a.example.com".to_owned()],
        key_type: "ec-p256".to_owned(),
        not_before: at(0),
        not_after: at(3600),
        created_at: at(0),
        shard: 0,
    }
}

criterion_group!(benches, sign);
criterion_main!(benches);

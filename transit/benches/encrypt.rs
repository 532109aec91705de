//! What the engine adds to the work that cannot be left out.
//!
//! `bare` parses the JSON, decodes base64, seals with AES-256-GCM under a cached key, encodes and writes JSON, nothing
//! else. `engine` is the same through route table, cached key and handler, with the permit and the call built for each
//! request as the pipeline builds them. The ratio of the two at one size is what to look at; run with
//! `cargo bench -p chancery-transit`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::{
    Body, Call, Engine, Hosted, Identity, MountPoint, Operation, Response, SystemClock, Verb,
    identity::TokenType,
    policy::{AccessRequest, Acl, Policy},
};
use chancery_store::{Initialize, SealChoice, Store};
use chancery_transit::Transit;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, hint::black_box, sync::Arc};

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow, default)]
    plaintext: Option<&'a str>,
    #[serde(borrow, default)]
    batch_input: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    plaintext: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Output {
    One(Sealed),
    Batch { batch_results: Vec<Sealed> },
}

#[derive(Serialize)]
struct Sealed {
    ciphertext: String,
    key_version: u32,
}

struct Bench {
    engine: Hosted<Transit>,
    identity: Arc<Identity>,
    mount: Arc<MountPoint>,
    runtime: tokio::runtime::Runtime,
}

fn bare(key: &LessSafeKey, body: &[u8]) -> Vec<u8> {
    let seal = |plaintext: &str| {
        let mut bytes = STANDARD.decode(plaintext).unwrap();
        let mut nonce = [0_u8; 12];
        aws_lc_rs::rand::fill(&mut nonce).unwrap();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes).unwrap();
        let mut sealed = nonce.to_vec();
        sealed.append(&mut bytes);
        Sealed { ciphertext: format!("vault:v1:{}", STANDARD.encode(sealed)), key_version: 1 }
    };
    let input: Input<'_> = serde_json::from_slice(body).unwrap();
    let output = match input.plaintext {
        Some(plaintext) => Output::One(seal(plaintext)),
        None => Output::Batch { batch_results: input.batch_input.iter().map(|item| seal(item.plaintext)).collect() },
    };
    serde_json::to_vec(&output).unwrap()
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let engine = runtime.block_on(async {
            let store = Store::memory().await.unwrap();
            let seal = SealChoice::Shamir { shares: 1, threshold: 1 };
            store.barrier().initialize(Initialize { seal }).await.unwrap();
            Hosted::new(Transit::new(store.view("mount/1/"), store.clone(), None, Arc::new(SystemClock)))
        });
        let policy = Policy { name: "root".to_owned(), ..Policy::default() };
        let identity = Arc::new(Identity {
            token_key: String::new(),
            accessor: String::new(),
            display_name: String::new(),
            policies: Arc::from(["root".to_owned()]),
            metadata: BTreeMap::new(),
            path: String::new(),
            entity_id: String::new(),
            token_type: TokenType::Service,
            token_ttl: 0,
            issue_time: "2026-01-01T00:00:00Z".parse().unwrap(),
            remaining_uses: 0,
            acl: Arc::new(Acl::compile(&[Arc::new(policy)])),
        });
        let mount = Arc::new(MountPoint {
            path: "transit/".to_owned(),
            kind: "transit".to_owned(),
            accessor: String::new(),
            uuid: String::new(),
            default_lease_ttl: 0,
            max_lease_ttl: 0,
            options: BTreeMap::new(),
        });
        Self { engine, identity, mount, runtime }
    }

    async fn call(&self, path: &str, body: Vec<u8>) -> Response {
        let matched = self.engine.find(Verb::Write, path).unwrap();
        let exists = self.engine.exists(&matched).await.unwrap();
        let operation = if exists { Operation::Update } else { Operation::Create };
        let body = Body::from_json(body);
        let request = AccessRequest { path, operation, body: &body, needs_sudo: false, wrap_ttl: None };
        let permit = self.identity.acl.authorize(&self.identity, &request).unwrap();
        let call = Call::new(permit, Arc::clone(&self.mount), matched.captures.clone(), body);
        self.engine.handle(matched.index, Verb::Write, call).await.unwrap()
    }
}

fn bodies() -> Vec<(String, u64, Vec<u8>)> {
    let text = STANDARD.encode([7; 32]);
    let mut bodies = vec![("32 B".to_owned(), 1, format!(r#"{{"plaintext":"{text}"}}"#).into_bytes())];
    for items in [100, 1000_usize] {
        let list = vec![format!(r#"{{"plaintext":"{text}"}}"#); items].join(",");
        let body = format!(r#"{{"batch_input":[{list}]}}"#).into_bytes();
        bodies.push((format!("batch of {items}"), u64::try_from(items).unwrap(), body));
    }
    let long = STANDARD.encode(vec![7; 65_536]);
    bodies.push(("64 KiB".to_owned(), 1, format!(r#"{{"plaintext":"{long}"}}"#).into_bytes()));
    bodies
}

fn encrypt(criterion: &mut Criterion) {
    let bench = Bench::new();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let mut group = criterion.benchmark_group("encrypt");
    for (name, items, body) in bodies() {
        group.throughput(Throughput::Elements(items));
        group.bench_with_input(BenchmarkId::new("bare", &name), &body, |bencher, body| {
            bencher.iter(|| black_box(bare(&key, &body.clone())));
        });
        group.bench_with_input(BenchmarkId::new("engine", &name), &body, |bencher, body| {
            bencher.iter(|| black_box(bench.runtime.block_on(bench.call("encrypt/k", body.clone()))));
        });
    }
    group.finish();
}

fn decrypt(criterion: &mut Criterion) {
    let bench = Bench::new();
    let text = STANDARD.encode([7; 32]);
    let mut group = criterion.benchmark_group("decrypt");
    for items in [1, 1000_usize] {
        let body = format!(r#"{{"batch_input":[{}]}}"#, vec![format!(r#"{{"plaintext":"{text}"}}"#); items].join(","));
        let sealed = bench.runtime.block_on(bench.call("encrypt/k", body.into_bytes())).data.unwrap();
        let sealed = String::from_utf8(sealed.expose().to_vec()).unwrap();
        // The results are items again: what they carry besides is not read.
        let body = sealed.replacen("batch_results", "batch_input", 1).into_bytes();
        group.throughput(Throughput::Elements(u64::try_from(items).unwrap()));
        group.bench_with_input(BenchmarkId::new("engine", items), &body, |bencher, body| {
            bencher.iter(|| black_box(bench.runtime.block_on(bench.call("decrypt/k", body.clone()))));
        });
    }
    group.finish();
}

fn sign(criterion: &mut Criterion) {
    let bench = Bench::new();
    let body = format!(r#"{{"input":"{}"}}"#, STANDARD.encode([7; 32])).into_bytes();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let mut group = criterion.benchmark_group("sign");
    group.bench_function("raw/ecdsa-p256", |bencher| {
        bencher.iter(|| black_box(p256.sign(&SystemRandom::new(), &[7; 32]).unwrap()));
    });
    group.bench_function("raw/ed25519", |bencher| bencher.iter(|| black_box(ed25519.sign(&[7; 32]))));
    for kind in ["ecdsa-p256", "ed25519"] {
        let create = format!(r#"{{"type":"{kind}"}}"#).into_bytes();
        bench.runtime.block_on(bench.call(&format!("keys/{kind}"), create));
        group.bench_with_input(BenchmarkId::new("engine", kind), &body, |bencher, body| {
            let path = format!("sign/{kind}");
            bencher.iter(|| black_box(bench.runtime.block_on(bench.call(&path, body.clone()))));
        });
    }
    group.finish();
}

criterion_group!(benches, encrypt, decrypt, sign);
criterion_main!(benches);

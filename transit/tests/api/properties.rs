//! Whatever is done to a key in whatever order, what it made stays usable until a floor says otherwise, and is refused
//! from then on.

use crate::harness::{Mount, Reply, b64};
use chancery_engine::Service;
use proptest::prelude::*;
use serde_json::{Value, json};

const CONTEXT: &str = "Y29udGV4dA==";
const TOO_OLD: &str = "ciphertext or signature version is disallowed by policy (too old)";
const TOO_OLD_HMAC: &str = "cannot verify HMAC: version is too old (disallowed by policy)";
const SOFT_DELETED: &str = "refusing to use soft-deleted key";

#[derive(Debug, Clone)]
enum Step {
    Make(Product, u8, u32),
    Rewrap(usize),
    Rotate,
    /// An hour passes, and the mount does its own work.
    Hour,
    Period(bool),
    Floors(u32, u32),
    Trim(u32),
    SoftDelete(bool),
    Forget,
    CacheSize(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Ciphertext,
    Signature,
    /// An HMAC, or with keys made for it a CMAC.
    Mac,
}

fn step() -> impl Strategy<Value = Step> {
    let product = prop_oneof![Just(Product::Ciphertext), Just(Product::Signature), Just(Product::Mac)];
    let version = prop_oneof![3 => Just(0), 1 => 0..6_u32];
    prop_oneof![
        8 => (product, any::<u8>(), version).prop_map(|(product, text, version)| Step::Make(product, text, version)),
        2 => any::<usize>().prop_map(Step::Rewrap),
        3 => Just(Step::Rotate),
        1 => Just(Step::Hour),
        1 => any::<bool>().prop_map(Step::Period),
        3 => (0..6_u32, 0..6_u32).prop_map(|(decryption, encryption)| Step::Floors(decryption, encryption)),
        2 => (0..6_u32).prop_map(Step::Trim),
        1 => any::<bool>().prop_map(Step::SoftDelete),
        1 => Just(Step::Forget),
        1 => any::<bool>().prop_map(Step::CacheSize),
    ]
}

/// Something the key made.
struct Made {
    product: Product,
    text: u8,
    value: String,
    version: u64,
}

struct Run {
    mount: Mount,
    made: Vec<Made>,
    /// What the key can do, and whether it needs a context.
    body: Value,
}

impl Run {
    async fn new(parameters: Value) -> Self {
        let mount = Mount::with_key(parameters).await;
        let body = mount.read("keys/k", json!({})).await.ok();
        Self { mount, made: Vec::new(), body }
    }

    fn can(&self, product: Product) -> bool {
        match product {
            Product::Ciphertext => self.body["supports_encryption"] == true,
            Product::Signature => self.body["supports_signing"] == true,
            Product::Mac => true,
        }
    }

    fn makes_cmacs(&self) -> bool {
        self.body["type"].as_str().unwrap().ends_with("cmac")
    }

    /// What the wire calls MACs of this key.
    fn mac(&self) -> &'static str {
        if self.makes_cmacs() { "cmac" } else { "hmac" }
    }

    fn too_old_mac(&self) -> &'static str {
        if self.makes_cmacs() { TOO_OLD } else { TOO_OLD_HMAC }
    }

    fn request(&self, mut body: Value) -> Value {
        if self.body["derived"] == true {
            body["context"] = json!(CONTEXT);
        }
        body
    }

    fn keep(&mut self, product: Product, text: u8, reply: &Reply) {
        if reply.status != 200 {
            return;
        }
        let member = match product {
            Product::Ciphertext => "ciphertext",
            Product::Signature => "signature",
            Product::Mac => self.mac(),
        };
        let value = reply.data[member].as_str().unwrap().to_owned();
        let version = value.split(':').nth(1).unwrap()[1..].parse().unwrap();
        self.made.push(Made { product, text, value, version });
    }

    async fn take(&mut self, step: Step) {
        let mount = &self.mount;
        match step {
            Step::Make(product, text, version) if self.can(product) => {
                let (path, member) = match product {
                    Product::Ciphertext => ("encrypt/k", "plaintext"),
                    Product::Signature => ("sign/k", "input"),
                    Product::Mac if self.makes_cmacs() => ("cmac/k", "input"),
                    Product::Mac => ("hmac/k", "input"),
                };
                let body = self.request(json!({member: b64(&[text]), "key_version": version}));
                let reply = mount.write(path, body).await;
                let deleted = mount.read("keys/k", json!({})).await.ok()["soft_deleted"] == true;
                assert!(version != 0 || deleted || reply.status == 200, "the latest version always works: {reply:?}");
                self.keep(product, text, &reply);
            }
            Step::Rewrap(index) if self.can(Product::Ciphertext) => {
                let texts: Vec<_> = self.made.iter().filter(|made| made.product == Product::Ciphertext).collect();
                if let Some(old) = texts.get(index % texts.len().max(1)) {
                    let (text, body) = (old.text, self.request(json!({"ciphertext": old.value})));
                    let reply = mount.write("rewrap/k", body).await;
                    self.keep(Product::Ciphertext, text, &reply);
                }
            }
            Step::Make(..) | Step::Rewrap(_) => {}
            Step::Rotate => drop(mount.write("keys/k/rotate", json!({})).await),
            Step::Hour => {
                mount.clock.advance(3600);
                mount.tick().await.unwrap();
            }
            Step::Period(on) => {
                let body = json!({"auto_rotate_period": if on { "1h" } else { "0" }});
                mount.write("keys/k/config", body).await.ok();
            }
            Step::Floors(decryption, encryption) => {
                let body = json!({"min_decryption_version": decryption, "min_encryption_version": encryption});
                drop(mount.write("keys/k/config", body).await);
            }
            Step::Trim(version) => {
                drop(mount.write("keys/k/trim", json!({"min_available_version": version})).await);
            }
            Step::SoftDelete(true) => drop(mount.delete("keys/k/soft-delete").await.ok()),
            Step::SoftDelete(false) => drop(mount.write("keys/k/soft-delete-restore", json!({})).await.ok()),
            Step::Forget => mount.transit.forget(),
            Step::CacheSize(small) => {
                drop(mount.write("cache-config", json!({"size": if small { 10 } else { 0 }})).await);
            }
        }
    }

    async fn check(&self) {
        let key = self.mount.read("keys/k", json!({})).await.ok();
        let floor = key["min_decryption_version"].as_u64().unwrap();
        for number in 1..key["min_available_version"].as_u64().unwrap() {
            assert_eq!(self.mount.entry(&format!("version/k/{number:010}")).await, None, "{number} was trimmed");
        }
        for made in &self.made {
            let input = b64(&[made.text]);
            let (path, body, expected, refusal) = match made.product {
                Product::Ciphertext => {
                    ("decrypt/k", json!({"ciphertext": made.value}), json!({"plaintext": input}), TOO_OLD)
                }
                Product::Signature => {
                    ("verify/k", json!({"input": input, "signature": made.value}), json!({"valid": true}), TOO_OLD)
                }
                Product::Mac => (
                    "verify/k",
                    json!({"input": input, self.mac(): made.value}),
                    json!({"valid": true}),
                    self.too_old_mac(),
                ),
            };
            let reply = self.mount.write(path, self.request(body)).await;
            if key["soft_deleted"] == true {
                reply.refused(SOFT_DELETED);
            } else if made.version < floor {
                reply.refused(refusal);
            } else {
                assert_eq!(reply.ok(), expected, "version {}", made.version);
            }
        }
    }
}

fn check(parameters: &Value, cases: u32, longest: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    runner
        .run(&proptest::collection::vec(step(), 1..longest), |steps| {
            runtime.block_on(async {
                let mut run = Run::new(parameters.clone()).await;
                for step in steps {
                    run.take(step).await;
                    run.check().await;
                }
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_symmetric_keys_made_stays_usable_until_a_floor() {
    check(&json!({}), 64, 25);
    for key_type in ["aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305"] {
        check(&json!({"type": key_type}), 16, 25);
    }
    for key_type in ["aes128-cmac", "aes256-cmac", "ml-kem-768"] {
        check(&json!({"type": key_type}), 8, 20);
    }
    check(&json!({"derived": true}), 16, 25);
    check(&json!({"derived": true, "convergent_encryption": true}), 16, 25);
    check(&json!({"type": "hmac", "key_size": 32}), 16, 25);
}

#[test]
fn what_key_pairs_made_stays_usable_until_a_floor() {
    for key_type in ["ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"] {
        check(&json!({"type": key_type}), 16, 20);
    }
    check(&json!({"type": "ed25519", "derived": true}), 16, 20);
    for key_type in ["mldsa-44", "mldsa-65", "mldsa-87"] {
        check(&json!({"type": key_type}), 4, 12);
    }
    check(&json!({"type": "rsa-2048"}), 3, 10);
}

#[test]
fn what_keys_of_the_token_made_stays_usable_until_a_floor() {
    check(&json!({"protection": "hsm"}), 32, 20);
    check(&json!({"type": "ecdsa-p256", "protection": "hsm"}), 16, 20);
    check(&json!({"type": "hmac", "key_size": 32, "protection": "hsm"}), 16, 20);
}

//! CRLs as they are published: shards, deltas, spares, and two engines on one store.

use crate::{
    harness::{Mount, NOW, tick},
    openssl::Openssl,
};
use serde_json::{Value, json};
use std::sync::Arc;

const SHARD_URL: &str = "http://crl.example.com/v1/pki/issuer/root/crl/shard/{{shard}}";

async fn sharded(shards: u32) -> Mount {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    mount.write("config/urls", json!({"crl_distribution_points": SHARD_URL})).await.ok();
    let settings = mount.write("config/crl", json!({"shards": shards})).await.ok();
    assert_eq!(settings["shards"], shards);
    mount
}

async fn issue(mount: &Mount) -> Value {
    mount.write("issue/r", json!({"common_name": "a.b"})).await.ok()
}

async fn revoke(mount: &Mount, issued: &Value) {
    mount.write("revoke", json!({"serial_number": issued["serial_number"]})).await.ok();
}

fn upper(issued: &Value) -> String {
    issued["serial_number"].as_str().unwrap().replace(':', "").to_uppercase()
}

fn number(text: &str) -> u64 {
    let mut lines = text.lines().skip_while(|line| !line.contains("X509v3 CRL Number"));
    lines.nth(1).unwrap().trim().parse().unwrap()
}

fn show(openssl: &Openssl, der: &[u8]) -> String {
    openssl.bytes("list.der", der);
    openssl.must(&["crl", "-inform", "der", "-in", "list.der", "-noout", "-text"])
}

/// The shard that a certificate's distribution point names.
fn shard_of(openssl: &Openssl, issued: &Value) -> u32 {
    openssl.file("leaf.pem", issued["certificate"].as_str().unwrap());
    let text = openssl.must(&["x509", "-in", "leaf.pem", "-noout", "-text"]);
    let tail = text.split("crl/shard/").nth(1).unwrap_or_else(|| panic!("no shard in {text}"));
    tail.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[tokio::test]
async fn a_revoked_certificate_is_on_its_shard_and_openssl_says_so() {
    let (mount, openssl) = (sharded(4).await, Openssl::new());
    openssl.file("ca.pem", &String::from_utf8(mount.read("ca/pem").await.raw).unwrap());
    for _ in 0..6 {
        let issued = issue(&mount).await;
        let shard = shard_of(&openssl, &issued);
        assert!((1..=4).contains(&shard));
        let path = format!("issuer/root/crl/shard/{shard}");
        let judge = |der: &[u8]| {
            openssl.bytes("shard.der", der);
            openssl.must(&["crl", "-inform", "der", "-in", "shard.der", "-out", "shard.pem"]);
            openssl.said(&[
                "verify",
                "-CAfile",
                "ca.pem",
                "-CRLfile",
                "shard.pem",
                "-crl_check",
                "-attime",
                "1795219260",
                "leaf.pem",
            ])
        };
        let before = judge(&mount.read(&path).await.raw);
        assert!(before.contains("leaf.pem: OK"), "{before}");
        revoke(&mount, &issued).await;
        let list = mount.read(&path).await.raw;
        let after = judge(&list);
        assert!(after.contains("certificate revoked"), "{after}");
        let text = show(&openssl, &list);
        let point = format!("URI:{}", SHARD_URL.replace("{{shard}}", &shard.to_string()));
        assert!(text.contains("X509v3 Issuing Distribution Point: critical") && text.contains(&point), "{text}");
        // Vault's single list has them all.
        let whole = show(&openssl, &mount.read("crl").await.raw);
        assert!(whole.contains(&upper(&issued)) && !whole.contains("Issuing Distribution Point"), "{whole}");
    }
}

#[tokio::test]
async fn a_revocation_rebuilds_its_own_shard_only() {
    let (mount, openssl) = (sharded(8).await, Openssl::new());
    tick(&mount, NOW).await.unwrap();
    let read = async || {
        let mut numbers = Vec::new();
        for shard in 1..=8 {
            let list = mount.read(&format!("crl/shard/{shard}")).await;
            assert_eq!(list.content_type, "application/pkix-crl");
            numbers.push(number(&show(&openssl, &list.raw)));
        }
        numbers
    };
    let before = read().await;
    let issued = issue(&mount).await;
    revoke(&mount, &issued).await;
    let after = read().await;
    let shard = usize::try_from(shard_of(&openssl, &issued)).unwrap();
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(*after, before + u64::from(at + 1 == shard), "shard {}", at + 1);
    }
}

#[tokio::test]
async fn the_number_of_shards_only_grows_and_certificates_keep_theirs() {
    let (mount, openssl) = (sharded(2).await, Openssl::new());
    let old = issue(&mount).await;
    let shard = shard_of(&openssl, &old);
    mount.write("config/crl", json!({"shards": 64})).await.ok();
    mount
        .write("config/crl", json!({"shards": 2}))
        .await
        .refused("shards cannot shrink from 64 to 2: certificates that were issued name the shards there are");
    mount.write("config/crl", json!({"shards": 5000})).await.refused("shards must be at most 1024, got 5000");
    revoke(&mount, &old).await;
    let text = show(&openssl, &mount.read(&format!("crl/shard/{shard}")).await.raw);
    assert!(text.contains(&upper(&old)), "{text}");
    assert_eq!(mount.read("crl/shard/65").await.status, 404);
    assert_eq!(mount.read("crl/shard/0").await.status, 404);
    assert_eq!(mount.read("crl/shard/x").await.status, 404);
}

#[tokio::test]
async fn a_shard_keeps_the_names_that_older_certificates_have_for_it() {
    let (mount, openssl) = (sharded(1).await, Openssl::new());
    mount.read("crl/rotate").await.ok();
    mount.write("config/urls", json!({"crl_distribution_points": "http://new.example.com/{{shard}}"})).await.ok();
    mount.read("crl/rotate").await.ok();
    let text = show(&openssl, &mount.read("crl/shard/1").await.raw);
    assert!(text.contains("URI:http://new.example.com/1") && text.contains("crl.example.com"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_was_not_stored_is_revoked_on_the_shard_it_names() {
    let (mount, openssl) = (sharded(4).await, Openssl::new());
    mount.role("unstored", json!({"allow_any_name": true, "no_store": true})).await;
    let issued = mount.write("issue/unstored", json!({"common_name": "a.b"})).await.ok();
    let shard = shard_of(&openssl, &issued);
    mount.write("revoke", json!({"certificate": issued["certificate"]})).await.ok();
    let text = show(&openssl, &mount.read(&format!("crl/shard/{shard}")).await.raw);
    assert!(text.contains(&upper(&issued)), "{text}");
}

#[tokio::test]
async fn deltas_add_to_the_complete_list_and_share_its_numbers() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    mount.write("config/crl", json!({"auto_rebuild": true, "enable_delta": true})).await.ok();
    let first = issue(&mount).await;
    revoke(&mount, &first).await;
    mount.read("crl/rotate").await.ok();
    let complete = show(&openssl, &mount.read("crl").await.raw);
    assert!(complete.contains(&upper(&first)), "{complete}");
    let second = issue(&mount).await;
    revoke(&mount, &second).await;
    mount.clock.advance(2);
    assert!(!show(&openssl, &mount.read("crl").await.raw).contains(&upper(&second)), "the complete list waits");
    mount.clock.advance(16 * 60);
    tick(&mount, NOW + 16 * 60 + 2).await.unwrap();
    let delta = show(&openssl, &mount.read("crl/delta").await.raw);
    assert!(delta.contains("X509v3 Delta CRL Indicator: critical"), "{delta}");
    assert!(delta.contains(&upper(&second)) && !delta.contains(&upper(&first)), "{delta}");
    assert!(number(&delta) > number(&complete));
    mount.read("crl/rotate").await.ok();
    let next = show(&openssl, &mount.read("crl").await.raw);
    assert!(next.contains(&upper(&second)) && number(&next) > number(&delta), "{next}");
    assert!(!show(&openssl, &mount.read("crl/delta").await.raw).contains(&upper(&second)));
    let rotated = mount.read("crl/rotate-delta").await;
    assert!(rotated.warnings.is_empty());
    assert!(mount.read("cert/delta-crl").await.text("certificate").starts_with("-----BEGIN X509 CRL-----"));
    assert!(mount.read("issuer/root/crl/delta").await.text("crl").ends_with("-----END X509 CRL-----\n"));
}

#[tokio::test]
async fn where_deltas_are_off_rotating_them_says_so() {
    let mount = Mount::with_root().await;
    let reply = mount.read("crl/rotate-delta").await;
    assert_eq!(reply.warnings, ["requested rebuild of delta CRL when delta CRL is not enabled; this is a no-op"]);
    assert!(!mount.read("crl/delta").await.raw.is_empty(), "one is made for who asks");
}

#[tokio::test]
async fn an_entry_leaves_one_period_after_the_certificates_end() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    let issued = issue(&mount).await;
    revoke(&mount, &issued).await;
    for (hours, is_listed) in [(2, true), (72, true), (74, false)] {
        mount.clock.advance(hours * 3600 - (mount.now() - NOW));
        mount.read("crl/rotate").await.ok();
        let text = show(&openssl, &mount.read("crl").await.raw);
        assert_eq!(text.contains(&upper(&issued)), is_listed, "after {hours} hours: {text}");
    }
}

#[tokio::test]
async fn lists_carry_what_caches_need() {
    let mount = sharded(1).await;
    for path in ["crl", "crl/pem", "crl/delta", "issuer/root/crl/der", "crl/shard/1"] {
        let reply = mount.read(path).await;
        let header = |name: &str| reply.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        assert!(header("etag").unwrap().starts_with('"'), "{path}");
        assert_eq!(header("last-modified").unwrap(), "Sat, 21 Nov 2026 00:00:00 GMT", "{path}");
        assert!(header("cache-control").unwrap().contains("public"), "{path}");
        assert!(header("expires").unwrap().ends_with("GMT"), "{path}");
    }
}

/// Two engines with memories of their own on one store, as two processes have on one database.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_engines_on_one_store_lose_no_revocation_and_step_no_number_back() {
    let one = Arc::new(sharded(2).await);
    let other = Arc::new(Mount::beside(one.store.clone(), one.hsm.clone(), "1"));
    let openssl = Openssl::new();
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..40 {
        let mount = Arc::clone(if at % 2 == 0 { &one } else { &other });
        let reader = Arc::clone(if at % 2 == 0 { &other } else { &one });
        tasks.spawn(async move {
            let issued = issue(&mount).await;
            revoke(&mount, &issued).await;
            let list = |der: Vec<u8>| chancery_ca::crl::list::CrlList::parse(&der).unwrap().number.unwrap();
            let mut seen = Vec::new();
            for shard in 1..=2 {
                seen.push((shard, list(reader.read(&format!("crl/shard/{shard}")).await.raw)));
            }
            (issued, seen)
        });
    }
    let revoked: Vec<Value> = tasks.join_all().await.into_iter().map(|(issued, _)| issued).collect();
    for mount in [&one, &other] {
        mount.clock.advance(2);
        let whole = show(&openssl, &mount.read("crl").await.raw);
        for issued in &revoked {
            let shard = shard_of(&openssl, issued);
            let text = show(&openssl, &mount.read(&format!("crl/shard/{shard}")).await.raw);
            assert!(text.contains(&upper(issued)) && whole.contains(&upper(issued)), "{issued}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_seen_through_either_engine_never_fall() {
    let one = Arc::new(sharded(1).await);
    let other = Arc::new(Mount::beside(one.store.clone(), one.hsm.clone(), "1"));
    let writer = |mount: Arc<Mount>| {
        tokio::spawn(async move {
            for _ in 0..15 {
                let issued = issue(&mount).await;
                revoke(&mount, &issued).await;
                mount.clock.advance(2);
            }
        })
    };
    let (a, b) = (writer(Arc::clone(&one)), writer(Arc::clone(&other)));
    let mut last = 0;
    while !(a.is_finished() && b.is_finished()) {
        let list = one.read("crl/shard/1").await.raw;
        if !list.is_empty() {
            let number = chancery_ca::crl::list::CrlList::parse(&list).unwrap().number.unwrap();
            assert!(number >= last, "{number} after {last}");
            last = number;
        }
        tokio::task::yield_now().await;
    }
    a.await.unwrap();
    b.await.unwrap();
    one.clock.advance(2);
    let list = one.read("crl/shard/1").await.raw;
    assert_eq!(chancery_ca::crl::list::CrlList::parse(&list).unwrap().entries().count(), 30);
}

//! The count of a version's encryptions: what it costs, what a crash does to it, and what happens near its end.

use crate::{
    counting::Counting,
    harness::{Mount, Reply, b64},
};
use serde_json::{Value, json};
use std::sync::{Arc, atomic::Ordering::SeqCst};

const LIMIT: u64 = 1 << 32;
const FREE: u64 = 1 << 12;
const BLOCK: u64 = 1 << 20;
const PLACE: &str = "usage/k/0000000001";

async fn encrypt(mount: &Mount) -> Reply {
    mount.write("encrypt/k", json!({"plaintext": "eA=="})).await
}

fn batch(items: usize) -> Value {
    json!({"batch_input": vec![json!({"plaintext": "eA=="}); items]})
}

/// The mount after a restart, with so many encryptions of version 1 written off.
async fn with_encryptions(mount: &Mount, encryptions: u64) -> Mount {
    let made_at = &mount.entry("version/k/0000000001").await.unwrap()["created_at"];
    // A start far ahead: none of those before it adds to the count.
    mount.put_entry("config/starts", &json!(100)).await;
    mount.put_entry(PLACE, &json!({"encryptions": encryptions, "start": 101, "made_at": made_at})).await;
    mount.restarted()
}

async fn written_off(mount: &Mount) -> u64 {
    mount.entry(PLACE).await.map_or(0, |entry| entry["encryptions"].as_u64().unwrap())
}

#[tokio::test]
async fn encryptions_write_nothing_until_a_block_is_used_up() {
    let backend = Counting::new();
    let mount = Mount::on(backend.clone()).await;
    mount.write("keys/k", json!({})).await.ok();
    encrypt(&mount).await.ok();
    backend.take();
    for _ in 0..FREE / 2 - 2 {
        encrypt(&mount).await.ok();
    }
    assert_eq!(backend.take(), (0, 0, 0));
    assert_eq!(written_off(&mount).await, 0);
    // From half of what is free on, the first block is written off, once.
    for _ in 0..FREE {
        encrypt(&mount).await.ok();
    }
    assert_eq!(written_off(&mount).await, FREE + BLOCK);
    backend.take();
    mount.write("encrypt/k", batch(9000)).await.ok();
    assert_eq!(backend.take().2, 0);
}

#[tokio::test]
async fn the_count_is_never_below_the_truth_whenever_the_process_dies() {
    let mut mount = Mount::with_key(json!({})).await;
    let mut made = 0;
    for (round, items) in [1, 3000, 5000, 10, 4096, 4097, 1].into_iter().enumerate() {
        mount.write("encrypt/k", batch(items)).await.ok();
        made += items as u64;
        // Dies without a word.
        mount = mount.restarted();
        let record = mount.entry(PLACE).await;
        let (encryptions, start) = record
            .map_or((0, 1), |record| (record["encryptions"].as_u64().unwrap(), record["start"].as_u64().unwrap()));
        let starts = mount.entry("config/starts").await.unwrap().as_u64().unwrap();
        let counted = encryptions + (starts + 1 - start) * FREE;
        assert!(counted >= made, "round {round}: counted {counted}, made {made}");
        assert!(counted <= made + (round as u64 + 2) * (FREE + BLOCK + BLOCK / 2), "round {round}: counted {counted}");
    }
}

#[tokio::test]
async fn a_key_out_of_the_cache_is_settled_exactly() {
    use chancery_engine::Service;
    let backend = Counting::new();
    let mount = Mount::on(backend.clone()).await;
    mount.write("keys/k", json!({})).await.ok();
    for items in [100, 9900] {
        for _ in 0..items {
            encrypt(&mount).await.ok();
        }
        mount.transit.forget();
        mount.tick().await.unwrap();
    }
    assert_eq!(written_off(&mount).await, 10_000);
    backend.take();
    mount.tick().await.unwrap();
    assert_eq!(backend.take(), (0, 0, 0), "nothing is settled twice");
    // A key in the cache keeps what it has.
    encrypt(&mount).await.ok();
    backend.take();
    mount.tick().await.unwrap();
    assert_eq!(backend.take(), (0, 0, 0));
}

#[tokio::test]
async fn a_store_that_fails_makes_no_encryption_uncounted() {
    let backend = Counting::new();
    let mount = Mount::on(backend.clone()).await;
    mount.write("keys/k", json!({})).await.ok();
    encrypt(&mount).await.ok();
    backend.left.store(0, SeqCst);
    let mut made = 1;
    while made <= FREE && encrypt(&mount).await.status == 200 {
        made += 1;
    }
    assert_eq!(made, FREE);
    assert_eq!(encrypt(&mount).await.status, 500);
    assert_eq!(mount.write("encrypt/k", batch(3)).await.status, 500);
    backend.left.store(usize::MAX, SeqCst);
    encrypt(&mount).await.ok();
}

#[tokio::test]
async fn every_encrypting_endpoint_counts_each_item() {
    for parameters in [
        json!({}),
        json!({"type": "aes128-gcm96"}),
        json!({"type": "chacha20-poly1305"}),
        json!({"protection": "hsm"}),
        json!({"derived": true}),
        json!({"derived": true, "convergent_encryption": true}),
    ] {
        let mount = Mount::with_key(parameters.clone()).await;
        let mount = with_encryptions(&mount, LIMIT - 5).await;
        let derived = parameters["derived"] == true;
        let context = if derived { json!("Y29udGV4dA==") } else { json!("") };
        let item = json!({"plaintext": "eA==", "context": context});
        let two = mount.write("encrypt/k", json!({"batch_input": [item, item]})).await.ok();
        let ciphertext = &two["batch_results"][0]["ciphertext"];
        let old = json!({"ciphertext": ciphertext, "context": context});
        mount.write("rewrap/k", old.clone()).await.ok();
        mount.write("rewrap/k", json!({"batch_input": [old]})).await.ok();
        mount.write("datakey/wrapped/k", json!({"context": context})).await.ok();
        let text =
            "this key version has made 2^32 encryptions, the most its cipher allows with random nonces; rotate the key";
        mount.write("encrypt/k", item.clone()).await.refused(text);
        mount.write("rewrap/k", old.clone()).await.refused(text);
        mount.write("datakey/plaintext/k", json!({"context": context})).await.refused(text);
        let failed = mount.write("encrypt/k", json!({"batch_input": [item]})).await;
        assert_eq!((failed.status, failed.data["batch_results"][0]["error"].as_str()), (400, Some(text)));
        // It still decrypts, it stays refused after a restart, and a new version is fresh.
        assert_eq!(mount.write("decrypt/k", old.clone()).await.ok()["plaintext"], b64(b"x"));
        let mount = mount.restarted();
        mount.write("encrypt/k", item.clone()).await.refused(text);
        mount.write("keys/k/rotate", json!({})).await.ok();
        assert_eq!(mount.write("encrypt/k", item).await.ok()["key_version"], 2);
    }
}

#[tokio::test]
async fn an_old_version_counts_for_itself() {
    let mount = Mount::with_key(json!({})).await;
    mount.write("keys/k/rotate", json!({})).await.ok();
    let mount = with_encryptions(&mount, LIMIT).await;
    encrypt(&mount).await.ok();
    assert_eq!(mount.write("encrypt/k", json!({"plaintext": "eA==", "key_version": 1})).await.status, 400);
    let mixed = json!({"batch_input": [{"plaintext": "eA=="}, {"plaintext": "eA==", "key_version": 1}]});
    let reply = mount.write("encrypt/k", mixed).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.data["batch_results"][0]["key_version"], 2);
}

#[tokio::test]
async fn three_quarters_warn_and_nine_tenths_rotate() {
    let warning =
        "version 1 of this key has made 75% or more of the 2^32 encryptions its cipher allows; rotate the key";
    let mount = Mount::with_key(json!({})).await;
    let mount = with_encryptions(&mount, LIMIT / 4 * 3 - 2).await;
    for warned in [false, true, true] {
        let warnings = if warned { vec![warning.to_owned()] } else { Vec::new() };
        let reply = encrypt(&mount).await;
        assert_eq!(reply.warnings, warnings);
        if warned {
            let old = json!({"ciphertext": reply.data["ciphertext"]});
            assert_eq!(mount.write("rewrap/k", old.clone()).await.warnings, warnings);
            assert_eq!(mount.write("encrypt/k", batch(2)).await.warnings, warnings);
            assert_eq!(mount.write("datakey/wrapped/k", json!({})).await.warnings, warnings);
            assert!(mount.write("decrypt/k", old).await.warnings.is_empty());
        }
    }
    mount.write("encrypt/k", batch(3000)).await.ok();
    encrypt(&mount).await.ok();
    mount.tick().await.unwrap();
    assert_eq!(encrypt(&mount).await.ok()["key_version"], 1, "below nine tenths");

    let mount = with_encryptions(&mount, LIMIT / 10 * 9).await;
    mount.write("encrypt/k", batch(5000)).await.ok();
    mount.tick().await.unwrap();
    let reply = encrypt(&mount).await;
    assert_eq!(reply.data["key_version"], 2);
    assert!(reply.warnings.is_empty());
    mount.tick().await.unwrap();
    assert_eq!(encrypt(&mount).await.ok()["key_version"], 2, "once is enough");
    assert_eq!(mount.entry("rotation/usage/k").await, None);
}

#[tokio::test]
async fn a_new_key_of_an_old_name_starts_from_zero() {
    let mount = Mount::with_key(json!({})).await;
    mount.clock.advance(1);
    let mount = with_encryptions(&mount, LIMIT).await;
    assert_eq!(encrypt(&mount).await.status, 400);
    mount.write("keys/k/config", json!({"deletion_allowed": true})).await.ok();
    mount.delete("keys/k").await;
    assert_eq!(mount.entry(PLACE).await, None);
    mount.write("keys/k", json!({})).await.ok();
    encrypt(&mount).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_at_once_never_take_more_than_there_is() {
    let mount = Mount::with_key(json!({})).await;
    let left = 3 * BLOCK / 256;
    let mount = Arc::new(with_encryptions(&mount, LIMIT - left).await);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let mount = Arc::clone(&mount);
            tokio::spawn(async move {
                let mut made = 0;
                for _ in 0..10 {
                    let reply = mount.write("encrypt/k", batch(100)).await;
                    let results = reply.data["batch_results"].as_array().cloned().unwrap_or_default();
                    made += results.iter().filter(|result| result["ciphertext"].is_string()).count() as u64;
                }
                made
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += task.await.unwrap();
    }
    assert!(made <= left, "{made} of {left}");
    assert!(made > left - 2000, "{made} of {left}");
}

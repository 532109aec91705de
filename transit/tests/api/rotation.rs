//! Rotation by itself: by the clock, after crashes, and without looking at keys that are not due.

use crate::{
    counting::Counting,
    harness::{Mount, NOW, b64},
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::SeqCst;

const HOUR: i64 = 3600;

async fn hourly() -> Mount {
    Mount::with_key(json!({"auto_rotate_period": "1h"})).await
}

async fn latest(mount: &Mount) -> u64 {
    mount.read("keys/k", json!({})).await.ok()["latest_version"].as_u64().unwrap()
}

/// Lets the clock advance and the mount do its work; answers the latest version.
async fn after(mount: &Mount, seconds: i64) -> u64 {
    mount.clock.advance(seconds);
    mount.tick().await.unwrap();
    latest(mount).await
}

async fn config(mount: &Mount, body: Value) {
    mount.write("keys/k/config", body).await.ok();
}

#[tokio::test]
async fn a_key_is_rotated_when_its_period_is_over_and_not_before() {
    let mount = hourly().await;
    assert_eq!(after(&mount, HOUR - 1).await, 1);
    assert_eq!(after(&mount, 1).await, 2);
    assert_eq!(after(&mount, 0).await, 2);
    let body = mount.read("keys/k", json!({})).await.ok();
    assert_eq!(body["keys"], json!({"1": NOW, "2": NOW + HOUR}));
    assert_eq!(body["auto_rotate_period"], HOUR);
    // One version for a day that was slept through, and the next an hour after that.
    assert_eq!(after(&mount, 24 * HOUR).await, 3);
    assert_eq!(after(&mount, HOUR - 1).await, 3);
    assert_eq!(after(&mount, 1).await, 4);
}

#[tokio::test]
async fn rotation_by_hand_starts_the_period_anew() {
    let mount = hourly().await;
    assert_eq!(after(&mount, HOUR / 2).await, 1);
    mount.write("keys/k/rotate", json!({})).await.ok();
    assert_eq!(after(&mount, HOUR / 2).await, 2);
    assert_eq!(after(&mount, HOUR / 2).await, 3);
}

#[tokio::test]
async fn a_changed_period_counts_from_the_latest_version() {
    let mount = hourly().await;
    config(&mount, json!({"auto_rotate_period": "3h"})).await;
    assert_eq!(after(&mount, 2 * HOUR).await, 1);
    config(&mount, json!({"auto_rotate_period": "2h"})).await;
    assert_eq!(after(&mount, 0).await, 2);
    config(&mount, json!({"auto_rotate_period": 0})).await;
    assert_eq!(after(&mount, 1000 * HOUR).await, 2);
    assert_eq!(mount.entry("rotation/period/k").await, None);
    // Other options leave the period as it is.
    config(&mount, json!({"auto_rotate_period": "1h", "deletion_allowed": true})).await;
    assert_eq!(after(&mount, 0).await, 3);
    config(&mount, json!({"min_decryption_version": 2})).await;
    assert_eq!(after(&mount, HOUR).await, 4);
}

#[tokio::test]
async fn a_deleted_key_is_due_no_more_and_a_new_one_of_its_name_starts_anew() {
    let mount = hourly().await;
    config(&mount, json!({"deletion_allowed": true})).await;
    mount.clock.advance(HOUR);
    mount.delete("keys/k").await;
    mount.tick().await.unwrap();
    assert_eq!(mount.read("keys/k", json!({})).await.status, 404);
    assert_eq!(mount.entry("rotation/period/k").await, None);
    mount.write("keys/k", json!({"auto_rotate_period": "2h"})).await.ok();
    assert_eq!(after(&mount, HOUR).await, 1);
    assert_eq!(after(&mount, HOUR).await, 2);
}

#[tokio::test]
async fn a_soft_deleted_key_is_left_alone_until_it_is_restored() {
    let mount = hourly().await;
    mount.delete("keys/k/soft-delete").await.ok();
    assert_eq!(after(&mount, 5 * HOUR).await, 1);
    config(&mount, json!({"auto_rotate_period": "2h"})).await;
    assert_eq!(after(&mount, 5 * HOUR).await, 1);
    mount.write("keys/k/soft-delete-restore", json!({})).await.ok();
    assert_eq!(after(&mount, 0).await, 2);
}

#[tokio::test]
async fn every_protection_and_type_rotates() {
    for parameters in [
        json!({"protection": "hsm"}),
        json!({"type": "ecdsa-p256", "protection": "hsm"}),
        json!({"type": "ed25519"}),
        json!({"type": "hmac", "key_size": 32}),
    ] {
        let mut parameters = parameters;
        parameters["auto_rotate_period"] = json!(HOUR);
        let mount = Mount::with_key(parameters.clone()).await;
        assert_eq!(after(&mount, HOUR).await, 2, "{parameters}");
    }
}

#[tokio::test]
async fn a_crash_before_the_commit_leaves_the_key_due_and_one_after_it_does_not() {
    for (written, expected) in [(false, 1), (true, 2)] {
        let backend = Counting::new();
        let mount = Mount::on(backend.clone()).await;
        // A key of the token is announced by a commit of its own, which the next test looks at.
        let key = json!({"auto_rotate_period": "1h", "protection": "software"});
        mount.write("keys/k", key).await.ok();
        mount.clock.advance(HOUR);
        backend.left.store(usize::from(written), SeqCst);
        backend.forgets.store(written, SeqCst);
        assert_eq!(mount.tick().await.is_err(), !written);
        backend.left.store(usize::MAX, SeqCst);
        backend.forgets.store(false, SeqCst);
        let mount = mount.restarted();
        assert_eq!(latest(&mount).await, expected, "written: {written}");
        assert_eq!(after(&mount, 0).await, 2, "written: {written}");
        assert_eq!(after(&mount, 0).await, 2, "written: {written}");
        assert_eq!(after(&mount, HOUR).await, 3, "written: {written}");
    }
}

#[tokio::test]
async fn objects_that_a_crash_left_in_the_token_are_destroyed() {
    let backend = Counting::new();
    let mount = Mount::on(backend.clone()).await;
    mount.write("keys/k", json!({"protection": "hsm", "auto_rotate_period": "1h"})).await.ok();
    let objects = async |mount: &Mount| mount.hsm.list().await.unwrap().len();
    assert_eq!(objects(&mount).await, 2);
    for (path, body) in [("keys/k/rotate", json!({})), ("keys/other", json!({"protection": "hsm"}))] {
        // The announcement is stored, the version is not.
        backend.left.store(1, SeqCst);
        assert_eq!(mount.write(path, body).await.status, 500);
        backend.left.store(usize::MAX, SeqCst);
    }
    assert_eq!(objects(&mount).await, 6);
    let mount = mount.restarted();
    mount.clock.advance(HOUR - 1);
    mount.tick().await.unwrap();
    assert_eq!(objects(&mount).await, 6, "they might still be recorded");
    mount.clock.advance(1);
    mount.tick().await.unwrap();
    assert_eq!(latest(&mount).await, 2);
    assert_eq!(objects(&mount).await, 4, "two of each version");
    let ciphertext = mount.ciphertext(b"x").await;
    assert_eq!(mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok()["plaintext"], b64(b"x"));
}

#[tokio::test]
async fn mounts_that_tick_at_once_rotate_once() {
    let mount = hourly().await;
    mount.clock.advance(HOUR);
    let others: Vec<_> = (0..8).map(|_| mount.restarted()).collect();
    futures_util::future::join_all(others.iter().map(Mount::tick)).await;
    assert_eq!(latest(&mount.restarted()).await, 2);
}

#[tokio::test]
async fn of_ten_thousand_keys_only_the_one_that_is_due_is_read() {
    let backend = Counting::new();
    let mount = Mount::on(backend.clone()).await;
    for number in 0..10_000 {
        let period = if number == 7777 { "1h" } else { "30h" };
        mount
            .write(&format!("keys/k{number}"), json!({"auto_rotate_period": period, "protection": "software"}))
            .await
            .ok();
    }
    backend.take();
    mount.tick().await.unwrap();
    assert_eq!(backend.take(), (0, 0, 0), "nothing is due");
    mount.clock.advance(HOUR);
    mount.tick().await.unwrap();
    let (reads, lists, commits) = backend.take();
    assert!(reads <= 6 && lists == 0 && commits == 1, "{reads} reads, {lists} lists, {commits} commits");
    assert_eq!(mount.read("keys/k7777", json!({})).await.ok()["latest_version"], 2);
    assert_eq!(mount.read("keys/k7776", json!({})).await.ok()["latest_version"], 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_rotated_waits_and_holds_up_nobody() {
    let mount = Mount::with_key(json!({"auto_rotate_period": "1h"})).await;
    let mut record = mount.entry("key/k").await.unwrap();
    record["protection"] = json!("hsm");
    record["type"] = json!("chacha20-poly1305");
    mount.put_entry("key/k", &record).await;
    mount.write("keys/other", json!({"auto_rotate_period": "1h"})).await.ok();
    mount.clock.advance(HOUR);
    mount.tick().await.unwrap();
    assert_eq!(mount.read("keys/other", json!({})).await.ok()["latest_version"], 2);
    assert_eq!(mount.entry("key/k").await.unwrap()["latest_version"], 1);
    record["protection"] = json!("software");
    mount.put_entry("key/k", &record).await;
    let mount = mount.restarted();
    assert_eq!(after(&mount, 0).await, 1, "it waits");
    assert_eq!(after(&mount, 600).await, 2);
    let ciphertext = mount.ciphertext(b"x").await;
    assert_eq!(mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.ok()["plaintext"], b64(b"x"));
}

//! `cache-config`.

use crate::harness::Mount;
use serde_json::json;

#[tokio::test]
async fn the_size_is_zero_or_at_least_ten_and_is_kept() {
    let mount = Mount::new().await;
    assert_eq!(mount.read("cache-config", json!({})).await.ok(), json!({"size": 0}));
    for size in [9, 1, -1] {
        mount
            .write("cache-config", json!({"size": size}))
            .await
            .refused("size must be 0 or a value greater or equal to 10");
    }
    assert_eq!(mount.read("cache-config", json!({})).await.ok(), json!({"size": 0}));
    for size in [10, 20, 1_000_000_000_000_i64, 0] {
        assert_eq!(mount.write("cache-config", json!({"size": size})).await.ok(), json!({"size": size}));
        assert_eq!(mount.read("cache-config", json!({})).await.ok(), json!({"size": size}));
    }
}

#[tokio::test]
async fn a_bounded_cache_still_finds_every_key() {
    let mount = Mount::new().await;
    mount.write("cache-config", json!({"size": 10})).await.ok();
    for number in 0..40 {
        mount.write(&format!("keys/k{number}"), json!({})).await.ok();
    }
    for number in 0..40 {
        let made = mount.write(&format!("encrypt/k{number}"), json!({"plaintext": "aGk="})).await.ok();
        let body = json!({"ciphertext": made["ciphertext"]});
        assert_eq!(mount.write(&format!("decrypt/k{number}"), body).await.ok()["plaintext"], "aGk=");
    }
}

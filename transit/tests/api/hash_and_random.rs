//! `hash` and `random`.

use crate::harness::{Mount, b64, from_b64};
use serde_json::json;

#[tokio::test]
async fn hashes_are_the_known_ones() {
    let mount = Mount::new().await;
    let sum = async |path: &str, body: serde_json::Value| {
        mount.write(path, body).await.ok()["sum"].as_str().unwrap().to_owned()
    };
    let hello = b64(b"hello");
    // FIPS 180-4 and FIPS 202 values of "hello", as `openssl dgst` prints them.
    let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(sum("hash", json!({"input": hello})).await, sha256);
    assert_eq!(sum("hash/sha2-256", json!({"input": hello, "algorithm": "sha2-512"})).await, sha256);
    assert_eq!(
        sum("hash/sha3-256", json!({"input": hello})).await,
        "3338be694f50c5f338814986cdf0686453a888b84f424d792af4b9202398f392"
    );
    assert_eq!(
        from_b64(&sum("hash", json!({"input": hello, "format": "base64", "algorithm": "sha2-224"})).await).len(),
        28
    );
    for (path, body, text) in [
        ("hash", json!({}), "input missing"),
        ("hash", json!({"input": "!!"}), "unable to decode input as base64: illegal base64 data at input byte 0"),
        ("hash/sha1", json!({"input": ""}), "unsupported algorithm sha1"),
        ("hash/none", json!({"input": ""}), "unsupported algorithm none"),
        ("hash/foo", json!({"input": ""}), "unsupported algorithm foo"),
        ("hash", json!({"input": "", "format": "x"}), "unsupported encoding format x; must be \"hex\" or \"base64\""),
    ] {
        mount.write(path, body).await.refused(text);
    }
}

#[tokio::test]
async fn random_gives_as_many_bytes_as_asked_for_from_every_source() {
    let mount = Mount::new().await;
    for (path, body, count) in [
        ("random", json!({}), 32),
        ("random", json!({"bytes": "8"}), 8),
        ("random/16", json!({"bytes": 8}), 16),
        ("random/platform", json!({}), 32),
        ("random/platform/5", json!({}), 5),
        ("random/seal/3000", json!({}), 3000),
        ("random/all/131072", json!({}), 131_072),
    ] {
        let text = async || mount.write(path, body.clone()).await.ok()["random_bytes"].as_str().unwrap().to_owned();
        assert_eq!(from_b64(&text().await).len(), count, "{path}");
        assert_ne!(text().await, text().await, "{path}");
    }
    let hex = mount.write("random/4", json!({"format": "hex"})).await.ok();
    assert_eq!(hex["random_bytes"].as_str().unwrap().len(), 8);
    for (path, body, text) in [
        ("random/0", json!({}), "'bytes' cannot be less than 1"),
        ("random", json!({"bytes": -1}), "'bytes' cannot be less than 1"),
        ("random/131073", json!({}), "'bytes' should be less than 131072"),
        ("random/x", json!({}), "error parsing url-set byte count: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("random/foo/8", json!({}), "unsupported entropy source \"foo\"; must be \"platform\" or \"seal\", or \"all\""),
        ("random", json!({"format": "x"}), "unsupported encoding format \"x\"; must be \"hex\" or \"base64\""),
    ] {
        mount.write(path, body).await.refused(text);
    }
}

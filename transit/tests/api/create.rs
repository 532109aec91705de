//! `keys/:name`: create, read, list, delete.

use crate::{
    harness::{Mount, NOW, from_b64},
    token,
};
use chancery_engine::Verb;
use serde_json::{Value, json};

const TYPES: [&str; 11] = [
    "aes128-gcm96",
    "aes256-gcm96",
    "chacha20-poly1305",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "hmac",
];

#[tokio::test]
async fn the_default_key_answers_the_whole_read_body() {
    let mount = Mount::new().await;
    let made = mount.write("keys/k", json!({})).await;
    let expected = json!({
        "allow_plaintext_backup": false, "auto_rotate_period": 0, "deletion_allowed": false, "derived": false,
        "exportable": false, "imported_key": false, "keys": {"1": NOW}, "latest_version": 1,
        "min_available_version": 0, "min_decryption_version": 1, "min_encryption_version": 0, "name": "k",
        "protection": token::default_protection(), "soft_deleted": false, "supports_decryption": true, "supports_derivation": true,
        "supports_encryption": true, "supports_signing": false, "type": "aes256-gcm96"
    });
    assert_eq!(made.ok(), expected);
    assert_eq!(mount.read("keys/k", json!({})).await.ok(), expected);
}

#[tokio::test]
async fn pairs_show_their_public_half_in_the_wires_forms() {
    let mount = Mount::new().await;
    for (key_type, name) in
        [("ecdsa-p256", "P-256"), ("ecdsa-p384", "P-384"), ("ecdsa-p521", "P-521"), ("rsa-2048", "rsa-2048")]
    {
        for protection in ["software", "hsm"] {
            let path = format!("keys/{key_type}-{protection}");
            let body = mount.write(&path, json!({"type": key_type, "protection": protection})).await.ok();
            let version = &body["keys"]["1"];
            assert_eq!(version["name"], name);
            assert_eq!(version["creation_time"], "2026-11-21T00:00:00Z");
            assert_eq!(version["certificate_chain"], "");
            let pem = version["public_key"].as_str().unwrap();
            assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");
            assert!(pem.ends_with("-----END PUBLIC KEY-----\n"), "{pem}");
            assert_eq!(body["protection"], protection);
        }
    }
    for protection in ["software", "hsm"] {
        let path = format!("keys/ed-{protection}");
        let body = mount.write(&path, json!({"type": "ed25519", "protection": protection})).await.ok();
        assert_eq!(from_b64(body["keys"]["1"]["public_key"].as_str().unwrap()).len(), 32);
        assert_eq!(body["keys"]["1"]["name"], "ed25519");
    }
}

#[tokio::test]
async fn hmac_keys_show_their_size_and_no_versions() {
    let mount = Mount::new().await;
    let body = mount.write("keys/k", json!({"type": "hmac", "key_size": "32"})).await.ok();
    assert_eq!(body["key_size"], 32);
    assert_eq!(body.get("keys"), None);
    for (size, text) in [(31, "invalid key_size 31"), (513, "invalid key_size 513"), (-1, "invalid key_size -1")] {
        mount.write("keys/x", json!({"type": "hmac", "key_size": size})).await.refused(text);
    }
    let text = "invalid key size for HMAC key, must be between 32 and 512 bytes";
    mount.write("keys/x", json!({"type": "hmac"})).await.refused(text);
}

#[tokio::test]
async fn an_existing_key_is_shown_and_not_changed() {
    let mount = Mount::with_key(json!({})).await;
    let ciphertext = mount.ciphertext(b"text").await;
    let again = mount.write("keys/k", json!({"type": "rsa-2048", "exportable": true})).await;
    assert_eq!(again.warnings, Vec::<String>::new());
    let body = again.ok();
    assert_eq!(
        (&body["type"], &body["exportable"], &body["latest_version"]),
        (&json!("aes256-gcm96"), &json!(false), &json!(1))
    );
    assert_eq!(mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.status, 200);
}

#[tokio::test]
async fn impossible_parameters_are_refused_and_nothing_is_written() {
    let mount = Mount::new().await;
    for (parameters, text) in [
        (json!({"type": "foo"}), "unknown key type foo"),
        (json!({"type": 5}), "unknown key type 5"),
        (json!({"type": ""}), "unknown key type "),
        (json!({"type": null}), "unknown key type "),
        (json!({"type": "AES256-GCM96"}), "unknown key type AES256-GCM96"),
        (json!({"convergent_encryption": true}), "convergent encryption requires derivation to be enabled"),
        (json!({"auto_rotate_period": "30m"}), "auto rotate period must be 0 to disable or at least an hour"),
        (
            json!({"auto_rotate_period": "-1h"}),
            "Field validation failed: error converting input for field \"auto_rotate_period\": cannot provide negative value '-3600'",
        ),
        (json!({"key_size": 32}), "key_size is not valid for algorithm aes256-gcm96"),
        (
            json!({"type": "rsa-2048", "derived": true}),
            "key derivation and convergent encryption not supported for keys of type rsa-2048",
        ),
        (
            json!({"type": "ed25519", "derived": true, "convergent_encryption": true}),
            "convergent encryption not supported for keys of type ed25519",
        ),
        (json!({"protection": "hsm", "derived": true}), "keys with protection hsm cannot be derived"),
        (json!({"protection": "hsm", "exportable": true}), "keys with protection hsm never leave the token"),
        (json!({"protection": "tpm"}), "unknown protection tpm, expected software or hsm"),
        (json!({"protection": "hsm", "type": "chacha20-poly1305"}), "the token does not support CKM_CHACHA20_POLY1305"),
        (
            json!({"protection": "hsm", "type": "hmac", "key_size": 64}),
            "a key of type hmac with protection hsm has a key_size of 32",
        ),
    ] {
        mount.write("keys/bad", parameters).await.refused(text);
        assert_eq!(mount.read("keys/bad", json!({})).await.status, 404);
    }
    for body in [r#"{"type":["a"]}"#, r#"{"derived":"maybe"}"#, r#"{"key_size":"x"}"#, "{", "[]", "5"] {
        let reply = mount.send(Verb::Write, "keys/bad", body.as_bytes().to_vec()).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    assert_eq!(mount.list("keys", json!({})).await.status, 404);
    assert!(mount.hsm.list().await.unwrap().is_empty());
}

/// Row CVE-2026-55776 (OpenBao GHSA-8w8f-r2xv-4q4j): an odd combination must not take the server down.
#[tokio::test]
async fn cve_2026_55776_no_combination_of_parameters_panics() {
    let mount = Mount::new().await;
    let (mut made, mut refused) = (0, 0);
    for (number, key_type) in TYPES.into_iter().filter(|name| !matches!(*name, "rsa-3072" | "rsa-4096")).enumerate() {
        for bits in 0..32_u32 {
            let bit = |position: u32| bits >> position & 1 == 1;
            let parameters = json!({
                "type": key_type,
                "derived": bit(0),
                "convergent_encryption": bit(1),
                "exportable": bit(2),
                "protection": if bit(3) { "hsm" } else { "software" },
                "key_size": if bit(4) { 32 } else { 0 },
            });
            let path = format!("keys/k{number}-{bits}");
            match mount.write(&path, parameters.clone()).await.status {
                200 => {
                    made += 1;
                    assert_eq!(mount.read(&path, json!({})).await.ok()["type"], key_type);
                    assert_eq!(mount.write(&format!("{path}/rotate"), json!({})).await.ok()["latest_version"], 2);
                }
                400 => {
                    refused += 1;
                    assert_eq!(mount.read(&path, json!({})).await.status, 404, "{parameters}");
                }
                other => panic!("{other} for {parameters}"),
            }
        }
    }
    assert!(made > 20 && refused > 100, "{made} made, {refused} refused");
}

#[tokio::test]
async fn hostile_names_reach_no_endpoint() {
    let mount = Mount::new().await;
    for name in ["-a", "a-", ".a", "a.", "..", "a b", "a*", "ключ", "a%2fb", "a\u{0}b", ""] {
        for path in [format!("keys/{name}"), format!("encrypt/{name}"), format!("sign/{name}")] {
            let reply = mount.write(&path, json!({"plaintext": "", "input": ""})).await;
            assert!(matches!(reply.status, 404 | 405), "{path}: {reply:?}");
        }
    }
    assert_eq!(mount.list("keys", json!({})).await.status, 404);
    assert_eq!(mount.write("keys/a/b", json!({})).await.error, "unsupported path");
    let long = format!("keys/K{}", "a".repeat(300));
    assert_eq!(mount.write(&long, json!({})).await.status, 200);
}

#[tokio::test]
async fn names_are_listed_in_pages() {
    let mount = Mount::new().await;
    assert_eq!(mount.list("keys", json!({})).await.status, 404);
    for name in ["b", "a.1", "c", "a"] {
        mount.write(&format!("keys/{name}"), json!({})).await.ok();
    }
    let keys = async |parameters: Value| mount.list("keys", parameters).await.ok()["keys"].clone();
    assert_eq!(keys(json!({})).await, json!(["a", "a.1", "b", "c"]));
    assert_eq!(keys(json!({"after": "a", "limit": 2})).await, json!(["a.1", "b"]));
    assert_eq!(keys(json!({"limit": -1})).await, json!(["a", "a.1", "b", "c"]));
    assert_eq!(mount.list("keys", json!({"limit": "x"})).await.status, 400);
}

#[tokio::test]
async fn deletion_must_be_allowed_first() {
    for protection in ["software", "hsm"] {
        let mount = Mount::with_key(json!({"protection": protection})).await;
        let ciphertext = mount.ciphertext(b"x").await;
        mount.delete("keys/k").await.refused("error deleting policy k: deletion is not allowed for this key");
        mount.delete("keys/none").await.refused("error deleting policy none: could not delete key; not found");
        mount.write("keys/k/rotate", json!({})).await.ok();
        mount.write("keys/k/config", json!({"deletion_allowed": true})).await.ok();
        assert_eq!(mount.delete("keys/k").await.status, 204);
        assert_eq!(mount.read("keys/k", json!({})).await.status, 404);
        mount.write("decrypt/k", json!({"ciphertext": ciphertext})).await.refused("encryption key not found");
        assert!(mount.hsm.list().await.unwrap().is_empty(), "objects stay in the token");
    }
}

#[tokio::test]
async fn a_derived_ed25519_key_shows_its_public_key_only_for_a_context() {
    let mount = Mount::with_key(json!({"type": "ed25519", "derived": true})).await;
    let shown = mount.read("keys/k", json!({})).await.ok();
    assert_eq!(shown["keys"]["1"]["public_key"], "");
    assert_eq!((&shown["kdf"], &shown["convergent_encryption"]), (&json!("hkdf_sha256"), &json!(false)));
    let of = async |context: &str| {
        let body = mount.read("keys/k", json!({"context": context})).await.ok();
        body["keys"]["1"]["public_key"].as_str().unwrap().to_owned()
    };
    assert_eq!(from_b64(&of("eA==").await).len(), 32);
    assert_ne!(of("eA==").await, of("eQ==").await);
    mount.read("keys/k", json!({"context": "!!"})).await.refused("failed to base64-decode context");
}

#[tokio::test]
async fn hsm_keys_cannot_be_made_without_an_hsm() {
    let mount = Mount::new().await;
    let view = mount.store.view("mount/2/");
    let clock = std::sync::Arc::new(mount.clock.clone());
    let transit = chancery_transit::Transit::new(view, mount.store.clone(), None, clock);
    let other = Mount { engine: chancery_engine::Hosted::new(transit.clone()), transit, ..mount };
    let text = "this appliance runs without an HSM: only protection software is possible";
    other.write("keys/k", json!({"protection": "hsm"})).await.refused(text);
    other.write("keys/k", json!({"protection": "software"})).await.ok();
}

#[tokio::test]
async fn a_sealed_store_is_a_503_and_nothing_cached_survives() {
    use chancery_engine::Service;
    let mount = Mount::with_key(json!({})).await;
    mount.ciphertext(b"x").await;
    mount.store.barrier().seal().await;
    mount.transit.forget();
    assert_eq!(mount.read("keys/k", json!({})).await.status, 503);
    assert_eq!(mount.write("keys/k/rotate", json!({})).await.status, 503);
}

#[tokio::test]
async fn removing_the_mount_destroys_its_objects_in_the_token() {
    use chancery_engine::Engine;
    let mount = Mount::with_key(json!({"protection": "hsm"})).await;
    mount.write("keys/k/rotate", json!({})).await.ok();
    assert_eq!(mount.hsm.list().await.unwrap().len(), 4);
    mount.engine.remove().await.unwrap();
    assert!(mount.hsm.list().await.unwrap().is_empty());
}

/// Policies in use grant `update` for everything but making keys by encrypting; a server that asked for `create`
/// elsewhere would lock their tokens out.
#[tokio::test]
async fn only_encrypt_tells_create_from_update() {
    use chancery_engine::Engine;
    let mount = Mount::new().await;
    for (path, tells) in [
        ("keys/k", false),
        ("keys/k/config", false),
        ("encrypt/k", true),
        ("decrypt/k", false),
        ("datakey/plaintext/k", false),
        ("config/keys", false),
    ] {
        assert_eq!(mount.engine.find(Verb::Write, path).unwrap().has_existence_check, tells, "{path}");
    }
}

//! The inventory: lists, searches, retention.

use crate::harness::{Mount, Pair};
use chancery_engine::{Clock, Engine};
use serde_json::{Value, json};

async fn serials(mount: &Mount, filter: Value) -> Value {
    let found = mount.list("certificates", filter).await;
    if found.status == 404 { json!([]) } else { found.ok()["keys"].clone() }
}

#[tokio::test]
async fn what_was_signed_is_found_by_every_field() {
    let mount = Mount::ready().await;
    let (mitch, host) = (Pair::ed25519(), Pair::ed25519());
    let issuer = mount.read("config/ca").await.text("issuer_id");
    mount.sign("user", &mitch, json!({"valid_principals": "mitch,shared"})).await.ok();
    mount.sign("user", &Pair::ed25519(), json!({"valid_principals": "kate,shared", "ttl": "10m"})).await.ok();
    mount.sign("host", &host, json!({"cert_type": "host", "valid_principals": "a.example.com"})).await.ok();
    mount.write("config/ca", json!({"key_type": "ed25519"})).await.ok();
    mount.sign("user", &mitch, json!({"valid_principals": "mitch"})).await.ok();
    for (filter, expected) in [
        (json!({}), json!(["1", "2", "3", "4"])),
        (json!({"principal": "shared"}), json!(["1", "2"])),
        (json!({"cert_type": "host"}), json!(["3"])),
        (json!({"role": "user", "principal": "mitch"}), json!(["1", "4"])),
        (json!({"fingerprint": mitch.public.fingerprint()}), json!(["1", "4"])),
        (json!({"issuer_ref": issuer}), json!(["1", "2", "3"])),
        (json!({"issuer_ref": "default"}), json!(["4"])),
        (json!({"key_id": format!("vault-root-{}", host.public.hex_hash())}), json!(["3"])),
        (json!({"requester": "nobody"}), json!([])),
        (json!({"ends_before": "2026-11-21T00:30:00Z"}), json!(["2"])),
        (json!({"ends_after": "2026-11-21T02:00:00Z"}), json!(["3"])),
        (json!({"limit": 2}), json!(["1", "2"])),
        (json!({"after": "2", "limit": "1"}), json!(["3"])),
    ] {
        assert_eq!(serials(&mount, filter.clone()).await, expected, "{filter}");
    }
    for (filter, why) in [
        (json!({"after": "zork"}), "not a serial number"),
        (json!({"cert_type": "zork"}), "cert_type"),
        (json!({"ends_before": "tomorrow"}), "not a time"),
        (json!({"issuer_ref": "zork"}), "unable to find issuer"),
    ] {
        mount.list("certificates", filter).await.refused_for(400, why);
    }
    assert_eq!(mount.read("certificate/99").await.status, 404);
    mount.read("certificate/zork").await.refused_for(400, "not a serial number");
}

#[tokio::test]
async fn a_certificate_is_valid_then_revoked_or_expired() {
    let mount = Mount::ready().await;
    for _ in 0..2 {
        mount.sign("user", &Pair::ed25519(), json!({"valid_principals": "x"})).await.ok();
    }
    mount.write("revoke", json!({"serial_number": "2"})).await.ok();
    let state = async |serial: &str| mount.read(&format!("certificate/{serial}")).await.text("state");
    assert_eq!((state("1").await, state("2").await), ("valid".to_owned(), "revoked".to_owned()));
    let listed = mount.list("certificates", json!({})).await.ok();
    assert_eq!(
        (&listed["key_info"]["1"]["state"], &listed["key_info"]["2"]["state"]),
        (&json!("valid"), &json!("revoked"))
    );
    mount.clock.advance(3600);
    assert_eq!((state("1").await, state("2").await), ("expired".to_owned(), "revoked".to_owned()));
}

#[tokio::test]
async fn ended_certificates_are_kept_for_the_retention_and_no_longer() {
    let mount = Mount::ready().await;
    assert_eq!(mount.read("config/inventory").await.ok(), json!({"retention": 7_776_000}));
    mount.write("config/inventory", json!({"retention": "1h"})).await.ok();
    mount.sign("user", &Pair::ed25519(), json!({"valid_principals": "x", "ttl": "10m"})).await.ok();
    mount.sign("user", &Pair::ed25519(), json!({"valid_principals": "x", "ttl": "1h"})).await.ok();
    let tick = async || mount.engine.tick(mount.point.clone(), mount.clock.now()).await.unwrap();
    mount.clock.advance(600 + 3600);
    tick().await;
    assert_eq!(serials(&mount, json!({})).await, json!(["1", "2"]), "to the second");
    mount.clock.advance(1);
    tick().await;
    assert_eq!(serials(&mount, json!({})).await, json!(["2"]));
    mount.write("config/inventory", json!({"retention": -1})).await.refused_for(400, "negative");
}

//! Revocation and the lists that tell hosts.

use crate::harness::{Mount, Pair};
use chancery_engine::{Clock, Engine};
use chancery_ssh_ca::{krl::Subject, public_key::SshPublicKey};
use serde_json::{Value, json};

struct Signed {
    key: Pair,
    ca: Vec<u8>,
    serial: u64,
    key_id: String,
}

impl Signed {
    fn subject(&self) -> Subject<'_> {
        Subject { key: self.key.public.blob(), certificate: Some((&self.ca, self.serial, &self.key_id)) }
    }
}

async fn signed(mount: &Mount) -> Signed {
    let key = Pair::ed25519();
    let certificate = mount.sign("user", &key, json!({"valid_principals": "x"})).await.certificate();
    let (serial, key_id) = (certificate.serial(), certificate.key_id().to_owned());
    Signed { ca: crate::harness::signer(&certificate), key, serial, key_id }
}

fn header(reply: &crate::harness::Reply, name: &str) -> String {
    reply.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone()
}

#[tokio::test]
async fn each_way_of_revoking_names_what_it_means_and_nothing_else() {
    let mount = Mount::ready().await;
    let other = signed(&mount).await;
    let victims =
        [signed(&mount).await, signed(&mount).await, signed(&mount).await, signed(&mount).await, signed(&mount).await];
    let [by_serial, by_range, by_id, by_key, by_hash] = &victims;
    for (body, victim) in [
        (json!({"serial_number": format!("{:x}", by_serial.serial)}), by_serial),
        (json!({"first_serial_number": "3", "last_serial_number": "3"}), by_range),
        (json!({"key_id": by_id.key_id}), by_id),
        (json!({"public_key": by_key.key.line()}), by_key),
        (json!({"fingerprint": by_hash.key.public.fingerprint()}), by_hash),
    ] {
        assert!(!mount.krl("krl").await.revokes(&victim.subject()), "{body}");
        mount.write("revoke", body.clone()).await.ok();
        let krl = mount.krl("krl").await;
        assert!(krl.revokes(&victim.subject()), "{body}");
        assert!(!krl.revokes(&other.subject()), "{body}");
        assert!(mount.krl("issuer/main/krl").await.revokes(&victim.subject()), "{body}");
    }
    mount.write("revoke", json!({"issuer": "main"})).await.ok();
    assert!(mount.krl("krl").await.revokes(&other.subject()));
}

#[tokio::test]
async fn one_range_retires_everything_signed_so_far() {
    let mount = Mount::ready().await;
    let before = [signed(&mount).await, signed(&mount).await];
    mount.write("revoke", json!({"last_serial_number": "last", "reason": "before the rotation"})).await.ok();
    let after = signed(&mount).await;
    let krl = mount.krl("krl").await;
    assert!(before.iter().all(|signed| krl.revokes(&signed.subject())));
    assert!(!krl.revokes(&after.subject()));
}

#[tokio::test]
async fn a_list_has_a_version_a_tag_and_a_comment() {
    let mount = Mount::ready().await;
    mount.write("config/krl", json!({"comment": "of the mount ssh/"})).await.ok();
    assert_eq!(mount.read("config/krl").await.ok(), json!({"comment": "of the mount ssh/"}));
    let first = mount.read("krl").await;
    assert_eq!(header(&first, "etag"), header(&mount.read("krl").await, "etag"));
    signed(&mount).await;
    let answer = mount.write("revoke", json!({"serial_number": "1"})).await.ok();
    let second = mount.read("krl").await;
    assert_ne!(header(&first, "etag"), header(&second, "etag"));
    assert_eq!(header(&second, "cache-control"), "no-cache");
    let krl = mount.krl("krl").await;
    assert_eq!(
        (json!(krl.header.version), krl.header.comment.as_str()),
        (answer["krl_version"].clone(), "of the mount ssh/")
    );
    assert!(krl.header.version > chancery_ssh_ca::krl::Krl::decode(&first.raw).unwrap().header.version);
    mount.write("config/krl", json!({"comment": "a\nb"})).await.refused_for(400, "control characters");
    // The same list after a restart, byte for byte.
    let again = Mount::beside(mount.store.clone(), mount.hsm.clone(), "1");
    assert_eq!(again.read("krl").await.raw, second.raw);
}

#[tokio::test]
async fn what_is_revoked_already_changes_nothing() {
    let mount = Mount::ready().await;
    signed(&mount).await;
    mount.write("revoke", json!({"serial_number": "1"})).await.ok();
    let before = mount.read("krl").await.raw;
    let again = mount.write("revoke", json!({"serial_number": "1"})).await;
    assert!(again.warnings[0].contains("already"), "{again:?}");
    assert_eq!(mount.read("krl").await.raw, before);
    assert_eq!(mount.list("revocations", json!({})).await.ok()["keys"], json!(["1"]));
}

#[tokio::test]
async fn revocations_are_shown_and_can_be_taken_back() {
    let mount = Mount::ready().await;
    let victim = signed(&mount).await;
    mount.write("revoke", json!({"serial_number": "1", "reason": "lost laptop"})).await.ok();
    mount.write("revoke", json!({"public_key": victim.key.line()})).await.ok();
    let shown = mount.read("revocation/1").await.ok();
    assert_eq!(
        (&shown["kind"], &shown["target"], &shown["reason"]),
        (&json!("serial_number"), &json!("1"), &json!("lost laptop"))
    );
    assert_eq!(mount.list("revocations", json!({"after": 1})).await.ok()["key_info"]["2"]["target"], victim.key.line());
    let version = mount.krl("krl").await.header.version;
    for id in ["1", "2"] {
        assert_eq!(mount.delete(&format!("revocation/{id}")).await.status, 204);
    }
    let krl = mount.krl("krl").await;
    assert!(!krl.revokes(&victim.subject()));
    assert!(krl.header.version > version, "a list without it is a newer list");
    for path in ["revocation/1", "revocation/0", "revocation/x"] {
        assert_eq!(mount.read(path).await.status, 404, "{path}");
    }
    assert_eq!(mount.delete("revocation/1").await.status, 204);
}

#[tokio::test]
async fn requests_that_do_not_say_what_they_mean_are_refused() {
    let mount = Mount::ready().await;
    let victim = signed(&mount).await;
    let certificate = mount.read("certificate/1").await.text("signed_key");
    let exactly = "state exactly one of";
    for (body, why) in [
        (json!({}), exactly),
        (json!({"issuer_ref": "main"}), exactly),
        (json!({"serial_number": "1", "key_id": "x"}), exactly),
        (json!({"serial_number": "zork"}), "not a serial number"),
        (json!({"serial_number": "0"}), "not a serial number"),
        (json!({"serial_number": "+1"}), "not a serial number"),
        (json!({"serial_number": "99"}), "is not in the inventory"),
        (json!({"first_serial_number": "9", "last_serial_number": "8"}), "lies behind"),
        (json!({"public_key": "zork"}), "failed to parse"),
        (json!({"public_key": certificate}), "revoke it by its serial_number"),
        (json!({"fingerprint": "SHA256:zork"}), "fingerprint is not one"),
        (json!({"fingerprint": "MD5:00"}), "fingerprint is not one"),
        (json!({"issuer": "zork"}), "unable to find issuer"),
        (json!({"serial_number": "1", "reason": "a\nb"}), "control characters"),
    ] {
        mount.write("revoke", body).await.refused_for(400, why);
    }
    assert!(!mount.krl("krl").await.revokes(&victim.subject()));
    assert_eq!(mount.list("revocations", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_serial_number_that_is_not_recorded_is_revoked_where_the_issuer_is_said() {
    let mount = Mount::ready().await;
    mount.write("revoke", json!({"serial_number": "abcdef0123456789", "issuer_ref": "main"})).await.ok();
    assert!(mount.krl("krl").await.certificates[0].1.serials.contains(0xabcd_ef01_2345_6789));
    signed(&mount).await;
    mount.write("issuers/import/other", json!({"key_type": "ed25519"})).await.ok();
    let wrong = mount.write("revoke", json!({"serial_number": "1", "issuer_ref": "other"})).await;
    wrong.refused_for(400, "not by the issuer_ref stated");
}

#[tokio::test]
async fn key_ids_are_meant_whoever_signs_unless_an_issuer_is_said() {
    let mount = Mount::ready().await;
    let main = SshPublicKey::parse(&mount.read("config/ca").await.text("public_key")).unwrap();
    mount.write("revoke", json!({"key_id": "everywhere"})).await.ok();
    mount.write("revoke", json!({"key_id": "here", "issuer_ref": "main"})).await.ok();
    let later = mount.write("issuers/import/later", json!({"key_type": "ed25519"})).await.text("public_key");
    let later = SshPublicKey::parse(&later).unwrap();
    let krl = mount.krl("krl").await;
    let says = |ca: &SshPublicKey, id: &str| krl.revokes(&Subject { key: b"k", certificate: Some((ca.blob(), 7, id)) });
    assert!(says(&main, "everywhere") && says(&later, "everywhere"), "an issuer made later is meant too");
    assert!(says(&main, "here") && !says(&later, "here"));
}

#[tokio::test]
async fn cve_2021_29653_a_revocation_is_told_of_until_the_certificate_has_long_ended() {
    let mount = Mount::ready().await;
    let victim = signed(&mount).await;
    mount.write("revoke", json!({"serial_number": "1"})).await.ok();
    mount.write("revoke", json!({"key_id": "for ever"})).await.ok();
    let tick = async || mount.engine.tick(mount.point.clone(), mount.clock.now()).await.unwrap();
    mount.clock.advance(3600 + 31 * 86_400 - 60);
    tick().await;
    assert!(mount.krl("krl").await.revokes(&victim.subject()));
    mount.clock.advance(120);
    tick().await;
    let krl = mount.krl("krl").await;
    assert!(!krl.revokes(&victim.subject()));
    assert!(krl.certificates[0].1.key_ids.contains("for ever"));
}

#[tokio::test]
async fn many_revocations_at_once_lose_none() {
    let mount = std::sync::Arc::new(Mount::ready().await);
    let revoke = |serial: u64| {
        let mount = std::sync::Arc::clone(&mount);
        async move {
            let body = json!({"serial_number": format!("{serial:x}"), "issuer_ref": "main"});
            mount.write("revoke", body).await.ok()["krl_version"].as_u64().unwrap()
        }
    };
    let mut tasks = tokio::task::JoinSet::new();
    for serial in 1..=40 {
        tasks.spawn(revoke(serial));
    }
    let mut versions: Vec<u64> = tasks.join_all().await;
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 40, "every one has its own version");
    let krl = mount.krl("krl").await;
    assert!((1..=40).all(|serial| krl.certificates[0].1.serials.contains(serial)));
    assert_eq!(Value::from(krl.header.version), Value::from(*versions.last().unwrap()));
}

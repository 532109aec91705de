//! A CA's key is replaced, step by step.

use crate::harness::{Mount, Pair, signer};
use chancery_ssh_ca::{krl::Subject, public_key::SshPublicKey};
use serde_json::{Value, json};

async fn step(mount: &Mount, action: &str) -> Value {
    mount.write("rotation/main", json!({"action": action})).await.ok()
}

async fn trusted(mount: &Mount) -> Vec<String> {
    let text = String::from_utf8(mount.read("trusted_keys").await.raw).unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn signs(mount: &Mount) -> String {
    let certificate = mount.sign("user", &Pair::ed25519(), json!({"valid_principals": "x"})).await.certificate();
    SshPublicKey::from_blob(&signer(&certificate)).unwrap().to_line()
}

#[tokio::test]
async fn hosts_trust_both_keys_before_the_new_one_signs_and_until_the_old_ones_certificates_end() {
    let mount = Mount::ready().await;
    let old = mount.read("public_key").await.raw;
    let old = String::from_utf8(old).unwrap().trim_end().to_owned();
    assert_eq!(signs(&mount).await, old);
    let started = mount.write("rotation/main", json!({"action": "start", "key_type": "ed25519"})).await.ok();
    assert_eq!(started["phase"], "standby");
    let new = started["new_public_key"].as_str().unwrap().trim_end().to_owned();
    assert_eq!((trusted(&mount).await, signs(&mount).await), (vec![old.clone()], old.clone()));

    assert_eq!(step(&mount, "advance").await["phase"], "both-trusted");
    assert_eq!((trusted(&mount).await, signs(&mount).await), (vec![old.clone(), new.clone()], old.clone()));

    assert_eq!(step(&mount, "advance").await["phase"], "signing-with-new");
    assert_eq!((trusted(&mount).await, signs(&mount).await), (vec![old.clone(), new.clone()], new.clone()));
    assert_eq!(mount.read("issuer/main").await.text("public_key").trim_end(), new, "the name goes along");

    let early = mount.write("rotation/main", json!({"action": "advance"})).await;
    early.refused_for(400, "valid until 2026-11-21T01:00:00Z");
    mount.clock.advance(3600);
    let ended = step(&mount, "advance").await;
    assert_eq!((&ended["phase"], &ended["next_phase"]), (&json!("old-retired"), &Value::Null));
    assert_eq!((trusted(&mount).await, signs(&mount).await), (vec![new], mount_key(&mount).await));
    let blob = SshPublicKey::parse(&old).unwrap().blob().to_vec();
    assert!(mount.krl("krl").await.revokes(&Subject { key: b"k", certificate: Some((&blob, 1, "")) }));
    mount.write("rotation/main", json!({"action": "advance"})).await.refused("the rotation is at its end");
    mount.write("rotation/main", json!({"action": "rollback"})).await.refused_for(400, "cannot be taken back");
    // And once more.
    assert_eq!(mount.write("rotation/main", json!({"action": "start"})).await.ok()["phase"], "standby");
}

async fn mount_key(mount: &Mount) -> String {
    mount.read("config/ca").await.text("public_key").trim_end().to_owned()
}

#[tokio::test]
async fn a_step_is_taken_back_with_all_it_did() {
    let mount = Mount::ready().await;
    let old = mount_key(&mount).await;
    mount.write("rotation/default", json!({"action": "start"})).await.ok();
    mount.write("rotation/main", json!({"action": "rollback"})).await.refused_for(400, "nothing to take back");
    step(&mount, "advance").await;
    step(&mount, "advance").await;
    assert_ne!(mount_key(&mount).await, old);
    assert_eq!(step(&mount, "rollback").await["phase"], "both-trusted");
    assert_eq!(
        (mount_key(&mount).await, mount.read("issuer/main").await.text("public_key").trim_end()),
        (old.clone(), &*old)
    );
    assert_eq!(step(&mount, "rollback").await["phase"], "standby");
    assert_eq!(trusted(&mount).await, [old]);
    let listed = mount.list("rotations", json!({})).await.ok();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    let new = mount.read("rotation/main").await.text("new_issuer_id");
    mount.delete(&format!("issuer/{new}")).await;
    assert_eq!(mount.list("rotations", json!({})).await.status, 404, "given up with the new issuer");
    assert_eq!(mount.hsm.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn roles_that_name_the_old_key_by_its_id_are_told_and_then_refused() {
    let mount = Mount::ready().await;
    let id = mount.read("config/ca").await.text("issuer_id");
    mount.role("stuck", json!({"allow_user_certificates": true, "allowed_users": "*", "issuer_ref": id})).await;
    mount.write("rotation/main", json!({"action": "start"})).await.ok();
    step(&mount, "advance").await;
    let told = mount.write("rotation/main", json!({"action": "advance"})).await;
    assert!(told.warnings[0].contains("role stuck"), "{told:?}");
    let body = json!({"valid_principals": "x"});
    mount.sign("stuck", &Pair::ed25519(), body.clone()).await.ok();
    let forced = mount.write("rotation/main", json!({"action": "advance", "force": true})).await;
    assert_eq!(forced.status, 200, "{forced:?}");
    mount.sign("stuck", &Pair::ed25519(), body).await.refused_for(400, "was retired by a rotation");
}

#[tokio::test]
async fn rotations_that_make_no_sense_are_refused() {
    let mount = Mount::ready().await;
    assert_eq!(mount.read("rotation/main").await.status, 404);
    for (body, why) in [
        (json!({}), "action is start, advance or rollback"),
        (json!({"action": "advance"}), "part of no rotation"),
        (json!({"action": "start", "key_type": "zork"}), "unknown ssh key pair algorithm"),
    ] {
        mount.write("rotation/main", body).await.refused_for(400, why);
    }
    mount.write("rotation/none", json!({"action": "start"})).await.refused("unable to find issuer for reference: none");
    mount.write("rotation/main", json!({"action": "start"})).await.ok();
    mount.write("rotation/main", json!({"action": "start"})).await.refused_for(400, "part of a rotation already");
    assert_eq!(mount.hsm.list().await.unwrap().len(), 2);
}

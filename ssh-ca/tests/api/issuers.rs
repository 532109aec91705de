//! `config/ca`, `issuers`, `issuer/:ref`, `config/issuers`, the public keys.

use crate::harness::{Mount, Pair};
use chancery_ssh_ca::public_key::SshPublicKey;
use serde_json::json;

#[tokio::test]
async fn without_a_ca_the_texts_are_openbaos() {
    let mount = Mount::new().await;
    for path in ["config/ca", "config/issuers", "issuer/default", "public_key", "trusted_keys"] {
        mount.read(path).await.refused("no default issuer currently configured");
    }
    assert_eq!(mount.list("issuers", json!({})).await.status, 404);
    assert_eq!(mount.delete("config/ca").await.status, 204);
    mount.read("issuer/nope/public_key").await.refused("unable to find issuer for reference: nope");
}

#[tokio::test]
async fn every_key_type_is_generated_in_the_token_and_published() {
    let mount = Mount::new().await;
    for (kind, bits, name) in [
        ("ec", 256, "ecdsa-sha2-nistp256"),
        ("ecdsa-sha2-nistp384", 0, "ecdsa-sha2-nistp384"),
        ("ec", 521, "ecdsa-sha2-nistp521"),
        ("ssh-ed25519", 0, "ssh-ed25519"),
        ("ssh-rsa", 2048, "ssh-rsa"),
    ] {
        let made = mount.write("issuers/import", json!({"key_type": kind, "key_bits": bits})).await;
        assert!(made.warnings.is_empty(), "{made:?}");
        let made = made.ok();
        let id = made["issuer_id"].as_str().unwrap();
        let text = String::from_utf8(mount.read(&format!("issuer/{id}/public_key")).await.raw).unwrap();
        assert!(text.starts_with(name) && text.ends_with('\n'), "{text}");
        assert_eq!(text, made["public_key"], "{kind}");
        SshPublicKey::parse(&text).unwrap();
    }
    assert_eq!(mount.hsm.list().await.unwrap().len(), 5);
}

#[tokio::test]
async fn config_ca_becomes_the_default_and_import_does_not() {
    let mount = Mount::new().await;
    let make = async |path: &str, more| mount.write(path, more).await.text("issuer_id");
    let first = make("issuers/import/one", json!({"key_type": "ed25519"})).await;
    assert_eq!(mount.read("config/issuers").await.ok(), json!({"default": first}), "the first is the default");
    let second = make("config/ca", json!({"key_type": "ed25519"})).await;
    assert_eq!(mount.read("config/ca").await.text("issuer_id"), second);
    make("issuers/import/three", json!({"key_type": "ed25519"})).await;
    assert_eq!(mount.read("config/ca").await.text("issuer_id"), second);
    let fourth = make("issuers/import/four", json!({"key_type": "ed25519", "set_default": true})).await;
    assert_eq!(mount.read("issuer/default").await.text("issuer_id"), fourth);
    assert_eq!(mount.write("config/issuers", json!({"default": "one"})).await.ok(), json!({"default": first}));
    let listed = mount.list("issuers", json!({})).await.ok();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 4);
    assert_eq!(listed["key_info"][&first]["is_default"], true);
    assert_eq!(listed["key_info"][&fourth]["issuer_name"], "four");
    for bad in ["", "default"] {
        mount
            .write("config/issuers", json!({"default": bad}))
            .await
            .refused("invalid issuer specification; must be non-empty and can't be 'default'.");
    }
}

#[tokio::test]
async fn names_are_unique_and_can_be_changed() {
    let mount = Mount::new().await;
    mount.write("issuers/import/one", json!({"key_type": "ed25519"})).await.ok();
    let again = mount.write("issuers/import/one", json!({"key_type": "ed25519"})).await;
    again.refused("issuer name already in use");
    mount
        .write("issuers/import/default", json!({"key_type": "ed25519"}))
        .await
        .refused("reserved keyword 'default' can not be used as issuer name");
    assert_eq!(mount.hsm.list().await.unwrap().len(), 1, "no key is made for a name that is refused");
    mount.write("issuers/import/two", json!({"key_type": "ed25519"})).await.ok();
    mount.write("issuer/two", json!({"issuer_name": "one"})).await.refused("issuer name already in use");
    assert_eq!(mount.write("issuer/two", json!({"issuer_name": "zwei"})).await.text("issuer_name"), "zwei");
    assert_eq!(mount.write("issuer/zwei", json!({})).await.text("issuer_name"), "");
    mount.read("issuer/zwei").await.refused("unable to find issuer for reference: zwei");
}

#[tokio::test]
async fn deleting_an_issuer_destroys_its_key_and_keeps_its_list() {
    let mount = Mount::ready().await;
    let id = mount.read("config/ca").await.text("issuer_id");
    let key = Pair::ed25519();
    let serial = mount.sign("user", &key, json!({"valid_principals": "mitch"})).await.text("serial_number");
    mount.write("revoke", json!({"serial_number": serial})).await.ok();
    let gone = mount.delete("issuer/main").await;
    assert!(gone.warnings[0].contains("was configured as the default issuer"), "{gone:?}");
    assert!(mount.hsm.list().await.unwrap().is_empty());
    assert_eq!(mount.delete("issuer/main").await.status, 204);
    mount.read("config/ca").await.refused("no default issuer currently configured");
    assert!(mount.krl("krl").await.certificates[0].1.serials.contains(1), "hosts may still trust its key");
    assert!(mount.krl(&format!("issuer/{id}/krl")).await.certificates[0].1.serials.contains(1));
    mount.sign("user", &key, json!({"valid_principals": "m"})).await.refused("no default issuer currently configured");
    mount.write("issuers/import", json!({"key_type": "ed25519"})).await.ok();
    mount.write("issuers/import", json!({"key_type": "ed25519"})).await.ok();
    assert_eq!(mount.delete("config/ca").await.status, 204);
    assert!(mount.hsm.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_that_is_brought_signs_and_says_that_it_is_not_in_the_hsm() {
    let mount = Mount::new().await;
    mount.write("config/ca", json!({"key_type": "ed25519"})).await.ok();
    mount.role("user", json!({"allow_user_certificates": true, "allowed_users": "*"})).await;
    for kind in ["rsa", "ec", "ed25519"] {
        let made = mount.write("issue/user", json!({"key_type": kind, "valid_principals": "x"})).await.ok();
        let certificate = ssh_key::Certificate::from_openssh(made["signed_key"].as_str().unwrap()).unwrap();
        let blob = ssh_key::encoding::Encode::encode_vec(certificate.public_key()).unwrap();
        let line = format!("{} a comment", SshPublicKey::from_blob(&blob).unwrap().to_line());
        let body = json!({"private_key": made["private_key"], "public_key": line});
        let brought = mount.write("config/ca", body.clone()).await;
        assert!(brought.warnings[0].contains("kept in software"), "{kind}: {brought:?}");
        assert_eq!(brought.ok()["public_key"], line, "the text is the operator's");
        mount.write("config/ca", body).await.refused("an issuer of this mount has this key already");
        let signed = mount.sign("user", &Pair::ed25519(), json!({"valid_principals": "x"})).await.certificate();
        assert_eq!(crate::harness::signer(&signed), blob, "{kind}");
    }
}

#[tokio::test]
async fn bad_requests_for_a_ca_leave_nothing_behind() {
    let mount = Mount::new().await;
    let key = Pair::ed25519().line();
    for (body, text) in [
        (json!({"key_type": "zork"}), "unknown ssh key pair algorithm: zork"),
        (
            json!({"key_type": "ssh-rsa", "key_bits": 1024}),
            "refusing to generate weak ssh-rsa key: 1024 bits < 2048 bits",
        ),
        (json!({"key_type": "ec", "key_bits": 111}), "unknown ECDSA key pair algorithm and bits: ec / 111"),
        (json!({"generate_signing_key": false}), "missing public_key"),
        (
            json!({"generate_signing_key": false, "private_key": "x"}),
            "only one of public_key and private_key set; both must be set to use, or both must be blank to auto-generate",
        ),
        (
            json!({"generate_signing_key": true, "private_key": "x", "public_key": "y"}),
            "public_key and private_key must not be set when generate_signing_key is set to true",
        ),
        (
            json!({"private_key": "x", "public_key": key}),
            "could not parse private_key provided value: ssh: no key found",
        ),
    ] {
        mount.write("config/ca", body).await.refused(text);
    }
    assert!(mount.hsm.list().await.unwrap().is_empty());
    assert_eq!(mount.list("issuers", json!({})).await.status, 404);
}

use crate::{
    harness::{Mount, NOW, tick},
    openssl::Openssl,
};
use chancery_store::{CertificateChange, CertificateIntent, Changes};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

async fn crl(mount: &Mount, openssl: &Openssl) -> String {
    openssl.file("crl.pem", &String::from_utf8(mount.read("crl/pem").await.raw).unwrap());
    openssl.file("ca.pem", &String::from_utf8(mount.read("ca/pem").await.raw).unwrap());
    let text = openssl.must(&["crl", "-in", "crl.pem", "-noout", "-text", "-CAfile", "ca.pem"]);
    assert!(text.contains("verify OK"), "{text}");
    text
}

fn number(text: &str) -> u64 {
    let mut lines = text.lines().skip_while(|line| !line.contains("X509v3 CRL Number"));
    lines.nth(1).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn revoking_answers_once_and_for_all() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    let issued = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    let serial = issued["serial_number"].as_str().unwrap();
    let first = mount.write("revoke", json!({"serial_number": serial.replace(':', "-")})).await.ok();
    assert_eq!(
        first,
        json!({"revocation_time": NOW, "revocation_time_rfc3339": "2026-11-21T00:00:00Z", "state": "revoked"})
    );
    mount.clock.advance(60);
    for request in [json!({"serial_number": serial}), json!({"certificate": issued["certificate"]})] {
        assert_eq!(mount.write("revoke", request).await.ok(), first);
    }
    let read = mount.read(&format!("cert/{serial}")).await.ok();
    assert_eq!(read["revocation_time"], NOW);
    assert_eq!(read["issuer_id"], mount.read("issuer/root").await.ok()["issuer_id"]);
    assert_eq!(mount.list("certs/revoked").await.ok()["keys"], json!([serial]));
    let text = crl(&mount, &openssl).await;
    assert!(text.contains(&format!("Serial Number: {}", serial.replace(':', "").to_uppercase())), "{text}");
}

#[tokio::test]
async fn mistakes_are_refused_in_the_wires_words() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    mount.write("revoke", json!({"serial_number": "00:11"})).await.refused("certificate with serial 00:11 not found.");
    mount.write("revoke", json!({"serial_number": "zz"})).await.refused("certificate with serial zz not found.");
    mount.write("revoke", json!({})).await.refused("The serial number or certificate to revoke must be provided.");
    mount
        .write("revoke", json!({"serial_number": "1", "certificate": "x"}))
        .await
        .refused("Must provide either the certificate or the serial to revoke; not both.");
    mount.write("revoke", json!({"certificate": "x"})).await.refused(
        "provided certificate data was too short; perhaps a path was passed to the API rather than the contents of a PEM file",
    );
    let list = mount.list("issuers").await.ok();
    let id = list["keys"][0].as_str().unwrap();
    mount
        .write("revoke", json!({"serial_number": list["key_info"][id]["serial_number"]}))
        .await
        .refused(&format!("adding issuer (id: {id}) to its own CRL is not allowed"));
    let other = Mount::with_role(json!({"allow_any_name": true})).await;
    let foreign = other.write("issue/r", json!({"common_name": "a.b"})).await.text("certificate");
    mount.write("revoke", json!({"certificate": foreign})).await.refused("unable to verify signature on presented cert from any present issuer in this mount; certificates from previous CAs will need to have their issuing CA and key re-imported if revocation is necessary");
}

#[tokio::test]
async fn expired_certificates_are_left_alone_unless_wanted() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let serial = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number");
    mount.clock.advance(7200);
    let reply = mount.write("revoke", json!({"serial_number": serial})).await;
    assert!(reply.warnings[0].contains("already expired; refusing to add to CRL"));
    mount.write("config/crl", json!({"allow_expired_cert_revocation": true})).await.ok();
    mount.write("revoke", json!({"serial_number": serial})).await.ok();
}

#[tokio::test]
async fn numbers_rise_and_time_does_not_run_backwards() {
    let (mount, openssl) = (Mount::with_root().await, Openssl::new());
    let first = crl(&mount, &openssl).await;
    mount.clock.advance(-3600);
    mount.read("crl/rotate").await.ok();
    let second = crl(&mount, &openssl).await;
    assert!(number(&second) > number(&first));
    let update = |text: &str| text.lines().find(|line| line.contains("Last Update")).unwrap().to_owned();
    assert_eq!(update(&first), update(&second));
    assert!(second.contains("Next Update: Nov 24 00:00:00 2026 GMT"), "{second}");
}

#[tokio::test]
async fn crls_are_renewed_before_they_end() {
    let (mount, openssl) = (Mount::with_root().await, Openssl::new());
    let first = number(&crl(&mount, &openssl).await);
    tick(&mount, NOW + 3600).await.unwrap();
    assert_eq!(number(&crl(&mount, &openssl).await), first);
    mount.clock.advance(61 * 3600);
    tick(&mount, NOW + 61 * 3600).await.unwrap();
    let text = crl(&mount, &openssl).await;
    assert_eq!(number(&text), first + 1);
    assert!(text.contains("Next Update: Nov 26 13:00:00 2026 GMT"), "{text}");
}

#[tokio::test]
async fn cve_2021_29653_every_revoked_certificate_stays_on_the_crl() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    let mut serials = Vec::new();
    for _ in 0..5 {
        let serial = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number");
        mount.write("revoke", json!({"serial_number": serial})).await.ok();
        serials.push(serial.replace(':', "").to_uppercase());
        let text = crl(&mount, &openssl).await;
        assert!(serials.iter().all(|serial| text.contains(serial)), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocations_at_once_all_reach_the_crl() {
    let (mount, openssl) = (Arc::new(Mount::with_role(json!({"allow_any_name": true})).await), Openssl::new());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let mount = Arc::clone(&mount);
        tasks.spawn(async move {
            let serial = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number");
            mount.write("revoke", json!({"serial_number": serial})).await.ok();
            serial
        });
    }
    let serials = tasks.join_all().await;
    let text = crl(&mount, &openssl).await;
    for serial in serials {
        assert!(text.contains(&serial.replace(':', "").to_uppercase()), "{serial}");
    }
}

#[tokio::test]
async fn one_issuer_without_its_key_does_not_keep_the_crls_of_others_from_renewal() {
    let (mount, openssl) = (Mount::with_root().await, Openssl::new());
    for name in ["b", "c", "d", "e"] {
        let request = json!({"common_name": name, "key_type": "ec", "ttl": "87600h", "issuer_name": name});
        mount.write("root/generate/internal", request).await.ok();
    }
    let id = mount.list("issuers").await.ok()["keys"][0].as_str().unwrap().to_owned();
    let key = mount.read(&format!("issuer/{id}")).await.text("key_id");
    let label = format!("pki/{key}");
    let keys = mount.hsm.list().await.unwrap();
    mount.hsm.destroy(&keys.iter().find(|key| key.label == label).unwrap().reference).await.unwrap();
    mount.clock.advance(61 * 3600);
    assert!(tick(&mount, NOW + 61 * 3600).await.is_err());
    let mut renewed = 0;
    for id in mount.list("issuers").await.ok()["keys"].as_array().unwrap() {
        let path = format!("issuer/{}/crl/pem", id.as_str().unwrap());
        openssl.file("crl.pem", &String::from_utf8(mount.read(&path).await.raw).unwrap());
        let text = openssl.must(&["crl", "-in", "crl.pem", "-noout", "-text"]);
        renewed += usize::from(text.contains("Next Update: Nov 26 13:00:00 2026 GMT"));
    }
    assert_eq!(renewed, 4);
}

#[tokio::test]
async fn a_certificate_whose_record_stayed_an_intent_is_revoked_when_presented() {
    let mount = Mount::with_role(json!({"allow_any_name": true, "no_store": true})).await;
    let issued = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    let serial = issued["serial_number"].as_str().unwrap();
    let mut changes = Changes::default();
    changes.certificate(CertificateChange::Intent(CertificateIntent {
        mount: "mount/1/".to_owned(),
        serial: serial.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect(),
        issuer: mount.read("issuer/root").await.text("issuer_id"),
        role: "r".to_owned(),
        requester: String::new(),
        common_name: "a.b".to_owned(),
        names: Vec::new(),
        key_type: "ec-p256".to_owned(),
        not_before: Timestamp::from_second(NOW).unwrap(),
        not_after: Timestamp::from_second(NOW + 3600).unwrap(),
        created_at: Timestamp::from_second(NOW).unwrap(),
        shard: 0,
    }));
    mount.store.commit(changes).await.unwrap();
    mount
        .write("revoke", json!({"serial_number": serial}))
        .await
        .refused(&format!("certificate with serial {serial} not found."));
    mount.write("revoke", json!({"certificate": issued["certificate"]})).await.ok();
    assert_eq!(mount.list("certs/revoked").await.ok()["keys"], json!([serial]));
}

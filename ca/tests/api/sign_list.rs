//! `resign-crls`, `sign-revocation-list`, `revoke-with-key`, `issuer/:ref/revoke`.

use crate::{
    harness::Mount,
    openssl::{Openssl, P256},
};
use serde_json::json;

fn show(openssl: &Openssl, mount_ca: &str, list: &str) -> String {
    openssl.file("ca.pem", mount_ca);
    openssl.file("list.pem", list);
    let text = openssl.must(&["crl", "-in", "list.pem", "-noout", "-text", "-CAfile", "ca.pem"]);
    assert!(text.contains("verify OK"), "{text}");
    text
}

async fn ca(mount: &Mount) -> String {
    String::from_utf8(mount.read("ca/pem").await.raw).unwrap()
}

#[tokio::test]
async fn lists_of_one_issuer_are_merged() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    let mut lists = Vec::new();
    let mut serials = Vec::new();
    for _ in 0..2 {
        let serial = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number");
        mount.write("revoke", json!({"serial_number": serial})).await.ok();
        lists.push(String::from_utf8(mount.read("crl/pem").await.raw).unwrap());
        serials.push(serial.replace(':', "").to_uppercase());
    }
    let request = json!({"crls": lists, "crl_number": 40, "next_update": "24h"});
    let merged = mount.write("issuer/root/resign-crls", request).await.text("crl");
    let text = show(&openssl, &ca(&mount).await, &merged);
    assert!(serials.iter().all(|serial| text.matches(serial).count() == 1), "{text}");
    assert!(text.contains("Next Update: Nov 22 00:00:00 2026 GMT"), "{text}");
    let delta = json!({"crls": lists, "crl_number": 41, "delta_crl_base_number": 40});
    let delta = mount.write("issuer/root/resign-crls", delta).await.text("crl");
    assert!(show(&openssl, &ca(&mount).await, &delta).contains("X509v3 Delta CRL Indicator: critical"));
    let other = Mount::with_root().await;
    let foreign = String::from_utf8(other.read("crl/pem").await.raw).unwrap();
    let refused = mount.write("issuer/root/resign-crls", json!({"crls": [foreign]})).await;
    assert!(refused.error.starts_with("failed verifying signature for CRL 0"), "{refused:?}");
    assert_eq!(mount.write("issuer/root/resign-crls", json!({"crls": ["zork"]})).await.status, 400);
    mount
        .write("issuer/root/resign-crls", json!({"crls": [], "crl_number": 1, "delta_crl_base_number": 1}))
        .await
        .refused("delta_crl_base_number must be lower than crl_number");
}

#[tokio::test]
async fn a_list_of_the_callers_making_is_signed() {
    let (mount, openssl) = (Mount::with_root().await, Openssl::new());
    let request = json!({
        "crl_number": 7,
        "revoked_certs": [
            {"serial_number": "0a:0b", "revocation_time": "2026-11-01T10:00:00Z",
             "extensions": [{"id": "2.5.29.21", "critical": false, "value": "CgEB"}]},
            {"serial_number": "11", "revocation_time": "2026-11-02T10:00:00Z"},
        ],
        "extensions": [{"id": "1.2.3.4", "critical": false, "value": "BQA="}],
    });
    let list = mount.write("issuer/root/sign-revocation-list", request).await.text("crl");
    let text = show(&openssl, &ca(&mount).await, &list);
    assert!(
        text.contains("Serial Number: 0A0B") && text.contains("Key Compromise") && text.contains("1.2.3.4"),
        "{text}"
    );
    for (revoked, why) in [
        (json!([{"serial_number": "zz", "revocation_time": "2026-11-01T10:00:00Z"}]), "serial_number \"zz\""),
        (json!([{"serial_number": "11", "revocation_time": "yesterday"}]), "revocation_time of certificate 11"),
        (
            json!([{"serial_number": "11", "revocation_time": "2026-11-01T10:00:00Z"},
                {"serial_number": "0011", "revocation_time": "2026-11-01T10:00:00Z"}]),
            "certificate 11 is listed twice",
        ),
    ] {
        let reply = mount.write("issuer/root/sign-revocation-list", json!({"revoked_certs": revoked})).await;
        assert!(reply.status == 400 && reply.error.contains(why), "{reply:?}");
    }
}

#[tokio::test]
async fn whoever_holds_the_key_may_revoke() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    let issued = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    let csr = openssl.csr("/CN=c.d", &P256, "");
    let other = mount.write("sign/r", json!({"csr": csr})).await.ok();
    let wrong = json!({"serial_number": other["serial_number"], "private_key": issued["private_key"]});
    mount.write("revoke-with-key", wrong).await.refused("provided private key does not match certificate's public key");
    mount.write("revoke-with-key", json!({"certificate": issued["certificate"], "private_key": "x"})).await.refused(
        "Provided data for private_key was too short; perhaps a path was passed to the API rather than the contents of a PEM file?",
    );
    mount
        .write("revoke-with-key", json!({}))
        .await
        .refused("The serial number or certificate to revoke must be provided.");
    let right = json!({"certificate": issued["certificate"], "private_key": issued["private_key"]});
    assert_eq!(mount.write("revoke-with-key", right).await.text("state"), "revoked");
    let right = json!({"serial_number": other["serial_number"], "private_key": openssl.read("leaf.key")});
    assert_eq!(mount.write("revoke-with-key", right).await.text("state"), "revoked");
}

#[tokio::test]
async fn a_revoked_issuer_issues_nothing_and_is_on_its_parents_list() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    let request =
        mount.write("intermediate/generate/internal", json!({"common_name": "Between", "key_type": "ec"})).await;
    let signed = mount.write("root/sign-intermediate", json!({"csr": request.ok()["csr"], "ttl": "1000h"})).await.ok();
    let imported = mount.write("intermediate/set-signed", json!({"certificate": signed["certificate"]})).await.ok();
    let id = imported["imported_issuers"][0].as_str().unwrap().to_owned();
    let revoked = mount.write(&format!("issuer/{id}/revoke"), json!({})).await;
    assert!(revoked.warnings.is_empty(), "{revoked:?}");
    let data = revoked.ok();
    assert_eq!((&data["revoked"], data["usage"].as_str()), (&json!(true), Some("crl-signing,ocsp-signing,read-only")));
    assert_eq!(data["revocation_time_rfc3339"], "2026-11-21T00:00:00Z");
    let serial = signed["serial_number"].as_str().unwrap().replace(':', "").to_uppercase();
    let text = show(&openssl, &ca(&mount).await, &mount.read("issuer/root/crl").await.text("crl"));
    assert!(text.contains(&serial), "{text}");
    let refused = mount.write(&format!("issuer/{id}/issue/r"), json!({"common_name": "a.b"})).await;
    assert!(refused.status == 400 && refused.error.contains("requested usage issuing-certificates"), "{refused:?}");
    let root = mount.write("issuer/root/revoke", json!({})).await;
    assert_eq!(root.warnings.len(), 3, "{root:?}");
    mount.write("issuer/nope/revoke", json!({})).await.missing("unable to find PKI issuer for reference: nope");
}

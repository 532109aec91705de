use crate::harness::Mount;
use chancery_store::{CertificateFilter, CertificateQuery, CertificateState};
use serde_json::json;

#[tokio::test]
async fn certificates_are_found_by_serial_in_every_spelling() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let issued = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    let serial = issued["serial_number"].as_str().unwrap();
    let expected = json!({"certificate": issued["certificate"], "revocation_time": 0, "revocation_time_rfc3339": ""});
    for text in [serial.to_owned(), serial.replace(':', "-"), serial.to_uppercase()] {
        assert_eq!(mount.read(&format!("cert/{text}")).await.ok(), expected, "{text}");
    }
    let raw = mount.read(&format!("cert/{serial}/raw")).await;
    assert_eq!((raw.content_type, raw.raw[0]), ("application/pkix-cert", 0x30));
    let pem = mount.read(&format!("cert/{serial}/raw/pem")).await;
    assert_eq!(pem.content_type, "application/pem-certificate-chain");
    assert_eq!(String::from_utf8(pem.raw).unwrap(), issued["certificate"].as_str().unwrap());
    assert_eq!(mount.read("cert/00:11").await.status, 404);
    assert_eq!(mount.read("cert/zz").await.error, "unsupported path");
    assert!(mount.read("cert/00:11/raw").await.raw.is_empty());
}

#[tokio::test]
async fn lists_have_pages() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    for _ in 0..3 {
        mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    }
    let all = mount.list("certs").await.ok()["keys"].clone();
    let all: Vec<String> = serde_json::from_value(all).unwrap();
    assert_eq!(all.len(), 4);
    assert!(all.is_sorted());
    let page = json!({"after": all[0], "limit": 2}).to_string().into_bytes();
    let page = mount.send(chancery_engine::Verb::List, "certs", page).await.ok();
    assert_eq!(page["keys"], json!(all[1..3]));
    assert_eq!(mount.list("certs/revoked").await.status, 404);
}

#[tokio::test]
async fn the_inventory_knows_who_asked_for_what() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    mount.write("issue/r", json!({"common_name": "a.b", "alt_names": "c.d", "ip_sans": "1.2.3.4"})).await.ok();
    let filter = CertificateFilter { mount: "mount/1/".into(), role: Some("r".into()), ..CertificateFilter::default() };
    let query = CertificateQuery { filter, ..CertificateQuery::default() };
    let rows = mount.store.certificates().search(query).await.unwrap();
    assert_eq!(rows.len(), 1);
    let intent = &rows[0].intent;
    assert_eq!((intent.requester.as_str(), intent.common_name.as_str()), ("root", "a.b"));
    assert_eq!((intent.names.join(","), intent.key_type.as_str()), ("a.b,c.d,1.2.3.4".into(), "ec-p256"));
    assert_eq!(rows[0].state, CertificateState::Issued);
}

#[tokio::test]
async fn an_hsm_that_does_not_sign_leaves_nothing_behind() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    for key in mount.hsm.list().await.unwrap() {
        mount.hsm.destroy(&key.reference).await.unwrap();
    }
    let reply = mount.write("issue/r", json!({"common_name": "a.b"})).await;
    assert!(reply.status >= 500, "{reply:?}");
    let rows = mount
        .store
        .certificates()
        .count(CertificateFilter { mount: "mount/1/".into(), ..CertificateFilter::default() })
        .await
        .unwrap();
    assert_eq!(rows, 1);
    assert_eq!(mount.read("crl").await.content_type, "application/pkix-crl");
}

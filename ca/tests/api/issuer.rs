use crate::{harness::Mount, openssl::Openssl};
use serde_json::{Value, json};

#[tokio::test]
async fn reading_shows_every_member() {
    let mount = Mount::with_root().await;
    let data = mount.read("issuer/root").await.ok();
    let members: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "ca_chain",
            "certificate",
            "crl_distribution_points",
            "delta_crl_distribution_points",
            "issuer_id",
            "issuer_name",
            "issuing_certificates",
            "key_id",
            "leaf_not_after_behavior",
            "manual_chain",
            "ocsp_servers",
            "revocation_signature_algorithm",
            "revoked",
            "usage"
        ]
    );
    assert_eq!(data["usage"], "crl-signing,issuing-certificates,ocsp-signing,read-only");
    assert_eq!(data["revocation_signature_algorithm"], "ECDSAWithSHA256");
    assert_eq!((&data["manual_chain"], &data["revoked"]), (&Value::Null, &json!(false)));
    assert!(data["certificate"].as_str().unwrap().ends_with("-----\n"));
    for reference in ["default", data["issuer_id"].as_str().unwrap()] {
        assert_eq!(mount.read(&format!("issuer/{reference}")).await.ok(), data);
    }
    let reply = mount.read("issuer/nope").await;
    assert_eq!((reply.status, reply.error.as_str()), (500, "unable to find PKI issuer for reference: nope"));
}

#[tokio::test]
async fn post_replaces_and_patch_changes() {
    let mount = Mount::with_root().await;
    let data = mount
        .write("issuer/root", json!({"leaf_not_after_behavior": "truncate", "ocsp_servers": "http://o"}))
        .await
        .ok();
    assert_eq!((&data["issuer_name"], &data["leaf_not_after_behavior"]), (&json!(""), &json!("truncate")));
    let data = mount.patch("issuer/default", json!({"issuer_name": "again"})).await.ok();
    assert_eq!((&data["issuer_name"], &data["leaf_not_after_behavior"]), (&json!("again"), &json!("truncate")));
    assert_eq!(data["ocsp_servers"], json!(["http://o"]));
    let data = mount.write("issuer/again", json!({"manual_chain": "again"})).await.ok();
    assert_eq!(data["manual_chain"], json!([data["issuer_id"]]));
}

#[tokio::test]
async fn mistakes_are_refused_in_the_wires_words() {
    let mount = Mount::with_root().await;
    for (update, text) in [
        (json!({"issuer_name": "default"}), "reserved keyword 'default' can not be used as issuer name"),
        (json!({"issuer_name": "a b"}), "issuer name contained invalid characters"),
        (
            json!({"leaf_not_after_behavior": "zork"}),
            "Unknown value for field `leaf_not_after_behavior`. Possible values are `err`, `truncate`, and `permit`.",
        ),
        (
            json!({"usage": "zork"}),
            "Unable to parse specified usages: [zork] - valid values are crl-signing,issuing-certificates,ocsp-signing,read-only",
        ),
        (
            json!({"issuing_certificates": "zork"}),
            "invalid URL found in Authority Information Access (AIA) parameter issuing_certificates: zork",
        ),
        (
            json!({"revocation_signature_algorithm": "SHA256WithRSA"}),
            "revocation_signature_algorithm SHA256WithRSA does not fit the issuer's key of type ec-p256",
        ),
    ] {
        mount.write("issuer/root", update).await.refused(text);
    }
    mount
        .write("issuer/root", json!({"manual_chain": "zork"}))
        .await
        .refused("unable to find PKI issuer for reference: zork");
    assert_eq!(mount.write("issuer/root", json!({"revocation_signature_algorithm": "zork"})).await.status, 400);
    assert_eq!(mount.read("issuer/root").await.ok()["issuer_name"], "root");
}

#[tokio::test]
async fn deleting_the_default_says_so_and_keeps_the_key() {
    let mount = Mount::with_root().await;
    let reply = mount.delete("issuer/root").await;
    assert!(reply.warnings[0].contains("this was configured as the default issuer"));
    assert!(mount.delete("issuer/root").await.warnings.is_empty());
    assert_eq!(mount.list("keys").await.ok()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(mount.read("config/issuers").await.ok()["default"], "");
}

#[tokio::test]
async fn a_root_made_again_from_its_key_shares_the_crl_and_numbers_only_rise() {
    let openssl = Openssl::new();
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let serial = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number");
    mount.write("revoke", json!({"serial_number": serial})).await.ok();
    let again = json!({"common_name": "Root", "ttl": "87600h", "issuer_name": "again", "key_ref": "default"});
    mount.write("root/generate/existing", again).await.ok();
    let mut last = 0;
    for path in ["issuer/root/crl/pem", "issuer/again/crl/pem"] {
        mount.read("crl/rotate").await.ok();
        openssl.file("crl.pem", &String::from_utf8(mount.read(path).await.raw).unwrap());
        let text = openssl.must(&["crl", "-in", "crl.pem", "-noout", "-text", "-crlnumber"]);
        assert!(text.contains(&serial.replace(':', "").to_uppercase()), "{text}");
        let number = text.lines().find_map(|line| line.strip_prefix("crlNumber=0x")).unwrap();
        let number = u64::from_str_radix(number, 16).unwrap();
        assert!(number > last);
        last = number;
    }
}

#[tokio::test]
async fn deleting_an_issuer_loses_no_revocation_and_no_crl_number() {
    let openssl = Openssl::new();
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let issue = async || mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number");
    let (early, late) = (issue().await, issue().await);
    mount.write("revoke", json!({"serial_number": early})).await.ok();
    for _ in 0..3 {
        mount.read("crl/rotate").await.ok();
    }
    let certificate = String::from_utf8(mount.read("ca/pem").await.raw).unwrap();
    let crl = async || {
        openssl.file("crl.pem", &String::from_utf8(mount.read("crl/pem").await.raw).unwrap());
        let text = openssl.must(&["crl", "-in", "crl.pem", "-noout", "-text", "-crlnumber"]);
        let number = text.lines().find_map(|line| line.strip_prefix("crlNumber=0x")).unwrap().to_owned();
        (u64::from_str_radix(&number, 16).unwrap(), text)
    };
    let (before, _) = crl().await;
    mount.delete("issuer/root").await;
    mount.write("issuers/import/cert", json!({"pem_bundle": certificate})).await.ok();
    mount.write("revoke", json!({"serial_number": late})).await.ok();
    let (after, text) = crl().await;
    assert!(after > before, "{before} {after}");
    for serial in [early, late] {
        assert!(text.contains(&serial.replace(':', "").to_uppercase()), "{text}");
    }
}

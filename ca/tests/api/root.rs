use crate::{
    harness::{Mount, NOW},
    openssl::Openssl,
};
use serde_json::json;

#[tokio::test]
async fn every_kind_of_root_verifies_strictly_with_its_crl() {
    let openssl = Openssl::new();
    for (kind, bits, pss) in [
        ("ec", 256, false),
        ("ec", 384, false),
        ("ec", 521, false),
        ("ed25519", 0, false),
        ("rsa", 2048, false),
        ("rsa", 2048, true),
    ] {
        let mount = Mount::new().await;
        let parameters =
            json!({"common_name": "Root", "key_type": kind, "key_bits": bits, "use_pss": pss, "ttl": "8760h"});
        let root = mount.write("root/generate/internal", parameters).await.text("certificate");
        let (good, text) = openssl.verify(&root, "", &root, &[]);
        assert!(good, "{kind}-{bits}: {text}");
        openssl.file("crl.pem", &String::from_utf8(mount.read("crl/pem").await.raw).unwrap());
        let crl = openssl.must(&["crl", "-in", "crl.pem", "-noout", "-CAfile", "root.pem", "-text"]);
        assert!(crl.contains("verify OK") && crl.contains("No Revoked Certificates"), "{crl}");
    }
}

#[tokio::test]
async fn answers_have_the_wires_members() {
    let mount = Mount::new().await;
    let reply = mount
        .write(
            "root/generate/internal",
            json!({"common_name": "Root CA", "key_type": "ec", "ttl": "8760h", "key_name": "k", "issuer_name": "i"}),
        )
        .await;
    assert_eq!(reply.warnings.len(), 1);
    assert!(
        reply.warnings[0].starts_with("This mount hasn't configured any authority information access (AIA) fields;")
    );
    let data = reply.ok();
    let members: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        ["certificate", "expiration", "issuer_id", "issuer_name", "issuing_ca", "key_id", "key_name", "serial_number"]
    );
    assert_eq!(data["expiration"], NOW + 8760 * 3600 - 1);
    assert_eq!((&data["key_name"], &data["issuer_name"]), (&json!("k"), &json!("i")));
    assert_eq!(data["certificate"], data["issuing_ca"]);
    assert_eq!(mount.list("certs").await.ok()["keys"], json!([data["serial_number"]]));
}

#[tokio::test]
async fn subject_and_constraints_are_those_asked_for() {
    let openssl = Openssl::new();
    let mount = Mount::new().await;
    let root = mount
        .write(
            "root/generate/internal",
            json!({"common_name": "X", "key_type": "ec", "ou": "A,B", "organization": "O", "country": "US",
                "max_path_length": 1, "permitted_dns_domains": "example.com", "serial_number": "SN1", "alt_names": "ca.example.com"}),
        )
        .await
        .text("certificate");
    let text = openssl.show(&root);
    assert!(text.contains("Subject: C = US, O = O, OU = A, OU = B, CN = X, serialNumber = SN1"), "{text}");
    assert!(
        text.contains("CA:TRUE, pathlen:1") && text.contains("DNS:example.com") && text.contains("DNS:ca.example.com")
    );
    assert!(text.contains("Certificate Sign, CRL Sign"));
}

#[tokio::test]
async fn mistakes_are_refused_in_the_wires_words() {
    let mount = Mount::with_root().await;
    for (parameters, text) in [
        (json!({"key_type": "foo"}), "unknown key type foo"),
        (json!({"key_type": "ec", "key_bits": 123}), "unsupported bit length for EC key: 123"),
        (json!({"key_type": "rsa", "key_bits": 1024}), "RSA keys < 2048 bits are unsafe and not supported: got 1024"),
        (json!({"issuer_name": "default"}), "reserved keyword 'default' can not be used as issuer name"),
        (json!({"issuer_name": "a b"}), "issuer name contained invalid characters"),
        (json!({"issuer_name": "root"}), "issuer name already in use"),
        (json!({"key_name": "a b"}), "key name contained invalid characters"),
        (json!({"ip_sans": "zz"}), "the value \"zz\" is not a valid IP address"),
        (json!({"format": "zip"}), "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\""),
    ] {
        let mut all = json!({"common_name": "X", "key_type": "ec"});
        for (member, value) in parameters.as_object().unwrap() {
            all[member] = value.clone();
        }
        mount.write("root/generate/internal", all).await.refused(text);
    }
    mount
        .write("root/generate/zork", json!({}))
        .await
        .refused("the \"exported\" path parameter must be \"internal\", \"existing\", exported\" or \"kms\"");
    assert_eq!(mount.list("issuers").await.ok()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(mount.list("keys").await.ok()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn keys_are_in_the_token_and_leave_with_the_root() {
    let mount = Mount::with_root().await;
    assert_eq!(mount.hsm.list().await.unwrap().len(), 1);
    let reply = mount.delete("root").await;
    assert_eq!((reply.status, reply.warnings.len()), (200, 1));
    assert!(mount.hsm.list().await.unwrap().is_empty());
    assert_eq!(mount.list("issuers").await.status, 404);
}

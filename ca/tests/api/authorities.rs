//! The life of CAs: exported keys, rotation, cross-signing, constraints on what an issuer may pass on.

use crate::{harness::Mount, openssl::Openssl};
use serde_json::json;

#[tokio::test]
async fn an_exported_root_hands_its_key_out_and_the_answer_says_what_that_costs() {
    let openssl = Openssl::new();
    for (kind, label) in
        [("ec", "BEGIN EC PRIVATE KEY"), ("rsa", "BEGIN RSA PRIVATE KEY"), ("ed25519", "BEGIN PRIVATE KEY")]
    {
        let mount = Mount::new().await;
        let reply = mount.write("root/generate/exported", json!({"common_name": "R", "key_type": kind})).await;
        assert!(reply.warnings.iter().any(|text| text.contains("handed out")), "{reply:?}");
        let data = reply.ok();
        assert!(data["private_key"].as_str().unwrap().contains(label), "{data}");
        assert_eq!(data["private_key_type"], kind);
        openssl.file("key.pem", data["private_key"].as_str().unwrap());
        openssl.file("root.pem", data["certificate"].as_str().unwrap());
        let of_key = openssl.must(&["pkey", "-in", "key.pem", "-pubout"]);
        assert_eq!(of_key, openssl.must(&["x509", "-in", "root.pem", "-noout", "-pubkey"]), "{kind}");
        assert!(mount.hsm.list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn exported_keys_come_in_every_format() {
    let mount = Mount::new().await;
    let make = |more: serde_json::Value| {
        let mut body = json!({"common_name": "R", "key_type": "ec"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let bundle = mount.write("root/generate/exported", make(json!({"format": "pem_bundle"}))).await.ok();
    assert!(bundle["certificate"].as_str().unwrap().starts_with("-----BEGIN EC PRIVATE KEY"));
    assert!(bundle["issuing_ca"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
    let der = mount.write("root/generate/exported", make(json!({"format": "der"}))).await.ok();
    assert!(der["private_key"].as_str().unwrap().starts_with("MHcC"));
    let pkcs8 = mount.write("intermediate/generate/exported", make(json!({"private_key_format": "pkcs8"}))).await.ok();
    assert!(pkcs8["private_key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY"));
    let key = mount.write("keys/generate/exported", json!({"key_type": "ec"})).await.ok();
    assert!(key["private_key"].as_str().unwrap().starts_with("-----BEGIN EC PRIVATE KEY"));
    assert_eq!(mount.write("keys/generate/existing", json!({})).await.status, 404);
}

#[tokio::test]
async fn an_existing_key_makes_another_root_and_says_no_key_type() {
    let mount = Mount::new().await;
    let key = mount.write("keys/generate/internal", json!({"key_type": "ec", "key_name": "k"})).await.ok();
    let reply = mount.write("root/generate/existing", json!({"common_name": "R", "key_ref": "k"})).await;
    assert_eq!(reply.ok()["key_id"], key["key_id"]);
    mount
        .write("root/generate/existing", json!({"common_name": "R", "key_ref": "k", "key_type": "ec"}))
        .await
        .refused("invalid parameter for the kms/existing path parameter, key_type nor key_bits arguments can be set in this mode");
    mount
        .write("intermediate/cross-sign", json!({"common_name": "R", "key_ref": "nope"}))
        .await
        .refused("failed to lookup public key from existing key: unable to find PKI key for reference: nope");
    mount
        .write("root/generate/kms", json!({"common_name": "R"}))
        .await
        .refused("must specify \"external_key_ref\" on \"kms\"-typed generation requests");
}

#[tokio::test]
async fn a_root_that_cannot_be_made_leaves_no_key_in_the_token() {
    let mount = Mount::new().await;
    // 65 characters: the linter stops it after the key was made.
    let body = json!({"common_name": "x".repeat(65), "key_type": "ec"});
    let reply = mount.write("root/generate/internal", body).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(mount.hsm.list().await.unwrap().is_empty());
    assert_eq!(mount.list("keys").await.status, 404);
}

#[tokio::test]
async fn a_root_is_rotated_and_then_replaced() {
    let mount = Mount::with_root().await;
    let old = mount.read("config/issuers").await.text("default");
    let next = mount.write("root/rotate/internal", json!({"common_name": "Next", "key_type": "ec"})).await.ok();
    assert_eq!(next["issuer_name"], "next");
    assert_eq!(mount.read("config/issuers").await.ok()["default"], old);
    let again = mount.write("root/rotate/internal", json!({"common_name": "Third", "key_type": "ec"})).await.ok();
    assert_eq!(again["issuer_name"], "");
    let replaced = mount.write("root/replace", json!({})).await.ok();
    assert_eq!(replaced, json!({"default": next["issuer_id"], "default_follows_latest_issuer": false}));
    mount
        .write("root/replace", json!({"default": "zork"}))
        .await
        .refused("Error resolving issuer reference: unable to find PKI issuer for reference: zork");
    mount
        .write("root/replace", json!({"default": "default"}))
        .await
        .refused("Invalid issuer specification; must be non-empty and can't be 'default'.");
}

#[tokio::test]
async fn a_cross_signed_root_verifies_under_the_other() {
    let openssl = Openssl::new();
    let (old, new) = (Mount::with_root().await, Mount::new().await);
    let body = json!({"common_name": "New", "key_type": "ec", "ttl": "175200h", "max_path_length": 1});
    let root = new.write("root/generate/internal", body).await.text("certificate");
    new.role("r", json!({"allow_any_name": true})).await;
    let crossed = old.write("root/sign-self-issued", json!({"certificate": root})).await.ok();
    let trusted = crossed["issuing_ca"].as_str().unwrap();
    let leaf = new.write("issue/r", json!({"common_name": "a.b"})).await.text("certificate");
    let (good, text) = openssl.verify(trusted, crossed["certificate"].as_str().unwrap(), &leaf, &[]);
    assert!(good, "{text}");
    let shown = openssl.show(crossed["certificate"].as_str().unwrap());
    assert!(shown.contains("pathlen:1") && shown.contains("Subject: CN = New"), "{shown}");
    assert_eq!(old.list("certs").await.ok()["keys"].as_array().unwrap().len(), 2);

    let csr = new.write("intermediate/cross-sign", json!({"common_name": "New"})).await.text("csr");
    let signed =
        old.write("root/sign-intermediate", json!({"csr": csr, "common_name": "New"})).await.text("certificate");
    let (good, text) = openssl.verify(trusted, &signed, &leaf, &[]);
    assert!(good, "{text}");
}

#[tokio::test]
async fn only_cas_that_hold_their_key_are_cross_signed() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let leaf = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("certificate");
    mount
        .write("root/sign-self-issued", json!({"certificate": leaf}))
        .await
        .refused("given certificate is not a CA certificate");
    mount
        .write("root/sign-self-issued", json!({"certificate": "x"}))
        .await
        .refused("certificate could not be PEM-decoded");
    let lower = Mount::new().await;
    let csr =
        lower.write("intermediate/generate/internal", json!({"common_name": "I", "key_type": "ec"})).await.text("csr");
    let lower =
        mount.write("root/sign-intermediate", json!({"csr": csr, "common_name": "I"})).await.text("certificate");
    mount
        .write("issuer/root/sign-self-issued", json!({"certificate": lower}))
        .await
        .refused("given certificate is not self-issued");
    // The last bytes of the file are the signature.
    let root = mount.read("ca").await.raw;
    let mut forged = root.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forged = chancery_ca::pem::encode("CERTIFICATE", &forged);
    mount
        .write("root/sign-self-issued", json!({"certificate": forged}))
        .await
        .refused("error verifying certificate: its signature does not verify under its own key");
    let rsa = Mount::new().await.write("root/generate/exported", json!({"common_name": "R", "key_type": "rsa"})).await;
    let body = json!({"certificate": rsa.text("certificate"), "require_matching_certificate_algorithms": true});
    mount
        .write("root/sign-self-issued", body)
        .await
        .refused("request public key algorithm rsa does not match that of the issuer, ec");
}

#[tokio::test]
async fn ml_dsa_issuers_sign_what_our_own_verifier_accepts() {
    let mount = Mount::new().await;
    let reply = mount
        .write(
            "root/generate/internal",
            json!({"common_name": "R", "key_type": "mldsa", "key_bits": 65, "issuer_name": "m"}),
        )
        .await;
    assert!(reply.warnings.iter().any(|text| text.contains("not made in the HSM")), "{reply:?}");
    reply.ok();
    assert_eq!(mount.read("issuer/m").await.ok()["revocation_signature_algorithm"], "MLDSA65");
    assert_eq!(mount.read("key/default").await.ok()["key_type"], "mldsa");
    mount.role("r", json!({"allow_any_name": true, "key_type": "mldsa"})).await;
    let data = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    assert_eq!(data["private_key_type"], "mldsa");
    let der = |text: &str| chancery_ca::pem::decode_first(text).unwrap().unwrap().bytes.to_vec();
    let leaf = chancery_ca::facts::CertificateFacts::parse(&der(data["certificate"].as_str().unwrap())).unwrap();
    let root = chancery_ca::facts::CertificateFacts::parse(&der(data["issuing_ca"].as_str().unwrap())).unwrap();
    assert!(leaf.is_signed_by(&root) && root.is_signed_by(&root));
    assert!(!mount.read("crl").await.raw.is_empty());
}

#[tokio::test]
async fn an_issuers_purposes_bind_what_it_issues() {
    let mount = Mount::with_root().await;
    let lower = Mount::new().await;
    let csr =
        lower.write("intermediate/generate/internal", json!({"common_name": "I", "key_type": "ec"})).await.text("csr");
    let body = json!({"csr": csr, "common_name": "I", "ext_key_usage": "ServerAuth", "key_usage": "DigitalSignature", "skid": "0a:0b:0c"});
    let signed = mount.write("root/sign-intermediate", body).await.text("certificate");
    let shown = Openssl::new().show(&signed);
    assert!(shown.contains("TLS Web Server Authentication") && shown.contains("0A:0B:0C"), "{shown}");
    assert!(shown.contains("Digital Signature, Certificate Sign, CRL Sign"), "{shown}");
    lower.write("intermediate/set-signed", json!({"certificate": signed})).await.ok();
    lower.role("both", json!({"allow_any_name": true})).await;
    lower.role("server", json!({"allow_any_name": true, "client_flag": false})).await;
    lower.write("issue/server", json!({"common_name": "a.b"})).await.ok();
    lower.write("issue/both", json!({"common_name": "a.b"})).await.refused(
        "certificate not issued: extended key usage: the issuer's certificate does not permit the purpose 1.3.6.1.5.5.7.3.2",
    );
    mount
        .write("root/sign-intermediate", json!({"csr": csr, "common_name": "I", "skid": "zork"}))
        .await
        .refused("cannot parse requested SKID value as hex: it is not 1 to 64 octets in hexadecimal digits");
}

#[tokio::test]
async fn templates_of_urls_are_filled_in_when_a_certificate_is_issued() {
    let openssl = Openssl::new();
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let id = mount.read("issuer/root").await.text("issuer_id");
    let urls =
        json!({"enable_templating": true, "issuing_certificates": "{{cluster_aia_path}}/issuer/{{issuer_id}}/der"});
    let reply = mount.write("config/urls", urls).await;
    let unfilled = "unable to template AIA URLs as we lack local cluster address information (aia_path)";
    assert!(reply.warnings[0].contains(unfilled), "{reply:?}");
    mount.write("issue/r", json!({"common_name": "a.b"})).await.refused(unfilled);
    let cluster = json!({"path": "https://ca.example.com/v1/pki", "aia_path": "http://aia.example.com/v1/pki"});
    assert_eq!(mount.write("config/cluster", cluster.clone()).await.ok(), cluster);
    assert_eq!(mount.read("config/cluster").await.ok(), cluster);
    let leaf = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("certificate");
    assert!(openssl.show(&leaf).contains(&format!("URI:http://aia.example.com/v1/pki/issuer/{id}/der")));
    let own = json!({"enable_aia_url_templating": true, "ocsp_servers": "{{cluster_path}}/ocsp"});
    assert_eq!(mount.patch("issuer/root", own).await.ok()["enable_aia_url_templating"], true);
    let leaf = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("certificate");
    assert!(openssl.show(&leaf).contains("OCSP - URI:https://ca.example.com/v1/pki/ocsp"));
    for (body, text) in [
        (json!({"path": "zork"}), "invalid, non-URL path given to cluster: zork"),
        (json!({"aia_path": "zork"}), "invalid, non-URL aia_path given to cluster: zork"),
    ] {
        mount.write("config/cluster", body).await.refused(text);
    }
}

#[tokio::test]
async fn roles_can_demand_stapling_or_say_that_nothing_is_ever_revoked() {
    let openssl = Openssl::new();
    let mount = Mount::with_role(json!({"allow_any_name": true, "must_staple": true})).await;
    let urls = json!({"issuing_certificates": "http://x/ca", "crl_distribution_points": "http://x/crl", "ocsp_servers": "http://x/ocsp"});
    mount.write("config/urls", urls).await.ok();
    let leaf = mount.write("issue/r", json!({"common_name": "a.b"})).await.text("certificate");
    let shown = openssl.show(&leaf);
    assert!(shown.contains("status_request") && shown.contains("URI:http://x/ocsp"), "{shown}");
    mount.role("short", json!({"allow_any_name": true, "no_rev_avail": true})).await;
    let leaf = mount.write("issue/short", json!({"common_name": "a.b"})).await.text("certificate");
    let shown = openssl.show(&leaf);
    assert!(shown.contains("No Revocation Available") && shown.contains("http://x/ca"), "{shown}");
    assert!(!shown.contains("http://x/ocsp") && !shown.contains("http://x/crl"), "{shown}");
    let reply = mount.write("issue/short", json!({"common_name": "a.b", "ttl": "240h"})).await;
    assert!(reply.error.starts_with("no_rev_avail is for certificates that live at most"), "{reply:?}");
    let both = json!({"must_staple": true, "no_rev_avail": true});
    assert!(mount.write("roles/both", both).await.error.contains("contradict"));
    assert!(mount.read("roles/r").await.ok()["must_staple"].as_bool().unwrap());
    mount.role("plain", json!({})).await;
    assert!(mount.read("roles/plain").await.ok().get("must_staple").is_none());
}

#[tokio::test]
async fn lists_of_issuers_and_keys_come_in_pages() {
    let mount = Mount::with_root().await;
    mount.write("root/rotate/internal", json!({"common_name": "Next", "key_type": "ec"})).await.ok();
    for path in ["issuers", "keys"] {
        let all = mount.list(path).await.ok();
        let body = json!({"limit": 1}).to_string().into_bytes();
        let first = mount.send(chancery_engine::Verb::List, path, body).await.ok();
        assert_eq!(first["keys"], json!([all["keys"][0]]), "{path}");
        assert_eq!(first["key_info"].as_object().unwrap().len(), 1);
        let body = json!({"after": all["keys"][0]}).to_string().into_bytes();
        assert_eq!(mount.send(chancery_engine::Verb::List, path, body).await.ok()["keys"], json!([all["keys"][1]]));
    }
}

use crate::{harness::Mount, openssl::Openssl};
use serde_json::{Value, json};

#[tokio::test]
async fn chains_grow_by_import() {
    let (upper, lower, root, _) = crate::intermediate::hierarchy(json!({"common_name": "Inter"})).await;
    drop(upper);
    assert_eq!(lower.read("issuer/default").await.ok()["ca_chain"].as_array().unwrap().len(), 1);
    for (path, known) in [("issuers/import/cert", false), ("issuers/import/bundle", true), ("config/ca", true)] {
        let data = lower.write(path, json!({"pem_bundle": root})).await.ok();
        let (full, empty) =
            if known { ("existing_issuers", "imported_issuers") } else { ("imported_issuers", "existing_issuers") };
        assert_eq!((data[full].as_array().unwrap().len(), &data[empty]), (1, &Value::Null), "{path}");
        assert_eq!(data["mapping"][data[full][0].as_str().unwrap()], "");
    }
    assert_eq!(lower.read("issuer/default").await.ok()["ca_chain"].as_array().unwrap().len(), 2);
    lower.role("r", json!({"allow_any_name": true})).await;
    let data = lower.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    assert_eq!(data["ca_chain"].as_array().unwrap().len(), 2);
    assert_eq!(data["ca_chain"][0], data["issuing_ca"]);
    let data = lower.write("issue/r", json!({"common_name": "a.b", "remove_roots_from_chain": true})).await.ok();
    assert_eq!(data["ca_chain"], json!([data["issuing_ca"]]));
}

#[tokio::test]
async fn what_is_no_ca_certificate_is_refused() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let short = "provided data for import was too short; perhaps a path was passed to the API rather than the contents of a PEM file";
    mount
        .write("issuers/import/cert", json!({"pem_bundle": ""}))
        .await
        .refused("'pem_bundle' and 'certificate' parameters were empty");
    mount.write("intermediate/set-signed", json!({"certificate": "x"})).await.refused(short);
    mount
        .write("issuers/import/cert", json!({"pem_bundle": "x".repeat(100)}))
        .await
        .refused("error when parsing block 1: invalid PEM data");
    let data = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    let reply = mount.write("issuers/import/cert", json!({"pem_bundle": data["certificate"]})).await;
    assert!(reply.error.starts_with("Error parsing issuer 0: Refusing to import non-CA certificate"), "{reply:?}");
    mount
        .write("issuers/import/cert", json!({"pem_bundle": data["private_key"]}))
        .await
        .refused("private keys found in the PEM bundle but not allowed by the path; use /issuers/import/bundle");
    assert_eq!(mount.list("issuers").await.ok()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(mount.list("keys").await.ok()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_imported_key_lives_in_its_record_and_the_answer_says_what_that_costs() {
    let source = Mount::new().await;
    let made = source.write("root/generate/exported", json!({"common_name": "Old", "key_type": "rsa"})).await.ok();
    let (certificate, key) = (made["certificate"].as_str().unwrap(), made["private_key"].as_str().unwrap());
    let mount = Mount::new().await;
    let reply = mount.write("config/ca", json!({"pem_bundle": format!("{key}\n{certificate}")})).await;
    assert!(reply.warnings.iter().any(|text| text.contains("Destroy every other copy")), "{reply:?}");
    let data = reply.ok();
    assert_eq!(data["mapping"][data["imported_issuers"][0].as_str().unwrap()], data["imported_keys"][0]);
    assert!(mount.hsm.list().await.unwrap().is_empty());
    mount.role("r", json!({"allow_any_name": true})).await;
    let issued = mount.write("issue/r", json!({"common_name": "a.b"})).await.ok();
    let (good, text) = Openssl::new().verify(certificate, "", issued["certificate"].as_str().unwrap(), &[]);
    assert!(good, "{text}");
    let again = mount.write("issuers/import/bundle", json!({"pem_bundle": format!("{certificate}\n{key}")})).await;
    assert!(again.warnings.iter().all(|text| !text.contains("imported")), "{again:?}");
    assert_eq!(again.ok()["existing_keys"], data["imported_keys"]);
}

#[tokio::test]
async fn a_key_finds_the_issuer_that_waited_for_it() {
    let source = Mount::new().await;
    let made = source.write("root/generate/exported", json!({"common_name": "Old", "key_type": "ec"})).await.ok();
    let mount = Mount::new().await;
    mount.write("issuers/import/cert", json!({"pem_bundle": made["certificate"]})).await.ok();
    assert_eq!(mount.read("config/issuers").await.ok()["default"], "");
    let key = mount.write("keys/import", json!({"pem_bundle": made["private_key"], "key_name": "k"})).await.ok();
    assert_eq!(key, json!({"key_id": key["key_id"], "key_name": "k", "key_type": "ec"}));
    let issuer = mount.read("issuer/default").await.ok();
    assert_eq!(issuer["key_id"], key["key_id"]);
    let again = mount.write("keys/import", json!({"pem_bundle": made["private_key"], "key_name": "other"})).await;
    assert_eq!(again.warnings, ["Key already imported, use key/ endpoint to update name."]);
    assert_eq!(again.ok()["key_name"], "k");
}

#[tokio::test]
async fn keys_that_are_none_are_refused_and_nothing_is_written() {
    let openssl = Openssl::new();
    let mount = Mount::new().await;
    openssl.must(&["ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "k1.pem"]);
    openssl.must(&["genrsa", "-out", "short.pem", "1024"]);
    openssl.must(&["genpkey", "-algorithm", "x25519", "-out", "x.pem"]);
    openssl.must(&["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", "locked.pem"]);
    for (file, text) in [
        ("k1.pem", "curve 1.3.132.0.10 is not offered"),
        ("short.pem", "RSA keys of 1024 bits are not offered"),
        ("x.pem", "algorithm 1.3.101.110 is not offered"),
        ("locked.pem", "it is encrypted"),
    ] {
        let key = openssl.read(file);
        for (path, member) in [("keys/import", "pem_bundle"), ("issuers/import/bundle", "pem_bundle")] {
            let reply = mount.write(path, json!({member: key})).await;
            assert!(reply.status == 400 && reply.error.contains(text), "{file} {path}: {reply:?}");
        }
    }
    for (body, text) in [
        (json!({"pem_bundle": "x".repeat(100)}), "error when parsing block 1: invalid PEM data"),
        (json!({"pem_bundle": "x", "key_name": "default"}), "reserved keyword 'default' can not be used as key name"),
    ] {
        mount.write("keys/import", body).await.refused(text);
    }
    assert_eq!(mount.list("keys").await.status, 404);
}

#[tokio::test]
async fn an_issuer_without_its_key_signs_nothing() {
    let openssl = Openssl::new();
    openssl.must(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "k",
        "-subj",
        "/CN=Foreign",
        "-out",
        "f.pem",
    ]);
    let foreign = openssl.must(&["x509", "-in", "f.pem"]);
    let mount = Mount::new().await;
    mount.role("r", json!({"allow_any_name": true})).await;
    let imported = mount.write("issuers/import/cert", json!({"pem_bundle": foreign})).await.ok();
    mount
        .write("issue/r", json!({"common_name": "a.b"}))
        .await
        .refused("could not fetch the CA certificate (was one set?): no default issuer currently configured");
    let path = format!("issuer/{}/issue/r", imported["imported_issuers"][0].as_str().unwrap());
    let reply = mount.write(&path, json!({"common_name": "a.b"})).await;
    assert!(reply.status == 400 && reply.error.contains("is not in this mount"), "{reply:?}");
    assert!(mount.read("crl").await.raw.is_empty());
}

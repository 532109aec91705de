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
    assert_eq!(mount.write("issuers/import/cert", json!({"pem_bundle": data["certificate"]})).await.status, 400);
    let reply = mount.write("issuers/import/bundle", json!({"pem_bundle": data["private_key"]})).await;
    assert!(reply.error.contains("cannot be imported"), "{reply:?}");
    assert_eq!(mount.list("issuers").await.ok()["keys"].as_array().unwrap().len(), 1);
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
    mount.write("issuers/import/cert", json!({"pem_bundle": foreign})).await.ok();
    let reply = mount.write("issue/r", json!({"common_name": "a.b"})).await;
    assert!(reply.status == 400 && reply.error.contains("is not in this mount"), "{reply:?}");
    assert!(mount.read("crl").await.raw.is_empty());
}

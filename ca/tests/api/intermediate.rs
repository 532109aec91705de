use crate::{
    harness::{Mount, Reply},
    openssl::{Openssl, P256},
};
use serde_json::{Value, json};

/// A root in one mount, an intermediate below it in another; answers the mounts and both certificates.
pub(crate) async fn hierarchy(signing: Value) -> (Mount, Mount, String, String) {
    let upper = Mount::with_root().await;
    let lower = Mount::beside(upper.store.clone(), upper.hsm.clone(), "2");
    let csr = lower
        .write("intermediate/generate/internal", json!({"common_name": "Inter", "key_type": "ec", "key_bits": 384}))
        .await
        .text("csr");
    let signed = sign(&upper, &csr, signing).await.text("certificate");
    let bundle = json!({"certificate": signed});
    lower.write("intermediate/set-signed", bundle).await.ok();
    let root = String::from_utf8(upper.read("ca/pem").await.raw).unwrap();
    (upper, lower, root, signed)
}

pub(crate) async fn sign(upper: &Mount, csr: &str, mut parameters: Value) -> Reply {
    parameters["csr"] = json!(csr);
    upper.write("root/sign-intermediate", parameters).await
}

#[tokio::test]
async fn root_intermediate_leaf_verify_strictly_and_revoked_ones_do_not() {
    let openssl = Openssl::new();
    let (_upper, lower, root, between) =
        hierarchy(json!({"common_name": "Inter", "ttl": "8760h", "max_path_length": 0})).await;
    lower.role("r", json!({"allowed_domains": "example.com", "allow_subdomains": true})).await;
    let issued = lower.write("issue/r", json!({"common_name": "a.example.com"})).await.ok();
    let leaf = issued["certificate"].as_str().unwrap();
    let (good, text) =
        openssl.verify(&root, &between, leaf, &["-purpose", "sslserver", "-verify_hostname", "a.example.com"]);
    assert!(good, "{text}");

    openssl.file("crl.pem", &String::from_utf8(lower.read("crl/pem").await.raw).unwrap());
    let (good, text) = openssl.verify(&root, &between, leaf, &["-crl_check", "-CRLfile", "crl.pem"]);
    assert!(good, "{text}");
    lower.write("revoke", json!({"serial_number": issued["serial_number"]})).await.ok();
    openssl.file("crl.pem", &String::from_utf8(lower.read("crl/pem").await.raw).unwrap());
    let (good, text) = openssl.verify(&root, &between, leaf, &["-crl_check", "-CRLfile", "crl.pem"]);
    assert!(!good && text.contains("certificate revoked"), "{text}");
}

#[tokio::test]
async fn answers_have_the_wires_members() {
    let upper = Mount::with_root().await;
    let lower = Mount::beside(upper.store.clone(), upper.hsm.clone(), "2");
    let reply = lower.write("intermediate/generate/internal", json!({"common_name": "Inter", "key_type": "ec"})).await;
    assert_eq!(reply.warnings.len(), 1);
    let made = reply.ok();
    assert_eq!(made.as_object().unwrap().keys().collect::<Vec<_>>(), ["csr", "key_id"]);
    let reply =
        sign(&upper, made["csr"].as_str().unwrap(), json!({"common_name": "Inter", "max_path_length": 0})).await;
    assert!(reply.warnings[1].starts_with("Max path length of the signed certificate is zero."));
    let signed = reply.ok();
    let members: Vec<&str> = signed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["ca_chain", "certificate", "expiration", "issuing_ca", "serial_number"]);
    assert_eq!(signed["ca_chain"], json!([signed["certificate"], signed["issuing_ca"]]));
    let set = lower.write("intermediate/set-signed", json!({"certificate": signed["certificate"]})).await.ok();
    let id = set["imported_issuers"][0].as_str().unwrap();
    assert_eq!(set["existing_issuers"], Value::Null);
    assert_eq!(set["mapping"][id], made["key_id"]);
    assert_eq!(lower.read("config/issuers").await.ok()["default"], id);
}

#[tokio::test]
async fn name_constraints_of_the_intermediate_bind_its_leaves() {
    let openssl = Openssl::new();
    let (_upper, lower, root, between) =
        hierarchy(json!({"common_name": "Inter", "ttl": "8760h", "permitted_dns_domains": "example.com"})).await;
    lower.role("r", json!({"allow_any_name": true})).await;
    let good = lower.write("issue/r", json!({"common_name": "a.example.com"})).await.text("certificate");
    let (verified, text) = openssl.verify(&root, &between, &good, &[]);
    assert!(verified, "{text}");
    for request in [
        json!({"common_name": "a.example.org"}),
        json!({"common_name": "a.example.com", "alt_names": "evil.org"}),
        json!({"common_name": "evil.org", "exclude_cn_from_sans": true}),
    ] {
        let reply = lower.write("issue/r", request).await;
        assert_eq!(reply.status, 400);
        assert!(reply.error.contains("name constraints: the issuer's certificate does not permit"), "{}", reply.error);
    }
}

#[tokio::test]
async fn path_lengths_are_kept() {
    let (_upper, lower, _, _) = hierarchy(json!({"common_name": "Inter", "max_path_length": 0})).await;
    let csr = Openssl::new().csr("/CN=Below", &P256, "");
    let reply = sign(&lower, &csr, json!({"common_name": "Below"})).await;
    assert_eq!(reply.status, 400);
    let (_upper, lower, _, _) = hierarchy(json!({"common_name": "Inter", "max_path_length": 1})).await;
    let below = sign(&lower, &csr, json!({"common_name": "Below"})).await.text("certificate");
    assert!(Openssl::new().show(&below).contains("pathlen:0"));
    let reply = sign(&lower, &csr, json!({"common_name": "Below", "max_path_length": 1})).await;
    assert!(reply.error.contains("path length"), "{}", reply.error);
}

#[tokio::test]
async fn an_intermediate_ends_no_later_than_its_root() {
    let upper = Mount::with_root().await;
    let root_end = upper.read("cert/ca").await;
    assert_eq!(root_end.status, 200);
    upper.clock.advance(3600);
    let csr = Openssl::new().csr("/CN=Inter", &P256, "");
    let signed = sign(&upper, &csr, json!({"common_name": "Inter", "ttl": "87600h"})).await.ok();
    assert_eq!(signed["expiration"], crate::harness::NOW + 87_600 * 3600 - 1);
    let strict = json!({"common_name": "Inter", "ttl": "87600h", "enforce_leaf_not_after_behavior": true});
    assert!(
        sign(&upper, &csr, strict).await.error.starts_with("cannot satisfy request, as TTL would result in notAfter")
    );
}

#[tokio::test]
async fn nothing_is_signed_without_a_request() {
    let upper = Mount::with_root().await;
    upper.write("root/sign-intermediate", json!({"common_name": "x"})).await.refused("\"csr\" is empty");
    let csr = Openssl::new().csr("/CN=Inter/O=Org", &P256, "subjectAltName=DNS:x.example");
    let signed = sign(&upper, &csr, json!({"use_csr_values": true})).await.text("certificate");
    let text = Openssl::new().show(&signed);
    assert!(text.contains("Subject: CN = Inter, O = Org") && text.contains("DNS:x.example"), "{text}");
}

//! `keys/:name/csr`.

use crate::{
    harness::Mount,
    material::{der_of, pair, pem},
};
use chancery_hsm::KeyAlgorithm;
use der::{Decode, Encode};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;
use x509_cert::request::CertReq;

fn request(answer: &serde_json::Value) -> CertReq {
    let text = answer["csr"].as_str().unwrap();
    assert!(text.ends_with("-----END CERTIFICATE REQUEST-----\n"));
    CertReq::from_der(&der_of(text)).unwrap()
}

#[tokio::test]
async fn requests_are_signed_by_the_key_they_carry() {
    use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
    let mount = Mount::new().await;
    let kinds: [(&str, &dyn VerificationAlgorithm); 6] = [
        ("ecdsa-p256", &signature::ECDSA_P256_SHA256_ASN1),
        ("ecdsa-p384", &signature::ECDSA_P384_SHA384_ASN1),
        ("ecdsa-p521", &signature::ECDSA_P521_SHA512_ASN1),
        ("ed25519", &signature::ED25519),
        ("rsa-2048", &signature::RSA_PKCS1_2048_8192_SHA256),
        ("mldsa-44", &signature::ML_DSA_44),
    ];
    for protection in ["software", "hsm"] {
        for (key_type, algorithm) in kinds {
            if protection == "hsm" && key_type == "mldsa-44" {
                continue;
            }
            let name = format!("{key_type}-{protection}");
            mount.write(&format!("keys/{name}"), json!({"type": key_type, "protection": protection})).await.ok();
            let answer = mount.write(&format!("keys/{name}/csr"), json!({})).await.ok();
            assert_eq!((&answer["name"], &answer["type"]), (&json!(name), &json!(key_type)));
            let request = request(&answer);
            assert!(request.info.subject.is_empty() && request.info.attributes.is_empty());
            let public = request.info.public_key.to_der().unwrap();
            let exported = mount.read(&format!("export/public-key/{name}"), json!({"format": "der"})).await.ok();
            assert_eq!(exported["keys"]["1"], crate::harness::b64(&public));
            let bare = request.info.public_key.subject_public_key.raw_bytes();
            let verified = UnparsedPublicKey::new(algorithm, bare)
                .verify(&request.info.to_der().unwrap(), request.signature.raw_bytes());
            assert!(verified.is_ok(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_template_gives_subject_and_extensions() {
    let mount = Mount::with_key(json!({"type": "ecdsa-p384"})).await;
    let mut parameters = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, "a");
    let theirs = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let template = parameters.serialize_request(&theirs).unwrap();
    let answer = mount.write("keys/k/csr", json!({"csr": template.pem().unwrap(), "version": 1})).await.ok();
    let (ours, theirs) = (request(&answer), CertReq::from_der(template.der()).unwrap());
    assert_eq!(ours.info.subject, theirs.info.subject);
    assert_eq!(ours.info.attributes, theirs.info.attributes);
    assert_ne!(ours.info.public_key, theirs.info.public_key);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let mount = Mount::with_key(json!({"type": "ecdsa-p256"})).await;
    mount.write("keys/aes", json!({})).await.ok();
    mount.write("keys/derived", json!({"type": "ed25519", "derived": true})).await.ok();
    let (_, public) = pair(KeyAlgorithm::Ed25519);
    mount.write("keys/public/import", json!({"type": "ed25519", "public_key": public})).await;
    for (name, body, text) in [
        ("none", json!({}), "key with provided name 'none' not found"),
        ("aes", json!({}), "key type 'aes256-gcm96' does not support signing"),
        ("derived", json!({}), "operation not supported for keys with derivation enabled"),
        ("public", json!({}), "could not create the csr: private key not imported for key version selected"),
        ("k", json!({"version": 0}), "could not create the csr: no such key version"),
        ("k", json!({"version": 2}), "could not create the csr: no such key version"),
        ("k", json!({"version": -1}), "could not create the csr: no such key version"),
        ("k", json!({"csr": "x"}), "could not decode PEM CSR"),
        ("k", json!({"csr": pem("CERTIFICATE REQUEST", &[0, 0, 0])}), "x509: malformed certificate request"),
    ] {
        mount.write(&format!("keys/{name}/csr"), body).await.refused(text);
    }
}

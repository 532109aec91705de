//! `keys/:name/set-certificate`.

use crate::{
    harness::{Mount, from_b64},
    material::pem,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use serde_json::{Value, json};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn parameters(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = is_ca;
    parameters
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let parameters = parameters("ca", IsCa::Ca(BasicConstraints::Unconstrained));
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// A certificate for the key of that name (exportable) in the mount.
    async fn leaf(&self, mount: &Mount, name: &str) -> String {
        let exported = mount.read(&format!("export/signing-key/{name}/latest"), json!({"format": "der"})).await.ok();
        let key = exported["keys"].as_object().unwrap().values().next().unwrap();
        let key = KeyPair::try_from(from_b64(key.as_str().unwrap()).as_slice()).unwrap();
        self.certify(&key)
    }

    fn certify(&self, key: &impl PublicKeyData) -> String {
        parameters("leaf", IsCa::ExplicitNoCa).signed_by(key, &self.issuer).unwrap().pem()
    }
}

async fn shown(mount: &Mount, name: &str, version: &str) -> Value {
    mount.read(&format!("keys/{name}"), json!({})).await.ok()["keys"][version]["certificate_chain"].clone()
}

#[tokio::test]
async fn a_chain_is_kept_shown_exported_and_backed_up() {
    let (mount, authority) = (Mount::new().await, Authority::new());
    for key_type in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"] {
        let body = json!({"type": key_type, "exportable": true, "allow_plaintext_backup": true});
        mount.write(&format!("keys/{key_type}"), body).await.ok();
        let leaf = authority.leaf(&mount, key_type).await.replace("\r\n", "\n");
        let ca = authority.pem.replace("\r\n", "\n");
        let chain = format!("text\n{leaf}\n{ca}{}", pem("OTHER", b"x"));
        let body = json!({"certificate_chain": chain});
        let answer = mount.write(&format!("keys/{key_type}/set-certificate"), body).await.ok();
        assert_eq!(answer["certificate_chain"], chain);
        let expected = format!("{}\n{}", leaf.trim(), ca.trim());
        assert_eq!(shown(&mount, key_type, "1").await, expected);
        let exported = mount.read(&format!("export/certificate-chain/{key_type}"), json!({})).await.ok();
        assert_eq!(exported["keys"]["1"], expected);
        let backup = mount.read(&format!("backup/{key_type}"), json!({})).await.ok();
        mount.write(&format!("restore/{key_type}-again"), json!({"backup": backup["backup"]})).await;
        assert_eq!(shown(&mount, &format!("{key_type}-again"), "1").await, expected);
        // A new version has none; the old one keeps its own.
        mount.write(&format!("keys/{key_type}/rotate"), json!({})).await.ok();
        assert_eq!(shown(&mount, key_type, "2").await, "");
        assert_eq!(shown(&mount, key_type, "1").await, expected);
        mount
            .read(&format!("export/certificate-chain/{key_type}"), json!({}))
            .await
            .refused("selected key version does not have a certificate chain imported");
    }
}

#[tokio::test]
async fn chains_that_do_not_fit_are_refused_and_not_kept() {
    let (mount, authority) =
        (Mount::with_key(json!({"type": "ecdsa-p256", "exportable": true})).await, Authority::new());
    mount.write("keys/hmac", json!({"type": "hmac", "key_size": 32})).await.ok();
    mount.write("keys/derived", json!({"type": "ed25519", "derived": true})).await.ok();
    mount.write("keys/rsa", json!({"type": "rsa-2048", "exportable": true})).await.ok();
    let (leaf, ca) = (authority.leaf(&mount, "k").await, authority.pem.clone());
    let rsa = authority.leaf(&mount, "rsa").await;
    let stranger = authority.certify(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    let persist = |text: &str| format!("failed to persist certificate chain: {text}");
    let chain = |parts: &[&str]| json!({"certificate_chain": parts.concat()});
    for (name, body, text) in [
        ("none", json!({}), "key with provided name 'none' not found".to_owned()),
        ("hmac", json!({}), "key type 'hmac' does not support signing".to_owned()),
        ("derived", json!({}), "operation not supported for keys with derivation enabled".to_owned()),
        ("k", json!({}), "provided certificate chain did not contain any valid PEM encoded certificate".to_owned()),
        ("k", chain(&["x"]), "could not decode a PEM block in the certificate chain".to_owned()),
        ("k", chain(&[&leaf, "x"]), "could not decode a PEM block in the certificate chain".to_owned()),
        (
            "k",
            chain(&[&pem("CERTIFICATE", &[0, 0, 0])]),
            "could not parse a certificate in the certificate chain: x509: malformed certificate".to_owned(),
        ),
        (
            "k",
            chain(&[&pem("OTHER", &[0, 0, 0])]),
            "provided certificate chain did not contain any valid PEM encoded certificate".to_owned(),
        ),
        ("k", chain(&[&ca]), persist("certificate in the first element is not a valid leaf certificate")),
        ("k", chain(&[&ca, &leaf]), persist("certificate in the first element is not a valid leaf certificate")),
        ("k", chain(&[&leaf, &leaf]), persist("certificate in the last element is not a valid CA certificate")),
        (
            "k",
            chain(&[&leaf, &leaf, &ca]),
            persist("could not validate if there is only one leaf certificate in the provided chain"),
        ),
        (
            "k",
            chain(&[&rsa]),
            persist(
                "could not validate key match between leaf certificate key and key entry in transit: provided leaf \
                 certificate public key algorithm 'RSA' does not match the transit key type 'ecdsa-p256'",
            ),
        ),
        ("k", chain(&[&stranger]), persist("leaf certificate public key does not match the selected key version")),
        ("k", json!({"certificate_chain": leaf, "version": 9}), persist("no such key version")),
        ("k", json!({"certificate_chain": leaf, "version": 0}), persist("no such key version")),
    ] {
        mount.write(&format!("keys/{name}/set-certificate"), body).await.refused(&text);
    }
    assert_eq!(shown(&mount, "k", "1").await, "");
}

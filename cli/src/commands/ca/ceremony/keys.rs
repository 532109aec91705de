//! Public keys of approvers and of the transcript: read from PEM, verified with here, so that a proof needs no server.

use super::read;
use crate::{
    failure::{Failure, Result},
    remote::{Ask, Remote, Verb},
};
use aws_lc_rs::{rand::SystemRandom, signature as algorithms, signature::UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use std::path::Path;
use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
    },
    pem::parse_x509_pem,
    prelude::FromDer,
    x509::SubjectPublicKeyInfo,
};
use zeroize::Zeroizing;

/// A public key and how its signatures are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VerifyingKey {
    /// SubjectPublicKeyInfo.
    der: Vec<u8>,
    kind: Kind,
    /// The key alone, as the verifier takes it.
    bits: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Over the text itself.
    Ed25519,
    /// DER, SHA-256.
    P256,
    /// DER, SHA-384.
    P384,
    /// PKCS#1 v1.5, SHA-256.
    Rsa,
}

/// The SubjectPublicKeyInfo of an Ed25519 key up to its 32 bytes (RFC 8410 §4).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl VerifyingKey {
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        let (_, pem) = parse_x509_pem(text.trim().as_bytes()).ok()?;
        (pem.label == "PUBLIC KEY").then_some(())?;
        Self::from_der(&pem.contents)
    }

    /// As transit shows it: PEM, or the 32 bytes of an Ed25519 key in base64.
    pub(super) fn from_transit(text: &str) -> Option<Self> {
        if text.contains("-----BEGIN") {
            return Self::from_pem(text);
        }
        let bits = STANDARD.decode(text).ok().filter(|bits| bits.len() == 32)?;
        Self::from_der(&[&ED25519_PREFIX, bits.as_slice()].concat())
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        rest.is_empty().then_some(())?;
        let algorithm = &info.algorithm.algorithm;
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let kind = if *algorithm == OID_SIG_ED25519 {
            Kind::Ed25519
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            Kind::Rsa
        } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve.as_ref() == Some(&OID_EC_P256) {
            Kind::P256
        } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve.as_ref() == Some(&OID_NIST_EC_P384) {
            Kind::P384
        } else {
            return None;
        };
        Some(Self { der: der.to_vec(), kind, bits: info.subject_public_key.data.to_vec() })
    }

    pub(super) fn to_pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
        let body: String = lines.map(|line| line + "\n").collect();
        format!("-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n")
    }

    pub(super) fn fingerprint(&self) -> String {
        super::plan::sha256(&self.der)
    }

    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn algorithms::VerificationAlgorithm = match self.kind {
            Kind::Ed25519 => &algorithms::ED25519,
            Kind::P256 => &algorithms::ECDSA_P256_SHA256_ASN1,
            Kind::P384 => &algorithms::ECDSA_P384_SHA384_ASN1,
            Kind::Rsa => &algorithms::RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.bits).verify(text, signature).is_ok()
    }

    /// What transit must be told, so that its signature is one of these.
    fn transit_parameters(&self, text: &[u8]) -> Map<String, Value> {
        let mut body = Map::from_iter([("input".to_owned(), json!(STANDARD.encode(text)))]);
        match self.kind {
            Kind::Ed25519 => {}
            Kind::P256 => drop(body.insert("hash_algorithm".to_owned(), json!("sha2-256"))),
            Kind::P384 => drop(body.insert("hash_algorithm".to_owned(), json!("sha2-384"))),
            Kind::Rsa => {
                body.insert("hash_algorithm".to_owned(), json!("sha2-256"));
                body.insert("signature_algorithm".to_owned(), json!("pkcs1v15"));
            }
        }
        body
    }
}

/// Signs with a private key in a file. `key` is the public half it should have; whoever calls verifies with it.
pub(super) fn sign_with_file(path: &Path, key: &VerifyingKey, text: &[u8]) -> Result<Vec<u8>> {
    let pem = Zeroizing::new(read(path)?);
    let unusable = || {
        Failure::local(format!("{} cannot sign for the approver the file names", path.display()))
            .because("it is not an unencrypted PKCS#8 key in PEM of the same kind as the public key in the file")
    };
    let (_, block) = parse_x509_pem(pem.trim().as_bytes()).map_err(|_| unusable())?;
    let der = Zeroizing::new(block.contents);
    let signed = match key.kind {
        Kind::Ed25519 => {
            let pair = algorithms::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| unusable())?;
            Ok(pair.sign(text).as_ref().to_vec())
        }
        Kind::P256 => ecdsa(&algorithms::ECDSA_P256_SHA256_ASN1_SIGNING, &der, text),
        Kind::P384 => ecdsa(&algorithms::ECDSA_P384_SHA384_ASN1_SIGNING, &der, text),
        Kind::Rsa => rsa(&der, text),
    };
    signed.map_err(|()| unusable())
}

fn ecdsa(algorithm: &'static algorithms::EcdsaSigningAlgorithm, der: &[u8], text: &[u8]) -> Result<Vec<u8>, ()> {
    let pair = algorithms::EcdsaKeyPair::from_pkcs8(algorithm, der).map_err(drop)?;
    pair.sign(&SystemRandom::new(), text).map(|signature| signature.as_ref().to_vec()).map_err(drop)
}

fn rsa(der: &[u8], text: &[u8]) -> Result<Vec<u8>, ()> {
    let pair = algorithms::RsaKeyPair::from_pkcs8(der).map_err(drop)?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&algorithms::RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).map_err(drop)?;
    Ok(signature)
}

/// Signs with a transit key, which the server lets only some tokens use.
pub(super) fn sign_with_transit(remote: &Remote, place: &str, key: &VerifyingKey, text: &[u8]) -> Result<Vec<u8>> {
    let (mount, name) = place.trim_matches('/').rsplit_once('/').ok_or_else(|| {
        Failure::local(format!("{place:?} is not a transit key")).fix("write MOUNT/KEY, such as transit/alice")
    })?;
    let path = format!("{mount}/sign/{name}");
    let answer = remote.send(&Ask::new(Verb::Post, &path).body(key.transit_parameters(text)))?;
    let signature = answer.data().get("signature").and_then(Value::as_str);
    signature
        .and_then(|text| text.rsplit(':').next())
        .and_then(|text| STANDARD.decode(text).ok())
        .ok_or_else(|| Failure::remote(format!("{path} answered without a signature")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aws_lc_rs::signature::KeyPair as _;
    use std::{fs, process::Command};

    /// An Ed25519 key pair: PKCS#8 in PEM, public key in PEM.
    pub(in crate::commands::ca::ceremony) fn fresh() -> (String, String) {
        let document = algorithms::Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = algorithms::Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.as_ref()).unwrap();
        let public = [&ED25519_PREFIX, pair.public_key().as_ref()].concat();
        let private = STANDARD.encode(document.as_ref());
        let private = format!("-----BEGIN PRIVATE KEY-----\n{private}\n-----END PRIVATE KEY-----\n");
        (private, VerifyingKey::from_der(&public).unwrap().to_pem())
    }

    #[test]
    fn keys_that_openssl_made_sign_and_openssl_agrees() {
        let place = tempfile::tempdir().unwrap();
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(place.path()).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        for (kind, hash) in [
            (&["ed25519"][..], ""),
            (&["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "-sha256"),
            (&["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "-sha384"),
            (&["rsa", "-pkeyopt", "rsa_keygen_bits:2048"], "-sha256"),
        ] {
            openssl(&[&["genpkey", "-out", "key.pem", "-algorithm"], kind].concat());
            openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
            let key = VerifyingKey::from_pem(&fs::read_to_string(place.path().join("public.pem")).unwrap()).unwrap();
            assert_eq!(VerifyingKey::from_pem(&key.to_pem()).unwrap(), key);
            let signature = sign_with_file(&place.path().join("key.pem"), &key, b"text").unwrap();
            assert!(key.verify(b"text", &signature) && !key.verify(b"test", &signature), "{kind:?}");
            fs::write(place.path().join("text"), "text").unwrap();
            fs::write(place.path().join("signature"), &signature).unwrap();
            let verify = ["-in", "text", "-sigfile", "signature", "-pubin", "-inkey", "public.pem", "-rawin"];
            let digest: &[&str] = if hash.is_empty() { &[] } else { &["-digest", &hash[1..]] };
            openssl(&[&["pkeyutl", "-verify"], &verify[..], digest].concat());
        }
    }

    #[test]
    fn a_transit_key_may_be_shown_as_bare_bytes() {
        let (_, pem) = fresh();
        let key = VerifyingKey::from_pem(&pem).unwrap();
        assert_eq!(VerifyingKey::from_transit(&STANDARD.encode(&key.bits)).unwrap(), key);
        assert_eq!(VerifyingKey::from_transit(&pem).unwrap(), key);
        assert!(VerifyingKey::from_transit("AAAA").is_none() && VerifyingKey::from_pem("").is_none());
    }
}

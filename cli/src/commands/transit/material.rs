//! A key as people have it, turned into what `import` wraps: PKCS#8 for key pairs, raw bytes for symmetric keys. PKCS#1
//! (RFC 8017) and SEC1 (RFC 5915) forms are checked and converted; a public key stays what it is.

use crate::failure::{Failure, Result};
use aws_lc_rs::{
    encoding::AsDer as _,
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    },
};
use clap::ValueEnum;
use data_encoding::HEXLOWER_PERMISSIVE;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use std::{fmt, ops::RangeInclusive};
use zeroize::{Zeroize as _, Zeroizing};

/// What a file held.
pub(super) enum Material {
    /// PKCS#8, or the raw bytes of a symmetric key.
    Secret(Zeroizing<Vec<u8>>),
    /// A public key in PEM: enough to verify and encrypt.
    Public(String),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret([redacted])",
            Self::Public(_) => "Public",
        })
    }
}

/// How the bytes of a symmetric key are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Encoding {
    Raw,
    Base64,
    Hex,
}

/// Reads a key of this kind. `encoding` is for symmetric keys; where it is not given, the length decides.
pub(super) fn read(bytes: &[u8], kind: &str, encoding: Option<Encoding>) -> Result<Material> {
    if let Some(lengths) = symmetric(kind) {
        return raw(bytes, kind, &lengths, encoding).map(Material::Secret);
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if text.contains("-----BEGIN PUBLIC KEY-----") {
        return Ok(Material::Public(text.to_owned()));
    }
    foreign(text)?;
    let key = if text.contains("-----BEGIN ") {
        PrivateKeyDer::from_pem_slice(bytes).map_err(|error| no_key().because(error))?
    } else {
        PrivateKeyDer::try_from(bytes.to_vec()).map_err(|why| no_key().because(why))?
    };
    pkcs8(key).map(Material::Secret)
}

/// The lengths a symmetric key of this kind may have; nothing for key pairs and for kinds that only the server knows.
fn symmetric(kind: &str) -> Option<RangeInclusive<usize>> {
    Some(match kind {
        "aes128-gcm96" | "aes128-cmac" => 16..=16,
        "aes256-gcm96" | "chacha20-poly1305" | "xchacha20-poly1305" | "aes256-cmac" => 32..=32,
        "hmac" => 32..=512,
        _ => return None,
    })
}

fn raw(
    bytes: &[u8],
    kind: &str,
    lengths: &RangeInclusive<usize>,
    encoding: Option<Encoding>,
) -> Result<Zeroizing<Vec<u8>>> {
    let fits = |bytes: &[u8]| lengths.contains(&bytes.len());
    let text = bytes.trim_ascii();
    let decode = |encoding| match encoding {
        Encoding::Raw => Some(Zeroizing::new(bytes.to_vec())),
        Encoding::Base64 => data_encoding::BASE64.decode(text).ok().map(Zeroizing::new),
        Encoding::Hex => HEXLOWER_PERMISSIVE.decode(text).ok().map(Zeroizing::new),
    };
    let readable = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    let found = match encoding {
        Some(encoding) => decode(encoding),
        // Where several lengths are allowed, a text could be meant as it stands or as what it encodes.
        None if lengths.start() != lengths.end() && readable => {
            return Err(Failure::local(format!("is this {kind} key raw, base64 or hex?"))
                .because("it is readable text, and a key of this kind may have any length in bounds")
                .fix("say so with --encoding"));
        }
        None => [Encoding::Raw, Encoding::Base64, Encoding::Hex]
            .into_iter()
            .find_map(|encoding| decode(encoding).filter(|key| fits(key))),
    };
    found.filter(|key| fits(key)).ok_or_else(|| {
        let length = if lengths.start() == lengths.end() {
            format!("{}", lengths.start())
        } else {
            format!("{} to {}", lengths.start(), lengths.end())
        };
        Failure::local(format!("this is no key of type {kind}"))
            .because(format!("it needs {length} bytes, raw, in base64 or in hex; the file has {} bytes", bytes.len()))
            .fix("check the file and --type")
    })
}

/// Forms we name, because the way to ours is one command.
fn foreign(text: &str) -> Result<()> {
    let (what, fix) =
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
            (
                "the private key is encrypted",
                "decrypt it on the way: openssl pkcs8 -topk8 -nocrypt -in FILE | chancery transit import KEY -",
            )
        } else if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            ("this is an OpenSSH private key", "convert a copy of it: ssh-keygen -p -N '' -m PKCS8 -f COPY")
        } else if text.contains("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY-----") {
            ("this is a certificate", "take its public key: openssl x509 -pubkey -noout -in FILE")
        } else {
            return Ok(());
        };
    Err(Failure::local(what).because("a key is read from PKCS#8, PKCS#1 or SEC1, in PEM or DER").fix(fix))
}

fn pkcs8(mut key: PrivateKeyDer<'static>) -> Result<Zeroizing<Vec<u8>>> {
    let converted = match &key {
        PrivateKeyDer::Pkcs8(key) => Some(Zeroizing::new(key.secret_pkcs8_der().to_vec())),
        PrivateKeyDer::Pkcs1(key) => rsa::KeyPair::from_der(key.secret_pkcs1_der())
            .ok()
            .and_then(|key| Some(Zeroizing::new(key.as_der().ok()?.as_ref().to_vec()))),
        PrivateKeyDer::Sec1(key) => elliptic(key.secret_sec1_der()),
        _ => None,
    };
    key.zeroize();
    converted.ok_or_else(|| no_key().because("its parts do not fit together, or its size or curve is none we know"))
}

/// The curve is inside the key; the others refuse it.
fn elliptic(sec1: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING]
        .into_iter()
        .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, sec1).ok())
        .and_then(|key| Some(Zeroizing::new(key.to_pkcs8v1().ok()?.as_ref().to_vec())))
}

fn no_key() -> Failure {
    Failure::local("this is no private key")
        .fix("give PKCS#8, PKCS#1 or SEC1, in PEM or DER; see: openssl pkey -in FILE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8], kind: &str, encoding: Option<Encoding>) -> Result<Vec<u8>> {
        match read(bytes, kind, encoding)? {
            Material::Secret(key) => Ok(key.to_vec()),
            Material::Public(_) => panic!("a public key"),
        }
    }

    #[test]
    fn symmetric_keys_come_raw_in_base64_or_in_hex() {
        let key = [0xa5; 32];
        let base64 = data_encoding::BASE64.encode(&key) + "\n";
        let hex = data_encoding::HEXUPPER.encode(&key);
        for form in [&key[..], base64.as_bytes(), hex.as_bytes()] {
            assert_eq!(secret(form, "aes256-gcm96", None).unwrap(), key);
        }
        let refused = secret(&key, "aes128-gcm96", None).unwrap_err().to_string();
        assert!(refused.contains("16 bytes") && refused.contains("has 32 bytes"), "{refused}");
    }

    #[test]
    fn a_readable_hmac_key_is_not_guessed_at() {
        let text = "a".repeat(44);
        assert!(secret(text.as_bytes(), "hmac", None).unwrap_err().to_string().contains("--encoding"));
        assert_eq!(secret(text.as_bytes(), "hmac", Some(Encoding::Raw)).unwrap(), text.as_bytes());
        assert_eq!(secret(text.as_bytes(), "hmac", Some(Encoding::Base64)).unwrap().len(), 33);
        assert_eq!(secret(&[0xff; 64], "hmac", None).unwrap(), [0xff; 64]);
    }

    #[test]
    fn sec1_becomes_pkcs8() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let sec1 = pair.private_key().as_der().unwrap();
        let body = data_encoding::BASE64.encode(sec1.as_ref());
        let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n");
        let converted = secret(pem.as_bytes(), "ecdsa-p384", None).unwrap();
        assert!(EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &converted).is_ok());
        assert_eq!(secret(sec1.as_ref(), "ecdsa-p384", None).unwrap(), converted, "DER does as well");
    }

    #[test]
    fn forms_that_are_not_ours_are_named_with_the_way_out() {
        for (label, word) in
            [("ENCRYPTED PRIVATE KEY", "pkcs8"), ("OPENSSH PRIVATE KEY", "ssh-keygen"), ("CERTIFICATE", "x509")]
        {
            let pem = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
            let refused = read(pem.as_bytes(), "rsa-2048", None).unwrap_err();
            assert!(refused.fix.as_ref().is_some_and(|fix| fix.contains(word)), "{label}: {refused}");
        }
        for nothing in [&b""[..], b"hello", b"-----BEGIN PRIVATE KEY-----\n", &[0x30, 0x80, 0xff]] {
            assert!(read(nothing, "rsa-2048", None).is_err());
        }
    }

    #[test]
    fn a_public_key_is_taken_as_it_is() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert!(matches!(read(pem.as_bytes(), "ed25519", None), Ok(Material::Public(text)) if text == pem));
    }
}

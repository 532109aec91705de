//! Signature algorithms of CAs, and signatures as they stand in certificates.

use crate::{
    blob::{BlobReader, BlobWriter},
    error::SshError,
    public_key::{KeyKind, SshPublicKey},
};
use chancery_hsm::{HashAlgorithm, KeyAlgorithm, SignInput, SignScheme};
use der::{Decode, Encode, Sequence, asn1::UintRef};

/// Names that a role's `algorithm_signer` may have.
pub(crate) const SIGNERS: [&str; 3] = ["default", "rsa-sha2-256", "rsa-sha2-512"];

/// How a CA signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignatureAlgorithm {
    pub(crate) name: &'static str,
    pub(crate) scheme: SignScheme,
}

#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl SignatureAlgorithm {
    /// What a key of `algorithm` signs with; `signer` is the role's `algorithm_signer`. SHA-1 (`ssh-rsa`) is not offered.
    pub(crate) fn choose(algorithm: KeyAlgorithm, signer: &str) -> Result<Self, SshError> {
        let of = |name, scheme| Ok(Self { name, scheme });
        match (algorithm, signer) {
            (KeyAlgorithm::EcP256, "default") => of("ecdsa-sha2-nistp256", SignScheme::Ecdsa(HashAlgorithm::Sha256)),
            (KeyAlgorithm::EcP384, "default") => of("ecdsa-sha2-nistp384", SignScheme::Ecdsa(HashAlgorithm::Sha384)),
            (KeyAlgorithm::EcP521, "default") => of("ecdsa-sha2-nistp521", SignScheme::Ecdsa(HashAlgorithm::Sha512)),
            (KeyAlgorithm::Ed25519, "default") => of("ssh-ed25519", SignScheme::Ed25519),
            (rsa, "default" | "rsa-sha2-256") if rsa.is_rsa() => {
                of("rsa-sha2-256", SignScheme::RsaPkcs1(HashAlgorithm::Sha256))
            }
            (rsa, "rsa-sha2-512") if rsa.is_rsa() => of("rsa-sha2-512", SignScheme::RsaPkcs1(HashAlgorithm::Sha512)),
            (other, signer) => Err(SshError::Caller(format!(
                "failed to generate signed SSH key: sign error: ssh: unsupported signature algorithm {signer:?} for a key of type {other}"
            ))),
        }
    }

    /// The signature as a certificate has it: the name and the bytes, r and s of ECDSA as two numbers (RFC 5656 §3.1.2).
    pub(crate) fn encode(self, signature: &[u8]) -> Result<Vec<u8>, SshError> {
        let mut writer = BlobWriter::new();
        writer.string(self.name);
        if let SignScheme::Ecdsa(_) = self.scheme {
            let numbers = EcdsaSignature::from_der(signature)?;
            let mut pair = BlobWriter::new();
            pair.mpint(numbers.r.as_bytes()).mpint(numbers.s.as_bytes());
            writer.string(pair.into_bytes());
        } else {
            writer.string(signature);
        }
        Ok(writer.into_bytes())
    }
}

/// Whether `signature`, in SSH's encoding, is one over `message` by `key`. SHA-1 is not offered, nor are security keys.
pub(crate) fn verify(key: &SshPublicKey, message: &[u8], signature: &[u8]) -> bool {
    verified(key, message, signature).unwrap_or(false)
}

fn verified(key: &SshPublicKey, message: &[u8], signature: &[u8]) -> Option<bool> {
    let mut reader = BlobReader::new(signature);
    let (name, bytes) = (reader.string()?, reader.string()?);
    if !reader.is_empty() {
        return None;
    }
    let scheme = match (key.kind(), name) {
        (KeyKind::Ed25519, b"ssh-ed25519") => SignScheme::Ed25519,
        (KeyKind::Ecdsa { bits: 256 }, b"ecdsa-sha2-nistp256") => SignScheme::Ecdsa(HashAlgorithm::Sha256),
        (KeyKind::Ecdsa { bits: 384 }, b"ecdsa-sha2-nistp384") => SignScheme::Ecdsa(HashAlgorithm::Sha384),
        (KeyKind::Ecdsa { bits: 521 }, b"ecdsa-sha2-nistp521") => SignScheme::Ecdsa(HashAlgorithm::Sha512),
        (KeyKind::Rsa { .. }, b"rsa-sha2-256") => SignScheme::RsaPkcs1(HashAlgorithm::Sha256),
        (KeyKind::Rsa { .. }, b"rsa-sha2-512") => SignScheme::RsaPkcs1(HashAlgorithm::Sha512),
        _ => return None,
    };
    let plain = if let SignScheme::Ecdsa(_) = scheme {
        let mut pair = BlobReader::new(bytes);
        let (r, s) = (pair.mpint()?, pair.mpint()?);
        if !pair.is_empty() {
            return None;
        }
        EcdsaSignature { r: UintRef::new(r).ok()?, s: UintRef::new(s).ok()? }.to_der().ok()?
    } else {
        bytes.to_vec()
    };
    chancery_hsm::verify(&key.spki()?, scheme, &SignInput::Message(message.to_vec()), &plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_hsm::software::SoftwareKey;

    #[test]
    fn every_cas_signature_verifies_and_no_other_does() {
        for (algorithm, signer) in [
            (KeyAlgorithm::EcP256, "default"),
            (KeyAlgorithm::EcP384, "default"),
            (KeyAlgorithm::EcP521, "default"),
            (KeyAlgorithm::Ed25519, "default"),
            (KeyAlgorithm::Rsa2048, "default"),
            (KeyAlgorithm::Rsa2048, "rsa-sha2-512"),
        ] {
            let private = SoftwareKey::generate(algorithm).unwrap();
            let key = SshPublicKey::from_spki(private.public_key_der().unwrap()).unwrap();
            let chosen = SignatureAlgorithm::choose(algorithm, signer).unwrap();
            let signature = private.sign(chosen.scheme, &SignInput::Message(b"message".to_vec())).unwrap();
            let signature = chosen.encode(&signature).unwrap();
            assert!(verify(&key, b"message", &signature), "{algorithm} {signer}");
            assert!(!verify(&key, b"another", &signature), "{algorithm} {signer}");
            assert!(!verify(&key, b"message", &signature[..signature.len() - 1]), "{algorithm} {signer}");
            let with_tail = [signature.as_slice(), b"\0"].concat();
            assert!(!verify(&key, b"message", &with_tail), "{algorithm} {signer}");
        }
    }

    #[test]
    fn sha_1_and_signers_of_other_keys_are_refused() {
        for (algorithm, signer) in [
            (KeyAlgorithm::Rsa2048, "ssh-rsa"),
            (KeyAlgorithm::EcP256, "rsa-sha2-256"),
            (KeyAlgorithm::Aes256, "default"),
        ] {
            assert!(SignatureAlgorithm::choose(algorithm, signer).is_err(), "{algorithm} {signer}");
        }
    }
}

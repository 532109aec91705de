//! Keys and cryptography in this process, on aws-lc-rs.
//!
//! [`SoftwareKey`] serves keys with protection `software`; [`verify()`] and [`rsa_encrypt`] are the public-key halves
//! that never need a token; `token.rs` is a whole in-memory token with the facade's interface, for tests.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::{
        KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
    },
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
    },
};
use zeroize::Zeroizing;

use crate::{HsmError, KeyAlgorithm, MacAlgorithm, RsaPadding, SignInput, SignScheme};

mod ml_dsa;
mod parameters;
pub(crate) use parameters::longest_salt;
mod rejection;
mod rsa_public;
pub(crate) mod token;
mod verify;

pub use rejection::choose_pkcs1_plaintext;
pub use verify::{verify, verify_unhashed_pkcs1};

/// A key held in this process.
pub struct SoftwareKey {
    algorithm: KeyAlgorithm,
    material: Material,
    public_key: Option<Vec<u8>>,
}

enum Material {
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(Box<ml_dsa::Pair>),
    Rsa(Box<RsaMaterial>),
    Secret(Zeroizing<Vec<u8>>),
}

struct RsaMaterial {
    sign: RsaKeyPair,
    decrypt: PrivateDecryptingKey,
    /// What a PKCS#1 v1.5 ciphertext with bad padding decrypts to is made from.
    rejection: rejection::Secret,
}

impl SoftwareKey {
    /// A fresh key. RSA takes up to seconds: call it from a thread that may block.
    ///
    /// # Errors
    ///
    /// [`HsmError::OperatingSystem`] if the system's random source fails.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, HsmError> {
        if let Some(length) = algorithm.secret_bytes() {
            let mut secret = Zeroizing::new(vec![0; length]);
            fill_random(&mut secret)?;
            return Self::from_bytes(algorithm, &secret);
        }
        if algorithm.is_ml_dsa() {
            let pair = ml_dsa::Pair::generate(algorithm)?;
            return Ok(Self {
                algorithm,
                public_key: Some(pair.public_key_der()?),
                material: Material::MlDsa(Box::new(pair)),
            });
        }
        let failed = |_| HsmError::Internal { detail: "key generation failed" };
        let (material, public_key) = match algorithm {
            KeyAlgorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                let public = spki(pair.public_key())?;
                (Material::Ed25519(pair), public)
            }
            _ if algorithm.is_rsa() => {
                let document = PrivateDecryptingKey::generate(rsa_size(algorithm)?).and_then(|pair| {
                    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der()?;
                    Ok(pkcs8(der.as_ref()))
                });
                return Self::from_bytes(algorithm, &document.map_err(failed)?);
            }
            // Not by way of its PKCS#8: reading that back checks the key once more, which costs more than making it.
            _ => {
                let pair = EcdsaKeyPair::generate(curve(algorithm)?).map_err(failed)?;
                let public = spki(pair.public_key())?;
                (Material::Ec(pair), public)
            }
        };
        Ok(Self { algorithm, material, public_key: Some(public_key) })
    }

    /// A key from its serialised form: PKCS#8 (DER) for a pair, the raw value for a secret.
    ///
    /// # Errors
    ///
    /// [`HsmError::InvalidInput`] if the bytes are no key of this algorithm.
    pub fn from_bytes(algorithm: KeyAlgorithm, bytes: &[u8]) -> Result<Self, HsmError> {
        let rejected = || HsmError::invalid(format!("not a valid {algorithm} private key"));
        if let Some(length) = algorithm.secret_bytes() {
            if bytes.len() != length {
                return Err(HsmError::invalid(format!("a {algorithm} key has {length} bytes")));
            }
            let material = Material::Secret(Zeroizing::new(bytes.to_vec()));
            return Ok(Self { algorithm, material, public_key: None });
        }
        let (material, public_key) = match algorithm {
            KeyAlgorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| rejected())?;
                let public = spki(pair.public_key())?;
                (Material::Ed25519(pair), public)
            }
            _ if algorithm.is_ml_dsa() => {
                let pair = ml_dsa::Pair::from_pkcs8(algorithm, bytes).ok_or_else(rejected)?;
                let public = pair.public_key_der()?;
                (Material::MlDsa(Box::new(pair)), public)
            }
            _ if algorithm.is_rsa() => {
                let sign = RsaKeyPair::from_pkcs8(bytes).map_err(|_| rejected())?;
                if u32::try_from(sign.public_modulus_len() * 8).ok() != algorithm.modulus_bits() {
                    return Err(rejected());
                }
                let decrypt = PrivateDecryptingKey::from_pkcs8(bytes).map_err(|_| rejected())?;
                let public = spki(sign.public_key())?;
                let rejection = rejection::Secret::of_private_key(bytes, sign.public_modulus_len())?;
                (Material::Rsa(Box::new(RsaMaterial { sign, decrypt, rejection })), public)
            }
            _ => {
                let pair = EcdsaKeyPair::from_pkcs8(curve(algorithm)?, bytes).map_err(|_| rejected())?;
                let public = spki(pair.public_key())?;
                (Material::Ec(pair), public)
            }
        };
        Ok(Self { algorithm, material, public_key: Some(public_key) })
    }

    /// The serialised form that [`SoftwareKey::from_bytes`] takes.
    ///
    /// # Errors
    ///
    /// [`HsmError::Internal`] if the library cannot encode its own key.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let failed = |_| HsmError::Internal { detail: "a private key could not be encoded" };
        match &self.material {
            Material::Ec(pair) => Ok(pkcs8(pair.to_pkcs8v1().map_err(failed)?.as_ref())),
            Material::Ed25519(pair) => Ok(pkcs8(pair.to_pkcs8v1().map_err(failed)?.as_ref())),
            Material::MlDsa(pair) => Ok(pair.to_pkcs8()),
            Material::Rsa(pair) => {
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.decrypt.as_der().map_err(failed)?;
                Ok(pkcs8(der.as_ref()))
            }
            Material::Secret(secret) => Ok(secret.clone()),
        }
    }

    /// The key's kind.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The public half as SubjectPublicKeyInfo (DER); `None` for secrets.
    #[must_use]
    pub fn public_key_der(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }

    /// Signs; ECDSA signatures are DER.
    ///
    /// # Errors
    ///
    /// [`HsmError::InvalidInput`] if scheme, key and input do not fit together; [`HsmError::NotSupported`] for RSA with
    /// SHA-1, SHA-224 or SHA-3, which aws-lc-rs does not make.
    pub fn sign(&self, scheme: SignScheme, input: &SignInput) -> Result<Vec<u8>, HsmError> {
        scheme.check(self.algorithm)?;
        let failed = |_| HsmError::Internal { detail: "software signing failed" };
        match &self.material {
            Material::Ec(pair) => {
                let digest = parameters::ecdsa_digest(self.algorithm, scheme, input)?;
                Ok(pair.sign_digest(&digest).map_err(failed)?.as_ref().to_vec())
            }
            Material::Ed25519(pair) => Ok(pair.try_sign(input.message()?).map_err(failed)?.as_ref().to_vec()),
            Material::MlDsa(pair) => pair.sign(input.message()?),
            Material::Rsa(pair) => {
                let modulus_bytes = pair.sign.public_modulus_len();
                let encoding = parameters::rsa_signing(scheme, modulus_bytes)?;
                let digest = parameters::imported_digest(scheme, input)?;
                let mut signature = vec![0; modulus_bytes];
                pair.sign.sign_digest(encoding, &digest, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Material::Secret(_) => Err(HsmError::Internal { detail: "a secret key passed for a signing key" }),
        }
    }

    /// Decrypts with an RSA key. A PKCS#1 v1.5 ciphertext of the right size never fails: bad padding comes out as a
    /// random message that is always the same for this ciphertext, so that nobody learns whether the padding was good.
    ///
    /// # Errors
    ///
    /// [`HsmError::BadData`] if the ciphertext is not one for this key and padding.
    pub fn rsa_decrypt(&self, padding: RsaPadding, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let Material::Rsa(pair) = &self.material else {
            return Err(HsmError::invalid(format!("a key of type {} cannot decrypt with {padding}", self.algorithm)));
        };
        let key = pair.decrypt.clone();
        let mut buffer = Zeroizing::new(vec![0; key.key_size_bytes()]);
        if padding == RsaPadding::Pkcs1v15 {
            if ciphertext.len() != buffer.len() {
                return Err(HsmError::BadData);
            }
            let opened = Pkcs1PrivateDecryptingKey::new(key)
                .and_then(|key| key.decrypt(ciphertext, &mut buffer).map(|out| out.len()));
            return choose_pkcs1_plaintext(opened.ok(), &buffer, &pair.rejection.of_ciphertext(ciphertext));
        }
        let opened = OaepPrivateDecryptingKey::new(key)
            .and_then(|key| key.decrypt(oaep(padding), ciphertext, &mut buffer, None).map(|out| out.len()));
        let length = opened.map_err(|_| HsmError::BadData)?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Makes an HMAC with a secret key.
    ///
    /// # Errors
    ///
    /// [`HsmError::InvalidInput`] if the key is no [`KeyAlgorithm::Hmac`] key.
    pub fn mac(&self, algorithm: MacAlgorithm, data: &[u8]) -> Result<Vec<u8>, HsmError> {
        match (&self.material, self.algorithm) {
            (Material::Secret(secret), KeyAlgorithm::Hmac) => {
                let hash = match algorithm {
                    MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
                    MacAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
                    MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
                };
                Ok(hmac::sign(&hmac::Key::new(hash, secret), data).as_ref().to_vec())
            }
            _ => Err(HsmError::invalid(format!("a key of type {} cannot make an {algorithm}", self.algorithm))),
        }
    }

    pub(crate) fn secret(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Secret(secret) => Some(secret),
            _ => None,
        }
    }
}

impl std::fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Encrypts for an RSA public key (SubjectPublicKeyInfo, DER).
///
/// # Errors
///
/// [`HsmError::InvalidInput`] if the key is no RSA key or the message is too long for it.
pub fn rsa_encrypt(spki_der: &[u8], padding: RsaPadding, message: &[u8]) -> Result<Vec<u8>, HsmError> {
    let key = PublicEncryptingKey::from_der(spki_der).map_err(|_| HsmError::invalid("not an RSA public key"))?;
    let mut buffer = vec![0; key.key_size_bytes()];
    let sealed = match padding {
        RsaPadding::Pkcs1v15 => {
            Pkcs1PublicEncryptingKey::new(key).and_then(|key| key.encrypt(message, &mut buffer).map(|out| out.len()))
        }
        RsaPadding::OaepSha1 | RsaPadding::OaepSha256 => OaepPublicEncryptingKey::new(key)
            .and_then(|key| key.encrypt(oaep(padding), message, &mut buffer, None).map(|out| out.len())),
    };
    let length = sealed.map_err(|_| HsmError::invalid("the message is too long for this RSA key"))?;
    buffer.truncate(length);
    Ok(buffer)
}

pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), HsmError> {
    aws_lc_rs::rand::SecureRandom::fill(&SystemRandom::new(), buffer)
        .map_err(|_| HsmError::OperatingSystem { call: "the system's random source", detail: "refused".into() })
}

fn oaep(padding: RsaPadding) -> &'static aws_lc_rs::rsa::OaepAlgorithm {
    match padding {
        RsaPadding::OaepSha1 => &OAEP_SHA1_MGF1SHA1,
        RsaPadding::OaepSha256 | RsaPadding::Pkcs1v15 => &OAEP_SHA256_MGF1SHA256,
    }
}

fn pkcs8(der: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(der.to_vec())
}

fn spki<K: AsDer<PublicKeyX509Der<'static>>>(key: &K) -> Result<Vec<u8>, HsmError> {
    let der = key.as_der().map_err(|_| HsmError::Internal { detail: "a public key could not be encoded" })?;
    Ok(der.as_ref().to_vec())
}

fn curve(algorithm: KeyAlgorithm) -> Result<&'static EcdsaSigningAlgorithm, HsmError> {
    match algorithm {
        KeyAlgorithm::EcP256 => Ok(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyAlgorithm::EcP384 => Ok(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyAlgorithm::EcP521 => Ok(&ECDSA_P521_SHA512_ASN1_SIGNING),
        _ => Err(HsmError::Internal { detail: "a key without a curve passed for an EC key" }),
    }
}

fn rsa_size(algorithm: KeyAlgorithm) -> Result<KeySize, HsmError> {
    match algorithm {
        KeyAlgorithm::Rsa2048 => Ok(KeySize::Rsa2048),
        KeyAlgorithm::Rsa3072 => Ok(KeySize::Rsa3072),
        KeyAlgorithm::Rsa4096 => Ok(KeySize::Rsa4096),
        _ => Err(HsmError::Internal { detail: "a key without a modulus passed for an RSA key" }),
    }
}

#[cfg(test)]
mod tests;

//! What a provider can really do, found by trying it on throw-away keys.
//!
//! The mechanism list alone is not believed: SoftHSM lists OAEP and then refuses SHA-256 with it, and bindings drop
//! codes they do not know. A request that needs a missing mechanism fails with the mechanism's name.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{HashAlgorithm, HsmError, KeyAlgorithm, MacAlgorithm, RsaPadding, SaltLength, SignScheme};

/// One thing a request may need from a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Making keys of this kind.
    Generate(KeyAlgorithm),
    /// Signing with such a key under this scheme.
    Sign(KeyAlgorithm, SignScheme),
    /// AES-GCM with keys of this kind.
    Aead(KeyAlgorithm),
    /// RSA decryption with this padding.
    RsaDecrypt(RsaPadding),
    /// A MAC.
    Mac(MacAlgorithm),
    /// Random bytes.
    Random,
}

impl Need {
    /// Every row of the table, in printing order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        use HashAlgorithm as H;
        let mut needs: Vec<Self> = KeyAlgorithm::ALL.into_iter().map(Self::Generate).collect();
        for curve in [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::EcP521] {
            needs.push(Self::Sign(curve, SignScheme::Ecdsa(H::Sha256)));
        }
        needs.push(Self::Sign(KeyAlgorithm::Ed25519, SignScheme::Ed25519));
        for hash in [H::Sha1, H::Sha224, H::Sha256, H::Sha384, H::Sha512] {
            needs.push(Self::Sign(KeyAlgorithm::Rsa2048, SignScheme::RsaPkcs1(hash)));
        }
        for hash in [H::Sha256, H::Sha384, H::Sha512] {
            needs.push(Self::Sign(KeyAlgorithm::Rsa2048, SignScheme::rsa_pss(hash)));
        }
        needs.extend([KeyAlgorithm::Aes128, KeyAlgorithm::Aes256].map(Self::Aead));
        needs.extend([RsaPadding::OaepSha1, RsaPadding::OaepSha256, RsaPadding::Pkcs1v15].map(Self::RsaDecrypt));
        needs.extend([MacAlgorithm::HmacSha256, MacAlgorithm::HmacSha384, MacAlgorithm::HmacSha512].map(Self::Mac));
        needs.push(Self::Random);
        needs
    }

    /// The same failure, with this need as the missing mechanism.
    pub(crate) fn named_in(&self, error: HsmError) -> HsmError {
        match error {
            HsmError::NotSupported { .. } => HsmError::not_supported(self.to_string()),
            other => other,
        }
    }

    /// The row that answers for this need: raw ECDSA does not care for the hash, nor PSS for the salt, nor RSA for the
    /// modulus. PKCS#1 v1.5 is raw too; SHA-224 stands for the hashes that tokens hardly ever have by themselves.
    fn row(self) -> Self {
        match self {
            Self::Sign(algorithm, SignScheme::Ecdsa(_)) => {
                Self::Sign(algorithm, SignScheme::Ecdsa(HashAlgorithm::Sha256))
            }
            Self::Sign(_, SignScheme::RsaPss { hash, .. }) => {
                Self::Sign(KeyAlgorithm::Rsa2048, SignScheme::RsaPss { hash, salt: SaltLength::Digest })
            }
            Self::Sign(
                _,
                SignScheme::RsaPkcs1(
                    HashAlgorithm::Sha3_224
                    | HashAlgorithm::Sha3_256
                    | HashAlgorithm::Sha3_384
                    | HashAlgorithm::Sha3_512,
                ),
            ) => Self::Sign(KeyAlgorithm::Rsa2048, SignScheme::RsaPkcs1(HashAlgorithm::Sha224)),
            Self::Sign(_, scheme @ SignScheme::RsaPkcs1(_)) => Self::Sign(KeyAlgorithm::Rsa2048, scheme),
            other => other,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generate(algorithm) => write!(f, "generation of {algorithm} keys"),
            Self::Sign(algorithm, scheme) => write!(f, "{scheme} with {algorithm} keys"),
            Self::Aead(algorithm) => write!(f, "AES-GCM with {algorithm} keys"),
            Self::RsaDecrypt(padding) => write!(f, "{padding}"),
            Self::Mac(algorithm) => write!(f, "{algorithm}"),
            Self::Random => f.write_str("random bytes"),
        }
    }
}

/// Where a token puts the initialisation vector of an AES-GCM ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IvPolicy {
    /// It uses the one we give.
    App,
    /// It writes its own over the one we give.
    TokenWritesIv,
    /// It ignores ours and appends its own after the tag.
    TokenAppends,
    /// It ignores ours and puts its own before the ciphertext.
    TokenPrepends,
}

/// The outcome of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// It worked.
    Works,
    /// It did not, and why.
    Missing(String),
}

/// The table of what works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    rows: BTreeMap<Need, Support>,
    aead: Option<IvPolicy>,
}

impl Capabilities {
    pub(crate) fn record(&mut self, need: Need, support: Support) {
        self.rows.insert(need.row(), support);
    }

    pub(crate) fn set_aead(&mut self, policy: IvPolicy) {
        self.aead = Some(policy);
    }

    /// How the token places the vector of an AES-GCM ciphertext, if it does AES-GCM.
    #[must_use]
    pub fn aead(&self) -> Option<IvPolicy> {
        self.aead
    }

    /// Whether the provider can do it.
    #[must_use]
    pub fn supports(&self, need: &Need) -> bool {
        let row_works = self.rows.get(&need.row()) == Some(&Support::Works);
        match need {
            Need::Sign(algorithm, _) => row_works && self.supports(&Need::Generate(*algorithm)),
            _ => row_works,
        }
    }

    /// The same as an error.
    ///
    /// # Errors
    ///
    /// [`HsmError::NotSupported`] naming the mechanism.
    pub fn require(&self, need: &Need) -> Result<(), HsmError> {
        if self.supports(need) { Ok(()) } else { Err(HsmError::not_supported(need.to_string())) }
    }

    /// The table, row by row.
    pub fn rows(&self) -> impl Iterator<Item = (&Need, &Support)> {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprobed_need_is_not_supported() {
        let error = Capabilities::default().require(&Need::RsaDecrypt(RsaPadding::OaepSha256)).unwrap_err();
        assert_eq!(error.to_string(), "the token does not support RSA-OAEP with SHA-256");
    }

    #[test]
    fn signing_needs_keys_of_that_size() {
        let mut capabilities = Capabilities::default();
        let scheme = SignScheme::RsaPkcs1(HashAlgorithm::Sha256);
        capabilities.record(Need::Sign(KeyAlgorithm::Rsa2048, scheme), Support::Works);
        capabilities.record(Need::Generate(KeyAlgorithm::Rsa2048), Support::Works);
        assert!(capabilities.supports(&Need::Sign(KeyAlgorithm::Rsa2048, scheme)));
        assert!(!capabilities.supports(&Need::Sign(KeyAlgorithm::Rsa4096, scheme)));
    }
}

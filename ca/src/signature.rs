//! Signature algorithms: which one an issuer's key signs with, and which ones are verified on requests.

use crate::{error::CaError, oid, public_key::PublicKeyKind};
use chancery_hsm::{HashAlgorithm, KeyAlgorithm, SignScheme};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Sequence,
    asn1::{Any, AnyRef},
};
use spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};

/// What a role or a request would like the issuer to sign with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignaturePreference {
    /// `signature_bits`, for RSA keys: 256, 384, 512; anything else leaves it to the key.
    pub bits: i64,
    /// `use_pss`, for RSA keys.
    pub pss: bool,
}

/// A signature algorithm an issuer signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureAlgorithm {
    /// How to ask the HSM.
    pub scheme: SignScheme,
    /// DER of the AlgorithmIdentifier.
    pub identifier: Vec<u8>,
}

impl SignatureAlgorithm {
    /// The algorithm a key of `algorithm` signs with.
    ///
    /// # Errors
    /// [`CaError::Caller`] where the key is not one that signs.
    pub fn choose(algorithm: KeyAlgorithm, preference: SignaturePreference) -> Result<Self, CaError> {
        let by_key = match algorithm {
            KeyAlgorithm::EcP384 => HashAlgorithm::Sha384,
            KeyAlgorithm::EcP521 => HashAlgorithm::Sha512,
            _ => HashAlgorithm::Sha256,
        };
        let hash = match preference.bits {
            256 => HashAlgorithm::Sha256,
            384 => HashAlgorithm::Sha384,
            512 => HashAlgorithm::Sha512,
            _ => by_key,
        };
        let scheme = match algorithm {
            // A curve goes with the hash of its size, whatever is asked (CA/Browser Forum, Baseline Requirements §7.1.3.2.2).
            KeyAlgorithm::EcP256 | KeyAlgorithm::EcP384 | KeyAlgorithm::EcP521 => SignScheme::Ecdsa(by_key),
            KeyAlgorithm::Ed25519 => SignScheme::Ed25519,
            _ if algorithm.is_ml_dsa() => return Self::ml_dsa(algorithm),
            _ if algorithm.is_rsa() && preference.pss => SignScheme::rsa_pss(hash),
            _ if algorithm.is_rsa() => SignScheme::RsaPkcs1(hash),
            _ => return Err(CaError::Caller(format!("a key of type {algorithm} cannot sign certificates"))),
        };
        Self::of(scheme)
    }

    /// RFC 9881 §2: the key's own identifier, without parameters.
    fn ml_dsa(algorithm: KeyAlgorithm) -> Result<Self, CaError> {
        let oid = match algorithm {
            KeyAlgorithm::MlDsa44 => oid::ML_DSA_44,
            KeyAlgorithm::MlDsa65 => oid::ML_DSA_65,
            _ => oid::ML_DSA_87,
        };
        let identifier = AlgorithmIdentifierOwned { oid, parameters: None }.to_der()?;
        Ok(Self { scheme: SignScheme::MlDsa, identifier })
    }

    /// The algorithm that `scheme` is.
    fn of(scheme: SignScheme) -> Result<Self, CaError> {
        let identifier = match scheme {
            SignScheme::MlDsa => return Err(CaError::caller("ML-DSA is named by its parameter set")),
            SignScheme::Ed25519 => AlgorithmIdentifierOwned { oid: oid::ED25519, parameters: None },
            // RFC 5758 §3.2: parameters absent. RFC 4055 §5: parameters NULL.
            SignScheme::Ecdsa(hash) => AlgorithmIdentifierOwned { oid: by_hash(hash, ECDSA)?, parameters: None },
            SignScheme::RsaPkcs1(hash) => {
                AlgorithmIdentifierOwned { oid: by_hash(hash, RSA)?, parameters: Some(Any::null()) }
            }
            SignScheme::RsaPss { hash, .. } => {
                AlgorithmIdentifierOwned { oid: oid::RSA_PSS, parameters: Some(PssParameters::of(hash)?) }
            }
        };
        Ok(Self { scheme, identifier: identifier.to_der()? })
    }

    /// The name `revocation_signature_algorithm` has for it.
    #[must_use]
    pub fn wire_name(&self) -> &'static str {
        if self.scheme == SignScheme::MlDsa {
            let is_this = |algorithm: &KeyAlgorithm| Self::ml_dsa(*algorithm).is_ok_and(|known| known == *self);
            return ML_DSA.iter().find(|(_, algorithm)| is_this(algorithm)).map_or("", |(name, _)| name);
        }
        let scheme = self.scheme;
        WIRE_NAMES.iter().find(|(_, known)| known() == scheme).map_or("", |(name, _)| name)
    }

    /// Reads `revocation_signature_algorithm`, in any case.
    ///
    /// # Errors
    /// [`CaError::Caller`] that lists the names.
    pub fn by_wire_name(name: &str) -> Result<Self, CaError> {
        if let Some((_, algorithm)) = ML_DSA.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Self::ml_dsa(*algorithm);
        }
        let known = WIRE_NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let scheme = match known {
            Some((_, scheme)) => scheme(),
            None if name.eq_ignore_ascii_case("PureEd25519") => SignScheme::Ed25519,
            None => {
                let names: Vec<String> = WIRE_NAMES.iter().map(|(name, _)| name.to_lowercase()).collect();
                return Err(CaError::Caller(format!(
                    "Unknown signature algorithm value: {name} - valid values are {}",
                    names.join(", ")
                )));
            }
        };
        Self::of(scheme)
    }
}

/// How to verify a signature that a stranger's AlgorithmIdentifier describes, made with a key of `kind`.
///
/// SHA-1 and MD5 are not offered. The curve and the hash are independent: a P-384 key may sign with SHA-256.
#[must_use]
pub fn verification_scheme(kind: PublicKeyKind, algorithm: &AlgorithmIdentifierRef<'_>) -> Option<SignScheme> {
    let hash_of = |table: [ObjectIdentifier; 3]| {
        let at = table.iter().position(|known| *known == algorithm.oid)?;
        HASHES.get(at).copied()
    };
    match kind {
        PublicKeyKind::Ec { .. } => hash_of(ECDSA).map(SignScheme::Ecdsa),
        PublicKeyKind::Ed25519 => (algorithm.oid == oid::ED25519).then_some(SignScheme::Ed25519),
        PublicKeyKind::MlDsa { set } => {
            let own = match set {
                44 => oid::ML_DSA_44,
                65 => oid::ML_DSA_65,
                _ => oid::ML_DSA_87,
            };
            (algorithm.oid == own && algorithm.parameters.is_none()).then_some(SignScheme::MlDsa)
        }
        PublicKeyKind::Rsa { .. } if algorithm.oid == oid::RSA_PSS => {
            let parameters = algorithm.parameters?.to_der().ok()?;
            let same = |hash: &&HashAlgorithm| {
                PssParameters::of(**hash).and_then(|known| Ok(known.to_der()?)).is_ok_and(|known| known == parameters)
            };
            HASHES.iter().find(same).map(|hash| SignScheme::rsa_pss(*hash))
        }
        PublicKeyKind::Rsa { .. } => hash_of(RSA).map(SignScheme::RsaPkcs1),
    }
}

const HASHES: [HashAlgorithm; 3] = [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512];
const ECDSA: [ObjectIdentifier; 3] = [oid::ECDSA_SHA256, oid::ECDSA_SHA384, oid::ECDSA_SHA512];
const RSA: [ObjectIdentifier; 3] = [oid::RSA_SHA256, oid::RSA_SHA384, oid::RSA_SHA512];
const DIGESTS: [ObjectIdentifier; 3] = [oid::SHA256, oid::SHA384, oid::SHA512];

type NamedScheme = (&'static str, fn() -> SignScheme);
const WIRE_NAMES: [NamedScheme; 10] = [
    ("SHA256WithRSA", || SignScheme::RsaPkcs1(HashAlgorithm::Sha256)),
    ("SHA384WithRSA", || SignScheme::RsaPkcs1(HashAlgorithm::Sha384)),
    ("SHA512WithRSA", || SignScheme::RsaPkcs1(HashAlgorithm::Sha512)),
    ("ECDSAWithSHA256", || SignScheme::Ecdsa(HashAlgorithm::Sha256)),
    ("ECDSAWithSHA384", || SignScheme::Ecdsa(HashAlgorithm::Sha384)),
    ("ECDSAWithSHA512", || SignScheme::Ecdsa(HashAlgorithm::Sha512)),
    ("SHA256WithRSAPSS", || SignScheme::rsa_pss(HashAlgorithm::Sha256)),
    ("SHA384WithRSAPSS", || SignScheme::rsa_pss(HashAlgorithm::Sha384)),
    ("SHA512WithRSAPSS", || SignScheme::rsa_pss(HashAlgorithm::Sha512)),
    ("Ed25519", || SignScheme::Ed25519),
];

/// How OpenBao names ML-DSA here.
const ML_DSA: [(&str, KeyAlgorithm); 3] =
    [("MLDSA44", KeyAlgorithm::MlDsa44), ("MLDSA65", KeyAlgorithm::MlDsa65), ("MLDSA87", KeyAlgorithm::MlDsa87)];

fn by_hash(hash: HashAlgorithm, table: [ObjectIdentifier; 3]) -> Result<ObjectIdentifier, CaError> {
    let at = HASHES.iter().position(|known| *known == hash);
    at.and_then(|at| table.get(at).copied())
        .ok_or_else(|| CaError::Caller(format!("certificates are not signed with {hash}")))
}

/// RSASSA-PSS-params (RFC 4055 §3.1): one hash for message and mask, a salt of its length.
#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    hash: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    mask: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    salt: u8,
}

impl PssParameters<'_> {
    fn of(hash: HashAlgorithm) -> Result<Any, CaError> {
        let digest = AlgorithmIdentifierRef { oid: by_hash(hash, DIGESTS)?, parameters: Some(AnyRef::NULL) };
        let inner = digest.to_der()?;
        let parameters = PssParameters {
            hash: digest,
            mask: AlgorithmIdentifierRef { oid: oid::MGF1, parameters: Some(AnyRef::from_der(&inner)?) },
            salt: u8::try_from(hash.digest_bytes()).unwrap_or(32),
        };
        Ok(Any::from_der(&parameters.to_der()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_choose_their_hash_unless_told() {
        let name = |algorithm, bits, pss| {
            SignatureAlgorithm::choose(algorithm, SignaturePreference { bits, pss }).unwrap().wire_name()
        };
        assert_eq!(name(KeyAlgorithm::EcP256, 0, false), "ECDSAWithSHA256");
        assert_eq!(name(KeyAlgorithm::EcP384, 0, false), "ECDSAWithSHA384");
        assert_eq!(name(KeyAlgorithm::EcP384, 256, false), "ECDSAWithSHA384");
        assert_eq!(name(KeyAlgorithm::Rsa2048, 512, true), "SHA512WithRSAPSS");
        assert_eq!(name(KeyAlgorithm::Rsa2048, 123, false), "SHA256WithRSA");
        assert_eq!(name(KeyAlgorithm::Ed25519, 512, false), "Ed25519");
        assert!(SignatureAlgorithm::choose(KeyAlgorithm::Aes128, SignaturePreference::default()).is_err());
    }

    #[test]
    fn identifiers_lead_back_to_their_scheme() {
        for (name, scheme) in WIRE_NAMES {
            let algorithm = SignatureAlgorithm::by_wire_name(&name.to_lowercase()).unwrap();
            assert_eq!(algorithm.scheme, scheme());
            let kind = match scheme() {
                SignScheme::Ecdsa(_) => PublicKeyKind::Ec { bits: 384 },
                SignScheme::Ed25519 => PublicKeyKind::Ed25519,
                _ => PublicKeyKind::Rsa { bits: 2048 },
            };
            let identifier = AlgorithmIdentifierRef::from_der(&algorithm.identifier).unwrap();
            assert_eq!(verification_scheme(kind, &identifier), Some(scheme()), "{name}");
        }
        assert!(SignatureAlgorithm::by_wire_name("zork").is_err());
    }
}

//! Public keys of accounts: JSON Web Keys (RFC 7517, 7518, 8037) read from what strangers send, and RFC 7638 thumbprints.

use crate::problem::{Problem, ProblemType};
use aws_lc_rs::{digest, signature as crypto};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::public_key::PublicKey;
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, Null, ObjectIdentifier, UintRef},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Longest member of a key that is looked at: 16384 bits in base64url.
const LONGEST_MEMBER: usize = 2736;

/// Signature algorithms accepted of accounts (RFC 8555 §6.2), in the order in which clients are told.
pub const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "ES512", "RS256", "EdDSA"];

/// A public key that passed the checks of [`PublicKey`].
#[derive(Debug, Clone)]
pub struct Jwk {
    spki: Vec<u8>,
    members: Members,
    /// Ready to verify: an account's key is used for each of its requests.
    verifier: Arc<crypto::ParsedPublicKey>,
}

impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl Eq for Jwk {}

/// What the key consists of, in base64url; the members RFC 7638 §3.2 names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
enum Members {
    #[serde(rename = "EC")]
    Ec { crv: String, x: String, y: String },
    #[serde(rename = "OKP")]
    Okp { crv: String, x: String },
    #[serde(rename = "RSA")]
    Rsa { e: String, n: String },
}

#[derive(Sequence)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct Spki<'a> {
    algorithm: Algorithm<'a>,
    key: BitStringRef<'a>,
}

#[derive(Sequence)]
struct RsaNumbers<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl Jwk {
    /// Reads a key.
    ///
    /// # Errors
    /// `badPublicKey` or `malformed` that says what is wrong.
    pub fn parse(value: &Value) -> Result<Self, Problem> {
        let Some(object) = value.as_object() else { return Err(Problem::malformed("\"jwk\" is not an object")) };
        if ["d", "p", "q", "dp", "dq", "qi", "k", "oth"].iter().any(|secret| object.contains_key(*secret)) {
            return Err(ProblemType::BadPublicKey.because("\"jwk\" holds secret members; a public key is expected"));
        }
        let members: Members = serde_json::from_value(value.clone()).map_err(|_| {
            ProblemType::BadPublicKey.because("\"jwk\" is not a key of type EC, RSA or OKP with all its members")
        })?;
        PublicKey::parse(&members.to_spki()?)
            .map_err(|error| ProblemType::BadPublicKey.because(format!("the account's key is refused: {error}")))?;
        Self::of(members)
    }

    /// The key of these members, whose form alone is looked at.
    fn of(members: Members) -> Result<Self, Problem> {
        let algorithm: &'static dyn crypto::VerificationAlgorithm = match members.algorithm() {
            "ES256" => &crypto::ECDSA_P256_SHA256_FIXED,
            "ES384" => &crypto::ECDSA_P384_SHA384_FIXED,
            "ES512" => &crypto::ECDSA_P521_SHA512_FIXED,
            "RS256" => &crypto::RSA_PKCS1_2048_8192_SHA256,
            _ => &crypto::ED25519,
        };
        let spki = members.to_spki()?;
        let unusable = || refuse("it is no key");
        let read = Spki::from_der(&spki).map_err(|_| unusable())?;
        let bits = read.key.as_bytes().ok_or_else(unusable)?;
        let verifier = crypto::ParsedPublicKey::new(algorithm, bits).map_err(|_| unusable())?;
        Ok(Self { verifier: Arc::new(verifier), spki, members })
    }

    /// The key as it is stored and hashed: only the members that matter, in lexicographic order.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.members {
            Members::Ec { crv, x, y } => json!({ "crv": crv, "kty": "EC", "x": x, "y": y }),
            Members::Okp { crv, x } => json!({ "crv": crv, "kty": "OKP", "x": x }),
            Members::Rsa { e, n } => json!({ "e": e, "kty": "RSA", "n": n }),
        }
    }

    /// SHA-256 thumbprint (RFC 7638) in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Every value is base64url or a name of ours, so nothing needs an escape.
        let text = match &self.members {
            Members::Ec { crv, x, y } => format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Members::Okp { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
            Members::Rsa { e, n } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        };
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
    }

    /// The SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The one algorithm this key signs with (RFC 7518 §3.1, RFC 8037 §3.1).
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.members.algorithm()
    }

    /// Whether the key made this signature over the text.
    #[must_use]
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify_sig(text, signature).is_ok()
    }
}

impl Serialize for Jwk {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    /// What is stored passed the checks when it came; only its form is read again, since the arithmetic costs more than the
    /// signature.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Members::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Members {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec { crv, .. } if crv == "P-256" => "ES256",
            Self::Ec { crv, .. } if crv == "P-384" => "ES384",
            Self::Ec { .. } => "ES512",
            Self::Rsa { .. } => "RS256",
            Self::Okp { .. } => "EdDSA",
        }
    }

    fn to_spki(&self) -> Result<Vec<u8>, Problem> {
        let encoded = match self {
            Self::Ec { crv, x, y } => {
                let (curve, size) = match crv.as_str() {
                    "P-256" => ("1.2.840.10045.3.1.7", 32),
                    "P-384" => ("1.3.132.0.34", 48),
                    "P-521" => ("1.3.132.0.35", 66),
                    _ => return Err(refuse("\"crv\" is not P-256, P-384 or P-521")),
                };
                let (x, y) = (bytes("x", x)?, bytes("y", y)?);
                // RFC 7518 §6.2.1.2: the full size, leading zeros included.
                if x.len() != size || y.len() != size {
                    return Err(refuse("\"x\" and \"y\" do not have the size of the curve"));
                }
                let curve = ObjectIdentifier::new_unwrap(curve);
                let point = [&[4], x.as_slice(), &y].concat();
                spki(EC, Some(AnyRef::from(&curve)), &point)
            }
            Self::Okp { crv, x } => {
                if crv != "Ed25519" {
                    return Err(refuse("\"crv\" is not Ed25519"));
                }
                spki(ED25519, None, &bytes("x", x)?)
            }
            Self::Rsa { e, n } => {
                let (modulus, exponent) = (bytes("n", n)?, bytes("e", e)?);
                // RFC 7518 §6.3.1: without leading zeros, so that a key has one thumbprint.
                if modulus.first() == Some(&0) || exponent.first() == Some(&0) {
                    return Err(refuse("\"n\" or \"e\" begins with zeros"));
                }
                let numbers = UintRef::new(&modulus)
                    .and_then(|modulus| RsaNumbers { modulus, exponent: UintRef::new(&exponent)? }.to_der())
                    .map_err(|_| refuse("\"n\" or \"e\" is no number"))?;
                spki(RSA, Some(Null.into()), &numbers)
            }
        };
        encoded.map_err(|_| refuse("it does not encode"))
    }
}

fn spki(oid: ObjectIdentifier, parameters: Option<AnyRef<'_>>, key: &[u8]) -> der::Result<Vec<u8>> {
    Spki { algorithm: Algorithm { oid, parameters }, key: BitStringRef::from_bytes(key)? }.to_der()
}

fn refuse(what: &str) -> Problem {
    ProblemType::BadPublicKey.because(format!("the account's key is refused: {what}"))
}

/// A member in base64url without padding (RFC 7515 §2).
fn bytes(name: &str, text: &str) -> Result<Vec<u8>, Problem> {
    if text.len() > LONGEST_MEMBER {
        return Err(refuse(&format!("\"{name}\" is too long")));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| refuse(&format!("\"{name}\" is not base64url without padding")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_those_of_rfc_7638() {
        // RFC 7638 §3.1
        let key = Jwk::parse(&json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"
        }))
        .unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(key.algorithm(), "RS256");
        let stored = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<Jwk>(&stored).unwrap(), key);
    }

    #[test]
    fn signatures_of_rfc_8037_verify() {
        // RFC 8037 appendix A.2, A.4
        let key = Jwk::parse(&json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        }))
        .unwrap();
        let text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = URL_SAFE_NO_PAD
            .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            .unwrap();
        assert!(key.verifies(text, &signature));
        assert!(!key.verifies(b"other", &signature));
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn weak_and_broken_keys_are_refused() {
        let point = ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
        let ec = |crv: &str, x: &str, y: &str| json!({ "kty": "EC", "crv": crv, "x": x, "y": y });
        assert!(Jwk::parse(&ec("P-256", point.0, point.1)).is_ok());
        let ones = URL_SAFE_NO_PAD.encode([1; 32]);
        for bad in [
            ec("P-256", &ones, &ones),
            ec("P-256", &URL_SAFE_NO_PAD.encode([0; 32]), &URL_SAFE_NO_PAD.encode([0; 32])),
            ec("P-384", point.0, point.1),
            ec("secp256k1", point.0, point.1),
            ec("P-256", &format!("{}=", point.0), point.1),
            ec("P-256", &format!("AA{}", point.0), point.1),
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            json!({ "kty": "EC", "crv": "P-256", "x": point.0 }),
            json!({ "kty": "EC", "crv": "P-256", "x": point.0, "y": point.1, "d": "AQAB" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([0; 32]) }),
            json!({ "kty": "OKP", "crv": "X25519", "x": ones }),
            json!({ "kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xff; 128]) }),
            json!({ "kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xff; 4000]) }),
            json!({ "kty": "RSA", "e": "AA", "n": URL_SAFE_NO_PAD.encode([0xff; 256]) }),
        ] {
            assert_eq!(Jwk::parse(&bad).unwrap_err().kind, ProblemType::BadPublicKey, "{bad}");
        }
        assert_eq!(Jwk::parse(&json!("x")).unwrap_err().kind, ProblemType::Malformed);
    }
}

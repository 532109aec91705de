//! Signed requests: the flattened JSON serialization of RFC 7515 as RFC 8555 §6.2 narrows it.
//!
//! [`Jws::parse`] reads form only; who signed is found out with the key the header names ([`Jws::verify`]).

use crate::{
    jwk::{ALGORITHMS, Jwk},
    problem::{Problem, ProblemType},
};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// Longest request that is read.
pub const LONGEST: usize = 64 << 10;

/// A signed request, taken apart and not yet verified.
#[derive(Debug, Clone)]
pub struct Jws {
    /// Its protected header.
    pub header: Header,
    /// What is signed for; empty in a POST-as-GET.
    pub payload: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

/// The protected header.
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    /// Signature algorithm.
    pub alg: String,
    /// Anti-replay nonce.
    pub nonce: Option<String>,
    /// URL the request is for.
    pub url: Option<String>,
    /// The key, where there is no account yet.
    pub jwk: Option<Value>,
    /// URL of the account, or id of an external one.
    pub kid: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

/// By what a request says who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The key itself.
    Key(Box<Jwk>),
    /// URL of an account.
    Account(String),
}

#[derive(Deserialize)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
    header: Option<IgnoredAny>,
    signatures: Option<IgnoredAny>,
}

impl Jws {
    /// Takes a request apart.
    ///
    /// # Errors
    /// `malformed` that says what is wrong with its form.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > LONGEST {
            return Err(Problem::malformed(format!("the request has more than {LONGEST} bytes")));
        }
        let flattened: Flattened = serde_json::from_str(text).map_err(|error| {
            Problem::malformed(format!("the request is not a JWS in flattened JSON serialization: {error}"))
        })?;
        // RFC 8555 §6.2: one signature, no unprotected header.
        if flattened.signatures.is_some() {
            return Err(Problem::malformed("the JWS has a list of signatures; exactly one is allowed"));
        }
        if flattened.header.is_some() {
            return Err(Problem::malformed("the JWS has an unprotected header"));
        }
        let protected = decode("protected", &flattened.protected)?;
        let header: Header = serde_json::from_slice(&protected)
            .map_err(|error| Problem::malformed(format!("the protected header does not parse: {error}")))?;
        // RFC 8555 §6.2 forbids b64; there is no critical extension we know.
        if header.b64.is_some() {
            return Err(Problem::malformed("the protected header holds \"b64\""));
        }
        if header.crit.is_some() {
            return Err(Problem::malformed("the protected header holds \"crit\"; no critical extension is known"));
        }
        Ok(Self {
            payload: decode("payload", &flattened.payload)?,
            signature: decode("signature", &flattened.signature)?,
            signed: format!("{}.{}", flattened.protected, flattened.payload).into_bytes(),
            header,
        })
    }

    /// Who says to have signed: exactly one of key and account (RFC 8555 §6.2).
    ///
    /// # Errors
    /// `malformed` where it is both or neither, and what is wrong with the key.
    pub fn signer(&self) -> Result<Signer, Problem> {
        check_algorithm(&self.header.alg)?;
        match (&self.header.jwk, &self.header.kid) {
            (Some(_), Some(_)) => Err(Problem::malformed("the protected header holds both \"jwk\" and \"kid\"")),
            (None, None) => Err(Problem::malformed("the protected header holds neither \"jwk\" nor \"kid\"")),
            (Some(key), None) => Ok(Signer::Key(Box::new(Jwk::parse(key)?))),
            (None, Some(account)) => Ok(Signer::Account(account.clone())),
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// `badSignatureAlgorithm` where the header's algorithm is not the key's, `malformed` where the key did not sign this.
    pub fn verify(&self, key: &Jwk) -> Result<(), Problem> {
        check_algorithm(&self.header.alg)?;
        if self.header.alg != key.algorithm() {
            let detail = format!("\"alg\" is {}, but the key signs with {}", self.header.alg, key.algorithm());
            return Err(bad_algorithm(detail));
        }
        if key.verifies(&self.signed, &self.signature) {
            return Ok(());
        }
        Err(Problem::malformed("the signature of the JWS is not valid"))
    }

    /// Checks the authentication code of an external account binding (RFC 8555 §7.3.4) in constant time.
    ///
    /// # Errors
    /// `badSignatureAlgorithm` for anything but HMAC, `unauthorized` where the code is another.
    pub fn verify_binding(&self, key: &[u8]) -> Result<(), Problem> {
        let algorithm = match self.header.alg.as_str() {
            "HS256" => hmac::HMAC_SHA256,
            "HS384" => hmac::HMAC_SHA384,
            "HS512" => hmac::HMAC_SHA512,
            other => {
                let other: String = other.chars().take(32).collect();
                let detail = format!("the external account binding's \"alg\" is {other}, not HS256, HS384 or HS512");
                return Err(ProblemType::BadSignatureAlgorithm
                    .because(detail)
                    .with_member("algorithms", vec!["HS256", "HS384", "HS512"]));
            }
        };
        hmac::verify(&hmac::Key::new(algorithm, key), &self.signed, &self.signature).map_err(|_| {
            ProblemType::Unauthorized.because("the external account binding was not made with the key of its \"kid\"")
        })
    }
}

fn check_algorithm(algorithm: &str) -> Result<(), Problem> {
    if ALGORITHMS.contains(&algorithm) {
        return Ok(());
    }
    let shown: String = algorithm.chars().take(32).collect();
    Err(bad_algorithm(format!("\"alg\" is {shown}; {} are accepted", ALGORITHMS.join(", "))))
}

/// RFC 8555 §6.2: the answer tells which algorithms are accepted.
fn bad_algorithm(detail: String) -> Problem {
    ProblemType::BadSignatureAlgorithm.because(detail).with_member("algorithms", ALGORITHMS.to_vec())
}

fn decode(member: &str, text: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Problem::malformed(format!("\"{member}\" is not base64url without padding")))
}

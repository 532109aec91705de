//! Issuers: a CA key, its public half as hosts have it, and how others find it.

use crate::{custody::CaKey, error::SshError, public_key::SshPublicKey};
use chancery_hsm::KeyAlgorithm;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An issuer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerRecord {
    /// UUID.
    pub id: String,
    /// Name given by the operator; empty where there is none.
    pub name: String,
    /// The key; none once the issuer was deleted.
    pub key: Option<CaKey>,
    /// The public key as it is answered: what an operator brought keeps his comment.
    pub public_key: String,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// An issuer with its public key read.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What is stored.
    pub record: IssuerRecord,
    /// The public half.
    pub public_key: SshPublicKey,
}

impl Issuer {
    /// Reads the public key of a record.
    ///
    /// # Errors
    /// [`SshError::Corrupt`] where it does not parse.
    pub fn read(record: IssuerRecord) -> Result<Self, SshError> {
        let public_key = SshPublicKey::parse(&record.public_key)
            .map_err(|error| SshError::corrupt(format!("issuer {}", record.id), error))?;
        Ok(Self { record, public_key })
    }

    /// The key to sign with.
    ///
    /// # Errors
    /// [`SshError::Caller`] for an issuer that was deleted.
    pub fn key(&self) -> Result<&CaKey, SshError> {
        self.record.key.as_ref().ok_or_else(|| SshError::Caller(format!("issuer {} was deleted", self.record.id)))
    }

    /// The line for `TrustedUserCAKeys`, ending in a newline.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}\n", self.record.public_key.trim_end())
    }
}

/// The algorithm that `key_type` and `key_bits` name; 0 bits are the type's usual size. The texts are OpenBao's.
///
/// # Errors
/// [`SshError::Caller`] that names the type or the size.
pub fn algorithm(key_type: &str, key_bits: i64) -> Result<KeyAlgorithm, SshError> {
    Ok(match (key_type, key_bits) {
        ("ssh-rsa" | "rsa", 0 | 4096) => KeyAlgorithm::Rsa4096,
        ("ssh-rsa" | "rsa", 2048) => KeyAlgorithm::Rsa2048,
        ("ssh-rsa" | "rsa", 3072) => KeyAlgorithm::Rsa3072,
        ("ec", 0 | 256) | ("ecdsa-sha2-nistp256", _) => KeyAlgorithm::EcP256,
        ("ec", 384) | ("ecdsa-sha2-nistp384", _) => KeyAlgorithm::EcP384,
        ("ec", 521) | ("ecdsa-sha2-nistp521", _) => KeyAlgorithm::EcP521,
        ("ssh-ed25519" | "ed25519", _) => KeyAlgorithm::Ed25519,
        ("ssh-rsa" | "rsa", bits) if bits < 2048 => {
            return Err(SshError::Caller(format!("refusing to generate weak {key_type} key: {bits} bits < 2048 bits")));
        }
        ("ssh-rsa" | "rsa", bits) => {
            return Err(SshError::Caller(format!("RSA keys of 2048, 3072 and 4096 bits are generated: got {bits}")));
        }
        ("ec", bits) => {
            return Err(SshError::Caller(format!("unknown ECDSA key pair algorithm and bits: ec / {bits}")));
        }
        (other, _) => return Err(SshError::Caller(format!("unknown ssh key pair algorithm: {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_sizes_name_algorithms() {
        for (kind, bits, expected) in [
            ("ssh-rsa", 0, KeyAlgorithm::Rsa4096),
            ("rsa", 3072, KeyAlgorithm::Rsa3072),
            ("ec", 0, KeyAlgorithm::EcP256),
            ("ecdsa-sha2-nistp521", 0, KeyAlgorithm::EcP521),
            ("ed25519", 12, KeyAlgorithm::Ed25519),
        ] {
            assert_eq!(algorithm(kind, bits).unwrap(), expected, "{kind} {bits}");
        }
        for (kind, bits, text) in [
            ("zork", 0, "unknown ssh key pair algorithm: zork"),
            ("ec", 111, "unknown ECDSA key pair algorithm and bits: ec / 111"),
            ("ssh-rsa", 1024, "refusing to generate weak ssh-rsa key: 1024 bits < 2048 bits"),
        ] {
            assert_eq!(algorithm(kind, bits).unwrap_err().to_string(), text);
        }
    }
}

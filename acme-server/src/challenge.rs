//! Challenges: their types, tokens and key authorizations (RFC 8555 §8).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How control over an identifier is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeType {
    /// RFC 8555 §8.3
    #[serde(rename = "http-01")]
    Http01,
    /// RFC 8555 §8.4
    #[serde(rename = "dns-01")]
    Dns01,
    /// RFC 8737
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// draft-ietf-acme-dns-account-label
    #[serde(rename = "dns-account-01")]
    DnsAccount01,
    /// draft-ietf-acme-dns-persist
    #[serde(rename = "dns-persist-01")]
    DnsPersist01,
}

impl ChallengeType {
    /// Every type, in the order in which authorizations list them.
    pub const ALL: [Self; 5] = [Self::Http01, Self::Dns01, Self::TlsAlpn01, Self::DnsAccount01, Self::DnsPersist01];

    /// Name in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::DnsAccount01 => "dns-account-01",
            Self::DnsPersist01 => "dns-persist-01",
        }
    }

    /// Whether the answer lies in the DNS: the only ones that show control over everything below a name.
    #[must_use]
    pub fn is_in_dns(self) -> bool {
        matches!(self, Self::Dns01 | Self::DnsAccount01 | Self::DnsPersist01)
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ChallengeType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(())
    }
}

/// A new token: 32 random bytes (RFC 8555 §8.1 wants 16) in base64url, so without a character that means something in a
/// path.
///
/// # Errors
/// The system's source of randomness failed.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The key authorization (RFC 8555 §8.1): what only the holder of the account's key can have put there. `thumbprint` is
/// the key's (RFC 7638), in base64url.
#[must_use]
pub fn key_authorization(token: &str, thumbprint: &str) -> String {
    format!("{token}.{thumbprint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_written() {
        for kind in ChallengeType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert_eq!("http-02".parse::<ChallengeType>(), Err(()));
    }

    #[test]
    fn tokens_are_base64url_and_never_the_same() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 43);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }

    #[test]
    fn key_authorizations_join_token_and_thumbprint() {
        assert_eq!(key_authorization("token", "thumb"), "token.thumb");
    }
}

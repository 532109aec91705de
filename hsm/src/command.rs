//! The messages between the facade and a provider.
//!
//! They are plain data, so that a provider can live in a process of its own; no handle, session or lock crosses over.

use zeroize::Zeroizing;

use crate::{
    HsmError, KeyAttributes, KeyReference, KeySearch, KeySpec, KeySummary, MacAlgorithm, RsaPadding, SignInput,
    SignScheme,
};

/// An AES-GCM ciphertext as we store it, whatever layout the token prefers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AeadSealed {
    /// The initialisation vector the token really used.
    pub nonce: Vec<u8>,
    /// The ciphertext with its 16-byte tag at the end.
    pub ciphertext: Vec<u8>,
}

/// One request to a provider.
#[derive(Clone)]
pub(crate) enum Command {
    Generate(KeySpec),
    Find(KeySearch),
    Sign { key: KeyReference, scheme: SignScheme, input: SignInput },
    Encrypt { key: KeyReference, aad: Vec<u8>, plaintext: Zeroizing<Vec<u8>> },
    Decrypt { key: KeyReference, aad: Vec<u8>, sealed: AeadSealed },
    RsaDecrypt { key: KeyReference, padding: RsaPadding, ciphertext: Vec<u8> },
    Mac { key: KeyReference, algorithm: MacAlgorithm, data: Vec<u8> },
    Random { bytes: usize },
    Destroy { key: KeyReference },
    Attributes { key: KeyReference },
    List,
}

impl Command {
    /// The operation's name in errors, logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Generate(_) => "generate",
            Self::Find(_) => "find",
            Self::Sign { .. } => "sign",
            Self::Encrypt { .. } => "encrypt",
            Self::Decrypt { .. } => "decrypt",
            Self::RsaDecrypt { .. } => "rsa-decrypt",
            Self::Mac { .. } => "mac",
            Self::Random { .. } => "random",
            Self::Destroy { .. } => "destroy",
            Self::Attributes { .. } => "attributes",
            Self::List => "list",
        }
    }

    /// The key the command uses.
    pub(crate) fn key(&self) -> Option<&KeyReference> {
        match self {
            Self::Sign { key, .. }
            | Self::Encrypt { key, .. }
            | Self::Decrypt { key, .. }
            | Self::RsaDecrypt { key, .. }
            | Self::Mac { key, .. }
            | Self::Destroy { key }
            | Self::Attributes { key } => Some(key),
            Self::Generate(_) | Self::Find(_) | Self::Random { .. } | Self::List => None,
        }
    }

    /// Whether doing it twice leaves the token as doing it once: only then may a lost device be answered with a retry.
    pub(crate) fn has_side_effect(&self) -> bool {
        matches!(self, Self::Generate(_) | Self::Destroy { .. })
    }
}

/// A provider's answer.
pub(crate) enum Reply {
    Key(KeyReference),
    Bytes(Vec<u8>),
    Secret(Zeroizing<Vec<u8>>),
    Sealed(AeadSealed),
    Attributes(KeyAttributes),
    Keys(Vec<KeySummary>),
    Done,
}

/// What a facade method says when a provider answers with the wrong variant.
pub(crate) const WRONG_REPLY: HsmError =
    HsmError::Internal { detail: "a provider answered with the wrong kind of reply" };

/// The associated data as it travels: one fixed byte, then the caller's.
///
/// It is therefore never empty, which aborts the process on some SoftHSM builds (upstream issues 605, 664, 844), and
/// stays injective: no non-empty value can pass for the empty one.
pub(crate) fn wire_aad(aad: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(aad.len() + 1);
    wire.push(0xC1);
    wire.extend_from_slice(aad);
    wire
}

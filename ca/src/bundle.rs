//! CAs brought along: certificates and private keys in one PEM text. What is in it is a stranger's until it has been read.

use crate::{
    error::CaError,
    facts::CertificateFacts,
    pem,
    private_key::{PrivateKey, is_private_key},
};

/// A text shorter than this holds no certificate and no key.
const SHORTEST: usize = 75;

/// openssl writes the curve's name in front of a key; the key names it again.
const EC_PARAMETERS: &str = "EC PARAMETERS";

/// What a bundle holds, in its order.
#[derive(Debug, Default)]
pub struct Bundle {
    /// CA certificates.
    pub certificates: Vec<CertificateFacts>,
    /// Private keys.
    pub keys: Vec<PrivateKey>,
}

impl Bundle {
    /// Reads every block of a bundle.
    ///
    /// # Errors
    /// [`CaError::Caller`] that says what is wrong with which part, without a byte of a key.
    pub fn read(text: &str) -> Result<Self, CaError> {
        if text.is_empty() {
            return Err(CaError::caller("'pem_bundle' and 'certificate' parameters were empty"));
        }
        let mut bundle = Self::default();
        for block in blocks(text)? {
            if is_private_key(&block.label) {
                bundle.keys.push(PrivateKey::read(&block)?);
                continue;
            }
            let at = bundle.certificates.len();
            let facts = CertificateFacts::parse(&block.bytes)?;
            if !facts.is_ca {
                return Err(CaError::Caller(format!(
                    "Error parsing issuer {at}: Refusing to import non-CA certificate with serial number {}",
                    facts.serial
                )));
            }
            bundle.certificates.push(facts);
        }
        Ok(bundle)
    }
}

/// Reads a text that must hold one key and nothing besides.
///
/// # Errors
/// See [`Bundle::read`].
pub fn single_key(text: &str) -> Result<PrivateKey, CaError> {
    let blocks = blocks(text)?;
    let [block] = blocks.as_slice() else {
        return Err(CaError::caller("only a single key can be present within the pem_bundle for importing"));
    };
    PrivateKey::read(block)
}

fn blocks(text: &str) -> Result<Vec<pem::Block>, CaError> {
    // A path instead of a file's content is the usual mistake.
    if text.len() < SHORTEST {
        return Err(CaError::caller(
            "provided data for import was too short; perhaps a path was passed to the API rather than the contents of a PEM file",
        ));
    }
    let mut blocks = pem::decode_all(text)?;
    if blocks.is_empty() {
        return Err(CaError::caller("error when parsing block 1: invalid PEM data"));
    }
    blocks.retain(|block| block.label != EC_PARAMETERS);
    Ok(blocks)
}

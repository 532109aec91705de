//! PEM (RFC 7468): strict when writing, tolerant when reading what people paste.

use crate::error::CaError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;
use zeroize::Zeroizing;

/// Label of certificates.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// Label of certificate requests.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";
/// Label of revocation lists.
pub const CRL: &str = "X509 CRL";

/// Longest text that is looked at; a bundle of a few hundred certificates.
const LONGEST: usize = 4 << 20;

/// Labels are shown in refusals, so what stands there must not be the key itself.
const LONGEST_LABEL: usize = 64;

/// One block.
pub struct Block {
    /// What the block says it is.
    pub label: String,
    /// The bytes; they may be a private key.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Writes a block, without a newline at the end, as issued certificates are answered.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 40);
    pem.push_str("-----BEGIN ");
    pem.push_str(label);
    pem.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----");
    pem
}

/// Writes a block with a newline at the end, as issuers are answered.
#[must_use]
pub fn encode_line(label: &str, der: &[u8]) -> String {
    let mut pem = encode(label, der);
    pem.push('\n');
    pem
}

/// Reads every block of `text`; what lies between blocks is ignored.
///
/// # Errors
/// [`CaError::Caller`] with the number of the first block that is broken.
pub fn decode_all(text: &str) -> Result<Vec<Block>, CaError> {
    if text.len() > LONGEST {
        return Err(CaError::Caller(format!("PEM data of {} bytes is longer than {LONGEST} bytes", text.len())));
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once("-----BEGIN ") {
        let block = take(tail).ok_or_else(|| {
            CaError::Caller(format!("error when parsing block {}: invalid PEM data", blocks.len() + 1))
        })?;
        blocks.push(block.0);
        rest = block.1;
    }
    Ok(blocks)
}

/// Reads the first block.
///
/// # Errors
/// [`CaError::Caller`] where it is broken.
pub fn decode_first(text: &str) -> Result<Option<Block>, CaError> {
    Ok(decode_all(text)?.into_iter().next())
}

fn take(tail: &str) -> Option<(Block, &str)> {
    let (label, tail) = tail.split_once("-----")?;
    let (body, tail) = tail.split_once("-----END ")?;
    let (end, tail) = tail.split_once("-----")?;
    if end != label || label.len() > LONGEST_LABEL || !label.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        return None;
    }
    // Headers such as "Proc-Type: 4,ENCRYPTED" mean an encrypted key, which is no use here.
    let text: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = STANDARD.decode(text.as_bytes()).ok()?;
    Some((Block { label: label.to_owned(), bytes: Zeroizing::new(bytes) }, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_does_not_show_what_may_be_a_private_key() {
        let shown = format!("{:?}", Block { label: "PRIVATE KEY".into(), bytes: vec![115, 51].into() });
        assert!(shown.contains("PRIVATE KEY") && !shown.contains("115"), "{shown}");
    }

    #[test]
    fn blocks_survive_and_text_between_is_ignored() {
        let text = format!("junk\n{}\r\nmore\n{}", encode("A", &[1; 100]), encode_line("B C", &[2]));
        let blocks = decode_all(&text).unwrap();
        assert_eq!(blocks.len(), 2);
        assert_eq!((blocks[0].label.as_str(), blocks[0].bytes.len()), ("A", 100));
        assert_eq!((blocks[1].label.as_str(), blocks[1].bytes.as_slice()), ("B C", [2].as_slice()));
        assert!(text.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn broken_blocks_are_named() {
        let text = format!("{}\n-----BEGIN A-----\n!!\n-----END A-----", encode("A", &[1]));
        assert_eq!(decode_all(&text).unwrap_err().to_string(), "error when parsing block 2: invalid PEM data");
        assert!(decode_all("-----BEGIN A-----\nAAAA\n-----END B-----").is_err());
        for label in ["A\nB", &"A".repeat(65)] {
            assert!(decode_all(&format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----")).is_err());
        }
        assert!(decode_first("no blocks").unwrap().is_none());
    }
}

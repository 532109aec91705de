//! The hash chain: every line ends in `,"seq":N,"prev_hash":"…","hash":"…"}`, where `hash` is SHA-256 over the bytes of
//! the line before `,"hash":`. No line can be altered, dropped or moved without breaking the next one.

use super::salt::hex;
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use std::io::Write as _;

/// Where a chain stands: number and hash of its last line. The first line has number 1 and the hash of nothing before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Number of the last line.
    pub seq: u64,
    /// Its hash, in hex.
    pub hash: String,
}

/// The chain members of one line, as they stand at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link<'l> {
    pub(crate) seq: u64,
    pub(crate) prev_hash: &'l str,
    pub(crate) hash: &'l str,
    /// The bytes that `hash` covers.
    pub(crate) covered: &'l [u8],
}

const HASH_MEMBER: &[u8] = b",\"hash\":\"";
const PREV_MEMBER: &[u8] = b",\"prev_hash\":\"";
const SEQ_MEMBER: &[u8] = b",\"seq\":";
const HEX_HASH: usize = 64;
/// Room that the chain members take at most.
pub(crate) const LINK_BYTES: usize = 192;

impl Default for ChainHead {
    fn default() -> Self {
        Self { seq: 0, hash: "0".repeat(HEX_HASH) }
    }
}

impl ChainHead {
    /// Ends `line` (an object without its closing brace) with the chain members and a newline, and moves on. In place:
    /// the line of a large batch is not copied.
    pub(crate) fn seal(&mut self, line: &mut Vec<u8>) {
        self.seq += 1;
        line.reserve(LINK_BYTES);
        line.extend_from_slice(SEQ_MEMBER);
        // Writing to a Vec cannot fail.
        let _infallible = write!(line, "{}", self.seq);
        line.extend_from_slice(PREV_MEMBER);
        line.extend_from_slice(self.hash.as_bytes());
        line.push(b'"');
        self.hash = hash(line);
        line.extend_from_slice(HASH_MEMBER);
        line.extend_from_slice(self.hash.as_bytes());
        line.extend_from_slice(b"\"}\n");
    }
}

impl<'l> Link<'l> {
    /// Reads the chain members off the end of a line, without its newline.
    pub(crate) fn of(line: &'l [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\"}")?;
        let (rest, hash) = split_hex(line)?;
        let covered = rest.strip_suffix(HASH_MEMBER)?;
        let (rest, prev_hash) = split_hex(covered.strip_suffix(b"\"")?)?;
        let rest = rest.strip_suffix(PREV_MEMBER)?;
        let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (rest, seq) = rest.split_at(rest.len() - digits);
        rest.strip_suffix(SEQ_MEMBER)?;
        Some(Self { seq: std::str::from_utf8(seq).ok()?.parse().ok()?, prev_hash, hash, covered })
    }

    /// Whether the line still is what was hashed.
    pub(crate) fn is_intact(&self) -> bool {
        hash(self.covered) == self.hash
    }

    pub(crate) fn head(&self) -> ChainHead {
        ChainHead { seq: self.seq, hash: self.hash.to_owned() }
    }
}

fn split_hex(text: &[u8]) -> Option<(&[u8], &str)> {
    let (rest, hex) = text.split_at_checked(text.len().checked_sub(HEX_HASH)?)?;
    hex.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(())?;
    Some((rest, std::str::from_utf8(hex).ok()?))
}

fn hash(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().map_or_else(|_| String::new(), |hash| String::from_utf8_lossy(&hex(hash)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_its_link() {
        let mut head = ChainHead::default();
        let (mut out, mut second) = (b"{\"type\":\"request\"".to_vec(), b"{\"type\":\"response\"".to_vec());
        head.seal(&mut out);
        let first = head.clone();
        head.seal(&mut second);
        out.extend_from_slice(&second);
        let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
        let links: Vec<Link<'_>> = lines.iter().take(2).map(|line| Link::of(line).unwrap()).collect();
        assert!(links.iter().all(Link::is_intact));
        assert_eq!(links[0].head(), first);
        assert_eq!(links[1].prev_hash, first.hash);
        assert_eq!(links[1].head(), head);
        assert!(serde_json::from_slice::<serde_json::Value>(lines[1]).is_ok());
    }
}

//! The header. Its first 78 bytes bind the body; the names and the wrapped key behind them can be replaced.
//!
//! ```text
//!  0   8  magic  89 43 48 4E 45 0D 0A 1A
//!  8   1  version of the format, 1
//!  9   1  suite, 1 = HKDF-SHA256, AES-256-GCM
//! 10   4  bytes of plaintext in a segment, big-endian
//! 14  32  salt
//! 46  32  commitment to the data key
//! 78   1  m, then m bytes: the mount (a hint)
//!      1  n, then n bytes: the transit key's name (a hint)
//!      2  w big-endian, then w bytes: the data key as the transit key wrapped it
//! ```

use crate::EnvelopeError;
use std::io::{self, Read};

const MAGIC: [u8; 8] = *b"\x89CHNE\r\n\x1a";
const VERSION: u8 = 1;
const SUITE: u8 = 1;
/// A ciphertext of the largest key that can wrap a data key (ML-KEM-1024, RSA-4096) is well below.
const MAX_WRAPPED_KEY: usize = 8192;

/// Plaintext bytes of a segment where nothing else is asked for.
pub const DEFAULT_SEGMENT_SIZE: u32 = 65_536;
/// The smallest segment a header may name.
pub const MIN_SEGMENT_SIZE: u32 = 1024;
/// The largest segment a header may name: what opening takes of memory is twice this.
pub const MAX_SEGMENT_SIZE: u32 = 16_777_216;

/// Where the transit key is that wrapped the data key. A hint: nothing authenticates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    mount: String,
    key: String,
}

impl Place {
    /// A mount's path and a key's name, if they can be written into a header and into a request's path.
    pub fn new(mount: &str, key: &str) -> Result<Self, EnvelopeError> {
        let mount = mount.trim_matches('/');
        let segments_are_plain = mount.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        if !segments_are_plain || mount.len() > 255 || mount.chars().any(char::is_control) {
            return Err(EnvelopeError::Unusable("mount"));
        }
        if !is_key_name(key) {
            return Err(EnvelopeError::Unusable("key name"));
        }
        Ok(Self { mount: mount.to_owned(), key: key.to_owned() })
    }

    /// The mount's path, without slashes around it.
    #[must_use]
    pub fn mount(&self) -> &str {
        &self.mount
    }

    /// The transit key's name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Word characters, with `-` and `.` inside: what the API takes as a key's name.
fn is_key_name(name: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = name.as_bytes();
    (1..=255).contains(&bytes.len())
        && bytes.iter().all(|byte| word(byte) || matches!(byte, b'-' | b'.'))
        && [bytes.first(), bytes.last()].into_iter().flatten().all(word)
}

/// Everything before the segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub(crate) binding: Binding,
    place: Place,
    wrapped_key: String,
}

/// What the body is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) segment_size: u32,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
}

impl Binding {
    pub(crate) const LENGTH: usize = 78;

    /// The first bytes of the file, the associated data of every segment.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LENGTH);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, SUITE]);
        bytes.extend_from_slice(&self.segment_size.to_be_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.commitment);
        bytes
    }

    fn read(reader: &mut impl Read) -> Result<Self, EnvelopeError> {
        // The magic alone first: a file of ten bytes that is none of ours is not one that "ends inside its header".
        if array::<8>(reader).map_err(not_sealed)? != MAGIC {
            return Err(EnvelopeError::NotSealed);
        }
        let [version, suite] = array(reader)?;
        if version != VERSION {
            return Err(EnvelopeError::UnknownVersion(version));
        }
        if suite != SUITE {
            return Err(EnvelopeError::UnknownSuite(suite));
        }
        let segment_size = u32::from_be_bytes(array(reader)?);
        check_segment_size(segment_size)?;
        Ok(Self { segment_size, salt: array(reader)?, commitment: array(reader)? })
    }
}

/// A segment size within its bounds.
pub(crate) fn check_segment_size(size: u32) -> Result<(), EnvelopeError> {
    if (MIN_SEGMENT_SIZE..=MAX_SEGMENT_SIZE).contains(&size) { Ok(()) } else { Err(EnvelopeError::SegmentSize(size)) }
}

impl Header {
    pub(crate) fn new(binding: Binding, place: Place, wrapped_key: &str) -> Result<Self, EnvelopeError> {
        Self { binding, place, wrapped_key: String::new() }.with_wrapped_key(wrapped_key)
    }

    /// Reads a header and leaves the reader at the first segment.
    pub fn read(reader: &mut impl Read) -> Result<Self, EnvelopeError> {
        let binding = Binding::read(reader)?;
        let [length] = array(reader)?;
        let mount = text(reader, length.into(), "mount")?;
        let [length] = array(reader)?;
        let key = text(reader, length.into(), "key name")?;
        let place = Place::new(&mount, &key)?;
        if place.mount != mount {
            return Err(EnvelopeError::Unusable("mount"));
        }
        let length = u16::from_be_bytes(array(reader)?).into();
        if length > MAX_WRAPPED_KEY {
            return Err(EnvelopeError::Unusable("wrapped key"));
        }
        Self::new(binding, place, &text(reader, length, "wrapped key")?)
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.binding.to_bytes();
        for name in [&self.place.mount, &self.place.key] {
            bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(&u16::try_from(self.wrapped_key.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(self.wrapped_key.as_bytes());
        bytes
    }

    /// The same header with the same data key wrapped anew.
    pub fn with_wrapped_key(mut self, wrapped_key: &str) -> Result<Self, EnvelopeError> {
        let usable =
            (1..=MAX_WRAPPED_KEY).contains(&wrapped_key.len()) && wrapped_key.bytes().all(|b| b.is_ascii_graphic());
        if !usable {
            return Err(EnvelopeError::Unusable("wrapped key"));
        }
        wrapped_key.clone_into(&mut self.wrapped_key);
        Ok(self)
    }

    /// Where the transit key is said to be.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The data key as the transit key wrapped it.
    #[must_use]
    pub fn wrapped_key(&self) -> &str {
        &self.wrapped_key
    }

    /// Plaintext bytes in a segment.
    #[must_use]
    pub fn segment_size(&self) -> u32 {
        self.binding.segment_size
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], EnvelopeError> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(cut)?;
    Ok(bytes)
}

fn text(reader: &mut impl Read, length: usize, what: &'static str) -> Result<String, EnvelopeError> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).map_err(cut)?;
    String::from_utf8(bytes).map_err(|_| EnvelopeError::Unusable(what))
}

fn cut(error: io::Error) -> EnvelopeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => EnvelopeError::HeaderCut,
        _ => EnvelopeError::Read(error),
    }
}

fn not_sealed(error: EnvelopeError) -> EnvelopeError {
    if matches!(error, EnvelopeError::HeaderCut) { EnvelopeError::NotSealed } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let binding = Binding { segment_size: 4096, salt: [7; 32], commitment: [9; 32] };
        Header::new(binding, Place::new("team/transit", "app").unwrap(), "vault:v1:AAAA").unwrap()
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = header().to_bytes();
        assert_eq!(bytes[..14], *b"\x89CHNE\r\n\x1a\x01\x01\x00\x00\x10\x00");
        assert_eq!((&bytes[14..46], &bytes[46..78]), (&[7; 32][..], &[9; 32][..]));
        assert_eq!(bytes[78..], *b"\x0cteam/transit\x03app\x00\x0dvault:v1:AAAA");
    }

    #[test]
    fn what_is_written_is_read_and_the_body_is_left_in_the_reader() {
        let bytes = [header().to_bytes(), b"body".to_vec()].concat();
        let mut reader = bytes.as_slice();
        assert_eq!(Header::read(&mut reader).unwrap(), header());
        assert_eq!(reader, b"body");
    }

    #[test]
    fn a_header_cut_anywhere_is_refused() {
        let bytes = header().to_bytes();
        for length in 0..bytes.len() {
            let refused = Header::read(&mut &bytes[..length]).unwrap_err();
            let expected = if length < 8 { EnvelopeError::NotSealed } else { EnvelopeError::HeaderCut };
            assert_eq!(refused.to_string(), expected.to_string(), "{length}");
        }
    }

    #[test]
    fn hostile_sizes_versions_and_names_are_refused() {
        let refused = |at: usize, with: &[u8]| {
            let mut bytes = header().to_bytes();
            bytes[at..at + with.len()].copy_from_slice(with);
            Header::read(&mut bytes.as_slice()).unwrap_err().to_string()
        };
        assert!(refused(0, b"PK").contains("does not begin"));
        assert!(refused(8, &[2]).contains("version 2"));
        assert!(refused(9, &[0]).contains("number 0"));
        assert!(refused(10, &[0xff; 4]).contains("4294967295"));
        assert!(refused(10, &[0, 0, 3, 0xff]).contains("1023"));
        assert!(refused(79, b"../transit/x").contains("mount"));
        assert!(refused(79, b"/eam/transit").contains("mount"));
        assert!(refused(79, b"team\x1b[31mxyz").contains("mount"));
        assert!(refused(92, b"a/b").contains("key name"));
        assert!(refused(92, b"..b").contains("key name"));
        assert!(refused(95, &[0xff, 0xff]).contains("wrapped key"));
        assert!(refused(97, b"vault v1:").contains("wrapped key"));
    }

    #[test]
    fn a_new_wrapping_changes_nothing_the_body_is_bound_to() {
        let before = header();
        let after = before.clone().with_wrapped_key("vault:v12:BBBBBBBB").unwrap();
        assert_eq!(before.binding.to_bytes(), after.binding.to_bytes());
        assert_ne!(before.to_bytes(), after.to_bytes());
        assert!(before.clone().with_wrapped_key("").is_err());
        assert!(before.with_wrapped_key(&"v".repeat(MAX_WRAPPED_KEY + 1)).is_err());
    }
}

//! Key revocation lists in OpenSSH's binary format (PROTOCOL.krl): our own writer, and a reader to hold it against.
//!
//! No library writes them. A list has one section for each CA with what is revoked of its certificates, one for keys and
//! one for fingerprints. Serial numbers go into lists, ranges or bitmaps, whichever is shortest.

mod ranges;
mod reader;

pub use ranges::SerialRanges;
pub use reader::{KrlError, Subject};

use crate::blob::BlobWriter;
use std::collections::BTreeSet;

const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT_VERSION: u32 = 1;
const SECTION_CERTIFICATES: u8 = 1;
const SECTION_EXPLICIT_KEY: u8 = 2;
const SECTION_FINGERPRINT_SHA1: u8 = 3;
const SECTION_SIGNATURE: u8 = 4;
const SECTION_FINGERPRINT_SHA256: u8 = 5;
const SECTION_EXTENSION: u8 = 255;
const CERTIFICATE_SERIAL_LIST: u8 = 0x20;
const CERTIFICATE_SERIAL_RANGE: u8 = 0x21;
const CERTIFICATE_SERIAL_BITMAP: u8 = 0x22;
const CERTIFICATE_KEY_ID: u8 = 0x23;
const CERTIFICATE_EXTENSION: u8 = 0x39;

/// What is revoked of one CA's certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedCertificates {
    /// Serial numbers.
    pub serials: SerialRanges,
    /// Key ids.
    pub key_ids: BTreeSet<String>,
}

/// What a list says before its sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KrlHeader {
    /// Rises with every change.
    pub version: u64,
    /// Seconds after 1970.
    pub generated_at: u64,
    /// For people.
    pub comment: String,
}

/// A list as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Krl {
    /// What stands before the sections.
    pub header: KrlHeader,
    /// By CA key, in OpenSSH's format. An empty key stands for every CA.
    pub certificates: Vec<(Vec<u8>, RevokedCertificates)>,
    /// Keys, in OpenSSH's format.
    pub keys: BTreeSet<Vec<u8>>,
    /// SHA-256 over keys.
    pub fingerprints: BTreeSet<Vec<u8>>,
    /// SHA-1 over keys; read, never written.
    pub old_fingerprints: BTreeSet<Vec<u8>>,
}

impl RevokedCertificates {
    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.serials.is_empty() && self.key_ids.is_empty()
    }

    /// The section of the CA with this key; empty where nothing is revoked.
    #[must_use]
    pub fn encode(&self, ca: &[u8]) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut body = BlobWriter::with_capacity(ca.len() + 64);
        body.string(ca).string([]);
        self.serials.encode(&mut body);
        if !self.key_ids.is_empty() {
            let mut ids = BlobWriter::new();
            for id in &self.key_ids {
                ids.string(id);
            }
            body.byte(CERTIFICATE_KEY_ID).string(ids.into_bytes());
        }
        section(SECTION_CERTIFICATES, &body.into_bytes())
    }
}

/// A list of sections that are encoded already, so that one more revocation encodes one section.
#[must_use]
pub fn assemble<'a>(header: &KrlHeader, sections: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut writer = BlobWriter::new();
    // No flags; reserved is empty.
    writer.u64(MAGIC).u32(FORMAT_VERSION).u64(header.version).u64(header.generated_at).u64(0).string([]);
    writer.string(&header.comment);
    for section in sections {
        writer.raw(section);
    }
    writer.into_bytes()
}

/// The sections for keys and for fingerprints; empty where there are none.
#[must_use]
pub fn encode_keys(keys: &BTreeSet<Vec<u8>>, fingerprints: &BTreeSet<Vec<u8>>) -> Vec<u8> {
    let mut sections = Vec::new();
    for (kind, items) in [(SECTION_EXPLICIT_KEY, keys), (SECTION_FINGERPRINT_SHA256, fingerprints)] {
        if !items.is_empty() {
            let mut body = BlobWriter::new();
            for item in items {
                body.string(item);
            }
            sections.extend(section(kind, &body.into_bytes()));
        }
    }
    sections
}

impl Krl {
    /// The list without what is never written.
    #[must_use]
    pub fn without_old_fingerprints(&self) -> Self {
        Self { old_fingerprints: BTreeSet::new(), ..self.clone() }
    }

    /// The list as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sections: Vec<Vec<u8>> = self.certificates.iter().map(|(ca, revoked)| revoked.encode(ca)).collect();
        sections.push(encode_keys(&self.keys, &self.fingerprints));
        assemble(&self.header, sections.iter().map(Vec::as_slice))
    }
}

fn section(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut writer = BlobWriter::with_capacity(body.len() + 5);
    writer.byte(kind).string(body);
    writer.into_bytes()
}

#[cfg(test)]
mod tests;

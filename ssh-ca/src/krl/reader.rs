//! Reading key revocation lists, ours and others': the tests' second opinion, and a target of the fuzzer.

use super::{
    CERTIFICATE_EXTENSION, CERTIFICATE_KEY_ID, CERTIFICATE_SERIAL_BITMAP, CERTIFICATE_SERIAL_LIST,
    CERTIFICATE_SERIAL_RANGE, FORMAT_VERSION, Krl, KrlHeader, MAGIC, RevokedCertificates, SECTION_CERTIFICATES,
    SECTION_EXPLICIT_KEY, SECTION_EXTENSION, SECTION_FINGERPRINT_SHA1, SECTION_FINGERPRINT_SHA256, SECTION_SIGNATURE,
};
use crate::blob::BlobReader;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use std::collections::BTreeSet;

/// Bytes of the longest bitmap that is read.
const LONGEST_BITMAP: usize = 1 << 16;

/// Why bytes are no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KrlError {
    /// Another file.
    #[error("not a key revocation list")]
    Magic,
    /// Of a later format.
    #[error("a key revocation list of format {0}")]
    Format(u32),
    /// It ends early.
    #[error("the key revocation list ends early")]
    Truncated,
    /// A section says something impossible.
    #[error("the key revocation list is malformed")]
    Malformed,
    /// A section nobody knows, and that may not be skipped.
    #[error("the key revocation list has an unknown section {0}")]
    Section(u8),
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The key, in OpenSSH's format.
    pub key: &'a [u8],
    /// Where it is certified: the CA's key, serial number and key id.
    pub certificate: Option<(&'a [u8], u64, &'a str)>,
}

impl Krl {
    /// Reads a list.
    ///
    /// # Errors
    /// A [`KrlError`] that says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, KrlError> {
        let mut reader = BlobReader::new(bytes);
        if reader.u64() != Some(MAGIC) {
            return Err(KrlError::Magic);
        }
        match reader.u32().ok_or(KrlError::Truncated)? {
            FORMAT_VERSION => {}
            other => return Err(KrlError::Format(other)),
        }
        let header = header(&mut reader).ok_or(KrlError::Truncated)?;
        let mut krl = Self { header, ..Self::default() };
        while !reader.is_empty() {
            let (kind, body) = reader.byte().zip(reader.string()).ok_or(KrlError::Truncated)?;
            match kind {
                SECTION_CERTIFICATES => krl.certificates.push(certificates(body)?),
                SECTION_EXPLICIT_KEY => krl.keys.extend(strings(body)?),
                SECTION_FINGERPRINT_SHA256 => krl.fingerprints.extend(hashes(body, 32)?),
                SECTION_FINGERPRINT_SHA1 => krl.old_fingerprints.extend(hashes(body, 20)?),
                // Its signature is not checked: no sshd does.
                SECTION_SIGNATURE => {}
                SECTION_EXTENSION => extension(body)?,
                other => return Err(KrlError::Section(other)),
            }
        }
        Ok(krl)
    }

    /// Whether an sshd with this list refuses the subject.
    #[must_use]
    pub fn revokes(&self, subject: &Subject<'_>) -> bool {
        if self.revokes_key(subject.key) {
            return true;
        }
        let Some((ca, serial, key_id)) = subject.certificate else { return false };
        let by_certificate = self.certificates.iter().filter(|(of, _)| of.is_empty() || of == ca);
        self.revokes_key(ca)
            || by_certificate.into_iter().any(|(_, revoked)| {
                (serial != 0 && revoked.serials.contains(serial)) || revoked.key_ids.contains(key_id)
            })
    }

    fn revokes_key(&self, key: &[u8]) -> bool {
        self.keys.contains(key)
            || (!self.fingerprints.is_empty() && self.fingerprints.contains(digest(&SHA256, key).as_ref()))
            || (!self.old_fingerprints.is_empty()
                && self.old_fingerprints.contains(digest(&SHA1_FOR_LEGACY_USE_ONLY, key).as_ref()))
    }
}

fn header(reader: &mut BlobReader<'_>) -> Option<KrlHeader> {
    let (version, generated_at) = (reader.u64()?, reader.u64()?);
    let (_flags, _reserved) = (reader.u64()?, reader.string()?);
    let comment = String::from_utf8_lossy(reader.string()?).into_owned();
    Some(KrlHeader { version, generated_at, comment })
}

fn certificates(body: &[u8]) -> Result<(Vec<u8>, RevokedCertificates), KrlError> {
    let mut reader = BlobReader::new(body);
    let (ca, _reserved) = reader.string().zip(reader.string()).ok_or(KrlError::Truncated)?;
    let mut revoked = RevokedCertificates::default();
    while !reader.is_empty() {
        let (kind, body) = reader.byte().zip(reader.string()).ok_or(KrlError::Truncated)?;
        match kind {
            CERTIFICATE_SERIAL_LIST => serial_list(body, &mut revoked)?,
            CERTIFICATE_SERIAL_RANGE => serial_range(body, &mut revoked)?,
            CERTIFICATE_SERIAL_BITMAP => serial_bitmap(body, &mut revoked)?,
            CERTIFICATE_KEY_ID => {
                for id in strings(body)? {
                    revoked.key_ids.insert(String::from_utf8(id).map_err(|_| KrlError::Malformed)?);
                }
            }
            CERTIFICATE_EXTENSION => extension(body)?,
            other => return Err(KrlError::Section(other)),
        }
    }
    Ok((ca.to_vec(), revoked))
}

fn serial_list(body: &[u8], revoked: &mut RevokedCertificates) -> Result<(), KrlError> {
    let mut reader = BlobReader::new(body);
    while !reader.is_empty() {
        let serial = reader.u64().filter(|serial| *serial != 0).ok_or(KrlError::Malformed)?;
        revoked.serials.insert(serial, serial);
    }
    Ok(())
}

fn serial_range(body: &[u8], revoked: &mut RevokedCertificates) -> Result<(), KrlError> {
    let mut reader = BlobReader::new(body);
    let (first, last) = reader.u64().zip(reader.u64()).ok_or(KrlError::Malformed)?;
    if first == 0 || last < first || !reader.is_empty() {
        return Err(KrlError::Malformed);
    }
    revoked.serials.insert(first, last);
    Ok(())
}

fn serial_bitmap(body: &[u8], revoked: &mut RevokedCertificates) -> Result<(), KrlError> {
    let mut reader = BlobReader::new(body);
    let (start, bitmap) = reader.u64().zip(reader.mpint()).ok_or(KrlError::Malformed)?;
    if !reader.is_empty() || bitmap.len() > LONGEST_BITMAP {
        return Err(KrlError::Malformed);
    }
    let mut serial = Some(start);
    for byte in bitmap.iter().rev() {
        for bit in 0..8 {
            if byte >> bit & 1 == 1 {
                let serial = serial.filter(|serial| *serial != 0).ok_or(KrlError::Malformed)?;
                revoked.serials.insert(serial, serial);
            }
            serial = serial.and_then(|serial| serial.checked_add(1));
        }
    }
    Ok(())
}

/// A name, whether it must be understood, and its content.
fn extension(body: &[u8]) -> Result<(), KrlError> {
    let mut reader = BlobReader::new(body);
    let (_name, critical) = reader.string().zip(reader.byte()).ok_or(KrlError::Malformed)?;
    if critical == 0 { Ok(()) } else { Err(KrlError::Section(SECTION_EXTENSION)) }
}

fn strings(body: &[u8]) -> Result<Vec<Vec<u8>>, KrlError> {
    let mut reader = BlobReader::new(body);
    let mut strings = Vec::new();
    while !reader.is_empty() {
        strings.push(reader.string().ok_or(KrlError::Truncated)?.to_vec());
    }
    Ok(strings)
}

fn hashes(body: &[u8], length: usize) -> Result<BTreeSet<Vec<u8>>, KrlError> {
    let hashes = strings(body)?;
    if hashes.iter().any(|hash| hash.len() != length) {
        return Err(KrlError::Malformed);
    }
    Ok(hashes.into_iter().collect())
}

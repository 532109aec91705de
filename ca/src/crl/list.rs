//! Reading a CRL back: its header and where its entries lie. Used on lists we made, and on lists that others hand in
//! (`resign-crls`), so it trusts nothing.

use crate::{error::CaError, oid, serial::SerialNumber};
use der::{
    Decode, Reader, SliceReader, Tag, Tagged,
    asn1::{AnyRef, BitStringRef},
};
use jiff::Timestamp;
use x509_cert::{ext::Extension, time::Time};

/// A CRL taken apart.
#[derive(Debug, Clone)]
pub struct CrlList<'a> {
    /// Issuer, in DER.
    pub issuer: &'a [u8],
    /// thisUpdate
    pub this_update: Timestamp,
    /// nextUpdate
    pub next_update: Option<Timestamp>,
    /// The entries, one encoded after the other.
    pub entries: &'a [u8],
    /// cRLNumber, where there is one that fits.
    pub number: Option<u64>,
    /// BaseCRLNumber of a delta CRL.
    pub base: Option<u64>,
    /// DER of the value of the issuing distribution point.
    pub distribution_point: Option<Vec<u8>>,
}

/// One entry of a list.
#[derive(Debug, Clone)]
pub struct CrlEntry<'a> {
    /// All of it.
    pub der: &'a [u8],
    /// The serial number.
    pub serial: SerialNumber,
}

/// The entries of a list.
#[derive(Debug)]
pub struct CrlEntries<'a> {
    rest: &'a [u8],
}

impl<'a> CrlList<'a> {
    /// Reads a CRL in DER.
    ///
    /// # Errors
    /// [`CaError::Caller`] that says what does not parse.
    pub fn parse(der: &'a [u8]) -> Result<Self, CaError> {
        Self::read(der).map_err(unparsed)
    }

    fn read(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut signed = body(der)?;
        let tbs = signed.tlv_bytes()?;
        let _algorithm = AnyRef::decode(&mut signed)?;
        let _signature = BitStringRef::decode(&mut signed)?;
        signed.finish()?;

        let mut tbs = body(tbs)?;
        if Tag::peek(&tbs)? == Tag::Integer {
            u8::decode(&mut tbs)?;
        }
        let _algorithm = AnyRef::decode(&mut tbs)?;
        let issuer = tbs.tlv_bytes()?;
        let this_update = timestamp(&Time::decode(&mut tbs)?)?;
        let next_update = match peek(&tbs) {
            Some(Tag::UtcTime | Tag::GeneralizedTime) => Some(timestamp(&Time::decode(&mut tbs)?)?),
            _ => None,
        };
        let entries = if peek(&tbs) == Some(Tag::Sequence) { AnyRef::decode(&mut tbs)?.value() } else { &[] };
        let mut list =
            Self { issuer, this_update, next_update, entries, number: None, base: None, distribution_point: None };
        if !tbs.is_finished() {
            let explicit = AnyRef::decode(&mut tbs)?;
            if !matches!(explicit.tag(), Tag::ContextSpecific { constructed: true, number: der::TagNumber(0) }) {
                return Err(explicit.tag().unexpected_error(None).into());
            }
            for extension in Vec::<Extension>::from_der(explicit.value())? {
                let value = extension.extn_value.as_bytes();
                match extension.extn_id {
                    oid::CRL_NUMBER => list.number = u64::from_der(value).ok(),
                    oid::DELTA_CRL_INDICATOR => list.base = Some(u64::from_der(value)?),
                    oid::ISSUING_DISTRIBUTION_POINT => list.distribution_point = Some(value.to_vec()),
                    _ => {}
                }
            }
        }
        tbs.finish()?;
        Ok(list)
    }

    /// Its entries, one by one.
    #[must_use]
    pub fn entries(&self) -> CrlEntries<'a> {
        CrlEntries { rest: self.entries }
    }
}

impl<'a> Iterator for CrlEntries<'a> {
    type Item = Result<CrlEntry<'a>, CaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = || -> Result<_, der::Error> {
            let mut all = SliceReader::new(self.rest)?;
            let der = all.tlv_bytes()?;
            let mut entry = body(der)?;
            let number = AnyRef::decode(&mut entry)?;
            number.tag().assert_eq(Tag::Integer)?;
            Ok((CrlEntry { der, serial: SerialNumber::from_bytes(number.value()) }, der.len()))
        };
        match read() {
            Ok((entry, length)) => {
                self.rest = self.rest.get(length..).unwrap_or_default();
                Some(Ok(entry))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(unparsed(error)))
            }
        }
    }
}

/// What is inside a SEQUENCE that is all of `der`.
fn body(der: &[u8]) -> Result<SliceReader<'_>, der::Error> {
    let sequence = AnyRef::from_der(der)?;
    sequence.tag().assert_eq(Tag::Sequence)?;
    SliceReader::new(sequence.value())
}

fn peek<'a>(reader: &impl Reader<'a>) -> Option<Tag> {
    Tag::peek(reader).ok()
}

fn timestamp(time: &Time) -> Result<Timestamp, der::Error> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| der::ErrorKind::DateTime)?;
    Timestamp::from_second(seconds).map_err(|_| der::ErrorKind::DateTime.into())
}

fn unparsed(error: impl std::fmt::Display) -> CaError {
    CaError::Caller(format!("revocation list could not be parsed: {error}"))
}

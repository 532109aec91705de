//! Sealing and opening a stream. Memory: two segments, whatever the file's size.
//!
//! Every segment but the last holds exactly the header's number of bytes; the last holds 1 to that many, and 0 only in an
//! empty file. To know which is the last, one segment is read ahead.

use crate::{
    DataKey, EnvelopeError, Header, Place,
    header::{Binding, check_segment_size},
    keys::{FileKeys, Number, TAG_LENGTH},
};
use std::{
    io::{self, Read, Write},
    mem,
};
use zeroize::Zeroizing;

/// A file about to be sealed.
pub struct Sealing {
    header: Header,
    keys: FileKeys,
}

impl Sealing {
    /// Takes a data key and its wrapped form; the salt is drawn here, so that no two files share a key.
    pub fn new(data_key: &DataKey, wrapped_key: &str, place: Place, segment_size: u32) -> Result<Self, EnvelopeError> {
        check_segment_size(segment_size)?;
        let mut salt = [0; 32];
        aws_lc_rs::rand::fill(&mut salt)?;
        let keys = FileKeys::derive(data_key, &salt)?;
        let binding = Binding { segment_size, salt, commitment: keys.commitment() };
        Ok(Self { header: Header::new(binding, place, wrapped_key)?, keys })
    }

    /// Writes the header and the sealed content; tells the content's length.
    pub fn seal(self, content: impl Read, mut sealed: impl Write) -> Result<u64, EnvelopeError> {
        sealed.write_all(&self.header.to_bytes()).map_err(EnvelopeError::Write)?;
        let binding = self.header.binding.to_bytes();
        let mut segments = Segments::new(content, length(&self.header)?, TAG_LENGTH)?;
        let mut total: u64 = 0;
        while let Some((number, segment)) = segments.advance()? {
            total = total.saturating_add(segment.len() as u64);
            self.keys.seal(number, &binding, segment)?;
            sealed.write_all(segment).map_err(EnvelopeError::Write)?;
        }
        Ok(total)
    }
}

/// A file about to be opened: its header was read, its data key is known to be the right one.
pub struct Opening {
    header: Header,
    keys: FileKeys,
}

impl Opening {
    /// Refuses a data key the header does not commit to.
    pub fn new(header: Header, data_key: &DataKey) -> Result<Self, EnvelopeError> {
        let keys = FileKeys::derive(data_key, &header.binding.salt)?;
        keys.check(&header.binding)?;
        Ok(Self { header, keys })
    }

    /// Opens the segments behind the header; tells the content's length. A segment is written when its own tag has
    /// verified: whoever reads along knows that the content is whole only when this returns.
    pub fn open(self, sealed: impl Read, mut content: impl Write) -> Result<u64, EnvelopeError> {
        let binding = self.header.binding.to_bytes();
        let length = length(&self.header)?.checked_add(TAG_LENGTH).ok_or(EnvelopeError::TooLarge)?;
        let mut segments = Segments::new(sealed, length, 0)?;
        let mut total: u64 = 0;
        while let Some((number, segment)) = segments.advance()? {
            self.keys.open(number, &binding, segment)?;
            if segment.is_empty() && number.index > 0 {
                // Only an empty file ends in an empty segment: one content, one form.
                return Err(EnvelopeError::Damaged(number.index.into()));
            }
            total = total.saturating_add(segment.len() as u64);
            content.write_all(segment).map_err(EnvelopeError::Write)?;
        }
        Ok(total)
    }
}

fn length(header: &Header) -> Result<usize, EnvelopeError> {
    usize::try_from(header.segment_size()).map_err(|_| EnvelopeError::TooLarge)
}

/// A stream cut into segments, one read ahead. Both buffers have their final size from the start, so that no plaintext is
/// left behind by one that grew.
struct Segments<R> {
    reader: R,
    length: usize,
    current: Zeroizing<Vec<u8>>,
    ahead: Zeroizing<Vec<u8>>,
    next_index: Option<u32>,
    ended: bool,
}

impl<R: Read> Segments<R> {
    fn new(reader: R, length: usize, room: usize) -> Result<Self, EnvelopeError> {
        let capacity = length.checked_add(room).ok_or(EnvelopeError::TooLarge)?;
        let buffer = || Zeroizing::new(Vec::with_capacity(capacity));
        let mut segments =
            Self { reader, length, current: buffer(), ahead: buffer(), next_index: Some(0), ended: false };
        segments.read_ahead()?;
        Ok(segments)
    }

    /// The next segment and its number; nothing after the last.
    fn advance(&mut self) -> Result<Option<(Number, &mut Vec<u8>)>, EnvelopeError> {
        if self.ended {
            return Ok(None);
        }
        let index = self.next_index.ok_or(EnvelopeError::TooLarge)?;
        self.next_index = index.checked_add(1);
        mem::swap(&mut self.current, &mut self.ahead);
        // A segment that is not full is the last: asking the reader again could make a terminal wait for more.
        self.ended = self.current.len() < self.length || {
            self.read_ahead()?;
            self.ahead.is_empty()
        };
        Ok(Some((Number { index, last: self.ended }, &mut *self.current)))
    }

    fn read_ahead(&mut self) -> Result<(), EnvelopeError> {
        self.ahead.clear();
        self.ahead.resize(self.length, 0);
        let mut filled = 0;
        while let Some(rest) = self.ahead.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(EnvelopeError::Read(error)),
            }
        }
        self.ahead.truncate(filled);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 1024;

    fn key() -> DataKey {
        DataKey::new(&[0x42; 32]).unwrap()
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        let place = Place::new("transit", "app").unwrap();
        let mut out = Vec::new();
        let sealing = Sealing::new(&key(), "vault:v1:AAAA", place, 1024).unwrap();
        assert_eq!(sealing.seal(content, &mut out).unwrap(), content.len() as u64);
        out
    }

    /// What was released, and how it ended.
    fn opened(mut sealed: &[u8], key: &DataKey) -> (Vec<u8>, Result<u64, EnvelopeError>) {
        let mut out = Vec::new();
        let outcome = Header::read(&mut sealed)
            .and_then(|header| Opening::new(header, key))
            .and_then(|opening| opening.open(sealed, &mut out));
        (out, outcome)
    }

    fn content(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    /// Where the body begins.
    fn body(sealed: &[u8]) -> usize {
        let mut rest = sealed;
        Header::read(&mut rest).unwrap();
        sealed.len() - rest.len()
    }

    #[test]
    fn every_length_around_a_segment_comes_back() {
        for length in [0, 1, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE, 2 * SIZE + 1, 10 * SIZE - 1] {
            let content = content(length);
            let sealed = sealed(&content);
            let segments = length.div_ceil(SIZE).max(1);
            assert_eq!(sealed.len(), body(&sealed) + length + segments * TAG_LENGTH, "{length}");
            let (out, outcome) = opened(&sealed, &key());
            assert_eq!((out, outcome.unwrap()), (content, length as u64));
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_and_only_whole_segments_were_released() {
        let content = content(3 * SIZE);
        let sealed = sealed(&content);
        for length in 0..sealed.len() {
            let (out, outcome) = opened(&sealed[..length], &key());
            assert!(outcome.is_err(), "cut at {length}");
            assert!(content.starts_with(&out) && out.len() % SIZE == 0, "cut at {length}");
        }
    }

    #[test]
    fn moved_doubled_dropped_and_added_segments_are_refused() {
        let sealed = sealed(&content(3 * SIZE));
        let (head, segments) = sealed.split_at(body(&sealed));
        let segments: Vec<&[u8]> = segments.chunks(SIZE + TAG_LENGTH).collect();
        for order in [&[1, 0, 2][..], &[0, 0, 1, 2], &[0, 2], &[1, 2], &[0, 1, 2, 2], &[0, 1, 2, 0], &[2]] {
            let body: Vec<&[u8]> = order.iter().map(|at| segments[*at]).collect();
            let (_, outcome) = opened(&[head, &body.concat()].concat(), &key());
            assert!(matches!(outcome, Err(EnvelopeError::Damaged(_))), "{order:?}");
        }
    }

    #[test]
    fn an_empty_last_segment_is_refused_behind_others() {
        let place = Place::new("transit", "app").unwrap();
        let sealing = Sealing::new(&key(), "vault:v1:AAAA", place, 1024).unwrap();
        let binding = sealing.header.binding.to_bytes();
        let (mut first, mut last) = (content(SIZE), Vec::new());
        sealing.keys.seal(Number { index: 0, last: false }, &binding, &mut first).unwrap();
        sealing.keys.seal(Number { index: 1, last: true }, &binding, &mut last).unwrap();
        let file = [sealing.header.to_bytes(), first, last].concat();
        assert!(matches!(opened(&file, &key()).1, Err(EnvelopeError::Damaged(1))));
    }

    #[test]
    fn any_changed_bit_is_refused_except_in_what_a_rewrap_replaces() {
        let content = content(SIZE + 10);
        let sealed = sealed(&content);
        for at in (0..Binding::LENGTH).chain(body(&sealed)..sealed.len()) {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(opened(&changed, &key()).1.is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_data_key_is_told_from_a_damaged_file() {
        let outcome = opened(&sealed(b"content"), &DataKey::new(&[0x43; 32]).unwrap()).1;
        assert!(matches!(outcome, Err(EnvelopeError::OtherKey)));
    }

    #[test]
    fn a_new_wrapping_leaves_the_body_readable() {
        let sealed = sealed(b"content");
        let mut rest = sealed.as_slice();
        let header = Header::read(&mut rest).unwrap().with_wrapped_key("vault:v2:BBBBBBBB").unwrap();
        let rewrapped = [header.to_bytes(), rest.to_vec()].concat();
        assert_eq!(opened(&rewrapped, &key()).0, b"content");
    }

    #[test]
    fn the_same_content_is_never_sealed_the_same() {
        let (one, other) = (sealed(&content(100)), sealed(&content(100)));
        assert_ne!(one[14..46], other[14..46], "the salt");
        assert_ne!(one[body(&one)..], other[body(&other)..]);
    }

    #[test]
    fn the_counter_does_not_wrap() {
        let mut segments = Segments::new(&b"ab"[..], 1, 0).unwrap();
        segments.next_index = Some(u32::MAX);
        assert!(segments.advance().unwrap().is_some());
        assert!(matches!(segments.advance(), Err(EnvelopeError::TooLarge)));
    }

    /// Readers may give any number of bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    proptest! {
        #[test]
        fn how_a_reader_cuts_its_bytes_does_not_matter(length in 0..5000_usize, drip in 1..3000_usize) {
            let content = content(length);
            let mut sealed = Vec::new();
            let sealing = Sealing::new(&key(), "vault:v1:AAAA", Place::new("t", "k").unwrap(), 1024).unwrap();
            sealing.seal(Dripping(&content, drip), &mut sealed).unwrap();
            let mut rest = sealed.as_slice();
            let header = Header::read(&mut rest).unwrap();
            let mut out = Vec::new();
            Opening::new(header, &key()).unwrap().open(Dripping(rest, drip), &mut out).unwrap();
            prop_assert_eq!(out, content);
        }
    }
}

//! SSH's data types (RFC 4251 §5), written and read.

/// Bytes being written.
#[derive(Debug, Default)]
pub(crate) struct BlobWriter(Vec<u8>);

impl BlobWriter {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Bytes as they are, without a length.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A length and so many bytes. Nothing here is near 4 GiB: what strangers send is bounded by the door.
    pub(crate) fn string(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).raw(bytes)
    }

    /// A number without sign, big-endian; leading zeros are left out, one is put where the top bit would read as a sign.
    pub(crate) fn mpint(&mut self, big_endian: &[u8]) -> &mut Self {
        let significant = strip_zeros(big_endian);
        if significant.first().is_some_and(|byte| byte & 0x80 != 0) {
            self.u32(u32::try_from(significant.len() + 1).unwrap_or(u32::MAX)).byte(0).raw(significant)
        } else {
            self.string(significant)
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The number without leading zeros; zero is empty.
pub(crate) fn strip_zeros(big_endian: &[u8]) -> &[u8] {
    let start = big_endian.iter().position(|byte| *byte != 0).unwrap_or(big_endian.len());
    big_endian.get(start..).unwrap_or_default()
}

/// Bytes being read. `None` where they end too early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlobReader<'a>(&'a [u8]);

impl<'a> BlobReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// A number without sign, in its shortest form.
    pub(crate) fn mpint(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        match bytes {
            [] => Some(bytes),
            [0, next, ..] if next & 0x80 != 0 => bytes.get(1..),
            [first, ..] if *first != 0 && first & 0x80 == 0 => Some(bytes),
            _ => None,
        }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form() {
        let written = |number: &[u8]| {
            let mut writer = BlobWriter::new();
            writer.mpint(number);
            writer.into_bytes()
        };
        assert_eq!(written(&[0, 0]), [0, 0, 0, 0]);
        assert_eq!(written(&[0, 0x7f]), [0, 0, 0, 1, 0x7f]);
        assert_eq!(written(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
        for number in [&[][..], &[0x7f], &[0x80, 0]] {
            assert_eq!(BlobReader::new(&written(number)).mpint(), Some(number));
        }
        for other in [&[0, 0, 0, 1, 0][..], &[0, 0, 0, 2, 0, 0x7f], &[0, 0, 0, 1, 0x80], &[0, 0, 0, 9, 1]] {
            assert_eq!(BlobReader::new(other).mpint(), None, "{other:?}");
        }
    }

    #[test]
    fn what_ends_early_is_not_read() {
        assert_eq!(BlobReader::new(&[0, 0, 0, 5, 1, 2]).string(), None);
        assert_eq!(BlobReader::new(&[0, 0, 0]).u32(), None);
        let mut reader = BlobReader::new(&[0, 0, 0, 1, 7, 8]);
        assert_eq!((reader.string(), reader.byte(), reader.byte()), (Some(&[7][..]), Some(8), None));
    }
}

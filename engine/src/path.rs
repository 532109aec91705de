//! The request path: parsed once at the door, so that the policies and the router see the same bytes.

use std::fmt;

/// The part of the URL path behind `/v1/`, decoded, without empty segments, without a leading or trailing slash.
///
/// Dot segments, encoded slashes, control characters and bytes that are not UTF-8 are refused here, before any policy
/// looks at the path (CVE-2026-3605 is what happens otherwise).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestPath {
    text: String,
    trailing_slash: bool,
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `.` or `..` segment, encoded or not.
    #[error("path cannot contain dot segments")]
    DotSegment,
    /// `%2f`, `%5c` or a backslash.
    #[error("path cannot contain encoded slashes or backslashes")]
    EncodedSlash,
    /// `%00` or another control character.
    #[error("path cannot contain control characters")]
    ControlCharacter,
    /// A `%` that two hex digits do not follow.
    #[error("path contains an invalid percent escape")]
    BadEscape,
    /// Decodes to bytes that are not UTF-8.
    #[error("path is not valid UTF-8")]
    NotUtf8,
    /// Longer than [`RequestPath::MAX_BYTES`].
    #[error("path is too long")]
    TooLong,
}

impl RequestPath {
    /// Longest path accepted, in bytes before decoding.
    pub const MAX_BYTES: usize = 4096;

    /// Parses the percent-encoded path as it stood in the URL, with or without a leading slash.
    ///
    /// # Errors
    /// A [`PathError`] that names what is wrong with it.
    pub fn parse(encoded: &str) -> Result<Self, PathError> {
        if encoded.len() > Self::MAX_BYTES {
            return Err(PathError::TooLong);
        }
        let decoded = decode(encoded)?;
        if decoded.chars().any(char::is_control) {
            return Err(PathError::ControlCharacter);
        }
        let mut text = String::with_capacity(decoded.len());
        for segment in decoded.split('/') {
            match segment {
                "" => continue,
                "." | ".." => return Err(PathError::DotSegment),
                _ => {}
            }
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(segment);
        }
        let trailing_slash = !text.is_empty() && decoded.ends_with('/');
        Ok(Self { text, trailing_slash })
    }

    /// The path without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the client ended it with a slash.
    #[must_use]
    pub fn has_trailing_slash(&self) -> bool {
        self.trailing_slash
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn decode(encoded: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = rest.next().and_then(hex_value).ok_or(PathError::BadEscape)?;
                let low = rest.next().and_then(hex_value).ok_or(PathError::BadEscape)?;
                match high << 4 | low {
                    b'/' | b'\\' => return Err(PathError::EncodedSlash),
                    decoded => bytes.push(decoded),
                }
            }
            b'\\' => return Err(PathError::EncodedSlash),
            plain => bytes.push(plain),
        }
    }
    String::from_utf8(bytes).map_err(|_| PathError::NotUtf8)
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collapses_doubled_and_outer_slashes() {
        let path = RequestPath::parse("/transit//verify/key//sha2-256/").unwrap();
        assert_eq!(path.as_str(), "transit/verify/key/sha2-256");
        assert!(path.has_trailing_slash());
    }

    #[test]
    fn cve_2026_3605_dot_segments_are_refused_in_every_spelling() {
        for hostile in ["a/../b", "a/%2e%2e/b", "a/.%2E/b", "./a", "a/.", "%2e", "a/%2e/"] {
            assert_eq!(RequestPath::parse(hostile), Err(PathError::DotSegment), "{hostile}");
        }
        assert_eq!(RequestPath::parse("a%2fb"), Err(PathError::EncodedSlash));
        assert_eq!(RequestPath::parse("a%5Cb"), Err(PathError::EncodedSlash));
        assert_eq!(RequestPath::parse("a%00"), Err(PathError::ControlCharacter));
        assert_eq!(RequestPath::parse("a%ff"), Err(PathError::NotUtf8));
        assert_eq!(RequestPath::parse("a%2"), Err(PathError::BadEscape));
    }

    #[test]
    fn a_double_encoded_dot_stays_text() {
        assert_eq!(RequestPath::parse("a/%252e%252e/b").unwrap().as_str(), "a/%2e%2e/b");
    }
}

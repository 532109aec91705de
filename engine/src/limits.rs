//! Bounds on JSON, checked in one pass over the bytes before anything is parsed (CVE-2025-6203).
//!
//! The scan allocates nothing and does not judge syntax: a text that is not JSON is left for the parser to refuse.

use memchr::memchr2;

/// How large a JSON text may be in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays and objects.
    pub max_depth: usize,
    /// Most strings, keys among them.
    pub max_strings: usize,
    /// Most values of any kind and keys, counted together.
    pub max_total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 32, max_strings: 10_000, max_total: 50_000 }
    }
}

/// Which bound a text breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// See [`Limits::max_depth`].
    #[error("JSON body exceeds the maximum nesting depth of {0}")]
    TooDeep(usize),
    /// See [`Limits::max_strings`].
    #[error("JSON body exceeds the maximum of {0} strings")]
    TooManyStrings(usize),
    /// See [`Limits::max_total`].
    #[error("JSON body exceeds the maximum of {0} values")]
    TooManyValues(usize),
}

/// Checks `json` against `limits`.
///
/// # Errors
/// The first bound that is broken.
pub fn check_json_limits(json: &[u8], limits: &Limits) -> Result<(), LimitError> {
    let (mut depth, mut strings, mut total) = (0_usize, 0_usize, 0_usize);
    let mut in_scalar = false;
    let mut rest = json;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let was_in_scalar = std::mem::replace(&mut in_scalar, false);
        match byte {
            b'"' => {
                strings += 1;
                total += 1;
                rest = behind_string(behind);
                if strings > limits.max_strings {
                    return Err(LimitError::TooManyStrings(limits.max_strings));
                }
            }
            b'{' | b'[' => {
                depth += 1;
                total += 1;
                if depth > limits.max_depth {
                    return Err(LimitError::TooDeep(limits.max_depth));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {}
            _ => {
                in_scalar = true;
                if !was_in_scalar {
                    total += 1;
                }
            }
        }
        if total > limits.max_total {
            return Err(LimitError::TooManyValues(limits.max_total));
        }
    }
    Ok(())
}

/// What follows the closing quote of the string that `text` begins in.
fn behind_string(text: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return text.get(at + 1..).unwrap_or_default();
        }
        at += 2;
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { max_depth: 3, max_strings: 4, max_total: 8 };

    #[test]
    fn ordinary_bodies_pass() {
        for json in ["", "{}", r#"{"a":[1,2],"b":"\"}}}}"}"#, "not json"] {
            assert_eq!(check_json_limits(json.as_bytes(), &SMALL), Ok(()), "{json}");
        }
    }

    #[test]
    fn cve_2025_6203_each_bound_is_enforced() {
        assert_eq!(check_json_limits(b"[[[[", &SMALL), Err(LimitError::TooDeep(3)));
        assert_eq!(check_json_limits(br#"["","","","",""]"#, &SMALL), Err(LimitError::TooManyStrings(4)));
        assert_eq!(check_json_limits(b"[1,2,3,4,5,6,7,8]", &SMALL), Err(LimitError::TooManyValues(8)));
        assert_eq!(check_json_limits(b"[1,2,3,4,5,6,77]", &SMALL), Ok(()));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert_eq!(check_json_limits(br#"["[[[[[[\\", "\"[[[["]"#, &SMALL), Ok(()));
    }

    #[test]
    fn a_wide_body_of_the_default_size_is_refused() {
        let json = format!("[{}]", vec!["\"x\""; 10_001].join(","));
        assert_eq!(check_json_limits(json.as_bytes(), &Limits::default()), Err(LimitError::TooManyStrings(10_000)));
    }
}

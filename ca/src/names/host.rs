//! The shape of hostnames.

/// A name that cannot be written in DNS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("idna: invalid label {0:?}")]
pub struct InvalidLabel(pub String);

/// The name as DNS has it: labels outside ASCII become A-labels (RFC 5891), lengths are checked.
///
/// # Errors
/// [`InvalidLabel`] names the label that is too long, empty or not convertible.
pub fn to_ascii(name: &str) -> Result<String, InvalidLabel> {
    let ascii = if name.is_ascii() {
        name.to_owned()
    } else {
        idna::domain_to_ascii(name).map_err(|_| InvalidLabel(name.to_owned()))?
    };
    for label in ascii.split('.') {
        match label.len() {
            0 => return Err(InvalidLabel(name.to_owned())),
            1..=63 => {}
            _ => return Err(InvalidLabel(label.to_owned())),
        }
    }
    if ascii.len() > 253 { Err(InvalidLabel(ascii)) } else { Ok(ascii) }
}

/// Labels of letters, digits and inner hyphens joined by dots, the first of which may be `*`.
#[must_use]
pub fn is_hostname(ascii: &str) -> bool {
    let rest = ascii.strip_prefix("*.").unwrap_or(ascii);
    !rest.is_empty() && rest.split('.').all(is_label)
}

/// `*`, `*a`, `a*` or `a*b`, where `a` and `b` are labels.
#[must_use]
pub fn is_wildcard_label(label: &str) -> bool {
    let Some((before, after)) = label.split_once('*') else { return false };
    (before.is_empty() || is_label(before)) && (after.is_empty() || is_label(after))
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_ascii_become_a_labels() {
        assert_eq!(to_ascii("bücher.example.com").unwrap(), "xn--bcher-kva.example.com");
    }

    #[test]
    fn lengths_are_those_of_dns() {
        assert!(to_ascii(&"x".repeat(63)).is_ok());
        assert_eq!(to_ascii(&"x".repeat(64)).unwrap_err(), InvalidLabel("x".repeat(64)));
        assert!(to_ascii("a..b").is_err());
        assert!(to_ascii("a.example.com.").is_err());
        assert!(to_ascii(&["abcdefg"; 40].join(".")).is_err());
    }

    #[test]
    fn hostnames_have_letters_digits_and_inner_hyphens() {
        for good in ["a", "a.b", "*.a.b", "a-b.c", "1.2", "xn--bcher-kva.de"] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", "*", "*.", "-a", "a-", "a_b", "a b", "a.*.b", "*a.b", "a..b", "a\0b"] {
            assert!(!is_hostname(bad), "{bad:?}");
        }
    }

    #[test]
    fn wildcard_labels_have_one_star() {
        for good in ["*", "a*", "*a", "a*b"] {
            assert!(is_wildcard_label(good), "{good}");
        }
        for bad in ["a", "**", "-*", "*-", "a*b*"] {
            assert!(!is_wildcard_label(bad), "{bad}");
        }
    }
}

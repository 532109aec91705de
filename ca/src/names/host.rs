//! The shape of hostnames.

/// A name that cannot be written in DNS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("idna: invalid label {0:?}")]
pub struct InvalidLabel(pub String);

/// The name as DNS has it: labels outside ASCII become A-labels (RFC 5891), lengths are checked.
///
/// What was asked for is what is certified: a name that only a mapping makes a hostname (full stops of other scripts, zero
/// width spaces, wide letters) is refused, and so is an A-label that no Unicode label has.
///
/// # Errors
/// [`InvalidLabel`] names the label that is too long, empty or not convertible.
pub fn to_ascii(name: &str) -> Result<String, InvalidLabel> {
    let ascii = if name.is_ascii() { name.to_owned() } else { from_unicode(name)? };
    for label in ascii.split('.') {
        match label.len() {
            0 => return Err(InvalidLabel(name.to_owned())),
            1..=63 => {}
            _ => return Err(InvalidLabel(label.to_owned())),
        }
        let is_a_label = label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"));
        if is_a_label && idna::domain_to_unicode(label).1.is_err() {
            return Err(InvalidLabel(label.to_owned()));
        }
    }
    if ascii.len() > 253 { Err(InvalidLabel(ascii)) } else { Ok(ascii) }
}

fn from_unicode(name: &str) -> Result<String, InvalidLabel> {
    let refused = || InvalidLabel(name.to_owned());
    let ascii = idna::domain_to_ascii(name).map_err(|_| refused())?;
    let (back, outcome) = idna::domain_to_unicode(&ascii);
    let lower = name.to_lowercase();
    let same_count = lower.split('.').count() == ascii.split('.').count();
    let mut labels = lower.split('.').zip(ascii.split('.')).zip(back.split('.'));
    // Each label reads back as itself, or was an A-label before.
    let same = labels.all(|((label, ascii), back)| label == back || (label.is_ascii() && label == ascii));
    if outcome.is_ok() && same_count && same { Ok(ascii) } else { Err(refused()) }
}

/// Whether a resolver would take the name for an address: its last label is a number (`10.0.0.1`, `256.1`, `0x7f.1`).
/// A lone number is a name; devices are called by theirs.
#[must_use]
pub fn is_like_an_address(name: &str) -> bool {
    let Some((_, last)) = name.rsplit_once('.') else { return false };
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
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
    fn a_name_is_not_mapped_into_another() {
        for bad in
            ["exam\u{200b}ple.com", "a\u{3002}example.com", "\u{ff45}xample.com", "\u{202e}example.com", "a\u{ad}b.com"]
        {
            assert_eq!(to_ascii(bad).unwrap_err(), InvalidLabel(bad.to_owned()), "{bad:?}");
        }
        assert_eq!(to_ascii("xn--bcher-kva.ex\u{430}mple.com").unwrap(), "xn--bcher-kva.xn--exmple-4nf.com");
        // A homograph is a name of its own.
        assert_eq!(to_ascii("ex\u{430}mple.com").unwrap(), "xn--exmple-4nf.com");
        assert_eq!(to_ascii("BÜCHER.example.com").unwrap(), "xn--bcher-kva.example.com");
    }

    #[test]
    fn a_labels_have_a_unicode_label() {
        for good in ["xn--bcher-kva.de", "XN--BCHER-KVA.de", "a.xn--exmple-4nf.com"] {
            assert_eq!(to_ascii(good).unwrap(), good);
        }
        for bad in ["xn--zzzzzz.com", "xn--a.com", "xn--.com", "XN--zzzzzz.com", "xn--\u{fc}.com", "xn--bcher-kva-.com"]
        {
            assert!(to_ascii(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_end_in_a_number_are_like_addresses() {
        for address in ["10.0.0.1", "256.1", "0x7f.1", "a.0x7F", "1.2.3.4.5"] {
            assert!(is_like_an_address(address), "{address}");
        }
        for name in ["1001", "10.0.0.1.example.com", "a.b", "a.0xz", "a."] {
            assert!(!is_like_an_address(name), "{name}");
        }
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

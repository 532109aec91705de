//! Identifiers nobody can guess.

use chancery_engine::{Fault, SecretString};
use zeroize::Zeroizing;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` characters of the 62 letters and digits, 5.95 bits each.
pub(crate) fn text(length: usize) -> Result<SecretString, Fault> {
    let mut text = String::with_capacity(length);
    let mut pool = Zeroizing::new([0_u8; 64]);
    while text.len() < length {
        fill(&mut pool[..])?;
        // Bytes at or above 248 are thrown away, so that every character is equally likely.
        let usable = pool.iter().filter(|byte| **byte < 248);
        let characters = usable.filter_map(|byte| ALPHABET.get(usize::from(*byte % 62)));
        text.extend(characters.take(length - text.len()).map(|byte| char::from(*byte)));
    }
    Ok(SecretString::new(text))
}

/// Fills `bytes` from the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Fault> {
    getrandom::fill(bytes).map_err(|error| Fault::Dependency(format!("getrandom: {error}")))
}

/// 32 random bytes.
pub(crate) fn key() -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(vec![0; 32]);
    fill(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID.
pub(crate) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_length_and_differ() {
        let (one, other) = (text(28).unwrap(), text(28).unwrap());
        assert_eq!(one.expose().len(), 28);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, other);
    }
}

//! The envelope of ciphertexts, signatures and HMACs: `vault:vN:` and a payload.

use crate::error::TransitError;

const PREFIX: &str = "vault:v";

/// What an envelope is called in error texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ciphertext,
    Signature,
    Hmac,
    Cmac,
}

/// An envelope taken apart; the payload is not decoded yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    /// Version number as written, `v0` already read as 1 where that is the rule.
    pub(crate) version: i64,
    pub(crate) payload: &'a str,
}

impl Kind {
    fn invalid(self, what: &'static str) -> TransitError {
        let thing = match self {
            Self::Ciphertext => "invalid ciphertext",
            Self::Signature => "invalid signature",
            Self::Hmac if what == "no prefix" => "invalid HMAC to verify",
            Self::Hmac => "invalid HMAC",
            Self::Cmac => "invalid CMAC",
        };
        TransitError::InvalidEnvelope { thing, what }
    }

    /// Takes `text` apart.
    pub(crate) fn parse(self, text: &str) -> Result<Envelope<'_>, TransitError> {
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| self.invalid("no prefix"))?;
        let (number, payload) = rest.split_once(':').ok_or_else(|| self.invalid("wrong number of fields"))?;
        let version = number.parse::<i64>().map_err(|_| self.invalid("version number could not be decoded"))?;
        // Version 0 was written by Vault before 0.3, when there were no signatures, and means the first version.
        let version = if version == 0 && self == Self::Ciphertext { 1 } else { version };
        Ok(Envelope { version, payload })
    }

    /// The version is one the key does not have yet.
    pub(crate) fn too_new(self) -> TransitError {
        self.invalid("version is too new")
    }
}

/// Writes `vault:vN:` behind what `out` holds.
pub(crate) fn write_prefix(version: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(PREFIX.as_bytes());
    write_number(version, out);
    out.push(b':');
}

/// Writes a decimal number behind what `out` holds.
pub(crate) fn write_number(number: u32, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 10];
    let mut rest = number;
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.into_iter().skip(10 - length));
}

/// `vault:vN:` and `payload`.
pub(crate) fn join(version: u32, payload: &str) -> String {
    format!("{PREFIX}{version}:{payload}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_plainly() {
        for number in [0, 1, 9, 10, 4_294_967_295] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn version_zero_is_read_as_one_except_in_hmacs() {
        assert_eq!(Kind::Ciphertext.parse("vault:v0:x").unwrap().version, 1);
        assert_eq!(Kind::Signature.parse("vault:v+2:x").unwrap().version, 2);
        assert_eq!(Kind::Signature.parse("vault:v0:x").unwrap().version, 0);
        assert_eq!(Kind::Hmac.parse("vault:v0:x").unwrap().version, 0);
    }

    #[test]
    fn refusals_say_what_the_reference_says() {
        let text = |kind: Kind, input: &str| kind.parse(input).unwrap_err().to_string();
        assert_eq!(text(Kind::Ciphertext, "VAULT:v1:x"), "invalid ciphertext: no prefix");
        assert_eq!(text(Kind::Ciphertext, "vault:vx:x"), "invalid ciphertext: version number could not be decoded");
        assert_eq!(
            text(Kind::Signature, "vault:v99999999999999999999:x"),
            "invalid signature: version number could not be decoded"
        );
        assert_eq!(text(Kind::Signature, "vault:v2"), "invalid signature: wrong number of fields");
        assert_eq!(text(Kind::Hmac, "x"), "invalid HMAC to verify: no prefix");
    }
}

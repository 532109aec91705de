//! `policy_identifiers`: a dotted OID, or a JSON object with a qualifier.

use crate::{error::CaError, oid::parse_oid};
use const_oid::ObjectIdentifier;
use serde::Deserialize;

/// One certificate policy (RFC 5280 §4.2.1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyIdentifier {
    /// The policy.
    pub oid: ObjectIdentifier,
    /// Text of a user notice; empty where there is none.
    pub notice: String,
    /// URI of the certification practice statement; empty where there is none.
    pub cps: String,
}

#[derive(Deserialize)]
struct Qualified {
    #[serde(default)]
    oid: String,
    #[serde(default)]
    notice: String,
    #[serde(default)]
    cps: String,
}

impl PolicyIdentifier {
    /// Reads one entry of `policy_identifiers`.
    ///
    /// # Errors
    /// A text that quotes the entry.
    pub fn parse(text: &str) -> Result<Self, CaError> {
        if let Some(oid) = parse_oid(text) {
            return Ok(Self { oid, notice: String::new(), cps: String::new() });
        }
        let refused = || {
            CaError::Caller(format!("policy identifier {text:?} is neither a valid OID nor a JSON policy identifier"))
        };
        let qualified: Qualified = serde_json::from_str(text).map_err(|_| refused())?;
        let oid = parse_oid(&qualified.oid).ok_or_else(refused)?;
        Ok(Self { oid, notice: qualified.notice, cps: qualified.cps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_qualified_policies() {
        assert_eq!(PolicyIdentifier::parse("1.3.6.1.4.1.7.8").unwrap().oid.to_string(), "1.3.6.1.4.1.7.8");
        let qualified = PolicyIdentifier::parse(r#"{"oid":"1.2.3","notice":"hi","cps":"http://x"}"#).unwrap();
        assert_eq!((qualified.notice.as_str(), qualified.cps.as_str()), ("hi", "http://x"));
        assert!(PolicyIdentifier::parse("zork").is_err());
        assert!(PolicyIdentifier::parse(r#"{"oid":"zork"}"#).is_err());
    }
}

//! The value of CAA `issue` and `issuewild` properties (RFC 8659 §4.2), which dns-persist-01 records share.
//!
//! ```text
//! issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
//! parameters = (parameter *WSP ";" *WSP parameters) / parameter
//! parameter = parameter-tag *WSP "=" *WSP parameter-value
//! parameter-tag = (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT))
//! parameter-value = *(%x21-3A / %x3C-7E)
//! ```

/// An issuer and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueValue {
    /// In lower case; `None` names nobody.
    pub issuer: Option<String>,
    /// Tag in lower case (RFC 8657 §3 and §4 name theirs so, and the draft compares without case), and value.
    pub parameters: Vec<(String, String)>,
}

/// Longest value that is looked at: a TXT record of ten strings.
const LONGEST: usize = 2560;

impl IssueValue {
    /// Reads a value.
    ///
    /// # Errors
    /// What breaks the grammar.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > LONGEST {
            return Err("is too long");
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).ok_or("is not ASCII")?;
        let (issuer, parameters) = match text.split_once(';') {
            Some((issuer, parameters)) => (issuer, Some(parameters)),
            None => (text, None),
        };
        let issuer = trim(issuer);
        if !issuer.is_empty() && !issuer.split('.').all(is_tag) {
            return Err("does not begin with a domain name");
        }
        let parameters = parameters.map(trim).filter(|parameters| !parameters.is_empty());
        let parameters = parameters.map(|parameters| parameters.split(';').map(parameter).collect());
        Ok(Self {
            issuer: (!issuer.is_empty()).then(|| issuer.to_ascii_lowercase()),
            parameters: parameters.unwrap_or_else(|| Ok(Vec::new()))?,
        })
    }

    /// The parameter's value; `None` where it is absent.
    ///
    /// # Errors
    /// It stands there twice.
    pub fn parameter(&self, tag: &str) -> Result<Option<&str>, &'static str> {
        let mut values = self.parameters.iter().filter(|(known, _)| known == tag).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err("has the same parameter twice"),
            (value, None) => Ok(value),
        }
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn parameter(text: &str) -> Result<(String, String), &'static str> {
    let (tag, value) = text.split_once('=').ok_or("has a parameter without a value")?;
    let (tag, value) = (trim(tag), trim(value));
    if !is_tag(tag) {
        return Err("has a parameter whose name is not letters, digits and hyphens");
    }
    if !value.bytes().all(|byte| matches!(byte, 0x21..=0x3a | 0x3c..=0x7e)) {
        return Err("has a parameter whose value has a space or a control character");
    }
    Ok((tag.to_ascii_lowercase(), value.to_owned()))
}

/// `(ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT))`, which labels are too.
fn is_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> IssueValue {
        IssueValue::parse(text.as_bytes()).unwrap_or_else(|reason| panic!("{text:?} {reason}"))
    }

    #[test]
    fn values_of_rfc_8659_are_read() {
        assert_eq!(read("ca1.example.net"), IssueValue { issuer: Some("ca1.example.net".into()), parameters: vec![] });
        for nobody in ["", ";", " ; ", "\t"] {
            assert_eq!(read(nobody), IssueValue { issuer: None, parameters: vec![] }, "{nobody:?}");
        }
        let account = read(" CA1.example.net ;\taccount = 230123 ; a-b=");
        assert_eq!(account.issuer.as_deref(), Some("ca1.example.net"));
        assert_eq!(account.parameter("account"), Ok(Some("230123")));
        assert_eq!(account.parameter("a-b"), Ok(Some("")));
        assert_eq!(account.parameter("policy"), Ok(None));
        // RFC 8657 §5.1
        let uri = read("example.net; accounturi=https://example.net/account/1234?a=b");
        assert_eq!(uri.parameter("accounturi"), Ok(Some("https://example.net/account/1234?a=b")));
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for bad in [
            "%%%%%",
            "-a.example",
            "a..example",
            "a.example b",
            "a.example;b",
            "a.example; b=c d",
            "a.example;;b=c",
            "a.example; b=c;",
            "a.example; =c",
            "a.example; b_c=d",
            "a.example; -b=c",
            "a.example.",
            "a=b",
            "a.example; b=\u{7f}",
            "a.example; b=c\u{e9}",
        ] {
            assert!(IssueValue::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(IssueValue::parse(b"a\xff").is_err());
        assert!(IssueValue::parse(&[b'a'; LONGEST + 1]).is_err());
        assert!(read("a; b=c; B=d").parameter("b").is_err());
    }
}

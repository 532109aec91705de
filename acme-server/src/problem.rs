//! What clients are told when something is wrong: problem documents (RFC 7807) of the types in the IANA registry "ACME
//! Error Types".

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// Namespace of the types.
const NAMESPACE: &str = "urn:ietf:params:acme:error:";

/// `Content-Type` of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A type of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the registry's type of the same name; the registry explains them")]
pub enum ProblemType {
    AccountDoesNotExist,
    AlreadyReplaced,
    AlreadyRevoked,
    AutoRenewalCanceled,
    AutoRenewalExpired,
    AutoRenewalCancellationInvalid,
    AutoRenewalRevocationNotSupported,
    BadAttestationStatement,
    #[serde(rename = "badCSR")]
    BadCsr,
    BadNonce,
    BadPublicKey,
    BadRevocationReason,
    BadSignatureAlgorithm,
    Caa,
    Compound,
    Connection,
    Dns,
    ExternalAccountRequired,
    IncorrectResponse,
    InvalidContact,
    InvalidProfile,
    Malformed,
    #[serde(rename = "onionCAARequired")]
    OnionCaaRequired,
    OrderNotReady,
    RateLimited,
    RejectedIdentifier,
    ServerInternal,
    Tls,
    Unauthorized,
    UnknownDelegation,
    UnsupportedContact,
    UnsupportedIdentifier,
    UserActionRequired,
}

/// One thing that is wrong, or several under one head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which.
    pub kind: ProblemType,
    /// For humans: what is wrong, and with what.
    pub detail: String,
    /// HTTP status.
    pub status: u16,
    /// The identifier it is about: type and value (RFC 8555 §6.7.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Box<(String, String)>>,
    /// The parts, each with its identifier (RFC 8555 §6.7.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<Problem>,
    /// Members of its own, such as `algorithms` of `badSignatureAlgorithm` (RFC 8555 §6.2).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub members: Map<String, Value>,
    /// `Location`: of the account that has the key (RFC 8555 §7.3.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// `Retry-After`, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

impl ProblemType {
    /// Every type.
    pub const ALL: [Self; 33] = [
        Self::AccountDoesNotExist,
        Self::AlreadyReplaced,
        Self::AlreadyRevoked,
        Self::AutoRenewalCanceled,
        Self::AutoRenewalExpired,
        Self::AutoRenewalCancellationInvalid,
        Self::AutoRenewalRevocationNotSupported,
        Self::BadAttestationStatement,
        Self::BadCsr,
        Self::BadNonce,
        Self::BadPublicKey,
        Self::BadRevocationReason,
        Self::BadSignatureAlgorithm,
        Self::Caa,
        Self::Compound,
        Self::Connection,
        Self::Dns,
        Self::ExternalAccountRequired,
        Self::IncorrectResponse,
        Self::InvalidContact,
        Self::InvalidProfile,
        Self::Malformed,
        Self::OnionCaaRequired,
        Self::OrderNotReady,
        Self::RateLimited,
        Self::RejectedIdentifier,
        Self::ServerInternal,
        Self::Tls,
        Self::Unauthorized,
        Self::UnknownDelegation,
        Self::UnsupportedContact,
        Self::UnsupportedIdentifier,
        Self::UserActionRequired,
    ];

    /// Name in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccountDoesNotExist => "accountDoesNotExist",
            Self::AlreadyReplaced => "alreadyReplaced",
            Self::AlreadyRevoked => "alreadyRevoked",
            Self::AutoRenewalCanceled => "autoRenewalCanceled",
            Self::AutoRenewalExpired => "autoRenewalExpired",
            Self::AutoRenewalCancellationInvalid => "autoRenewalCancellationInvalid",
            Self::AutoRenewalRevocationNotSupported => "autoRenewalRevocationNotSupported",
            Self::BadAttestationStatement => "badAttestationStatement",
            Self::BadCsr => "badCSR",
            Self::BadNonce => "badNonce",
            Self::BadPublicKey => "badPublicKey",
            Self::BadRevocationReason => "badRevocationReason",
            Self::BadSignatureAlgorithm => "badSignatureAlgorithm",
            Self::Caa => "caa",
            Self::Compound => "compound",
            Self::Connection => "connection",
            Self::Dns => "dns",
            Self::ExternalAccountRequired => "externalAccountRequired",
            Self::IncorrectResponse => "incorrectResponse",
            Self::InvalidContact => "invalidContact",
            Self::InvalidProfile => "invalidProfile",
            Self::Malformed => "malformed",
            Self::OnionCaaRequired => "onionCAARequired",
            Self::OrderNotReady => "orderNotReady",
            Self::RateLimited => "rateLimited",
            Self::RejectedIdentifier => "rejectedIdentifier",
            Self::ServerInternal => "serverInternal",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::UnknownDelegation => "unknownDelegation",
            Self::UnsupportedContact => "unsupportedContact",
            Self::UnsupportedIdentifier => "unsupportedIdentifier",
            Self::UserActionRequired => "userActionRequired",
        }
    }

    /// HTTP status it goes out with. RFC 8555 says it for few; the rest are those of Boulder and Pebble, which clients
    /// were written against.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            // §7.4: 403 to a finalize of an order that is not ready.
            Self::OrderNotReady
            | Self::Caa
            | Self::ExternalAccountRequired
            | Self::Unauthorized
            | Self::UserActionRequired
            | Self::AutoRenewalCanceled
            | Self::AutoRenewalExpired
            | Self::AutoRenewalRevocationNotSupported
            | Self::OnionCaaRequired
            | Self::IncorrectResponse => 403,
            // RFC 9773 §5
            Self::AlreadyReplaced => 409,
            Self::RateLimited => 429,
            Self::ServerInternal => 500,
            Self::AccountDoesNotExist
            | Self::AlreadyRevoked
            | Self::AutoRenewalCancellationInvalid
            | Self::BadAttestationStatement
            | Self::BadCsr
            | Self::BadNonce
            | Self::BadPublicKey
            | Self::BadRevocationReason
            | Self::BadSignatureAlgorithm
            | Self::Compound
            | Self::Connection
            | Self::Dns
            | Self::InvalidContact
            | Self::InvalidProfile
            | Self::Malformed
            | Self::RejectedIdentifier
            | Self::Tls
            | Self::UnknownDelegation
            | Self::UnsupportedContact
            | Self::UnsupportedIdentifier => 400,
        }
    }

    /// A problem of this type.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Problem {
        Problem::new(self, detail)
    }
}

impl Problem {
    /// A problem with the usual status of its type.
    #[must_use]
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            status: kind.status(),
            identifier: None,
            subproblems: Vec::new(),
            members: Map::new(),
            location: None,
            retry_after: None,
        }
    }

    /// `malformed`
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::Malformed, detail)
    }

    /// Nothing is wrong with the request; it is to be sent again (RFC 8555 §6.6 keeps 429 for limits, and clients take 4xx for
    /// final).
    #[must_use]
    pub fn busy() -> Self {
        let problem = Self::new(ProblemType::ServerInternal, "the server is busy; try again").with_status(503);
        Self { retry_after: Some(2), ..problem }
    }

    /// Something of ours failed. What it was goes to the log, not to the client.
    #[must_use]
    pub fn internal(failure: &dyn fmt::Display) -> Self {
        tracing::error!(%failure, "an ACME request failed");
        Self::new(ProblemType::ServerInternal, "the server failed; its log says why")
    }

    /// The limit is reached (RFC 8555 §6.6).
    #[must_use]
    pub fn rate_limited(detail: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..Self::new(ProblemType::RateLimited, detail) }
    }

    /// What does not exist for this caller: unknown things and those of others look alike.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(ProblemType::Malformed, format!("there is no such {what}")).with_status(404)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same about an identifier: its type and value.
    #[must_use]
    pub fn about(self, kind: &str, value: &str) -> Self {
        Self { identifier: Some(Box::new((kind.to_owned(), value.to_owned()))), ..self }
    }

    /// The same with a member of its own.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Several problems under one head: of their own type if they share it, else `compound` (RFC 8555 §6.7.1).
    #[must_use]
    pub fn of_parts(detail: impl Into<String>, mut parts: Vec<Self>) -> Self {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return only;
        }
        let first = parts.first().map(|part| part.kind);
        let same = first.filter(|kind| parts.iter().all(|part| part.kind == *kind));
        Self { subproblems: parts, ..Self::new(same.unwrap_or(ProblemType::Compound), detail) }
    }

    /// The document. Whom it is about stands in a part of it, since RFC 8555 §6.7.1 forbids "identifier" at the top level.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut document = self.head();
        document.insert("status".to_owned(), self.status.into());
        let own = self.identifier.as_ref().filter(|_| self.subproblems.is_empty()).map(|_| self);
        let parts: Vec<Value> = own.into_iter().chain(&self.subproblems).map(Self::part).collect();
        if !parts.is_empty() {
            document.insert("subproblems".to_owned(), parts.into());
        }
        Value::Object(document)
    }

    /// RFC 8555 §6.7.1 shows parts without a status of their own.
    fn part(&self) -> Value {
        let mut document = self.head();
        if let Some((kind, value)) = self.identifier.as_deref() {
            document.insert("identifier".to_owned(), json!({ "type": kind, "value": value }));
        }
        Value::Object(document)
    }

    fn head(&self) -> Map<String, Value> {
        let mut document = self.members.clone();
        document.insert("type".to_owned(), format!("{NAMESPACE}{}", self.kind.name()).into());
        document.insert("detail".to_owned(), self.detail.as_str().into());
        document
    }

    /// The document's text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_stored_under_its_registered_name() {
        for kind in ProblemType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert!((400..=500).contains(&kind.status()), "{kind:?}");
        }
    }

    #[test]
    fn problems_are_written_as_rfc_8555_shows_them() {
        let part = |value: &str| {
            Problem::new(ProblemType::RejectedIdentifier, format!("{value} is not allowed")).about("dns", value)
        };
        let problem = Problem::of_parts("some identifiers are refused", vec![part("a.example"), part("b.example")]);
        assert_eq!(
            problem.to_value(),
            json!({
                "type": "urn:ietf:params:acme:error:rejectedIdentifier",
                "detail": "some identifiers are refused",
                "status": 400,
                "subproblems": [
                    {
                        "type": "urn:ietf:params:acme:error:rejectedIdentifier",
                        "detail": "a.example is not allowed",
                        "identifier": {"type": "dns", "value": "a.example"}
                    },
                    {
                        "type": "urn:ietf:params:acme:error:rejectedIdentifier",
                        "detail": "b.example is not allowed",
                        "identifier": {"type": "dns", "value": "b.example"}
                    }
                ]
            })
        );
        assert_eq!(Problem::of_parts("x", vec![part("a.example")]), part("a.example"));
        let alone = part("a.example").to_value();
        assert_eq!((alone.get("identifier"), &alone["status"]), (None, &json!(400)));
        assert_eq!(alone["subproblems"], json!([problem.subproblems[0].part()]));
        let mixed = vec![part("a.example"), Problem::malformed("no")];
        assert_eq!(Problem::of_parts("x", mixed).kind, ProblemType::Compound);
    }

    #[test]
    fn problems_survive_storage() {
        let problem = ProblemType::BadSignatureAlgorithm.because("no").with_member("algorithms", vec!["ES256"]);
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
}

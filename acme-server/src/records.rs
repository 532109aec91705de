//! What is stored of accounts, orders and authorizations.

use crate::{
    challenge::{ChallengeType, new_token},
    identifier::{DnsName, Identifier, Named},
    jwk::Jwk,
    problem::{Problem, ProblemType},
    star::AutoRenewal,
    state::{AccountStatus, AuthorizationEvent, AuthorizationStatus, ChallengeStatus, OrderEvent, OrderStatus},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Last segment of its URL.
    pub id: String,
    /// Its key.
    pub key: Jwk,
    /// Directory it was made in, such as `roles/web/`; empty for the mount's own.
    pub scope: String,
    /// Whether it may do anything.
    pub status: AccountStatus,
    /// Contact URLs.
    #[serde(default)]
    pub contact: Vec<String>,
    /// Whether the terms of service were agreed to.
    #[serde(default)]
    pub terms_agreed: bool,
    /// Id of the external account key it is bound to.
    #[serde(default)]
    pub binding: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it ever got a certificate.
    #[serde(default)]
    pub has_certificates: bool,
    /// Whether it ever showed control of everything below a name (RFC 9444): only then such proofs are looked for.
    #[serde(default)]
    pub proved_below: bool,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Last segment of its URL.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// Directory it was made in.
    pub scope: String,
    /// How far it is.
    pub status: OrderStatus,
    /// What is to be certified.
    pub names: Vec<Named>,
    /// Its authorizations.
    pub authorizations: Vec<String>,
    /// What was asked of notBefore.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// What was asked of notAfter.
    #[serde(default)]
    pub not_after: Option<Timestamp>,
    /// The profile that was asked for.
    #[serde(default)]
    pub profile: Option<String>,
    /// Id (RFC 9773 §4.1) of the certificate this one replaces.
    #[serde(default)]
    pub replaces: Option<String>,
    /// What was asked of automatic renewal (RFC 8739), and how far it is.
    #[serde(default)]
    pub auto_renewal: Option<AutoRenewal>,
    /// When it ends unless it is finalized.
    pub expires: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// Why there is no certificate.
    #[serde(default)]
    pub error: Option<Problem>,
    /// The request that is being signed, or signed again and again, in base64url as it came.
    #[serde(default)]
    pub csr: Option<String>,
    /// Serial number of the certificate, intended or issued.
    #[serde(default)]
    pub serial: Option<String>,
    /// Id of the issuer that signs.
    #[serde(default)]
    pub issuer: Option<String>,
    /// End of the certificate.
    #[serde(default)]
    pub certificate_ends: Option<Timestamp>,
    /// The certificate in DER, where this process has just made it; what is stored of it is in the inventory.
    #[serde(skip)]
    pub der: Option<Vec<u8>>,
}

/// An authorization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    /// Last segment of its URL.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// For what. With a wildcard: for the names one label below.
    pub named: Named,
    /// Whether it holds for everything below the name (RFC 9444).
    #[serde(default)]
    pub subdomains: bool,
    /// How far it is.
    pub status: AuthorizationStatus,
    /// When it ends.
    pub expires: Timestamp,
    /// The ways to show control.
    pub challenges: Vec<Challenge>,
    /// Orders that wait for it.
    #[serde(default)]
    pub orders: Vec<String>,
}

/// One way to show control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// Which.
    pub kind: ChallengeType,
    /// Its token.
    pub token: String,
    /// How far it is.
    pub status: ChallengeStatus,
    /// When control was shown.
    #[serde(default)]
    pub validated: Option<Timestamp>,
    /// Why it was not.
    #[serde(default)]
    pub error: Option<Problem>,
}

impl Order {
    /// The order as it is now: one whose time is over is invalid, whatever is stored.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if self.expires <= now
            && let Some(status) = self.status.after(OrderEvent::TimedOut)
        {
            self.status = status;
            self.error = Some(Problem::malformed("the order was not finalized in time"));
        }
        self
    }

    /// Lets something happen to it.
    ///
    /// # Errors
    /// `orderNotReady` where that cannot happen in its state.
    pub fn happen(&mut self, event: OrderEvent) -> Result<(), Problem> {
        self.status = self.status.after(event).ok_or_else(|| {
            ProblemType::OrderNotReady.because(format!("the order is {:?}", self.status).to_lowercase())
        })?;
        Ok(())
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.status, OrderStatus::Valid | OrderStatus::Invalid | OrderStatus::Canceled)
    }
}

impl Authorization {
    /// A new one, with every challenge the name allows.
    ///
    /// # Errors
    /// The system's source of randomness failed.
    pub fn new(
        (id, account): (String, &str),
        named: Named,
        subdomains: bool,
        expires: Timestamp,
        has_persistent: bool,
    ) -> Result<Self, getrandom::Error> {
        let kinds = ChallengeType::ALL.into_iter().filter(|kind| {
            let fits = match &named.identifier {
                // RFC 8738 §4, §6: no challenge in the DNS shows control of an address.
                Identifier::Ip(_) => !kind.is_in_dns(),
                // RFC 8555 §8.3 and RFC 8737 §3 are about one host only.
                Identifier::Dns(_) => kind.is_in_dns() || !(named.wildcard || subdomains),
            };
            fits && (*kind != ChallengeType::DnsPersist01 || has_persistent)
        });
        let challenges = kinds
            .map(|kind| {
                let token = new_token()?;
                Ok(Challenge { kind, token, status: ChallengeStatus::Pending, validated: None, error: None })
            })
            .collect::<Result<_, getrandom::Error>>()?;
        Ok(Self {
            id,
            account: account.to_owned(),
            named,
            subdomains,
            status: AuthorizationStatus::Pending,
            expires,
            challenges,
            orders: Vec::new(),
        })
    }

    /// The authorization as it is now.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if self.expires <= now
            && let Some(status) = self.status.after(AuthorizationEvent::TimedOut)
        {
            self.status = status;
        }
        self
    }

    /// Lets something happen to it; whether it could.
    pub fn happen(&mut self, event: AuthorizationEvent) -> bool {
        let after = self.status.after(event);
        self.status = after.unwrap_or(self.status);
        after.is_some()
    }

    /// The challenge of this type.
    #[must_use]
    pub fn challenge(&self, kind: ChallengeType) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.kind == kind)
    }

    /// The challenge of this type, to be changed.
    pub fn challenge_mut(&mut self, kind: ChallengeType) -> Option<&mut Challenge> {
        self.challenges.iter_mut().find(|challenge| challenge.kind == kind)
    }

    /// Whether it covers what is named: the very same, or, where it holds for subdomains, something below.
    #[must_use]
    pub fn covers(&self, named: &Named) -> bool {
        if self.named == *named {
            return true;
        }
        match (&self.named.identifier, &named.identifier) {
            (Identifier::Dns(own), Identifier::Dns(other)) if self.subdomains => other.is_within(own),
            _ => false,
        }
    }
}

/// The names above one, itself first, at most so many.
pub(crate) fn ancestors(name: &DnsName) -> impl Iterator<Item = DnsName> {
    std::iter::successors(Some(name.clone()), DnsName::parent).take(10)
}

//! How challenges are looked into. A [`Question`] goes in; out comes nothing, or the [`Failure`] to tell the client.
//!
//! Where several resolvers are configured, each is one point of view: the whole look is taken from each of them, and the
//! quorum (all of one or two, all but one of more) must have seen the same. A resolver that was lied to is outvoted.
//!
//! | to change | look in |
//! |---|---|
//! | http-01: redirects, bounds | [`http`] |
//! | dns-01, dns-account-01, dns-persist-01 | [`dns`] |
//! | tls-alpn-01: the certificate | [`tls_alpn`] |
//! | CAA | [`caa`], [`issue_value`] |
//! | which addresses may be connected to | `networks` |
//! | connecting, TLS | `dial` |
//! | asking the DNS | `resolver` |
//! | what clients are told | `failure` |

pub mod caa;
mod dial;
pub mod dns;
mod failure;
pub mod http;
pub mod issue_value;
mod networks;
mod resolver;
pub mod tls_alpn;

use crate::{challenge::ChallengeType, identifier::Identifier, problem::Problem};
use chancery_engine::{Clock, SystemClock};
use failure::Deadline;
use futures_util::{StreamExt, stream::FuturesUnordered};
use resolver::Perspective;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// What is to be found out.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Where to look.
    pub challenge: ChallengeType,
    /// About whom.
    pub identifier: &'a Identifier,
    /// Whether everything one label below the name is meant.
    pub wildcard: bool,
    /// The challenge's token.
    pub token: &'a str,
    /// What must be found.
    pub key_authorization: &'a str,
    /// URL of the account that asks.
    pub account_url: &'a str,
}

/// Why control was not shown.
#[derive(Debug, Clone)]
pub struct Failure {
    /// For the client.
    pub problem: Problem,
    /// Whether another look may find something else: a network that is away, an answer that is not there yet.
    pub transient: bool,
}

/// A network: an address and how many of its bits count.
pub type Network = (IpAddr, u8);

/// How to look.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Port of http-01.
    pub http_port: u16,
    /// Port of tls-alpn-01.
    pub tls_port: u16,
    /// DNS servers to ask, each for itself; those of the system where there are none.
    pub resolvers: Vec<SocketAddr>,
    /// Networks that may be connected to although they are internal.
    pub allowed_networks: Vec<Network>,
    /// Whether every address may be connected to.
    pub allow_private: bool,
    /// How long one look may take.
    pub timeout: Duration,
    /// Names by which CAA records may name this CA; without any, CAA records are not looked at.
    pub caa_identities: Vec<String>,
    /// Whether a name is certified whose CAA records could not be looked up.
    pub permit_without_caa_answer: bool,
    /// What dns-persist-01 records are compared with.
    pub clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http_port: 80,
            tls_port: 443,
            resolvers: Vec::new(),
            allowed_networks: Vec::new(),
            allow_private: false,
            timeout: Duration::from_secs(10),
            caa_identities: Vec::new(),
            permit_without_caa_answer: false,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A setting that cannot be obeyed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// Looks into challenges.
#[derive(Debug)]
pub struct Validator {
    settings: Settings,
    /// At least one.
    perspectives: Vec<Perspective>,
}

impl Validator {
    /// A validator that looks as the settings say.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that cannot be obeyed.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.timeout.is_zero() {
            return Err(SettingsError("the time for validation is zero".to_owned()));
        }
        if settings.http_port == 0 || settings.tls_port == 0 {
            return Err(SettingsError("validation cannot connect to port 0".to_owned()));
        }
        let perspectives = if settings.resolvers.is_empty() {
            let system = Perspective::of_system(settings.timeout);
            vec![system.map_err(|error| SettingsError(format!("the system's DNS resolver cannot be used: {error}")))?]
        } else {
            let of = |server: &SocketAddr| {
                let unusable = |error| SettingsError(format!("the DNS resolver {server} cannot be used: {error}"));
                Perspective::of(*server, settings.timeout).map_err(unusable)
            };
            settings.resolvers.iter().map(of).collect::<Result<_, _>>()?
        };
        Ok(Self { settings, perspectives })
    }

    /// Whether control is shown.
    ///
    /// # Errors
    /// [`Failure`] says why it is not.
    pub async fn validate(&self, question: &Question<'_>) -> Result<(), Failure> {
        self.corroborated(|perspective| Box::pin(self.look(perspective, question))).await
    }

    /// Whether the name's CAA records (RFC 8659, RFC 8657) let this CA certify it by this way for this account.
    ///
    /// # Errors
    /// [`Failure`] with the record that forbids it.
    pub async fn caa(&self, question: &Question<'_>) -> Result<(), Failure> {
        if self.settings.caa_identities.is_empty() {
            return Ok(());
        }
        self.corroborated(|perspective| {
            let looking = caa::check(&self.settings, perspective, question);
            let asked = || format!("CAA records of {} from {}", question.identifier, perspective.name());
            let deadline = Deadline::after(self.settings.timeout);
            Box::pin(async move {
                match deadline.bound(caa::unknown, asked, looking).await {
                    Err(failure) if self.settings.permit_without_caa_answer && failure.transient => {
                        let (name, reason) = (question.identifier, &failure.problem.detail);
                        tracing::warn!(%name, %reason, "certified without an answer about CAA records");
                        Ok(())
                    }
                    outcome => outcome,
                }
            })
        })
        .await
    }

    /// One look from one point of view.
    async fn look(&self, perspective: &Perspective, question: &Question<'_>) -> Result<(), Failure> {
        let (settings, deadline) = (&self.settings, Deadline::after(self.settings.timeout));
        if question.wildcard && !question.challenge.is_in_dns() {
            let detail = format!("{} shows nothing of names below {}", question.challenge, question.identifier);
            return Err(Failure::malformed(detail));
        }
        let records = || format!("records of {} from {}", question.identifier, perspective.name());
        match question.challenge {
            ChallengeType::Http01 => http::validate(settings, perspective, question, deadline).await,
            ChallengeType::TlsAlpn01 => tls_alpn::validate(settings, perspective, question, deadline).await,
            ChallengeType::Dns01 | ChallengeType::DnsAccount01 => {
                deadline.bound(Failure::dns, records, dns::validate(perspective, question)).await
            }
            ChallengeType::DnsPersist01 => {
                let wanted = dns::Persistent {
                    identities: &settings.caa_identities,
                    account_url: question.account_url,
                    wildcard: question.wildcard,
                    now: settings.clock.now(),
                };
                deadline.bound(Failure::dns, records, dns::validate_persistent(perspective, question, &wanted)).await
            }
        }
    }

    /// Looks from everywhere at once, and ends as soon as the outcome is certain.
    async fn corroborated<'a, L>(&'a self, look: impl Fn(&'a Perspective) -> L) -> Result<(), Failure>
    where
        L: Future<Output = Result<(), Failure>>,
    {
        let all = self.perspectives.len();
        let needed = quorum(all);
        let mut looks: FuturesUnordered<_> = self.perspectives.iter().map(look).collect();
        let (mut shown, mut failures) = (0, Vec::new());
        while let Some(outcome) = looks.next().await {
            match outcome {
                Ok(()) => shown += 1,
                Err(failure) => failures.push(failure),
            }
            if shown >= needed {
                return Ok(());
            }
            if failures.len() > all - needed {
                break;
            }
        }
        let transient = failures.iter().any(|failure| failure.transient);
        let Some(first) = failures.into_iter().next() else {
            return Err(Failure::connection("nobody looked"));
        };
        let first = Failure { transient, ..first };
        let counted = format!(" ({needed} of {all} resolvers must lead to the proof)");
        Err(if all == 1 { first } else { first.with(&counted) })
    }
}

/// How many of so many points of view must see the proof: one of three or more may be blind or lied to.
fn quorum(all: usize) -> usize {
    if all >= 3 { all - 1 } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_three_or_more_may_be_wrong() {
        assert_eq!([1, 2, 3, 4, 7].map(quorum), [1, 2, 2, 3, 6]);
    }

    #[test]
    fn settings_that_cannot_be_obeyed_are_named() {
        for settings in [
            Settings { timeout: Duration::ZERO, ..Settings::default() },
            Settings { http_port: 0, ..Settings::default() },
        ] {
            assert!(Validator::new(settings).is_err());
        }
    }
}

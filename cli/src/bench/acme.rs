//! `bench acme`: orders from newOrder to the certificate, with instant-acme as the client and dns-01 answered by a DNS
//! server of our own. Speaks to whatever speaks ACME, so that two servers are measured by the same command.

mod dns;
mod http;

use self::http::Http;
use super::{LoadFlags, load::Measured, process};
use crate::{
    failure::{Failure, Result},
    output::Output,
};
use clap::Args;
use dns::Dns;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::json;
use std::{
    fmt::Display,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Orders before this has passed are not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// How soon the client looks again, so that its patience is not what is measured.
const POLICY: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(2)).backoff(1.5);

#[derive(Debug, Args)]
pub(crate) struct AcmeFlags {
    #[command(flatten)]
    pub(super) load: LoadFlags,
    /// URL of the directory
    #[arg(long, env = "CHANCERY_ACME_DIRECTORY", value_name = "URL")]
    directory: String,
    /// Address and port to answer DNS at; the server must ask there (`chancery dev --acme-resolver`)
    #[arg(long, value_name = "ADDRESS:PORT")]
    dns: SocketAddr,
    /// Certificate (PEM) that the server's own is checked with
    #[arg(long, env = "CHANCERY_CACERT", value_name = "FILE")]
    authority: PathBuf,
    /// Speak HTTP/1.1 although the server offers HTTP/2
    #[arg(long)]
    http1: bool,
}

/// What was measured, and how often the clients asked for it.
struct Outcome {
    measured: Measured,
    /// HTTP requests while it was measured.
    requests: u64,
}

fn failed(what: &str, why: impl Display) -> Failure {
    Failure::remote(what).because(why)
}

pub(super) fn run(flags: &AcmeFlags, output: &Output) -> Result<()> {
    // The client's TLS is told its provider by nobody else.
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
    output.remark(format!(
        "acme: {} clients, {} s against {}",
        flags.load.connections, flags.load.seconds, flags.directory
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome =
        runtime.map_err(|error| Failure::local("cannot start threads").because(error))?.block_on(drive(flags))?;
    report(&outcome, flags, output)
}

async fn drive(flags: &AcmeFlags) -> Result<Outcome> {
    let dns = Arc::new(Dns::start(flags.dns).await?);
    let asked = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for number in 0..flags.load.connections {
        // Each client has its own connection and keeps it.
        let http = Http::new(&flags.authority, flags.http1, Arc::clone(&asked))?;
        clients.spawn(Client::new(number, Arc::clone(&dns), flags.directory.clone(), http));
    }
    let clients = clients.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let pid = flags.load.pid.or_else(|| port(&flags.directory).and_then(process::listening_on));
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(flags.load.seconds.max(1));
    let resting = pid.and_then(process::start_measuring_memory);
    let mut workers = JoinSet::new();
    for client in clients {
        workers.spawn(client.work(begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let (before, asked_before) = (pid.and_then(process::cpu_time), asked.load(Ordering::Relaxed));
    tokio::time::sleep_until(end.into()).await;
    let (after, asked_after) = (pid.and_then(process::cpu_time), asked.load(Ordering::Relaxed));
    let mut latencies = Vec::new();
    for outcome in workers.join_all().await {
        latencies.extend(outcome?);
    }
    let memory =
        resting.zip(pid.and_then(process::peak_memory)).map(|(resting, peak)| process::Memory { resting, peak });
    let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before));
    let measured = Measured::of(end.duration_since(begin), latencies, cpu, memory);
    Ok(Outcome { measured, requests: asked_after.saturating_sub(asked_before) })
}

fn port(url: &str) -> Option<u16> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    authority.rsplit_once(':').map_or(Some(443), |(_, port)| port.parse().ok())
}

struct Client {
    number: usize,
    account: Account,
    key: KeyPair,
    dns: Arc<Dns>,
}

impl Client {
    async fn new(number: usize, dns: Arc<Dns>, directory: String, http: Http) -> Result<Self> {
        let account = register(directory, http).await?;
        let key = KeyPair::generate().map_err(|error| Failure::local("a key could not be made").because(error))?;
        Ok(Self { number, account, key, dns })
    }

    /// Orders certificates until the end; how long each took that came while it was measured, in microseconds.
    async fn work(self, begin: Instant, end: Instant) -> Result<Vec<u32>> {
        let mut latencies = Vec::new();
        for count in 0_u64.. {
            let started = Instant::now();
            if started >= end {
                break;
            }
            self.order(&format!("n{count}-{}.bench.test", self.number)).await?;
            let came = Instant::now();
            if came >= begin && came <= end {
                latencies.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        }
        Ok(latencies)
    }

    async fn order(&self, name: &str) -> Result<()> {
        let refused = |error: instant_acme::Error| failed("an order failed", error);
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = self.account.new_order(&NewOrder::new(&identifiers)).await.map_err(refused)?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(refused)?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let challenge = authorization.challenge(ChallengeType::Dns01);
            let mut challenge = challenge.ok_or_else(|| Failure::remote("the server does not offer dns-01"))?;
            self.dns.say(&format!("_acme-challenge.{name}"), challenge.key_authorization().dns_value());
            challenge.set_ready().await.map_err(refused)?;
        }
        let status = order.poll_ready(&POLICY).await.map_err(refused)?;
        if status != OrderStatus::Ready {
            return Err(failed("an order failed", format!("it is {status:?}: {:?}", order.state().error)));
        }
        let unusable = |error: rcgen::Error| Failure::local("a request could not be made").because(error);
        let mut parameters = CertificateParams::new([name.to_owned()]).map_err(unusable)?;
        // rcgen would put a common name of its own there.
        parameters.distinguished_name = DistinguishedName::new();
        let request = parameters.serialize_request(&self.key).map_err(unusable)?;
        order.finalize_csr(request.der()).await.map_err(refused)?;
        order.poll_certificate(&POLICY).await.map_err(refused)?;
        self.dns.forget(&format!("_acme-challenge.{name}"));
        Ok(())
    }
}

async fn register(directory: String, http: Http) -> Result<Account> {
    let wanted = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let made = Account::builder_with_http(Box::new(http)).create(&wanted, directory, None).await;
    made.map(|(account, _)| account).map_err(|error| failed("the server makes no account", error))
}

/// How often a client asked for one certificate.
fn per_certificate(outcome: &Outcome) -> f64 {
    let count = |number: u64| u32::try_from(number).map_or(f64::NAN, f64::from);
    count(outcome.requests) / count(outcome.measured.requests.max(1))
}

fn report(outcome: &Outcome, flags: &AcmeFlags, output: &Output) -> Result<()> {
    let measured = &outcome.measured;
    let machine = json!({
        "work": "acme newOrder to certificate",
        "connections": flags.load.connections,
        "seconds": measured.seconds,
        "requests": measured.requests,
        "requests_per_second": measured.per_second(1),
        "p50_us": measured.quantile(50, 100),
        "p95_us": measured.quantile(95, 100),
        "p99_us": measured.quantile(99, 100),
        "http_requests_per_request": per_certificate(outcome),
        "server_cpu_us_per_request": measured.cpu_per_request(),
        "server_memory_before": measured.memory.map(|memory| memory.resting),
        "server_memory_most": measured.memory.map(|memory| memory.peak),
    });
    let cpu = measured
        .cpu_per_request()
        .map_or_else(|| "n/a (server not on this machine)".to_owned(), |micros| format!("{micros} µs"));
    let mut pairs = vec![
        ("Work", "newOrder to certificate, dns-01".to_owned()),
        ("Certificates", measured.requests.to_string()),
        ("Certificates per second", measured.per_second(1).to_string()),
    ];
    for (label, share) in [("p50", 50), ("p95", 95), ("p99", 99)] {
        pairs.push((label, format!("{} µs", measured.quantile(share, 100))));
    }
    pairs.push(("HTTP requests per certificate", format!("{:.1}", per_certificate(outcome))));
    pairs.push(("Server CPU per certificate", cpu));
    output.pairs(&pairs, &machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_urls() {
        assert_eq!(port("https://127.0.0.1:8201/v1/pki/acme/directory"), Some(8201));
        assert_eq!(port("https://ca.example/directory"), Some(443));
        assert_eq!(port("nonsense"), None);
    }
}

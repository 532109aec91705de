//! `bench`: how much a server does, how long an answer takes, what it costs the server's CPU.
//!
//! A load generator of its own ([`load`]) over a bare HTTP/1.1 client ([`wire`]), so that the measuring costs little
//! beside the measured; [`process`] reads the CPU time of a server on this machine. It speaks to whatever speaks Vault's
//! API, so that two servers are measured by the same command.

mod acme;
mod load;
mod process;
mod ssh;
mod transit;
mod wire;

use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{self, ConnectionFlags, Remote, Verb},
};
use clap::{Args, Subcommand};
use load::Measured;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Encrypt, decrypt, rewrap, sign, make HMACs or data keys with transit keys
    Transit(transit::TransitFlags),
    /// Issue certificates
    Pki(PkiFlags),
    /// Sign SSH certificates
    Ssh(ssh::SshFlags),
    /// Order certificates by ACME, from newOrder to the certificate
    Acme(acme::AcmeFlags),
}

#[derive(Debug, Args)]
struct LoadFlags {
    /// Address of the server; --address and the environment do as well
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// Connections at once
    #[arg(short, long, default_value_t = 32, value_name = "NUMBER")]
    connections: usize,
    /// How long to measure, after a second of warming up
    #[arg(short, long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
    /// Process id of the server, found by its port on this machine if not given
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct PkiFlags {
    #[command(flatten)]
    load: LoadFlags,
    /// Where the CA is mounted
    #[arg(long, default_value = "pki")]
    mount: String,
    /// Role to issue under
    #[arg(long, default_value = "web")]
    role: String,
    /// Name in the certificates; the role must allow it
    #[arg(long, default_value = "bench.dev.test")]
    common_name: String,
    /// Certificate request (PEM) to sign; without it, the server makes the key as well
    #[arg(long, value_name = "FILE")]
    csr: Option<std::path::PathBuf>,
}

/// One request.
#[derive(Debug, Clone)]
struct Ask {
    method: &'static str,
    path: String,
    body: Value,
}

/// Requests that are sent over and over.
struct Work {
    title: String,
    asks: Vec<Ask>,
    /// What one request counts for.
    items: usize,
}

impl Ask {
    fn post(path: String, body: Value) -> Self {
        Self { method: "POST", path, body }
    }
}

pub(crate) fn run(command: &BenchCommand, connection: &ConnectionFlags, output: &Output) -> Result<()> {
    let load = match command {
        // It speaks to a directory, and to nothing of Vault's.
        BenchCommand::Acme(flags) => return acme::run(flags, output),
        BenchCommand::Transit(flags) => flags.load(),
        BenchCommand::Pki(flags) => &flags.load,
        BenchCommand::Ssh(flags) => &flags.load,
    };
    let mut connection = connection.clone();
    connection.address = load.against.clone().or(connection.address);
    let remote = Remote::new(&connection)?;
    match command {
        BenchCommand::Transit(flags) => {
            let stage = transit::Stage::set(&remote, flags)?;
            let measured = stage.work().and_then(|work| Ok((measure(&remote, load, &work, output)?, work)));
            stage.clear()?;
            let (measured, work) = measured?;
            report(&measured, &work, load, output)
        }
        BenchCommand::Pki(flags) => {
            let work = pki(flags)?;
            report(&measure(&remote, load, &work, output)?, &work, load, output)
        }
        BenchCommand::Acme(flags) => acme::run(flags, output),
        BenchCommand::Ssh(flags) => {
            let work = ssh::work(flags)?;
            report(&measure(&remote, load, &work, output)?, &work, load, output)
        }
    }
}

fn measure(remote: &Remote, load: &LoadFlags, work: &Work, output: &Output) -> Result<Measured> {
    // One request through the ordinary road first: it explains itself if it fails.
    if let Some(ask) = work.asks.first() {
        remote.send(&remote::Ask::new(Verb::Post, &ask.path).body(ask.body.clone()))?;
    }
    output.remark(format!(
        "{}: {} connections, {} s against {}",
        work.title,
        load.connections,
        load.seconds,
        remote.address()
    ));
    if work.asks.len() > 1 {
        // Every key has been used once, as in service: the first use reads it from storage.
        load::each(wire::Target::new(remote, work.asks.iter().cloned())?, load.connections)?;
    }
    let target = wire::Target::new(remote, work.asks.iter().cloned())?;
    let pid = load.pid.or_else(|| target.is_local().then(|| process::listening_on(target.port())).flatten());
    load::run(target, load.connections, Duration::from_secs(load.seconds.max(1)), pid)
}

fn pki(flags: &PkiFlags) -> Result<Work> {
    let mount = flags.mount.trim_matches('/');
    let (verb, body) = match &flags.csr {
        None => ("issue", json!({"common_name": flags.common_name, "ttl": "1h"})),
        Some(path) => {
            let csr = std::fs::read_to_string(path)
                .map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))?;
            ("sign", json!({"common_name": flags.common_name, "ttl": "1h", "csr": csr}))
        }
    };
    let path = format!("{mount}/{verb}/{}", flags.role);
    Ok(Work { title: format!("pki {verb} {}", flags.role), asks: vec![Ask::post(path, body)], items: 1 })
}

fn report(measured: &Measured, work: &Work, load: &LoadFlags, output: &Output) -> Result<()> {
    let items = u64::try_from(work.items).unwrap_or(1);
    let machine = json!({
        "work": work.title,
        "connections": load.connections,
        "seconds": measured.seconds,
        "requests": measured.requests,
        "failed": measured.failed,
        "requests_per_second": measured.per_second(1),
        "items_per_second": measured.per_second(items),
        "p50_us": measured.quantile(50, 100),
        "p99_us": measured.quantile(99, 100),
        "p999_us": measured.quantile(999, 1000),
        "server_cpu_us_per_request": measured.cpu_per_request(),
        "server_memory_before": measured.memory.map(|memory| memory.resting),
        "server_memory_most": measured.memory.map(|memory| memory.peak),
    });
    let mut pairs = vec![
        ("Work", work.title.clone()),
        ("Requests", measured.requests.to_string()),
        ("Failed", measured.failed.to_string()),
        ("Requests per second", measured.per_second(1).to_string()),
    ];
    if items > 1 {
        pairs.push(("Items per second", measured.per_second(items).to_string()));
    }
    for (label, share) in [("p50", (50, 100)), ("p99", (99, 100)), ("p99.9", (999, 1000))] {
        pairs.push((label, format!("{} µs", measured.quantile(share.0, share.1))));
    }
    let cpu = measured
        .cpu_per_request()
        .map_or_else(|| "n/a (server not on this machine)".to_owned(), |us| format!("{us} µs"));
    pairs.push(("Server CPU per request", cpu));
    if let Some(memory) = measured.memory {
        let mebibytes = |bytes: u64| bytes >> 20;
        let (before, most) = (mebibytes(memory.resting), mebibytes(memory.peak));
        pairs.push(("Server memory", format!("{before} MiB before, {most} MiB at most")));
    }
    output.pairs(&pairs, &machine)?;
    if measured.failed > 0 {
        return Err(Failure::remote(format!("{} of {} requests failed", measured.failed, measured.requests)));
    }
    Ok(())
}

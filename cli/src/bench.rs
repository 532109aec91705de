//! `bench`: how much a server does, how long an answer takes, what it costs the server's CPU.
//!
//! A load generator of its own ([`load`]) over a bare HTTP/1.1 client ([`wire`]), so that the measuring costs little
//! beside the measured; [`process`] reads the CPU time of a server on this machine.

mod load;
mod process;
mod wire;

use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{Ask, ConnectionFlags, Remote, Verb},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand, ValueEnum};
use load::Measured;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Encrypt, decrypt or sign with a transit key
    Transit(TransitFlags),
    /// Issue certificates
    Pki(PkiFlags),
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
pub(crate) struct TransitFlags {
    #[command(flatten)]
    load: LoadFlags,
    /// What to do
    #[arg(long, value_enum, default_value = "encrypt")]
    operation: TransitOperation,
    /// Where transit is mounted
    #[arg(long, default_value = "transit")]
    mount: String,
    /// Kind of the key that is made for the run and deleted after it
    #[arg(long)]
    key_type: Option<String>,
    /// Use this key, which is there already, instead of making one
    #[arg(long, value_name = "NAME", conflicts_with = "key_type")]
    key: Option<String>,
    /// Size of one plaintext
    #[arg(long, default_value_t = 32, value_name = "BYTES")]
    payload: usize,
    /// Items in one request
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    batch: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransitOperation {
    Encrypt,
    Decrypt,
    Sign,
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

/// One request, over and over.
pub(crate) struct Work {
    title: String,
    path: String,
    body: Value,
    items: usize,
}

pub(crate) fn run(command: &BenchCommand, connection: &ConnectionFlags, output: &Output) -> Result<()> {
    let load = match command {
        BenchCommand::Transit(flags) => &flags.load,
        BenchCommand::Pki(flags) => &flags.load,
    };
    let mut connection = connection.clone();
    connection.address = load.against.clone().or(connection.address);
    let remote = Remote::new(&connection)?;
    let (work, key) = match command {
        BenchCommand::Transit(flags) => transit(&remote, flags)?,
        BenchCommand::Pki(flags) => (pki(flags)?, None),
    };
    // One request through the ordinary road first: it explains itself if it fails.
    let tried = remote.send(&Ask::new(Verb::Post, &work.path).body(work.body.clone()));
    let measured = tried.and_then(|_| measure(&remote, load, &work, output));
    if let Some(key) = key {
        remote.write(&format!("{key}/config"), json!({"deletion_allowed": true}))?;
        remote.delete(&key)?;
    }
    report(&measured?, &work, load, output)
}

fn measure(remote: &Remote, load: &LoadFlags, work: &Work, output: &Output) -> Result<Measured> {
    output.remark(format!(
        "{}: {} connections, {} s against {}",
        work.title,
        load.connections,
        load.seconds,
        remote.address()
    ));
    let target = wire::Target::new(remote, &work.path, &work.body)?;
    let pid = load.pid.or_else(|| target.is_local().then(|| process::listening_on(target.port())).flatten());
    load::run(target, load.connections, Duration::from_secs(load.seconds.max(1)), pid)
}

fn transit(remote: &Remote, flags: &TransitFlags) -> Result<(Work, Option<String>)> {
    let mount = flags.mount.trim_matches('/');
    let name = flags.key.clone().unwrap_or_else(|| format!("bench-{}", std::process::id()));
    let signs = flags.operation == TransitOperation::Sign;
    let kind = flags.key_type.as_deref().unwrap_or(if signs { "ecdsa-p256" } else { "aes256-gcm96" });
    let made = flags.key.is_none().then(|| format!("{mount}/keys/{name}"));
    if let Some(key) = &made {
        remote.write(key, json!({"type": kind}))?;
    }
    let plaintext = STANDARD.encode(vec![0x5a; flags.payload]);
    let encrypted = || -> Result<Value> {
        let answer = remote.write(&format!("{mount}/encrypt/{name}"), json!({"plaintext": plaintext}))?;
        Ok(answer.data().get("ciphertext").cloned().unwrap_or_default())
    };
    let (verb, member, value) = match flags.operation {
        TransitOperation::Encrypt => ("encrypt", "plaintext", json!(plaintext)),
        TransitOperation::Decrypt => ("decrypt", "ciphertext", encrypted()?),
        TransitOperation::Sign => ("sign", "input", json!(plaintext)),
    };
    let body = if flags.batch > 1 {
        json!({"batch_input": vec![json!({member: value}); flags.batch]})
    } else {
        json!({member: value})
    };
    let title = format!("transit {verb} {kind}, {} bytes, {} per request", flags.payload, flags.batch);
    Ok((Work { title, path: format!("{mount}/{verb}/{name}"), body, items: flags.batch.max(1) }, made))
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
    Ok(Work { title: format!("pki {verb} {}", flags.role), path, body, items: 1 })
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
    output.pairs(&pairs, &machine)?;
    if measured.failed > 0 {
        return Err(Failure::remote(format!("{} of {} requests failed", measured.failed, measured.requests)));
    }
    Ok(())
}

//! The parts of an installation: listeners, storage, audit sinks, the HSM.

use super::{Finding, machine};
use crate::{failure::Result, remote::Remote};
use chancery_server::{
    audit::{NewDevice, verify},
    config::{HsmConfig, PostgresStorage, SecretReference, StorageConfig},
    http::{listener::ListenerConfig, tls::TlsSource},
};
use std::{
    fs::File,
    io::BufReader,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Instant,
};

/// Days before its end at which a certificate becomes a warning.
const RENEWAL_DAYS: i64 = 30;

pub(super) fn listener(config: &ListenerConfig) -> Vec<Finding> {
    let mut findings = vec![port(&config.address, config.tls.is_some())];
    if let Some(TlsSource::Files { certificate, key }) = &config.tls {
        findings.push(expiry(certificate));
        findings.push(machine::private_file("TLS key", key));
    } else if config.tls.is_none() && !config.address.starts_with("127.") && !config.address.starts_with("[::1]") {
        findings.push(Finding::warn(
            "TLS",
            format!("{} speaks plain HTTP to the network", config.address),
            "give tls_cert and tls_key, or listen on 127.0.0.1",
        ));
    }
    findings
}

/// The port is free, or a server of ours answers there.
fn port(address: &str, tls: bool) -> Finding {
    let Err(error) = TcpListener::bind(address) else { return Finding::ok("listener", format!("{address} is free")) };
    let scheme = if tls { "https" } else { "http" };
    let answers = Remote::examining(&format!("{scheme}://{address}")).and_then(|remote| remote.read("sys/seal-status"));
    match answers {
        Ok(status) => {
            let sealed = status.json.get("sealed") == Some(&serde_json::json!(true));
            if sealed {
                Finding::warn("listener", format!("the server at {address} is sealed"), "chancery operator unseal")
            } else {
                Finding::ok("listener", format!("the server at {address} is running and unsealed"))
            }
        }
        Err(_) => Finding::fail(
            "listener",
            format!("{address} cannot be used: {error}"),
            "stop what uses the port, or choose another address",
        ),
    }
}

fn expiry(path: &Path) -> Finding {
    const WHAT: &str = "TLS certificate";
    let name = path.display();
    let pem = match std::fs::read(path) {
        Ok(pem) => pem,
        Err(error) => return Finding::fail(WHAT, format!("{name}: {error}"), "give a readable PEM file"),
    };
    let parsed = x509_parser::pem::parse_x509_pem(&pem).ok();
    let end = parsed.as_ref().and_then(|(_, pem)| Some(pem.parse_x509().ok()?.validity().not_after.timestamp()));
    let Some(end) = end else {
        return Finding::fail(
            WHAT,
            format!("{name} holds no certificate"),
            "give a PEM file, the server's certificate first",
        );
    };
    let days = (end - jiff::Timestamp::now().as_second()) / 86400;
    if days < 0 {
        Finding::fail(WHAT, format!("{name} ended {} days ago", -days), "renew it, then reload the server (SIGHUP)")
    } else if days < RENEWAL_DAYS {
        Finding::warn(WHAT, format!("{name} ends in {days} days"), "renew it, then reload the server (SIGHUP)")
    } else {
        Finding::ok(WHAT, format!("{name}, {days} days left"))
    }
}

pub(super) fn storage(config: &StorageConfig) -> Result<Vec<Finding>> {
    match config {
        StorageConfig::Sqlite(path) => Ok(sqlite(path)),
        StorageConfig::Postgres(database) => postgres(database),
        StorageConfig::Memory => {
            let fix = "storage.url = \"sqlite:chancery.db\"";
            Ok(vec![Finding::warn("storage", "in memory: gone at every stop", fix)])
        }
    }
}

/// Connects as the server would, and looks at what it finds there.
fn postgres(database: &PostgresStorage) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    match database.password() {
        Some(SecretReference::File(path)) => findings.push(machine::private_file("database password", path)),
        Some(SecretReference::Inline(_)) => findings.push(Finding::warn(
            "database password",
            "stands in the configuration",
            "move it: PGPASSWORD in the environment, or storage.password in a .toml file",
        )),
        _ => {}
    }
    if !database.is_protected() && !database.is_near() {
        findings.push(Finding::warn(
            "storage",
            format!("{} is reached over the network without TLS", database.name()),
            "remove sslmode=disable and name the database's CA (storage.tls_ca)",
        ));
    }
    let runtime = super::super::runtime()?;
    findings.push(match runtime.block_on(chancery_server::examine_database(database)) {
        Ok(report) if report.schema == 0 => Finding::warn(
            "database",
            format!("{}: PostgreSQL {}, no tables yet", database.name(), report.server),
            "chancery init, or chancery operator init",
        ),
        Ok(report) => Finding::ok(
            "database",
            format!(
                "{}: PostgreSQL {}, connected in {} ms, schema {} of {}",
                database.name(),
                report.server,
                report.connected_in.as_millis(),
                report.schema,
                report.known
            ),
        ),
        Err(error) => Finding::fail("database", error.to_string(), "docs/operations.md, \"PostgreSQL\""),
    });
    Ok(findings)
}

fn sqlite(path: &Path) -> Vec<Finding> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut findings = vec![machine::durable_directory("storage", directory)];
    if path.exists() {
        findings.push(machine::private_file("database", path));
    } else {
        findings.push(Finding::warn(
            "database",
            format!("{} is not there yet", path.display()),
            "chancery init, or chancery operator init",
        ));
    }
    findings
}

pub(super) fn audit(sinks: &[NewDevice]) -> Vec<Finding> {
    if sinks.is_empty() {
        return vec![Finding::warn(
            "audit",
            "no sink in the configuration",
            "audit.file = { path = \"audit.jsonl\" }, or chancery audit enable",
        )];
    }
    sinks.iter().filter_map(|sink| sink.options.get("file_path")).map(|path| chain(&PathBuf::from(path))).collect()
}

fn chain(path: &Path) -> Finding {
    let name = path.display();
    let Ok(file) = File::open(path) else {
        let directory = path.parent().unwrap_or(Path::new("."));
        return machine::durable_directory("audit", directory);
    };
    match verify(BufReader::new(file), None) {
        Ok(report) if report.is_sound() => {
            Finding::ok("audit", format!("{name}: {} lines, the chain holds", report.lines))
        }
        Ok(report) => Finding::fail(
            "audit",
            format!("{name}: the chain is broken in {} places", report.problems.len()),
            format!("chancery audit verify {name}"),
        ),
        Err(error) => Finding::fail("audit", format!("{name}: {error}"), "make it readable for this user"),
    }
}

/// Opens the token as the server would: module, token, PIN (tried once), and what it can do.
pub(super) fn hsm(config: &HsmConfig) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if let SecretReference::File(path) = &config.pin {
        findings.push(machine::private_file("PIN file", path));
    }
    if let SecretReference::Inline(_) = &config.pin {
        findings.push(Finding::warn("PIN", "stands in the configuration", "move it to a file: pin = \"file:PATH\""));
    }
    let runtime = super::super::runtime()?;
    let began = Instant::now();
    let opened = runtime.block_on(chancery_server::open_hsm(config));
    let hsm = match opened {
        Ok(hsm) => hsm,
        Err(error) => {
            findings.push(Finding::fail("HSM", error.to_string(), "docs/operations.md, \"The HSM\""));
            return Ok(findings);
        }
    };
    let token = hsm.token();
    findings.push(Finding::ok(
        "HSM",
        format!(
            "token {:?} of {} {}, opened in {} ms",
            token.label,
            token.manufacturer,
            token.model,
            began.elapsed().as_millis()
        ),
    ));
    let capabilities = hsm.capabilities();
    let missing: Vec<String> = capabilities
        .rows()
        .filter(|(need, _)| !capabilities.supports(need))
        .map(|(need, _)| need.to_string())
        .collect();
    let working = capabilities.rows().count() - missing.len();
    findings.push(if missing.is_empty() {
        Finding::ok("mechanisms", format!("all {working} work"))
    } else {
        Finding::warn(
            "mechanisms",
            format!("{working} work, missing: {}", missing.join(", ")),
            "requests that need one are refused by its name; nothing to do if you do not need them",
        )
    });
    runtime.block_on(async {
        let began = Instant::now();
        let outcome = hsm.random(32).await.map_err(|error| error.to_string());
        findings.push(match outcome {
            Ok(_) => Finding::ok("HSM round trip", format!("{:.2} ms", began.elapsed().as_secs_f64() * 1000.0)),
            Err(error) => Finding::fail("HSM round trip", error, "check the connection to the HSM"),
        });
        hsm.shutdown().await;
    });
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_broken_chain_is_a_failure_and_names_the_command() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{{\"type\":\"request\"}}").unwrap();
        let finding = chain(file.path());
        assert!(finding.fix.unwrap().contains("audit verify"), "{}", finding.detail);
    }

    #[test]
    fn a_taken_port_without_a_server_is_a_failure() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        drop(std::thread::spawn(move || drop(taken.accept())));
        assert!(port(&address, false).fix.unwrap().contains("another address"));
    }

    #[test]
    fn plain_http_to_the_network_is_a_warning() {
        let config = ListenerConfig { address: "0.0.0.0:0".to_owned(), tls: None, ..listener_config() };
        assert!(listener(&config).iter().any(|finding| finding.what == "TLS"));
        assert!(!listener(&listener_config()).iter().any(|finding| finding.what == "TLS"));
    }

    fn listener_config() -> ListenerConfig {
        let config = chancery_server::config::Config::for_tests();
        config.listeners[0].clone()
    }
}

//! ACME in a development server: switched on at the `pki` mount, and the switches that tests of clients need.

use super::setup;
use crate::{
    failure::Result,
    remote::{Ask, Remote, Verb},
};
use chancery_server::AcmeKnobs;
use clap::Args;
use serde_json::json;
use std::{net::SocketAddr, time::Duration};

/// Switches for tests of ACME clients; only `dev` has them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for tests of ACME clients")]
pub(super) struct AcmeFlags {
    /// Port that http-01 connects to [default: 80]
    #[arg(long, value_name = "PORT")]
    acme_http_port: Option<u16>,
    /// Port that tls-alpn-01 connects to [default: 443]
    #[arg(long, value_name = "PORT")]
    acme_tls_port: Option<u16>,
    /// DNS server that validation asks; may be given several times [default: the system's]
    #[arg(long, value_name = "ADDRESS:PORT")]
    acme_resolver: Vec<SocketAddr>,
    /// Let validation connect to private and loopback addresses
    #[arg(long)]
    acme_allow_private: bool,
    /// Refuse this percentage of good nonces
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    acme_nonce_reject: u8,
    /// Wait so many milliseconds before each validation
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    acme_validation_delay: u64,
    /// Use valid authorizations again for this percentage of names [default: 100]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    acme_reuse_rate: Option<u8>,
}

impl AcmeFlags {
    pub(super) fn knobs(&self) -> AcmeKnobs {
        AcmeKnobs {
            http_port: self.acme_http_port,
            tls_port: self.acme_tls_port,
            resolvers: self.acme_resolver.clone(),
            allow_private: self.acme_allow_private,
            nonce_reject: self.acme_nonce_reject,
            validation_delay: Duration::from_millis(self.acme_validation_delay),
            reuse_rate: self.acme_reuse_rate,
        }
    }
}

/// URL of the directory: clients insist on TLS.
pub(super) fn directory(tls: &str) -> String {
    format!("{tls}/v1/pki/acme/directory")
}

/// Switches ACME on, at the address of this start.
pub(super) fn serve(remote: &Remote, tls: &str) -> Result<()> {
    if !setup::is_mounted(remote, "pki")? {
        return Ok(());
    }
    let write = |path: &str, body| remote.send(&Ask::new(Verb::Post, path).body(body)).map(|_| ());
    write("pki/config/cluster", json!({ "path": format!("{tls}/v1/pki") }))?;
    write("pki/config/acme", json!({ "enabled": true }))
}

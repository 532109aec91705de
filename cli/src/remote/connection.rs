//! Where to connect and as whom: flags first, then the environment, then the token file, then the defaults.

use crate::{
    environment::{setting, switch},
    failure::{Failure, Result},
    token_file,
};
use clap::Args;
use reqwest::Url;
use std::{fmt, path::PathBuf, time::Duration};
use zeroize::Zeroizing;

/// Flags every command that speaks HTTP takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionFlags {
    /// Address of the server [env: CHANCERY_ADDR, BAO_ADDR, VAULT_ADDR] [default: https://127.0.0.1:8200]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// PEM file of the CA that signed the server's certificate [env: CHANCERY_CACERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Directory of such PEM files [env: CHANCERY_CAPATH]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) ca_path: Option<PathBuf>,
    /// PEM file of our own certificate [env: CHANCERY_CLIENT_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file of its private key [env: CHANCERY_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// Name to expect in the server's certificate [env: CHANCERY_TLS_SERVER_NAME]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Trust any certificate; for tests only [env: CHANCERY_SKIP_VERIFY]
    #[arg(long, global = true)]
    pub(crate) tls_skip_verify: bool,
    /// Namespace of the request [env: CHANCERY_NAMESPACE]
    #[arg(long, global = true, visible_alias = "ns", value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Wrap the answer in a single-use token that lives this long [env: CHANCERY_WRAP_TTL]
    #[arg(long, global = true, value_name = "DURATION")]
    pub(crate) wrap_ttl: Option<String>,
    /// Header to add, key=value; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) header: Vec<String>,
    /// Print the request as a curl command instead of sending it
    #[arg(long, global = true)]
    pub(crate) output_curl_string: bool,
}

/// The settings of one connection.
pub(crate) struct Connection {
    pub(crate) address: Url,
    pub(crate) token: Option<Zeroizing<String>>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) ca_bytes: Option<String>,
    pub(crate) ca_directory: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) server_name: Option<String>,
    pub(crate) skip_verify: bool,
    pub(crate) namespace: Option<String>,
    pub(crate) wrap_ttl: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) max_retries: u32,
    pub(crate) timeout: Duration,
    pub(crate) print_curl: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Connection {
    /// Plain settings for a server of our own.
    pub(super) fn local(address: &str) -> Result<Self> {
        Ok(Self {
            address: parse_address(address)?,
            token: None,
            ca_file: None,
            ca_bytes: None,
            ca_directory: None,
            client_certificate: None,
            server_name: None,
            skip_verify: false,
            namespace: None,
            wrap_ttl: None,
            headers: Vec::new(),
            max_retries: 0,
            timeout: Duration::from_secs(60),
            print_curl: false,
        })
    }

    pub(crate) fn resolve(flags: &ConnectionFlags) -> Result<Self> {
        let path = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| setting(name).map(PathBuf::from));
        let text = |flag: &Option<String>, name| flag.clone().or_else(|| setting(name));
        let address = text(&flags.address, "ADDR").unwrap_or_else(|| "https://127.0.0.1:8200".to_owned());
        Ok(Self {
            address: parse_address(&address)?,
            token: setting("TOKEN").map(Zeroizing::new).map_or_else(token_file::read, |token| Ok(Some(token)))?,
            ca_file: path(&flags.ca_cert, "CACERT"),
            ca_bytes: setting("CACERT_BYTES"),
            ca_directory: path(&flags.ca_path, "CAPATH"),
            client_certificate: client_certificate(
                path(&flags.client_cert, "CLIENT_CERT"),
                path(&flags.client_key, "CLIENT_KEY"),
            )?,
            server_name: text(&flags.tls_server_name, "TLS_SERVER_NAME"),
            skip_verify: flags.tls_skip_verify || switch("SKIP_VERIFY"),
            namespace: text(&flags.namespace, "NAMESPACE"),
            wrap_ttl: text(&flags.wrap_ttl, "WRAP_TTL"),
            headers: flags.header.iter().map(|header| parse_header(header)).collect::<Result<_>>()?,
            max_retries: setting("MAX_RETRIES").map_or(Ok(2), |value| number(&value, "MAX_RETRIES"))?,
            timeout: setting("CLIENT_TIMEOUT").map_or(Ok(Duration::from_secs(60)), |value| timeout(&value))?,
            print_curl: flags.output_curl_string,
        })
    }
}

fn parse_address(address: &str) -> Result<Url> {
    let wrong = || Failure::local(format!("{address:?} is not the address of a server"));
    let url = Url::parse(address).map_err(|error| wrong().because(error).fix("write it as https://HOST:PORT"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(wrong().fix("write it as https://HOST:PORT"))
    }
}

fn client_certificate(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err(Failure::local("a client certificate needs both --client-cert and --client-key")),
    }
}

fn parse_header(header: &str) -> Result<(String, String)> {
    let (name, value) = header.split_once('=').ok_or_else(|| {
        Failure::local(format!("cannot read the header {header:?}")).fix("write it as --header NAME=VALUE")
    })?;
    Ok((name.to_owned(), value.to_owned()))
}

fn number(value: &str, name: &str) -> Result<u32> {
    value.parse().map_err(|error| Failure::local(format!("{name}={value:?} is not a number")).because(error))
}

/// Seconds, or seconds, minutes or hours with their letter.
fn timeout(value: &str) -> Result<Duration> {
    let (digits, unit) = match value.strip_suffix(['s', 'm', 'h']) {
        Some(digits) => (digits, value.chars().last()),
        None => (value, None),
    };
    let scale = match unit {
        Some('m') => 60,
        Some('h') => 3600,
        _ => 1,
    };
    Ok(Duration::from_secs(u64::from(number(digits, "CLIENT_TIMEOUT")?).saturating_mul(scale)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_scheme_and_a_host() {
        assert!(parse_address("https://vault.example:8200").is_ok());
        for wrong in ["127.0.0.1:8200", "vault", "file:///etc", ""] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn timeouts_take_a_unit() {
        assert_eq!(timeout("90").unwrap(), Duration::from_secs(90));
        assert_eq!(timeout("2m").unwrap(), Duration::from_secs(120));
        assert!(timeout("soon").is_err());
    }

    #[test]
    fn half_a_client_certificate_is_refused() {
        assert!(client_certificate(Some("a".into()), None).is_err());
    }
}

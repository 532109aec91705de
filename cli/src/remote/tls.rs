//! Whom to trust: the system's roots, or only the CA that was named.

use super::connection::Connection;
use crate::failure::{Failure, Result};
use reqwest::{
    Certificate, Identity, Url,
    blocking::Client,
    redirect::{Attempt, Policy},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{
    fs,
    net::ToSocketAddrs as _,
    path::{Path, PathBuf},
};

/// The client, and the `Host` header to send where the certificate carries another name than the address.
pub(super) fn client(connection: &Connection) -> Result<(Client, Option<String>)> {
    let mut builder = Client::builder()
        .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
        .timeout(connection.timeout)
        .redirect(Policy::custom(one_redirect))
        .tls_danger_accept_invalid_certs(connection.skip_verify);
    let roots = roots(connection)?;
    if !roots.is_empty() {
        builder = builder.tls_certs_only(roots);
    }
    if let Some((certificate, key)) = &connection.client_certificate {
        let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        builder = builder.identity(Identity::from_pem(&pem).map_err(|error| {
            Failure::local(format!("{} and {} are not a certificate and its key", certificate.display(), key.display()))
                .because(error)
        })?);
    }
    let mut host = None;
    if let Some(name) = &connection.server_name {
        let authority = authority(&connection.address);
        let addresses: Vec<_> = authority
            .to_socket_addrs()
            .map_err(|error| Failure::local(format!("cannot resolve {authority}")).because(error))?
            .collect();
        builder = builder.resolve_to_addrs(name, &addresses);
        host = Some(authority);
    }
    let client = builder.build().map_err(|error| Failure::local("the TLS settings are unusable").because(error))?;
    Ok((client, host))
}

/// The address requests are built on: the certificate's name stands in for the host where one was given.
pub(super) fn url(connection: &Connection, renamed: bool) -> Result<Url> {
    let mut url = connection.address.clone();
    if let (true, Some(name)) = (renamed, &connection.server_name) {
        url.set_host(Some(name))
            .map_err(|error| Failure::local(format!("{name:?} is not a host name")).because(error))?;
    }
    Ok(url)
}

fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443))
}

/// One redirect, as a standby gives it, and never from https to http.
fn one_redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > 1 || (from_https && attempt.url().scheme() != "https") {
        attempt.stop()
    } else {
        attempt.follow()
    }
}

/// The named CAs as a root store; only for connections that name one.
pub(super) fn root_store(connection: &Connection) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for (pem, source) in sources(connection)? {
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let wrong = || Failure::local(format!("{source} holds no usable certificate"));
            store.add(certificate.map_err(|error| wrong().because(error))?).map_err(|error| wrong().because(error))?;
        }
    }
    if store.is_empty() {
        return Err(Failure::local("no CA is named").fix("name the server's CA with --ca-cert or CHANCERY_CACERT"));
    }
    Ok(store)
}

fn roots(connection: &Connection) -> Result<Vec<Certificate>> {
    let mut roots = Vec::new();
    for (pem, source) in sources(connection)? {
        roots.extend(bundle(&pem, &source)?);
    }
    Ok(roots)
}

/// PEM texts of the CAs that were named, each with the place it came from.
fn sources(connection: &Connection) -> Result<Vec<(Vec<u8>, String)>> {
    if let Some(file) = &connection.ca_file {
        return Ok(vec![(read(file)?, file.display().to_string())]);
    }
    if let Some(bytes) = &connection.ca_bytes {
        return Ok(vec![(bytes.clone().into_bytes(), "CACERT_BYTES".to_owned())]);
    }
    let Some(directory) = &connection.ca_directory else { return Ok(Vec::new()) };
    let wrong = |error| Failure::local(format!("cannot read {}", directory.display())).because(error);
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory).map_err(wrong)? {
        let path: PathBuf = entry.map_err(wrong)?.path();
        if path.is_file() {
            sources.push((read(&path)?, path.display().to_string()));
        }
    }
    Ok(sources)
}

fn bundle(pem: &[u8], source: &str) -> Result<Vec<Certificate>> {
    let certificates = Certificate::from_pem_bundle(pem)
        .map_err(|error| Failure::local(format!("{source} holds no usable certificate")).because(error))?;
    if certificates.is_empty() {
        return Err(Failure::local(format!("{source} holds no certificate")).fix("give a PEM file"));
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))
}

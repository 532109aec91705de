//! Whom `bulk` trusts to be the database. TLS itself is the store's (`PostgresTls`).

use crate::failure::{Failure, Result};
use chancery_server::PostgresTls;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::ConfigVerifierExt as _;
use std::path::{Path, PathBuf};

/// Verifies the certificate's chain and name, always.
pub(super) struct Tls {
    pub(super) connector: PostgresTls,
    names_ca: bool,
}

impl Tls {
    /// Trusts this CA, or the one `PGSSLROOTCERT` names, or the system's.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self> {
        let named = std::env::var_os("PGSSLROOTCERT").map(PathBuf::from).filter(|path| path != Path::new("system"));
        let ca = ca.map(Path::to_owned).or(named);
        let config = match &ca {
            Some(path) => ClientConfig::builder().with_root_certificates(roots(path)?).with_no_client_auth(),
            None => ClientConfig::with_platform_verifier().map_err(|error| {
                Failure::local("the system's CAs cannot be used").because(error).fix("name one with --postgres-ca")
            })?,
        };
        Ok(Self { connector: PostgresTls::new(config), names_ca: ca.is_some() })
    }

    /// Whether a CA of the database's own was named.
    pub(super) fn names_ca(&self) -> bool {
        self.names_ca
    }
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let wrong = |why: String| Failure::local(format!("{} holds no usable certificate", path.display())).because(why);
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is none in it".to_owned()).fix("give a PEM file")) } else { Ok(roots) }
}

//! Where an issuer publishes: `config/urls`, and an issuer's own in its place.

use crate::error::CaError;
use serde::{Deserialize, Serialize};

/// URLs that go into certificates (AIA and CRL distribution points).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Urls {
    /// `issuing_certificates`
    pub issuing_certificates: Vec<String>,
    /// `crl_distribution_points`
    pub crl_distribution_points: Vec<String>,
    /// `delta_crl_distribution_points`
    pub delta_crl_distribution_points: Vec<String>,
    /// `ocsp_servers`
    pub ocsp_servers: Vec<String>,
}

/// The text warnings about a mount without URLs have.
pub const MISSING: &str = "This mount hasn't configured any authority information access (AIA) fields; this may make it harder for systems to find missing certificates in the chain or to validate revocation status of certificates. Consider updating /config/urls or the newly generated issuer with this information.";

impl Urls {
    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// An issuer's own where it has any, else the mount's.
    #[must_use]
    pub fn or<'a>(&'a self, mount: &'a Self) -> &'a Self {
        if self.is_empty() { mount } else { self }
    }

    /// Refuses what is no URL.
    ///
    /// # Errors
    /// [`CaError::Caller`] that names the parameter and the value.
    pub fn check(&self) -> Result<(), CaError> {
        for (name, list) in [
            ("issuing_certificates", &self.issuing_certificates),
            ("crl_distribution_points", &self.crl_distribution_points),
            ("delta_crl_distribution_points", &self.delta_crl_distribution_points),
            ("ocsp_servers", &self.ocsp_servers),
        ] {
            if let Some(bad) = list.iter().find(|url| !is_url(url)) {
                return Err(CaError::Caller(format!(
                    "invalid URL found in Authority Information Access (AIA) parameter {name}: {bad}"
                )));
            }
        }
        Ok(())
    }
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    matches!(scheme, "http" | "https" | "ftp" | "ldap" | "ldaps")
        && !rest.is_empty()
        && !rest.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

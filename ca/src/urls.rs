//! Where an issuer publishes: `config/urls`, and an issuer's own in its place.
//!
//! With templating on, `{{cluster_path}}`, `{{cluster_aia_path}}` (both of `config/cluster`) and `{{issuer_id}}` stand for
//! their values when a certificate is issued.

use crate::{error::CaError, settings::ClusterSettings};
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

    /// The URLs with the places of their templates filled in.
    ///
    /// # Errors
    /// [`CaError::Caller`] where a value is not configured, or what comes out is no URL.
    pub fn filled(&self, issuer_id: &str, cluster: &ClusterSettings) -> Result<Self, CaError> {
        let fill = |list: &[String]| list.iter().map(|url| fill(url, issuer_id, cluster)).collect::<Result<_, _>>();
        let filled = Self {
            issuing_certificates: fill(&self.issuing_certificates)?,
            crl_distribution_points: fill(&self.crl_distribution_points)?,
            delta_crl_distribution_points: fill(&self.delta_crl_distribution_points)?,
            ocsp_servers: fill(&self.ocsp_servers)?,
        };
        filled.check()?;
        Ok(filled)
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

/// What is said of a template whose values are not all configured.
#[must_use]
pub fn cannot_fill(error: &CaError) -> String {
    format!("issuance may fail: {error}\n\nConsider setting the cluster-local address if it is not already set.")
}

fn fill(url: &str, issuer_id: &str, cluster: &ClusterSettings) -> Result<String, CaError> {
    let mut filled = url.to_owned();
    for (place, name, value) in [
        ("{{cluster_path}}", "path", cluster.path.as_str()),
        ("{{cluster_aia_path}}", "aia_path", &cluster.aia_path),
        ("{{issuer_id}}", "issuer_id", issuer_id),
    ] {
        if !filled.contains(place) {
            continue;
        }
        if value.is_empty() {
            return Err(CaError::Caller(format!(
                "unable to template AIA URLs as we lack local cluster address information ({name})"
            )));
        }
        filled = filled.replace(place, value);
    }
    Ok(filled)
}

/// Whether `text` is an absolute URL of a kind that certificates point to.
#[must_use]
pub fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    matches!(scheme, "http" | "https" | "ftp" | "ldap" | "ldaps")
        && !rest.is_empty()
        && !rest.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

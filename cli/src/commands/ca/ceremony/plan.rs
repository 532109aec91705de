//! The file: everything a ceremony will do, in TOML. Unknown members are errors, as nobody would notice what they meant.

use super::{keys::VerifyingKey, read};
use crate::failure::{Failure, Result};
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// A file that was read and is sound in itself.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its text, byte for byte.
    pub(super) text: String,
    /// SHA-256 of it, in hexadecimal: what approvals are bound to.
    pub(super) hash: String,
    pub(super) content: Content,
    approvers: Vec<(String, VerifyingKey)>,
    /// Requests that `sign-csr` brings, in the order of their steps.
    pub(super) requests: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    /// For people.
    pub(super) name: String,
    /// How many approvers it takes.
    pub(super) threshold: usize,
    /// The transit key in the HSM that signs the transcript: mount/key.
    pub(super) transcript: String,
    approver: Vec<Approver>,
    pub(super) step: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approver {
    name: String,
    public_key: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub(super) enum Step {
    /// A key and a certificate signed with it.
    Root(Root),
    /// A key and a certificate signed by another authority of this server.
    Intermediate(Intermediate),
    /// Another certificate for a key that is here.
    CrossSign(CrossSign),
    /// A certificate for a request made elsewhere.
    SignCsr(SignCsr),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    pub(super) mount: String,
    pub(super) issuer_name: String,
    pub(super) key: NewKey,
    pub(super) certificate: Profile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Intermediate {
    pub(super) mount: String,
    pub(super) issuer_name: String,
    pub(super) key: NewKey,
    pub(super) signed_by: Signer,
    pub(super) certificate: Profile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrossSign {
    pub(super) mount: String,
    /// Name of the new issuer.
    pub(super) issuer_name: String,
    /// Name of the key.
    pub(super) key: String,
    pub(super) signed_by: Signer,
    pub(super) certificate: Profile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignCsr {
    /// Name of the certificate in the transcript.
    pub(super) name: String,
    /// The request in PEM, beside the file.
    pub(super) csr: PathBuf,
    /// SHA-256 of that file, so that its content is approved too.
    pub(super) csr_sha256: String,
    pub(super) signed_by: Signer,
    pub(super) certificate: Profile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) bits: Option<u32>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Signer {
    pub(super) mount: String,
    pub(super) issuer: String,
}

/// What the certificate says. The names are the API's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) common_name: String,
    #[serde(default)]
    pub(super) organization: Vec<String>,
    #[serde(default)]
    pub(super) ou: Vec<String>,
    #[serde(default)]
    pub(super) country: Vec<String>,
    #[serde(default)]
    pub(super) locality: Vec<String>,
    #[serde(default)]
    pub(super) province: Vec<String>,
    pub(super) ttl: Option<String>,
    pub(super) not_after: Option<String>,
    pub(super) max_path_length: Option<u32>,
    #[serde(default)]
    pub(super) permitted_dns_domains: Vec<String>,
    #[serde(default)]
    pub(super) ext_key_usage: Vec<String>,
    pub(super) signature_bits: Option<u32>,
    pub(super) use_pss: Option<bool>,
}

impl Plan {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let plan = Self::parse(read(path)?).map_err(|why| {
            Failure::local(format!("{} is not a ceremony", path.display()))
                .because(why)
                .fix("docs/ceremony.md explains its members")
        })?;
        plan.with_requests(path.parent().unwrap_or_else(|| Path::new(".")))
    }

    pub(super) fn parse(text: String) -> Result<Self, String> {
        let content: Content = toml::from_str(&text).map_err(|error| error.to_string())?;
        let approvers = approvers(&content)?;
        if content.step.is_empty() {
            return Err("it has no step".to_owned());
        }
        if content.transcript.rsplit_once('/').is_none() {
            return Err(format!("transcript = {:?} is not MOUNT/KEY, such as transit/ceremony", content.transcript));
        }
        let mut names = BTreeSet::new();
        for (number, step) in (1..).zip(&content.step) {
            check(step).map_err(|why| format!("step {number}: {why}"))?;
            if !names.insert(step.name()) {
                return Err(format!("step {number}: {:?} was named before", step.name()));
            }
        }
        let hash = sha256(text.as_bytes());
        Ok(Self { text, hash, content, approvers, requests: Vec::new() })
    }

    /// The key of an approver.
    pub(super) fn approver(&self, name: &str) -> Result<&VerifyingKey> {
        self.find(name).ok_or_else(|| {
            let known: Vec<&str> = self.approvers.iter().map(|(name, _)| name.as_str()).collect();
            Failure::local(format!("{name:?} is no approver of this file"))
                .because(format!("its approvers are {}", known.join(", ")))
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<&VerifyingKey> {
        self.approvers.iter().find(|(known, _)| known == name).map(|(_, key)| key)
    }

    /// Reads the requests beside the file; what is read must be what was approved.
    fn with_requests(mut self, directory: &Path) -> Result<Self> {
        for step in &self.content.step {
            let Step::SignCsr(step) = step else { continue };
            let text = read(&directory.join(&step.csr))?;
            let found = sha256(text.as_bytes());
            if found != step.csr_sha256 {
                return Err(Failure::local(format!(
                    "{} is not the request that is to be approved",
                    step.csr.display()
                ))
                .because(format!("its SHA-256 is {found}, the file says {}", step.csr_sha256)));
            }
            self.requests.push(text);
        }
        Ok(self)
    }
}

impl Step {
    /// Name of the issuer or the certificate it makes.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Root(step) => &step.issuer_name,
            Self::Intermediate(step) => &step.issuer_name,
            Self::CrossSign(step) => &step.issuer_name,
            Self::SignCsr(step) => &step.name,
        }
    }

    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Root(_) => "root",
            Self::Intermediate(_) => "intermediate",
            Self::CrossSign(_) => "cross-sign",
            Self::SignCsr(_) => "sign-csr",
        }
    }

    pub(super) fn signed_by(&self) -> Option<&Signer> {
        match self {
            Self::Root(_) => None,
            Self::Intermediate(step) => Some(&step.signed_by),
            Self::CrossSign(step) => Some(&step.signed_by),
            Self::SignCsr(step) => Some(&step.signed_by),
        }
    }

    pub(super) fn certificate(&self) -> &Profile {
        match self {
            Self::Root(step) => &step.certificate,
            Self::Intermediate(step) => &step.certificate,
            Self::CrossSign(step) => &step.certificate,
            Self::SignCsr(step) => &step.certificate,
        }
    }

    /// The issuer it makes: mount and name.
    pub(super) fn makes(&self) -> Option<(&str, &str)> {
        match self {
            Self::Root(step) => Some((&step.mount, &step.issuer_name)),
            Self::Intermediate(step) => Some((&step.mount, &step.issuer_name)),
            Self::CrossSign(step) => Some((&step.mount, &step.issuer_name)),
            Self::SignCsr(_) => None,
        }
    }

    /// The key it makes: mount and name.
    pub(super) fn makes_key(&self) -> Option<(&str, &str)> {
        match self {
            Self::Root(step) => Some((&step.mount, &step.key.name)),
            Self::Intermediate(step) => Some((&step.mount, &step.key.name)),
            Self::CrossSign(_) | Self::SignCsr(_) => None,
        }
    }
}

/// Distinct people with distinct keys: one of them cannot count twice (CVE-2026-49834).
fn approvers(content: &Content) -> Result<Vec<(String, VerifyingKey)>, String> {
    let mut found: Vec<(String, VerifyingKey)> = Vec::new();
    for approver in &content.approver {
        let name = &approver.name;
        if !is_name(name) {
            return Err(format!("approver {name:?}: a name has letters, digits, '.', '-' and '_'"));
        }
        let key = VerifyingKey::from_pem(&approver.public_key).ok_or_else(|| {
            format!("approver {name}: public_key is not a public key in PEM (Ed25519, P-256, P-384, RSA)")
        })?;
        if let Some((other, _)) = found.iter().find(|(other, known)| other == name || *known == key) {
            return Err(format!("approvers {other} and {name} have the same name or the same key"));
        }
        found.push((name.clone(), key));
    }
    if content.threshold == 0 || content.threshold > found.len() {
        return Err(format!("threshold = {} does not fit {} approvers", content.threshold, found.len()));
    }
    Ok(found)
}

fn check(step: &Step) -> Result<(), String> {
    let certificate = step.certificate();
    if !is_name(step.name()) || step.name() == "default" {
        return Err(format!("{:?}: a name has letters, digits, '.', '-' and '_', and is not \"default\"", step.name()));
    }
    if step.makes_key().is_some_and(|(_, name)| !is_name(name) || name == "default") {
        return Err("the key needs a name of letters, digits, '.', '-' and '_'".to_owned());
    }
    if certificate.common_name.is_empty() {
        return Err("certificate.common_name is empty".to_owned());
    }
    if certificate.ttl.is_some() == certificate.not_after.is_some() {
        return Err("certificate needs one of ttl and not_after".to_owned());
    }
    if matches!(step, Step::Root(_)) && !certificate.ext_key_usage.is_empty() {
        return Err("certificate.ext_key_usage: a root is for everything below it".to_owned());
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(inner) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() <= 64
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ca::ceremony::keys::tests::fresh;

    fn approver(name: &str, pem: &str) -> String {
        format!("[[approver]]\nname = \"{name}\"\npublic_key = '''\n{pem}'''\n")
    }

    const STEP: &str = "[[step]]\naction = \"root\"\nmount = \"pki\"\nissuer_name = \"r1\"\n\
        key = { name = \"r1\", type = \"ec\" }\ncertificate = { common_name = \"R1\", ttl = \"87600h\" }\n";

    fn file(threshold: usize, approvers: &str, steps: &str) -> String {
        format!("name = \"x\"\nthreshold = {threshold}\ntranscript = \"transit/t\"\n{approvers}{steps}")
    }

    #[test]
    fn a_sound_file_is_read_and_hashed() {
        let (_, alice) = fresh();
        let text = file(1, &approver("alice", &alice), STEP);
        let plan = Plan::parse(text.clone()).unwrap();
        assert_eq!(plan.hash, sha256(text.as_bytes()));
        assert!(plan.approver("alice").is_ok() && plan.approver("bob").is_err());
        assert_eq!(plan.content.step[0].action(), "root");
    }

    #[test]
    fn what_nobody_meant_is_refused_by_name() {
        let ((_, alice), (_, bob)) = (fresh(), fresh());
        let two = approver("alice", &alice) + &approver("bob", &bob);
        for (text, why) in [
            (file(3, &two, STEP), "threshold = 3 does not fit 2 approvers"),
            (file(0, &two, STEP), "threshold = 0 does not fit 2 approvers"),
            (file(1, &(approver("alice", &alice) + &approver("alice", &bob)), STEP), "the same name or the same key"),
            (file(1, &(approver("alice", &alice) + &approver("eve", &alice)), STEP), "approvers alice and eve have"),
            (file(1, &approver("a b", &alice), STEP), "approver \"a b\""),
            (file(1, &approver("alice", "junk"), STEP), "public_key is not a public key in PEM"),
            (file(1, &two, ""), "missing field `step`"),
            (file(1, &two, &STEP.replace("ttl", "tll")), "unknown field `tll`"),
            (file(1, &two, &STEP.replace("\"root\"", "\"zork\"")), "unknown variant `zork`"),
            (
                file(1, &two, &STEP.replace(", ttl = \"87600h\"", "")),
                "step 1: certificate needs one of ttl and not_after",
            ),
            (file(1, &two, &STEP.replace("\"R1\"", "\"\"")), "step 1: certificate.common_name is empty"),
            (file(1, &two, &(STEP.to_owned() + STEP)), "step 2: \"r1\" was named before"),
            (file(1, &two, STEP).replace("transit/t", "t"), "transcript = \"t\" is not MOUNT/KEY"),
        ] {
            let error = Plan::parse(text).unwrap_err();
            assert!(error.contains(why), "{error:?} does not say {why:?}");
        }
    }
}

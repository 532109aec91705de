//! `ssh login`: by default with a fresh key that lives in ssh-agent only, and there as long as its certificate.

use super::agent::{Agent, Identity};
use crate::{
    commands::ssh_ca::{Mount, pull, text},
    failure::{Failure, Result},
    output::Output,
    remote::Remote,
};
use aws_lc_rs::{
    encoding::AsBigEndian as _,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use clap::Args;
use serde_json::{Value, json};
use ssh_key::{
    Certificate,
    public::{Ed25519PublicKey, KeyData},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(crate) struct LoginFlags {
    /// Where the SSH engine is mounted
    #[arg(long, default_value = "ssh", value_name = "PATH")]
    mount: String,
    /// The role to sign under
    #[arg(long, default_value = "user")]
    role: String,
    /// A user name to log in as; may be repeated [default: the role's default_user]
    #[arg(long = "principal", value_name = "NAME")]
    principals: Vec<String>,
    /// How long the certificate shall live [default: what the role says]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Certify this private key's public half and write the certificate beside it, instead of using ssh-agent
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Do nothing while a certificate from an earlier login is valid for another minute
    #[arg(long)]
    if_needed: bool,
}

pub(crate) fn run(flags: &LoginFlags, remote: impl FnOnce() -> Result<Remote>, output: &Output) -> Result<()> {
    match &flags.key {
        Some(key) => beside(key, flags, remote, output),
        None => in_agent(flags, remote, output),
    }
}

fn in_agent(flags: &LoginFlags, remote: impl FnOnce() -> Result<Remote>, output: &Output) -> Result<()> {
    let mut agent = Agent::connect()?;
    let remote = remote()?;
    let comment =
        format!("chancery {} {}/{} {}", remote.address(), flags.mount, flags.role, flags.principals.join(","));
    if flags.if_needed && holds(&mut agent, &comment)? {
        return Ok(());
    }
    let failed = |_| Failure::local("a key pair could not be made");
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(failed)?;
    let public: [u8; 32] =
        pair.public_key().as_ref().try_into().map_err(|_| Failure::local("a key pair could not be made"))?;
    let line = ssh_key::PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(public)))
        .to_openssh()
        .map_err(|error| Failure::local("the public key").because(error))?;
    let certificate = certified(&remote, flags, &line)?;
    let blob = certificate.to_bytes().map_err(|error| Failure::remote("the certificate").because(error))?;
    let mut secret = Zeroizing::new(seed.as_ref().to_vec());
    secret.extend_from_slice(&public);
    let lifetime = u32::try_from(left(&certificate)).unwrap_or(u32::MAX).max(1);
    agent.add(&Identity { certificate: &blob, pair: &secret, comment: &comment, lifetime })?;
    told(&certificate, "ssh-agent", output)
}

fn beside(key: &Path, flags: &LoginFlags, remote: impl FnOnce() -> Result<Remote>, output: &Output) -> Result<()> {
    let with = |suffix: &str| {
        let mut name = key.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (public, certificate_path) = (with(".pub"), with("-cert.pub"));
    if flags.if_needed
        && let Ok(line) = fs::read_to_string(&certificate_path)
        && Certificate::from_openssh(line.trim()).is_ok_and(|certificate| left(&certificate) > 60)
    {
        return Ok(());
    }
    let line = fs::read_to_string(&public)
        .map_err(|error| Failure::local(format!("cannot read {}", public.display())).because(error))?;
    let certificate = certified(&remote()?, flags, line.trim())?;
    let text = certificate.to_openssh().map_err(|error| Failure::remote("the certificate").because(error))?;
    pull::replace(&certificate_path, format!("{}\n", text.trim_end()).as_bytes(), 0o644)?;
    told(&certificate, &certificate_path.display().to_string(), output)
}

fn certified(remote: &Remote, flags: &LoginFlags, public: &str) -> Result<Certificate> {
    let mount = Mount { remote, path: flags.mount.trim_matches('/') };
    let mut body = json!({"public_key": public, "cert_type": "user"});
    if let Some(members) = body.as_object_mut() {
        if !flags.principals.is_empty() {
            members.insert("valid_principals".to_owned(), Value::String(flags.principals.join(",")));
        }
        if let Some(ttl) = &flags.ttl {
            members.insert("ttl".to_owned(), json!(ttl));
        }
    }
    let answer = mount.post(&format!("sign/{}", flags.role), body)?;
    Certificate::from_openssh(text(&answer, "signed_key")?.trim())
        .map_err(|error| Failure::remote("what the server sent is no certificate").because(error))
}

/// Whether the agent holds a certificate of an earlier login like this one, with a minute to live.
fn holds(agent: &mut Agent, comment: &str) -> Result<bool> {
    let ours = agent.identities()?.into_iter().filter(|(_, known)| known == comment);
    Ok(ours
        .into_iter()
        .any(|(blob, _)| Certificate::from_bytes(&blob).is_ok_and(|certificate| left(&certificate) > 60)))
}

fn left(certificate: &Certificate) -> u64 {
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    certificate.valid_before().saturating_sub(now)
}

fn told(certificate: &Certificate, place: &str, output: &Output) -> Result<()> {
    output.done(format!(
        "A certificate for {} is in {place} for {} minutes.",
        certificate.valid_principals().join(", "),
        left(certificate).div_ceil(60)
    ))
}

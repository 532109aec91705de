//! A host's own certificate: the first one with a token, the next ones with the key it has; and what sshd and ssh need in
//! their configuration to use it. Run again, it changes only what has to change.
//!
//! Private keys stay with OpenSSH: `ssh-keygen` makes them and signs the proof of a renewal.

mod files;
mod keygen;

use super::{Mount, pull, text};
use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::Answer,
};
use clap::{Args, Subcommand};
use files::{Plan, Wanted};
use serde_json::json;
use ssh_key::Certificate;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Debug, Subcommand)]
pub(super) enum HostCommand {
    /// Get this host its first certificate and configure sshd; needs a token
    Enrol(EnrolFlags),
    /// Renew the certificate by proving that its key is held; needs no token
    Renew(RenewFlags),
}

#[derive(Debug, Args)]
struct PlaceFlags {
    /// Directory of sshd's files
    #[arg(long, default_value = "/etc/ssh", value_name = "DIR")]
    directory: PathBuf,
    /// The host key to certify, below that directory [default: ssh_host_ed25519_key]
    #[arg(long, default_value = "ssh_host_ed25519_key", value_name = "NAME")]
    key: PathBuf,
    /// The CA of hosts, where it is not the default
    #[arg(long, value_name = "ISSUER")]
    host_issuer: Option<String>,
    /// The CA of users, where it is not the default
    #[arg(long, value_name = "ISSUER")]
    user_issuer: Option<String>,
    /// Names that clients on this host check by certificate [default: the domains of the host's names]
    #[arg(long, value_name = "PATTERN")]
    known_hosts: Vec<String>,
    /// Run this where something changed that sshd reads at its start, such as "systemctl reload ssh"
    #[arg(long, value_name = "COMMAND")]
    reload: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct EnrolFlags {
    #[command(flatten)]
    place: PlaceFlags,
    /// The role to sign under
    #[arg(long, default_value = "host")]
    role: String,
    /// A name of this host; may be repeated [default: its host name]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// How long the certificate shall live [default: what the role says]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RenewFlags {
    #[command(flatten)]
    place: PlaceFlags,
    /// Renew even if more than a third of the certificate's life is left
    #[arg(long)]
    force: bool,
}

pub(super) fn run(mount: &Mount<'_>, command: &HostCommand, output: &Output) -> Result<()> {
    match command {
        HostCommand::Enrol(flags) => enrol(mount, flags, output),
        HostCommand::Renew(flags) => renew(mount, flags, output),
    }
}

fn enrol(mount: &Mount<'_>, flags: &EnrolFlags, output: &Output) -> Result<()> {
    let names = match flags.names.as_slice() {
        [] => vec![host_name()?],
        names => names.to_vec(),
    };
    let place = &flags.place;
    let key = place.directory.join(&place.key);
    let plan = &mut Plan::new(place.dry_run);
    if !key.exists() {
        plan.act(&format!("make the host key {}", key.display()), || keygen::make(&key))?;
    }
    let present = certificate(&key)?;
    let is_current = present.as_ref().is_some_and(|present| {
        present.valid_principals() == names && !is_due(present, now()) && certifies(present, &key)
    });
    if !is_current {
        let what = format!("have {} certified for {}", key.display(), names.join(", "));
        plan.act(&what, || {
            let public = read(&public_half(&key))?;
            let mut body = json!({"public_key": public, "cert_type": "host", "valid_principals": names.join(",")});
            if let (Some(ttl), Some(members)) = (&flags.ttl, body.as_object_mut()) {
                members.insert("ttl".to_owned(), json!(ttl));
            }
            keep(&key, &mount.post(&format!("sign/{}", flags.role), body)?)
        })?;
    }
    configure(mount, place, &names, plan)?;
    finish(place, plan, output)
}

fn renew(mount: &Mount<'_>, flags: &RenewFlags, output: &Output) -> Result<()> {
    let place = &flags.place;
    let key = place.directory.join(&place.key);
    let present = certificate(&key)?.ok_or_else(|| {
        Failure::local(format!("{} is not there", certificate_path(&key).display()))
            .because("a renewal proves that the key of a certificate is held")
            .fix("chancery ssh-ca host enrol")
    })?;
    let names = present.valid_principals().to_vec();
    let plan = &mut Plan::new(place.dry_run);
    if flags.force || is_due(&present, now()) {
        plan.act(&format!("renew the certificate of {}", key.display()), || {
            let nonce = mount.read("host/nonce")?;
            let (nonce, namespace) = (text(&nonce, "nonce")?, text(&nonce, "namespace")?);
            let public = read(&public_half(&key))?;
            let parsed = ssh_key::PublicKey::from_openssh(public.trim()).map_err(|error| {
                Failure::local(format!("{} is no public key", public_half(&key).display())).because(error)
            })?;
            let fingerprint = parsed.fingerprint(ssh_key::HashAlg::Sha256);
            let message = format!("chancery-host-renewal-v1\n{nonce}\n{fingerprint}\n");
            let body = json!({
                "certificate": read(&certificate_path(&key))?,
                "public_key": public,
                "nonce": nonce,
                "signature": keygen::prove(&key, namespace, &message)?,
            });
            keep(&key, &mount.post("host/renew", body)?)
        })?;
    }
    configure(mount, place, &names, plan)?;
    finish(place, plan, output)
}

/// Everything sshd and ssh read besides. Revocations come before the line that makes sshd look for them.
fn configure(mount: &Mount<'_>, place: &PlaceFlags, names: &[String], plan: &mut Plan) -> Result<()> {
    let at = |name: &str| place.directory.join(name);
    let (users, krl) = (at("chancery_user_ca_keys"), at("chancery_revoked_keys.krl"));
    let user_keys = pull::trusted_keys(mount, place.user_issuer.as_deref())?;
    let host_keys = pull::trusted_keys(mount, place.host_issuer.as_deref())?;
    plan.file(&Wanted { path: users.clone(), content: user_keys, mode: 0o644, is_read_at_start: false })?;
    if place.dry_run {
        plan.note(&format!("fetch the key revocation list into {}", krl.display()));
    } else if pull::pull_krl(mount, None, &krl, false)? {
        plan.note(&format!("fetched the key revocation list into {}", krl.display()));
    }
    let key = place.directory.join(&place.key);
    let snippet = format!(
        "# Written by chancery ssh-ca host; changes are lost with the next run.\n\
         HostKey {}\nHostCertificate {}\nTrustedUserCAKeys {}\nRevokedKeys {}\n",
        key.display(),
        certificate_path(&key).display(),
        users.display(),
        krl.display()
    );
    let snippet_path = at("sshd_config.d/50-chancery.conf");
    plan.directory(&at("sshd_config.d"))?;
    plan.file(&Wanted { path: snippet_path, content: snippet, mode: 0o644, is_read_at_start: true })?;
    let known = at("ssh_known_hosts");
    let patterns = if place.known_hosts.is_empty() { files::domains(names) } else { place.known_hosts.clone() };
    let present = fs::read_to_string(&known).unwrap_or_default();
    let content = files::with_authorities(&present, &patterns.join(","), &host_keys);
    plan.file(&Wanted { path: known, content, mode: 0o644, is_read_at_start: false })
}

fn finish(place: &PlaceFlags, plan: &Plan, output: &Output) -> Result<()> {
    for step in plan.steps() {
        output.done(step)?;
    }
    if plan.steps().is_empty() {
        return output.done("Everything is as it should be.");
    }
    if place.dry_run || !plan.needs_reload() {
        return Ok(());
    }
    let Some(command) = &place.reload else {
        output.remark("sshd must reload its configuration to use it: systemctl reload ssh (or --reload COMMAND)");
        return Ok(());
    };
    let status = Command::new("sh").args(["-c", command]).status();
    match status {
        Ok(status) if status.success() => output.done(format!("Ran {command}.")),
        Ok(status) => Err(Failure::local(format!("{command} failed: {status}"))
            .because("the files are in place, but sshd may still use the old ones")),
        Err(error) => Err(Failure::local(format!("{command} could not be run")).because(error)),
    }
}

/// Puts an answered certificate in place.
fn keep(key: &Path, answer: &Answer) -> Result<()> {
    let line = text(answer, "signed_key")?;
    let certificate = Certificate::from_openssh(line.trim())
        .map_err(|error| Failure::remote("what the server sent is no certificate").because(error))?;
    if !certifies(&certificate, key) {
        return Err(Failure::remote("the server certified another key").because("nothing was written"));
    }
    pull::replace(&certificate_path(key), line.as_bytes(), 0o644).map(|_| ())
}

/// The certificate that is in place.
fn certificate(key: &Path) -> Result<Option<Certificate>> {
    let path = certificate_path(key);
    let Ok(line) = fs::read_to_string(&path) else { return Ok(None) };
    let parsed = Certificate::from_openssh(line.trim());
    parsed.map(Some).map_err(|error| {
        Failure::local(format!("{} is no certificate", path.display()))
            .because(error)
            .fix("move it away and enrol again")
    })
}

fn certifies(certificate: &Certificate, key: &Path) -> bool {
    let public = fs::read_to_string(public_half(key)).unwrap_or_default();
    ssh_key::PublicKey::from_openssh(public.trim()).is_ok_and(|key| key.key_data() == certificate.public_key())
}

/// Whether less than a third of the certificate's life is left.
fn is_due(certificate: &Certificate, now: u64) -> bool {
    let life = certificate.valid_before().saturating_sub(certificate.valid_after());
    certificate.valid_before().saturating_sub(now) < life / 3
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

fn public_half(key: &Path) -> PathBuf {
    with_suffix(key, ".pub")
}

fn certificate_path(key: &Path) -> PathBuf {
    with_suffix(key, "-cert.pub")
}

fn with_suffix(key: &Path, suffix: &str) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))
}

fn host_name() -> Result<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        return Err(Failure::local("this machine has no host name").fix("give its names with --name"));
    }
    Ok(name)
}

//! What sshd reads from disk: fetched, checked, and put in place whole. Where anything is wrong, the file that is there
//! stays: an sshd without its revocation list lets nobody in, one with half a list lets the wrong ones in.

use super::Mount;
use crate::{
    commands::transit::place::Target,
    failure::{Failure, Result},
    output::Output,
    remote::{Ask, Verb},
};
use aws_lc_rs::digest::{SHA256, digest};
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// PROTOCOL.krl: KRL_MAGIC, then the format.
const MAGIC: &[u8] = b"SSHKRL\n\0\0\0\0\x01";
/// Readable by everybody, as sshd's unprivileged half needs it.
const PUBLIC: u32 = 0o644;

#[derive(Debug, Subcommand)]
pub(super) enum KrlCommand {
    /// Fetch the key revocation list for `RevokedKeys` of sshd_config; needs no token
    Pull(KrlFlags),
}

#[derive(Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// Fetch the CA keys for `TrustedUserCAKeys` of sshd_config; needs no token
    Pull(TrustFlags),
}

#[derive(Debug, Args)]
pub(super) struct KrlFlags {
    /// File to replace
    #[arg(long, default_value = "/etc/ssh/revoked_keys.krl", value_name = "FILE")]
    output: PathBuf,
    /// The list of this issuer only
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// Take a list that is older than the one in place
    #[arg(long)]
    allow_older: bool,
}

#[derive(Debug, Args)]
pub(super) struct TrustFlags {
    /// File to replace
    #[arg(long, default_value = "/etc/ssh/trusted_user_ca_keys", value_name = "FILE")]
    output: PathBuf,
    /// The keys of this issuer and of those it is rotated to or from
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
}

pub(super) fn krl(mount: &Mount<'_>, flags: &KrlFlags, output: &Output) -> Result<()> {
    let changed = pull_krl(mount, flags.issuer.as_deref(), &flags.output, flags.allow_older)?;
    told(changed, &flags.output, output)
}

pub(super) fn trust(mount: &Mount<'_>, flags: &TrustFlags, output: &Output) -> Result<()> {
    let keys = trusted_keys(mount, flags.issuer.as_deref())?;
    told(replace(&flags.output, keys.as_bytes(), PUBLIC)?, &flags.output, output)
}

fn told(changed: bool, path: &Path, output: &Output) -> Result<()> {
    let path = path.display();
    output.done(if changed { format!("{path} is replaced.") } else { format!("{path} is up to date.") })
}

/// Fetches the revocation list; whether the file changed.
pub(super) fn pull_krl(mount: &Mount<'_>, issuer: Option<&str>, path: &Path, allow_older: bool) -> Result<bool> {
    let present = fs::read(path).ok();
    let tail = mount.at(&Mount::of_issuer(issuer, "krl"));
    let mut ask = Ask::new(Verb::Read, &tail);
    // The server names a list by its hash, so the copy at hand can be asked about without remembering anything.
    ask.known = present.as_ref().map(|bytes| format!("\"{}\"", HEXLOWER.encode(digest(&SHA256, bytes).as_ref())));
    let answer = mount.remote.attempt(&ask)?;
    if answer.status == 304 {
        return Ok(false);
    }
    let answer = answer.successful(&ask, mount.remote.address())?;
    let kept = |what: &str| {
        Failure::remote(what)
            .because(format!("{} is left as it is", path.display()))
            .fix("is the SSH engine mounted there? See --mount and --address")
    };
    let version = version(&answer.body).ok_or_else(|| kept("what the server sent is no key revocation list"))?;
    let here = present.as_deref().and_then(self::version);
    if let Some(here) = here.filter(|here| *here > version && !allow_older) {
        return Err(Failure::remote(format!("the server's list has version {version}, the one in place has {here}"))
            .because("an older list forgets revocations; a server restored from a backup would send one")
            .fix("if that is meant: --allow-older"));
    }
    replace(path, &answer.body, PUBLIC)
}

/// The keys hosts shall trust, a line each.
pub(super) fn trusted_keys(mount: &Mount<'_>, issuer: Option<&str>) -> Result<String> {
    let answer = mount.read(&Mount::of_issuer(issuer, "trusted_keys"))?;
    let text = String::from_utf8(answer.body).unwrap_or_default();
    let is_key = |line: &str| ssh_key::PublicKey::from_openssh(line).is_ok();
    if text.lines().next().is_none() || !text.lines().all(is_key) {
        return Err(Failure::remote("what the server sent is no list of public keys").because("nothing was written"));
    }
    Ok(text)
}

/// krl_version, if these bytes begin as a list does.
fn version(bytes: &[u8]) -> Option<u64> {
    bytes.strip_prefix(MAGIC)?.first_chunk::<8>().map(|version| u64::from_be_bytes(*version))
}

/// Puts the bytes in place where they differ; whether they did. Readers see the old file or the new one.
pub(in crate::commands) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let mut target = Target::create(path, true, mode)?;
    target.write_all(bytes)?;
    target.finish()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_from_anything_else() {
        let list = [MAGIC, &7_u64.to_be_bytes(), b"rest"].concat();
        assert_eq!(version(&list), Some(7));
        for other in [&list[..15], b"{\"errors\":[]}", b"", b"SSHKRL\n\0\0\0\0\x02\0\0\0\0\0\0\0\x07"] {
            assert_eq!(version(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_file_is_touched_only_where_it_differs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("krl");
        assert!(replace(&path, b"one", PUBLIC).unwrap());
        assert!(!replace(&path, b"one", PUBLIC).unwrap());
        assert!(replace(&path, b"two", PUBLIC).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
    }
}

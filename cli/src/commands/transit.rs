//! `transit`: encryption as a service, made comfortable.
//!
//! | file | command |
//! |---|---|
//! | `file.rs` | `encrypt`, `decrypt`, `rewrap`: files of any size, sealed here under a data key the server wraps |
//! | `key.rs` | `key list`, `show`, `create`, `rotate`, `config`, `trim`, `delete` |
//! | `sign.rs` | `sign`, `verify`, `hmac` |
//! | `import.rs`, `material.rs` | `import`: reads a key, wraps it for the server, sends it |
//! | `export.rs` | `datakey`, `export`, `backup`, `restore`: what key material leaves the server, and comes back |
//! | `place.rs` | where a file comes from and how its successor takes its name |

mod export;
mod file;
mod import;
mod key;
mod material;
pub(super) mod place;
mod sign;

use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{Answer, Ask, Remote, Verb},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(crate) struct TransitFlags {
    /// Where transit is mounted
    #[arg(long, global = true, default_value = "transit", value_name = "PATH")]
    mount: String,
    #[command(subcommand)]
    command: TransitCommand,
}

#[derive(Debug, Subcommand)]
enum TransitCommand {
    /// Encrypt a file of any size under a data key that a transit key wraps; the content never leaves this machine
    Encrypt(file::EncryptFlags),
    /// Decrypt a file that `encrypt` wrote
    Decrypt(file::DecryptFlags),
    /// Wrap the data keys of encrypted files with the newest version of their key, leaving the content as it is
    Rewrap(file::RewrapFlags),
    /// Manage named keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Sign a file
    Sign(sign::SignFlags),
    /// Verify a signature or an HMAC of a file (exit code 0 valid, 4 not valid)
    Verify(sign::VerifyFlags),
    /// Compute the HMAC of a file
    Hmac(sign::HmacFlags),
    /// Have a data key made
    Datakey(export::DatakeyFlags),
    /// Bring a key of your own: wrapped here, so that nothing between reads it
    Import(Box<import::ImportFlags>),
    /// Print the versions of an exportable key
    Export(export::ExportFlags),
    /// Write a key with all its versions, in the clear, into a file
    Backup(export::BackupFlags),
    /// Bring a key back from its backup
    Restore(export::RestoreFlags),
}

/// A transit mount of a server.
struct Mount<'a> {
    remote: &'a Remote,
    path: &'a str,
}

pub(crate) fn run(remote: &Remote, flags: &TransitFlags, output: &Output) -> Result<ExitCode> {
    let mount = &Mount { remote, path: flags.mount.trim_matches('/') };
    match &flags.command {
        TransitCommand::Encrypt(flags) => file::encrypt(mount, flags, output)?,
        TransitCommand::Decrypt(flags) => file::decrypt(mount, flags, output)?,
        TransitCommand::Rewrap(flags) => file::rewrap(mount, flags, output)?,
        TransitCommand::Key(command) => key::run(mount, command, output)?,
        TransitCommand::Sign(flags) => sign::sign(mount, flags, output)?,
        TransitCommand::Verify(flags) => return sign::verify(mount, flags, output),
        TransitCommand::Hmac(flags) => sign::hmac(mount, flags, output)?,
        TransitCommand::Datakey(flags) => export::datakey(mount, flags, output)?,
        TransitCommand::Import(flags) => import::run(mount, flags, output)?,
        TransitCommand::Export(flags) => export::export(mount, flags, output)?,
        TransitCommand::Backup(flags) => export::backup(mount, flags, output)?,
        TransitCommand::Restore(flags) => export::restore(mount, flags, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Mount<'_> {
    /// A path below the mount.
    fn at(&self, tail: &str) -> String {
        format!("{}/{tail}", self.path)
    }

    fn post(&self, tail: &str, body: impl Into<Value>) -> Result<Answer> {
        self.remote.send(&Ask::new(Verb::Post, &self.at(tail)).body(body))
    }

    fn read(&self, tail: &str) -> Result<Answer> {
        self.remote.read(&self.at(tail))
    }
}

/// A text the answer must have.
fn text<'a>(answer: &'a Answer, member: &str) -> Result<&'a str> {
    answer.data().get(member).and_then(Value::as_str).ok_or_else(|| no_member(member))
}

fn no_member(member: &str) -> Failure {
    Failure::remote(format!("the answer has no {member:?}"))
        .because("a transit engine would have sent it")
        .fix("is transit mounted there? See: chancery secrets list, and --mount")
}

/// Secret bytes that came as base64.
fn secret(answer: &mut Answer, member: &str) -> Result<Zeroizing<Vec<u8>>> {
    let text = answer.take_secret(member).ok_or_else(|| no_member(member))?;
    let bytes = STANDARD.decode(text.as_bytes());
    bytes.map(Zeroizing::new).map_err(|_| Failure::remote(format!("the answer's {member:?} is not base64")))
}

/// The version a ciphertext or a signature names: `vault:vN:…`.
pub(super) fn version(ciphertext: &str) -> Option<u64> {
    let (version, payload) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    version.parse().ok().filter(|_| !payload.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ciphertexts_have_a_version() {
        assert_eq!(version("vault:v12:AAAA"), Some(12));
        for other in ["vault:v12:", "vault:vx:AAAA", "vault:12:AAAA", "hello", ""] {
            assert_eq!(version(other), None, "{other}");
        }
    }
}

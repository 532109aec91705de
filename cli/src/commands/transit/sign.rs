//! `transit sign`, `verify`, `hmac` of a file's content.

use super::{Mount, place, text};
use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{Answer, Ask, Verb},
};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::{
    io::{Read, Write as _},
    path::PathBuf,
    process::ExitCode,
};

/// Exit code of `verify` for a signature that is none.
const NOT_VALID: u8 = 4;
/// What fits into a request with room to spare: servers refuse bodies above 32 MiB, and base64 adds a third.
const MAX_CONTENT: u64 = 20 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct SignFlags {
    #[command(flatten)]
    what: WhatFlags,
    #[command(flatten)]
    how: HowFlags,
    /// Version of the key; 0 the newest
    #[arg(long, value_name = "NUMBER")]
    key_version: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyFlags {
    #[command(flatten)]
    what: WhatFlags,
    /// The signature, or @FILE that holds it
    #[arg(short, long, value_name = "TEXT", required_unless_present = "hmac")]
    signature: Option<String>,
    /// The HMAC to verify instead, or @FILE that holds it
    #[arg(long, value_name = "TEXT", conflicts_with = "signature")]
    hmac: Option<String>,
    #[command(flatten)]
    how: HowFlags,
}

#[derive(Debug, Args)]
pub(super) struct HmacFlags {
    #[command(flatten)]
    what: WhatFlags,
    /// Hash function
    #[arg(long, value_enum, value_name = "NAME")]
    hash: Option<Hash>,
    /// Version of the key; 0 the newest
    #[arg(long, value_name = "NUMBER")]
    key_version: Option<u64>,
}

#[derive(Debug, Args)]
struct WhatFlags {
    /// Name of the key
    key: String,
    /// The file, - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct HowFlags {
    /// Hash function [default: sha2-256]
    #[arg(long, value_enum, value_name = "NAME")]
    hash: Option<Hash>,
    /// Hash the file here and send the hash alone: for files of any size (not for ed25519 and ML-DSA, which sign the whole)
    #[arg(long)]
    hash_here: bool,
    /// The file holds a hash already
    #[arg(long, conflicts_with = "hash_here")]
    prehashed: bool,
    /// Padding of an RSA signature
    #[arg(long, value_name = "NAME", value_parser = ["pss", "pkcs1v15"])]
    signature_algorithm: Option<String>,
    /// Salt of a PSS signature: auto, hash, or a number of bytes
    #[arg(long, value_name = "LENGTH")]
    salt_length: Option<String>,
    /// Form of an ECDSA signature
    #[arg(long, value_name = "NAME", value_parser = ["asn1", "jws"])]
    marshaling_algorithm: Option<String>,
    /// Context of a derived key, base64
    #[arg(long, value_name = "BASE64")]
    context: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hash {
    #[value(name = "sha1")]
    Sha1,
    #[value(name = "sha2-224")]
    Sha2_224,
    #[value(name = "sha2-256")]
    Sha2_256,
    #[value(name = "sha2-384")]
    Sha2_384,
    #[value(name = "sha2-512")]
    Sha2_512,
    #[value(name = "sha3-224")]
    Sha3_224,
    #[value(name = "sha3-256")]
    Sha3_256,
    #[value(name = "sha3-384")]
    Sha3_384,
    #[value(name = "sha3-512")]
    Sha3_512,
    /// Pad what is given, no hash
    #[value(name = "none")]
    None,
}

impl Hash {
    fn wire(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn here(self) -> Option<&'static digest::Algorithm> {
        Some(match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha2_224 => &digest::SHA224,
            Self::Sha2_256 => &digest::SHA256,
            Self::Sha2_384 => &digest::SHA384,
            Self::Sha2_512 => &digest::SHA512,
            Self::Sha3_256 => &digest::SHA3_256,
            Self::Sha3_384 => &digest::SHA3_384,
            Self::Sha3_512 => &digest::SHA3_512,
            Self::Sha3_224 | Self::None => return None,
        })
    }
}

pub(super) fn sign(mount: &Mount<'_>, flags: &SignFlags, output: &Output) -> Result<()> {
    let mut body = body(&flags.what, &flags.how)?;
    add(&mut body, "key_version", flags.key_version.map(|version| json!(version)));
    let answer = mount.post(&format!("sign/{}", flags.what.key), body)?;
    result(&answer, "signature", output)
}

pub(super) fn hmac(mount: &Mount<'_>, flags: &HmacFlags, output: &Output) -> Result<()> {
    let mut body = Map::from_iter([("input".to_owned(), json!(content(&flags.what.file)?))]);
    add(&mut body, "algorithm", flags.hash.map(|hash| json!(hash.wire())));
    add(&mut body, "key_version", flags.key_version.map(|version| json!(version)));
    let answer = mount.post(&format!("hmac/{}", flags.what.key), body)?;
    result(&answer, "hmac", output)
}

pub(super) fn verify(mount: &Mount<'_>, flags: &VerifyFlags, output: &Output) -> Result<ExitCode> {
    let (member, given) = match (&flags.signature, &flags.hmac) {
        (Some(signature), _) => ("signature", signature),
        (None, Some(hmac)) => ("hmac", hmac),
        (None, None) => return Err(Failure::local("nothing to verify").fix("give --signature or --hmac")),
    };
    let mut body = body(&flags.what, &flags.how)?;
    add(&mut body, member, Some(json!(text_or_file(given)?)));
    let path = mount.at(&format!("verify/{}", flags.what.key));
    let answer = mount.remote.send(&Ask::new(Verb::Post, &path).body(body))?;
    let valid = answer.data().get("valid").and_then(Value::as_bool).unwrap_or(false);
    if output.is_table() {
        output.done(if valid { format!("The {member} is valid.") } else { format!("The {member} is NOT valid.") })?;
    } else {
        output.answer(&answer)?;
    }
    Ok(ExitCode::from(if valid { 0 } else { NOT_VALID }))
}

/// The text alone for people, so that it can be sent into a file; the envelope for machines.
fn result(answer: &Answer, member: &str, output: &Output) -> Result<()> {
    if output.is_table() { output.done(text(answer, member)?) } else { output.answer(answer) }
}

fn body(what: &WhatFlags, how: &HowFlags) -> Result<Map<String, Value>> {
    let input =
        if how.hash_here { hashed(&what.file, how.hash.unwrap_or(Hash::Sha2_256))? } else { content(&what.file)? };
    let mut body = Map::from_iter([("input".to_owned(), json!(input))]);
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    add(&mut body, "hash_algorithm", how.hash.map(|hash| json!(hash.wire())));
    add(&mut body, "prehashed", (how.prehashed || how.hash_here).then_some(json!(true)));
    add(&mut body, "signature_algorithm", text(&how.signature_algorithm));
    add(&mut body, "salt_length", text(&how.salt_length));
    add(&mut body, "marshaling_algorithm", text(&how.marshaling_algorithm));
    add(&mut body, "context", text(&how.context));
    Ok(body)
}

fn add(body: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    body.extend(value.map(|value| (name.to_owned(), value)));
}

/// A file's content, base64.
fn content(path: &std::path::Path) -> Result<String> {
    let name = place::name(path);
    let mut content = Vec::new();
    let read = place::source(path)?.take(MAX_CONTENT + 1).read_to_end(&mut content);
    read.map_err(|error| Failure::local(format!("cannot read {name}")).because(error))?;
    if content.len() as u64 > MAX_CONTENT {
        return Err(Failure::local(format!("{name} is too large to be sent"))
            .because(format!("a request takes {} MiB of content", MAX_CONTENT >> 20))
            .fix("hash it here: --hash-here (sign and verify, ECDSA and RSA keys)"));
    }
    Ok(STANDARD.encode(content))
}

/// The hash of a file of any size, base64.
fn hashed(path: &std::path::Path, hash: Hash) -> Result<String> {
    let name = place::name(path);
    let algorithm = hash.here().ok_or_else(|| {
        Failure::local(format!("{} cannot be computed here", hash.wire()))
            .fix("leave out --hash-here, or use another hash")
    })?;
    struct Hashing(digest::Context);
    impl std::io::Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut hashing = Hashing(digest::Context::new(algorithm));
    std::io::copy(&mut place::source(path)?, &mut hashing)
        .and_then(|_| hashing.flush())
        .map_err(|error| Failure::local(format!("cannot read {name}")).because(error))?;
    Ok(STANDARD.encode(hashing.0.finish()))
}

fn text_or_file(given: &str) -> Result<String> {
    let Some(path) = given.strip_prefix('@') else { return Ok(given.trim().to_owned()) };
    let text = std::fs::read_to_string(path);
    text.map(|text| text.trim().to_owned())
        .map_err(|error| Failure::local(format!("cannot read {path}")).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_the_names_of_the_wire() {
        assert_eq!(Hash::Sha2_256.wire(), "sha2-256");
        assert_eq!(Hash::None.wire(), "none");
        assert!(Hash::None.here().is_none());
    }

    #[test]
    fn a_file_is_hashed_as_everybody_does() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "abc").unwrap();
        let expected = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(hashed(file.path(), Hash::Sha2_256).unwrap(), expected);
        assert_eq!(content(file.path()).unwrap(), "YWJj");
    }
}

//! `transit import`: a key of one's own, wrapped here so that neither argv, nor a proxy, nor a log sees it.
//!
//! The server's wrapping key (RSA-4096) encrypts an ephemeral AES-256 key with OAEP; that key wraps the target with AES-KWP
//! (RFC 5649). Both parts go as one base64 text.

use super::{
    Mount,
    material::{self, Encoding, Material},
    place, text,
};
use crate::{
    commands::data::written,
    failure::{Failure, Result},
    output::Output,
};
use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded as _},
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
        OaepPublicEncryptingKey, PublicEncryptingKey,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use std::{io::Read as _, path::PathBuf};
use zeroize::Zeroizing;

/// No key is larger: an RSA-8192 private key in PEM has 6.5 KB.
const MAX_FILE: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct ImportFlags {
    /// Name the key shall have
    key: String,
    /// File that holds it, - for standard input: PKCS#8, PKCS#1 or SEC1 (PEM or DER), or a symmetric key's bytes
    file: PathBuf,
    /// Kind of key, such as aes256-gcm96, ecdsa-p256, rsa-4096
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: String,
    /// Add it as the next version of a key that was imported; with a number, give that version its private half
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, require_equals = true)]
    version: Option<Option<u64>>,
    /// Hash of OAEP
    #[arg(long, value_enum, default_value = "sha256", value_name = "NAME")]
    hash: OaepHash,
    /// How a symmetric key is written down [default: found out by its length]
    #[arg(long, value_enum, value_name = "NAME")]
    encoding: Option<Encoding>,
    /// Let the server rotate it, to versions of its own making
    #[arg(long)]
    allow_rotation: bool,
    /// Derive a key of its own for each context
    #[arg(long)]
    derived: bool,
    /// Let `export` read it; can never be taken back
    #[arg(long)]
    exportable: bool,
    /// Let `backup` read it; can never be taken back
    #[arg(long)]
    allow_plaintext_backup: bool,
    /// Context of a derived key, base64
    #[arg(long, value_name = "BASE64")]
    context: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OaepHash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl OaepHash {
    fn wire(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }

    fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &OAEP_SHA384_MGF1SHA384,
            Self::Sha512 => &OAEP_SHA512_MGF1SHA512,
        }
    }
}

pub(super) fn run(mount: &Mount<'_>, flags: &ImportFlags, output: &Output) -> Result<()> {
    let material = material::read(&content(flags)?, &flags.kind, flags.encoding)?;
    let mut body = options(flags);
    match &material {
        Material::Public(pem) => {
            body.insert("public_key".to_owned(), json!(pem));
        }
        Material::Secret(key) => {
            let answer = mount.read("wrapping_key")?;
            let ciphertext = wrapped(key, text(&answer, "public_key")?, flags.hash)?;
            body.insert("ciphertext".to_owned(), json!(ciphertext));
            body.insert("hash_function".to_owned(), json!(flags.hash.wire()));
        }
    }
    let verb = if flags.version.is_some() { "import_version" } else { "import" };
    let answer = mount.post(&format!("keys/{}/{verb}", flags.key), body)?;
    let what = if matches!(material, Material::Public(_)) { "Public key" } else { "Key" };
    written(&answer, &format!("Success! {what} imported: {}", flags.key), output)
}

fn content(flags: &ImportFlags) -> Result<Zeroizing<Vec<u8>>> {
    let name = place::name(&flags.file);
    // Its final size from the start: a buffer that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_FILE + 1).unwrap_or_default()));
    let read = place::source(&flags.file)?.take(MAX_FILE + 1).read_to_end(&mut content);
    read.map_err(|error| Failure::local(format!("cannot read {name}")).because(error))?;
    if content.len() as u64 > MAX_FILE {
        return Err(
            Failure::local(format!("{name} is too large to be a key")).fix("give the file that holds the key alone")
        );
    }
    Ok(content)
}

fn options(flags: &ImportFlags) -> Map<String, Value> {
    let switch = |on: bool| on.then_some(json!(true));
    let mut options = vec![("context", flags.context.as_ref().map(|context| json!(context)))];
    match flags.version {
        Some(version) => options.push(("version", version.map(|version| json!(version)))),
        None => options.extend([
            ("type", Some(json!(flags.kind))),
            ("allow_rotation", switch(flags.allow_rotation)),
            ("derived", switch(flags.derived)),
            ("exportable", switch(flags.exportable)),
            ("allow_plaintext_backup", switch(flags.allow_plaintext_backup)),
        ]),
    }
    options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// OAEP(ephemeral key) ‖ KWP(target), base64.
fn wrapped(target: &[u8], wrapping_key: &str, hash: OaepHash) -> Result<String> {
    let unusable = || {
        Failure::remote("the server's wrapping key cannot be used")
            .because("it is no RSA public key in PEM, or too small for this hash")
            .fix("is transit mounted there? See: chancery read transit/wrapping_key")
    };
    let public = SubjectPublicKeyInfoDer::from_pem_slice(wrapping_key.as_bytes()).map_err(|_| unusable())?;
    let public = PublicEncryptingKey::from_der(&public).map_err(|_| unusable())?;
    let public = OaepPublicEncryptingKey::new(public).map_err(|_| unusable())?;
    let mut ephemeral = Zeroizing::new([0; 32]);
    let failed = |_| Failure::local("the cryptographic library failed to wrap the key");
    aws_lc_rs::rand::fill(ephemeral.as_mut_slice()).map_err(failed)?;
    let mut first = vec![0; public.ciphertext_size()];
    let first =
        public.encrypt(hash.algorithm(), ephemeral.as_slice(), &mut first, None).map_err(|_| unusable())?.to_vec();
    // RFC 5649 §4.1: padded to eight bytes, and eight more.
    let mut second = vec![0; target.len().next_multiple_of(8).saturating_add(8)];
    let kek = AesKek::new(&AES_256, ephemeral.as_slice()).map_err(failed)?;
    let second = kek.wrap_with_padding(target, &mut second).map_err(failed)?;
    Ok(STANDARD.encode([&first, &*second].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::{
        encoding::{AsDer as _, PublicKeyX509Der},
        rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    };

    #[test]
    fn the_server_can_unwrap_what_is_wrapped_here() {
        let server = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = server.public_key().as_der().unwrap();
        let body = STANDARD.encode(public.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        let server = OaepPrivateDecryptingKey::new(server).unwrap();
        for (hash, length) in
            [(OaepHash::Sha1, 16), (OaepHash::Sha256, 32), (OaepHash::Sha384, 121), (OaepHash::Sha512, 1)]
        {
            let target = vec![0x5a; length];
            let blob = STANDARD.decode(wrapped(&target, &pem, hash).unwrap()).unwrap();
            let (first, second) = blob.split_at(256);
            let mut buffer = [0; 256];
            let ephemeral = server.decrypt(hash.algorithm(), first, &mut buffer, None).unwrap();
            let mut out = [0; 200];
            let kek = AesKek::new(&AES_256, ephemeral).unwrap();
            assert_eq!(kek.unwrap_with_padding(second, &mut out).unwrap(), target, "{hash:?}");
        }
    }

    #[test]
    fn a_wrapping_key_that_is_none_is_the_servers_fault() {
        let refused = wrapped(&[0; 32], "hello", OaepHash::Sha256).unwrap_err();
        assert_eq!(refused.exit, crate::failure::REMOTE);
    }
}

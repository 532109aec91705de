//! From an approved content to a certificate in OpenSSH's format (PROTOCOL.certkeys).
//!
//! The part to be signed is written here; before the HSM sees it, `ssh-key` reads it back and every field is compared,
//! so that a mistake of the writer is found by somebody else's reader.

use crate::{approve::Approved, blob::BlobWriter, error::SshError, options::Options, public_key::SshPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_store::SshCertificateKind;
use jiff::Timestamp;
use ssh_key::certificate::CertType;

/// SSH2_CERT_TYPE_USER, SSH2_CERT_TYPE_HOST
const USER: u32 = 1;
const HOST: u32 = 2;

/// The part to be signed, checked.
#[derive(Debug)]
pub(crate) struct Linted {
    approved: Approved,
    serial: u64,
    bytes: Vec<u8>,
}

/// A signed certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedCertificate {
    pub(crate) blob: Vec<u8>,
    pub(crate) line: String,
}

/// Encodes and checks.
///
/// # Errors
/// [`SshError::Lint`] where the encoding does not say what was approved.
pub(crate) fn encode(approved: Approved, serial: u64, issuer: &SshPublicKey) -> Result<Linted, SshError> {
    let mut nonce = [0_u8; 32];
    getrandom::fill(&mut nonce).map_err(|error| SshError::Encoding(format!("getrandom: {error}")))?;
    let mut writer = BlobWriter::with_capacity(1024);
    writer.string(type_name(&approved.key)).string(nonce).raw(approved.key.fields()).u64(serial);
    writer.u32(match approved.kind {
        SshCertificateKind::User => USER,
        SshCertificateKind::Host => HOST,
    });
    writer.string(&approved.key_id);
    let mut principals = BlobWriter::new();
    for principal in &approved.principals {
        principals.string(principal);
    }
    writer
        .string(principals.into_bytes())
        .u64(seconds(approved.validity.after)?)
        .u64(seconds(approved.validity.before)?);
    writer.string(encode_options(&approved.critical_options)).string(encode_options(&approved.extensions));
    // reserved
    writer.string([]).string(issuer.blob());
    let linted = Linted { approved, serial, bytes: writer.into_bytes() };
    lint(&linted, issuer)?;
    Ok(linted)
}

impl Linted {
    pub(crate) fn to_be_signed(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn approved(&self) -> &Approved {
        &self.approved
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The certificate: `signature` is in SSH's encoding.
    pub(crate) fn assemble(&self, signature: &[u8]) -> SignedCertificate {
        let mut writer = BlobWriter::with_capacity(self.bytes.len() + signature.len() + 4);
        writer.raw(&self.bytes).string(signature);
        let blob = writer.into_bytes();
        // Clients write it to a file as it is: the newline belongs to it.
        let line = format!("{} {}\n", type_name(&self.approved.key), STANDARD.encode(&blob));
        SignedCertificate { blob, line }
    }
}

/// `ssh-ed25519-cert-v01@openssh.com`, `sk-ssh-ed25519-cert-v01@openssh.com`
fn type_name(key: &SshPublicKey) -> String {
    let name = key.kind().name();
    format!("{}-cert-v01@openssh.com", name.strip_suffix("@openssh.com").unwrap_or(name))
}

/// Name, then the value as a string within a string; flags have nothing in the outer one.
fn encode_options(options: &Options) -> Vec<u8> {
    let mut writer = BlobWriter::new();
    for (name, value) in options {
        writer.string(name);
        if value.is_empty() {
            writer.string([]);
        } else {
            let mut inner = BlobWriter::new();
            inner.string(value);
            writer.string(inner.into_bytes());
        }
    }
    writer.into_bytes()
}

fn seconds(at: Timestamp) -> Result<u64, SshError> {
    u64::try_from(at.as_second()).map_err(|_| SshError::Lint("a time before 1970"))
}

fn lint(linted: &Linted, issuer: &SshPublicKey) -> Result<(), SshError> {
    // The reader wants a signature: the form of one is enough.
    let mut placeholder = BlobWriter::new();
    placeholder.string("ssh-ed25519").string([0; 64]);
    let whole = linted.assemble(&placeholder.into_bytes()).blob;
    let read = ssh_key::Certificate::from_bytes(&whole).map_err(|_| SshError::Lint("it cannot be read back"))?;
    let approved = &linted.approved;
    let kind = match approved.kind {
        SshCertificateKind::User => CertType::User,
        SshCertificateKind::Host => CertType::Host,
    };
    let options = |found: &ssh_key::certificate::OptionsMap| -> Options {
        found.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let blob = |key: &ssh_key::public::KeyData| ssh_key::encoding::Encode::encode_vec(key).unwrap_or_default();
    let checks = [
        (read.serial() == linted.serial && linted.serial != 0, "its serial number"),
        (read.cert_type() == kind, "its type"),
        (read.key_id() == approved.key_id, "its key id"),
        (read.valid_principals() == approved.principals, "its principals"),
        (read.valid_after() == seconds(approved.validity.after)?, "its first second"),
        (read.valid_before() == seconds(approved.validity.before)?, "its last second"),
        (read.valid_after() < read.valid_before(), "its validity"),
        (options(read.critical_options()) == approved.critical_options, "its critical options"),
        (options(read.extensions()) == approved.extensions, "its extensions"),
        (blob(read.public_key()) == approved.key.blob(), "its key"),
        (blob(read.signature_key()) == issuer.blob(), "its issuer"),
        (read.nonce().len() == 32, "its nonce"),
    ];
    match checks.iter().find(|(good, _)| !good) {
        Some((_, what)) => Err(SshError::Lint(what)),
        None => Ok(()),
    }
}

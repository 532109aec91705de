//! `bench ssh`: certificates for one key, over and over.

use super::{Ask, LoadFlags, Work};
use crate::failure::{Failure, Result};
use clap::Args;
use serde_json::json;
use ssh_key::public::{Ed25519PublicKey, KeyData};

#[derive(Debug, Args)]
pub(crate) struct SshFlags {
    #[command(flatten)]
    pub(super) load: LoadFlags,
    /// Where the SSH engine is mounted
    #[arg(long, default_value = "ssh")]
    mount: String,
    /// Role to sign under
    #[arg(long, default_value = "user")]
    role: String,
    /// Principal in the certificates; the role must allow it
    #[arg(long, default_value = "bench")]
    principal: String,
    /// Public key to sign [default: an Ed25519 key]
    #[arg(long, value_name = "FILE")]
    public_key: Option<std::path::PathBuf>,
}

pub(super) fn work(flags: &SshFlags) -> Result<Work> {
    let public_key = match &flags.public_key {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))?,
        None => fresh()?,
    };
    let path = format!("{}/sign/{}", flags.mount.trim_matches('/'), flags.role);
    let body = json!({"public_key": public_key, "valid_principals": flags.principal, "ttl": "5m"});
    Ok(Work { title: format!("ssh sign {}", flags.role), asks: vec![Ask::post(path, body)], items: 1 })
}

fn fresh() -> Result<String> {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let failed = || Failure::local("a key pair could not be made");
    let pair = Ed25519KeyPair::generate().map_err(|_| failed())?;
    let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| failed())?;
    ssh_key::PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(public))).to_openssh().map_err(|_| failed())
}

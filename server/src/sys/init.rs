//! `init`: the first seal, and the first token.

use super::{System, bare, ceremony::told_or_fault, method_not_allowed};
use chancery_engine::{
    Call, Fault, Response, Route, SecretString, Verb,
    wire::{CommaList, Count},
};
use chancery_store::{BarrierPhase, Initialize, SealChoice, SealKind};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Deserialize, Default)]
#[serde(default)]
struct InitRequest {
    secret_shares: Count,
    secret_threshold: Count,
    /// Older clients send it; how many shares the seal stores is the seal's own business.
    #[serde(rename = "stored_shares")]
    _stored_shares: Count,
    pgp_keys: CommaList,
    root_token_pgp_key: Option<String>,
    recovery_shares: Count,
    recovery_threshold: Count,
    recovery_pgp_keys: CommaList,
}

#[derive(Serialize)]
struct InitStatus {
    initialized: bool,
}

#[derive(Serialize)]
struct InitResponse {
    keys: Vec<SecretString>,
    keys_base64: Vec<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_keys: Option<Vec<SecretString>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_keys_base64: Option<Vec<SecretString>>,
    root_token: SecretString,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("init", "Whether the appliance is initialised; initialises it.")
            .on(Verb::Read, read)
            .on(Verb::Write, initialize)
            .on(Verb::Delete, method_not_allowed)
            .on(Verb::Patch, method_not_allowed)
            .on(Verb::List, method_not_allowed)
            .public(),
    ]
}

async fn read(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let initialized = system.core.store.barrier().state().await.phase != BarrierPhase::Uninitialized;
    bare(&InitStatus { initialized })
}

async fn initialize(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: InitRequest = call.parse()?;
    let core = &system.core;
    let kind = core.settings.seal;
    let seal = system.seal_choice(&request)?;
    let initialized = core.store.barrier().initialize(Initialize { seal }).await.map_err(told_or_fault)?;
    core.opened().await?;
    let root_token = core.tokens.create_root(None).await?.client_token;
    let (hex, base64) = spelled(&initialized.shares);
    let response = match kind {
        SealKind::Shamir => {
            core.seal().await;
            InitResponse { keys: hex, keys_base64: base64, recovery_keys: None, recovery_keys_base64: None, root_token }
        }
        SealKind::Pkcs11 => InitResponse {
            keys: Vec::new(),
            keys_base64: Vec::new(),
            recovery_keys: Some(hex),
            recovery_keys_base64: Some(base64),
            root_token,
        },
    };
    bare(&response)
}

impl System {
    fn seal_choice(&self, request: &InitRequest) -> Result<SealChoice, Fault> {
        let settings = &self.core.settings;
        let foreign: &[(&str, bool)] = match settings.seal {
            SealKind::Shamir => &[
                ("recovery_shares", request.recovery_shares.0 != 0),
                ("recovery_threshold", request.recovery_threshold.0 != 0),
                ("recovery_pgp_keys", !request.recovery_pgp_keys.0.is_empty()),
            ],
            SealKind::Pkcs11 => &[
                ("secret_shares", request.secret_shares.0 != 0),
                ("secret_threshold", request.secret_threshold.0 != 0),
                ("pgp_keys", !request.pgp_keys.0.is_empty()),
            ],
        };
        let foreign: Vec<&str> = foreign.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if !foreign.is_empty() {
            let kind = if settings.seal == SealKind::Shamir { "shamir" } else { "pkcs11" };
            return Err(Fault::Caller(format!("parameters {} not applicable to seal type {kind}", foreign.join(","))));
        }
        let (shares, threshold, pgp_keys) = match settings.seal {
            SealKind::Shamir => (request.secret_shares, request.secret_threshold, &request.pgp_keys),
            SealKind::Pkcs11 => (request.recovery_shares, request.recovery_threshold, &request.recovery_pgp_keys),
        };
        let (shares, threshold) = (share_count(shares), share_count(threshold));
        refuse_pgp(&pgp_keys.0, request.root_token_pgp_key.as_deref().unwrap_or_default(), shares)?;
        match settings.seal {
            SealKind::Shamir => Ok(SealChoice::Shamir { shares, threshold }),
            SealKind::Pkcs11 => {
                let hsm = self.core.hsm.clone().ok_or_else(|| {
                    Fault::caller(
                        "the seal is `pkcs11`, but no HSM is configured: configure one or choose seal `shamir`",
                    )
                })?;
                Ok(SealChoice::Pkcs11 {
                    hsm,
                    key_label: settings.key_encryption_label.clone(),
                    recovery_shares: shares,
                    recovery_threshold: threshold,
                })
            }
        }
    }
}

/// Share counts of the wire; what is negative counts as none, which the seal refuses in its own words.
pub(super) fn share_count(count: Count) -> u32 {
    u32::try_from(count.0.max(0)).unwrap_or(u32::MAX)
}

/// Encrypting shares to PGP keys is not offered, and silently handing them out in clear would be worse than refusing.
pub(super) fn refuse_pgp(keys: &[String], root_token_key: &str, shares: u32) -> Result<(), Fault> {
    if !keys.is_empty() && u32::try_from(keys.len()) != Ok(shares) {
        return Err(Fault::caller(
            "invalid seal configuration: count mismatch between number of provided PGP keys and number of shares",
        ));
    }
    if !keys.is_empty() || !root_token_key.is_empty() {
        return Err(Fault::caller(
            "invalid seal configuration: encrypting shares or tokens to PGP keys is not supported by this server",
        ));
    }
    Ok(())
}

/// Shares in hex and in base64.
pub(super) fn spelled(shares: &[Zeroizing<Vec<u8>>]) -> (Vec<SecretString>, Vec<SecretString>) {
    let hex = shares.iter().map(|share| SecretString::new(HEXLOWER.encode(share))).collect();
    let base64 = shares.iter().map(|share| SecretString::new(BASE64.encode(share))).collect();
    (hex, base64)
}

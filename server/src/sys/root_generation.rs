//! `generate-root/{attempt,update}` and `generate-root-token/{attempt,update}`: a new root token by key shares.
//!
//! The first is Vault's dialect: open to whoever holds shares, without the envelope. The second is OpenBao's: it wants
//! a token and has the envelope. Both work on one attempt. Cancelling needs `sudo` in both (CVE-2025-4656,
//! CVE-2026-5807): a nonce is no proof, everybody can read it. An attempt left alone gives way to the next start.

use super::{
    System, bare,
    ceremony::{Attempt, CeremonyError, decode_share, told_or_fault},
    tools::platform_random,
};
use chancery_engine::{Call, Fault, Response, Route, SecretString, Verb, wire::Text};
use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Length of a root token, and so of the one-time password that hides it.
const TOKEN_LENGTH: usize = PREFIX.len() + 24;
const PREFIX: &str = "hvs.";
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The one attempt there can be.
#[derive(Default)]
pub(super) struct RootGeneration(tokio::sync::Mutex<Option<Generation>>);

struct Generation {
    attempt: Attempt,
    otp: Zeroizing<Vec<u8>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StartRequest {
    otp: Option<SecretString>,
    pgp_key: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct UpdateRequest {
    key: Option<SecretString>,
    nonce: Text,
}

#[derive(Deserialize)]
struct DecodeRequest {
    #[serde(default = "nothing")]
    encoded_token: SecretString,
    #[serde(default = "nothing")]
    otp: SecretString,
}

#[derive(Serialize)]
struct DecodeResponse {
    token: SecretString,
}

fn nothing() -> SecretString {
    SecretString::new(String::new())
}

/// What both dialects tell.
#[derive(Default)]
struct Progress {
    nonce: String,
    started: bool,
    progress: usize,
    required: u8,
    complete: bool,
    encoded_token: String,
    otp: Option<SecretString>,
    /// Whether this answers an `update`.
    of_update: bool,
}

#[derive(Serialize)]
struct VaultProgress<'a> {
    nonce: &'a str,
    started: bool,
    progress: usize,
    required: u8,
    complete: bool,
    encoded_token: &'a str,
    encoded_root_token: &'a str,
    pgp_fingerprint: &'static str,
    otp: &'a str,
    otp_length: usize,
}

#[derive(Serialize)]
struct BaoProgress<'a> {
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded_token: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    nonce: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    otp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otp_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgp_fingerprint: Option<&'static str>,
    progress: usize,
    required: u8,
    started: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Vault,
    Bao,
}

pub(super) fn routes() -> Vec<Route<System>> {
    let what = "Progress of a new root token; starts the attempt.";
    vec![
        Route::at("generate-root/attempt", "Cancels the attempt for a new root token.").on(Verb::Delete, cancel).sudo(),
        Route::at("generate-root/attempt", what)
            .on(Verb::Read, |system, _| status(system, Dialect::Vault))
            .on(Verb::Write, |system, call| start(system, call, Dialect::Vault))
            .public(),
        Route::at("generate-root/update", "Takes one key share for a new root token.")
            .on(Verb::Write, |system, call| update(system, call, Dialect::Vault))
            .public(),
        Route::at("generate-root-token/attempt", what)
            .on(Verb::Read, |system, _| status(system, Dialect::Bao))
            .on(Verb::Write, |system, call| start(system, call, Dialect::Bao))
            .on(Verb::Delete, cancel)
            .sudo(),
        Route::at("decode-token", "Takes a new root token out from under its one-time password.")
            .on(Verb::Write, decode_token)
            .public(),
        Route::at("generate-root-token/update", "Takes one key share for a new root token.")
            .on(Verb::Write, |system, call| update(system, call, Dialect::Bao))
            .sudo(),
    ]
}

async fn status(system: Arc<System>, dialect: Dialect) -> Result<Response, Fault> {
    let required = system.seal_summary().await?.threshold;
    let slot = system.root_generation.0.lock().await;
    answer(
        dialect,
        &slot.as_ref().map_or(Progress { required, ..Progress::default() }, |found| found.progress(required)),
    )
}

async fn start(system: Arc<System>, call: Call, dialect: Dialect) -> Result<Response, Fault> {
    let request: StartRequest = call.parse()?;
    let required = system.seal_summary().await?.threshold;
    let given = request.otp.filter(|otp| !otp.expose().is_empty());
    if given.as_ref().is_some_and(|otp| otp.expose().len() != TOKEN_LENGTH) {
        return Err(Fault::caller("OTP string has incorrect length"));
    }
    if !request.pgp_key.0.is_empty() {
        return Err(Fault::caller("error parsing PGP key: encrypting to PGP keys is not supported by this server"));
    }
    let now = system.core.clock.now();
    let mut slot = system.root_generation.0.lock().await;
    if slot.as_ref().is_some_and(|running| !running.attempt.is_idle(now)) {
        return Err(Fault::caller("root generation already in progress for this namespace"));
    }
    let (otp, shown) = match given {
        Some(otp) => (Zeroizing::new(otp.expose().as_bytes().to_vec()), None),
        None => {
            let otp = letters(TOKEN_LENGTH)?;
            let shown = SecretString::new(String::from_utf8_lossy(&otp).into_owned());
            (otp, Some(shown))
        }
    };
    let generation = slot.insert(Generation { attempt: Attempt::begin(now), otp });
    answer(dialect, &Progress { otp: shown, ..generation.progress(required) })
}

async fn update(system: Arc<System>, call: Call, dialect: Dialect) -> Result<Response, Fault> {
    let request: UpdateRequest = call.parse()?;
    let Some(key) = request.key.filter(|key| !key.expose().is_empty()) else {
        return Err(Fault::caller(match dialect {
            Dialect::Vault => "'key' must be specified in request body as JSON",
            Dialect::Bao => "key is required",
        }));
    };
    if dialect == Dialect::Bao && request.nonce.0.is_empty() {
        return Err(Fault::caller("nonce is required"));
    }
    match system.take_share(&key, &request.nonce.0).await {
        Ok(progress) => answer(dialect, &progress),
        Err(error) => Err(error.into()),
    }
}

/// Needs nothing but what the caller brings, so it works sealed and for anybody.
async fn decode_token(_system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: DecodeRequest = call.parse()?;
    let (hidden, otp) = (request.encoded_token.expose().trim_end_matches('='), request.otp.expose());
    if hidden.is_empty() || otp.is_empty() {
        return Err(Fault::caller("provided 'encoded_token' or 'otp' is empty"));
    }
    let hidden = BASE64_NOPAD.decode(hidden.as_bytes()).map(Zeroizing::new).map_err(|error| {
        Fault::Caller(format!("error decoding base64'd token: illegal base64 data at input byte {}", error.position))
    })?;
    if hidden.len() != otp.len() {
        return Err(Fault::caller("length mismatch between the token and the one-time password"));
    }
    let token = hidden.iter().zip(otp.bytes()).map(|(byte, mask)| byte ^ mask).collect();
    let token = String::from_utf8(token).map_err(|_| Fault::caller("this is not the token's one-time password"))?;
    Response::data(&DecodeResponse { token: SecretString::new(token) })
}

async fn cancel(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    system.root_generation.0.lock().await.take();
    Ok(Response::empty())
}

impl System {
    async fn take_share(&self, key: &SecretString, nonce: &str) -> Result<Progress, CeremonyError> {
        let required = self.seal_summary().await?.threshold;
        let share = decode_share(key)?;
        let mut slot = self.root_generation.0.lock().await;
        let running = slot.as_mut().ok_or_else(|| CeremonyError::told("no root generation in progress"))?;
        if !running.attempt.has_nonce(nonce) {
            return Err(CeremonyError::told(format!(
                "incorrect nonce supplied; nonce for this root generation operation is {:?}",
                running.attempt.nonce()
            )));
        }
        if running.attempt.knows(&share) {
            return Err(CeremonyError::told("given key has already been provided during this generation operation"));
        }
        let Some(shares) = running.attempt.add(share, required.into(), self.core.clock.now()) else {
            return Ok(Progress { of_update: true, ..running.progress(required) });
        };
        let proven = self.core.store.barrier().verify_shares(&shares).await.map_err(told_or_fault).and_then(|right| {
            if right { Ok(()) } else { Err(told_or_fault(chancery_store::ShareFault::WrongKey.into())) }
        });
        proven.map_err(|error| match error {
            CeremonyError::Told(text) => {
                CeremonyError::Told(format!("root generation aborted: unable to authenticate: {text}"))
            }
            fault => fault,
        })?;
        let encoded_token = self.hidden_root_token(&running.otp).await?;
        let nonce = running.attempt.nonce().to_owned();
        slot.take();
        Ok(Progress {
            nonce,
            started: true,
            progress: required.into(),
            required,
            complete: true,
            encoded_token,
            otp: None,
            of_update: true,
        })
    }

    /// Makes a root token and hides it under the one-time password.
    async fn hidden_root_token(&self, otp: &[u8]) -> Result<String, Fault> {
        let random = letters(TOKEN_LENGTH - PREFIX.len())?;
        let token = SecretString::new(format!("{PREFIX}{}", String::from_utf8_lossy(&random)));
        let hidden: Vec<u8> = token.expose().bytes().zip(otp).map(|(byte, mask)| byte ^ mask).collect();
        self.core.tokens.create_root(Some(token)).await?;
        Ok(BASE64_NOPAD.encode(&hidden))
    }
}

impl RootGeneration {
    /// The barrier was sealed: the attempt is over. One that is being worked on ends with the barrier's refusal.
    pub(super) fn forget(&self) {
        if let Ok(mut slot) = self.0.try_lock() {
            slot.take();
        }
    }
}

impl Generation {
    fn progress(&self, required: u8) -> Progress {
        Progress {
            nonce: self.attempt.nonce().to_owned(),
            started: true,
            progress: self.attempt.progress(),
            required,
            ..Progress::default()
        }
    }
}

fn answer(dialect: Dialect, progress: &Progress) -> Result<Response, Fault> {
    let otp = progress.otp.as_ref().map_or("", SecretString::expose);
    let token = progress.encoded_token.as_str();
    match dialect {
        Dialect::Vault => bare(&VaultProgress {
            nonce: &progress.nonce,
            started: progress.started,
            progress: progress.progress,
            required: progress.required,
            complete: progress.complete,
            encoded_token: token,
            encoded_root_token: token,
            pgp_fingerprint: "",
            otp,
            otp_length: if progress.of_update { 0 } else { TOKEN_LENGTH },
        }),
        Dialect::Bao => Response::data(&BaoProgress {
            complete: progress.complete,
            encoded_token: progress.of_update.then_some(token),
            nonce: &progress.nonce,
            otp: (!progress.of_update).then_some(otp),
            otp_length: (!progress.of_update).then_some(TOKEN_LENGTH),
            pgp_fingerprint: progress.started.then_some(""),
            progress: progress.progress,
            required: progress.required,
            started: progress.started,
        }),
    }
}

/// Random letters and digits, each equally likely.
fn letters(count: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut text = Zeroizing::new(Vec::with_capacity(count));
    while text.len() < count {
        let random = platform_random(64)?;
        let usable = random.iter().filter(|byte| **byte < 248);
        let found = usable.filter_map(|byte| LETTERS.get(usize::from(byte % 62)).copied());
        let missing = count - text.len();
        text.extend(found.take(missing));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_as_many_as_asked_and_differ() {
        let (one, other) = (letters(24).unwrap(), letters(24).unwrap());
        assert_eq!(one.len(), 24);
        assert!(one.iter().all(u8::is_ascii_alphanumeric));
        assert_ne!(*one, *other);
    }
}

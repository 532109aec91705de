//! What the rekey endpoints answer, in both dialects.

use crate::sys::{bare, init::spelled};
use chancery_engine::{Fault, Response, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

/// Vault's `rekey/*`, or OpenBao's `rotate/root/*` and `rotate/recovery/*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Vault,
    Bao,
}

/// How far an attempt, or the proof of its result, is.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) nonce: String,
    pub(super) started: bool,
    pub(super) threshold: u32,
    pub(super) shares: u32,
    pub(super) progress: usize,
    pub(super) required: u8,
    pub(super) verification_required: bool,
    pub(super) verification_nonce: Option<String>,
}

#[derive(Serialize)]
struct VaultProgress<'a> {
    nonce: &'a str,
    started: bool,
    t: u32,
    n: u32,
    progress: usize,
    required: u8,
    pgp_fingerprints: Option<()>,
    backup: bool,
    verification_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_nonce: Option<&'a str>,
}

#[derive(Serialize)]
struct BaoProgress<'a> {
    n: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    nonce: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<usize>,
    required: u8,
    started: bool,
    t: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_required: Option<bool>,
}

#[derive(Serialize)]
struct VerifyProgress<'a> {
    nonce: &'a str,
    started: bool,
    t: u32,
    n: u32,
    progress: usize,
}

#[derive(Serialize)]
struct NewShares<'a> {
    nonce: &'a str,
    complete: bool,
    keys: Vec<SecretString>,
    keys_base64: Vec<SecretString>,
    pgp_fingerprints: Option<()>,
    backup: bool,
    verification_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_nonce: Option<&'a str>,
}

#[derive(Serialize)]
struct Done<'a> {
    nonce: &'a str,
    complete: bool,
}

/// Refuses numbers of shares that make no sense, with the dialect's own introduction.
pub(super) fn check_shares(dialect: Dialect, shares: u32, threshold: u32) -> Result<(), Fault> {
    let text = match (shares, threshold) {
        (0, _) => "shares must be at least one",
        (_, 0) => "threshold must be at least one",
        (2.., 1) => "threshold must be greater than one for multiple shares",
        (256.., _) => "shares must be less than 256",
        _ if threshold > shares => "threshold cannot be larger than shares",
        _ => return Ok(()),
    };
    Err(Fault::Caller(match dialect {
        Dialect::Vault => format!("invalid rekey seal configuration: {text}"),
        Dialect::Bao => format!("invalid rotate seal configuration: {text}"),
    }))
}

pub(super) fn progress_answer(dialect: Dialect, progress: &Progress) -> Result<Response, Fault> {
    match dialect {
        Dialect::Vault => bare(&VaultProgress {
            nonce: &progress.nonce,
            started: progress.started,
            t: progress.threshold,
            n: progress.shares,
            progress: progress.progress,
            required: progress.required,
            pgp_fingerprints: None,
            backup: false,
            verification_required: progress.verification_required,
            verification_nonce: progress.verification_nonce.as_deref(),
        }),
        Dialect::Bao => Response::data(&BaoProgress {
            n: progress.shares,
            nonce: &progress.nonce,
            progress: progress.started.then_some(progress.progress),
            required: progress.required,
            started: progress.started,
            t: progress.threshold,
            verification_nonce: progress.started.then(|| progress.verification_nonce.as_deref().unwrap_or_default()),
            verification_required: progress.started.then_some(progress.verification_required),
        }),
    }
}

pub(super) fn update_answer(
    dialect: Dialect,
    nonce: &str,
    shares: &[Zeroizing<Vec<u8>>],
    verification_nonce: Option<&str>,
) -> Result<Response, Fault> {
    let (keys, keys_base64) = spelled(shares);
    let verification_required = verification_nonce.is_some();
    let answer = NewShares {
        nonce,
        complete: true,
        keys,
        keys_base64,
        pgp_fingerprints: None,
        backup: false,
        verification_required,
        verification_nonce,
    };
    if dialect == Dialect::Vault { bare(&answer) } else { Response::data(&answer) }
}

pub(super) fn verify_answer(dialect: Dialect, progress: &Progress) -> Result<Response, Fault> {
    let answer = VerifyProgress {
        nonce: &progress.nonce,
        started: progress.started,
        t: progress.threshold,
        n: progress.shares,
        progress: progress.progress,
    };
    if dialect == Dialect::Vault { bare(&answer) } else { Response::data(&answer) }
}

pub(super) fn verify_done(dialect: Dialect, nonce: &str) -> Result<Response, Fault> {
    let answer = Done { nonce, complete: true };
    if dialect == Dialect::Vault { bare(&answer) } else { Response::data(&answer) }
}

//! `rekey/*`, `rekey-recovery-key/*` and OpenBao's `rotate/root/*`, `rotate/recovery/*`: new key shares for old ones.
//!
//! The dialects work on one attempt for each kind of share; which kind exists follows from the seal. Vault's dialect is
//! open to whoever holds shares and has no envelope; OpenBao's wants a token. Cancelling needs `sudo` in both
//! (CVE-2025-4656, CVE-2026-5807). With `require_verification` the new shares are in force only when a threshold of them
//! was shown.

mod answers;

use super::{
    System,
    ceremony::{Attempt, CeremonyError, decode_share, told_or_fault},
    init::{refuse_pgp, share_count},
};
use answers::{Dialect, Progress, progress_answer, update_answer, verify_answer, verify_done};
use chancery_engine::{
    Call, Fault, Response, Route, SecretString, Verb,
    wire::{CommaList, Count, Flag, Text},
};
use chancery_store::{PreparedRekey, SealKind, ShareFault};
use serde::Deserialize;
use std::sync::Arc;

/// The one attempt there can be: a seal has either key shares or recovery shares.
#[derive(Default)]
pub(super) struct Rekeys(tokio::sync::Mutex<Option<Running>>);

struct Running {
    attempt: Attempt,
    shares: u32,
    threshold: u32,
    require_verification: bool,
    /// New shares waiting for their proof.
    verifying: Option<Verifying>,
}

struct Verifying {
    attempt: Attempt,
    prepared: PreparedRekey,
}

/// Which shares an endpoint is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Barrier,
    Recovery,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StartRequest {
    secret_shares: Count,
    secret_threshold: Count,
    /// Older clients send it; the seal knows how many shares it stores.
    #[serde(rename = "stored_shares")]
    _stored_shares: Count,
    pgp_keys: CommaList,
    backup: Flag,
    require_verification: Flag,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct UpdateRequest {
    key: Option<SecretString>,
    nonce: Text,
}

pub(super) fn routes() -> Vec<Route<System>> {
    let mut routes = Vec::new();
    let bases = [
        (["rekey/init", "rekey/update", "rekey/verify", "rekey/backup"], Dialect::Vault, Subject::Barrier),
        (
            [
                "rekey-recovery-key/init",
                "rekey-recovery-key/update",
                "rekey-recovery-key/verify",
                "rekey/recovery-key-backup",
            ],
            Dialect::Vault,
            Subject::Recovery,
        ),
        (
            ["rotate/root/init", "rotate/root/update", "rotate/root/verify", "rotate/root/backup"],
            Dialect::Bao,
            Subject::Barrier,
        ),
        (
            ["rotate/recovery/init", "rotate/recovery/update", "rotate/recovery/verify", "rotate/recovery/backup"],
            Dialect::Bao,
            Subject::Recovery,
        ),
    ];
    for ([init, share, verification, stored], dialect, subject) in bases {
        let guarded = |route: Route<System>| if dialect == Dialect::Vault { route.public() } else { route.sudo() };
        routes.extend([
            Route::at(init, "Cancels the attempt for new key shares.").on(Verb::Delete, cancel).sudo(),
            guarded(
                Route::at(init, "Progress of new key shares; starts the attempt.")
                    .on(Verb::Read, move |system, _| status(system, dialect, subject))
                    .on(Verb::Write, move |system, call| start(system, call, dialect, subject)),
            ),
            guarded(
                Route::at(share, "Takes one key share for new ones.")
                    .on(Verb::Write, move |system, call| update(system, call, dialect, subject)),
            ),
            Route::at(verification, "Begins the proof of the new shares anew.")
                .on(Verb::Delete, move |system, _| restart_verification(system, dialect))
                .sudo(),
            guarded(
                Route::at(verification, "Takes one of the new key shares as proof.")
                    .on(Verb::Read, move |system, _| verification_status(system, dialect))
                    .on(Verb::Write, move |system, call| verify(system, call, dialect)),
            ),
            Route::at(stored, "Shares encrypted to PGP keys; none are ever stored.")
                .on(Verb::Read, |_, _| async { Err(Fault::caller("no backed-up keys found")) })
                .on(Verb::Delete, |_, _| async { Ok(Response::empty()) })
                .sudo(),
        ]);
    }
    routes
}

async fn status(system: Arc<System>, dialect: Dialect, subject: Subject) -> Result<Response, Fault> {
    let required = system.required_shares(subject).await?;
    let slot = system.rekeys.0.lock().await;
    progress_answer(
        dialect,
        &slot.as_ref().map_or(Progress { required, ..Progress::default() }, |run| run.progress(required)),
    )
}

async fn start(system: Arc<System>, call: Call, dialect: Dialect, subject: Subject) -> Result<Response, Fault> {
    let request: StartRequest = call.parse()?;
    let required = system.required_shares(subject).await?;
    let (shares, threshold) = (share_count(request.secret_shares), share_count(request.secret_threshold));
    let keys = &request.pgp_keys.0;
    if dialect == Dialect::Vault && !keys.is_empty() && u32::try_from(keys.len()) != Ok(shares) {
        return Err(Fault::caller("incorrect number of PGP keys for rekey"));
    }
    refuse_pgp(keys, "", shares)?;
    if request.backup.0 {
        return Err(Fault::caller(
            "cannot back up shares that are not encrypted: PGP keys are not supported by this server",
        ));
    }
    answers::check_shares(dialect, shares, threshold)?;
    let now = system.core.clock.now();
    let mut slot = system.rekeys.0.lock().await;
    if slot.as_ref().is_some_and(|running| !running.is_idle(now)) {
        return Err(Fault::caller(if dialect == Dialect::Vault {
            "rekey already in progress"
        } else {
            "rotation already in progress"
        }));
    }
    let running = slot.insert(Running {
        attempt: Attempt::begin(now),
        shares,
        threshold,
        require_verification: request.require_verification.0,
        verifying: None,
    });
    progress_answer(dialect, &running.progress(required))
}

async fn update(system: Arc<System>, call: Call, dialect: Dialect, subject: Subject) -> Result<Response, Fault> {
    let request: UpdateRequest = call.parse()?;
    let required = system.required_shares(subject).await?;
    let key = given_key(request.key, dialect)?;
    let share = decode_share(&key)?;
    let mut slot = system.rekeys.0.lock().await;
    let running = slot.as_mut().ok_or_else(|| {
        Fault::caller(match (dialect, subject) {
            (Dialect::Bao, _) => "no rotation in progress",
            (Dialect::Vault, Subject::Barrier) => "no barrier rekey in progress",
            (Dialect::Vault, Subject::Recovery) => "no recovery rekey in progress",
        })
    })?;
    if running.verifying.is_some() {
        return Err(Fault::caller("rekey operation already finished; verification must be performed"));
    }
    check_nonce(
        &running.attempt,
        &request.nonce.0,
        if dialect == Dialect::Vault { "this rekey operation" } else { "rotation" },
    )?;
    if running.attempt.knows(&share) {
        return Err(Fault::caller(if dialect == Dialect::Vault {
            "given key has already been provided during this generation operation"
        } else {
            "given key has already been provided during this rotation"
        }));
    }
    let now = system.core.clock.now();
    let Some(shares) = running.attempt.add(share, required.into(), now) else {
        return progress_answer(dialect, &running.progress(required));
    };
    let barrier = system.core.store.barrier();
    let prepared = barrier.prepare_rekey(&shares, running.shares, running.threshold).await.map_err(told_or_fault)?;
    let nonce = running.attempt.nonce().to_owned();
    if running.require_verification {
        let attempt = Attempt::begin(now);
        let verifying = running.verifying.insert(Verifying { attempt, prepared });
        return update_answer(dialect, &nonce, verifying.prepared.shares(), Some(verifying.attempt.nonce()));
    }
    barrier.commit_rekey(&prepared).await.map_err(told_or_fault)?;
    slot.take();
    update_answer(dialect, &nonce, prepared.shares(), None)
}

async fn cancel(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    system.rekeys.0.lock().await.take();
    Ok(Response::empty())
}

async fn verification_status(system: Arc<System>, dialect: Dialect) -> Result<Response, Fault> {
    system.seal_summary().await?;
    let slot = system.rekeys.0.lock().await;
    verify_answer(dialect, &slot.as_ref().ok_or_else(|| no_configuration(dialect))?.verification())
}

async fn restart_verification(system: Arc<System>, dialect: Dialect) -> Result<Response, Fault> {
    let now = system.core.clock.now();
    let mut slot = system.rekeys.0.lock().await;
    let running = slot.as_mut().ok_or_else(|| no_configuration(dialect))?;
    if let Some(verifying) = &mut running.verifying {
        verifying.attempt = Attempt::begin(now);
    }
    verify_answer(dialect, &running.verification())
}

async fn verify(system: Arc<System>, call: Call, dialect: Dialect) -> Result<Response, Fault> {
    let request: UpdateRequest = call.parse()?;
    system.seal_summary().await?;
    let share = decode_share(&given_key(request.key, dialect)?)?;
    let now = system.core.clock.now();
    let mut slot = system.rekeys.0.lock().await;
    let running = slot.as_mut().ok_or_else(|| no_configuration(dialect))?;
    let threshold = usize::try_from(running.threshold).unwrap_or(usize::MAX);
    let Some(verifying) = &mut running.verifying else {
        return Err(Fault::caller(if dialect == Dialect::Vault {
            "no rekey verification in progress"
        } else {
            "no rotation verification in progress"
        }));
    };
    check_nonce(&verifying.attempt, &request.nonce.0, "this verify operation")?;
    if verifying.attempt.knows(&share) {
        return Err(Fault::caller("given key has already been provided during this verify operation"));
    }
    let Some(shares) = verifying.attempt.add(share, threshold, now) else {
        return verify_answer(dialect, &running.verification());
    };
    if !verifying.prepared.is_proven_by(&shares) {
        return Err(CeremonyError::told(ShareFault::WrongKey.to_string()).into());
    }
    system.core.store.barrier().commit_rekey(&verifying.prepared).await.map_err(told_or_fault)?;
    let nonce = verifying.attempt.nonce().to_owned();
    slot.take();
    verify_done(dialect, &nonce)
}

impl System {
    /// How many shares prove authority; a seal has only one kind of them.
    async fn required_shares(&self, subject: Subject) -> Result<u8, Fault> {
        let seal = self.seal_summary().await?;
        match (seal.kind, subject) {
            (SealKind::Shamir, Subject::Barrier) | (SealKind::Pkcs11, Subject::Recovery) => Ok(seal.threshold),
            (SealKind::Shamir, Subject::Recovery) => Err(Fault::caller("recovery rekeying not supported")),
            (SealKind::Pkcs11, Subject::Barrier) => {
                Err(Fault::caller("the seal keeps its key in the HSM: only its recovery shares can be replaced"))
            }
        }
    }
}

impl Running {
    fn is_idle(&self, now: jiff::Timestamp) -> bool {
        let attempt = self.verifying.as_ref().map_or(&self.attempt, |verifying| &verifying.attempt);
        attempt.is_idle(now)
    }

    fn progress(&self, required: u8) -> Progress {
        Progress {
            nonce: self.attempt.nonce().to_owned(),
            started: true,
            threshold: self.threshold,
            shares: self.shares,
            progress: self.attempt.progress(),
            required,
            verification_required: self.require_verification,
            verification_nonce: self.verifying.as_ref().map(|verifying| verifying.attempt.nonce().to_owned()),
        }
    }

    fn verification(&self) -> Progress {
        let attempt = self.verifying.as_ref().map(|verifying| &verifying.attempt);
        Progress {
            nonce: attempt.map(|attempt| attempt.nonce().to_owned()).unwrap_or_default(),
            started: attempt.is_some(),
            threshold: self.threshold,
            shares: self.shares,
            progress: attempt.map_or(0, Attempt::progress),
            ..Progress::default()
        }
    }
}

impl Rekeys {
    /// The barrier was sealed: the attempt is over. One that is being worked on ends with the barrier's refusal.
    pub(super) fn forget(&self) {
        if let Ok(mut slot) = self.0.try_lock() {
            slot.take();
        }
    }
}

fn given_key(key: Option<SecretString>, dialect: Dialect) -> Result<SecretString, Fault> {
    key.filter(|key| !key.expose().is_empty()).ok_or_else(|| {
        Fault::caller(match dialect {
            Dialect::Vault => "'key' must be specified in request body as JSON",
            Dialect::Bao => "missing required field 'key'",
        })
    })
}

fn check_nonce(attempt: &Attempt, nonce: &str, of: &str) -> Result<(), Fault> {
    if attempt.has_nonce(nonce) {
        return Ok(());
    }
    Err(Fault::Caller(format!("incorrect nonce supplied; nonce for {of} is {:?}", attempt.nonce())))
}

fn no_configuration(dialect: Dialect) -> Fault {
    Fault::caller(match dialect {
        Dialect::Vault => "no rekey configuration found",
        Dialect::Bao => "no rotation configuration found",
    })
}

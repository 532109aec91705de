//! The connection to one token: its phase, its login, its way back after a loss.
//!
//! Workers use the token; when one finds it gone it reports that here and waits. One supervisor thread rebuilds the
//! connection: re-initialise the module, find the token by serial and label (slot numbers move), log in, check. Pauses
//! between attempts double up to a minute and are jittered. A refused PIN latches: it is never sent again, because
//! hardware counts attempts and may wipe itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki::slot::Slot;
use parking_lot::{Condvar, Mutex};

use super::{
    Pkcs11Config, TokenChoice,
    failure::{Class, Failure, call_name, code_name},
    keys::HandleCache,
    module::Module,
    session::OwnedSession,
    slots,
};
use crate::{HsmError, HsmPhase, TokenIdentity};

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Link {
    pub(super) module: Arc<Module>,
    pub(super) config: Pkcs11Config,
    pub(super) identity: TokenIdentity,
    pub(super) handles: HandleCache,
    pub(super) counters: Counters,
    /// Sessions the pool should have, after the token's own limit.
    pub(super) pool: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Keeps the process logged in while workers come and go: closing the last session logs out.
    sentinel: Mutex<Option<OwnedSession>>,
    left: AtomicBool,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) sessions: AtomicUsize,
    pub(super) active_workers: AtomicUsize,
}

struct State {
    phase: Phase,
    /// The module's epoch this link is connected in.
    epoch: u64,
    slot: Slot,
    /// Failed attempts since the loss.
    attempts: u32,
}

enum Phase {
    Ready,
    Reconnecting(HsmError),
    Latched(String),
    Closed,
}

impl Phase {
    /// Nothing follows upon closing: the supervisor ends by it.
    fn latch(&mut self, reason: String) {
        if !matches!(self, Self::Closed) {
            *self = Self::Latched(reason);
        }
    }
}

impl Link {
    /// Loads the module, finds the token and logs in, once.
    pub(super) fn open(config: Pkcs11Config) -> Result<Self, HsmError> {
        let module = Module::load(&config.module)?;
        module.join().map_err(Failure::into_error)?;
        let connected = connect(&module, &config, &config.token);
        let (found, sentinel) = match connected {
            Ok(connected) => connected,
            Err(failure) => {
                module.leave();
                return Err(login_error(failure));
            }
        };
        let limit = found.max_sessions.and_then(|limit| usize::try_from(limit.saturating_sub(1)).ok());
        let pool = config.sessions.min(limit.unwrap_or(usize::MAX)).max(1);
        let state = State { phase: Phase::Ready, epoch: sentinel.epoch(), slot: found.slot, attempts: 0 };
        Ok(Self {
            module,
            config,
            identity: found.identity,
            handles: HandleCache::default(),
            counters: Counters::default(),
            pool,
            state: Mutex::new(state),
            changed: Condvar::new(),
            sentinel: Mutex::new(Some(sentinel)),
            left: AtomicBool::new(false),
        })
    }

    /// The slot to open sessions in, if the link is connected in `epoch`.
    pub(super) fn slot(&self, epoch: u64) -> Result<Slot, Failure> {
        let state = self.state.lock();
        match &state.phase {
            // What was queued before closing is still done.
            Phase::Ready | Phase::Closed if state.epoch == epoch => Ok(state.slot),
            Phase::Ready => Err(Failure::Stale),
            // What was queued before the loss waits for the first attempt.
            Phase::Reconnecting(_) if state.attempts == 0 => Err(Failure::Stale),
            Phase::Reconnecting(error) => Err(error.clone().into()),
            Phase::Latched(reason) => Err(HsmError::Latched { reason: reason.clone() }.into()),
            Phase::Closed => Err(HsmError::Closed.into()),
        }
    }

    /// Whether new work is taken. During the first attempt to reconnect it may queue: mostly that is a matter of
    /// milliseconds. After it, callers are sent away at once.
    pub(super) fn admit(&self) -> Result<(), HsmError> {
        let state = self.state.lock();
        match &state.phase {
            Phase::Ready => Ok(()),
            Phase::Reconnecting(_) if state.attempts == 0 => Ok(()),
            Phase::Reconnecting(error) => Err(error.clone()),
            Phase::Latched(reason) => Err(HsmError::Latched { reason: reason.clone() }),
            Phase::Closed => Err(HsmError::Closed),
        }
    }

    pub(super) fn phase(&self) -> HsmPhase {
        match &self.state.lock().phase {
            Phase::Ready => HsmPhase::Ready,
            Phase::Reconnecting(error) => HsmPhase::Reconnecting(error.to_string()),
            Phase::Latched(reason) => HsmPhase::Latched(reason.clone()),
            Phase::Closed => HsmPhase::Closed,
        }
    }

    /// Reports that the device was found lost in `epoch`, and waits for the first outcome of reconnecting.
    pub(super) fn lost(&self, epoch: u64, error: HsmError, until: Instant) -> Result<(), HsmError> {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Ready) && state.epoch <= epoch {
            tracing::warn!(%error, token = %self.identity, "the token is lost, reconnecting");
            state.phase = Phase::Reconnecting(error.clone());
            state.attempts = 0;
            self.changed.notify_all();
        }
        loop {
            match &state.phase {
                Phase::Ready => return Ok(()),
                Phase::Reconnecting(cause) if state.attempts > 0 => return Err(cause.clone()),
                Phase::Reconnecting(_) => {}
                Phase::Latched(reason) => return Err(HsmError::Latched { reason: reason.clone() }),
                Phase::Closed => return Err(HsmError::Closed),
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return Err(error);
            }
        }
    }

    /// Logs in again after the token forgot us; the sentinel is replaced if it is gone too. One thread at a time, and
    /// none after a refusal.
    pub(super) fn login_again(&self, epoch: u64) -> Result<(), Failure> {
        let mut sentinel = self.sentinel.lock();
        let slot = self.slot(epoch)?;
        let first = match sentinel.as_ref() {
            Some(session) if session.epoch() == epoch => session.login(&self.config.pin),
            _ => Err(Failure::Stale),
        };
        let outcome = match first {
            Err(failure) if matches!(failure.class(), Class::SessionLost | Class::DeviceLost) => {
                let session = OwnedSession::open(self.module.context(), slot, epoch)?;
                let outcome = session.login(&self.config.pin);
                *sentinel = Some(session);
                outcome
            }
            outcome => outcome,
        };
        if let Err(failure) = &outcome
            && failure.class() == Class::Fatal
        {
            self.latch(failure);
        }
        outcome
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Closed) {
            state.phase = Phase::Closed;
            self.changed.notify_all();
        }
    }

    /// Closes the sentinel and leaves the module, once.
    pub(super) fn leave(&self) {
        if self.left.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(sentinel) = self.sentinel.lock().take() {
            let gate = self.module.enter();
            sentinel.close(gate.epoch);
        }
        self.module.leave();
    }

    /// The supervisor's thread.
    pub(super) fn supervise(&self) {
        let mut tried = 0;
        loop {
            let mut state = self.state.lock();
            let pause = match &state.phase {
                Phase::Closed => return,
                Phase::Ready | Phase::Latched(_) => self.config.keep_alive,
                Phase::Reconnecting(_) if state.attempts == 0 => {
                    tried = tried.max(state.epoch);
                    Duration::ZERO
                }
                Phase::Reconnecting(_) => jittered(self.config.reconnect_pause, state.attempts),
            };
            if !pause.is_zero() {
                let timed_out = self.changed.wait_for(&mut state, pause).timed_out();
                if !timed_out {
                    continue;
                }
            }
            let (reconnecting, ready) =
                (matches!(state.phase, Phase::Reconnecting(_)), matches!(state.phase, Phase::Ready));
            drop(state);
            if reconnecting {
                tried = self.reconnect(tried);
            } else if ready {
                self.keep_alive();
            }
        }
    }

    /// One attempt; answers with the epoch it ended in.
    fn reconnect(&self, tried: u64) -> u64 {
        // The old sentinel's number may soon be somebody else's.
        drop(self.sentinel.lock().take());
        let outcome = self.module.reinitialise(tried).and_then(|()| {
            let choice = match (&self.config.token, self.identity.label.is_empty()) {
                (TokenChoice::Slot(slot), true) => TokenChoice::Slot(*slot),
                _ => TokenChoice::Serial(self.identity.serial.clone()),
            };
            let (found, sentinel) = connect(&self.module, &self.config, &choice)?;
            if !found.identity.is_same_token(&self.identity) {
                let (expected, found) = (self.identity.to_string(), found.identity.to_string());
                return Err(HsmError::WrongToken { expected, found }.into());
            }
            Ok((found.slot, sentinel))
        });
        let epoch = self.module.enter().epoch;
        match outcome {
            Ok((slot, sentinel)) => {
                self.handles.clear();
                let connected = sentinel.epoch();
                // Never under the state's lock: `login_again` takes the two in this order.
                *self.sentinel.lock() = Some(sentinel);
                let mut state = self.state.lock();
                (state.epoch, state.slot, state.attempts) = (connected, slot, 0);
                if matches!(state.phase, Phase::Reconnecting(_)) {
                    state.phase = Phase::Ready;
                }
                self.counters.reconnects.fetch_add(1, Ordering::Relaxed);
                tracing::info!(token = %self.identity, "the token is back");
            }
            Err(failure)
                if failure.class() == Class::Fatal || matches!(failure, Failure::Settled(HsmError::Latched { .. })) =>
            {
                self.latch(&failure);
            }
            Err(failure) => {
                let error = failure.into_error();
                tracing::warn!(%error, token = %self.identity, "reconnecting failed");
                self.state.lock().attempts += 1;
            }
        }
        self.changed.notify_all();
        epoch
    }

    fn latch(&self, failure: &Failure) {
        let reason = latch_reason(failure);
        tracing::error!(reason, token = %self.identity, "the token refused our login; nothing is tried again");
        self.state.lock().phase.latch(reason);
        self.changed.notify_all();
    }

    fn keep_alive(&self) {
        let gate = self.module.enter();
        let outcome = match self.sentinel.lock().as_ref() {
            Some(session) if session.epoch() == gate.epoch => {
                session.raw().get_session_info().map(drop).map_err(Failure::from)
            }
            _ => Err(Failure::Stale),
        };
        let Err(failure) = outcome else { return };
        let epoch = gate.epoch;
        match failure.class() {
            Class::SessionLost | Class::LoginLost => {
                if let Err(failure) = self.login_again(epoch) {
                    tracing::warn!(error = %failure.into_error(), "the login could not be renewed");
                }
            }
            _ => {
                drop(gate);
                // The state changes; there is no work in flight here that would wait for the outcome.
                let _ = self.lost(epoch, failure.into_error(), Instant::now());
            }
        }
    }
}

/// The last of token handle, workers and supervisor.
impl Drop for Link {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Finds the token, opens the sentinel, logs in, and makes sure that the token can still list its objects.
fn connect(
    module: &Module,
    config: &Pkcs11Config,
    choice: &TokenChoice,
) -> Result<(slots::Found, OwnedSession), Failure> {
    let gate = module.enter();
    let found = slots::find(module.context(), choice)?;
    let sentinel = OwnedSession::open(module.context(), found.slot, gate.epoch)?;
    let checked = sentinel.login(&config.pin).and_then(|()| {
        let _searching = module.objects.read();
        // A token with torn object files fails here, in every process, for ever (hsm reference, SoftHSM 2.6.1).
        sentinel.raw().find_objects(&[]).map(drop).map_err(Failure::from)
    });
    match checked {
        Ok(()) => Ok((found, sentinel)),
        Err(failure) => {
            sentinel.close(gate.epoch);
            Err(failure)
        }
    }
}

fn login_error(failure: Failure) -> HsmError {
    if failure.class() == Class::Fatal {
        return HsmError::Latched { reason: latch_reason(&failure) };
    }
    failure.into_error()
}

fn latch_reason(failure: &Failure) -> String {
    match failure {
        Failure::Token { call, code } => {
            let (call, code) = (call_name(*call), code_name(*code));
            format!("{call} answered {code}; the PIN was tried once and is not tried again")
        }
        Failure::Settled(HsmError::Latched { reason }) => reason.clone(),
        Failure::Settled(other) => other.to_string(),
        Failure::Stale => "the library was re-initialised during login".into(),
    }
}

/// Doubles with each attempt, capped, less up to a quarter at random.
fn jittered(first: Duration, attempts: u32) -> Duration {
    let pause = first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let mut byte = [0];
    // Without randomness the pause is merely unjittered.
    let _ = getrandom::fill(&mut byte);
    pause - pause.mul_f64(f64::from(byte[0]) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_reopen_a_closed_link() {
        let mut phase = Phase::Closed;
        phase.latch("refused".to_owned());
        assert!(matches!(phase, Phase::Closed));
        let mut phase = Phase::Ready;
        phase.latch("refused".to_owned());
        assert!(matches!(phase, Phase::Latched(_)));
    }
}

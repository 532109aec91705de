//! A thread that owns one session and works off the queue.
//!
//! After any failed call the session is thrown away: half-finished operations would make the next call fail. What else
//! happens is decided by the failure's class (see `failure.rs`), each remedy at most once per command.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use zeroize::Zeroizing;

use super::{
    failure::{Class, Failure},
    foreign,
    keys::Desk,
    link::Link,
    objects, operations,
    queue::{Job, JobQueue, Next},
    session::OwnedSession,
};
use crate::{
    Capabilities, HsmError, IvPolicy, RsaPadding,
    command::{Command, Reply},
    software::rsa_encrypt,
};

const KNOWN_ANSWER: &[u8] = b"chancery known answer";

pub(super) struct Worker {
    pub(super) link: Arc<Link>,
    pub(super) queue: Arc<JobQueue>,
    pub(super) capabilities: Arc<Capabilities>,
    pub(super) session: Option<OwnedSession>,
}

/// Which remedies a command has left, and how long.
struct Remedies {
    until: Instant,
    session: bool,
    login: bool,
    handle: bool,
    suspicion: bool,
    device: bool,
}

/// What to do after a failure.
enum Verdict {
    TryAgain,
    GiveUp(HsmError),
    /// The token has no session for this worker.
    Shrink(HsmError),
}

impl Worker {
    pub(super) fn run(mut self) {
        let counters = &Arc::clone(&self.link).counters;
        counters.active_workers.fetch_add(1, Ordering::Relaxed);
        loop {
            match self.queue.pop(self.link.config.keep_alive) {
                Next::Job(job) => {
                    if !self.serve(job) {
                        self.discard();
                        self.queue.rest(self.link.config.capacity_rest);
                        counters.active_workers.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Next::Idle => self.keep_alive(),
                Next::Closed => break,
            }
        }
        self.discard();
    }

    /// Works off one job; `false` if this worker must rest because the token is out of room.
    fn serve(&mut self, job: Box<Job>) -> bool {
        if job.reply.is_closed() || Instant::now() >= job.deadline {
            return true;
        }
        // A panic (none is known) must not take the thread and its share of the pool along.
        let worked = catch_unwind(AssertUnwindSafe(|| self.work(&job.command, job.deadline)));
        let outcome = worked.unwrap_or_else(|_| {
            self.forget_session();
            Err(Verdict::GiveUp(HsmError::Internal { detail: "a worker panicked" }))
        });
        let counters = &self.link.counters;
        let (answer, stays) = match outcome {
            Ok(reply) => (Ok(reply), true),
            Err(Verdict::Shrink(error)) => {
                let stays = !self.retire();
                if !stays && self.session.is_none() {
                    // Nothing was started, so another worker can take it.
                    self.queue.push_front(job);
                    return false;
                }
                (Err(error), stays)
            }
            Err(Verdict::GiveUp(error)) => (Err(error), true),
            Err(Verdict::TryAgain) => (Err(HsmError::Internal { detail: "a command was left undecided" }), true),
        };
        let counter = if answer.is_ok() { &counters.succeeded } else { &counters.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        // The caller may have gone away.
        let _ = job.reply.send(answer);
        stays
    }

    /// Leaves the pool, unless this is its last worker.
    fn retire(&self) -> bool {
        let active = &self.link.counters.active_workers;
        active.try_update(Ordering::AcqRel, Ordering::Acquire, |count| (count > 1).then(|| count - 1)).is_ok()
    }

    fn work(&mut self, command: &Command, until: Instant) -> Result<Reply, Verdict> {
        let mut left = Remedies { until, session: true, login: true, handle: true, suspicion: true, device: true };
        loop {
            let (epoch, outcome) = self.attempt(command);
            let failure = match outcome {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            match self.judge(failure, epoch, command, &mut left) {
                Verdict::TryAgain => {}
                verdict => return Err(verdict),
            }
        }
    }

    /// One attempt, under the gate: nobody re-initialises the module meanwhile.
    fn attempt(&mut self, command: &Command) -> (u64, Result<Reply, Failure>) {
        let link = Arc::clone(&self.link);
        let policy = self.capabilities.aead().unwrap_or(IvPolicy::App);
        let gate = link.module.enter();
        let outcome = self.session(gate.epoch).and_then(|session| {
            let desk = Desk {
                session: session.raw(),
                epoch: gate.epoch,
                objects: &link.module.objects,
                handles: &link.handles,
            };
            execute(&desk, &link, policy, command)
        });
        (gate.epoch, outcome)
    }

    /// This worker's session, opened if there is none of this epoch.
    fn session(&mut self, epoch: u64) -> Result<&OwnedSession, Failure> {
        let slot = self.link.slot(epoch)?;
        if self.session.as_ref().is_some_and(|session| session.epoch() != epoch) {
            // Its number may be somebody else's by now: never close it.
            self.forget_session();
        }
        match &mut self.session {
            Some(session) => Ok(session),
            empty => {
                let session = OwnedSession::open(self.link.module.context(), slot, epoch)?;
                self.link.counters.sessions.fetch_add(1, Ordering::Relaxed);
                Ok(empty.insert(session))
            }
        }
    }

    fn discard(&mut self) {
        if let Some(session) = self.forget_session() {
            session.close(self.link.module.enter().epoch);
        }
    }

    fn forget_session(&mut self) -> Option<OwnedSession> {
        let session = self.session.take()?;
        self.link.counters.sessions.fetch_sub(1, Ordering::Relaxed);
        Some(session)
    }

    fn judge(&mut self, failure: Failure, epoch: u64, command: &Command, left: &mut Remedies) -> Verdict {
        let class = failure.class();
        if class == Class::Capacity {
            return Verdict::Shrink(failure.into_error());
        }
        if !matches!(failure, Failure::Settled(_)) || class != Class::Other {
            self.discard();
        }
        match class {
            Class::SessionLost if std::mem::take(&mut left.session) => Verdict::TryAgain,
            Class::LoginLost if std::mem::take(&mut left.login) => self.login_again(epoch),
            Class::HandleLost if std::mem::take(&mut left.handle) => self.look_up_again(command),
            Class::Suspicious if !command.has_side_effect() && std::mem::take(&mut left.suspicion) => {
                self.look_up_again(command)
            }
            Class::Ambiguous if self.known_answer_works(command) => Verdict::GiveUp(HsmError::BadData),
            Class::Suspicious if command.has_side_effect() && self.is_healthy() => {
                Verdict::GiveUp(failure.into_refusal())
            }
            Class::SessionLost | Class::LoginLost | Class::Suspicious | Class::Ambiguous | Class::DeviceLost => {
                // Found out before any call was made: trying costs nothing and uses up nothing.
                let untouched = matches!(failure, Failure::Stale) && Instant::now() < left.until;
                let error = failure.into_error();
                match self.link.lost(epoch, error.clone(), left.until) {
                    Ok(()) if untouched => Verdict::TryAgain,
                    Ok(()) if !command.has_side_effect() && std::mem::take(&mut left.device) => Verdict::TryAgain,
                    Ok(()) => Verdict::GiveUp(error),
                    Err(error) => Verdict::GiveUp(error),
                }
            }
            Class::Other if matches!(failure, Failure::Settled(HsmError::BadSignature { .. })) => {
                self.discard();
                if std::mem::take(&mut left.handle) {
                    self.look_up_again(command)
                } else {
                    Verdict::GiveUp(failure.into_error())
                }
            }
            _ => Verdict::GiveUp(failure.into_error()),
        }
    }

    fn login_again(&mut self, epoch: u64) -> Verdict {
        let link = Arc::clone(&self.link);
        let gate = link.module.enter();
        if gate.epoch != epoch {
            return Verdict::TryAgain;
        }
        match link.login_again(epoch) {
            Ok(()) => Verdict::TryAgain,
            Err(failure) => Verdict::GiveUp(failure.into_error()),
        }
    }

    fn look_up_again(&mut self, command: &Command) -> Verdict {
        if let Some(key) = command.key() {
            self.link.handles.forget(key);
        }
        Verdict::TryAgain
    }

    /// Whether the key still decrypts what is certainly good. A stranger's garbage must not look like a broken token.
    fn known_answer_works(&mut self, command: &Command) -> bool {
        let decrypt = match command {
            Command::Decrypt { key, .. } => {
                let plaintext = Zeroizing::new(KNOWN_ANSWER.to_vec());
                let aad = b"known answer".to_vec();
                match self.attempt(&Command::Encrypt { key: key.clone(), aad: aad.clone(), plaintext }) {
                    (_, Ok(Reply::Sealed(sealed))) => Command::Decrypt { key: key.clone(), aad, sealed },
                    _ => return false,
                }
            }
            Command::RsaDecrypt { key, padding, .. } => {
                let supports = |padding: &RsaPadding| self.capabilities.supports(&crate::Need::RsaDecrypt(*padding));
                let paddings = [RsaPadding::OaepSha1, RsaPadding::OaepSha256, RsaPadding::Pkcs1v15];
                let padding = paddings.into_iter().find(supports).unwrap_or(*padding);
                let public = key.public_key.as_deref().unwrap_or_default();
                let Ok(ciphertext) = rsa_encrypt(public, padding, KNOWN_ANSWER) else { return false };
                Command::RsaDecrypt { key: key.clone(), padding, ciphertext }
            }
            _ => return false,
        };
        let (_, outcome) = self.attempt(&decrypt);
        let works = matches!(&outcome, Ok(Reply::Secret(plaintext)) if plaintext.as_slice() == KNOWN_ANSWER);
        if !works {
            self.discard();
        }
        works
    }

    /// Whether the token still does something harmless.
    fn is_healthy(&mut self) -> bool {
        let healthy = self.attempt(&Command::Random { bytes: 1 }).1.is_ok();
        if !healthy {
            self.discard();
        }
        healthy
    }

    fn keep_alive(&mut self) {
        let epoch = self.link.module.enter().epoch;
        let Some(session) = self.session.as_ref().filter(|session| session.epoch() == epoch) else { return };
        let Err(error) = session.raw().get_session_info() else { return };
        let failure = Failure::from(error);
        self.discard();
        if failure.class() == Class::DeviceLost {
            // There is no work in flight here that would wait for the outcome.
            let _ = self.link.lost(epoch, failure.into_error(), Instant::now());
        }
    }
}

fn execute(desk: &Desk<'_>, link: &Link, policy: IvPolicy, command: &Command) -> Result<Reply, Failure> {
    match command {
        Command::Generate(spec) => objects::generate(desk, &link.identity, spec).map(Reply::Key),
        Command::Find(search) => foreign::find(desk, &link.identity, search).map(Reply::Key),
        Command::Sign { key, scheme, input } => operations::sign(desk, key, *scheme, input).map(Reply::Bytes),
        Command::Encrypt { key, aad, plaintext } => {
            operations::encrypt(desk, key, policy, aad, plaintext).map(Reply::Sealed)
        }
        Command::Decrypt { key, aad, sealed } => operations::decrypt(desk, key, aad, sealed).map(Reply::Secret),
        Command::RsaDecrypt { key, padding, ciphertext } => {
            operations::rsa_decrypt(desk, key, *padding, ciphertext).map(Reply::Secret)
        }
        Command::Mac { key, algorithm, data } => operations::mac(desk, key, *algorithm, data).map(Reply::Bytes),
        Command::Random { bytes } => operations::random(desk.session, *bytes).map(Reply::Secret),
        Command::Destroy { key } => objects::destroy(desk, key).map(|()| Reply::Done),
        Command::Attributes { key } => objects::attributes(desk, key).map(Reply::Attributes),
        Command::List => objects::list(desk, &link.identity).map(Reply::Keys),
    }
}

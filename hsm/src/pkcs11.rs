//! A token behind a PKCS#11 module (OASIS PKCS#11 2.40 and later, through `cryptoki`).
//!
//! ```text
//! facade -> queue.rs (bounded, refuses at once) -> worker.rs x N (a thread and a session each)
//!                                                    |-- operations.rs, gcm.rs   using keys
//!                                                    |-- objects.rs              making, listing, destroying them
//!                                                    |-- foreign.rs              finding those that others made
//!                                                    |-- keys.rs                 reference -> handle, compared
//!                                                    `-- failure.rs              what an error means
//!           link.rs   (login, supervisor, way back after a loss) -> module.rs (the library, its epochs) -> slots.rs
//!           probe.rs  (what the token can do)
//! ```
//!
//! PKCS#11 calls block and cannot be cancelled, so they run on threads of their own; a caller waits at most for its
//! deadline. The number of sessions is the bound of concurrency and the knob of throughput.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    Capabilities, HsmError, HsmStatus, TokenIdentity,
    command::{Command, Reply},
};

mod config;
mod failure;
mod foreign;
mod gcm;
mod keys;
mod link;
mod module;
mod objects;
mod operations;
mod probe;
mod queue;
mod session;
mod slots;
mod worker;

pub use config::{Pin, Pkcs11Config, TokenChoice};
use link::Link;
use queue::{Job, JobQueue};
use worker::Worker;

/// Making a key may take this many times longer than using one.
const GENERATION_PATIENCE: u32 = 6;

pub(crate) struct Pkcs11Token {
    link: Arc<Link>,
    queue: Arc<JobQueue>,
    capabilities: Arc<Capabilities>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pkcs11Token {
    pub(crate) fn open(config: Pkcs11Config) -> Result<Self, HsmError> {
        let queue = Arc::new(JobQueue::new(config.queue));
        let link = Arc::new(Link::open(config)?);
        let capabilities = match probe::run(&link) {
            Ok(capabilities) => Arc::new(capabilities),
            Err(error) => {
                link.leave();
                return Err(error);
            }
        };
        let token = Self { link, queue, capabilities, threads: Mutex::default() };
        token.start()?;
        tracing::info!(token = %token.link.identity, sessions = token.link.pool, "the token is ready");
        Ok(token)
    }

    fn start(&self) -> Result<(), HsmError> {
        let failed =
            |error: std::io::Error| HsmError::OperatingSystem { call: "starting a thread", detail: error.to_string() };
        let mut threads = self.threads.lock();
        let link = Arc::clone(&self.link);
        let supervisor = std::thread::Builder::new().name("hsm-supervisor".into());
        threads.push(supervisor.spawn(move || link.supervise()).map_err(failed)?);
        for number in 0..self.link.pool {
            let worker = Worker {
                link: Arc::clone(&self.link),
                queue: Arc::clone(&self.queue),
                capabilities: Arc::clone(&self.capabilities),
                session: None,
            };
            let thread = std::thread::Builder::new().name(format!("hsm-{number}"));
            threads.push(thread.spawn(move || worker.run()).map_err(failed)?);
        }
        Ok(())
    }

    pub(crate) fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.capabilities)
    }

    pub(crate) fn identity(&self) -> &TokenIdentity {
        &self.link.identity
    }

    pub(crate) fn status(&self) -> HsmStatus {
        let counters = &self.link.counters;
        HsmStatus {
            phase: self.link.phase(),
            sessions: counters.sessions.load(Ordering::Relaxed),
            sessions_configured: self.link.pool,
            queue_depth: self.queue.depth(),
            queue_capacity: self.queue.capacity(),
            reconnects: counters.reconnects.load(Ordering::Relaxed),
            succeeded: counters.succeeded.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
        }
    }

    pub(crate) async fn execute(&self, command: Command) -> Result<Reply, HsmError> {
        self.link.admit()?;
        let operation = command.name();
        let patience = self.patience(&command);
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job { command, reply, deadline: Instant::now() + patience })?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(HsmError::TimedOut { operation, seconds: patience.as_secs() }),
            Err(_) => Err(HsmError::TimedOut { operation, seconds: patience.as_secs() }),
        }
    }

    fn patience(&self, command: &Command) -> Duration {
        let deadline = self.link.config.deadline;
        if matches!(command, Command::Generate(_)) { deadline.saturating_mul(GENERATION_PATIENCE) } else { deadline }
    }

    pub(crate) fn close(&self) {
        self.queue.close();
        self.link.close();
    }

    /// Closes, waits for the threads, leaves the module. The second call finds nothing to do.
    pub(crate) fn shutdown(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        let mut threads = threads.into_iter();
        let supervisor = threads.next();
        for worker in threads {
            // A panic has been reported by the thread itself.
            let _ = worker.join();
        }
        self.link.close();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.join();
        }
        self.link.leave();
    }
}

/// Dropping the last clone stops the threads in the background; `shutdown` also waits for them.
impl Drop for Pkcs11Token {
    fn drop(&mut self) {
        self.close();
    }
}

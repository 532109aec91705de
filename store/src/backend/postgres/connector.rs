//! Making connections, with a pause that grows while the database is away: nobody waits for what just failed.

use super::{config::PostgresConfig, session::Session};
use crate::StoreError;
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// What an attempt may take even if time has run out.
const FIRST_ATTEMPT: Duration = Duration::from_secs(6);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Makes connections to one database.
pub(super) struct Connector {
    config: PostgresConfig,
    away: Mutex<Option<Away>>,
    /// A database that let us in once will again: whatever it says now, it is a matter of waiting.
    known: AtomicBool,
}

/// The database did not let us in.
struct Away {
    why: String,
    pause: Duration,
    until: Instant,
}

impl Connector {
    pub(super) fn new(config: PostgresConfig) -> Self {
        Self { config, away: Mutex::new(None), known: AtomicBool::new(false) }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// A new connection, unless one failed a moment ago.
    pub(super) async fn connect(&self) -> Result<Session, StoreError> {
        if let Some(away) = &*self.away.lock()
            && Instant::now() < away.until
        {
            return Err(StoreError::unavailable(&away.why));
        }
        self.attempt().await
    }

    /// Whether the last attempt to connect succeeded.
    pub(super) fn was_there(&self) -> bool {
        self.away.lock().is_none()
    }

    /// A new connection before the moment; tries all the time, and once in any case.
    pub(super) async fn connect_by(&self, moment: Instant) -> Result<Session, StoreError> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let end = moment.max(Instant::now() + FIRST_ATTEMPT);
            let attempt = tokio::time::timeout_at(end.into(), self.attempt()).await;
            let failure = match attempt {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(StoreError::unavailable(format!("{}: connecting takes too long", self.name()))),
            };
            if !matches!(failure, StoreError::Unavailable { .. }) || Instant::now() + pause >= moment {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn attempt(&self) -> Result<Session, StoreError> {
        match Session::open(&self.config).await {
            Ok(session) => {
                self.known.store(true, Ordering::Release);
                if self.away.lock().take().is_some() {
                    tracing::info!(database = self.name(), "the database is back");
                }
                Ok(session)
            }
            Err(error) => {
                self.note(&error);
                let known = self.known.load(Ordering::Acquire);
                Err(if known { StoreError::unavailable(error.to_string()) } else { error })
            }
        }
    }

    fn note(&self, error: &StoreError) {
        let mut away = self.away.lock();
        let pause = away.as_ref().map_or(SHORTEST_PAUSE, |away| (away.pause * 2).min(LONGEST_PAUSE));
        if away.is_none() {
            tracing::error!(database = self.name(), %error, "the database cannot be used; trying again");
        }
        *away = Some(Away { why: error.to_string(), pause, until: Instant::now() + pause });
    }
}

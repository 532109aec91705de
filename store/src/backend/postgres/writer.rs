//! The one task that writes.
//!
//! It takes every change set that is waiting and commits all in one transaction (`group.rs`), as the writer of SQLite
//! does. Callers are answered after the commit. Where the connection breaks before `COMMIT` was sent, nothing was
//! committed and the group is tried again; where it breaks behind it, nobody knows, and the group's token is looked for
//! (`outcome.rs`). What cannot be found out in time is answered as unknown, never as success.

use super::{
    connector::Connector,
    failure::{self, Meaning},
    group::{self, Prepared},
    outcome,
    session::Session,
};
use crate::{
    StoreError,
    backend::{Batch, Sequence},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Change sets that may wait; behind that callers wait to get into the queue.
const QUEUE: usize = 4096;
/// Most change sets in one commit.
const GROUP: usize = 256;
/// Longer than the server's own limits: only a server that does not answer at all gets here.
const STEP: Duration = Duration::from_secs(7);
/// The same where a statement may touch any number of rows.
const WIDE_STEP: Duration = Duration::from_secs(11 * 60);
/// A group that was not committed is tried again for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the outcome of a commit is looked for.
const SEARCH: Duration = Duration::from_secs(15);
/// How often what the change log no longer needs is deleted.
const TRIM: Duration = Duration::from_secs(5);

pub(super) type Answer = Result<Sequence, StoreError>;

struct Request {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

/// The queue in front of the task; the task ends when it is dropped and what waits is done.
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

/// Why a group was not committed.
pub(super) enum Trouble {
    /// Certainly not committed; the same again may succeed.
    NotCommitted(StoreError),
    /// Certainly not committed, and it is of no use to try again now.
    Hopeless(StoreError),
    /// The connection broke behind `COMMIT`.
    Unknown,
}

impl Trouble {
    /// What a failure before `COMMIT` means.
    pub(super) fn before_commit(error: &tokio_postgres::Error) -> Self {
        let told = failure::told("postgres change", error);
        match failure::meaning(error) {
            Meaning::Lost | Meaning::Again => Self::NotCommitted(told),
            Meaning::Later | Meaning::Statement => Self::Hopeless(told),
        }
    }
}

impl Writer {
    pub(super) fn start(connector: Arc<Connector>, session: Session, node: [u8; 16]) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        let task = Task { connector, session: Some(session), node, trimmed: Instant::now() };
        tokio::spawn(task.run(requests));
        Self { queue }
    }

    pub(super) async fn apply(&self, batch: Batch) -> Answer {
        let stopped = || StoreError::backend("commit", "the database is closed");
        let (answer, answered) = oneshot::channel();
        self.queue.send(Request { batch, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

struct Task {
    connector: Arc<Connector>,
    session: Option<Session>,
    node: [u8; 16],
    trimmed: Instant,
}

impl Task {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.recv().await {
            let mut batches = vec![first.batch];
            let mut callers = vec![first.answer];
            while batches.len() < GROUP
                && let Ok(next) = requests.try_recv()
            {
                batches.push(next.batch);
                callers.push(next.answer);
            }
            let answers = self.commit(&batches).await;
            for (caller, answer) in callers.into_iter().zip(answers) {
                // A caller who has gone away does not need an answer.
                let _ = caller.send(answer);
            }
            if self.trimmed.elapsed() >= TRIM {
                self.trim().await;
            }
        }
    }

    /// Commits the group; answers in the order of the batches.
    async fn commit(&mut self, batches: &[Batch]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(batches.len());
        while let Some(rest) = batches.get(answers.len()..)
            && !rest.is_empty()
        {
            match self.commit_some(rest).await {
                Ok(done) => answers.extend(done),
                Err(error) => {
                    tracing::error!(%error, "a commit failed; nothing of it was acknowledged");
                    answers.extend(rest.iter().map(|_| Err(again(&error))));
                }
            }
        }
        answers
    }

    /// Commits the group or its first part.
    async fn commit_some(&mut self, batches: &[Batch]) -> Result<Vec<Answer>, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut together = true;
        loop {
            let token = token()?;
            let session = self.session(deadline).await?;
            let trouble = match Self::attempt(&session, batches, (&self.node, &token), together).await {
                Ok(Attempt::Done(answers)) => {
                    self.session = Some(session);
                    return Ok(answers);
                }
                Ok(Attempt::OneByOne) => {
                    self.session = Some(session);
                    together = false;
                    continue;
                }
                Err((trouble, answers)) => {
                    session.abandon();
                    (trouble, answers)
                }
            };
            match trouble {
                (Trouble::Hopeless(error), _) => return Err(error),
                (Trouble::NotCommitted(error), _) if Instant::now() >= deadline => return Err(error),
                (Trouble::NotCommitted(error), _) => tracing::warn!(%error, "nothing was committed, trying again"),
                (Trouble::Unknown, answers) => {
                    tracing::warn!("the connection broke behind COMMIT; looking for its outcome");
                    let found = outcome::committed(&self.connector, &token, Instant::now() + SEARCH).await;
                    match found {
                        Ok((session, true)) => {
                            self.session = Some(session);
                            return Ok(answers);
                        }
                        Ok((session, false)) => self.session = Some(session),
                        Err(error) => {
                            tracing::error!(%error, "the outcome of a commit could not be found out");
                            return Err(StoreError::OutcomeUnknown);
                        }
                    }
                    if Instant::now() >= deadline {
                        return Err(StoreError::unavailable("the connection broke before the commit"));
                    }
                }
            }
        }
    }

    async fn session(&mut self, deadline: Instant) -> Result<Session, StoreError> {
        match self.session.take().filter(Session::is_open) {
            Some(session) => Ok(session),
            // A database that was away a moment ago is not waited for by everyone in the queue.
            None => match self.connector.connect().await {
                Err(StoreError::Unavailable { .. }) if self.connector.was_there() => {
                    self.connector.connect_by(deadline).await
                }
                outcome => outcome,
            },
        }
    }

    async fn attempt(
        session: &Session,
        batches: &[Batch],
        (node, token): (&[u8; 16], &[u8; 16]),
        together: bool,
    ) -> Result<Attempt, (Trouble, Vec<Answer>)> {
        let silent = || StoreError::unavailable("the database does not answer");
        let prepare = async {
            match (together, group::log(batches, node, token)) {
                (true, log) => group::together(session, batches, &log).await,
                (false, _) => group::one_by_one(session, batches, (node, token)).await,
            }
        };
        let step = if group::is_wide(batches) { WIDE_STEP } else { STEP };
        let prepared = match tokio::time::timeout(step, prepare).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(trouble)) => return Err((trouble, Vec::new())),
            Err(_) => return Err((Trouble::Hopeless(silent()), Vec::new())),
        };
        let answers = match prepared {
            Prepared::Ready(answers) => answers,
            Prepared::Nothing(answers) => return Ok(Attempt::Done(answers)),
            Prepared::OneByOne => return Ok(Attempt::OneByOne),
        };
        match tokio::time::timeout(STEP, session.client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => Ok(Attempt::Done(answers)),
            // The server said no: a deferred check, a serialisation failure. It has rolled back.
            Ok(Err(error)) if error.as_db_error().is_some() && failure::meaning(&error) != Meaning::Lost => {
                Err((Trouble::before_commit(&error), Vec::new()))
            }
            Ok(Err(_)) | Err(_) => Err((Trouble::Unknown, answers)),
        }
    }

    /// Deletes what no process needs of the change log; a process that was away for longer takes everything as changed.
    async fn trim(&mut self) {
        self.trimmed = Instant::now();
        let Some(session) = &self.session else { return };
        let sql = "DELETE FROM change_log WHERE at < clock_timestamp() - interval '60 seconds'
            AND sequence < (SELECT value FROM change_sequence WHERE id = 1)";
        let trimmed = tokio::time::timeout(STEP, session.client.execute(sql, &[])).await;
        if !matches!(trimmed, Ok(Ok(_))) {
            tracing::debug!("the change log was not trimmed");
            if let Some(session) = self.session.take() {
                session.abandon();
            }
        }
    }
}

enum Attempt {
    Done(Vec<Answer>),
    /// The group holds a conflict: nothing was committed, and each is to be applied by itself.
    OneByOne,
}

fn token() -> Result<[u8; 16], StoreError> {
    let mut token = [0; 16];
    getrandom::fill(&mut token).map_err(|error| StoreError::backend("getrandom", error))?;
    Ok(token)
}

/// The failure of a group, for each of its callers.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::OutcomeUnknown => StoreError::OutcomeUnknown,
        StoreError::Unavailable { detail } => StoreError::unavailable(detail),
        StoreError::NewerSchema { database, found, known } => {
            StoreError::NewerSchema { database: database.clone(), found: *found, known: *known }
        }
        other => StoreError::backend("commit", other),
    }
}

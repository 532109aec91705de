//! The one thread that writes.
//!
//! It takes every change set that is waiting, applies them and commits all with one fsync. A change set that meets a conflict
//! undoes only its own: one whose expectations do not hold has not begun, and where one fails in its middle, which is rare,
//! the group is undone and applied again, each change set under a savepoint (which costs a copy of every page it touches). Callers are answered after the commit, never before. When the disk fails, nothing more is
//! accepted until a restart: after a failed fsync the kernel may have dropped what it could not write and report the next
//! fsync as a success.

use super::{apply, cache::EntryCache, failed, files::Files, signed, unsigned};
use crate::{
    StoreError,
    backend::{Batch, Operation, Sequence},
};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Change sets that may wait; behind that callers wait to get into the queue.
const QUEUE: usize = 4096;
/// Most change sets in one commit.
const GROUP: usize = 512;
/// After about so many written pages (12 MiB) the WAL is copied into the database. Pages that many commits write, as the ends
/// of indexes are, are copied once.
const PAGES_BETWEEN_CHECKPOINTS: usize = 3000;
/// Above so many frames (64 MiB) a checkpoint waits for the readers, so that the WAL starts from its beginning again.
const LONGEST_WAL: i64 = 16_384;

/// So long a group that follows upon one of at least [`COMPANY`] waits for more: what a commit costs is then shared by more
/// callers, of whom none waits much longer than for the disk. Few callers wait for nobody.
const PATIENCE: Duration = Duration::from_micros(400);
const COMPANY: usize = 3;

type Answer = Result<Sequence, StoreError>;

struct Request {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

pub(super) struct Writer {
    queue: Option<mpsc::Sender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread; it owns the connection and the lock on the files until it ends.
    pub(super) fn start(connection: Connection, files: Files, entries: Arc<EntryCache>) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let run = move || {
            let files = files;
            Loop::new(connection, entries).run(requests);
            drop(files);
        };
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StoreError::backend("spawn thread", error))?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)) })
    }

    pub(super) async fn apply(&self, batch: Batch) -> Answer {
        let stopped = || StoreError::backend("commit", "the database is closed");
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Request { batch, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Ends the thread after what is waiting.
    pub(super) fn stop(&mut self) {
        self.queue.take();
        if let Some(thread) = self.thread.lock().take() {
            // A panic in the thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

struct Loop {
    connection: Connection,
    /// Told of every commit before whoever asked for it is.
    entries: Arc<EntryCache>,
    /// Pages written since the last checkpoint, roughly.
    pages: usize,
    /// Why nothing is accepted any more.
    broken: Option<String>,
}

impl Loop {
    fn new(connection: Connection, entries: Arc<EntryCache>) -> Self {
        Self { connection, entries, pages: 0, broken: None }
    }

    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut patience = Duration::ZERO;
        while let Some(first) = requests.blocking_recv() {
            thread::sleep(patience);
            let mut batches = vec![first.batch];
            let mut callers = vec![first.answer];
            while batches.len() < GROUP
                && let Ok(next) = requests.try_recv()
            {
                batches.push(next.batch);
                callers.push(next.answer);
            }
            for (caller, answer) in callers.into_iter().zip(self.commit(&batches)) {
                // A caller who has gone away does not need an answer.
                let _ = caller.send(answer);
            }
            patience = if batches.len() >= COMPANY { PATIENCE } else { Duration::ZERO };
            self.checkpoint_if_due();
        }
        let _ = self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Commits the group; answers in the order of the batches.
    fn commit(&mut self, batches: &[Batch]) -> Vec<Answer> {
        if let Some(reason) = &self.broken {
            return batches.iter().map(|_| Err(StoreError::backend("commit", reason))).collect();
        }
        match self.commit_group(batches) {
            Ok(answers) => {
                self.tell(batches, &answers);
                answers
            }
            Err(error) => {
                self.entries.forget();
                self.roll_back();
                let text = error.to_string();
                tracing::error!(error = %text, "a commit failed; nothing of it was acknowledged");
                self.break_on(&error);
                batches.iter().map(|_| Err(StoreError::backend("commit", &text))).collect()
            }
        }
    }

    fn tell(&self, batches: &[Batch], answers: &[Answer]) {
        let committed = batches.iter().zip(answers);
        let committed = committed.filter_map(|(batch, answer)| Some((batch, answer.as_ref().ok()?.0)));
        self.entries.committed(committed);
    }

    fn commit_group(&mut self, batches: &[Batch]) -> rusqlite::Result<Vec<Answer>> {
        self.execute("BEGIN IMMEDIATE")?;
        let before = self.sequence()?;
        let answers = match self.apply_together(batches, before)? {
            Some(answers) => answers,
            None => {
                self.execute("ROLLBACK")?;
                self.execute("BEGIN IMMEDIATE")?;
                self.apply_each(batches, before)?
            }
        };
        let committed = answers.iter().filter(|answer| answer.is_ok()).count();
        let sequence = before + u64::try_from(committed).unwrap_or(u64::MAX);
        if sequence == before {
            self.execute("ROLLBACK")?;
            return Ok(answers);
        }
        let sql = "UPDATE change_sequence SET value = ?1 WHERE id = 1";
        self.connection.prepare_cached(sql)?.execute([signed(sequence)])?;
        self.execute("COMMIT")?;
        self.pages += batches.iter().map(pages_of).sum::<usize>();
        Ok(answers)
    }

    /// Applies the group; `None` where a batch failed after it had begun.
    fn apply_together(&self, batches: &[Batch], before: u64) -> rusqlite::Result<Option<Vec<Answer>>> {
        let mut sequence = before;
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            if !apply::expected(&self.connection, batch)? {
                answers.push(Err(StoreError::Conflict));
                continue;
            }
            match apply::operations(&self.connection, batch, sequence + 1) {
                Ok(true) => {
                    sequence += 1;
                    answers.push(Ok(Sequence(sequence)));
                }
                Ok(false) => return Ok(None),
                Err(error) if self.is_groups_failure(&error) => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(answers))
    }

    /// Applies the group, each batch so that it can be undone.
    fn apply_each(&self, batches: &[Batch], before: u64) -> rusqlite::Result<Vec<Answer>> {
        let mut sequence = before;
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            answers.push(self.apply_alone(batch, sequence + 1)?);
            sequence += u64::from(answers.last().is_some_and(Result::is_ok));
        }
        Ok(answers)
    }

    /// On some failures SQLite has already rolled back the whole transaction; then the group has failed.
    fn is_groups_failure(&self, error: &rusqlite::Error) -> bool {
        self.connection.is_autocommit() || is_disk_failure(error)
    }

    /// Applies one batch so that its failure undoes it alone. The outer error is that of the whole group.
    fn apply_alone(&self, batch: &Batch, sequence: u64) -> rusqlite::Result<Answer> {
        self.execute("SAVEPOINT change")?;
        let applied = apply::expected(&self.connection, batch)
            .and_then(|expected| Ok(expected && apply::operations(&self.connection, batch, sequence)?));
        match applied {
            Ok(true) => {
                self.execute("RELEASE change")?;
                Ok(Ok(Sequence(sequence)))
            }
            Ok(false) => {
                self.undo_alone()?;
                Ok(Err(StoreError::Conflict))
            }
            Err(error) if self.is_groups_failure(&error) => Err(error),
            Err(error) => {
                self.undo_alone()?;
                Ok(Err(failed("sqlite change")(error)))
            }
        }
    }

    fn undo_alone(&self) -> rusqlite::Result<()> {
        self.execute("ROLLBACK TO change")?;
        self.execute("RELEASE change")
    }

    fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            self.broken = Some(format!("an earlier failure could not be rolled back: {error}"));
        }
    }

    fn sequence(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT value FROM change_sequence WHERE id = 1";
        self.connection.prepare_cached(sql)?.query_row([], |row| unsigned(0, row.get(0)?))
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn checkpoint_if_due(&mut self) {
        if self.broken.is_some() || self.pages < PAGES_BETWEEN_CHECKPOINTS {
            return;
        }
        self.pages = 0;
        let copied = self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)").and_then(|frames| {
            if frames > LONGEST_WAL { self.checkpoint("PRAGMA wal_checkpoint(RESTART)") } else { Ok(frames) }
        });
        if let Err(error) = copied {
            tracing::error!(error = %error, "a checkpoint failed");
            self.break_on(&error);
        }
    }

    /// Runs a checkpoint; how many frames the WAL has.
    fn checkpoint(&self, sql: &str) -> rusqlite::Result<i64> {
        self.connection.query_row(sql, [], |row| row.get(1))
    }

    fn break_on(&mut self, error: &rusqlite::Error) {
        if is_disk_failure(error) {
            self.broken = Some(format!("the disk failed earlier ({error}); restart after checking it"));
        }
    }
}

fn is_disk_failure(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// About how many pages a batch writes: the leaf of table and indexes for each operation, and the values.
fn pages_of(batch: &Batch) -> usize {
    let pages = |operation: &Operation| match operation {
        Operation::Put { value, .. } | Operation::PutRecord { value, .. } => 2 + value.len() / 4096,
        // What grows at its end is shared with the neighbours in the group.
        Operation::Certificate(_) | Operation::Ssh(_) => 3,
        Operation::Delete { .. } | Operation::DeleteBelow { .. } => 2,
    };
    1 + batch.operations.iter().map(pages).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::migrated, Arc, Loop};
    use crate::{
        StoreError,
        backend::{Batch, Expectation, Operation, Sequence},
        inventory::CertificateChange,
    };

    fn put(path: &str, bytes: usize) -> Batch {
        let put = Operation::Put { path: path.to_owned(), value: vec![7; bytes], expires_at: None };
        Batch { expectations: Vec::new(), operations: vec![put] }
    }

    fn start(folder: &tempfile::TempDir) -> Loop {
        Loop::new(migrated(folder), Arc::default())
    }

    fn paths(writer: &Loop) -> Vec<String> {
        let mut statement = writer.connection.prepare("SELECT path FROM entries ORDER BY path").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_group_is_answered_in_order_and_a_conflict_undoes_only_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = start(&folder);
        let mut conflicting = put("b", 1);
        conflicting.expectations.push(Expectation::Version { path: "a".to_owned(), version: 99 });
        let mut dependent = put("d", 1);
        dependent.expectations.push(Expectation::Version { path: "a".to_owned(), version: 1 });
        let answers = writer.commit(&[put("a", 1), conflicting, put("c", 1), dependent]);
        assert!(matches!(
            answers.as_slice(),
            [Ok(Sequence(1)), Err(StoreError::Conflict), Ok(Sequence(2)), Ok(Sequence(3))]
        ));
        assert_eq!(paths(&writer), ["a", "c", "d"]);
        assert_eq!(writer.sequence().unwrap(), 3);
    }

    #[test]
    fn a_batch_that_fails_in_its_middle_undoes_only_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = start(&folder);
        let mut half = put("b", 1);
        // A certificate that nobody announced cannot be issued.
        let issued = CertificateChange::Issued { mount: "m".to_owned(), serial: vec![1], der: vec![1] };
        half.operations.push(Operation::Certificate(Box::new(issued)));
        half.operations.push(put("c", 1).operations.remove(0));
        let answers = writer.commit(&[put("a", 1), half, put("d", 1)]);
        assert!(
            matches!(answers.as_slice(), [Ok(Sequence(1)), Err(StoreError::Conflict), Ok(Sequence(2))]),
            "{answers:?}"
        );
        assert_eq!(paths(&writer), ["a", "d"]);
        assert_eq!(writer.sequence().unwrap(), 2);
        let version: i64 =
            writer.connection.query_row("SELECT version FROM entries WHERE path = 'd'", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 2);
    }

    #[test]
    fn a_group_of_conflicts_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = start(&folder);
        let mut conflicting = put("a", 1);
        conflicting.expectations.push(Expectation::Version { path: "a".to_owned(), version: 1 });
        assert!(matches!(writer.commit(&[conflicting.clone(), conflicting]).as_slice(), [Err(_), Err(_)]));
        assert_eq!((writer.sequence().unwrap(), writer.pages), (0, 0));
    }

    #[test]
    fn a_full_disk_fails_the_whole_group_and_later_commits_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = start(&folder);
        let pages: i64 = writer.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = |pages: i64| format!("PRAGMA max_page_count = {pages}");
        writer.connection.query_row(&limit(pages + 4), [], |_| Ok(())).unwrap();
        let answers = writer.commit(&[put("small", 1), put("large", 1 << 20), put("behind", 1)]);
        assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Backend { .. }))), "{answers:?}");
        assert!(paths(&writer).is_empty());
        writer.connection.query_row(&limit(1 << 20), [], |_| Ok(())).unwrap();
        assert!(matches!(writer.commit(&[put("large", 1 << 20)]).as_slice(), [Ok(Sequence(1))]));
    }

    #[test]
    fn after_a_disk_failure_nothing_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = start(&folder);
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        writer.break_on(&rusqlite::Error::SqliteFailure(code, None));
        let answers = writer.commit(&[put("a", 1)]);
        assert!(matches!(&answers[0], Err(StoreError::Backend { detail, .. }) if detail.contains("restart")));
        assert!(paths(&writer).is_empty());
    }
}

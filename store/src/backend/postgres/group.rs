//! One transaction for many change sets.
//!
//! It begins by locking the row of the change sequence. Every writer of every process does, so all writing transactions of
//! the installation follow each other: what one reads and checks cannot change before it has committed. That makes them
//! serialisable without the database's help, and the order of the sequence is the order of the commits.

use super::{
    schema,
    session::Session,
    steps::{self, Step, Value, signed},
    writer::{Answer, Trouble},
};
use crate::{
    StoreError,
    backend::{Batch, Operation, Sequence},
    inventory::CertificateChange,
    ssh_inventory::SshChange,
};
use std::collections::BTreeSet;
use tokio_postgres::Error;

/// Savepoints in one transaction: PostgreSQL keeps up to 64 unfinished subtransactions at hand (`PGPROC_MAX_CACHED_SUBXIDS`).
const SAVEPOINTS: usize = 48;
/// Above so many places in one commit the log says only that everything may have changed.
const PLACES: usize = 2000;

/// A transaction that lacks nothing but its `COMMIT`.
pub(super) enum Prepared {
    /// To be committed; then these are the answers.
    Ready(Vec<Answer>),
    /// Nothing is to be committed, and it is rolled back already.
    Nothing(Vec<Answer>),
    /// Rolled back: a conflict or a failure is among them, so that each must be applied by itself.
    OneByOne,
}

/// What the change log says of a commit.
#[derive(Default)]
pub(super) struct Log<'b> {
    node: &'b [u8],
    token: &'b [u8],
    paths: Vec<&'b str>,
    prefixes: Vec<&'b str>,
    records: Vec<&'b str>,
    whole: bool,
}

/// What the change log shall say of these batches.
pub(super) fn log<'b>(
    batches: impl IntoIterator<Item = &'b Batch>,
    node: &'b [u8; 16],
    token: &'b [u8; 16],
) -> Log<'b> {
    let (mut paths, mut prefixes, mut records) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for operation in batches.into_iter().flat_map(|batch| &batch.operations) {
        match operation {
            Operation::Put { path, .. } | Operation::Delete { path } => drop(paths.insert(path.as_str())),
            Operation::DeleteBelow { prefix } => drop(prefixes.insert(prefix.as_str())),
            Operation::PutRecord { name, .. } => drop(records.insert(*name)),
            Operation::Certificate(_) | Operation::Ssh(_) => {}
        }
    }
    let whole = paths.len() + prefixes.len() > PLACES;
    if whole {
        paths.clear();
        prefixes.clear();
    }
    let (paths, prefixes, records) =
        (paths.into_iter().collect(), prefixes.into_iter().collect(), records.into_iter().collect());
    Log { node, token, paths, prefixes, records, whole }
}

/// The steps that make a commit visible as one.
fn seal<'b>(log: &'b Log<'b>, sequence: u64) -> [Step<'b>; 2] {
    let values: Vec<Value<'b>> = vec![
        Box::new(signed(sequence)),
        Box::new(log.token),
        Box::new(log.node),
        Box::new(&log.paths),
        Box::new(&log.prefixes),
        Box::new(&log.records),
        Box::new(log.whole),
    ];
    let insert = "INSERT INTO change_log (sequence, token, node, paths, prefixes, records, whole)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let update = "UPDATE change_sequence SET value = $1 WHERE id = 1";
    [Step::exactly(1, insert, values), Step::exactly(1, update, vec![Box::new(signed(sequence))])]
}

/// Whether one statement may touch any number of rows: a mount that goes takes all it issued along.
pub(super) fn is_wide(batches: &[Batch]) -> bool {
    batches.iter().flat_map(|batch| &batch.operations).any(|operation| match operation {
        Operation::DeleteBelow { .. } => true,
        Operation::Certificate(change) => matches!(**change, CertificateChange::DeleteMount { .. }),
        Operation::Ssh(change) => matches!(**change, SshChange::DeleteMount { .. } | SshChange::ForgetEnded { .. }),
        Operation::Put { .. } | Operation::Delete { .. } | Operation::PutRecord { .. } => false,
    })
}

/// Begins, waits for its turn, and answers the sequence of the last commit.
pub(super) async fn begin(session: &Session, batches: &[Batch]) -> Result<u64, Trouble> {
    let begin = if is_wide(batches) { "BEGIN; SET LOCAL statement_timeout = '10min'" } else { "BEGIN" };
    let lock = "SELECT value, (SELECT max(version) FROM schema_version) FROM change_sequence WHERE id = 1 FOR UPDATE";
    let begun = async {
        let lock = session.statement(lock).await?;
        // Both are sent at once; the second is answered behind the first.
        let (begun, locked) =
            futures_util::future::join(session.client.batch_execute(begin), session.client.query_one(&lock, &[])).await;
        begun?;
        let row = locked?;
        Ok::<(i64, i64), Error>((row.try_get(0)?, row.try_get(1)?))
    };
    let (value, schema) = begun.await.map_err(|error: Error| Trouble::before_commit(&error))?;
    if schema > schema::known() {
        let database = "the database".to_owned();
        return Err(Trouble::Hopeless(StoreError::NewerSchema { database, found: schema, known: schema::known() }));
    }
    Ok(u64::try_from(value).unwrap_or_default())
}

async fn end(session: &Session, how: &str) -> Result<(), Trouble> {
    session.client.batch_execute(how).await.map_err(|error| Trouble::before_commit(&error))
}

/// Applies all as if none were in conflict: three round trips, however many there are.
pub(super) async fn together(session: &Session, batches: &[Batch], log: &Log<'_>) -> Result<Prepared, Trouble> {
    let before = begin(session, batches).await?;
    let mut all = Vec::new();
    let mut sequence = before;
    for batch in batches {
        sequence += 1;
        if let Err(error) = steps::of_batch(batch, sequence, &mut all) {
            end(session, "ROLLBACK").await?;
            return Ok(if batches.len() == 1 { Prepared::Nothing(vec![Err(error)]) } else { Prepared::OneByOne });
        }
    }
    all.extend(seal(log, sequence));
    match judge(session, &all).await? {
        Ok(()) => Ok(Prepared::Ready((before + 1..=sequence).map(|number| Ok(Sequence(number))).collect())),
        Err(error) => {
            end(session, "ROLLBACK").await?;
            Ok(if batches.len() == 1 { Prepared::Nothing(vec![Err(error)]) } else { Prepared::OneByOne })
        }
    }
}

/// Applies each under a savepoint, so that a conflict undoes only its own; not more than one transaction may hold.
pub(super) async fn one_by_one(
    session: &Session,
    batches: &[Batch],
    (node, token): (&[u8; 16], &[u8; 16]),
) -> Result<Prepared, Trouble> {
    let before = begin(session, batches).await?;
    let mut sequence = before;
    let mut answers = Vec::new();
    let mut applied = Vec::new();
    for batch in batches.iter().take(SAVEPOINTS) {
        let answer = apply_alone(session, batch, sequence + 1).await?;
        if answer.is_ok() {
            sequence += 1;
            applied.push(batch);
        }
        answers.push(answer.map(|()| Sequence(sequence)));
    }
    if applied.is_empty() {
        end(session, "ROLLBACK").await?;
        return Ok(Prepared::Nothing(answers));
    }
    let log = log(applied, node, token);
    judge(session, &seal(&log, sequence)).await?.map_err(Trouble::Hopeless)?;
    Ok(Prepared::Ready(answers))
}

async fn apply_alone(session: &Session, batch: &Batch, sequence: u64) -> Result<Result<(), StoreError>, Trouble> {
    let mut own = Vec::new();
    if let Err(error) = steps::of_batch(batch, sequence, &mut own) {
        return Ok(Err(error));
    }
    end(session, "SAVEPOINT change").await?;
    let outcome = judge(session, &own).await?;
    let how = match outcome {
        Ok(()) => "RELEASE SAVEPOINT change",
        Err(_) => "ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change",
    };
    end(session, how).await?;
    Ok(outcome)
}

/// Runs the steps; the inner error is the first that did not do what it must, the outer one ends the transaction.
async fn judge(session: &Session, all: &[Step<'_>]) -> Result<Result<(), StoreError>, Trouble> {
    let answers = steps::run(session, all).await.map_err(|error| Trouble::before_commit(&error))?;
    for (step, answer) in all.iter().zip(answers) {
        match answer {
            Ok(rows) => {
                if let Err(error) = step.judge(rows) {
                    return Ok(Err(error));
                }
            }
            Err(error) if super::failure::meaning(&error) == super::failure::Meaning::Statement => {
                return Ok(Err(super::failure::told("postgres change", &error)));
            }
            Err(error) => return Err(Trouble::before_commit(&error)),
        }
    }
    Ok(Ok(()))
}

//! A batch as the statements that check and apply it.
//!
//! Every step says how many rows it must have touched; a batch whose steps all did is applied, one that has a step which
//! did not is a conflict. So all statements of a batch, and of many batches, can be sent before the first is answered.

use super::{certificates, session::Session, ssh};
use crate::{
    StoreError,
    backend::{Batch, Expectation, Operation, end_of},
};
use std::{future::poll_fn, pin::Pin, task::Poll};
use tokio_postgres::{Error, types::ToSql};

/// What a path may at most have: an index entry must fit into a third of a page (PostgreSQL manual, 67.4.1).
const LONGEST_PATH: usize = 2600;

/// A value that outlives the making of its step.
pub(super) type Value<'b> = Box<dyn ToSql + Sync + Send + 'b>;

/// One statement and what it must have done.
pub(super) struct Step<'b> {
    sql: &'static str,
    values: Vec<Value<'b>>,
    rows: Option<u64>,
    failure: fn() -> StoreError,
}

impl<'b> Step<'b> {
    /// A statement that may touch any number of rows.
    pub(super) fn any(sql: &'static str, values: Vec<Value<'b>>) -> Self {
        Self { sql, values, rows: None, failure: || StoreError::Conflict }
    }

    /// A statement that must touch so many rows, else it is a conflict.
    pub(super) fn exactly(rows: u64, sql: &'static str, values: Vec<Value<'b>>) -> Self {
        Self { rows: Some(rows), ..Self::any(sql, values) }
    }

    async fn run(&self, session: &Session) -> Result<u64, Error> {
        let statement = session.statement(self.sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> =
            self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        session.client.execute(&statement, &values).await
    }

    /// Whether it did what it must.
    pub(super) fn judge(&self, rows: u64) -> Result<(), StoreError> {
        match self.rows {
            Some(expected) if rows != expected => Err((self.failure)()),
            _ => Ok(()),
        }
    }
}

/// Runs the steps in their order and answers for each; all are sent before the first answer is waited for.
pub(super) async fn run(session: &Session, steps: &[Step<'_>]) -> Result<Vec<Result<u64, Error>>, Error> {
    // What is not prepared would wait for that, and be overtaken.
    for step in steps {
        session.statement(step.sql).await?;
    }
    let mut running: Vec<Running<'_>> = steps.iter().map(|step| Running::Yet(Box::pin(step.run(session)))).collect();
    poll_fn(|context| {
        for step in &mut running {
            step.poll(context);
        }
        Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(running.len());
    for step in running {
        answers.push(match step {
            Running::Yet(future) => future.await,
            Running::Done(answer) => answer,
        });
    }
    Ok(answers)
}

enum Running<'s> {
    Yet(Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 's>>),
    Done(Result<u64, Error>),
}

impl Running<'_> {
    fn poll(&mut self, context: &mut std::task::Context<'_>) {
        if let Self::Yet(future) = self
            && let Poll::Ready(answer) = future.as_mut().poll(context)
        {
            *self = Self::Done(answer);
        }
    }
}

/// A number for the database.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Adds the steps of a batch that will be the commit of this number.
///
/// # Errors
/// [`StoreError::InvalidKey`] for a path PostgreSQL cannot index.
pub(super) fn of_batch<'b>(batch: &'b Batch, sequence: u64, steps: &mut Vec<Step<'b>>) -> Result<(), StoreError> {
    for expectation in &batch.expectations {
        steps.push(expect(expectation));
    }
    for operation in &batch.operations {
        apply(operation, signed(sequence), steps)?;
    }
    Ok(())
}

fn expect(expectation: &Expectation) -> Step<'_> {
    match expectation {
        Expectation::Absent { path } => Step::exactly(0, "SELECT 1 FROM entries WHERE path = $1", vec![Box::new(path)]),
        Expectation::Version { path, version } => {
            let sql = "SELECT 1 FROM entries WHERE path = $1 AND version = $2";
            Step::exactly(1, sql, vec![Box::new(path), Box::new(signed(*version))])
        }
        Expectation::Record { name, version: None } => {
            Step::exactly(0, "SELECT 1 FROM barrier_records WHERE name = $1", vec![Box::new(name)])
        }
        Expectation::Record { name, version: Some(version) } => {
            let sql = "SELECT 1 FROM barrier_records WHERE name = $1 AND version = $2";
            Step::exactly(1, sql, vec![Box::new(name), Box::new(signed(*version))])
        }
        // Locked, so that nobody takes the lease over before this commit is there.
        Expectation::Lease { name, holder, epoch } => {
            let sql = "SELECT 1 FROM job_leases WHERE name = $1 AND holder = $2 AND epoch = $3 FOR SHARE";
            let values: Vec<Value<'_>> = vec![Box::new(name), Box::new(holder), Box::new(signed(*epoch))];
            Step { failure: || StoreError::LeaseLost, ..Step::exactly(1, sql, values) }
        }
    }
}

fn apply<'b>(operation: &'b Operation, version: i64, steps: &mut Vec<Step<'b>>) -> Result<(), StoreError> {
    match operation {
        Operation::Put { path, value, expires_at } => {
            if path.len() > LONGEST_PATH {
                return Err(StoreError::InvalidKey);
            }
            let sql = "INSERT INTO entries (path, version, value, expires_at) VALUES ($1, $2, $3, $4)
                ON CONFLICT (path) DO UPDATE
                SET version = excluded.version, value = excluded.value, expires_at = excluded.expires_at";
            steps.push(Step::any(
                sql,
                vec![Box::new(path), Box::new(version), Box::new(value.as_slice()), Box::new(*expires_at)],
            ));
        }
        Operation::Delete { path } => {
            steps.push(Step::any("DELETE FROM entries WHERE path = $1", vec![Box::new(path)]));
        }
        Operation::DeleteBelow { prefix } => {
            let sql = "DELETE FROM entries WHERE path >= $1 AND path < $2";
            steps.push(Step::any(sql, vec![Box::new(prefix), Box::new(end_of(prefix))]));
        }
        Operation::PutRecord { name, value } => {
            let sql = "INSERT INTO barrier_records (name, version, value) VALUES ($1, $2, $3)
                ON CONFLICT (name) DO UPDATE SET version = excluded.version, value = excluded.value";
            steps.push(Step::any(sql, vec![Box::new(name), Box::new(version), Box::new(value.as_slice())]));
        }
        Operation::Certificate(change) => certificates::apply(change, version, steps),
        Operation::Ssh(change) => ssh::apply(change, steps),
    }
    Ok(())
}

//! `bulk rewrap`. Rows come in windows of `batch` times `concurrency`; each window is rewrapped, put back and made safe
//! before the next is read, so a run that is cut short loses one window of work and no data.

use super::{
    file::FileRows,
    progress::Progress,
    server::Server,
    state::{State, Tally},
    table::{TableFlags, TableRows},
};
use crate::{
    commands::transit::version,
    failure::{Failure, Result},
    output::Output,
    remote::Remote,
};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use std::path::PathBuf;

/// How often a row that somebody else changes meanwhile is tried again.
const ROUNDS: usize = 3;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["file", "postgres"]))]
pub(crate) struct RewrapFlags {
    /// File of ciphertexts, one a line
    pub(super) file: Option<PathBuf>,
    /// Transit key they were encrypted with
    #[arg(short, long)]
    key: String,
    /// Where transit is mounted
    #[arg(long, default_value = "transit", value_name = "PATH")]
    mount: String,
    /// File to write
    #[arg(short, long, value_name = "FILE", requires = "file")]
    pub(super) output: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(short, long, requires = "file")]
    pub(super) force: bool,
    /// The file is CSV: name of the column that holds the ciphertexts
    #[arg(long, value_name = "COLUMN", requires = "file", conflicts_with = "jsonl")]
    pub(super) csv: Option<String>,
    /// The file has a JSON object on each line: name of the member that holds the ciphertext
    #[arg(long, value_name = "MEMBER", requires = "file")]
    pub(super) jsonl: Option<String>,
    #[command(flatten)]
    table: TableFlags,
    /// Ciphertexts in one request
    #[arg(long, default_value_t = 500, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Requests at once
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How often a request that failed is sent again before the run stops
    #[arg(long, default_value_t = 5, value_name = "NUMBER")]
    retries: u32,
    /// Change nothing; count the ciphertexts by key version
    #[arg(long)]
    dry_run: bool,
    /// File that remembers how far we are [default: OUTPUT.state; none for a table]
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
}

/// Where ciphertexts are.
pub(super) trait Rows {
    /// Up to so many further rows; none at the end.
    fn next(&mut self, count: usize) -> Result<Vec<Row>>;
    /// Puts new ciphertexts into the rows that the last call to `next` gave; one outcome for each.
    fn put(&mut self, new: &[(Row, String)]) -> Result<Vec<Outcome>>;
    /// The rows as they are now, less those that are gone.
    fn again(&mut self, changed: Vec<Row>) -> Result<Vec<Row>>;
    /// Where `next` goes on. What was put is safe when this returns.
    fn position(&mut self) -> Result<Value>;
    /// How far we are, and how far there is to go.
    fn progress(&self) -> (u64, u64);
    /// After the last row.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// One ciphertext and the name people know its place by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Empty where there is none; an error where the place cannot be read.
    pub(super) ciphertext: std::result::Result<String, String>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Somebody else wrote there meanwhile; nothing of theirs was overwritten.
    Changed,
    Failed(String),
}

pub(super) fn run(remote: &Remote, flags: &RewrapFlags, output: &Output) -> Result<()> {
    let server = Server::new(remote, &flags.mount, &flags.key, flags.retries)?;
    let identity = json!({"mount": flags.mount, "key": flags.key});
    let state = if flags.dry_run { None } else { state_path(flags) };
    let (rows, mut state): (Box<dyn Rows>, State) = match &flags.file {
        Some(file) => {
            let (rows, state) = FileRows::open(file, flags, state, &identity)?;
            (Box::new(rows), state)
        }
        None => {
            let (rows, state) = TableRows::open(&flags.table, state, &identity)?;
            (Box::new(rows), state)
        }
    };
    if state.resumed {
        output.remark(format!("Going on where the last run stopped, behind {} rows.", state.tally.rows()));
    }
    let run = Run { server: &server, flags, output };
    let outcome = run.all(rows, &mut state);
    let tally = state.tally.clone();
    match outcome {
        Ok(()) => state.remove()?,
        Err(failure) if tally.rows() == 0 => return Err(failure),
        Err(failure) => {
            let kept = if state.is_kept() {
                "run the same command again: it goes on where it stopped"
            } else {
                "run the same command again: what is done is skipped"
            };
            return Err(Failure {
                fix: Some(kept.to_owned()),
                ..failure.because(format!("stopped behind {} rows", tally.rows()))
            });
        }
    }
    run.report(&tally)
}

impl RewrapFlags {
    pub(super) fn dry_run(&self) -> bool {
        self.dry_run
    }
}

struct Run<'a> {
    server: &'a Server<'a>,
    flags: &'a RewrapFlags,
    output: &'a Output,
}

impl Run<'_> {
    fn all(&self, mut rows: Box<dyn Rows>, state: &mut State) -> Result<()> {
        let window = usize::from(self.flags.batch).saturating_mul(usize::from(self.flags.concurrency));
        let mut progress = Progress::new(self.output);
        loop {
            let read = rows.next(window)?;
            if read.is_empty() {
                break;
            }
            self.window(rows.as_mut(), read, &mut state.tally)?;
            if !self.flags.dry_run {
                state.save(rows.position()?)?;
            }
            progress.show(rows.progress(), &state.tally);
        }
        progress.finish();
        rows.finish()
    }

    fn window(&self, rows: &mut dyn Rows, read: Vec<Row>, tally: &mut Tally) -> Result<()> {
        let mut pending = self.outdated(read, tally, true);
        for round in 0..ROUNDS {
            let mut new = Vec::with_capacity(pending.len());
            if !pending.is_empty() && !self.flags.dry_run {
                let ciphertexts: Vec<&str> = pending.iter().filter_map(|row| row.ciphertext.as_deref().ok()).collect();
                let answers = self.server.rewrap(&ciphertexts, usize::from(self.flags.batch))?;
                for (row, answer) in pending.drain(..).zip(answers) {
                    match answer {
                        Ok(ciphertext) => new.push((row, ciphertext)),
                        Err(why) => self.trouble(&row, &why, tally),
                    }
                }
            }
            if self.flags.dry_run || (round > 0 && new.is_empty()) {
                return Ok(());
            }
            let outcomes = rows.put(&new)?;
            let mut changed = Vec::new();
            for ((row, _), outcome) in new.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Done => tally.rewrapped += 1,
                    Outcome::Changed => changed.push(row),
                    Outcome::Failed(why) => self.trouble(&row, &why, tally),
                }
            }
            if changed.is_empty() {
                return Ok(());
            }
            tally.changed += changed.len() as u64;
            pending = self.outdated(rows.again(changed)?, tally, false);
        }
        for row in pending {
            self.trouble(&row, "it is changed by somebody else again and again", tally);
        }
        Ok(())
    }

    /// The rows that need a rewrap; the others are counted. Rows seen for the second time are in the counts already.
    fn outdated(&self, rows: Vec<Row>, tally: &mut Tally, first: bool) -> Vec<Row> {
        let mut outdated = Vec::new();
        for row in rows {
            let found = match &row.ciphertext {
                Ok(text) if text.is_empty() => {
                    tally.empty += u64::from(first);
                    continue;
                }
                Ok(text) => version(text).ok_or("it is not a ciphertext (vault:vN:…)"),
                Err(why) => Err(why.as_str()),
            };
            match found {
                Err(why) => {
                    tally.foreign += u64::from(first);
                    self.trouble(&row, why, tally);
                }
                Ok(version) => {
                    *tally.versions.entry(version).or_default() += u64::from(first);
                    if version < self.server.latest() {
                        outdated.push(row);
                    } else {
                        tally.newest += u64::from(first);
                    }
                }
            }
        }
        outdated
    }

    fn trouble(&self, row: &Row, why: &str, tally: &mut Tally) {
        tally.failed += 1;
        self.output.remark(format!("{}: {why}", row.name));
    }

    fn report(&self, tally: &Tally) -> Result<()> {
        let versions: Vec<_> = tally.versions.iter().map(|(version, count)| format!("v{version}: {count}")).collect();
        let machine = json!({
            "key": self.flags.key,
            "newest_version": self.server.latest(),
            "dry_run": self.flags.dry_run,
            "rows": tally.rows(),
            "versions": tally.versions,
            "rewrapped": tally.rewrapped,
            "newest_already": tally.newest,
            "empty": tally.empty,
            "changed_meanwhile": tally.changed,
            "failed": tally.failed,
        });
        let mut pairs = vec![
            ("Newest Version", self.server.latest().to_string()),
            ("Rows", tally.rows().to_string()),
            ("By Version", if versions.is_empty() { "n/a".to_owned() } else { versions.join(", ") }),
        ];
        if self.flags.dry_run {
            let outdated = tally.versions.range(..self.server.latest()).map(|(_, count)| count).sum::<u64>();
            pairs.push(("To Rewrap", outdated.to_string()));
        } else {
            pairs.push(("Rewrapped", tally.rewrapped.to_string()));
        }
        pairs.push(("Newest Already", tally.newest.to_string()));
        pairs.push(("Empty", tally.empty.to_string()));
        if tally.changed > 0 {
            pairs.push(("Changed Meanwhile", tally.changed.to_string()));
        }
        pairs.push(("Failed", tally.failed.to_string()));
        self.output.pairs(&pairs, &machine)?;
        if tally.failed == 0 {
            return Ok(());
        }
        let failure = Failure::remote(format!("{} of {} rows were left as they are", tally.failed, tally.rows()));
        Err(failure
            .because("each reason stands above, with its row")
            .fix("mend these rows and run it again: what is done is skipped"))
    }
}

fn state_path(flags: &RewrapFlags) -> Option<PathBuf> {
    flags.state.clone().or_else(|| {
        let mut name = flags.output.clone()?.into_os_string();
        name.push(".state");
        Some(name.into())
    })
}

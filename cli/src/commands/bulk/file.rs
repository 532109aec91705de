//! Ciphertexts in a file. The result grows in `OUTPUT.part` and takes its name when the last row is in it; every row is
//! copied, so the result is the file with other ciphertexts and nothing else changed.

use super::{
    records::{Form, Found, column},
    rewrap::{Outcome, RewrapFlags, Row, Rows},
    state::State,
};
use crate::failure::{Failure, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use tempfile::TempPath;

pub(super) struct FileRows {
    name: String,
    form: Form,
    reader: BufReader<File>,
    result: Option<Part>,
    at: Position,
    length: u64,
    window: Vec<Record>,
}

/// The result under way.
struct Part {
    writer: BufWriter<File>,
    path: PathBuf,
    output: PathBuf,
    replace: bool,
}

/// Where the next record begins, in the file and in the result.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    offset: u64,
    written: u64,
    line: u64,
}

struct Record {
    name: String,
    bytes: Vec<u8>,
    range: Option<Range<usize>>,
}

impl FileRows {
    pub(super) fn open(path: &Path, flags: &RewrapFlags, state: Option<PathBuf>, run: &Value) -> Result<(Self, State)> {
        let name = path.display().to_string();
        let wrong = |error: io::Error| Failure::local(format!("cannot read {name}")).because(error);
        let file = File::open(path).map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        if !metadata.is_file() {
            return Err(Failure::local(format!("{name} is not a file"))
                .fix("write it into a file first: a run must be able to go on where it stopped"));
        }
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let form = json!({"csv": flags.csv, "jsonl": flags.jsonl});
        let file_is = json!({"file": name, "length": metadata.len(), "modified": changed.map(|time| time.as_nanos().to_string())});
        let state = State::load(state, json!({"run": run, "form": form, "rows": file_is}))?;
        let at: Position = match &state.position {
            None => Position::default(),
            Some(position) => serde_json::from_value(position.clone()).map_err(|error| {
                Failure::local("the state cannot be read").because(error).fix("delete it to begin anew")
            })?,
        };
        let result = if flags.dry_run() { None } else { Some(Part::open(flags, &at)?) };
        let mut rows = Self {
            name,
            form: flags.jsonl.clone().map_or(Form::Lines, Form::JsonLines),
            reader: BufReader::new(file),
            result,
            at,
            length: metadata.len(),
            window: Vec::new(),
        };
        if let Some(title) = &flags.csv {
            rows.read_titles(title)?;
        }
        rows.reader.seek(SeekFrom::Start(rows.at.offset)).map_err(|error| rows.unreadable(&error))?;
        Ok((rows, state))
    }

    /// The first record of a CSV file names its columns.
    fn read_titles(&mut self, title: &str) -> Result<()> {
        self.form = Form::Csv(0);
        let titles = self.form.read(&mut self.reader).map_err(|error| self.unreadable(&error))?.unwrap_or_default();
        let column = column(&titles, title).ok_or_else(|| {
            Failure::local(format!("{} has no column {title:?}", self.name))
                .because("its first line names other columns")
                .fix("check the name, and that the columns are parted by commas")
        })?;
        self.form = Form::Csv(column);
        if self.at.offset == 0 {
            self.at.offset = titles.len() as u64;
            self.at.line = lines(&titles);
            self.write(&titles)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(part) = &mut self.result else { return Ok(()) };
        part.writer.write_all(bytes).map_err(|error| unwritable(&part.path, &error))?;
        self.at.written += bytes.len() as u64;
        Ok(())
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::local(format!("cannot read {}", self.name))
            .because(error)
            .because(format!("behind line {}", self.at.line))
    }
}

impl Rows for FileRows {
    fn next(&mut self, count: usize) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(count);
        self.window.clear();
        while rows.len() < count {
            let Some(bytes) = self.form.read(&mut self.reader).map_err(|error| self.unreadable(&error))? else { break };
            let name = format!("{}:{}", self.name, self.at.line + 1);
            self.at.line += lines(&bytes);
            self.at.offset += bytes.len() as u64;
            let (text, range) = match self.form.find(&bytes) {
                Ok(Found { text, range }) => (Ok(text), Some(range)),
                Err(why) => (Err(why), None),
            };
            rows.push(Row { name: name.clone(), ciphertext: text });
            self.window.push(Record { name, bytes, range });
        }
        Ok(rows)
    }

    fn put(&mut self, new: &[(Row, String)]) -> Result<Vec<Outcome>> {
        // The new ciphertexts are some of the window's, in its order.
        let mut new_ones = new.iter().peekable();
        for record in std::mem::take(&mut self.window) {
            let bytes = match (new_ones.next_if(|(row, _)| row.name == record.name), record.range) {
                (Some((_, ciphertext)), Some(range)) => self.form.splice(&record.bytes, &range, ciphertext),
                _ => record.bytes,
            };
            self.write(&bytes)?;
        }
        Ok(vec![Outcome::Done; new.len()])
    }

    fn again(&mut self, _: Vec<Row>) -> Result<Vec<Row>> {
        Ok(Vec::new())
    }

    fn position(&mut self) -> Result<Value> {
        if let Some(part) = &mut self.result {
            part.writer
                .flush()
                .and_then(|()| part.writer.get_ref().sync_data())
                .map_err(|error| unwritable(&part.path, &error))?;
        }
        Ok(json!(self.at))
    }

    fn progress(&self) -> (u64, u64) {
        (self.at.offset, self.length)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Some(part) = self.result else { return Ok(()) };
        let file = part.writer.into_inner().map_err(|error| unwritable(&part.path, error.error()))?;
        file.sync_all().map_err(|error| unwritable(&part.path, &error))?;
        let path = TempPath::try_from_path(&part.path).map_err(|error| unwritable(&part.path, &error))?;
        let named = if part.replace { path.persist(&part.output) } else { path.persist_noclobber(&part.output) };
        named.map_err(|error| {
            let failure =
                unwritable(&part.output, &error.error).because(format!("the result is in {}", part.path.display()));
            // The work of hours is not thrown away over a name.
            let _ = error.path.keep();
            failure
        })
    }
}

impl Part {
    fn open(flags: &RewrapFlags, at: &Position) -> Result<Self> {
        let output = flags.output.clone().ok_or_else(|| {
            Failure::local("where shall the result go?").fix("name a file with --output, or count only: --dry-run")
        })?;
        if !flags.force && output.symlink_metadata().is_ok() {
            return Err(Failure::local(format!("{} is there already", output.display()))
                .because("nothing is overwritten unasked")
                .fix("give another name, or --force to replace it"));
        }
        let mut path = output.clone().into_os_string();
        path.push(".part");
        let path = PathBuf::from(path);
        let wrong = |error: io::Error| unwritable(&path, &error);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(wrong)?;
        file.try_lock().map_err(|error| {
            Failure::local(format!("{} is being written", path.display()))
                .because(error)
                .fix("let the other run finish")
        })?;
        if file.metadata().map_err(wrong)?.len() < at.written {
            return Err(Failure::local(format!("{} is shorter than the state says", path.display()))
                .because("it was changed since the last run")
                .fix("delete it and the state to begin anew"));
        }
        // What is behind the state's position was not safe yet.
        file.set_len(at.written).and_then(|()| file.seek(SeekFrom::End(0))).map_err(wrong)?;
        Ok(Self { writer: BufWriter::new(file), path, output, replace: flags.force })
    }
}

fn lines(record: &[u8]) -> u64 {
    record.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("cannot write {}", path.display()))
        .because(error)
        .fix("check that its directory is there, that you may write to it, and that the disk has room")
}

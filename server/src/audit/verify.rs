//! Proves, offline, that nothing in an audit file was altered, dropped or reordered.

use super::{
    chain::{ChainHead, Link},
    checkpoint::{Checkpoint, signed_message},
};
use chancery_hsm::{HashAlgorithm, SignInput, SignScheme};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io::{self, BufRead},
};

/// What a verification found. The file is sound when `problems` is empty.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Number of the first line; above 1 where an earlier file was rotated away.
    pub first_seq: Option<u64>,
    /// Where the chain ends.
    pub head: Option<ChainHead>,
    /// Checkpoints whose signature held.
    pub checkpoints: u64,
    /// Checkpoints that vouch for a line of an earlier file.
    pub checkpoints_before_file: u64,
    /// The last line that a signed checkpoint vouches for; what follows is chained but not signed yet.
    pub signed_through: Option<u64>,
    /// SHA-256 fingerprints of the keys that signed, to compare with the appliance's.
    pub signing_keys: BTreeSet<String>,
    /// What is wrong; at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// A file with more problems than this is not worth more lines of report.
pub const MAX_PROBLEMS: usize = 100;

/// Lines whose hash is remembered for a checkpoint that comes later.
const REMEMBERED: usize = 200_000;

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, what: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { line: self.lines, what: what.into() });
        }
    }
}

#[derive(Deserialize)]
struct Typed {
    r#type: String,
    checkpoint: Option<Checkpoint>,
}

/// Reads a whole file (or several, one after the other) and checks every link and every checkpoint.
///
/// `trusted_key` is the checkpoint key as SubjectPublicKeyInfo; without it the keys named in the file are used and
/// their fingerprints reported, for the reader to compare.
///
/// # Errors
/// Only when reading fails; what is wrong with the file is in the report.
pub fn verify(mut reader: impl BufRead, trusted_key: Option<&[u8]>) -> io::Result<Report> {
    let mut report = Report::default();
    let mut seen = Seen::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(report);
        }
        report.lines += 1;
        let Some(text) = line.strip_suffix(b"\n") else {
            report.problem("last line is torn: it has no end");
            return Ok(report);
        };
        check_line(text, trusted_key, &mut seen, &mut report);
    }
}

fn check_line(text: &[u8], trusted_key: Option<&[u8]>, seen: &mut Seen, report: &mut Report) {
    let Some(link) = Link::of(text) else {
        report.problem("line has no chain members at its end");
        return;
    };
    if !link.is_intact() {
        report.problem("line was altered: its hash does not fit");
    }
    match &report.head {
        None if link.seq == 1 && link.prev_hash != ChainHead::default().hash => {
            report.problem("first line of the chain names a predecessor");
        }
        None => {}
        Some(head) if link.seq != head.seq + 1 => {
            let what = format!("line {} follows line {}: lines are missing or out of order", link.seq, head.seq);
            report.problem(what);
        }
        Some(head) if link.prev_hash != head.hash => {
            report.problem("line does not follow the one before it");
        }
        Some(_) => {}
    }
    report.first_seq.get_or_insert(link.seq);
    report.head = Some(link.head());
    seen.remember(link.seq, link.hash);
    // Only checkpoints need a look inside; `"type":"checkpoint"` stands near the front of those.
    let start = text.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let Ok(typed) = serde_json::from_slice::<Typed>(text.get(start..).unwrap_or_default()) else {
        report.problem("line is not a JSON object with a type");
        return;
    };
    if typed.r#type == "checkpoint" {
        match typed.checkpoint {
            Some(checkpoint) => check_checkpoint(&checkpoint, trusted_key, seen, report),
            None => report.problem("checkpoint without its members"),
        }
    }
}

fn check_checkpoint(checkpoint: &Checkpoint, trusted_key: Option<&[u8]>, seen: &Seen, report: &mut Report) {
    let (Ok(key), Ok(signature)) =
        (BASE64.decode(checkpoint.public_key.as_bytes()), BASE64.decode(checkpoint.signature.as_bytes()))
    else {
        report.problem("checkpoint is not valid base64");
        return;
    };
    if trusted_key.is_some_and(|trusted| trusted != key) {
        report.problem("checkpoint is signed by a key that is not the trusted one");
        return;
    }
    let message = signed_message(&checkpoint.sink, &checkpoint.covers());
    let input = SignInput::Message(message);
    if !matches!(chancery_hsm::verify(&key, SignScheme::Ecdsa(HashAlgorithm::Sha256), &input, &signature), Ok(true)) {
        report.problem("checkpoint's signature is wrong");
        return;
    }
    report.signing_keys.insert(fingerprint(&key));
    if report.first_seq.is_some_and(|first| checkpoint.seq < first) {
        report.checkpoints_before_file += 1;
        return;
    }
    match seen.hash(checkpoint.seq) {
        Some(hash) if hash == checkpoint.hash => {
            report.checkpoints += 1;
            report.signed_through = Some(checkpoint.seq);
        }
        Some(_) => report.problem(format!("line {} is not the one a checkpoint signed", checkpoint.seq)),
        None => report.problem(format!("checkpoint vouches for line {}, which is not before it", checkpoint.seq)),
    }
}

/// SHA-256 of a public key, in hex.
#[must_use]
pub fn fingerprint(public_key: &[u8]) -> String {
    HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public_key).as_ref())
}

#[derive(Default)]
struct Seen {
    by_seq: HashMap<u64, String>,
    order: VecDeque<u64>,
}

impl Seen {
    fn remember(&mut self, seq: u64, hash: &str) {
        self.by_seq.insert(seq, hash.to_owned());
        self.order.push_back(seq);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_seq.remove(&oldest);
        }
    }

    fn hash(&self, seq: u64) -> Option<&str> {
        self.by_seq.get(&seq).map(String::as_str)
    }
}

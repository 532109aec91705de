//! What is stored of an enabled sink, and the sink it becomes.

use super::{
    chain::ChainHead,
    entry::Style,
    salt::Salt,
    sink::{Sink, SinkError, Target},
};
use chancery_engine::{Fault, SecretString};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// An enabled sink as `sys/audit` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDevice {
    /// Path with a trailing slash: `file/`.
    pub path: String,
    /// `file` or `stdout`.
    pub kind: String,
    /// Free text.
    pub description: String,
    /// As given: `file_path`, `mode`, `log_raw`, `hmac_accessor`, `elide_list_responses`, `prefix`, `sync`, `format`.
    pub options: BTreeMap<String, String>,
    /// Echoed by listings.
    pub local: bool,
    /// Names the chain and its stored head.
    pub uuid: String,
}

/// What the caller of [`Audit::enable`](super::Audit::enable) asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewDevice {
    /// Path, with or without the trailing slash.
    pub path: String,
    /// `file` or `stdout`.
    pub kind: String,
    /// Free text.
    pub description: String,
    /// See [`AuditDevice::options`].
    pub options: BTreeMap<String, String>,
    /// Echoed by listings.
    pub local: bool,
}

/// A sink as it is stored, sealed, under `sys/audit/<uuid>`.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredDevice {
    pub(super) entry: AuditDevice,
    /// In hex.
    salt: SecretString,
}

/// A sink in service.
pub(super) struct Device {
    pub(super) entry: AuditDevice,
    pub(super) style: Style,
    pub(super) sink: Arc<Sink>,
    signed: AtomicU64,
}

const OPTIONS: [&str; 9] =
    ["file_path", "path", "mode", "log_raw", "hmac_accessor", "elide_list_responses", "prefix", "sync", "format"];

impl StoredDevice {
    pub(super) fn new(new: NewDevice) -> Result<Self, Fault> {
        let path = new.path.trim_matches('/');
        if path.is_empty() {
            return Err(Fault::caller("path cannot be empty"));
        }
        if new.kind.is_empty() {
            return Err(Fault::caller("backend type must be specified as a string"));
        }
        if !matches!(new.kind.as_str(), "file" | "stdout") {
            return Err(Fault::Caller(format!("unknown backend type: {:?}", new.kind)));
        }
        if let Some(unknown) = new.options.keys().find(|option| !OPTIONS.contains(&option.as_str())) {
            return Err(Fault::Caller(format!("unknown option {unknown:?} of audit device type {:?}", new.kind)));
        }
        let mut salt = [0_u8; Salt::BYTES];
        getrandom::fill(&mut salt).map_err(|error| Fault::Dependency(format!("getrandom: {error}")))?;
        let stored = Self {
            entry: AuditDevice {
                path: format!("{path}/"),
                kind: new.kind,
                description: new.description,
                options: new.options,
                local: new.local,
                uuid: uuid::Uuid::new_v4().to_string(),
            },
            salt: SecretString::new(HEXLOWER.encode(&salt)),
        };
        stored.check()?;
        Ok(stored)
    }

    /// Reads every option once, so that a wrong one is refused before anything is opened.
    fn check(&self) -> Result<(), Fault> {
        let entry = &self.entry;
        for flag in ["log_raw", "hmac_accessor", "elide_list_responses", "sync"] {
            entry.flag(flag, false)?;
        }
        entry.mode()?;
        if entry.option("format").is_some_and(|format| format != "json") {
            return Err(Fault::caller("unknown format type; only \"json\" is supported"));
        }
        if entry.kind == "file" && entry.file_path().is_none() {
            return Err(Fault::caller("file_path is required"));
        }
        Ok(())
    }
}

impl AuditDevice {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, Fault> {
        match self.option(name) {
            None => Ok(default),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False" | "") => Ok(false),
            Some(_) => Err(Fault::Caller(format!("option {name:?} is not a boolean"))),
        }
    }

    /// Octal; "0000" keeps what a file that is there has.
    fn mode(&self) -> Result<u32, Fault> {
        let Some(text) = self.option("mode") else { return Ok(0o600) };
        match u32::from_str_radix(text, 8) {
            Ok(0) => Ok(0o600),
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => Err(Fault::caller("option \"mode\" is not an octal file mode")),
        }
    }

    fn file_path(&self) -> Option<&str> {
        self.option("file_path").or_else(|| self.option("path")).filter(|path| !path.is_empty())
    }

    fn is_stdout(&self) -> bool {
        self.kind == "stdout" || self.file_path() == Some("stdout")
    }
}

impl Device {
    /// Opens the sink and finds its place in the chain. `known` is the sealed copy of where the chain stood.
    pub(super) fn open(stored: &StoredDevice, known: Option<ChainHead>) -> Result<Self, SinkError> {
        let entry = stored.entry.clone();
        let flag = |name: &str, default: bool| entry.flag(name, default).unwrap_or(default);
        let mut target = match entry.file_path() {
            Some(path) if !entry.is_stdout() => Target::file(Path::new(path), entry.mode().unwrap_or(0o600))?,
            _ => Target::Stdout,
        };
        let head = resume(&entry, known, target.tail()?);
        let key = HEXLOWER.decode(stored.salt.expose().as_bytes()).unwrap_or_default();
        let style = Style {
            salt: Salt::new(&key),
            log_raw: flag("log_raw", false),
            hmac_accessor: flag("hmac_accessor", true),
            elide_lists: flag("elide_list_responses", false),
        };
        let prefix = entry.option("prefix").unwrap_or_default().to_owned();
        let sync = flag("sync", false);
        Ok(Self { style, signed: AtomicU64::new(head.seq), sink: Sink::new(target, head, prefix, sync), entry })
    }

    pub(super) fn is_at(&self, path: &str) -> bool {
        self.entry.path.trim_matches('/') == path.trim_matches('/')
    }

    pub(super) fn conflicts(&self, other: &AuditDevice) -> bool {
        let (own, new) = (self.entry.path.as_str(), other.path.as_str());
        own.starts_with(new)
            || new.starts_with(own)
            || (!other.is_stdout() && self.entry.file_path().is_some() && self.entry.file_path() == other.file_path())
    }

    pub(super) fn unsigned_lines(&self) -> u64 {
        self.sink.head().seq.saturating_sub(self.signed.load(Ordering::Relaxed))
    }

    pub(super) fn signed_through(&self, seq: u64) {
        self.signed.store(seq, Ordering::Relaxed);
    }
}

/// Where the chain goes on: after the file's last line, unless the sealed copy knows of lines that are gone.
fn resume(entry: &AuditDevice, known: Option<ChainHead>, tail: Option<ChainHead>) -> ChainHead {
    match (known, tail) {
        (None, tail) => tail.unwrap_or_default(),
        (Some(known), None) => known,
        (Some(known), Some(tail)) if tail.seq > known.seq || tail == known => tail,
        (Some(known), Some(tail)) => {
            // The next line continues the chain as it was sealed, so that verification stumbles over the gap.
            tracing::error!(
                path = entry.path,
                sealed = known.seq,
                found = tail.seq,
                "audit file was cut short or replaced: lines that were acknowledged are missing"
            );
            known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(options: &[(&str, &str)]) -> NewDevice {
        NewDevice {
            path: "file".to_owned(),
            kind: "file".to_owned(),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..NewDevice::default()
        }
    }

    #[test]
    fn wrong_options_are_refused_before_anything_is_opened() {
        assert!(StoredDevice::new(new(&[("file_path", "/tmp/x")])).is_ok());
        for wrong in [
            [("file_path", "")],
            [("log_raw", "maybe")],
            [("mode", "999")],
            [("format", "jsonx")],
            [("filepath", "/tmp/x")],
        ] {
            assert!(StoredDevice::new(new(&wrong)).is_err(), "{wrong:?}");
        }
        assert!(StoredDevice::new(NewDevice { kind: "syslog".to_owned(), ..new(&[]) }).is_err());
    }

    #[test]
    fn a_file_cut_short_does_not_become_the_chain() {
        let entry = StoredDevice::new(new(&[("file_path", "/tmp/x")])).ok().unwrap().entry;
        let head = |seq| ChainHead { seq, hash: format!("{seq:064}") };
        assert_eq!(resume(&entry, Some(head(9)), Some(head(4))), head(9));
        assert_eq!(resume(&entry, Some(head(4)), Some(head(9))), head(9));
        assert_eq!(resume(&entry, None, Some(head(9))), head(9));
        assert_eq!(resume(&entry, Some(head(4)), None), head(4));
    }
}

//! `encrypt`, `decrypt`, `rewrap`: files of any size by envelope. The server makes and unwraps the data key; the content
//! is sealed and opened here, segment by segment (`chancery_envelope`, docs/file-format.md).

use super::{Mount, place, place::Target, secret, text, version};
use crate::{
    failure::{Failure, Result},
    output::Output,
};
use chancery_envelope::{DEFAULT_SEGMENT_SIZE, DataKey, EnvelopeError, Header, Opening, Place, Sealing};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, fchown},
    path::{Path, PathBuf},
};

/// What names of encrypted files end in.
const SUFFIX: &str = "enc";

#[derive(Debug, Args)]
pub(super) struct EncryptFlags {
    /// File to encrypt, - for standard input
    file: PathBuf,
    /// Transit key that wraps the data key
    #[arg(short, long)]
    key: String,
    #[command(flatten)]
    target: TargetFlags,
    /// Context of a derived key, base64
    #[arg(long, value_name = "BASE64")]
    context: Option<String>,
    /// Content in one segment: the memory it takes, and what is lost where a copy is damaged
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_SEGMENT_SIZE)]
    segment_size: u32,
}

#[derive(Debug, Args)]
pub(super) struct DecryptFlags {
    /// File to decrypt, - for standard input
    file: PathBuf,
    /// Transit key to unwrap with, if not the one the file names
    #[arg(short, long)]
    key: Option<String>,
    #[command(flatten)]
    target: TargetFlags,
    /// Context of a derived key, base64
    #[arg(long, value_name = "BASE64")]
    context: Option<String>,
}

#[derive(Debug, Args)]
struct TargetFlags {
    /// File to write, - for standard output [default: FILE with .enc added or taken off; standard output for -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(short, long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct RewrapFlags {
    /// Files that `encrypt` wrote
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Transit key to rewrap with, if not the one the files name
    #[arg(short, long)]
    key: Option<String>,
    /// Context of a derived key, base64
    #[arg(long, value_name = "BASE64")]
    context: Option<String>,
}

pub(super) fn encrypt(mount: &Mount<'_>, flags: &EncryptFlags, output: &Output) -> Result<()> {
    let name = place::name(&flags.file);
    let wrong = |error: EnvelopeError| explained(&error, &format!("cannot encrypt {name}"));
    let place = Place::new(mount.path, &flags.key).map_err(wrong)?;
    let content = place::source(&flags.file)?;
    let mut target = Target::create(&sealed_name(flags)?, flags.target.force, 0o666)?;
    if target.is_terminal() {
        return Err(Failure::local("the encrypted content would go to the terminal")
            .because("it is not text")
            .fix("send it into a file or a pipe, or name a file with --output"));
    }
    let body = with_context(json!({"bits": 256}), flags.context.as_deref());
    let mut answer = mount.post(&format!("datakey/plaintext/{}", flags.key), body)?;
    let data_key = DataKey::new(&secret(&mut answer, "plaintext")?).map_err(wrong)?;
    let wrapped = text(&answer, "ciphertext")?;
    let sealing = Sealing::new(&data_key, wrapped, place, flags.segment_size).map_err(wrong)?;
    let progress = bar(&flags.file);
    let bytes = sealing.seal(progress.wrap_read(content), &mut target).map_err(wrong)?;
    progress.finish_and_clear();
    let to_file = !target.is_standard();
    target.finish()?;
    let out = sealed_name(flags)?;
    report(&Done { verb: "Encrypted", file: &name, out: to_file.then_some(&out), bytes, wrapped }, output)
}

pub(super) fn decrypt(mount: &Mount<'_>, flags: &DecryptFlags, output: &Output) -> Result<()> {
    let name = place::name(&flags.file);
    let what = format!("cannot decrypt {name}");
    let out = opened_name(flags)?;
    let mut sealed = place::source(&flags.file)?;
    let mut target = Target::create(&out, flags.target.force, 0o600)?;
    let header = Header::read(&mut sealed).map_err(|error| explained(&error, &what))?;
    let key = key(mount, &header, flags.key.as_deref(), &name)?;
    let body = with_context(json!({"ciphertext": header.wrapped_key()}), flags.context.as_deref());
    let mut answer = mount.post(&format!("decrypt/{key}"), body)?;
    let wrapped = header.wrapped_key().to_owned();
    let progress = bar(&flags.file);
    let bytes = DataKey::new(&secret(&mut answer, "plaintext")?)
        .and_then(|data_key| Opening::new(header, &data_key))
        .and_then(|opening| opening.open(progress.wrap_read(sealed), &mut target))
        .map_err(|error| {
            let failure = explained(&error, &what);
            let released = "what was written to standard output so far is genuine, but not the whole: discard it";
            if target.is_standard() { failure.because(released) } else { failure }
        })?;
    progress.finish_and_clear();
    let to_file = !target.is_standard();
    target.finish()?;
    report(&Done { verb: "Decrypted", file: &name, out: to_file.then_some(&out), bytes, wrapped: &wrapped }, output)
}

pub(super) fn rewrap(mount: &Mount<'_>, flags: &RewrapFlags, output: &Output) -> Result<()> {
    let mut rows = Vec::new();
    let mut failed: Option<Failure> = None;
    for file in &flags.files {
        match rewrap_one(mount, file, flags) {
            Ok((before, after)) => rows.push((file.display().to_string(), before, after)),
            // Asked for as a text, or a sole file: nothing to go on with.
            Err(failure) if failure.exit == 0 || flags.files.len() == 1 => return Err(failure),
            Err(failure) => {
                output.remark(failure.to_string());
                failed = Some(failure);
            }
        }
    }
    let cells = rows.iter().map(|(f, before, after)| vec![f.clone(), before.to_string(), after.to_string()]);
    let machine: Vec<_> = rows.iter().map(|(f, b, a)| json!({"file": f, "old_version": b, "new_version": a})).collect();
    output.rows(&["File", "Old Version", "New Version"], &cells.collect::<Vec<_>>(), &Value::Array(machine))?;
    match failed {
        None => Ok(()),
        Some(last) => {
            let (left, all) = (flags.files.len() - rows.len(), flags.files.len());
            let failure =
                Failure { exit: last.exit, ..Failure::local(format!("{left} of {all} files were not rewrapped")) };
            Err(failure.because("each reason stands above").fix("the others are done; run it again for these"))
        }
    }
}

/// The versions before and after. A file whose data key is at the newest version already is left alone.
fn rewrap_one(mount: &Mount<'_>, file: &Path, flags: &RewrapFlags) -> Result<(u64, u64)> {
    let name = file.display().to_string();
    let what = format!("cannot rewrap {name}");
    let wrong = |error: io::Error| Failure::local(&what).because(error);
    // The file itself, not a link to it, is what is replaced.
    let path = fs::canonicalize(file).map_err(wrong)?;
    let mut sealed = place::open(&path)?;
    let header = Header::read(&mut sealed).map_err(|error| explained(&error, &what))?;
    let key = key(mount, &header, flags.key.as_deref(), &name)?;
    let body = with_context(json!({"ciphertext": header.wrapped_key()}), flags.context.as_deref());
    let answer = mount.post(&format!("rewrap/{key}"), body)?;
    let wrapped = text(&answer, "ciphertext")?;
    let before = version(header.wrapped_key()).unwrap_or_default();
    let after = version(wrapped).ok_or_else(|| Failure::remote(&what).because("the answer is no ciphertext"))?;
    if after == before {
        return Ok((before, after));
    }
    let header = header.with_wrapped_key(wrapped).map_err(|error| explained(&error, &what))?;
    let metadata = sealed.metadata().map_err(wrong)?;
    let mut target = Target::create(&path, true, 0o600)?;
    target.write_all(&header.to_bytes()).map_err(wrong)?;
    io::copy(&mut sealed, &mut target).map_err(wrong)?;
    if let Some(new) = target.file() {
        keep_owner(new, &metadata).map_err(|error| wrong(error).fix("run it as the file's owner"))?;
    }
    let now = fs::metadata(&path).map_err(wrong)?;
    if (now.ino(), now.len(), now.mtime_nsec(), now.mtime())
        != (metadata.ino(), metadata.len(), metadata.mtime_nsec(), metadata.mtime())
    {
        return Err(Failure::local(what).because("somebody else changed the file meanwhile").fix("run it again"));
    }
    target.finish()?;
    Ok((before, after))
}

fn keep_owner(new: &File, old: &fs::Metadata) -> io::Result<()> {
    let made = new.metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        fchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    new.set_permissions(old.permissions())
}

/// The key's name: the one given, or the file's own, and that only on the mount we were told: a file may say anything,
/// and the path of a request is the caller's to choose.
fn key(mount: &Mount<'_>, header: &Header, given: Option<&str>, file: &str) -> Result<String> {
    if let Some(key) = given {
        return Ok(key.to_owned());
    }
    let place = header.place();
    if place.mount() == mount.path {
        return Ok(place.key().to_owned());
    }
    Err(Failure::local(format!(
        "{file} says that its key is on the mount {:?}, not on {:?}",
        place.mount(),
        mount.path
    ))
    .because("a file may say anything; which mount is asked is for you to decide")
    .fix(format!("if that is right: --mount {:?}", place.mount())))
}

fn sealed_name(flags: &EncryptFlags) -> Result<PathBuf> {
    if let Some(output) = &flags.target.output {
        return Ok(output.clone());
    }
    if place::is_standard(&flags.file) {
        return Ok(flags.file.clone());
    }
    let mut name = flags.file.clone().into_os_string();
    name.push(format!(".{SUFFIX}"));
    Ok(name.into())
}

fn opened_name(flags: &DecryptFlags) -> Result<PathBuf> {
    if let Some(output) = &flags.target.output {
        return Ok(output.clone());
    }
    if place::is_standard(&flags.file) {
        return Ok(flags.file.clone());
    }
    if flags.file.extension().is_some_and(|extension| extension == SUFFIX) {
        return Ok(flags.file.with_extension(""));
    }
    Err(Failure::local(format!("what shall the content of {} be called?", flags.file.display()))
        .because(format!("its name does not end in .{SUFFIX}, which would be taken off"))
        .fix("name a file with --output, or - for standard output"))
}

fn with_context(mut body: Value, context: Option<&str>) -> Value {
    if let (Some(members), Some(context)) = (body.as_object_mut(), context) {
        members.insert("context".to_owned(), json!(context));
    }
    body
}

/// Drawn on a terminal only.
fn bar(path: &Path) -> ProgressBar {
    let bar = ProgressBar::new(fs::metadata(path).map(|data| data.len()).unwrap_or_default());
    match ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What was done, for people and machines.
struct Done<'a> {
    verb: &'a str,
    file: &'a str,
    /// Nothing where the result went to standard output.
    out: Option<&'a PathBuf>,
    bytes: u64,
    wrapped: &'a str,
}

fn report(done: &Done<'_>, output: &Output) -> Result<()> {
    let version = version(done.wrapped);
    let Some(out) = done.out else { return Ok(()) };
    let shown = version.map_or_else(|| "n/a".to_owned(), |version| version.to_string());
    let pairs = [
        (done.verb, done.file.to_owned()),
        ("Into", out.display().to_string()),
        ("Bytes", done.bytes.to_string()),
        ("Key Version", shown),
    ];
    let machine: Map<String, Value> = [
        ("file", json!(done.file)),
        ("output", json!(out.display().to_string())),
        ("bytes", json!(done.bytes)),
        ("key_version", json!(version)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    output.pairs(&pairs, &Value::Object(machine))
}

fn explained(error: &EnvelopeError, what: &str) -> Failure {
    let failure = Failure::local(what).because(error);
    match error {
        EnvelopeError::NotSealed | EnvelopeError::HeaderCut => {
            failure.fix("give a file that `chancery transit encrypt` wrote, whole and byte for byte")
        }
        EnvelopeError::UnknownVersion(_) | EnvelopeError::UnknownSuite(_) => {
            failure.fix("use the version of chancery that wrote it, or a later one")
        }
        EnvelopeError::OtherKey | EnvelopeError::Damaged(_) => failure.fix("take a good copy of the file"),
        EnvelopeError::SegmentSize(_) => failure.fix("choose a --segment-size within these bounds"),
        EnvelopeError::TooLarge => failure.fix("encrypt it with a larger --segment-size"),
        EnvelopeError::Unusable("mount" | "key name") => failure.fix("check --mount and --key"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decrypting(file: &str, output: Option<&str>) -> DecryptFlags {
        DecryptFlags {
            file: file.into(),
            key: None,
            target: TargetFlags { output: output.map(PathBuf::from), force: false },
            context: None,
        }
    }

    #[test]
    fn names_lose_the_ending_that_encrypting_added() {
        let named = |file, output| opened_name(&decrypting(file, output)).map(|path| path.display().to_string());
        assert_eq!(named("a/b.pdf.enc", None).unwrap(), "a/b.pdf");
        assert_eq!(named("a/b.pdf", Some("c")).unwrap(), "c");
        assert_eq!(named("-", None).unwrap(), "-");
        assert!(named("a/b.pdf", None).unwrap_err().to_string().contains("--output"));
    }

    #[test]
    fn every_failure_of_a_damaged_file_says_what_to_do() {
        for error in [EnvelopeError::NotSealed, EnvelopeError::OtherKey, EnvelopeError::Damaged(3)] {
            assert!(explained(&error, "x").fix.is_some());
        }
    }
}

//! `audit verify`: proves, without a server, that an audit file is whole. Exit code 0 whole, 4 broken.

use crate::{
    commands::audit::VerifyFlags,
    failure::{Failure, Result},
    output::Output,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_server::audit::{Report, verify};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::ExitCode,
};

const BROKEN: u8 = 4;

pub(crate) fn run(flags: &VerifyFlags, output: &Output) -> Result<ExitCode> {
    let trusted = flags.public_key.as_deref().map(public_key).transpose()?;
    let names: Vec<String> = flags.files.iter().map(|path| path.display().to_string()).collect();
    let what = names.join(", ");
    let mut files: Vec<File> = Vec::new();
    let mut bytes = 0;
    for path in &flags.files {
        let file = File::open(path)
            .map_err(|error| Failure::local(format!("cannot open {}", path.display())).because(error))?;
        bytes += file.metadata().map(|data| data.len()).unwrap_or_default();
        files.push(file);
    }
    // Drawn on a terminal only.
    let progress = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        progress.set_style(style);
    }
    let empty: Box<dyn BufRead> = Box::new(std::io::empty());
    let whole = files.into_iter().fold(empty, |before, file| Box::new(before.chain(BufReader::new(file))));
    let report = verify(BufReader::new(progress.wrap_read(whole)), trusted.as_deref())
        .map_err(|error| Failure::local(format!("cannot read {what}")).because(error))?;
    progress.finish_and_clear();
    print(&report, &what, output)?;
    Ok(ExitCode::from(if report.is_sound() { 0 } else { BROKEN }))
}

fn print(report: &Report, what: &str, output: &Output) -> Result<()> {
    let machine =
        serde_json::to_value(report).map_err(|error| Failure::local("the report cannot be printed").because(error))?;
    let number = |number: Option<u64>| number.map_or_else(|| "n/a".to_owned(), |number| number.to_string());
    let head = report.head.as_ref();
    let mut pairs = vec![
        ("File", what.to_owned()),
        ("Verdict", if report.is_sound() { "whole" } else { "BROKEN" }.to_owned()),
        ("Lines", report.lines.to_string()),
        ("First Number", number(report.first_seq)),
        ("Last Number", number(head.map(|head| head.seq))),
        ("Last Hash", head.map_or_else(|| "n/a".to_owned(), |head| head.hash.clone())),
        ("Checkpoints", report.checkpoints.to_string()),
        ("Signed Through", number(report.signed_through)),
    ];
    pairs.extend(report.signing_keys.iter().map(|key| ("Signing Key SHA-256", key.clone())));
    output.pairs(&pairs, &machine)?;
    for problem in &report.problems {
        output.remark(format!("line {}: {}", problem.line, problem.what));
    }
    if report.is_sound() && report.signed_through.is_none() && report.lines > 0 {
        output.remark("No checkpoint vouches for this file yet: who can write it could also rewrite it whole.");
    }
    Ok(())
}

/// The key in a PEM file, as SubjectPublicKeyInfo.
fn public_key(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::local(format!("cannot read {name}")).because(error))?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let labelled = text.contains("-----BEGIN PUBLIC KEY-----");
    STANDARD.decode(body).ok().filter(|key| labelled && !key.is_empty()).ok_or_else(|| {
        Failure::local(format!("{name} holds no public key")).fix("give a PEM file that begins with BEGIN PUBLIC KEY")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_must_be_labelled_as_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n").unwrap();
        assert_eq!(public_key(file.path()).unwrap(), [1, 2, 3]);
        std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(public_key(file.path()).is_err());
    }

    #[test]
    fn the_report_has_the_members_scripts_read() {
        let machine = serde_json::to_value(Report::default()).unwrap();
        for member in ["lines", "problems", "signed_through", "checkpoints", "head"] {
            assert!(machine.get(member).is_some(), "{member}");
        }
    }
}

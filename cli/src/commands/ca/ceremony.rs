//! `ca ceremony`: one file says everything that will be made, several people approve its hash, then it is carried out in
//! one go and a key of the HSM signs what happened. Nothing is asked on the way.
//!
//! | file | what |
//! |---|---|
//! | `plan.rs` | the file: read, checked, hashed |
//! | `keys.rs` | public keys of approvers and of the transcript |
//! | `approval.rs` | what an approver signs, and counting approvals |
//! | `steps.rs` | the requests of each step |
//! | `transcript.rs` | what happened, signed; and reading it again |

mod approval;
mod keys;
mod plan;
mod steps;
mod transcript;

use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::Remote,
};
use approval::Approvals;
use clap::{Args, Subcommand};
use keys::VerifyingKey;
use plan::Plan;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use transcript::{Scribe, Transcript};

/// Exit code of `verify` for a transcript that proves nothing.
const NOT_VALID: u8 = 4;

#[derive(Debug, Subcommand)]
pub(crate) enum CeremonyCommand {
    /// Print the text an approver signs, for a key of their own: a smart card, a token, an OpenSSL key
    Statement(StatementFlags),
    /// Approve a file: sign its statement with a key file, or with a transit key that only you may use
    Approve(ApproveFlags),
    /// Carry out a file that enough people approved
    Run(RunFlags),
    /// Prove that a transcript was signed by the HSM and its file approved (exit code 0 proven, 4 not)
    Verify(VerifyFlags),
}

#[derive(Debug, Args)]
pub(crate) struct StatementFlags {
    /// The file (TOML)
    file: PathBuf,
    /// Name of the approver in the file
    #[arg(long = "as", value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveFlags {
    /// The file (TOML)
    file: PathBuf,
    /// Name of the approver in the file
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// Private key in PEM (PKCS#8), Ed25519, ECDSA or RSA
    #[arg(long, value_name = "FILE", required_unless_present = "transit")]
    key: Option<PathBuf>,
    /// Transit key to sign with, such as transit/alice
    #[arg(long, value_name = "MOUNT/KEY", conflicts_with = "key")]
    transit: Option<String>,
    /// Where the approval is written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunFlags {
    /// The file (TOML)
    file: PathBuf,
    /// An approval that `approve` wrote, or NAME=FILE with a signature of the statement; once for each approver
    #[arg(long = "approval", value_name = "FILE")]
    approvals: Vec<String>,
    /// Where the signed transcript is written
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    transcript: Option<PathBuf>,
    /// Check everything and print what would be sent; change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    /// The transcript
    transcript: PathBuf,
    /// PEM file of the public key it must be signed with; else the key it names itself is shown
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// The file it must be about
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the certificates that were made into this directory
    #[arg(long, value_name = "DIRECTORY")]
    certificates: Option<PathBuf>,
}

pub(crate) fn run(remote: &Remote, command: &CeremonyCommand, output: &Output) -> Result<ExitCode> {
    match command {
        CeremonyCommand::Statement(flags) => {
            let plan = Plan::read(&flags.file)?;
            plan.approver(&flags.name)?;
            crate::output::print(&approval::statement(&plan, &flags.name))?;
        }
        CeremonyCommand::Approve(flags) => approve(remote, flags, output)?,
        CeremonyCommand::Run(flags) => carry_out(remote, flags, output)?,
        CeremonyCommand::Verify(flags) => return verify(flags, output),
    }
    Ok(ExitCode::SUCCESS)
}

fn approve(remote: &Remote, flags: &ApproveFlags, output: &Output) -> Result<()> {
    let plan = Plan::read(&flags.file)?;
    let key = plan.approver(&flags.name)?;
    let statement = approval::statement(&plan, &flags.name);
    let signature = match (&flags.key, &flags.transit) {
        (Some(path), _) => keys::sign_with_file(path, key, statement.as_bytes())?,
        (None, Some(place)) => keys::sign_with_transit(remote, place, key, statement.as_bytes())?,
        (None, None) => return Err(Failure::local("nothing to sign with").fix("give --key or --transit")),
    };
    // The key that signed must be the one the file names for this approver.
    if !key.verify(statement.as_bytes(), &signature) {
        return Err(Failure::local(format!("this key is not the one the file names for {}", flags.name))
            .because(format!("the file names the key with SHA-256 {}", key.fingerprint()))
            .fix("sign with that key, or have the file reviewed again"));
    }
    let approval = approval::render(&plan, &flags.name, &signature);
    transcript::write_new(&flags.out, &approval)?;
    output.done(format!("{} approves {} ({})", flags.name, plan.content.name, plan.hash))
}

fn carry_out(remote: &Remote, flags: &RunFlags, output: &Output) -> Result<()> {
    let plan = Plan::read(&flags.file)?;
    let approvals = Approvals::gather(&plan, &flags.approvals)?;
    if let Some(path) = flags.transcript.as_deref().filter(|path| path.exists()) {
        return Err(Failure::local(format!("{} exists", path.display()))
            .because("a transcript is never written over")
            .fix("name another file"));
    }
    let scribe = Scribe::find(remote, &plan.content.transcript)?;
    steps::check(remote, &plan)?;
    output.done(format!("ceremony  {}", plan.content.name))?;
    output.done(format!("file      SHA-256 {}", plan.hash))?;
    output.done(format!("approved  {}", approvals.summary(&plan)))?;
    output.done(format!("signed by {} in the HSM, SHA-256 {}", plan.content.transcript, scribe.key().fingerprint()))?;
    if flags.dry_run {
        for line in steps::preview(&plan) {
            output.done(line)?;
        }
        return output.done("nothing was changed");
    }
    approvals.require(&plan)?;
    let path = flags.transcript.as_deref().ok_or_else(|| Failure::local("--transcript is missing"))?;
    let mut transcript = Transcript::begin(&plan, &approvals, remote.address());
    let outcome = steps::carry_out(remote, &plan, &mut transcript, output);
    transcript.end(outcome.as_ref().err());
    scribe.write(remote, &transcript, path)?;
    output.done(format!("transcript {}", path.display()))?;
    outcome
}

fn verify(flags: &VerifyFlags, output: &Output) -> Result<ExitCode> {
    let pinned = flags.public_key.as_deref().map(read_key).transpose()?;
    let expected = flags.file.as_deref().map(Plan::read).transpose()?;
    let text = read(&flags.transcript)?;
    let found = transcript::examine(&text, pinned.as_ref(), expected.as_ref().map(|plan| plan.hash.as_str()));
    let report = match found {
        Ok(report) => report,
        Err(why) => {
            output.remark(format!("NOT proven: {why}"));
            return Ok(ExitCode::from(NOT_VALID));
        }
    };
    if let Some(directory) = &flags.certificates {
        for (name, certificate) in &report.certificates {
            transcript::write_new(&directory.join(format!("{name}.pem")), certificate)?;
        }
    }
    if pinned.is_none() {
        output.remark("warning: the key is the one the transcript names itself; --public-key says whose it must be");
    }
    let rows = [
        ("ceremony", report.name.clone()),
        ("file SHA-256", report.hash.clone()),
        ("approved by", report.approvers.join(", ")),
        ("outcome", report.outcome.clone()),
        ("certificates", report.certificates.len().to_string()),
        ("signed by", format!("SHA-256 {}", report.key)),
    ];
    let machine = json!({
        "ceremony": report.name,
        "file_sha256": report.hash,
        "approvers": report.approvers,
        "outcome": report.outcome,
        "certificates": report.certificates.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "key_sha256": report.key,
    });
    output.pairs(&rows, &machine)?;
    Ok(ExitCode::SUCCESS)
}

fn read_key(path: &Path) -> Result<VerifyingKey> {
    VerifyingKey::from_pem(&read(path)?)
        .ok_or_else(|| Failure::local(format!("{} is not a public key in PEM", path.display())))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))
}

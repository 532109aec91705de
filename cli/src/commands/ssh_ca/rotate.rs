//! Another CA key, step by step. The server keeps the phases; here stands what a person has to do on hosts in each.

use super::{Mount, text};
use crate::{
    failure::Result,
    output::{Output, print},
    remote::Answer,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum RotateCommand {
    /// Make the new key; nothing changes for anybody yet
    Start(StartFlags),
    /// Show the phase, and what to do on hosts
    Status(IssuerFlags),
    /// Go on to the next phase
    Advance(AdvanceFlags),
    /// Go back one phase
    Rollback(IssuerFlags),
}

#[derive(Debug, Args)]
pub(super) struct IssuerFlags {
    /// The issuer: its name, its id, or default
    #[arg(default_value = "default")]
    issuer: String,
}

#[derive(Debug, Args)]
pub(super) struct StartFlags {
    #[command(flatten)]
    issuer: IssuerFlags,
    /// Type of the new key
    #[arg(long, default_value = "ec", value_parser = ["ec", "ed25519", "rsa"])]
    key_type: String,
    /// Its size, where the type has several
    #[arg(long, default_value_t = 0)]
    key_bits: u32,
}

#[derive(Debug, Args)]
pub(super) struct AdvanceFlags {
    #[command(flatten)]
    issuer: IssuerFlags,
    /// Retire the old key although certificates it has signed are still valid
    #[arg(long)]
    force: bool,
}

pub(super) fn run(mount: &Mount<'_>, command: &RotateCommand, output: &Output) -> Result<()> {
    let at = |issuer: &IssuerFlags| format!("rotation/{}", issuer.issuer);
    let (answer, issuer) = match command {
        RotateCommand::Status(flags) => (mount.read(&at(flags))?, flags),
        RotateCommand::Start(flags) => {
            let body = json!({"action": "start", "key_type": flags.key_type, "key_bits": flags.key_bits});
            (mount.post(&at(&flags.issuer), body)?, &flags.issuer)
        }
        RotateCommand::Advance(flags) => {
            let body = json!({"action": "advance", "force": flags.force});
            (mount.post(&at(&flags.issuer), body)?, &flags.issuer)
        }
        RotateCommand::Rollback(flags) => (mount.post(&at(flags), json!({"action": "rollback"}))?, flags),
    };
    if !output.is_table() {
        return output.answer(&answer);
    }
    for warning in answer.json.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        output.remark(format!("warning: {}", warning.as_str().unwrap_or_default()));
    }
    print(&explained(&answer, mount.path, &issuer.issuer)?)
}

fn explained(answer: &Answer, mount: &str, issuer: &str) -> Result<String> {
    let phase = text(answer, "phase")?;
    let one = if issuer == "default" { String::new() } else { format!(" --issuer {issuer}") };
    let advance = format!("chancery ssh-ca --mount {mount} rotate advance {issuer}");
    let pull = format!("chancery ssh-ca --mount {mount} trust pull{one}");
    let known: String = text(answer, "new_public_key").map(|key| format!("  @cert-authority *.YOUR.DOMAIN {key}"))?;
    let mut said = String::new();
    let _ = writeln!(said, "Phase    {phase}");
    let _ = writeln!(said, "Old key  {}", text(answer, "old_public_key")?.trim_end());
    let _ = writeln!(said, "New key  {}\n", text(answer, "new_public_key")?.trim_end());
    said.push_str(&match phase {
        "standby" => format!("Nothing to do on hosts yet. Go on with:\n  {advance}\n"),
        "both-trusted" => format!(
            "On every host that people log in to, so that sshd trusts both keys:\n  {pull}\n\
             On every client, besides the line that is there, in known_hosts (for host certificates):\n{known}\n\
             When all have it, and not before, let the new key sign:\n  {advance}\n"
        ),
        "signing-with-new" => {
            let end = answer.data().get("old_certificates_end_at").and_then(Value::as_str);
            let wait = end.map_or_else(
                || "The old key has signed nothing.".to_owned(),
                |end| format!("Certificates of the old key are valid until {end}; wait for that."),
            );
            format!(
                "On every host, to get a certificate of the new key:\n  chancery ssh-ca --mount {mount} host renew --force\n\
                 {wait} Then retire the old key:\n  {advance}\n"
            )
        }
        _ => format!(
            "On every host, so that sshd forgets the old key and learns that it is revoked:\n  {pull}\n  \
             chancery ssh-ca --mount {mount} krl pull\n\
             On every client, take the old @cert-authority line out of known_hosts.\n\
             The old key can then be destroyed in the HSM:\n  chancery delete {mount}/issuer/{}\n",
            text(answer, "old_issuer_id")?
        ),
    });
    Ok(said)
}

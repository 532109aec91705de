//! `transit datakey`, `export`, `backup`, `restore`: what key material leaves the server, and comes back.

use super::{Mount, no_member, place, place::Target};
use crate::{
    commands::data::written,
    failure::{Failure, Result},
    output::Output,
    remote::{Ask, Verb},
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
};
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(super) struct DatakeyFlags {
    /// Transit key that wraps it
    key: String,
    /// Bits of the data key
    #[arg(long, default_value = "256", value_parser = ["128", "256", "512"])]
    bits: String,
    /// Print the data key in the clear as well
    #[arg(long)]
    plaintext: bool,
    /// Context of a derived key, base64
    #[arg(long, value_name = "BASE64")]
    context: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ExportFlags {
    /// What of the key
    #[arg(value_enum)]
    kind: Kind,
    /// Name of the key
    key: String,
    /// One version, or latest; all of them if not given
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Form of the keys
    #[arg(long = "as", value_name = "FORM", value_parser = ["raw", "der", "pem"])]
    form: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    EncryptionKey,
    SigningKey,
    HmacKey,
    CmacKey,
    PublicKey,
    CertificateChain,
}

#[derive(Debug, Args)]
pub(super) struct BackupFlags {
    /// Name of the key
    key: String,
    /// File to write, - for standard output; its owner alone may read it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file that is there
    #[arg(short, long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct RestoreFlags {
    /// File that `backup` wrote, - for standard input
    file: PathBuf,
    /// Restore under this name instead of its own
    #[arg(long)]
    name: Option<String>,
    /// Replace the key of that name
    #[arg(short, long)]
    force: bool,
}

pub(super) fn datakey(mount: &Mount<'_>, flags: &DatakeyFlags, output: &Output) -> Result<()> {
    let form = if flags.plaintext { "plaintext" } else { "wrapped" };
    let mut body = json!({"bits": flags.bits});
    if let (Some(members), Some(context)) = (body.as_object_mut(), &flags.context) {
        members.insert("context".to_owned(), json!(context));
    }
    let answer = mount.post(&format!("datakey/{form}/{}", flags.key), body)?;
    output.answer(&answer)
}

pub(super) fn export(mount: &Mount<'_>, flags: &ExportFlags, output: &Output) -> Result<()> {
    let kind = flags.kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let version = flags.version.as_ref().map(|version| format!("/{version}")).unwrap_or_default();
    let path = mount.at(&format!("export/{kind}/{}{version}", flags.key));
    let query = flags.form.iter().map(|form| ("format".to_owned(), form.clone())).collect();
    let ask = Ask { query, ..Ask::new(Verb::Read, &path) };
    let answer = mount.remote.send(&ask)?;
    let keys = answer.data().get("keys").and_then(Value::as_object);
    let Some(keys) = keys.filter(|_| output.is_table()) else { return output.answer(&answer) };
    let mut rows: Vec<(u64, Vec<String>)> = keys
        .iter()
        .map(|(version, key)| {
            let key = key.as_str().map_or_else(|| key.to_string(), |key| key.trim_end().to_owned());
            (version.parse().unwrap_or_default(), vec![version.clone(), key])
        })
        .collect();
    rows.sort();
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
    output.rows(&["Version", "Key"], &rows, answer.data())
}

pub(super) fn backup(mount: &Mount<'_>, flags: &BackupFlags, output: &Output) -> Result<()> {
    let mut target = Target::create(&flags.output, flags.force, 0o600)?;
    let mut answer = mount.read(&format!("backup/{}", flags.key))?;
    let backup = answer.take_secret("backup").ok_or_else(|| no_member("backup"))?;
    let to_file = !target.is_standard();
    target
        .write_all(backup.as_bytes())
        .and_then(|()| target.write_all(b"\n"))
        .map_err(|error| Failure::local(format!("cannot write {}", flags.output.display())).because(error))?;
    target.finish()?;
    if to_file {
        output.remark("The backup holds the key in the clear: keep it as you would keep the key.");
        output.done(format!("Success! Backup of {} written to: {}", flags.key, flags.output.display()))?;
    }
    Ok(())
}

pub(super) fn restore(mount: &Mount<'_>, flags: &RestoreFlags, output: &Output) -> Result<()> {
    let mut backup = Zeroizing::new(String::new());
    let name = place::name(&flags.file);
    place::source(&flags.file)?
        .read_to_string(&mut backup)
        .map_err(|error| Failure::local(format!("cannot read {name}")).because(error))?;
    if backup.trim().is_empty() {
        return Err(
            Failure::local(format!("{name} holds no backup")).fix("give the file that `chancery transit backup` wrote")
        );
    }
    let path = flags.name.as_ref().map_or_else(|| "restore".to_owned(), |name| format!("restore/{name}"));
    let answer = mount.post(&path, json!({"backup": backup.trim(), "force": flags.force}))?;
    written(&answer, &format!("Success! Key restored from: {name}"), output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_of_the_wire() {
        let names: Vec<_> = Kind::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
        assert!(names.iter().any(|value| value.get_name() == "hmac-key"));
        assert!(names.iter().any(|value| value.get_name() == "certificate-chain"));
    }
}

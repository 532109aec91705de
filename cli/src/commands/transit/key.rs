//! `transit key`: named keys and their versions.

use super::Mount;
use crate::{
    commands::data::written,
    failure::{Failure, Result},
    output::{Output, print, table},
    parameters, prompt,
    remote::{Answer, Ask, Verb},
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// List the names of the keys
    List,
    /// Show a key and its versions
    Show {
        /// Name of the key
        name: String,
    },
    /// Make a key
    Create(CreateFlags),
    /// Add a version, which encrypts and signs from then on
    Rotate {
        /// Name of the key
        name: String,
    },
    /// Change which versions may be used, and how the key is kept
    Config(ConfigFlags),
    /// Destroy old versions for ever
    Trim {
        /// Name of the key
        name: String,
        /// The oldest version to keep; it must not be above min_decryption_version and min_encryption_version
        #[arg(long, value_name = "NUMBER")]
        min_available_version: u64,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Destroy a key and everything encrypted under it
    Delete {
        /// Name of the key
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateFlags {
    /// Name of the key
    name: String,
    /// Kind of key, such as aes256-gcm96, ed25519, ecdsa-p256, rsa-4096, hmac
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Derive a key of its own for each context
    #[arg(long)]
    derived: bool,
    /// Encrypt the same text under the same context to the same ciphertext; needs --derived
    #[arg(long, requires = "derived")]
    convergent_encryption: bool,
    /// Let `export` read it; can never be taken back
    #[arg(long)]
    exportable: bool,
    /// Let `backup` read it; can never be taken back
    #[arg(long)]
    allow_plaintext_backup: bool,
    /// Rotate it by itself this often; 0 never
    #[arg(long, value_name = "DURATION")]
    auto_rotate_period: Option<String>,
    /// Bytes of an hmac key
    #[arg(long, value_name = "BYTES")]
    key_size: Option<u64>,
    /// Anything else the engine takes, key=value: protection=hsm, parameter_set=65
    parameters: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ConfigFlags {
    /// Name of the key
    name: String,
    /// Oldest version that decrypts and verifies
    #[arg(long, value_name = "NUMBER")]
    min_decryption_version: Option<u64>,
    /// Oldest version that encrypts and signs; 0 the newest only
    #[arg(long, value_name = "NUMBER")]
    min_encryption_version: Option<u64>,
    /// Whether the key may be deleted
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    deletion_allowed: Option<bool>,
    /// Let `export` read it; can never be taken back
    #[arg(long)]
    exportable: bool,
    /// Let `backup` read it; can never be taken back
    #[arg(long)]
    allow_plaintext_backup: bool,
    /// Rotate it by itself this often; 0 never
    #[arg(long, value_name = "DURATION")]
    auto_rotate_period: Option<String>,
}

pub(super) fn run(mount: &Mount<'_>, command: &KeyCommand, output: &Output) -> Result<()> {
    match command {
        KeyCommand::List => list(mount, output),
        KeyCommand::Show { name } => show(&mount.read(&at(name))?, output),
        KeyCommand::Create(flags) => {
            let answer = mount.post(&at(&flags.name), create_body(flags)?)?;
            shown(&answer, &format!("Success! Key created: {}", flags.name), output)
        }
        KeyCommand::Rotate { name } => {
            let answer = mount.post(&format!("{}/rotate", at(name)), json!({}))?;
            shown(&answer, &format!("Success! Key rotated: {name}"), output)
        }
        KeyCommand::Config(flags) => {
            let body = config_body(flags);
            if body.is_empty() {
                return Err(
                    Failure::local("nothing to change").fix("add a flag; see: chancery transit key config --help")
                );
            }
            let answer = mount.post(&format!("{}/config", at(&flags.name)), body)?;
            shown(&answer, &format!("Success! Key changed: {}", flags.name), output)
        }
        KeyCommand::Trim { name, min_available_version, yes } => {
            let loss = format!("the versions of {name} before {min_available_version}, and what only they decrypt");
            confirm(name, &loss, *yes)?;
            let body = json!({"min_available_version": min_available_version});
            let answer = mount.post(&format!("{}/trim", at(name)), body)?;
            shown(&answer, &format!("Success! Key trimmed: {name}"), output)
        }
        KeyCommand::Delete { name, yes } => {
            confirm(name, &format!("the key {name}, and everything that only it decrypts"), *yes)?;
            let answer = mount.remote.delete(&mount.at(&at(name))).map_err(|failure| deletion(failure, name))?;
            written(&answer, &format!("Success! Key deleted: {name}"), output)
        }
    }
}

fn at(name: &str) -> String {
    format!("keys/{name}")
}

fn list(mount: &Mount<'_>, output: &Output) -> Result<()> {
    let path = mount.at("keys");
    let ask = Ask::new(Verb::List, &path);
    let answer = mount.remote.attempt(&ask)?;
    if answer.is_absent() && answer.errors().is_empty() {
        output.remark(format!("There are no keys on {}.", mount.path));
        return output.names(&[]);
    }
    let answer = answer.successful(&ask, mount.remote.address())?;
    output.names(answer.data().get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default())
}

fn create_body(flags: &CreateFlags) -> Result<Map<String, Value>> {
    let mut body = parameters::pairs(&flags.parameters)?;
    let switch = |on: bool| on.then_some(json!(true));
    for (name, value) in [
        ("type", flags.kind.as_ref().map(|kind| json!(kind))),
        ("derived", switch(flags.derived)),
        ("convergent_encryption", switch(flags.convergent_encryption)),
        ("exportable", switch(flags.exportable)),
        ("allow_plaintext_backup", switch(flags.allow_plaintext_backup)),
        ("auto_rotate_period", flags.auto_rotate_period.as_ref().map(|period| json!(period))),
        ("key_size", flags.key_size.map(|size| json!(size))),
    ] {
        body.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(body)
}

fn config_body(flags: &ConfigFlags) -> Map<String, Value> {
    let switch = |on: bool| on.then_some(json!(true));
    [
        ("min_decryption_version", flags.min_decryption_version.map(|version| json!(version))),
        ("min_encryption_version", flags.min_encryption_version.map(|version| json!(version))),
        ("deletion_allowed", flags.deletion_allowed.map(|allowed| json!(allowed))),
        ("exportable", switch(flags.exportable)),
        ("allow_plaintext_backup", switch(flags.allow_plaintext_backup)),
        ("auto_rotate_period", flags.auto_rotate_period.as_ref().map(|period| json!(period))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// A write that answers with the key: a line for people who did not ask for the whole, the answer for machines.
fn shown(answer: &Answer, done: &str, output: &Output) -> Result<()> {
    match answer.data().get("latest_version").and_then(Value::as_u64) {
        Some(latest) if output.is_table() => output.done(format!("{done} (latest version {latest})")),
        _ => written(answer, done, output),
    }
}

/// The key's properties, then a line for each version.
fn show(answer: &Answer, output: &Output) -> Result<()> {
    let (Some(data), true) = (answer.data().as_object(), output.is_table()) else { return output.answer(answer) };
    let mut properties = data.clone();
    let versions = properties.remove("keys").unwrap_or_default();
    print(&format!(
        "{}\n{}",
        table::pairs(&table::sorted(&properties)),
        table::rows(&HEADINGS, &versions_of(&versions))
    ))
}

const HEADINGS: [&str; 3] = ["Version", "Created", "Public Key"];

/// Symmetric versions are a time in seconds, asymmetric ones an object.
fn versions_of(versions: &Value) -> Vec<Vec<String>> {
    let mut rows: Vec<(u64, Vec<String>)> = Vec::new();
    for (number, version) in versions.as_object().into_iter().flatten() {
        let member = |name: &str| version.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let created = match version.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            Some(time) => time.to_string(),
            None => member("creation_time"),
        };
        rows.push((number.parse().unwrap_or_default(), vec![number.clone(), created, brief(&member("public_key"))]));
    }
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

/// A public key in one line; `--format json` has it whole.
fn brief(key: &str) -> String {
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    if body.chars().count() <= 48 { body } else { format!("{}…", body.chars().take(47).collect::<String>()) }
}

/// Destruction is asked for twice: the name is typed, or `--yes` was given.
fn confirm(name: &str, loss: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !prompt::is_possible() {
        return Err(Failure::local(format!("this destroys {loss}"))
            .because("there is no terminal to ask at")
            .fix("add --yes to do it unasked"));
    }
    let typed = prompt::line(&format!("This destroys {loss}. Type the key's name to go on"), "")?;
    if typed == name { Ok(()) } else { Err(Failure::local("nothing was destroyed").because("the name was not typed")) }
}

fn deletion(failure: Failure, name: &str) -> Failure {
    if failure.why.iter().any(|why| why.contains("deletion is not allowed")) {
        return failure.fix(format!("allow it first: chancery transit key config {name} --deletion-allowed"));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_listed_in_their_order_whatever_the_kind_of_key() {
        let rows = versions_of(&json!({"10": 1_700_000_000, "9": 0}));
        assert_eq!(rows[0][..2], ["9".to_owned(), "1970-01-01T00:00:00Z".to_owned()]);
        assert_eq!(rows[1][..2], ["10".to_owned(), "2023-11-14T22:13:20Z".to_owned()]);
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let rows = versions_of(&json!({"1": {"creation_time": "2026-01-02T03:04:05Z", "public_key": pem}}));
        assert_eq!(rows, [["1", "2026-01-02T03:04:05Z", "AAAA"]]);
    }

    #[test]
    fn destruction_is_not_done_unasked() {
        let refused = confirm("app", "the key app", false).unwrap_err();
        assert!(refused.to_string().contains("--yes"), "{refused}");
        assert!(confirm("app", "the key app", true).is_ok());
    }
}

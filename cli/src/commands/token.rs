//! `token`: create, look up, renew, revoke, and what a token may do.

use super::data::written;
use crate::{
    failure::{Failure, Result},
    output::{Output, print},
    parameters,
    remote::{Ask, Remote, Verb},
    token_file,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token
    Create(Box<CreateFlags>),
    /// Show a token's properties; without an argument, our own
    Lookup(TargetFlags),
    /// Extend a token's life; without an argument, our own
    Renew {
        #[command(flatten)]
        target: TargetFlags,
        /// How long
        #[arg(short, long, value_name = "DURATION")]
        increment: Option<String>,
    },
    /// End a token and all its children
    Revoke {
        #[command(flatten)]
        target: TargetFlags,
        /// Our own token
        #[arg(long = "self")]
        own: bool,
        /// tree, orphan (leave the children alive) or path
        #[arg(long, default_value = "tree", value_parser = ["tree", "orphan", "path"])]
        mode: String,
    },
    /// What a token may do on a path
    Capabilities {
        /// TOKEN PATH, or only PATH for our own token
        #[arg(required = true, num_args = 1..=2)]
        words: Vec<String>,
        /// The first word is an accessor
        #[arg(long)]
        accessor: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TargetFlags {
    /// A token, or an accessor with --accessor
    target: Option<String>,
    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateFlags {
    /// Its text; root only
    #[arg(long)]
    id: Option<String>,
    /// Policy; may be repeated
    #[arg(long)]
    policy: Vec<String>,
    /// Lifetime
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Lifetime that no renewal can pass
    #[arg(long, value_name = "DURATION")]
    explicit_max_ttl: Option<String>,
    /// Renewable for ever, this long at a time
    #[arg(long, value_name = "DURATION")]
    period: Option<String>,
    /// Whether it can be renewed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    renewable: Option<bool>,
    /// Without a parent
    #[arg(long)]
    orphan: bool,
    /// Without the policy named default
    #[arg(long)]
    no_default_policy: bool,
    /// Number of uses
    #[arg(long, value_name = "NUMBER")]
    use_limit: Option<u64>,
    /// Name for logs
    #[arg(long)]
    display_name: Option<String>,
    /// key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// service or batch
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<String>,
    /// Token role to create it through
    #[arg(long)]
    role: Option<String>,
    /// Entity alias
    #[arg(long)]
    entity_alias: Option<String>,
}

pub(crate) fn run(remote: &Remote, command: &TokenCommand, output: &Output) -> Result<()> {
    match command {
        TokenCommand::Create(flags) => create(remote, flags, output),
        TokenCommand::Lookup(target) => {
            let answer = match target.body()? {
                Some((suffix, body)) => {
                    remote.send(&Ask::new(Verb::Post, &format!("auth/token/lookup{suffix}")).body(body))?
                }
                None => remote.read("auth/token/lookup-self")?,
            };
            output.answer(&answer)
        }
        TokenCommand::Renew { target, increment } => renew(remote, target, increment.as_deref(), output),
        TokenCommand::Revoke { target, own, mode } => revoke(remote, target, *own, mode, output),
        TokenCommand::Capabilities { words, accessor } => capabilities(remote, words, *accessor, output),
    }
}

impl TargetFlags {
    /// Suffix of the endpoint and its body; `None` for our own token.
    fn body(&self) -> Result<Option<(&'static str, Value)>> {
        match (&self.target, self.accessor) {
            (None, false) => Ok(None),
            (None, true) => Err(Failure::local("--accessor needs an accessor")),
            (Some(token), false) => Ok(Some(("", json!({"token": token})))),
            (Some(accessor), true) => Ok(Some(("-accessor", json!({"accessor": accessor})))),
        }
    }
}

fn create(remote: &Remote, flags: &CreateFlags, output: &Output) -> Result<()> {
    let metadata = parameters::pairs(&flags.metadata)?;
    let path = match (&flags.role, flags.orphan) {
        (Some(role), _) => format!("auth/token/create/{role}"),
        (None, true) => "auth/token/create-orphan".to_owned(),
        (None, false) => "auth/token/create".to_owned(),
    };
    let text = |value: &Option<String>| value.as_ref().map(|value| json!(value));
    let answer = remote.send(&Ask::new(Verb::Post, &path).members([
        ("id", text(&flags.id)),
        ("policies", (!flags.policy.is_empty()).then(|| json!(flags.policy))),
        ("ttl", text(&flags.ttl)),
        ("explicit_max_ttl", text(&flags.explicit_max_ttl)),
        ("period", text(&flags.period)),
        ("renewable", flags.renewable.map(|renewable| json!(renewable))),
        ("no_parent", (flags.orphan && flags.role.is_some()).then_some(json!(true))),
        ("no_default_policy", flags.no_default_policy.then_some(json!(true))),
        ("num_uses", flags.use_limit.map(|uses| json!(uses))),
        ("display_name", text(&flags.display_name)),
        ("meta", (!metadata.is_empty()).then_some(Value::Object(metadata))),
        ("type", text(&flags.kind)),
        ("entity_alias", text(&flags.entity_alias)),
    ]))?;
    output.answer(&answer)
}

fn renew(remote: &Remote, target: &TargetFlags, increment: Option<&str>, output: &Output) -> Result<()> {
    let (suffix, mut body) = target.body()?.unwrap_or(("-self", json!({})));
    if let (Some(increment), Some(body)) = (increment, body.as_object_mut()) {
        body.insert("increment".to_owned(), json!(increment));
    }
    let answer = remote.write(&format!("auth/token/renew{suffix}"), body)?;
    output.answer(&answer)
}

fn revoke(remote: &Remote, target: &TargetFlags, own: bool, mode: &str, output: &Output) -> Result<()> {
    let path = match (target.body()?, own, mode) {
        (None, true, "tree") => {
            remote.write("auth/token/revoke-self", json!({}))?;
            if token_file::read()?.as_deref().map(String::as_str) == remote.token() {
                token_file::erase()?;
            }
            return output.done("Success! Revoked token (if it existed)");
        }
        (Some((suffix, body)), false, "tree") => (format!("auth/token/revoke{suffix}"), body),
        (Some(("", body)), false, "orphan") => ("auth/token/revoke-orphan".to_owned(), body),
        (Some(("", _)), false, "path") => {
            (format!("sys/leases/revoke-prefix/{}", target.target.as_deref().unwrap_or_default()), json!({}))
        }
        _ => {
            return Err(Failure::local("it is not clear which token to revoke")
                .fix("give a token, --accessor ACCESSOR, or --self; --mode=orphan and --mode=path take no accessor"));
        }
    };
    let answer = remote.write(&path.0, path.1)?;
    written(&answer, "Success! Revoked token (if it existed)", output)
}

fn capabilities(remote: &Remote, words: &[String], accessor: bool, output: &Output) -> Result<()> {
    let (path, endpoint, body) = match words {
        [token, path] if !accessor => (path, "sys/capabilities", json!({"token": token, "paths": [path]})),
        [accessor, path] => (path, "sys/capabilities-accessor", json!({"accessor": accessor, "paths": [path]})),
        [path] if !accessor => (path, "sys/capabilities-self", json!({"paths": [path]})),
        _ => return Err(Failure::local("--accessor needs ACCESSOR PATH")),
    };
    let answer = remote.send(&Ask::new(Verb::Post, endpoint).body(body))?;
    let content = answer.content();
    let granted = content.get(path.as_str()).or_else(|| content.get("capabilities")).cloned().unwrap_or(json!([]));
    if !output.is_table() {
        return output.rows(&[], &[], &granted);
    }
    let mut names: Vec<&str> = granted.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.sort_unstable();
    print(&names.join(", "))
}

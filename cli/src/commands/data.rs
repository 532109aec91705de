//! `read`, `write`, `list`, `delete`, `patch`, `unwrap`, `path-help`: the verbs every path understands.

use crate::{
    failure::{Failure, Result},
    output::{Output, print},
    parameters, prompt,
    remote::{Answer, Ask, Remote, Verb},
};
use clap::Args;
use serde_json::Value;
use std::io;

#[derive(Debug, Args)]
pub(crate) struct PathFlags {
    /// Such as transit/keys
    path: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReadFlags {
    /// Such as transit/keys/app
    path: String,
    /// Query parameters, key=value
    parameters: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WriteFlags {
    /// Such as transit/encrypt/app
    path: String,
    /// key=value, key=@file, key=- (standard input), or a JSON object as @file or -
    parameters: Vec<String>,
    /// Write without parameters
    #[arg(short, long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteFlags {
    /// Such as transit/keys/app
    path: String,
    /// Query parameters, key=value
    parameters: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UnwrapFlags {
    /// The wrapping token; without it, the token we are logged in with is opened
    token: Option<String>,
}

pub(crate) fn read(remote: &Remote, flags: &ReadFlags, output: &Output) -> Result<()> {
    let query = query(&flags.parameters)?;
    let answer = found(remote, &Ask { query, ..Ask::new(Verb::Read, &flags.path) })?;
    output.answer(&answer)
}

pub(crate) fn list(remote: &Remote, flags: &PathFlags, output: &Output) -> Result<()> {
    let answer = found(remote, &Ask::new(Verb::List, &flags.path))?;
    match answer.data().get("keys").and_then(Value::as_array) {
        Some(keys) => output.names(keys),
        None => output.answer(&answer),
    }
}

pub(crate) fn write(remote: &Remote, flags: &WriteFlags, output: &Output) -> Result<()> {
    if flags.parameters.is_empty() && !flags.force {
        return Err(Failure::local("nothing to write").fix("add key=value parameters, or -f to write without any"));
    }
    let body = parameters::parse(&flags.parameters, &mut io::stdin().lock())?;
    let answer = remote.write(&flags.path, body)?;
    written(&answer, &format!("Success! Data written to: {}", flags.path), output)
}

pub(crate) fn patch(remote: &Remote, flags: &WriteFlags, output: &Output) -> Result<()> {
    let body = parameters::parse(&flags.parameters, &mut io::stdin().lock())?;
    if body.is_empty() && !flags.force {
        return Err(Failure::local("nothing to change").fix("add key=value parameters, or -f to patch without any"));
    }
    let answer = remote.send(&Ask::new(Verb::Patch, &flags.path).body(body))?;
    written(&answer, &format!("Success! Data patched at: {}", flags.path), output)
}

pub(crate) fn delete(remote: &Remote, flags: &DeleteFlags, output: &Output) -> Result<()> {
    let query = query(&flags.parameters)?;
    let answer = remote.send(&Ask { query, ..Ask::new(Verb::Delete, &flags.path) })?;
    written(&answer, &format!("Success! Data deleted (if it existed) at: {}", flags.path), output)
}

pub(crate) fn unwrap(remote: Remote, flags: &UnwrapFlags, output: &Output) -> Result<()> {
    let answer = match &flags.token {
        None => remote.write("sys/wrapping/unwrap", Value::Object(serde_json::Map::new()))?,
        Some(argument) => {
            let token = prompt::secret(Some(argument), "Wrapping token")?;
            // Sent as the request's own token, so that a caller needs no login of its own.
            let remote = remote.with_token(Some(token.to_string()));
            remote.write("sys/wrapping/unwrap", Value::Object(serde_json::Map::new()))?
        }
    };
    output.answer(&answer)
}

pub(crate) fn path_help(remote: &Remote, flags: &PathFlags, output: &Output) -> Result<()> {
    let query = vec![("help".to_owned(), "1".to_owned())];
    let answer = remote.send(&Ask { query, ..Ask::new(Verb::Read, &flags.path) })?;
    let content = answer.content();
    match content.get("help").and_then(Value::as_str) {
        Some(help) if output.is_table() => print(help),
        _ => output.object(&content),
    }
}

/// Reads, and says plainly when there is nothing.
fn found(remote: &Remote, ask: &Ask<'_>) -> Result<Answer> {
    let answer = remote.attempt(ask)?;
    if answer.is_absent() && answer.data().is_null() && answer.errors().is_empty() {
        return Err(Failure::remote(format!("No value found at {}", ask.path)));
    }
    answer.successful(ask, remote.address())
}

/// The answer of a write: its data if it has any, a line for people otherwise.
pub(super) fn written(answer: &Answer, done: &str, output: &Output) -> Result<()> {
    if answer.body.is_empty() { output.done(done) } else { output.answer(answer) }
}

fn query(words: &[String]) -> Result<Vec<(String, String)>> {
    let mut query = Vec::new();
    for (key, value) in parameters::pairs(words)? {
        match value {
            Value::Array(items) => query.extend(items.iter().map(|item| (key.clone(), text(item)))),
            value => query.push((key, text(&value))),
        }
    }
    Ok(query)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

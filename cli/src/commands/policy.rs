//! `policy`: write, read, list and delete policies; put a file into shape.

use crate::{
    failure::{Failure, Result},
    output::{Output, print},
    remote::{Ask, Remote, Verb},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Store a policy
    Write {
        /// Name of the policy
        name: String,
        /// File that holds it, - for standard input
        file: String,
    },
    /// Print a policy
    Read {
        /// Name of the policy
        name: String,
    },
    /// List the policies
    List,
    /// Delete a policy
    Delete {
        /// Name of the policy
        name: String,
    },
    /// Indent a policy file, in place
    Fmt(FormatFlags),
}

#[derive(Debug, Args)]
pub(crate) struct FormatFlags {
    /// The file
    file: PathBuf,
}

pub(crate) fn run(remote: &Remote, command: &PolicyCommand, output: &Output) -> Result<()> {
    match command {
        PolicyCommand::Write { name, file } => {
            let text = source(file)?;
            remote.write(&at(name), json!({"policy": text}))?;
            output.done(format!("Success! Uploaded policy: {name}"))
        }
        PolicyCommand::Read { name } => read(remote, name, output),
        PolicyCommand::List => {
            let answer = remote.list("sys/policies/acl")?;
            let names = answer.data().get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
            if output.is_table() {
                let lines: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
                print(&lines.join("\n"))
            } else {
                output.names(&names)
            }
        }
        PolicyCommand::Delete { name } => {
            remote.delete(&at(name))?;
            output.done(format!("Success! Deleted policy: {name}"))
        }
        PolicyCommand::Fmt(flags) => format(flags, output),
    }
}

/// Indents a policy file in place.
pub(crate) fn format(flags: &FormatFlags, output: &Output) -> Result<()> {
    let path = flags.file.display();
    let text = fs::read_to_string(&flags.file)
        .map_err(|error| Failure::local(format!("cannot read {path}")).because(error))?;
    let formatted =
        indented(&text).map_err(|reason| Failure::local(format!("{path} is not a policy")).because(reason))?;
    if formatted != text {
        fs::write(&flags.file, formatted)
            .map_err(|error| Failure::local(format!("cannot write {path}")).because(error))?;
    }
    output.done(format!("Success! Formatted policy: {path}"))
}

fn at(name: &str) -> String {
    format!("sys/policies/acl/{}", name.to_lowercase())
}

fn read(remote: &Remote, name: &str, output: &Output) -> Result<()> {
    let path = at(name);
    let ask = Ask::new(Verb::Read, &path);
    let answer = remote.attempt(&ask)?;
    if answer.is_absent() && answer.errors().is_empty() {
        return Err(Failure::remote(format!("No policy named: {name}")).fix("see: chancery policy list"));
    }
    let answer = answer.successful(&ask, remote.address())?;
    match answer.data().get("policy").and_then(Value::as_str) {
        Some(text) if output.is_table() => print(text.trim()),
        _ => output.answer(&answer),
    }
}

fn source(file: &str) -> Result<String> {
    let mut text = String::new();
    let outcome =
        if file == "-" { io::stdin().lock().read_to_string(&mut text).map(|_| text) } else { fs::read_to_string(file) };
    outcome.map_err(|error| Failure::local(format!("cannot read the policy from {file}")).because(error))
}

/// HCL with two spaces per open bracket, assignments left as they are, at most one empty line in a row.
fn indented(text: &str) -> Result<String, String> {
    let mut depth = 0_usize;
    let mut lines: Vec<String> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let (opened, closed, leading) = brackets(line);
        let indent = depth.saturating_sub(leading) * 2;
        depth = (depth + opened)
            .checked_sub(closed)
            .ok_or_else(|| format!("line {}: a bracket is closed that was never opened", number + 1))?;
        let repeats = line.is_empty() && lines.last().is_none_or(String::is_empty);
        if !repeats {
            lines.push(if line.is_empty() { String::new() } else { format!("{:indent$}{line}", "") });
        }
    }
    if depth > 0 {
        return Err("a bracket is not closed".to_owned());
    }
    Ok(lines.join("\n").trim_end().to_owned() + "\n")
}

/// Brackets opened and closed outside strings and comments, and how many of the latter lead the line.
fn brackets(line: &str) -> (usize, usize, usize) {
    let (mut opened, mut closed, mut quoted, mut escaped) = (0, 0, false, false);
    let mut previous = ' ';
    for char in line.chars() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => break,
            '/' if !quoted && previous == '/' => break,
            '{' | '[' if !quoted => opened += 1,
            '}' | ']' if !quoted => closed += 1,
            _ => {}
        }
        previous = char;
    }
    let leading = line.chars().take_while(|char| matches!(char, '}' | ']')).count();
    (opened, closed, leading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_indented_and_comments_kept() {
        let text = "# top\npath \"a/{x}\" {\n      capabilities = [\n\"read\", # }\n]\n}\n\n\n";
        let expected = "# top\npath \"a/{x}\" {\n  capabilities = [\n    \"read\", # }\n  ]\n}\n";
        assert_eq!(indented(text).unwrap(), expected);
        assert_eq!(indented(expected).unwrap(), expected);
    }

    #[test]
    fn unbalanced_brackets_are_refused() {
        assert!(indented("path \"a\" {").is_err());
        assert!(indented("}").is_err());
    }
}

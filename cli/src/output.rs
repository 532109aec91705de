//! What a command prints. Data goes to standard output in the form that was asked for, everything else to standard
//! error, so that a pipe only ever sees data.

pub(crate) mod table;
mod yaml;

use crate::{
    environment,
    failure::{Failure, Result},
    remote::{Answer, answer::Envelope},
};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use std::io::{self, IsTerminal as _, Write as _};

/// Flags that choose the form of the output.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputFlags {
    /// Form of the output [env: CHANCERY_FORMAT] [default: table]
    #[arg(long, global = true, value_enum)]
    format: Option<Format>,
    /// Print only this member, bare
    #[arg(long, global = true, value_name = "NAME")]
    field: Option<String>,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[value(alias = "pretty")]
    Table,
    /// The API's envelope
    Json,
    /// The same as YAML
    #[value(alias = "yml")]
    Yaml,
    /// The answer's bytes as received
    Raw,
}

/// Where and how to print.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    field: Option<String>,
}

impl Output {
    pub(crate) fn new(flags: &OutputFlags) -> Result<Self> {
        let format = match (flags.format, environment::setting("FORMAT")) {
            (Some(format), _) => format,
            (None, None) => Format::Table,
            (None, Some(text)) => Format::from_str(&text, true)
                .map_err(|_| Failure::local(format!("CHANCERY_FORMAT={text:?} is not table, json, yaml or raw")))?,
        };
        Ok(Self { format, field: flags.field.clone() })
    }

    /// Whether people are to read this.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table && self.field.is_none()
    }

    /// Whether one member alone is wanted.
    pub(crate) fn wants_field(&self) -> bool {
        self.field.is_some()
    }

    /// A remark for people; never part of the data.
    #[expect(clippy::unused_self, reason = "all output goes through one place")]
    pub(crate) fn remark(&self, text: impl AsRef<str>) {
        // A closed standard error is no reason to fail the command.
        let _ = writeln!(io::stderr(), "{}", text.as_ref());
    }

    /// "It is done": a line for people, nothing for machines.
    pub(crate) fn done(&self, text: impl AsRef<str>) -> Result<()> {
        if self.is_table() { print(text.as_ref()) } else { Ok(()) }
    }

    /// The envelope of an answer.
    pub(crate) fn answer(&self, answer: &Answer) -> Result<()> {
        let Some(envelope) = answer.envelope() else { return self.value(&answer.json, answer) };
        self.warnings(&envelope.warnings);
        if let Some(field) = &self.field {
            return self.member(&envelope, field);
        }
        match self.format {
            Format::Table => print(&table::pairs(&rows(&envelope))),
            Format::Json => print(&json(&envelope)?),
            Format::Yaml => print(&yaml::render(&to_value(&envelope)?)),
            Format::Raw => print_bytes(&answer.body),
        }
    }

    /// An object that has no envelope: seal status, health, our own reports.
    pub(crate) fn object(&self, object: &Map<String, Value>) -> Result<()> {
        if let Some(field) = &self.field {
            let value = object.get(field).ok_or_else(|| absent(field))?;
            return self.bare(value);
        }
        match self.format {
            Format::Table => print(&table::pairs(&table::sorted(object))),
            Format::Json | Format::Raw => print(&json(object)?),
            Format::Yaml => print(&yaml::render(&Value::Object(object.clone()))),
        }
    }

    /// A list of names.
    pub(crate) fn names(&self, names: &[Value]) -> Result<()> {
        let texts: Vec<String> = names.iter().map(table::cell).collect();
        match self.format {
            Format::Table => print(&table::column("Keys", &texts)),
            Format::Json | Format::Raw => print(&json(names)?),
            Format::Yaml => print(&yaml::render(&Value::Array(names.to_vec()))),
        }
    }

    /// Rows under headings for people, `machine` for machines.
    pub(crate) fn rows(&self, headings: &[&str], rows: &[Vec<String>], machine: &Value) -> Result<()> {
        if let (Some(field), Some(object)) = (&self.field, machine.as_object()) {
            return self.bare(object.get(field).ok_or_else(|| absent(field))?);
        }
        match self.format {
            Format::Table => print(&table::rows(headings, rows)),
            Format::Json | Format::Raw => print(&json(machine)?),
            Format::Yaml => print(&yaml::render(machine)),
        }
    }

    /// Labelled lines for people in their own order, `machine` for machines.
    pub(crate) fn pairs(&self, pairs: &[(&str, String)], machine: &Value) -> Result<()> {
        if self.is_table() {
            let rows: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            return print(&table::pairs(&rows));
        }
        self.rows(&[], &[], machine)
    }

    fn value(&self, value: &Value, answer: &Answer) -> Result<()> {
        match value {
            Value::Object(object) => self.object(object),
            Value::Null if answer.body.is_empty() => Ok(()),
            Value::Null => print_bytes(&answer.body),
            other => self.bare(other),
        }
    }

    fn member(&self, envelope: &Envelope, field: &str) -> Result<()> {
        let rows = to_value(envelope)?;
        let credential = |prefix: &str, block: &Value| {
            field
                .strip_prefix(prefix)
                .and_then(|name| block.get(if name.is_empty() { "client_token" } else { name }).cloned())
        };
        let value = envelope
            .data
            .get(field)
            .cloned()
            .or_else(|| {
                let block = &envelope.wrap_info;
                field.strip_prefix("wrapping_").and_then(|name| {
                    let name = match name {
                        "token_ttl" => "ttl",
                        "token_creation_time" => "creation_time",
                        "token_creation_path" => "creation_path",
                        name => name,
                    };
                    block.get(name).cloned()
                })
            })
            .or_else(|| match field {
                "token" => envelope.auth.get("client_token").cloned(),
                "token_duration" => envelope.auth.get("lease_duration").cloned(),
                "token_renewable" => envelope.auth.get("renewable").cloned(),
                "token_accessor" => envelope.auth.get("accessor").cloned(),
                _ => credential("token_", &envelope.auth).or_else(|| envelope.auth.get(field).cloned()),
            })
            .or_else(|| rows.get(field).filter(|value| !value.is_null()).cloned())
            .ok_or_else(|| absent(field))?;
        self.bare(&value)
    }

    /// One value without decoration; a newline only where a person would miss it.
    fn bare(&self, value: &Value) -> Result<()> {
        match (self.format, value) {
            (Format::Json, value) => print(&json(value)?),
            (Format::Yaml, value) => print(&yaml::render(value)),
            (_, Value::String(text)) if io::stdout().is_terminal() => print(text),
            (_, Value::String(text)) => print_bytes(text.as_bytes()),
            (_, value) => print(&value.to_string()),
        }
    }

    fn warnings(&self, warnings: &Value) {
        for warning in warnings.as_array().into_iter().flatten() {
            self.remark(format!("warning: {}", table::cell(warning)));
        }
    }
}

/// Prints a text and a newline.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.trim_end_matches('\n').as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// The rows Vault's own command line shows of an envelope.
fn rows(envelope: &Envelope) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let Some(wrap) = envelope.wrap_info.as_object() {
        for (label, member) in [
            ("wrapping_token", "token"),
            ("wrapping_accessor", "accessor"),
            ("wrapping_token_ttl", "ttl"),
            ("wrapping_token_creation_time", "creation_time"),
            ("wrapping_token_creation_path", "creation_path"),
        ] {
            rows.push((label.to_owned(), table::labelled(member, wrap.get(member).unwrap_or(&Value::Null))));
        }
        return rows;
    }
    if let Some(auth) = envelope.auth.as_object() {
        for (label, member) in [
            ("token", "client_token"),
            ("token_accessor", "accessor"),
            ("token_duration", "lease_duration"),
            ("token_renewable", "renewable"),
            ("token_policies", "token_policies"),
            ("identity_policies", "identity_policies"),
            ("policies", "policies"),
        ] {
            let value = auth.get(member).unwrap_or(&Value::Null);
            let missing_list = member == "identity_policies" && value.is_null();
            let cell = if missing_list { "[]".to_owned() } else { table::labelled(member, value) };
            rows.push((label.to_owned(), cell));
        }
        for (name, value) in auth.get("metadata").and_then(Value::as_object).into_iter().flatten() {
            rows.push((format!("token_meta_{name}"), table::cell(value)));
        }
    }
    if !envelope.lease_id.is_empty() {
        rows.push(("lease_id".to_owned(), envelope.lease_id.clone()));
        rows.push(("lease_duration".to_owned(), table::duration(envelope.lease_duration)));
        rows.push(("lease_renewable".to_owned(), envelope.renewable.to_string()));
    }
    if let Some(data) = envelope.data.as_object() {
        rows.extend(table::sorted(data));
    }
    rows
}

fn absent(field: &str) -> Failure {
    Failure::local(format!("the answer has no member {field:?}"))
}

fn to_value(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Failure::local("the answer cannot be printed").because(error))
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::local("the answer cannot be printed").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_login_shows_the_token_before_the_rest() {
        let envelope: Envelope = serde_json::from_value(json!({
            "request_id": "r", "auth": {"client_token": "s.x", "lease_duration": 3600, "metadata": {"user": "u"}}
        }))
        .unwrap();
        let rows = rows(&envelope);
        assert_eq!(rows[0], ("token".to_owned(), "s.x".to_owned()));
        assert!(rows.contains(&("token_duration".to_owned(), "1h".to_owned())));
        assert!(rows.contains(&("token_meta_user".to_owned(), "u".to_owned())));
    }

    #[test]
    fn json_keeps_the_envelope_in_its_customary_order() {
        let envelope: Envelope = serde_json::from_value(json!({"data": {"b": 1}, "request_id": "r"})).unwrap();
        let text = json(&envelope).unwrap();
        assert!(text.find("request_id") < text.find("data") && !text.contains("wrap_info"), "{text}");
    }
}

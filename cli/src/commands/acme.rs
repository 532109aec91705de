//! `acme`: the accounts and orders of a mount's ACME server, and why a challenge failed; external account keys; certificates
//! to be replaced early.

use super::data::written;
use crate::{
    failure::Result,
    output::{Output, table::cell},
    remote::{Ask, Remote, Verb},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

/// Entries fetched in one request.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(crate) struct AcmeFlags {
    /// Mount of the certificates engine
    #[arg(long, global = true, value_name = "PATH", default_value = "pki")]
    mount: String,
    #[command(subcommand)]
    command: AcmeCommand,
}

#[derive(Debug, Subcommand)]
enum AcmeCommand {
    /// List accounts, or show one
    Accounts {
        /// Its id
        account: Option<String>,
        /// Change its status
        #[arg(long, requires = "account", value_parser = ["valid", "deactivated", "revoked"])]
        status: Option<String>,
    },
    /// List orders and why they failed, or show one with its challenges
    Orders {
        /// Orders of this account only
        account: Option<String>,
        /// Show this order
        order: Option<String>,
        /// Only orders with this status
        #[arg(long, value_parser = ["pending", "ready", "processing", "valid", "invalid"])]
        status: Option<String>,
    },
    /// Make, list and delete keys that bind new accounts to somebody you know
    #[command(subcommand)]
    Eab(EabCommand),
    /// Tell clients to replace certificates early (RFC 9773)
    #[command(subcommand)]
    Replace(ReplaceCommand),
}

#[derive(Debug, Subcommand)]
enum EabCommand {
    /// Make a key; it is shown once
    New {
        /// For the directory of this role
        #[arg(long)]
        role: Option<String>,
        /// For the directory of this issuer
        #[arg(long, value_name = "REF")]
        issuer: Option<String>,
        /// Keep the key when an account was made with it
        #[arg(long)]
        reusable: bool,
    },
    /// List keys that no account was made with yet
    List,
    /// Delete a key
    Delete {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum ReplaceCommand {
    /// Add a rule: certificates that match in everything stated are to be replaced at once
    Add(RuleFlags),
    /// List the rules
    List,
    /// Delete a rule
    Delete {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct RuleFlags {
    /// Certificates of this issuer, by id or name; "*" for every issuer
    #[arg(long, value_name = "REF")]
    issuer: Option<String>,
    /// Certificates of this role
    #[arg(long)]
    role: Option<String>,
    /// Serial numbers from this one on
    #[arg(long, value_name = "SERIAL")]
    serial_from: Option<String>,
    /// Serial numbers up to this one
    #[arg(long, value_name = "SERIAL")]
    serial_to: Option<String>,
    /// Page that tells people why
    #[arg(long, value_name = "URL")]
    explanation_url: Option<String>,
}

pub(crate) fn run(remote: &Remote, flags: &AcmeFlags, output: &Output) -> Result<()> {
    let mount = flags.mount.trim_matches('/');
    match &flags.command {
        AcmeCommand::Accounts { account: None, .. } => accounts(remote, mount, output),
        AcmeCommand::Accounts { account: Some(account), status: None } => {
            output.answer(&remote.read(&format!("{mount}/acme/accounts/{account}"))?)
        }
        AcmeCommand::Accounts { account: Some(account), status: Some(status) } => {
            output.answer(&remote.write(&format!("{mount}/acme/accounts/{account}"), json!({"status": status}))?)
        }
        AcmeCommand::Orders { account: Some(account), order: Some(order), .. } => {
            order_in_words(remote, mount, [account, order], output)
        }
        AcmeCommand::Orders { account, status, .. } => {
            orders(remote, mount, account.as_deref(), status.as_deref(), output)
        }
        AcmeCommand::Eab(command) => eab(remote, mount, command, output),
        AcmeCommand::Replace(command) => replace(remote, mount, command, output),
    }
}

/// Everything of a list, page by page: ids, and what there is to say of each.
fn listed(remote: &Remote, path: &str) -> Result<Vec<(String, Value)>> {
    let mut all: Vec<(String, Value)> = Vec::new();
    loop {
        let mut query = vec![("limit".to_owned(), PAGE.to_string())];
        query.extend(all.last().map(|(id, _)| ("after".to_owned(), id.clone())));
        let ask = Ask { query, ..Ask::new(Verb::List, path) };
        let answer = remote.attempt(&ask)?;
        if answer.is_absent() && answer.errors().is_empty() {
            return Ok(all);
        }
        let answer = answer.successful(&ask, remote.address())?;
        let keys = answer.data().get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
        let info = answer.data().get("key_info").cloned().unwrap_or_default();
        let page = keys.iter().filter_map(Value::as_str);
        all.extend(page.map(|id| (id.to_owned(), info.get(id).cloned().unwrap_or_default())));
        if keys.len() < PAGE {
            return Ok(all);
        }
    }
}

fn text(object: &Value, member: &str) -> String {
    match object.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(parts)) => parts.iter().map(cell).collect::<Vec<_>>().join(", "),
        Some(Value::String(text)) => text.clone(),
        Some(other) => cell(other),
    }
}

/// An entry of a list with its id in it, for machines.
fn with_id(name: &str, id: &str, value: &Value) -> Value {
    let mut object = Map::from_iter([(name.to_owned(), json!(id))]);
    object.extend(value.as_object().cloned().unwrap_or_default());
    Value::Object(object)
}

fn accounts(remote: &Remote, mount: &str, output: &Output) -> Result<()> {
    let found = listed(remote, &format!("{mount}/acme/accounts"))?;
    let row = |(id, account): &(String, Value)| {
        let members = ["status", "contact", "acme_directory", "key_type", "created_on"];
        let mut row = vec![id.clone()];
        row.extend(members.map(|member| text(account, member)));
        row
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let machine: Vec<_> = found.iter().map(|(id, account)| with_id("account", id, account)).collect();
    output.rows(&["Account", "Status", "Contact", "Directory", "Key", "Since"], &rows, &json!({"accounts": machine}))
}

fn orders(remote: &Remote, mount: &str, account: Option<&str>, status: Option<&str>, output: &Output) -> Result<()> {
    let owners = match account {
        Some(account) => vec![account.to_owned()],
        None => listed(remote, &format!("{mount}/acme/accounts"))?.into_iter().map(|(id, _)| id).collect(),
    };
    let (mut rows, mut machine) = (Vec::new(), Vec::new());
    for owner in &owners {
        for (id, order) in listed(remote, &format!("{mount}/acme/orders/{owner}"))? {
            if status.is_some_and(|status| text(&order, "status") != status) {
                continue;
            }
            let mut reasons = Vec::new();
            if text(&order, "status") == "invalid" {
                let whole = remote.read(&format!("{mount}/acme/orders/{owner}/{id}"))?;
                reasons.extend(challenges(whole.data()).into_iter().map(|challenge| challenge.reason));
            }
            reasons.retain(|reason| !reason.is_empty());
            // The order's own says the same as the challenges', where there are any.
            if reasons.is_empty() {
                reasons.push(problem(order.get("error")));
            }
            let why = reasons.join("; ");
            let mut value = with_id("order", &id, &order);
            if let Some(object) = value.as_object_mut() {
                object.insert("account".to_owned(), json!(owner));
                object.insert("reason".to_owned(), json!(why));
            }
            let [state, names, created, serial] =
                ["status", "identifiers", "created_on", "serial_number"].map(|member| text(&order, member));
            rows.push(vec![id, owner.clone(), state, names, created, serial, why]);
            machine.push(value);
        }
    }
    let headings = ["Order", "Account", "Status", "Names", "Created", "Serial Number", "Reason"];
    output.rows(&headings, &rows, &json!({"orders": machine}))
}

/// What became of one challenge.
struct Challenge {
    identifier: String,
    authorization: String,
    kind: String,
    status: String,
    reason: String,
}

/// The challenges of an order that were tried; an authorization where none was has a line of its own.
fn challenges(order: &Value) -> Vec<Challenge> {
    let mut found = Vec::new();
    for authorization in order.get("authorizations").and_then(Value::as_array).into_iter().flatten() {
        let line = |kind: String, status: String, reason: String| Challenge {
            identifier: text(authorization, "identifier"),
            authorization: text(authorization, "status"),
            kind,
            status,
            reason,
        };
        let tried = authorization.get("challenges").and_then(Value::as_array).cloned().unwrap_or_default();
        if tried.is_empty() {
            found.push(line(String::new(), "not tried".to_owned(), String::new()));
        }
        for challenge in tried {
            found.push(line(text(&challenge, "type"), text(&challenge, "status"), problem(challenge.get("error"))));
        }
    }
    found
}

/// A problem document in a sentence: what kind of thing is wrong, then the detail.
fn problem(document: Option<&Value>) -> String {
    let Some(document) = document.filter(|document| document.is_object()) else { return String::new() };
    let (kind, detail) = (text(document, "type"), text(document, "detail"));
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let words = match kind {
        "connection" => "could not be reached",
        "dns" => "the DNS gives no usable answer",
        "tls" => "TLS failed",
        "incorrectResponse" => "answered with something else",
        "unauthorized" => "control was not shown",
        "caa" => "CAA records forbid it",
        "rejectedIdentifier" => "the name is refused",
        "serverInternal" => "a fault on our side",
        other => other,
    };
    let parts = document.get("subproblems").and_then(Value::as_array).cloned().unwrap_or_default();
    let parts: String = parts.iter().map(|part| format!("; {}", problem(Some(part)))).collect();
    format!("{words}: {detail}{parts}")
}

fn order_in_words(remote: &Remote, mount: &str, [account, order]: [&str; 2], output: &Output) -> Result<()> {
    let answer = remote.read(&format!("{mount}/acme/orders/{account}/{order}"))?;
    if !output.is_table() || output.wants_field() {
        return output.answer(&answer);
    }
    let data = answer.data();
    let members =
        ["status", "identifiers", "acme_directory", "profile", "created_on", "expires", "serial_number", "replaces"];
    let mut pairs: Vec<(&str, String)> = members.map(|member| (member, text(data, member))).to_vec();
    pairs.retain(|(_, text)| !text.is_empty());
    let reason = problem(data.get("error"));
    if !reason.is_empty() {
        pairs.push(("reason", reason));
    }
    output.pairs(&pairs, data)?;
    let row = |line: Challenge| vec![line.identifier, line.authorization, line.kind, line.status, line.reason];
    let rows: Vec<_> = challenges(data).into_iter().map(row).collect();
    output.rows(&["Name", "Authorization", "Challenge", "Status", "Reason"], &rows, data)
}

fn eab(remote: &Remote, mount: &str, command: &EabCommand, output: &Output) -> Result<()> {
    match command {
        EabCommand::New { role, issuer, reusable } => {
            let mut path = mount.to_owned();
            for (kind, name) in [("issuer", issuer), ("roles", role)] {
                if let Some(name) = name {
                    path = format!("{path}/{kind}/{name}");
                }
            }
            output.answer(&remote.write(&format!("{path}/acme/new-eab"), json!({"reusable": reusable}))?)
        }
        EabCommand::List => {
            let found = listed(remote, &format!("{mount}/eab"))?;
            let row = |(id, key): &(String, Value)| {
                let reusable = if key.get("reusable") == Some(&json!(true)) { "yes" } else { "no" };
                vec![id.clone(), text(key, "acme_directory"), reusable.to_owned(), text(key, "created_on")]
            };
            let rows: Vec<_> = found.iter().map(row).collect();
            let machine: Vec<_> = found.iter().map(|(id, key)| with_id("id", id, key)).collect();
            output.rows(&["Id", "Directory", "Reusable", "Created"], &rows, &json!({"keys": machine}))
        }
        EabCommand::Delete { id } => written(
            &remote.delete(&format!("{mount}/eab/{id}"))?,
            "Success! The key is deleted, if it existed.",
            output,
        ),
    }
}

fn replace(remote: &Remote, mount: &str, command: &ReplaceCommand, output: &Output) -> Result<()> {
    let path = format!("{mount}/acme/replacements");
    match command {
        ReplaceCommand::Add(flags) => {
            let stated = [
                ("issuer", &flags.issuer),
                ("role", &flags.role),
                ("serial_from", &flags.serial_from),
                ("serial_to", &flags.serial_to),
                ("explanation_url", &flags.explanation_url),
            ];
            let stated = stated.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))));
            output.answer(&remote.write(&path, Value::Object(stated.collect()))?)
        }
        ReplaceCommand::List => {
            let found = listed(remote, &path)?;
            let members = ["issuer", "role", "serial_from", "serial_to", "since", "explanation_url"];
            let row = |(id, rule): &(String, Value)| {
                let mut row = vec![id.clone()];
                row.extend(members.map(|member| text(rule, member)));
                row
            };
            let rows: Vec<_> = found.iter().map(row).collect();
            let machine: Vec<_> = found.iter().map(|(id, rule)| with_id("id", id, rule)).collect();
            let headings = ["Id", "Issuer", "Role", "Serial From", "Serial To", "Since", "Explanation"];
            output.rows(&headings, &rows, &json!({"rules": machine}))
        }
        ReplaceCommand::Delete { id } => {
            written(&remote.delete(&format!("{path}/{id}"))?, "Success! The rule is deleted, if it existed.", output)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_words() {
        let document = json!({
            "type": "urn:ietf:params:acme:error:connection",
            "detail": "cannot connect to 192.0.2.1:80: refused",
            "status": 400
        });
        assert_eq!(problem(Some(&document)), "could not be reached: cannot connect to 192.0.2.1:80: refused");
        assert_eq!(problem(None), "");
        assert_eq!(problem(Some(&Value::Null)), "");
        let compound = json!({"type": "x:compound", "detail": "two names", "subproblems": [document]});
        assert!(problem(Some(&compound)).contains("two names; could not be reached"));
    }

    #[test]
    fn challenges_keep_the_reason_of_each_name() {
        let order = json!({"authorizations": [
            {"identifier": "a.test", "status": "invalid", "challenges": [
                {"type": "http-01", "status": "invalid", "error": {"type": "x:tls", "detail": "no"}}
            ]},
            {"identifier": "b.test", "status": "pending", "challenges": []}
        ]});
        let lines: Vec<_> =
            challenges(&order).into_iter().map(|line| (line.identifier, line.status, line.reason)).collect();
        let line = |name: &str, status: &str, reason: &str| (name.to_owned(), status.to_owned(), reason.to_owned());
        assert_eq!(lines, [line("a.test", "invalid", "TLS failed: no"), line("b.test", "not tried", "")]);
    }
}

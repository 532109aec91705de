//! `ca`: what a mount of certificates has issued, what ends soon, and how its issuers hang together; in `ceremony.rs`,
//! roots and intermediates from one reviewed file.

mod ceremony;

use crate::{
    failure::{Failure, Result},
    output::{Output, table::cell},
    remote::{Answer, Ask, Remote, Verb},
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::{fmt::Write as _, process::ExitCode};

/// Exit codes of `ca expiring`.
const SOME_EXPIRE: u8 = 3;
const SOME_EXPIRE_AT_ONCE: u8 = 4;

/// Certificates fetched in one request where all are wanted.
const PAGE: u64 = 1000;

#[derive(Debug, Args)]
pub(crate) struct CaFlags {
    /// Mount of the certificates engine
    #[arg(long, global = true, value_name = "PATH", default_value = "pki")]
    mount: String,
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// List and search certificates, the one that ends soonest first
    List(Box<ListFlags>),
    /// List valid certificates that end soon (exit code 0 none, 3 some, 4 some at once)
    Expiring(ExpiringFlags),
    /// Show the issuers and who signed whom
    Tree,
    /// Show one certificate
    Show {
        /// Its serial number
        serial: String,
    },
    /// Make roots, intermediates and cross-certificates as one reviewed file says, with the approval of several people
    #[command(subcommand)]
    Ceremony(ceremony::CeremonyCommand),
}

#[derive(Debug, Args)]
struct ListFlags {
    /// Exact common name
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    /// A subject alternative name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Issuer, by id or name
    #[arg(long, value_name = "REF")]
    issuer: Option<String>,
    /// Role it was issued under
    #[arg(long)]
    role: Option<String>,
    /// Who asked for it
    #[arg(long, value_name = "NAME")]
    requester: Option<String>,
    /// Type of its key, such as ec-p256
    #[arg(long, value_name = "TYPE")]
    key_type: Option<String>,
    /// valid, expired, revoked, intended or any
    #[arg(long, default_value = "any", value_parser = ["valid", "expired", "revoked", "intended", "any"])]
    status: String,
    /// Ends after this moment (RFC 3339), or so long from now
    #[arg(long, value_name = "WHEN")]
    expires_after: Option<String>,
    /// Ends before this moment (RFC 3339), or so long from now
    #[arg(long, value_name = "WHEN")]
    expires_before: Option<String>,
    /// What to sort by
    #[arg(long, default_value = "expiry", value_name = "COLUMN",
        value_parser = ["expiry", "created", "common_name", "issuer", "role", "requester", "key_type", "status"])]
    sort: String,
    /// Largest first
    #[arg(long)]
    descending: bool,
    /// Certificates on a page
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    limit: u64,
    /// Start behind a page: the text its last line names
    #[arg(long, value_name = "TEXT")]
    after: Option<String>,
    /// All pages
    #[arg(long, conflicts_with = "after")]
    all: bool,
}

#[derive(Debug, Args)]
struct ExpiringFlags {
    /// How far to look ahead
    #[arg(long, default_value = "30d", value_name = "DURATION")]
    within: String,
    /// What counts as at once
    #[arg(long, default_value = "7d", value_name = "DURATION")]
    critical: String,
}

/// A page of `certs/search`.
struct Page {
    certificates: Vec<Value>,
    next: String,
}

pub(crate) fn run(remote: &Remote, flags: &CaFlags, output: &Output) -> Result<ExitCode> {
    let mount = flags.mount.trim_matches('/');
    match &flags.command {
        CaCommand::List(flags) => list(remote, mount, flags, output)?,
        CaCommand::Expiring(flags) => return expiring(remote, mount, flags, output),
        CaCommand::Tree => tree(remote, mount, output)?,
        CaCommand::Show { serial } => show(remote, mount, serial, output)?,
        CaCommand::Ceremony(command) => return ceremony::run(remote, command, output),
    }
    Ok(ExitCode::SUCCESS)
}

impl ListFlags {
    fn query(&self) -> Vec<(String, String)> {
        let texts = [
            ("common_name", self.common_name.as_deref()),
            ("name", self.name.as_deref()),
            ("issuer", self.issuer.as_deref()),
            ("role", self.role.as_deref()),
            ("requester", self.requester.as_deref()),
            ("key_type", self.key_type.as_deref()),
            ("status", Some(self.status.as_str())),
            ("expires_after", self.expires_after.as_deref()),
            ("expires_before", self.expires_before.as_deref()),
            ("sort", Some(self.sort.as_str())),
            ("descending", self.descending.then_some("true")),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.to_owned()))).collect()
    }
}

fn list(remote: &Remote, mount: &str, flags: &ListFlags, output: &Output) -> Result<()> {
    let mut query = flags.query();
    query.push(("limit".to_owned(), if flags.all { PAGE } else { flags.limit }.to_string()));
    let mut found = search(remote, mount, with_after(&query, flags.after.as_deref()))?;
    while flags.all && !found.next.is_empty() {
        let page = search(remote, mount, with_after(&query, Some(&found.next)))?;
        found.certificates.extend(page.certificates);
        found.next = page.next;
    }
    print(&found, output)
}

fn with_after(query: &[(String, String)], after: Option<&str>) -> Vec<(String, String)> {
    let after = after.map(|after| ("after".to_owned(), after.to_owned()));
    query.iter().cloned().chain(after).collect()
}

fn search(remote: &Remote, mount: &str, query: Vec<(String, String)>) -> Result<Page> {
    let path = format!("{mount}/certs/search");
    let ask = Ask { query, ..Ask::new(Verb::Read, &path) };
    let answer = remote.attempt(&ask)?;
    if answer.is_absent() && answer.errors().is_empty() {
        return Ok(Page { certificates: Vec::new(), next: String::new() });
    }
    Page::of(&answer.successful(&ask, remote.address())?)
}

impl Page {
    fn of(answer: &Answer) -> Result<Self> {
        let data = answer.data();
        let strange = || Failure::remote("the server's answer has no certificates in it");
        let keys = data.get("keys").and_then(Value::as_array).ok_or_else(strange)?;
        let details = data.get("key_info").and_then(Value::as_object).ok_or_else(strange)?;
        let certificates = keys.iter().filter_map(Value::as_str).map(|serial| {
            let mut certificate = Map::from_iter([("serial_number".to_owned(), json!(serial))]);
            certificate.extend(details.get(serial).and_then(Value::as_object).cloned().unwrap_or_default());
            Value::Object(certificate)
        });
        let next = data.get("next").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { certificates: certificates.collect(), next })
    }
}

fn text(object: &Value, member: &str) -> String {
    object.get(member).map(cell).unwrap_or_default()
}

fn print(page: &Page, output: &Output) -> Result<()> {
    let row = |certificate: &Value| {
        let issuer = match text(certificate, "issuer_name") {
            name if name.is_empty() || name == "n/a" => text(certificate, "issuer_id"),
            name => name,
        };
        vec![
            text(certificate, "serial_number"),
            text(certificate, "common_name"),
            text(certificate, "status"),
            text(certificate, "not_after"),
            issuer,
            text(certificate, "role"),
            text(certificate, "requester"),
            text(certificate, "key_type"),
        ]
    };
    let rows: Vec<Vec<String>> = page.certificates.iter().map(row).collect();
    let headings = ["Serial Number", "Common Name", "Status", "Ends", "Issuer", "Role", "Requester", "Key"];
    output.rows(&headings, &rows, &json!({"certificates": page.certificates, "next": page.next}))?;
    if output.is_table() && !page.next.is_empty() {
        output.remark(format!("there are more: --after {}", page.next));
    }
    Ok(())
}

fn expiring(remote: &Remote, mount: &str, flags: &ExpiringFlags, output: &Output) -> Result<ExitCode> {
    let query = |before: &str, limit: u64| {
        let pairs = [("status", "valid"), ("sort", "expiry"), ("expires_before", before)];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.into_iter().chain([("limit".to_owned(), limit.to_string())]).collect::<Vec<_>>()
    };
    let wanted = query(&flags.within, PAGE);
    let mut found = search(remote, mount, wanted.clone())?;
    while !found.next.is_empty() {
        let page = search(remote, mount, with_after(&wanted, Some(&found.next)))?;
        found.certificates.extend(page.certificates);
        found.next = page.next;
    }
    let at_once = search(remote, mount, query(&flags.critical, 1))?;
    print(&found, output)?;
    Ok(match (found.certificates.is_empty(), at_once.certificates.is_empty()) {
        (_, false) => ExitCode::from(SOME_EXPIRE_AT_ONCE),
        (false, true) => ExitCode::from(SOME_EXPIRE),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// An issuer as the tree shows it.
struct Node {
    value: Value,
    certificate: String,
    parent: Option<String>,
}

fn tree(remote: &Remote, mount: &str, output: &Output) -> Result<()> {
    let list = remote.list(&format!("{mount}/issuers"))?;
    let keys = list.data().get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut nodes = Vec::new();
    for id in keys.iter().filter_map(Value::as_str) {
        let answer = remote.read(&format!("{mount}/issuer/{id}"))?;
        let info = list.data().get("key_info").and_then(|info| info.get(id)).cloned().unwrap_or_default();
        nodes.push(Node::of(id, answer.data(), &info));
    }
    let roots = nodes.iter().filter(|node| !nodes.iter().any(|other| node.is_below(other)));
    let (mut rows, mut machine) = (Vec::new(), Vec::new());
    for root in roots {
        branch(&nodes, root, 0, &mut rows);
    }
    for node in &nodes {
        let parent =
            nodes.iter().find(|other| node.is_below(other)).and_then(|other| other.value.get("issuer_id").cloned());
        let mut value = node.value.clone();
        if let Some(object) = value.as_object_mut() {
            object.insert("parent".to_owned(), parent.unwrap_or(Value::Null));
        }
        machine.push(value);
    }
    output.rows(&["Issuer", "Id", "Default", "Key", "Usage"], &rows, &json!({"issuers": machine}))
}

impl Node {
    fn of(id: &str, data: &Value, info: &Value) -> Self {
        let member = |name: &str| data.get(name).cloned().unwrap_or_default();
        let chain = data.get("ca_chain").and_then(Value::as_array).cloned().unwrap_or_default();
        Self {
            value: json!({
                "issuer_id": id,
                "issuer_name": member("issuer_name"),
                "is_default": info.get("is_default").cloned().unwrap_or(json!(false)),
                "has_key": data.get("key_id").is_some_and(|key| !text(data, "key_id").is_empty() && key != ""),
                "usage": member("usage"),
                "revoked": member("revoked"),
            }),
            certificate: text(data, "certificate").trim().to_owned(),
            parent: chain.get(1).map(|parent| cell(parent).trim().to_owned()),
        }
    }

    fn is_below(&self, other: &Self) -> bool {
        self.parent.as_ref() == Some(&other.certificate)
    }

    fn name(&self) -> String {
        match text(&self.value, "issuer_name") {
            name if name.is_empty() || name == "n/a" => "(unnamed)".to_owned(),
            name => name,
        }
    }
}

/// A node and what is below it. What is below itself, as no chain should be, is shown once.
fn branch(nodes: &[Node], node: &Node, depth: usize, rows: &mut Vec<Vec<String>>) {
    let mut name = String::new();
    if depth > 0 {
        let _ = write!(name, "{}└─ ", "   ".repeat(depth - 1));
    }
    name.push_str(&node.name());
    if node.value.get("revoked") == Some(&json!(true)) {
        name.push_str(" (revoked)");
    }
    let yes = |member: &str| if node.value.get(member) == Some(&json!(true)) { "yes" } else { "no" }.to_owned();
    rows.push(vec![
        name,
        text(&node.value, "issuer_id"),
        yes("is_default"),
        yes("has_key"),
        text(&node.value, "usage"),
    ]);
    if depth > nodes.len() {
        return;
    }
    for child in nodes.iter().filter(|child| child.is_below(node)) {
        branch(nodes, child, depth + 1, rows);
    }
}

fn show(remote: &Remote, mount: &str, serial: &str, output: &Output) -> Result<()> {
    let found = search(remote, mount, vec![("serial_number".to_owned(), serial.to_owned())])?;
    let Some(certificate) = found.certificates.first() else {
        return Err(Failure::remote(format!("{mount} has no certificate with serial number {serial}"))
            .fix(format!("chancery ca list --mount {mount} shows what there is")));
    };
    let mut object = certificate.as_object().cloned().unwrap_or_default();
    let path = format!("{mount}/cert/{}", text(certificate, "serial_number"));
    let answer = remote.read(&path)?;
    object.insert("certificate".to_owned(), answer.data().get("certificate").cloned().unwrap_or_default());
    output.object(&object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, certificate: &str, parent: Option<&str>) -> Node {
        let chain: Vec<&str> = [Some(certificate), parent].into_iter().flatten().collect();
        let data = json!({"issuer_name": id, "certificate": certificate, "ca_chain": chain, "key_id": "k"});
        Node::of(id, &data, &json!({"is_default": id == "root"}))
    }

    #[test]
    fn a_tree_hangs_children_below_who_signed_them() {
        let nodes = [node("leaf", "C", Some("B")), node("root", "A", None), node("middle", "B", Some("A"))];
        let mut rows = Vec::new();
        branch(&nodes, &nodes[1], 0, &mut rows);
        let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, ["root", "└─ middle", "   └─ leaf"]);
        assert_eq!((rows[0][2].as_str(), rows[1][2].as_str()), ("yes", "no"));
    }

    #[test]
    fn only_what_was_given_is_asked_for() {
        let flags = ListFlags {
            common_name: Some("a".to_owned()),
            name: None,
            issuer: None,
            role: None,
            requester: None,
            key_type: None,
            status: "valid".to_owned(),
            expires_after: None,
            expires_before: None,
            sort: "expiry".to_owned(),
            descending: false,
            limit: 1,
            after: None,
            all: false,
        };
        let names: Vec<String> = flags.query().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["common_name", "status", "sort"]);
    }
}

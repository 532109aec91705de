//! One policy document: which members it may have, and what a rule is once read.

use crate::{
    operation::Capability,
    policy::{
        hcl::{self, Item, Node},
        parameters::ParameterRules,
        pattern, template,
    },
    wire::parse_duration,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Longest document accepted, in bytes.
const MAX_BYTES: usize = 1 << 20;
const RULE_MEMBERS: [&str; 12] = [
    "comment",
    "policy",
    "capabilities",
    "allowed_parameters",
    "denied_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
    "mfa_methods",
    "control_group",
    "pagination_limit",
    "expiration",
];

/// A named policy, parsed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Lower-case name.
    pub name: String,
    /// The text as it was written.
    pub source: String,
    /// One rule a path, in the order they were written.
    pub rules: Vec<Rule>,
}

/// What a policy says of one path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Path with `+` and a trailing `*` where written; may hold `{{templates}}`.
    pub path: String,
    /// Granted capabilities; where `deny` is among them it stands alone.
    pub capabilities: Vec<Capability>,
    /// Rules on parameters.
    pub parameters: ParameterRules,
    /// `min_wrapping_ttl` in seconds, 0 for none.
    pub min_wrapping_ttl: u64,
    /// `max_wrapping_ttl` in seconds, 0 for none.
    pub max_wrapping_ttl: u64,
    /// From when on the rule is void (OpenBao).
    pub expiration: Option<Timestamp>,
}

/// Why a document is refused. The texts are Vault's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not HCL and not JSON, or an unknown member.
    #[error("failed to parse policy: {0}")]
    Syntax(String),
}

impl Policy {
    /// Parses a document.
    ///
    /// # Errors
    /// [`PolicyError`] with the text Vault gives.
    pub fn parse(name: &str, source: &str) -> Result<Self, PolicyError> {
        if source.len() > MAX_BYTES {
            return Err(PolicyError::Syntax("document is too long".to_owned()));
        }
        let items = hcl::parse(source).map_err(PolicyError::Syntax)?;
        check_members(&items, &["name", "path"]).map_err(PolicyError::Syntax)?;
        let mut rules = Vec::new();
        for item in items.iter().filter(|item| item.keys.first().is_some_and(|key| key == "path")) {
            read_paths(item, &mut rules).map_err(PolicyError::Syntax)?;
        }
        Ok(Self { name: name.to_owned(), source: source.to_owned(), rules })
    }
}

/// `path "a" { … }`, and JSON's `"path": {"a": {…}}` and `"path": [{"a": {…}}]`.
fn read_paths(item: &Item, rules: &mut Vec<Rule>) -> Result<(), String> {
    match (item.keys.as_slice(), &item.value) {
        ([_, path], Node::Object(members)) => {
            rules.push(read_rule(path, members)?);
            Ok(())
        }
        ([_], value) => read_path_map(value, rules),
        _ => Err(format!("path {:?}: expected one label", item.keys.get(1).map_or("path", String::as_str))),
    }
}

fn read_path_map(value: &Node, rules: &mut Vec<Rule>) -> Result<(), String> {
    match value {
        Node::Object(paths) => {
            for path in paths {
                let ([name], Node::Object(members)) = (path.keys.as_slice(), &path.value) else {
                    let name = path.keys.first().map_or("path", String::as_str);
                    return Err(format!("path {name:?}: cannot check HCL keys of type *ast.LiteralType"));
                };
                rules.push(read_rule(name, members)?);
            }
            Ok(())
        }
        Node::List(maps) if maps.iter().all(|map| matches!(map, Node::Object(_))) => {
            maps.iter().try_for_each(|map| read_path_map(map, rules))
        }
        _ => Err("path \"path\": cannot check HCL keys of type *ast.LiteralType".to_owned()),
    }
}

fn check_members(items: &[Item], known: &[&str]) -> Result<(), String> {
    let unknown: Vec<String> = items
        .iter()
        .filter_map(|item| Some((item.keys.first()?, item.line)))
        .filter(|(key, _)| !known.contains(&key.as_str()))
        .map(|(key, line)| format!("\t* invalid key {key:?} on line {line}\n"))
        .collect();
    match unknown.len() {
        0 => Ok(()),
        1 => Err(format!("1 error occurred:\n{}\n", unknown.concat())),
        several => Err(format!("{several} errors occurred:\n{}\n", unknown.concat())),
    }
}

fn read_rule(path: &str, members: &[Item]) -> Result<Rule, String> {
    let within = |text: String| format!("path {path:?}: {text}");
    let twice = |text: String| format!("path {path:?}: path {path:?}: {text}");
    check_members(members, &RULE_MEMBERS).map_err(within)?;
    let mut rule = Rule { path: path.trim_start_matches('/').to_owned(), ..Rule::default() };
    template::check(&rule.path).map_err(|text| within(format!("failed to validate policy templating: {text}")))?;
    pattern::check(&rule.path).map_err(|text| twice(text.to_owned()))?;
    let mut capabilities = Vec::new();
    for member in members {
        match member.keys.first().map_or("", String::as_str) {
            "policy" => capabilities.extend(shorthand(&member.value).map_err(twice)?),
            "capabilities" => {
                for word in texts(member).map_err(twice)? {
                    capabilities.push(capability(&word).ok_or_else(|| twice(format!("invalid capability {word:?}")))?);
                }
            }
            "allowed_parameters" => rule.parameters.allow(&parameters(member).map_err(twice)?),
            "denied_parameters" => rule.parameters.deny(&parameters(member).map_err(twice)?),
            "required_parameters" => rule.parameters.require(&texts(member).map_err(twice)?),
            "min_wrapping_ttl" => rule.min_wrapping_ttl = seconds(member).map_err(within)?,
            "max_wrapping_ttl" => rule.max_wrapping_ttl = seconds(member).map_err(within)?,
            "expiration" => rule.expiration = Some(moment(&member.value).map_err(twice)?),
            "pagination_limit" => check_integer(&member.value).map_err(twice)?,
            "mfa_methods" => drop(texts(member).map_err(twice)?),
            _ => {}
        }
    }
    if rule.max_wrapping_ttl != 0 && rule.max_wrapping_ttl < rule.min_wrapping_ttl {
        return Err(within("max_wrapping_ttl cannot be less than min_wrapping_ttl".to_owned()));
    }
    if capabilities.contains(&Capability::Deny) {
        capabilities = vec![Capability::Deny];
        rule.parameters = ParameterRules::default();
    }
    capabilities.sort_unstable();
    capabilities.dedup();
    rule.capabilities = capabilities;
    Ok(rule)
}

/// The old `policy = "read"` (vault-api §4.3).
fn shorthand(value: &Node) -> Result<Vec<Capability>, String> {
    use Capability::{Create, Delete, Deny, List, Patch, Read, Sudo, Update};
    let Node::Text(word) = value else { return Err("invalid policy".to_owned()) };
    Ok(match word.as_str() {
        "" => vec![],
        "deny" => vec![Deny],
        "read" => vec![Read, List],
        "write" => vec![Create, Read, Update, Delete, List, Patch],
        "sudo" => vec![Create, Read, Update, Delete, List, Patch, Sudo],
        _ => return Err(format!("invalid policy {word:?}")),
    })
}

fn capability(word: &str) -> Option<Capability> {
    use Capability::{Create, Delete, Deny, List, Patch, Read, Recover, Scan, Subscribe, Sudo, Update};
    [Deny, Create, Read, Update, Delete, List, Sudo, Patch, Scan, Subscribe, Recover]
        .into_iter()
        .find(|known| known.as_str() == word)
}

fn texts(member: &Item) -> Result<Vec<String>, String> {
    scalars(member)?
        .into_iter()
        .map(|value| value.as_str().map(str::to_owned).ok_or_else(|| not_a_list(member)))
        .collect()
}

fn scalars(member: &Item) -> Result<Vec<serde_json::Value>, String> {
    let Node::List(items) = &member.value else { return Err(not_a_list(member)) };
    items
        .iter()
        .map(|item| match item {
            Node::Text(text) => Ok(serde_json::Value::from(text.as_str())),
            Node::Flag(flag) => Ok(serde_json::Value::from(*flag)),
            Node::Number(number) => serde_json::from_str(number).map_err(|_| not_a_list(member)),
            Node::Null => Ok(serde_json::Value::Null),
            Node::List(_) | Node::Object(_) => Err(not_a_list(member)),
        })
        .collect()
}

fn not_a_list(member: &Item) -> String {
    let (line, column) = member.place;
    format!("At {line}:{column}: unknown slice type: *ast.LiteralType")
}

/// `{ "name" = ["value"] }`, also written as a block; keys in any case.
fn parameters(member: &Item) -> Result<BTreeMap<String, Vec<serde_json::Value>>, String> {
    let Node::Object(items) = &member.value else { return Err(not_a_list(member)) };
    let mut map = BTreeMap::new();
    for item in items {
        let [name] = item.keys.as_slice() else { return Err(not_a_list(item)) };
        map.insert(name.to_lowercase(), scalars(item)?);
    }
    Ok(map)
}

fn seconds(member: &Item) -> Result<u64, String> {
    let name = member.keys.first().map_or("", String::as_str);
    let parsed = match &member.value {
        Node::Text(text) => {
            parse_duration(text).map_err(|_| format!("error parsing {name}: time: invalid duration {text:?}"))?
        }
        Node::Number(number) => {
            number.parse().map_err(|_| format!("error parsing {name}: time: invalid duration {number:?}"))?
        }
        _ => return Err(format!("error parsing {name}: not a duration")),
    };
    Ok(u64::try_from(parsed).unwrap_or(0))
}

fn moment(value: &Node) -> Result<Timestamp, String> {
    let invalid = || "invalid expiration time: could not parse string as date and time".to_owned();
    match value {
        Node::Text(text) => text.parse().map_err(|_| invalid()),
        Node::Number(number) => {
            number.parse().ok().and_then(|second| Timestamp::from_second(second).ok()).ok_or_else(invalid)
        }
        _ => Err(invalid()),
    }
}

fn check_integer(value: &Node) -> Result<(), String> {
    match value {
        Node::Number(_) => Ok(()),
        Node::Text(text) if text.parse::<i64>().is_ok() => Ok(()),
        Node::Text(text) => Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
        _ => Err("expected an integer".to_owned()),
    }
}

#[cfg(test)]
mod tests;

//! `capabilities`, `capabilities-self`, `capabilities-accessor`, `internal/ui/resultant-acl`.

use super::System;
use chancery_engine::{
    Call, Capability, Fault, Response, Route, SecretString, Verb,
    policy::{Acl, Policy},
    wire::{CommaList, Text},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct CapabilitiesRequest {
    token: Option<SecretString>,
    accessor: Text,
    paths: CommaList,
    /// One path; the answer repeats its capabilities under `capabilities`.
    path: CommaList,
}

#[derive(Serialize)]
struct ResultantAcl {
    #[serde(skip_serializing_if = "Option::is_none")]
    exact_paths: Option<PathRules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    glob_paths: Option<PathRules>,
    root: bool,
}

type PathRules = BTreeMap<String, PathRule>;

#[derive(Serialize)]
struct PathRule {
    capabilities: BTreeSet<&'static str>,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("capabilities", "What a token may do at paths.").on(Verb::Write, of_token),
        Route::at("capabilities-self", "What the calling token may do at paths.").on(Verb::Write, of_caller),
        Route::at("capabilities-accessor", "What the token of an accessor may do at paths.")
            .on(Verb::Write, of_accessor),
        Route::at("internal/ui/resultant-acl", "All rules of the calling token.").on(Verb::Read, resultant),
    ]
}

async fn of_caller(_system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: CapabilitiesRequest = call.parse()?;
    answer(&request, &call.identity()?.acl)
}

async fn of_token(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: CapabilitiesRequest = call.parse()?;
    let Some(token) = request.token.as_ref().filter(|token| !token.expose().is_empty()) else {
        return Err(Fault::caller("1 error occurred:\n\t* no token found\n\n"));
    };
    let names = system.core.tokens.policies_of(token).await?;
    let names = names.ok_or_else(|| Fault::caller("1 error occurred:\n\t* invalid token\n\n"))?;
    answer(&request, &*system.core.policies.acl_for(&names).await?)
}

async fn of_accessor(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: CapabilitiesRequest = call.parse()?;
    if request.accessor.0.is_empty() {
        return Err(Fault::caller("missing accessor"));
    }
    let names = system.core.tokens.policies_of_accessor(&request.accessor.0).await?;
    let names = names.ok_or_else(|| Fault::caller("1 error occurred:\n\t* invalid accessor\n\n"))?;
    answer(&request, &*system.core.policies.acl_for(&names).await?)
}

fn answer(request: &CapabilitiesRequest, acl: &Acl) -> Result<Response, Fault> {
    let mut paths: Vec<&str> = request.paths.0.iter().chain(&request.path.0).map(String::as_str).collect();
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() {
        return Err(Fault::caller("paths must be supplied"));
    }
    let mut capabilities: BTreeMap<&str, Vec<&'static str>> =
        paths.iter().map(|path| (*path, acl.capabilities(path))).collect();
    if let [only] = paths.as_slice() {
        capabilities.insert("capabilities", acl.capabilities(only));
    }
    Response::data(&capabilities)
}

async fn resultant(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let identity = call.identity()?;
    if identity.is_root() {
        return Response::data(&ResultantAcl { exact_paths: None, glob_paths: None, root: true });
    }
    let mut exact = PathRules::new();
    let mut glob = PathRules::new();
    for name in identity.policies.iter() {
        let Some(document) = system.core.policies.read(name).await? else { continue };
        // What is stored was parsed before; a document of an older release that no longer parses grants nothing.
        let Ok(policy) = Policy::parse(name, &document.source) else { continue };
        for rule in policy.rules.iter().filter(|rule| !rule.path.contains("{{")) {
            let (rules, path) = match rule.path.strip_suffix('*') {
                Some(prefix) => (&mut glob, prefix),
                None if rule.path.contains('+') => (&mut glob, rule.path.as_str()),
                None => (&mut exact, rule.path.as_str()),
            };
            unite(rules, path, &rule.capabilities);
        }
    }
    Response::data(&ResultantAcl { exact_paths: Some(exact), glob_paths: Some(glob), root: false })
}

/// Several policies on one path unite, and a deny wins.
fn unite(rules: &mut PathRules, path: &str, capabilities: &[Capability]) {
    let entry = rules.entry(path.to_owned()).or_insert_with(|| PathRule { capabilities: BTreeSet::new() });
    entry.capabilities.extend(capabilities.iter().map(|capability| capability.as_str()));
    if entry.capabilities.contains("deny") {
        entry.capabilities = BTreeSet::from(["deny"]);
    }
}

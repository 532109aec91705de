//! `internal/specs/openapi`: the route tables of all mounts, in the words of OpenAPI 3.

use super::{System, bare};
use chancery_engine::{Access, Call, Fault, Response, Route, Verb, route::RouteDescription};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
struct Document {
    openapi: &'static str,
    info: Info,
    paths: BTreeMap<String, PathItem>,
}

#[derive(Serialize)]
struct Info {
    title: &'static str,
    description: &'static str,
    version: &'static str,
    license: License,
}

#[derive(Serialize)]
struct License {
    name: &'static str,
}

#[derive(Serialize, Default)]
struct PathItem {
    description: &'static str,
    #[serde(rename = "x-vault-unauthenticated", skip_serializing_if = "is_false")]
    unauthenticated: bool,
    #[serde(rename = "x-vault-sudo", skip_serializing_if = "is_false")]
    sudo: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<Parameter>,
    #[serde(flatten)]
    operations: BTreeMap<&'static str, Operation>,
}

#[derive(Serialize)]
struct Operation {
    summary: &'static str,
    tags: [String; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<Parameter>,
    responses: BTreeMap<&'static str, Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    description: &'static str,
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    #[serde(rename = "in")]
    place: &'static str,
    required: bool,
    schema: Schema,
}

#[derive(Serialize)]
struct Schema {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("internal/specs/openapi", "Every endpoint of every mount, as OpenAPI.")
            .on(Verb::Read, openapi)
            .on(Verb::Write, openapi),
    ]
}

async fn openapi(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let mut paths = BTreeMap::new();
    for mounted in system.core.mounts.all() {
        for route in mounted.engine.describe() {
            add(&mut paths, &mounted.entry.path, &mounted.entry.kind, &route);
        }
    }
    bare(&Document {
        openapi: "3.0.2",
        info: Info {
            title: "Chancery API",
            description: "HTTP API of the Chancery appliance. All API routes are prefixed with `/v1/`.",
            version: env!("CARGO_PKG_VERSION"),
            license: License { name: env!("CARGO_PKG_LICENSE") },
        },
        paths,
    })
}

fn add(paths: &mut BTreeMap<String, PathItem>, mount: &str, tag: &str, route: &RouteDescription) {
    let (path, names) = path_template(mount, route.pattern);
    let item = paths.entry(path).or_default();
    item.description = route.summary;
    item.unauthenticated |= route.access == Access::Public;
    item.sudo |= route.access == Access::Sudo;
    item.parameters = names.into_iter().map(|name| parameter(name, "path", "string")).collect();
    for verb in &route.verbs {
        let (method, flag) = match verb {
            Verb::Read => ("get", None),
            Verb::List => ("get", Some("list")),
            Verb::Scan => ("get", Some("scan")),
            Verb::Write => ("post", None),
            Verb::Patch => ("patch", None),
            Verb::Delete => ("delete", None),
        };
        let operation = item.operations.entry(method).or_insert_with(|| Operation {
            summary: route.summary,
            tags: [tag.to_owned()],
            parameters: Vec::new(),
            responses: BTreeMap::from([("200", Outcome { description: "OK" })]),
        });
        if let Some(flag) = flag {
            // Optional where the same path can be read too.
            let required = !route.verbs.contains(&Verb::Read);
            operation.parameters.push(Parameter { required, ..parameter(flag.to_owned(), "query", "boolean") });
        }
    }
}

fn parameter(name: String, place: &'static str, kind: &'static str) -> Parameter {
    Parameter { name, place, required: true, schema: Schema { kind } }
}

/// `keys/:name` below `transit/` is `/transit/keys/{name}`.
fn path_template(mount: &str, pattern: &str) -> (String, Vec<String>) {
    let mut path = format!("/{}", mount.trim_end_matches('/'));
    let mut names = Vec::new();
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        let name = segment
            .strip_prefix([':', '*'])
            .or_else(|| segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')));
        path.push('/');
        match name {
            Some(name) => {
                path.push_str(&format!("{{{name}}}"));
                names.push(name.to_owned());
            }
            None => path.push_str(segment),
        }
    }
    (path, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_every_kind_become_templates() {
        let (path, names) = path_template("auth/x/", "a/:b/{c}/*d");
        assert_eq!(path, "/auth/x/a/{b}/{c}/{d}");
        assert_eq!(names, ["b", "c", "d"]);
        assert_eq!(path_template("kv/", "").0, "/kv");
    }
}

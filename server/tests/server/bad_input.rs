//! A walk over every route with parameters that make no sense: never a 5xx, always the API's own error form.

use crate::{
    appliance::{Answer, Running, start},
    routes::{method, mount_everything},
};
use chancery_engine::{Verb, route::RouteDescription};
use serde_json::{Value, json};

/// Members that some endpoint or other understands.
const MEMBERS: [&str; 63] = [
    "accessor",
    "allowed_domains",
    "alt_names",
    "associated_data",
    "batch_input",
    "bound_cidr_list",
    "capabilities",
    "certificate",
    "ciphertext",
    "common_name",
    "config",
    "context",
    "csr",
    "data",
    "default",
    "default_lease_ttl",
    "description",
    "explicit_max_ttl",
    "expiry",
    "ext_key_usage",
    "format",
    "from",
    "hash_algorithm",
    "id",
    "increment",
    "input",
    "ip_sans",
    "key",
    "key_bits",
    "key_type",
    "key_version",
    "lease_id",
    "max_lease_ttl",
    "max_versions",
    "meta",
    "min_decryption_version",
    "name",
    "not_after",
    "num_uses",
    "options",
    "password",
    "path",
    "paths",
    "period",
    "plaintext",
    "policies",
    "policy",
    "prefix",
    "role_id",
    "rules",
    "secret_id",
    "secret_shares",
    "secret_threshold",
    "serial_number",
    "signature",
    "to",
    "token",
    "token_policies",
    "token_ttl",
    "ttl",
    "type",
    "versions",
    "username",
];

/// Routes that end the walk itself.
const LEFT_OUT: [&str; 5] = ["seal", "step-down", "revoke-self", "rotate/root", "init"];

/// Text for a placeholder.
const FILLINGS: [&str; 4] = ["filled", "root", "a%20b%22%3C%27;--", "%F0%9F%94%91"];

fn nonsense() -> Vec<Value> {
    vec![
        json!([[1], {"a": null}]),
        json!({"a": {"b": [1, 2]}}),
        json!(-1),
        json!(18_446_744_073_709_551_615_u64),
        json!(1e300),
        json!(true),
        Value::Null,
        json!("\u{0}\u{7f}\u{202e}"),
        json!("A".repeat(70_000)),
        json!("-99999999999999999999h"),
        json!("{{identity.entity.id}}/../*"),
    ]
}

fn fill(mount: &str, route: &RouteDescription, filling: &str) -> String {
    let parts: Vec<&str> =
        route.pattern.split('/').map(|part| if part.starts_with([':', '*', '{']) { filling } else { part }).collect();
    format!("/v1/{mount}{}", parts.join("/")).trim_end_matches('/').to_owned()
}

async fn send(running: &Running, verb: Verb, path: &str, body: &str) -> Answer {
    let request = running.request(method(verb), path).header("X-Vault-Token", &running.root);
    let kind = if verb == Verb::Patch { "application/merge-patch+json" } else { "application/json" };
    Answer::of(request.header("Content-Type", kind).body(body.to_owned()).send().await.unwrap()).await
}

/// The one 500 that is kept, because clients' own tests ask for it (docs/deviations.md, `callers-mistakes`).
const KEPT: &str = "{\"errors\":[\"unable to find PKI issuer for reference: ";

fn judge(answer: &Answer, what: &str) {
    let kept = what.starts_with("Read /v1/pki/issuer/") && answer.status == 500 && answer.text.starts_with(KEPT);
    assert!(answer.status < 500 || kept, "{what}: {} {}", answer.status, answer.text);
    if answer.status >= 400 && !answer.text.is_empty() && answer.header("content-type") == "application/json" {
        let body = answer.json();
        assert!(
            body["errors"].is_array() || body["data"].is_object() || body["warnings"].is_array(),
            "{what}: {}",
            answer.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_never_our_fault() {
    let running = start().await;
    mount_everything(&running).await;
    let mut tried = 0;
    for mounted in running.core().mounts.all() {
        for route in mounted.engine.describe() {
            if LEFT_OUT.iter().any(|left| route.pattern == *left || route.pattern.ends_with(&format!("/{left}"))) {
                continue;
            }
            for verb in &route.verbs {
                for filling in FILLINGS {
                    let path = fill(&mounted.entry.path, &route, filling);
                    judge(&send(&running, *verb, &path, "").await, &format!("{verb:?} {path} without a body"));
                    tried += 1;
                }
                if !matches!(verb, Verb::Write | Verb::Patch) {
                    continue;
                }
                let path = fill(&mounted.entry.path, &route, "filled");
                for body in [
                    "[]",
                    "7",
                    "{",
                    "\"\"",
                    "{\"a\":1}{\"a\":1}",
                    "\u{feff}{}",
                    "{\"a\":1,\"a\":2}",
                    "{\"ttl\":\"\\ud800\"}",
                ] {
                    judge(&send(&running, *verb, &path, body).await, &format!("{verb:?} {path} with {body:?}"));
                }
                for value in nonsense() {
                    let all: serde_json::Map<_, _> =
                        MEMBERS.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
                    let body = Value::Object(all).to_string();
                    let what = format!("{verb:?} {path} with every member {:.40}", value.to_string());
                    judge(&send(&running, *verb, &path, &body).await, &what);
                }
                for name in MEMBERS {
                    let body = json!({name: {"a": [{"b": "c"}]}}).to_string();
                    judge(&send(&running, *verb, &path, &body).await, &format!("{verb:?} {path} with {body}"));
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 3000, "only {tried} calls were tried");
}

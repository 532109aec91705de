//! Orders: what may be named, what is told of what may not, and how long things last.

use crate::harness::{Mount, Web, challenge, finalize};
use chancery_engine::Verb;
use serde_json::{Value, json};

async fn refused(client: &mut crate::harness::Client<'_>, identifiers: Value) -> crate::harness::Reply {
    let url = client.url("new-order");
    client.post(&url, json!({"identifiers": identifiers})).await
}

#[tokio::test]
async fn every_bad_name_has_a_problem_of_its_own() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let bad = json!([
        {"type": "dns", "value": "good.example"},
        {"type": "dns", "value": "bad_name.example"},
        {"type": "dns", "value": "*.*.example"},
        {"type": "email", "value": "a@b.c"},
        {"type": "ip", "value": "192.0.2.256"},
    ]);
    let reply = refused(&mut client, bad).await;
    reply.problem("compound", 400);
    let parts = reply.json()["subproblems"].as_array().unwrap().clone();
    let named: Vec<_> = parts.iter().map(|part| part["identifier"]["value"].as_str().unwrap()).collect();
    assert_eq!(named, ["bad_name.example", "*.*.example", "a@b.c", "192.0.2.256"]);
    for (identifiers, kind) in [
        (json!([]), "malformed"),
        (json!("x"), "malformed"),
        (json!([{"type": "dns"}]), "malformed"),
        (json!([{"type": "dns", "value": "*.192.0.2.1"}]), "rejectedIdentifier"),
        (json!([{"type": "dns", "value": "192.0.2.1"}]), "malformed"),
        (json!([{"type": "permanent-identifier", "value": "x"}]), "unsupportedIdentifier"),
        (json!([{"type": "dns", "value": "a.example", "ancestorDomain": "b.example"}]), "malformed"),
        (
            Value::Array((0..101).map(|n| json!({"type": "dns", "value": format!("a{n}.example")})).collect()),
            "malformed",
        ),
    ] {
        refused(&mut client, identifiers).await.problem(kind, 400);
    }
}

#[tokio::test]
async fn names_the_role_does_not_allow_are_refused_before_anybody_looks() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let role = json!({"allowed_domains": "corp.example", "allow_subdomains": true, "key_type": "any", "allowed_ip_sans_cidr": "10.0.0.0/8"});
    mount.admin(Verb::Write, "roles/corp", role).await.unwrap();
    let mut client = mount.stranger("roles/corp/acme").await;
    client.register(json!({})).await.created();
    let reply = refused(
        &mut client,
        json!([
            {"type": "dns", "value": "a.corp.example"},
            {"type": "dns", "value": "a.other.example"},
            {"type": "ip", "value": "127.0.0.1"},
        ]),
    )
    .await;
    reply.problem("rejectedIdentifier", 400);
    assert_eq!(reply.json()["subproblems"].as_array().unwrap().len(), 2);
    let fine = refused(&mut client, json!([{"type": "dns", "value": "*.A.corp.example"}])).await;
    fine.created();
    assert_eq!(fine.json()["identifiers"], json!([{"type": "dns", "value": "*.a.corp.example"}]));
}

#[tokio::test]
async fn wildcards_are_shown_in_the_dns_and_addresses_are_not() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let kinds = |authorization: &Value| -> Vec<String> {
        let challenges = authorization["challenges"].as_array().unwrap();
        challenges.iter().map(|challenge| challenge["type"].as_str().unwrap().to_owned()).collect()
    };
    let reply =
        refused(&mut client, json!([{"type": "dns", "value": "*.a.example"}, {"type": "ip", "value": "::1"}])).await;
    let order = reply.json();
    for url in order["authorizations"].as_array().unwrap() {
        let authorization = client.read(url.as_str().unwrap()).await.ok();
        if authorization["identifier"]["type"] == "ip" {
            assert_eq!(kinds(&authorization), ["http-01", "tls-alpn-01"]);
        } else {
            assert_eq!(authorization["identifier"]["value"], "a.example");
            assert_eq!(authorization["wildcard"], true);
            assert_eq!(kinds(&authorization), ["dns-01", "dns-account-01"]);
        }
    }
    mount.admin(Verb::Write, "config/acme", json!({"caa_identities": "ca.example"})).await.unwrap();
    let reply = refused(&mut client, json!([{"type": "dns", "value": "b.example"}])).await;
    let place = reply.json()["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.read(&place).await.ok();
    assert_eq!(kinds(&authorization), ["http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01"]);
    let persistent = authorization["challenges"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(persistent["issuer-domain-names"], json!(["ca.example"]));
    assert_eq!(persistent["accounturi"], json!(client.account));
    assert!(persistent.get("token").is_none());
}

#[tokio::test]
async fn the_same_order_is_found_again_while_it_is_open() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (first, order) = client.order(&["127.0.0.1", "127.0.0.2"]).await;
    let (again, _) = client.order(&["127.0.0.2", "127.0.0.1", "127.0.0.1"]).await;
    assert_eq!(first, again);
    let (other, _) = client.order(&["127.0.0.1"]).await;
    assert_ne!(first, other);
    client.authorize(&order).await;
    client.post(order["finalize"].as_str().unwrap(), finalize(&["127.0.0.1", "127.0.0.2"])).await.ok();
    let (next, _) = client.order(&["127.0.0.1", "127.0.0.2"]).await;
    assert_ne!(first, next);
}

#[tokio::test]
async fn orders_and_authorizations_end() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (url, order) = client.order(&["127.0.0.1"]).await;
    let place = order["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.read(&place).await.ok();
    mount.clock.advance(86_400);
    assert_eq!(client.read(&url).await.ok()["status"], "invalid");
    assert_eq!(client.read(&place).await.ok()["status"], "invalid");
    client.post(&challenge(&authorization, "http-01"), json!({})).await.problem("malformed", 400);
    client.post(&format!("{url}/finalize"), finalize(&["127.0.0.1"])).await.problem("orderNotReady", 403);
    mount.clock.advance(86_401);
    mount.tick().await.unwrap();
    client.read(&url).await.problem("malformed", 404);
}

#[tokio::test]
async fn authorizations_are_given_up_and_orders_with_them() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (url, order) = client.order(&["127.0.0.1"]).await;
    client.authorize(&order).await;
    assert_eq!(client.read(&url).await.ok()["status"], "ready");
    let place = order["authorizations"][0].as_str().unwrap().to_owned();
    client.post(&place, json!({"status": "valid"})).await.problem("malformed", 400);
    assert_eq!(client.post(&place, json!({"status": "deactivated"})).await.ok()["status"], "deactivated");
    assert_eq!(client.read(&url).await.ok()["status"], "invalid");
    client.post(&format!("{url}/finalize"), finalize(&["127.0.0.1"])).await.problem("orderNotReady", 403);
    // It is not used again either.
    let (_, next) = client.order(&["127.0.0.1"]).await;
    assert_eq!(next["status"], "pending");
}

#[tokio::test]
async fn authorizations_are_made_ahead_of_orders() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let url = client.url("new-authz");
    let made = client.post(&url, json!({"identifier": {"type": "ip", "value": "127.0.0.1"}})).await;
    let place = made.created();
    let authorization = made.json();
    client.post(&challenge(&authorization, "http-01"), json!({})).await.ok();
    assert_eq!(client.read(&place).await.ok()["status"], "valid");
    let (_, order) = client.order(&["127.0.0.1"]).await;
    assert_eq!(order["status"], "ready");
    assert_eq!(order["authorizations"], json!([place]));
    client.post(&url, json!({"identifier": {"type": "dns", "value": "*.a.example"}})).await.problem("malformed", 400);
    // RFC 9444: for everything below a name, and then only in the DNS.
    let below = json!({"identifier": {"type": "dns", "value": "a.example", "subdomainAuthAllowed": true}});
    let made = client.post(&url, below).await;
    made.created();
    assert_eq!(made.json()["subdomainAuthAllowed"], true);
    let kinds: Vec<_> = made.json()["challenges"].as_array().unwrap().iter().map(|one| one["type"].clone()).collect();
    assert_eq!(kinds, ["dns-01", "dns-account-01"]);
}

#[tokio::test]
async fn profiles_are_roles() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let directory = mount.get(&client.url("directory")).await.ok();
    assert!(directory["meta"]["profiles"]["web"].is_string());
    let url = client.url("new-order");
    let identifiers = json!([{"type": "ip", "value": "127.0.0.1"}]);
    client.post(&url, json!({"identifiers": identifiers, "profile": "none"})).await.problem("invalidProfile", 400);
    let order = client.post(&url, json!({"identifiers": identifiers, "profile": "web"})).await;
    order.created();
    assert_eq!(order.json()["profile"], "web");
    let order = order.json();
    client.authorize(&order).await;
    let valid = client.post(order["finalize"].as_str().unwrap(), finalize(&["127.0.0.1"])).await.ok();
    let chain = String::from_utf8(client.read(valid["certificate"].as_str().unwrap()).await.body).unwrap();
    let facts = chancery_ca::facts::CertificateFacts::parse(&crate::harness::leaf(&chain)).unwrap();
    // The role's life, not the mount's.
    assert_eq!(facts.not_after.to_string(), "2026-11-21T23:59:59Z");
    // No profile leads from the directory a key was handed out for to another.
    for config in [json!({"eab_policy": "new-account-required"}), json!({"default_directory_policy": "role:other"})] {
        mount.admin(Verb::Write, "roles/other", json!({"allow_any_name": true, "key_type": "any"})).await.unwrap();
        mount.admin(Verb::Write, "config/acme", config).await.unwrap();
        client.post(&url, json!({"identifiers": identifiers, "profile": "web"})).await.problem("invalidProfile", 400);
        mount.admin(Verb::Write, "config/acme", json!({"eab_policy": "not-required"})).await.unwrap();
    }
}

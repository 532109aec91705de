//! External account binding, under each of the three policies.

use crate::harness::{BASE, Client, Key, Mount, Web};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_engine::Verb;
use serde_json::{Value, json};

fn bind(key: &Key, (id, secret): (&str, &str), algorithm: &str, url: &str) -> Value {
    let protected = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "kid": id, "url": url}).to_string());
    let payload = URL_SAFE_NO_PAD.encode(key.jwk().to_string());
    let secret = URL_SAFE_NO_PAD.decode(secret).unwrap();
    let kind = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let tag = hmac::sign(&hmac::Key::new(kind, &secret), format!("{protected}.{payload}").as_bytes());
    json!({"protected": protected, "payload": payload, "signature": URL_SAFE_NO_PAD.encode(tag.as_ref())})
}

async fn new_key(mount: &Mount, path: &str, body: Value) -> (String, String) {
    let made = mount.admin(Verb::Write, path, body).await.unwrap();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

async fn register(client: &mut Client<'_>, binding: Value) -> crate::harness::Reply {
    client.register(json!({"externalAccountBinding": binding})).await
}

#[tokio::test]
async fn a_key_makes_one_account_at_its_own_directory() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    mount.admin(Verb::Write, "config/acme", json!({"eab_policy": "new-account-required"})).await.unwrap();
    assert_eq!(mount.get(&format!("{BASE}acme/directory")).await.ok()["meta"]["externalAccountRequired"], true);
    let (id, secret) = new_key(&mount, "acme/new-eab", json!({})).await;
    let mut client = mount.stranger("acme").await;
    let url = client.url("new-account");
    client.register(json!({})).await.problem("externalAccountRequired", 403);

    let stranger = Key::new();
    let good = |key: &Key| bind(key, (&id, &secret), "HS256", &url);
    let mut altered = good(&client.key);
    altered["signature"] = URL_SAFE_NO_PAD.encode([0; 32]).into();
    let wrong_secret = URL_SAFE_NO_PAD.encode([7; 32]);
    for (binding, kind) in [
        (bind(&client.key, ("nobody", &secret), "HS256", &url), "unauthorized"),
        (bind(&client.key, ("../config", &secret), "HS256", &url), "unauthorized"),
        (bind(&client.key, (&id, &wrong_secret), "HS256", &url), "unauthorized"),
        (altered, "unauthorized"),
        (bind(&client.key, (&id, &secret), "HS256", &client.url("new-order")), "unauthorized"),
        (bind(&client.key, (&id, &secret), "none", &url), "badSignatureAlgorithm"),
        (bind(&client.key, (&id, &secret), "ES256", &url), "badSignatureAlgorithm"),
        (good(&stranger), "malformed"),
        (json!({}), "malformed"),
    ] {
        let status = if kind == "unauthorized" { 403 } else { 400 };
        register(&mut client, binding).await.problem(kind, status);
    }
    let elsewhere = new_key(&mount, "roles/web/acme/new-eab", json!({})).await;
    let foreign = bind(&client.key, (&elsewhere.0, &elsewhere.1), "HS256", &url);
    register(&mut client, foreign).await.problem("unauthorized", 403);

    let binding = good(&client.key);
    let made = register(&mut client, binding.clone()).await;
    made.created();
    // The same again finds the account; somebody else's replay does not.
    client.account = None;
    register(&mut client, binding).await.ok();
    let mut other = mount.stranger("acme").await;
    let replay = good(&other.key);
    register(&mut other, replay).await.problem("unauthorized", 403);
}

#[tokio::test]
async fn every_hash_is_accepted_and_reusable_keys_stay() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let (id, secret) = new_key(&mount, "roles/web/acme/new-eab", json!({"reusable": true})).await;
    for algorithm in ["HS256", "HS384", "HS512"] {
        let mut client = mount.stranger("roles/web/acme").await;
        let binding = bind(&client.key, (&id, &secret), algorithm, &client.url("new-account"));
        register(&mut client, binding).await.created();
    }
    let listed = mount.admin(Verb::List, "eab", json!({})).await.unwrap();
    assert_eq!(listed["keys"], json!([id]));
    assert_eq!(listed["key_info"][&id]["acme_directory"], "roles/web/acme/directory");
    mount.admin(Verb::Delete, &format!("eab/{id}"), json!({})).await.unwrap();
    assert!(mount.admin(Verb::List, "eab", json!({})).await.is_err());
}

#[tokio::test]
async fn accounts_from_before_are_served_unless_all_must_be_bound() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let own = client.account.clone().unwrap();
    mount.admin(Verb::Write, "config/acme", json!({"eab_policy": "new-account-required"})).await.unwrap();
    client.read(&own).await.ok();
    mount.admin(Verb::Write, "config/acme", json!({"eab_policy": "always-required"})).await.unwrap();
    client.read(&own).await.problem("externalAccountRequired", 403);
}

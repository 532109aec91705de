//! Accounts: made once, changed by their holder, and useless when they are given up.

use crate::harness::{BASE, Key, Mount, Web};
use serde_json::json;

#[tokio::test]
async fn an_account_is_made_once_and_found_again() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.stranger("acme").await;
    client
        .post(&client.url("new-account"), json!({"onlyReturnExisting": true}))
        .await
        .problem("accountDoesNotExist", 400);
    let made = client.register(json!({"contact": ["mailto:a@example.com"], "termsOfServiceAgreed": true})).await;
    let place = made.created();
    assert_eq!(made.json()["contact"][0], "mailto:a@example.com");
    client.account = None;
    for payload in [json!({}), json!({"onlyReturnExisting": true}), json!({"externalAccountBinding": {"any": "thing"}})]
    {
        let again = client.post(&client.url("new-account"), payload).await;
        again.ok();
        assert_eq!(again.header("location"), Some(place.clone()));
    }
    for (contact, problem) in [("tel:+1", "unsupportedContact"), ("mailto:a", "invalidContact")] {
        let mut stranger = mount.stranger("acme").await;
        stranger.register(json!({"contact": [contact]})).await.problem(problem, 400);
    }
}

#[tokio::test]
async fn an_account_is_updated_and_deactivated_by_its_holder_alone() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let own = client.account.clone().unwrap();
    let updated = client.post(&own, json!({"contact": ["mailto:b@example.com"], "status": "valid"})).await.ok();
    assert_eq!(updated["contact"], json!(["mailto:b@example.com"]));
    client.post(&own, json!({"contact": ["mailto:"]})).await.problem("invalidContact", 400);

    let mut other = mount.stranger("acme").await;
    other.register(json!({})).await.created();
    other.read(&own).await.problem("unauthorized", 403);
    other.post(&own, json!({"status": "deactivated"})).await.problem("unauthorized", 403);

    assert_eq!(client.post(&own, json!({"status": "deactivated"})).await.ok()["status"], "deactivated");
    client.read(&own).await.problem("unauthorized", 401);
    client.post(&client.url("new-order"), json!({"identifiers": []})).await.problem("unauthorized", 401);
    client.account = None;
    client.post(&client.url("new-account"), json!({})).await.problem("unauthorized", 401);
}

#[tokio::test]
async fn accounts_belong_to_their_directory() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let id = client.account.clone().unwrap().rsplit('/').next().unwrap().to_owned();
    client.directory = format!("{BASE}roles/web/acme");
    let identifiers = json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]});
    client.post(&client.url("new-order"), identifiers.clone()).await.problem("accountDoesNotExist", 400);
    client.account = Some(client.url(&format!("account/{id}")));
    client.post(&client.url("new-order"), identifiers).await.problem("accountDoesNotExist", 400);
}

#[tokio::test]
async fn what_is_anothers_looks_like_what_does_not_exist() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (url, chain) = client.certificate(&["127.0.0.1"]).await;
    assert!(!chain.is_empty());
    let order = client.read(&url).await.ok();
    let authorization = order["authorizations"][0].as_str().unwrap().to_owned();
    let mut other = mount.stranger("acme").await;
    other.register(json!({})).await.created();
    for place in [url.clone(), authorization.clone(), format!("{url}/cert")] {
        let foreign = other.read(&place).await;
        let mut unknown = place.replace("01", "02");
        if unknown == place {
            unknown = format!("{place}0");
        }
        let unknown = other.read(&unknown).await;
        assert_eq!((foreign.status, foreign.json()), (unknown.status, unknown.json()));
        assert_eq!(foreign.status, 404);
    }
    other.post(&format!("{url}/finalize"), json!({"csr": ""})).await.problem("malformed", 404);
    other.post(&authorization, json!({"status": "deactivated"})).await.problem("malformed", 404);
    assert_eq!(client.read(&authorization).await.ok()["status"], "valid");
}

#[tokio::test]
async fn the_list_of_orders_has_pages() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    for number in 0..105 {
        client.order(&[&format!("127.0.1.{number}")]).await;
    }
    let own = client.account.clone().unwrap();
    let first = client.read(&format!("{own}/orders")).await;
    assert_eq!(first.ok()["orders"].as_array().unwrap().len(), 100);
    let next = first.links("next");
    let second = client.read(&next[0]).await;
    assert_eq!(second.ok()["orders"].as_array().unwrap().len(), 5);
    assert!(second.links("next").is_empty());
}

#[tokio::test]
async fn keys_are_changed_with_both_and_never_onto_one_that_is_in_use() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let own = client.account.clone().unwrap();
    let url = client.url("key-change");
    let inner = |key: &Key, old: &Key, account: &str, url: &str| {
        let header = json!({"alg": "ES256", "jwk": key.jwk(), "url": url});
        key.sign(&header, Some(&json!({"account": account, "oldKey": old.jwk()})))
    };
    let new = Key::new();
    let stranger = Key::new();
    for (bad, kind) in [
        (inner(&new, &stranger, &own, &url), "malformed"),
        (inner(&new, &client.key, "https://acme.test/other", &url), "malformed"),
        (inner(&new, &client.key, &own, &client.url("new-account")), "unauthorized"),
        (json!({"account": own}), "malformed"),
    ] {
        let status = if kind == "unauthorized" { 403 } else { 400 };
        client.post(&url, bad).await.problem(kind, status);
    }
    let nonce = mount.nonce().await;
    let header = json!({"alg": "ES256", "jwk": new.jwk(), "url": url, "nonce": nonce});
    let with_nonce = new.sign(&header, Some(&json!({"account": own, "oldKey": client.key.jwk()})));
    client.post(&url, with_nonce).await.problem("malformed", 400);

    let mut other = mount.stranger("acme").await;
    let taken = other.register(json!({})).await.created();
    let onto_taken = inner(&other.key, &client.key, &own, &url);
    let reply = client.post(&url, onto_taken).await;
    reply.problem("malformed", 409);
    assert_eq!(reply.header("location"), Some(taken));

    let change = inner(&new, &client.key, &own, &url);
    assert_eq!(client.post(&url, change).await.ok()["status"], "valid");
    client.read(&own).await.problem("malformed", 400);
    let old = std::mem::replace(&mut client.key, new);
    client.read(&own).await.ok();
    // The old key is free again.
    let mut again = mount.stranger("acme").await;
    again.key = old;
    assert_ne!(again.register(json!({})).await.created(), own);
}

#[tokio::test]
async fn terms_of_service_must_be_agreed_to_where_there_are_any() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let terms = json!({"terms_of_service": "https://ca.example/terms"});
    mount.admin(chancery_engine::Verb::Write, "config/acme", terms).await.unwrap();
    let directory = mount.get(&format!("{BASE}acme/directory")).await.ok();
    assert_eq!(directory["meta"]["termsOfService"], "https://ca.example/terms");
    let mut client = mount.stranger("acme").await;
    let refused = client.register(json!({})).await;
    refused.problem("userActionRequired", 403);
    assert_eq!(refused.json()["instance"], "https://ca.example/terms");
    assert_eq!(refused.links("terms-of-service"), ["https://ca.example/terms"]);
    client.register(json!({"termsOfServiceAgreed": true})).await.created();
}

#[tokio::test]
async fn accounts_without_certificates_are_forgotten() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut idle = mount.stranger("acme").await;
    idle.register(json!({})).await.created();
    let mut client = mount.client(&web).await;
    client.certificate(&["127.0.0.1"]).await;
    // The certificate is past too.
    mount.clock.advance(34 * 86_400);
    mount.tick().await.unwrap();
    let own = idle.account.clone().unwrap();
    idle.read(&own).await.problem("accountDoesNotExist", 400);
    let own = client.account.clone().unwrap();
    client.read(&own).await.ok();
    // Nor does anything else stay for ever.
    let left = mount.store.view("mount/1/acme").keys("", chancery_store::Page::default()).await.unwrap();
    let kinds: std::collections::BTreeSet<_> = left.iter().filter_map(|key| key.split('/').next()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["account", "config", "key"], "{left:?}");
}

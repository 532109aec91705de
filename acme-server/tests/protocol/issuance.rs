//! From an order to its certificate and back.

use crate::harness::{Mount, Web, challenge, finalize, finalize_with, leaf};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::facts::CertificateFacts;
use chancery_engine::Verb;
use serde_json::json;

#[tokio::test]
async fn a_certificate_is_issued_to_who_shows_control() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (url, chain) = client.certificate(&["127.0.0.1", "127.0.0.2"]).await;
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    let facts = CertificateFacts::parse(&leaf(&chain)).unwrap();
    assert_eq!(facts.names().unwrap().texts(), ["127.0.0.1", "127.0.0.2"]);
    // For a TLS server and nothing else, whatever the role says besides.
    assert_eq!(facts.purposes.unwrap().len(), 1);
    let order = client.read(&url).await.ok();
    assert_eq!(order["status"], "valid");
    let row = mount.admin(Verb::Read, &format!("cert/{}", facts.serial), json!({})).await.unwrap();
    assert_eq!(row["revocation_time"], 0);
}

#[tokio::test]
async fn what_was_shown_is_good_for_the_next_order() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    client.certificate(&["127.0.0.1"]).await;
    let (_, order) = client.order(&["127.0.0.1"]).await;
    assert_eq!(order["status"], "ready");
    let (_, wider) = client.order(&["127.0.0.1", "127.0.0.3"]).await;
    assert_eq!(wider["status"], "pending");
    // A day later it must be shown again.
    mount.clock.advance(86_401);
    let (_, later) = client.order(&["127.0.0.1"]).await;
    assert_eq!(later["status"], "pending");
}

#[tokio::test]
async fn requests_that_are_not_the_order_are_refused_and_may_be_corrected() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (url, order) = client.order(&["127.0.0.1"]).await;
    let target = order["finalize"].as_str().unwrap().to_owned();
    client.post(&target, finalize(&["127.0.0.1"])).await.problem("orderNotReady", 403);
    client.authorize(&order).await;
    let own = rcgen::KeyPair::try_from(client.key.pkcs8()).unwrap();
    let tampered = {
        let good = finalize(&["127.0.0.1"]);
        let mut der = URL_SAFE_NO_PAD.decode(good["csr"].as_str().unwrap()).unwrap();
        let last = der.len() - 1;
        der[last] ^= 1;
        json!({"csr": URL_SAFE_NO_PAD.encode(der)})
    };
    for bad in [
        finalize(&["127.0.0.2"]),
        finalize(&["127.0.0.1", "127.0.0.2"]),
        finalize(&["127.0.0.1", "example.com"]),
        finalize(&[]),
        finalize_with(&own, &["127.0.0.1"]),
        tampered,
        json!({"csr": "AAAA"}),
        json!({"csr": "=!"}),
        json!({"csr": ""}),
    ] {
        client.post(&target, bad).await.problem("badCSR", 400);
        assert_eq!(client.read(&url).await.ok()["status"], "ready");
    }
    assert_eq!(client.post(&target, finalize(&["127.0.0.1"])).await.ok()["status"], "valid");
    client.post(&target, finalize(&["127.0.0.1"])).await.problem("orderNotReady", 403);
}

#[tokio::test]
async fn a_failed_challenge_ends_its_authorization_and_order_and_says_why() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    *web.thumbprint.lock() = "somebody-elses".to_owned();
    let (url, order) = client.order(&["127.0.0.1"]).await;
    let place = order["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.read(&place).await.ok();
    let reply = client.post(&challenge(&authorization, "http-01"), json!({})).await;
    let failed = reply.ok();
    assert_eq!(failed["status"], "invalid");
    assert_eq!(failed["error"]["subproblems"][0]["identifier"]["value"], "127.0.0.1");
    assert_eq!(reply.links("up").first(), Some(&place));
    assert_eq!(client.read(&place).await.ok()["status"], "invalid");
    let order = client.read(&url).await.ok();
    assert_eq!(order["status"], "invalid");
    assert!(order["error"]["detail"].as_str().unwrap().contains("http-01"), "{order}");
}

#[tokio::test]
async fn times_that_were_asked_for_are_certified_or_refused() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let identifiers = json!([{"type": "ip", "value": "127.0.0.1"}]);
    let times =
        json!({"identifiers": identifiers, "notAfter": "2026-11-21T05:00:00Z", "notBefore": "2026-11-21T00:00:00Z"});
    let new_order = client.url("new-order");
    let reply = client.post(&new_order, times).await;
    reply.created();
    let order = reply.json();
    assert_eq!(order["notAfter"], "2026-11-21T05:00:00Z");
    client.authorize(&order).await;
    let valid = client.post(order["finalize"].as_str().unwrap(), finalize(&["127.0.0.1"])).await.ok();
    let chain = client.read(valid["certificate"].as_str().unwrap()).await.body;
    let facts = CertificateFacts::parse(&leaf(&String::from_utf8(chain).unwrap())).unwrap();
    assert_eq!(facts.not_after.to_string(), "2026-11-21T05:00:00Z");
    for (member, time) in [("notAfter", "2026-11-20T00:00:00Z"), ("notAfter", "tomorrow"), ("notBefore", "1")] {
        let mut bad = json!({"identifiers": identifiers});
        bad[member] = time.into();
        client.post(&new_order, bad).await.problem("malformed", 400);
    }
}

#[tokio::test]
async fn certificates_are_revoked_in_three_ways_and_no_other() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (_, chain) = client.certificate(&["127.0.0.1"]).await;
    let revocation =
        |chain: &str, reason: u8| json!({"certificate": URL_SAFE_NO_PAD.encode(leaf(chain)), "reason": reason});
    let url = client.url("revoke-cert");

    let mut other = mount.stranger("acme").await;
    other.register(json!({})).await.created();
    other.post(&url, revocation(&chain, 1)).await.problem("unauthorized", 403);
    other.account = None;
    other.post(&url, revocation(&chain, 1)).await.problem("unauthorized", 403);
    for reason in [2, 6, 7, 8, 10, 255] {
        client.post(&url, revocation(&chain, reason)).await.problem("badRevocationReason", 400);
    }
    client.post(&url, revocation(&chain, 4)).await.ok();
    client.post(&url, revocation(&chain, 4)).await.problem("alreadyRevoked", 400);

    // By an account that controls the names.
    let (_, chain) = client.certificate(&["127.0.0.2"]).await;
    let mut owner = mount.client(&web).await;
    owner.certificate(&["127.0.0.2"]).await;
    owner.post(&url, revocation(&chain, 0)).await.ok();

    // By the certificate's own key.
    *web.thumbprint.lock() = client.key.thumbprint();
    let (_, order) = client.order(&["127.0.0.1"]).await;
    let key = crate::harness::Key::new();
    let pair = rcgen::KeyPair::try_from(key.pkcs8()).unwrap();
    let valid = client.post(order["finalize"].as_str().unwrap(), finalize_with(&pair, &["127.0.0.1"])).await.ok();
    let chain = String::from_utf8(client.read(valid["certificate"].as_str().unwrap()).await.body).unwrap();
    let mut holder = mount.stranger("acme").await;
    holder.key = key;
    holder.post(&url, revocation(&chain, 1)).await.ok();
}

#[tokio::test]
async fn every_chain_can_be_fetched() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    // The root's successor is certified by the old root too.
    let mut client = mount.client(&web).await;
    let (url, chain) = client.certificate(&["127.0.0.1"]).await;
    let reply = client.read(&format!("{url}/cert")).await;
    assert_eq!(String::from_utf8(reply.body.clone()).unwrap(), chain);
    assert!(reply.links("alternate").is_empty());
    client.read(&format!("{url}/cert/1")).await.problem("malformed", 404);
}

#[tokio::test]
async fn a_certificate_costs_four_commits() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    client.certificate(&["127.0.0.1"]).await;
    let before = mount.store.sequence().await.unwrap().0;
    client.certificate(&["127.0.0.2"]).await;
    // The order, the outcome of its challenge, the intent, the certificate.
    assert_eq!(mount.store.sequence().await.unwrap().0 - before, 4);
    let before = mount.store.sequence().await.unwrap().0;
    client.certificate(&["127.0.0.2"]).await;
    assert_eq!(mount.store.sequence().await.unwrap().0 - before, 3);
}

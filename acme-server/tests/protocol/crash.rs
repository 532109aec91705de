//! What was under way when the server stopped goes on when it starts again.

use crate::harness::{Mount, Web, challenge, finalize};
use chancery_acme_server::Knobs;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_challenge_that_was_being_looked_into_is_decided_after_a_restart() {
    let web = Web::start().await;
    let slow = Knobs { validation_delay: Duration::from_secs(3600), ..knobs(&web) };
    let before = Mount::with(slow).await;
    let mut client = before.client(&web).await;
    let (url, order) = client.order(&["127.0.0.1"]).await;
    let authorization = client.read(order["authorizations"][0].as_str().unwrap()).await.ok();
    let reply = client.post(&challenge(&authorization, "http-01"), json!({})).await;
    assert_eq!(reply.ok()["status"], "processing");
    assert!(reply.header("retry-after").is_some());

    let after = before.restarted_with(knobs(&web));
    // At the start, not a minute later at the first tick.
    after.begin().await.unwrap();
    let mut client = crate::harness::Client { mount: &after, nonce: after.nonce().await, ..client };
    for _ in 0..100 {
        if client.read(&url).await.ok()["status"] == "ready" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.read(&url).await.ok()["status"], "ready");
    let valid = client.post(order["finalize"].as_str().unwrap(), finalize(&["127.0.0.1"])).await.ok();
    assert_eq!(valid["status"], "valid");
    let left = after.store.view("mount/1/acme/work").keys("", chancery_store::Page::default()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn no_errand_is_forgotten_however_many_stand_before_it() {
    let web = Web::start().await;
    let slow = Knobs { validation_delay: Duration::from_secs(3600), ..knobs(&web) };
    let before = Mount::with(slow).await;
    let mut client = before.client(&web).await;
    let (url, order) = client.order(&["127.0.0.1"]).await;
    let authorization = client.read(order["authorizations"][0].as_str().unwrap()).await.ok();
    let reply = client.post(&challenge(&authorization, "http-01"), json!({})).await;
    assert_eq!(reply.ok()["status"], "processing");
    // Orders that wait for a token that is away, and one record nobody can read.
    let view = before.store.view("mount/1/acme/");
    let mut changes = chancery_store::Changes::default();
    for number in 0..2500 {
        let errand = json!({"Issue": {"account": "0", "order": "0", "since": "2026-11-21T00:00:00Z"}});
        changes.put(&view, &format!("work/issue.0.{number:05}"), &errand).unwrap();
    }
    changes.put(&view, "work/issue.0.x", &json!("nonsense")).unwrap();
    before.store.commit(changes).await.unwrap();

    let after = before.restarted_with(knobs(&web));
    after.begin().await.unwrap();
    let mut client = crate::harness::Client { mount: &after, nonce: after.nonce().await, ..client };
    for _ in 0..200 {
        if client.read(&url).await.ok()["status"] == "ready" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the challenge behind 2501 errands was not looked into");
}

fn knobs(web: &Web) -> Knobs {
    Knobs { http_port: Some(web.port), allow_private: true, ..Knobs::default() }
}

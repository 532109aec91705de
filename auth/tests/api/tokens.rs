//! Lookup, renewal, revocation, uses and ends of tokens.

use crate::rig::{ROOT, Rig};
use serde_json::json;

const OWN: &str = "path \"auth/token/*\" { capabilities = [\"create\", \"read\", \"update\", \"list\"] }";

#[tokio::test]
async fn lookup_of_root_shows_a_token_without_end() {
    let rig = Rig::new().await;
    let data = rig.read(ROOT, "auth/token/lookup-self").await.unwrap().data;
    assert_eq!(data["id"], ROOT);
    assert_eq!(data["policies"], json!(["root"]));
    assert!(data["expire_time"].is_null() && data.as_object().unwrap().contains_key("expire_time"));
    for (member, value) in [
        ("ttl", json!(0)),
        ("creation_ttl", json!(0)),
        ("explicit_max_ttl", json!(0)),
        ("num_uses", json!(0)),
        ("renewable", json!(false)),
        ("orphan", json!(true)),
        ("type", json!("service")),
        ("entity_id", json!("")),
        ("meta", json!(null)),
        ("creation_time", json!(1_700_000_000)),
        ("issue_time", json!("2023-11-14T22:13:20Z")),
    ] {
        assert_eq!(data[member], value, "{member}");
    }
}

#[tokio::test]
async fn lookup_finds_by_token_and_by_accessor() {
    let rig = Rig::new().await;
    let made = rig
        .set("auth/token/create", json!({"policies": "p1", "ttl": "1h", "meta": {"a": "b"}, "display_name": "foo bar"}))
        .await;
    let data = rig.set("auth/token/lookup", json!({"token": made.token()})).await.data;
    assert_eq!(data["display_name"], "token-foo-bar");
    assert_eq!((&data["ttl"], &data["creation_ttl"]), (&json!(3600), &json!(3600)));
    assert_eq!(data["meta"], json!({"a": "b"}));
    assert_eq!(data["path"], "auth/token/create");
    assert_eq!(data["expire_time"], "2023-11-14T23:13:20Z");
    assert!(!data.as_object().unwrap().contains_key("last_renewal"));
    let accessor = made.auth().accessor.clone();
    let by_accessor = rig.set("auth/token/lookup-accessor", json!({"accessor": accessor})).await.data;
    assert_eq!(by_accessor["id"], "");
    assert_eq!(by_accessor["accessor"], data["accessor"]);
    assert!(rig.list(ROOT, "auth/token/accessors").await.unwrap().data["keys"].to_string().contains(&accessor));
}

#[tokio::test]
async fn wrong_handles_are_refused_in_vaults_words() {
    let rig = Rig::new().await;
    for (endpoint, body, text) in [
        ("lookup", json!({"token": "nope"}), "bad token"),
        ("lookup-accessor", json!({"accessor": "nope"}), "1 error occurred:\n\t* invalid accessor\n\n"),
        ("lookup-accessor", json!({}), "1 error occurred:\n\t* missing accessor\n\n"),
        ("renew", json!({"token": "nope"}), "token not found"),
        ("renew", json!({}), "missing token ID"),
        ("renew-accessor", json!({"accessor": "nope"}), "1 error occurred:\n\t* invalid accessor\n\n"),
        ("renew-self", json!({}), "lease is not renewable"),
        ("revoke", json!({}), "missing token ID"),
        ("revoke-orphan", json!({"token": "nope"}), "token to revoke not found"),
    ] {
        assert_eq!(rig.refusal(ROOT, &format!("auth/token/{endpoint}"), body).await, text, "{endpoint}");
    }
    assert!(rig.set("auth/token/revoke", json!({"token": "nope"})).await.is_empty);
    let answer = rig.set("auth/token/revoke-accessor", json!({"accessor": "nope"})).await;
    assert_eq!(answer.warnings, ["No token found with this accessor"]);
    assert_eq!(rig.read("nope", "auth/token/lookup-self").await.unwrap_err().to_string(), "permission denied");
}

#[tokio::test]
async fn renewal_moves_the_end_up_to_the_maximum() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({"ttl": "30m", "explicit_max_ttl": "1h"})).await;
    rig.clock.advance(600);
    let renewed = rig.write(&token, "auth/token/renew-self", json!({"increment": 900})).await.unwrap();
    assert_eq!((renewed.auth().lease_duration, renewed.token()), (900, token.clone()));
    let capped = rig.set("auth/token/renew", json!({"token": token, "increment": "9h"})).await;
    assert_eq!(capped.auth().lease_duration, 3000);
    assert_eq!(
        capped.warnings,
        ["TTL of \"9h\" exceeded the effective max_ttl of \"1h\"; TTL value is capped accordingly"]
    );
    let data = rig.set("auth/token/lookup", json!({"token": token})).await.data;
    assert_eq!(data["last_renewal_time"], 1_700_000_600);
    rig.clock.advance(3000);
    assert!(!rig.is_alive(&token).await);
    assert_eq!(rig.refusal(ROOT, "auth/token/renew", json!({"token": token})).await, "token not found");
}

#[tokio::test]
async fn a_periodic_token_lives_as_long_as_it_is_renewed() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({"period": "2h"})).await;
    for _ in 0..1000 {
        rig.clock.advance(7000);
        let renewed = rig.set("auth/token/renew", json!({"token": token, "increment": "9h"})).await;
        assert_eq!(renewed.auth().lease_duration, 7200);
    }
    assert_eq!(rig.set("auth/token/lookup", json!({"token": token})).await.data["period"], 7200);
    rig.clock.advance(7200);
    assert!(!rig.is_alive(&token).await);
}

#[tokio::test]
async fn an_explicit_maximum_caps_even_a_period() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({"period": "2h", "explicit_max_ttl": "3h"})).await;
    rig.clock.advance(7000);
    let renewed = rig.set("auth/token/renew", json!({"token": token})).await;
    assert_eq!(renewed.auth().lease_duration, 10_800 - 7000);
    rig.clock.advance(10_800 - 7000);
    assert!(!rig.is_alive(&token).await);
}

#[tokio::test]
async fn cve_2020_25816_no_ttl_makes_a_token_immortal() {
    let rig = Rig::new().await;
    for body in [
        json!({"policies": "p"}),
        json!({"policies": "p", "ttl": 0}),
        json!({"policies": "p", "ttl": "99999h"}),
        json!({"policies": "p", "ttl": i64::MAX}),
        json!({"policies": "p", "period": "99999h"}),
        json!({"policies": "p", "type": "batch"}),
        json!({"policies": "p", "explicit_max_ttl": 1, "ttl": "5h"}),
    ] {
        let made = rig.set("auth/token/create", body.clone()).await;
        assert!(made.auth().lease_duration > 0 && made.auth().lease_duration <= 2_764_800, "{body}");
        let data = rig.set("auth/token/lookup", json!({"token": made.token()})).await.data;
        assert!(data["expire_time"].is_string(), "{body}");
        rig.clock.advance(2_764_801);
        assert!(!rig.is_alive(&made.token()).await, "{body}");
    }
}

#[tokio::test]
async fn revoking_a_parent_revokes_the_tree_at_once() {
    let rig = Rig::new().await;
    let parent = rig.token_with(OWN, json!({})).await;
    let child = rig.write(&parent, "auth/token/create", json!({})).await.unwrap().token();
    let grandchild = rig.write(&child, "auth/token/create", json!({})).await.unwrap().token();
    let orphan = rig.write(&child, "auth/token/create-orphan", json!({})).await.unwrap().token();
    let batch = rig.write(&child, "auth/token/create", json!({"type": "batch"})).await.unwrap().token();
    for token in [&parent, &child, &grandchild, &orphan, &batch] {
        assert!(rig.is_alive(token).await);
    }
    rig.set("auth/token/revoke", json!({"token": parent})).await;
    for token in [&parent, &child, &grandchild, &batch] {
        assert!(!rig.is_alive(token).await);
    }
    assert!(rig.is_alive(&orphan).await);
    assert_eq!(rig.tokens.accessors().await.unwrap().len(), 2);
}

#[tokio::test]
async fn revoke_orphan_spares_the_children() {
    let rig = Rig::new().await;
    let parent = rig.token_with(OWN, json!({})).await;
    let child = rig.write(&parent, "auth/token/create", json!({})).await.unwrap().token();
    let refused = rig.refusal(&parent, "auth/token/revoke-orphan", json!({"token": parent})).await;
    assert_eq!(refused, "root or sudo privileges required to revoke and orphan");
    rig.set("auth/token/revoke-orphan", json!({"token": parent})).await;
    assert!(!rig.is_alive(&parent).await);
    assert!(rig.is_alive(&child).await);
    assert_eq!(rig.set("auth/token/lookup", json!({"token": child})).await.data["orphan"], true);
}

#[tokio::test]
async fn revoke_self_and_by_accessor_work() {
    let rig = Rig::new().await;
    let own = rig.token_with(OWN, json!({})).await;
    rig.write(&own, "auth/token/revoke-self", json!({})).await.unwrap();
    assert!(!rig.is_alive(&own).await);
    let made = rig.set("auth/token/create", json!({"policies": "p"})).await;
    rig.set("auth/token/revoke-accessor", json!({"accessor": made.auth().accessor})).await;
    assert!(!rig.is_alive(&made.token()).await);
}

#[tokio::test]
async fn counted_uses_end_exactly() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({"num_uses": 3})).await;
    for left in [2, 1, 0] {
        let data = rig.read(&token, "auth/token/lookup-self").await.unwrap().data;
        assert_eq!(data["num_uses"], left);
    }
    assert!(rig.read(&token, "auth/token/lookup-self").await.is_err());
    assert_eq!(rig.tokens.accessors().await.unwrap().len(), 1);
}

#[tokio::test]
async fn counted_uses_are_not_overdrawn_by_a_race() {
    let rig = std::sync::Arc::new(Rig::new().await);
    let token = rig.token_with(OWN, json!({"num_uses": 5})).await;
    let racers: Vec<_> = (0..20)
        .map(|_| {
            let (rig, token) = (std::sync::Arc::clone(&rig), token.clone());
            tokio::spawn(async move { rig.is_alive(&token).await })
        })
        .collect();
    let mut admitted = 0;
    for racer in racers {
        admitted += usize::from(racer.await.unwrap());
    }
    assert_eq!(admitted, 5);
}

#[tokio::test]
async fn the_sweeper_finds_expired_tokens_by_index() {
    let rig = Rig::new().await;
    let short = rig.token_with(OWN, json!({"ttl": 60})).await;
    let child = rig.write(&short, "auth/token/create", json!({"ttl": "1h"})).await.unwrap().token();
    rig.token_with(OWN, json!({"ttl": "2h"})).await;
    rig.clock.advance(61);
    assert!(!rig.is_alive(&short).await);
    let now = chancery_engine::Clock::now(&rig.clock);
    assert_eq!(rig.tokens.sweep(now, 100).await.unwrap(), 1);
    assert!(!rig.is_alive(&child).await);
    assert_eq!(rig.tokens.accessors().await.unwrap().len(), 2);
}

#[tokio::test]
async fn tokens_are_stored_only_under_keyed_hashes() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({})).await;
    for key in rig.store.view("").keys("", chancery_store::Page::default()).await.unwrap() {
        assert!(!key.contains(&token) && !key.contains(ROOT), "{key}");
        let entry = rig.store.view("").read(&key).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&entry.value).into_owned();
        assert!(!text.contains(&token) && !text.contains(ROOT), "{key}");
    }
    assert!(token.starts_with("hvs.") && token.len() >= 28);
}

#[tokio::test]
async fn batch_tokens_can_neither_be_renewed_nor_revoked_nor_have_children() {
    let rig = Rig::new().await;
    let batch = rig.token_with(OWN, json!({"type": "batch", "ttl": "1h"})).await;
    assert!(batch.starts_with("hvb."));
    let data = rig.read(&batch, "auth/token/lookup-self").await.unwrap().data;
    assert_eq!((&data["type"], &data["accessor"], &data["renewable"]), (&json!("batch"), &json!(""), &json!(false)));
    for (endpoint, text) in [
        ("renew-self", "batch tokens cannot be renewed"),
        ("revoke-self", "batch tokens cannot be revoked"),
        ("create", "batch tokens cannot create more tokens"),
    ] {
        assert_eq!(rig.refusal(&batch, &format!("auth/token/{endpoint}"), json!({})).await, text);
    }
    let mut forged = batch.clone().into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert!(!rig.is_alive(&String::from_utf8(forged).unwrap()).await);
    rig.clock.advance(3600);
    assert!(!rig.is_alive(&batch).await);
}

#[tokio::test]
async fn a_bound_token_is_refused_elsewhere() {
    let mut rig = Rig::new().await;
    rig.set("auth/token/roles/bound", json!({"token_bound_cidrs": ["10.0.0.0/8"]})).await;
    let token = rig.set("auth/token/create/bound", json!({"policies": "p"})).await.token();
    assert!(!rig.is_alive(&token).await);
    rig.client = "10.1.2.3:1".parse().unwrap();
    assert!(rig.is_alive(&token).await);
    rig.client = "127.0.0.1:1".parse().unwrap();
    assert!(!rig.is_alive(&token).await);
}

#[tokio::test]
async fn tidy_starts_and_says_so() {
    let rig = Rig::new().await;
    let answer = rig.set("auth/token/tidy", json!({})).await;
    assert_eq!(answer.disposition, chancery_engine::response::Disposition::Accepted);
    assert_eq!(answer.warnings.len(), 1);
}

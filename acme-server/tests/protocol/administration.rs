//! What operators see and set.

use crate::harness::{BASE, Mount, Web, challenge};
use chancery_engine::Verb;
use serde_json::json;

#[tokio::test]
async fn acme_is_off_until_somebody_switches_it_on() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let config = mount.admin(Verb::Write, "config/acme", json!({"enabled": false})).await.unwrap();
    assert_eq!(
        config,
        json!({
            "enabled": false,
            "allowed_issuers": ["*"],
            "allowed_roles": ["*"],
            "allow_role_ext_key_usage": false,
            "default_directory_policy": "sign-verbatim",
            "dns_resolver": "",
            "eab_policy": "not-required",
        })
    );
    for place in ["acme/directory", "acme/new-nonce", "roles/web/acme/directory"] {
        let reply = mount.get(&format!("{BASE}{place}")).await;
        assert_eq!((reply.status, reply.body.len()), (404, 0), "{place}");
    }
}

#[tokio::test]
async fn names_without_an_answer_about_caa_are_certified_only_where_an_operator_says_so() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let shown = mount.admin(Verb::Read, "config/acme", json!({})).await.unwrap();
    assert_eq!(shown.get("permit_without_caa_answer"), None);
    let permitted = json!({"caa_identities": "ca.test", "permit_without_caa_answer": "true"});
    let shown = mount.admin(Verb::Write, "config/acme", permitted).await.unwrap();
    assert_eq!(shown["permit_without_caa_answer"], true);
    mount.admin(Verb::Write, "config/acme", json!({"permit_without_caa_answer": false})).await.unwrap();
    let shown = mount.admin(Verb::Read, "config/acme", json!({})).await.unwrap();
    assert_eq!((shown.get("permit_without_caa_answer"), &shown["caa_identities"]), (None, &json!(["ca.test"])));
}

#[tokio::test]
async fn settings_that_cannot_be_obeyed_are_refused() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    mount.admin(Verb::Write, "roles/unkept", json!({"no_store": true})).await.unwrap();
    let before = mount.admin(Verb::Read, "config/acme", json!({})).await.unwrap();
    for (body, text) in [
        (json!({"eab_policy": "x"}), "invalid eab policy name"),
        (json!({"default_directory_policy": "x"}), "not a valid Default Directory Policy"),
        (json!({"default_directory_policy": "role:x"}), "role x is not a valid ACME role"),
        (json!({"default_directory_policy": "role:unkept"}), "no_store"),
        (json!({"default_directory_policy": "role:web", "allowed_roles": "other"}), "allowed_role other"),
        (json!({"allowed_roles": ""}), "non-zero length"),
        (json!({"allowed_issuers": "x"}), "failed validating allowed_issuers"),
        (json!({"dns_resolver": "x"}), "failed to parse DNS resolver address"),
        (json!({"dns_resolver": "192.0.2.1:53, x"}), "address: x is not the address"),
        (json!({"allowed_networks": "10.0.0.0"}), "is not a network"),
        (json!({"allowed_networks": "10.0.0.0/33"}), "is not a network"),
        (json!({"caa_identities": "a b"}), "is not a domain name"),
        (json!({"website": "x"}), "is not a URL"),
        (json!({"authorization_lifetime": "1s"}), "authorization_lifetime"),
    ] {
        let refusal = mount.admin(Verb::Write, "config/acme", body.clone()).await.unwrap_err();
        assert!(refusal.contains(text), "{body}: {refusal}");
    }
    assert_eq!(mount.admin(Verb::Read, "config/acme", json!({})).await.unwrap(), before);
}

#[tokio::test]
async fn directories_are_those_that_are_allowed() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let allowed = json!({"allowed_roles": "web", "allowed_issuers": "root"});
    mount.admin(Verb::Write, "roles/other", json!({"allow_any_name": true})).await.unwrap();
    mount.admin(Verb::Write, "config/acme", allowed).await.unwrap();
    for place in ["acme", "roles/web/acme", "issuer/root/acme", "issuer/default/roles/web/acme"] {
        let directory = mount.get(&format!("{BASE}{place}/directory")).await.ok();
        assert_eq!(directory["newOrder"], format!("{BASE}{place}/new-order"));
        assert_eq!(directory["meta"]["profiles"], json!({"web": "the role web"}));
    }
    for place in ["roles/other/acme", "roles/none/acme", "issuer/none/acme", "issuer/none/roles/web/acme"] {
        mount.get(&format!("{BASE}{place}/directory")).await.problem("malformed", 400);
    }
    mount.admin(Verb::Write, "config/acme", json!({"default_directory_policy": "forbid"})).await.unwrap();
    mount.get(&format!("{BASE}acme/directory")).await.problem("malformed", 400);
    mount.get(&format!("{BASE}roles/web/acme/directory")).await.ok();
}

#[tokio::test]
async fn operators_see_accounts_orders_and_why_a_challenge_failed() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let own = client.account.clone().unwrap();
    let id = own.rsplit('/').next().unwrap().to_owned();
    *web.thumbprint.lock() = "wrong".to_owned();
    let (_, order) = client.order(&["127.0.0.1"]).await;
    let authorization = client.read(order["authorizations"][0].as_str().unwrap()).await.ok();
    client.post(&challenge(&authorization, "http-01"), json!({})).await.ok();

    for place in ["acme/accounts", "acme/mgmt/account/keyid"] {
        let listed = mount.admin(Verb::List, place, json!({})).await.unwrap();
        assert_eq!(listed["keys"], json!([id]));
        assert_eq!(listed["key_info"][&id]["status"], "valid");
        let read = mount.admin(Verb::Read, &format!("{place}/{id}"), json!({})).await.unwrap();
        assert_eq!(read["thumbprint"], client.key.thumbprint());
    }
    let listed = mount.admin(Verb::List, &format!("acme/orders/{id}"), json!({})).await.unwrap();
    let order = listed["keys"][0].as_str().unwrap().to_owned();
    let read = mount.admin(Verb::Read, &format!("acme/orders/{id}/{order}"), json!({})).await.unwrap();
    assert_eq!(read["status"], "invalid");
    let error = &read["authorizations"][0]["challenges"][0]["error"];
    assert!(error["detail"].as_str().unwrap().contains("127.0.0.1"), "{read}");

    assert!(mount.admin(Verb::Write, &format!("acme/accounts/{id}"), json!({"status": "x"})).await.is_err());
    mount.admin(Verb::Write, &format!("acme/accounts/{id}"), json!({"status": "revoked"})).await.unwrap();
    client.read(&own).await.problem("unauthorized", 401);
}

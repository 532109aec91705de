//! Who may make which token, and token roles.

use crate::rig::{ROOT, Rig};
use serde_json::json;

const OWN: &str = "path \"auth/token/*\" { capabilities = [\"create\", \"read\", \"update\", \"list\"] }";

#[tokio::test]
async fn a_token_never_has_more_policies_than_its_maker() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({})).await;
    for policies in [json!(["other"]), json!(["root"]), json!(["Root"]), json!([" ROOT "]), json!(["test", "root"])] {
        let text = rig.refusal(&token, "auth/token/create", json!({"policies": policies})).await;
        assert_eq!(text, "child policies must be subset of parent", "{policies}");
    }
    let child = rig.write(&token, "auth/token/create", json!({"policies": ["TEST"]})).await.unwrap();
    assert_eq!(child.auth().policies, ["default", "test"]);
    let bare = rig.token_with(OWN, json!({"no_default_policy": true})).await;
    let child = rig.write(&bare, "auth/token/create", json!({"policies": ["test"]})).await.unwrap();
    assert_eq!(child.auth().policies, ["test"]);
}

#[tokio::test]
async fn sudo_alone_does_not_make_root_tokens() {
    let rig = Rig::new().await;
    let policy = "path \"auth/token/*\" { capabilities = [\"update\", \"create\", \"sudo\"] }";
    let token = rig.token_with(policy, json!({})).await;
    for path in ["auth/token/create", "auth/token/create-orphan"] {
        let text = rig.refusal(&token, path, json!({"policies": ["Root"]})).await;
        assert_eq!(text, "root tokens may not be created without parent token being root");
    }
    rig.set("auth/token/roles/r", json!({"allowed_policies": "root"})).await;
    let text = rig.refusal(&token, "auth/token/create/r", json!({})).await;
    assert_eq!(text, "root tokens may not be created without parent token being root");
    let other = rig.write(&token, "auth/token/create", json!({"policies": ["other"]})).await.unwrap();
    assert_eq!(other.auth().policies, ["default", "other"]);
    assert_eq!(other.warnings, ["Policy \"other\" does not exist"]);
}

#[tokio::test]
async fn privileges_are_needed_for_ids_orphans_and_periods() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({})).await;
    for (body, text) in [
        (json!({"id": "mine"}), "root or sudo privileges required to specify token id"),
        (json!({"no_parent": true}), "root or sudo privileges required to create orphan token"),
        (json!({"period": "1h"}), "root or sudo privileges required to create periodic token"),
    ] {
        assert_eq!(rig.refusal(&token, "auth/token/create", body).await, text);
    }
}

#[tokio::test]
async fn wrong_parameters_are_refused_in_vaults_words() {
    let rig = Rig::new().await;
    for (body, text) in [
        (json!({"num_uses": -1}), "number of uses cannot be negative"),
        (json!({"ttl": "-1h"}), "ttl must be positive"),
        (json!({"explicit_max_ttl": "-1h"}), "explicit_max_ttl must be positive"),
        (json!({"period": "-1h"}), "period must be positive"),
        (json!({"type": "frob"}), "invalid 'token_type' value"),
        (json!({"type": "batch"}), "batch tokens cannot be root tokens"),
        (json!({"type": "batch", "policies": "p", "period": 9}), "batch tokens cannot have \"period\" set"),
        (json!({"type": "batch", "policies": "p", "num_uses": 9}), "batch tokens cannot have \"num_uses\" set"),
        (json!({"policies": "response-wrapping"}), "cannot assign policy \"response-wrapping\""),
        (json!({"entity_alias": "x"}), "'entity_alias' is only allowed in combination with token role"),
        (json!({"id": "hvs.x"}), "custom token ID cannot have the 'hvs.' prefix"),
        (json!({"id": "a.b"}), "custom token ID cannot have a '.' in the value"),
    ] {
        assert_eq!(rig.refusal(ROOT, "auth/token/create", body.clone()).await, text, "{body}");
    }
    assert_eq!(rig.tokens.accessors().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_chosen_id_is_honoured_once() {
    let rig = Rig::new().await;
    let made = rig.set("auth/token/create", json!({"id": "chosen", "policies": "p"})).await;
    assert_eq!(made.token(), "chosen");
    let text = rig.refusal(ROOT, "auth/token/create", json!({"id": "chosen"})).await;
    assert_eq!(text, "cannot create a token with a duplicate ID");
}

#[tokio::test]
async fn a_counted_token_has_no_children() {
    let rig = Rig::new().await;
    for uses in [1, 5] {
        let token = rig.token_with(OWN, json!({"num_uses": uses})).await;
        let text = rig.refusal(&token, "auth/token/create", json!({})).await;
        assert_eq!(text, "restricted use token cannot generate child tokens");
    }
}

#[tokio::test]
async fn a_root_token_with_an_end_makes_none_without() {
    let rig = Rig::new().await;
    let root = rig.set("auth/token/create", json!({"ttl": "1h"})).await;
    assert_eq!((root.auth().policies.as_slice(), root.auth().lease_duration), (["root".to_owned()].as_slice(), 3600));
    let text = rig.refusal(&root.token(), "auth/token/create", json!({})).await;
    assert_eq!(text, "expiring root tokens cannot create non-expiring root tokens");
}

#[tokio::test]
async fn the_block_is_what_clients_expect() {
    let rig = Rig::new().await;
    let made = rig
        .set(
            "auth/token/create",
            json!({"policies": ["p1"], "num_uses": 3, "ttl": "1h", "meta": {"a": "b"}, "frob": 1}),
        )
        .await;
    assert_eq!(
        made.warnings,
        ["Policy \"p1\" does not exist", "Endpoint ignored these unrecognized parameters: [frob]"]
    );
    let mut block = serde_json::to_value(made.auth()).unwrap();
    assert!(block["client_token"].as_str().unwrap().starts_with("hvs."));
    assert_eq!(block["accessor"].as_str().unwrap().len(), 24);
    block["client_token"] = json!("");
    block["accessor"] = json!("");
    assert_eq!(
        block,
        json!({
            "client_token": "", "accessor": "", "policies": ["default", "p1"], "token_policies": ["default", "p1"],
            "metadata": {"a": "b"}, "lease_duration": 3600, "renewable": true, "entity_id": "",
            "token_type": "service", "orphan": false, "mfa_requirement": null, "num_uses": 3
        })
    );
}

#[tokio::test]
async fn a_role_shows_all_its_fields() {
    let rig = Rig::new().await;
    rig.set("auth/token/roles/r1", json!({})).await;
    assert_eq!(
        rig.read(ROOT, "auth/token/roles/r1").await.unwrap().data,
        json!({
            "allowed_entity_aliases": null, "allowed_policies": [], "allowed_policies_glob": [],
            "disallowed_policies": [], "disallowed_policies_glob": [], "explicit_max_ttl": 0, "name": "r1",
            "orphan": false, "path_suffix": "", "period": 0, "renewable": true, "token_explicit_max_ttl": 0,
            "token_no_default_policy": false, "token_period": 0, "token_type": "default-service"
        })
    );
    let answer = rig
        .set(
            "auth/token/roles/r2",
            json!({
                "allowed_policies": "p1,p2", "disallowed_policies": "p3", "orphan": true, "period": "1h",
                "renewable": false, "path_suffix": "suf", "token_explicit_max_ttl": "10h", "allowed_entity_aliases": "a",
                "bound_cidrs": "127.0.0.1", "allowed_policies_glob": "q*", "disallowed_policies_glob": "z*",
                "explicit_max_ttl": "3h", "token_type": "service", "token_num_uses": 3
            }),
        )
        .await;
    assert_eq!(
        answer.warnings,
        [
            "Both 'token_explicit_max_ttl' and deprecated 'explicit_max_ttl' value supplied, ignoring the deprecated value"
        ]
    );
    assert_eq!(
        rig.read(ROOT, "auth/token/roles/r2").await.unwrap().data,
        json!({
            "allowed_entity_aliases": ["a"], "allowed_policies": ["p1", "p2"], "allowed_policies_glob": ["q*"],
            "bound_cidrs": ["127.0.0.1"], "disallowed_policies": ["p3"], "disallowed_policies_glob": ["z*"],
            "explicit_max_ttl": 0, "name": "r2", "orphan": true, "path_suffix": "suf", "period": 3600,
            "renewable": false, "token_bound_cidrs": ["127.0.0.1"], "token_explicit_max_ttl": 36000,
            "token_no_default_policy": false, "token_num_uses": 3, "token_period": 3600, "token_type": "service"
        })
    );
    assert_eq!(rig.list(ROOT, "auth/token/roles").await.unwrap().data["keys"], json!(["r1", "r2"]));
    rig.delete(ROOT, "auth/token/roles/r1").await.unwrap();
    assert_eq!(rig.read(ROOT, "auth/token/roles/r1").await.unwrap_err().to_string(), "not found");
}

#[tokio::test]
async fn wrong_role_parameters_are_refused_and_nothing_is_written() {
    let rig = Rig::new().await;
    for (body, text) in [
        (
            json!({"path_suffix": "../x"}),
            "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w",
        ),
        (json!({"token_type": "frob"}), "invalid 'token_type' value \"frob\""),
        (
            json!({"token_period": "-1"}),
            "error converting input for field \"token_period\": cannot provide negative value '-1'",
        ),
        (json!({"token_num_uses": -1}), "error parsing role fields: 'token_num_uses' cannot be negative"),
    ] {
        assert_eq!(rig.refusal(ROOT, "auth/token/roles/r", body.clone()).await, text, "{body}");
    }
    assert!(rig.read(ROOT, "auth/token/roles/r").await.is_err());
}

#[tokio::test]
async fn a_role_gives_what_it_allows_and_no_more() {
    let rig = Rig::new().await;
    let token = rig.token_with(OWN, json!({})).await;
    rig.set(
        "auth/token/roles/r",
        json!({"allowed_policies": "p1,p2", "allowed_policies_glob": "q*", "orphan": true, "path_suffix": "suf",
            "token_period": "1h", "token_num_uses": 3}),
    )
    .await;
    let all = rig.write(&token, "auth/token/create/r", json!({})).await.unwrap();
    assert_eq!(all.auth().policies, ["default", "p1", "p2"]);
    assert!(all.auth().orphan);
    assert_eq!((all.auth().lease_duration, all.auth().num_uses), (3600, 3));
    let some = rig.write(&token, "auth/token/create/r", json!({"policies": ["qq"]})).await.unwrap();
    assert_eq!(some.auth().policies, ["default", "qq"]);
    let data = rig.set("auth/token/lookup", json!({"token": some.token()})).await.data;
    assert_eq!((&data["path"], &data["role"]), (&json!("auth/token/create/r/suf"), &json!("r")));
    assert_eq!(
        rig.refusal(&token, "auth/token/create/r", json!({"policies": ["p9"]})).await,
        "token policies ([\"default\" \"p9\"]) must be subset of the role's allowed policies ([\"default\" \"p1\" \"p2\"]) or glob policies ([\"q*\"])"
    );
    assert_eq!(rig.refusal(&token, "auth/token/create/nope", json!({})).await, "unknown role nope");
    rig.set("auth/token/roles/d", json!({"disallowed_policies": "p1", "disallowed_policies_glob": "q*"})).await;
    for name in ["p1", "q1"] {
        let text = rig.refusal(ROOT, "auth/token/create/d", json!({"policies": [name, "z"]})).await;
        assert_eq!(text, format!("token policy {name:?} is disallowed by this role"));
    }
}

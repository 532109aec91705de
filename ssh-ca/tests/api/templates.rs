//! Roles with templates: values of the caller's login, and nobody else's.

use crate::harness::{Mount, Pair, caller};
use serde_json::json;

const USERNAME: &str = "{{identity.entity.metadata.username}}";

async fn mount_for(path: &str, value: &str) -> Mount {
    let mut mount = Mount::ready().await;
    let role = json!({
        "allow_user_certificates": true, "allowed_users": format!("{USERNAME},shared"), "allowed_users_template": true,
        "default_user": USERNAME, "default_user_template": true,
        "default_extensions": {"login@example.com": USERNAME}, "default_extensions_template": true,
    });
    mount.role("t", role).await;
    mount.caller = caller("userpass-mitch", path, &[("username", value)]);
    mount
}

#[tokio::test]
async fn a_login_fills_its_own_name_in() {
    let mount = mount_for("auth/userpass/login/mitch", "mitch").await;
    let certificate = mount.sign("t", &Pair::ed25519(), json!({})).await.certificate();
    assert_eq!(certificate.valid_principals(), ["mitch"]);
    assert_eq!(certificate.extensions().get("login@example.com").unwrap(), "mitch");
    mount.sign("t", &Pair::ed25519(), json!({"valid_principals": "mitch,shared"})).await.ok();
    let other = mount.sign("t", &Pair::ed25519(), json!({"valid_principals": "root"})).await;
    other.refused("root is not a valid value for valid_principals");
}

#[tokio::test]
async fn ghsa_59w7_v8rr_pr4p_hostile_values_sign_nothing() {
    for value in ["*", "a,root", "root\nx", "a b", "{{x}}", "?", "a\u{0}"] {
        let mount = mount_for("auth/userpass/login/mitch", value).await;
        mount.sign("t", &Pair::ed25519(), json!({})).await.refused_for(400, "its value for this caller contains");
        let asked = mount.sign("t", &Pair::ed25519(), json!({"valid_principals": "root"})).await;
        assert_eq!(asked.status, 400, "{value:?}");
        assert_eq!(mount.list("certificates", json!({})).await.status, 404);
    }
}

#[tokio::test]
async fn metadata_that_the_maker_of_a_token_chose_is_nobodys_name() {
    let mount = mount_for("auth/token/create", "root").await;
    mount.sign("t", &Pair::ed25519(), json!({})).await.refused_for(400, "login has no such value");
    let asked = mount.sign("t", &Pair::ed25519(), json!({"valid_principals": "root"})).await;
    asked.refused("root is not a valid value for valid_principals");
    let shared = mount.sign("t", &Pair::ed25519(), json!({"valid_principals": "shared"})).await;
    assert!(shared.warnings[0].contains("causing one or more extensions to be skipped"), "{shared:?}");
}

#[tokio::test]
async fn commas_make_a_list_where_the_role_says_so() {
    let mount = mount_for("auth/userpass/login/mitch", "a,b").await;
    let body = json!({"allow_commas_in_identity_templates": true, "default_extensions_template": false, "default_extensions": {}});
    mount.patch("roles/t", body).await;
    assert_eq!(mount.sign("t", &Pair::ed25519(), json!({})).await.certificate().valid_principals(), ["a", "b"]);
}

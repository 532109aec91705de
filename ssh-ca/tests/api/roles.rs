//! `roles`, `roles/:name`.

use crate::harness::Mount;
use serde_json::json;

#[tokio::test]
async fn a_role_shows_every_field_of_its_key_type() {
    let mount = Mount::new().await;
    mount.role("a", json!({"allow_user_certificates": "true", "ttl": "30m", "max_ttl": 3600})).await;
    let role = mount.read("roles/a").await.ok();
    for (member, value) in [
        ("algorithm_signer", json!("default")),
        ("allow_empty_principals", json!(false)),
        ("allowed_user_key_lengths", json!({})),
        ("issuer_ref", json!("default")),
        ("key_type", json!("ca")),
        ("max_ttl", json!(3600)),
        ("not_before_duration", json!(30)),
        ("security_keys", json!("allow")),
        ("ttl", json!(1800)),
    ] {
        assert_eq!(role[member], value, "{member}");
    }
    assert!(role.get("cidr_list").is_none() && role.get("port").is_none());
    mount.write("roles/o", json!({"key_type": "otp", "default_user": "u"})).await;
    assert_eq!(
        mount.read("roles/o").await.ok(),
        json!({"allowed_users": "", "cidr_list": "", "default_user": "u", "exclude_cidr_list": "", "key_type": "otp", "port": 22})
    );
    let listed = mount.list("roles", json!({})).await.ok();
    assert_eq!(listed["keys"], json!(["a", "o"]));
    assert_eq!(listed["key_info"], json!({"a": {"issuer_ref": "default", "key_type": "ca"}, "o": {"key_type": "otp"}}));
}

#[tokio::test]
async fn post_replaces_and_patch_keeps() {
    let mount = Mount::new().await;
    mount.role("a", json!({"allow_user_certificates": true, "ttl": 60, "allowed_users": "x"})).await;
    assert_eq!(mount.patch("roles/a", json!({"allowed_users": "y"})).await.status, 204);
    let role = mount.read("roles/a").await.ok();
    assert_eq!((&role["allowed_users"], &role["ttl"]), (&json!("y"), &json!(60)));
    mount.role("a", json!({"allow_host_certificates": true})).await;
    let role = mount.read("roles/a").await.ok();
    assert_eq!((&role["allowed_users"], &role["allow_user_certificates"]), (&json!(""), &json!(false)));
    assert_eq!(mount.patch("roles/none", json!({})).await.status, 404);
    assert_eq!(mount.delete("roles/a").await.status, 204);
    assert_eq!(mount.delete("roles/a").await.status, 204);
    assert_eq!(mount.read("roles/a").await.status, 404);
}

#[tokio::test]
async fn key_lengths_are_one_or_several() {
    let mount = Mount::new().await;
    let lengths = json!({"rsa": 2048, "ec": [256, "384"], "ed25519": "0"});
    mount.role("a", json!({"allow_user_certificates": true, "allowed_user_key_lengths": lengths})).await;
    assert_eq!(
        mount.read("roles/a").await.ok()["allowed_user_key_lengths"],
        json!({"rsa": [2048], "ec": [256, 384], "ed25519": [0]})
    );
}

#[tokio::test]
async fn contradictions_and_what_could_never_be_issued_are_refused() {
    let mount = Mount::new().await;
    let either = "Either 'allow_user_certificates' or 'allow_host_certificates' must be set to 'true'";
    let user = |more: serde_json::Value| {
        let mut body = json!({"key_type": "ca", "allow_user_certificates": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, text) in [
        (json!({}), "missing key type"),
        (json!({"key_type": "zork"}), "invalid key type"),
        (json!({"key_type": "dynamic"}), "dynamic key type roles are no longer supported"),
        (json!({"key_type": "ca"}), either),
        (json!({"key_type": "otp"}), "missing default user"),
        (
            json!({"key_type": "otp", "default_user": "u", "cidr_list": "x"}),
            "failed to validate cidr_list: invalid CIDR address: x",
        ),
        (
            user(json!({"ttl": 100, "max_ttl": 50})),
            "\"ttl\" value must be less than \"max_ttl\" when both are specified",
        ),
        (
            user(json!({"ttl": -5})),
            "Field validation failed: error converting input for field \"ttl\": cannot provide negative value '-5'",
        ),
        (user(json!({"algorithm_signer": "zork"})), "unknown algorithm signer \"zork\""),
        (
            user(json!({"allowed_user_key_lengths": {"rsa": "x"}})),
            "error processing allowed_user_key_lengths: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
    ] {
        mount.write("roles/a", body).await.refused(text);
    }
    for (more, text) in [
        (json!({"algorithm_signer": "ssh-rsa"}), "SHA-1"),
        (json!({"default_critical_options": {"zork": "x"}}), "\"zork\" is not known to OpenSSH"),
        (json!({"default_critical_options": {"source-address": "host"}}), "neither an address nor a network"),
        (json!({"default_extensions": {"permit-pty": "x"}}), "takes no value"),
        (json!({"openssh_version": "8.2", "default_critical_options": {"verify-required": ""}}), "needs OpenSSH 8.4"),
        (json!({"security_keys": "maybe"}), "allow, require or refuse"),
        (json!({"renewal_grace": "999h"}), "renewal_grace is at most"),
    ] {
        mount.write("roles/a", user(more)).await.refused_for(400, text);
    }
    assert_eq!(mount.read("roles/a").await.status, 404, "nothing was written");
}

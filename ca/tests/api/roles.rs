use crate::harness::Mount;
use serde_json::{Value, json};

/// What OpenBao 2.7 answers to `roles/r` with no parameters.
fn defaults() -> Value {
    let text = r#"{
        "allow_any_name": false, "allow_bare_domains": false, "allow_glob_domains": false,
        "allow_globs_in_identity_templates": false, "allow_ip_sans": true, "allow_localhost": true,
        "allow_subdomains": false, "allow_token_displayname": false, "allow_wildcard_certificates": true,
        "allowed_domains": [], "allowed_domains_template": false, "allowed_ip_sans_cidr": [], "allowed_other_sans": [],
        "allowed_serial_numbers": [], "allowed_uri_sans": [], "allowed_uri_sans_template": false, "allowed_user_ids": [],
        "basic_constraints_valid_for_non_ca": false, "client_flag": true, "cn_validations": ["email", "hostname"],
        "code_signing_flag": false, "country": [], "email_protection_flag": false, "enforce_hostnames": true,
        "ext_key_usage": [], "ext_key_usage_oids": [], "generate_lease": false, "issuer_ref": "default",
        "key_bits": 2048, "key_type": "rsa", "key_usage": ["DigitalSignature", "KeyAgreement", "KeyEncipherment"],
        "locality": [], "max_ttl": 0, "no_store": false, "not_after": "", "not_after_bound": "permit", "not_before": "",
        "not_before_bound": "permit", "not_before_duration": 30, "organization": [], "ou": [], "policy_identifiers": [],
        "postal_code": [], "province": [], "require_cn": true, "server_flag": true, "signature_bits": 0,
        "street_address": [], "ttl": 0, "use_csr_common_name": true, "use_csr_sans": true, "use_pss": false
    }"#;
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn an_empty_role_is_the_wires_defaults() {
    let mount = Mount::new().await;
    assert_eq!(mount.write("roles/r", json!({})).await.ok(), defaults());
    assert_eq!(mount.read("roles/r").await.ok(), defaults());
    assert_eq!(mount.list("roles").await.ok(), json!({"keys": ["r"]}));
    assert_eq!(mount.delete("roles/r").await.status, 204);
    assert_eq!(mount.delete("roles/r").await.status, 204);
    assert_eq!(mount.read("roles/r").await.status, 404);
    assert_eq!(mount.list("roles").await.status, 404);
}

#[tokio::test]
async fn loosely_typed_members_are_echoed_in_their_types() {
    let mount = Mount::new().await;
    let stated = json!({"ttl": "1h", "max_ttl": "90000", "allow_any_name": "true", "allowed_domains": "a, b", "key_type": "ec",
        "key_bits": "384", "not_before_duration": "45s", "key_usage": "", "cn_validations": "", "allow_ip_sans": "0"});
    let role = mount.write("roles/r", stated).await.ok();
    let mut expected = defaults();
    for (member, value) in [
        ("ttl", json!(3600)),
        ("max_ttl", json!(90_000)),
        ("allow_any_name", json!(true)),
        ("allowed_domains", json!(["a", "b"])),
        ("key_type", json!("ec")),
        ("key_bits", json!(384)),
        ("not_before_duration", json!(45)),
        ("key_usage", json!([])),
        ("allow_ip_sans", json!(false)),
    ] {
        expected[member] = value;
    }
    assert_eq!(role, expected);
}

#[tokio::test]
async fn post_replaces_and_patch_changes() {
    let mount = Mount::new().await;
    mount.write("roles/r", json!({"ou": "a", "ttl": 5})).await.ok();
    let patched = mount.patch("roles/r", json!({"ttl": 6})).await.ok();
    assert_eq!((&patched["ou"], &patched["ttl"]), (&json!(["a"]), &json!(6)));
    assert_eq!(mount.write("roles/r", json!({"ttl": 7})).await.ok()["ou"], json!([]));
    assert_eq!(mount.patch("roles/none", json!({})).await.status, 400);
}

#[tokio::test]
async fn mistakes_are_refused_in_the_wires_words() {
    let mount = Mount::new().await;
    for (role, text) in [
        (json!({"key_type": "zork"}), "unknown key type zork"),
        (json!({"key_bits": 1024}), "RSA keys < 2048 bits are unsafe and not supported: got 1024"),
        (json!({"key_type": "ec", "key_bits": 123}), "unsupported bit length for EC key: 123"),
        (json!({"ttl": "2h", "max_ttl": "1h"}), "\"ttl\" value must be less than \"max_ttl\" value"),
        (
            json!({"ttl": -1}),
            "Field validation failed: error converting input for field \"ttl\": cannot provide negative value '-1'",
        ),
        (
            json!({"not_before_bound": "zork"}),
            "Unknown value for field `not_before_bound`. Possible values are `permit` `duration` or `forbid`",
        ),
        (
            json!({"not_after_bound": "zork"}),
            "Unknown value for field `not_after_bound`. Possible values are `permit`, `ttl-limited`, `forbid`, or an explicit timestamp.",
        ),
        (
            json!({"ext_key_usage_oids": "zork"}),
            "\"zork\" could not be parsed as a valid oid for an extended key usage",
        ),
        (
            json!({"allowed_other_sans": "zork"}),
            "error parsing allowed_other_sans: expected a semicolon in other SAN \"zork\"",
        ),
        (json!({"allowed_ip_sans_cidr": "zork"}), "error parsing allowed_ip_sans_cidr: invalid CIDR address: zork"),
    ] {
        mount.write("roles/r", role).await.refused(text);
    }
    mount
        .write("roles/r", json!({"cn_validations": "zork"}))
        .await
        .refused("cn_validations value incorrect: unknown type: `zork`");
    mount
        .write("roles/r", json!({"cn_validations": "disabled,email"}))
        .await
        .refused("cn_validations value incorrect: cannot specify `disabled` along with `email` or `hostname`");
    assert_eq!(mount.write("roles/r", json!({"policy_identifiers": "zork"})).await.status, 400);
    assert_eq!(mount.read("roles/r").await.status, 404);
}

#[tokio::test]
async fn doubtful_roles_are_warned_about() {
    let mount = Mount::new().await;
    let reply = mount
        .write("roles/r", json!({"issuer_ref": "zork", "no_store": true, "generate_lease": true, "zork": 1}))
        .await;
    assert_eq!(
        reply.warnings,
        [
            "mutually exclusive values no_store=true and generate_lease=true were both specified; no_store=true takes priority",
            "Issuing Certificate was set to zork but no issuing certificate currently has that name",
            "Endpoint ignored these unrecognized parameters: [zork]"
        ]
    );
    assert_eq!(reply.ok()["generate_lease"], false);
}

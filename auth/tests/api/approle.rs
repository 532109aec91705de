//! AppRole.

use crate::rig::{ROOT, Rig};
use chancery_engine::{Fault, Verb, response::Disposition};
use serde_json::{Value, json};

const ROLE: &str = "auth/approle/role";
const INVALID: &str = "invalid role or secret ID";

async fn rig_with_role(body: Value) -> Rig {
    let rig = Rig::new().await;
    rig.set(&format!("{ROLE}/a"), body).await;
    rig.set(&format!("{ROLE}/a/role-id"), json!({"role_id": "rid-a"})).await;
    rig
}

async fn secret_id(rig: &Rig, role: &str, body: Value) -> (String, String) {
    let data = rig.set(&format!("{ROLE}/{role}/secret-id"), body).await.data;
    let text = |member: &str| data[member].as_str().unwrap().to_owned();
    (text("secret_id"), text("secret_id_accessor"))
}

async fn log_in(rig: &Rig, role_id: &str, secret_id: &str) -> Result<crate::rig::Answer, Fault> {
    rig.write("", "auth/approle/login", json!({"role_id": role_id, "secret_id": secret_id})).await
}

#[tokio::test]
async fn a_role_shows_all_its_fields() {
    let rig = Rig::new().await;
    rig.set(&format!("{ROLE}/A"), json!({})).await;
    assert_eq!(
        rig.read(ROOT, &format!("{ROLE}/a")).await.unwrap().data,
        json!({
            "bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": null, "secret_id_num_uses": 0,
            "secret_id_ttl": 0, "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
            "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0, "token_policies": [],
            "token_strictly_bind_ip": false, "token_ttl": 0, "token_type": "default"
        })
    );
    rig.set(
        &format!("{ROLE}/a"),
        json!({"policies": "p1", "token_policies": "P3", "period": 5, "secret_id_ttl": "1h"}),
    )
    .await;
    let data = rig.read(ROOT, &format!("{ROLE}/a")).await.unwrap().data;
    assert_eq!((&data["policies"], &data["token_policies"]), (&json!(["p3"]), &json!(["p3"])));
    assert_eq!((&data["period"], &data["token_period"], &data["secret_id_ttl"]), (&json!(5), &json!(5), &json!(3600)));
    assert_eq!(rig.list(ROOT, ROLE).await.unwrap().data["keys"], json!(["a"]));
    rig.delete(ROOT, &format!("{ROLE}/a")).await.unwrap();
    rig.delete(ROOT, &format!("{ROLE}/a")).await.unwrap();
    assert!(rig.read(ROOT, &format!("{ROLE}/a")).await.is_err());
    assert!(rig.list(ROOT, ROLE).await.is_err());
}

#[tokio::test]
async fn wrong_parameters_are_refused_and_nothing_is_written() {
    let rig = Rig::new().await;
    for (body, text) in [
        (json!({"bind_secret_id": false}), "at least one constraint should be enabled on the role"),
        (
            json!({"token_type": "batch", "token_period": "1m"}),
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
        ),
        (json!({"token_ttl": "30m", "token_max_ttl": "20m"}), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (json!({"secret_id_bound_cidrs": "frob"}), "failed to validate CIDR blocks: invalid CIDR address: frob"),
        (
            json!({"token_bound_cidrs": "frob"}),
            "error parsing address \"frob\": Unable to convert \"frob\" to an IPv4 or IPv6 address, or a UNIX Socket",
        ),
        (json!({"secret_id_num_uses": -1}), "secret_id_num_uses cannot be negative"),
        (
            json!({"token_ttl": "-1"}),
            "error converting input for field \"token_ttl\": cannot provide negative value '-1'",
        ),
    ] {
        assert_eq!(rig.refusal(ROOT, &format!("{ROLE}/a"), body.clone()).await, text, "{body}");
    }
    assert!(rig.read(ROOT, &format!("{ROLE}/a")).await.is_err());
}

#[tokio::test]
async fn a_role_id_belongs_to_one_role() {
    let rig = rig_with_role(json!({})).await;
    rig.set(&format!("{ROLE}/b"), json!({})).await;
    assert_eq!(
        rig.refusal(ROOT, &format!("{ROLE}/b/role-id"), json!({"role_id": "rid-a"})).await,
        "role_id already in use"
    );
    assert_eq!(rig.refusal(ROOT, &format!("{ROLE}/c"), json!({"role_id": "rid-a"})).await, "role_id already in use");
    assert_eq!(rig.refusal(ROOT, &format!("{ROLE}/b/role-id"), json!({})).await, "missing role_id");
    assert_eq!(rig.read(ROOT, &format!("{ROLE}/a/role-id")).await.unwrap().data, json!({"role_id": "rid-a"}));
    assert!(rig.read(ROOT, &format!("{ROLE}/zz/role-id")).await.is_err());
    rig.delete(ROOT, &format!("{ROLE}/a")).await.unwrap();
    rig.set(&format!("{ROLE}/b/role-id"), json!({"role_id": "rid-a"})).await;
}

#[tokio::test]
async fn every_field_has_its_endpoint() {
    let rig = rig_with_role(json!({})).await;
    for (field, parameter, sent, shown, reset) in [
        ("policies", "token_policies", json!("x,y"), json!(["x", "y"]), json!([])),
        ("secret-id-bound-cidrs", "secret_id_bound_cidrs", json!("10.0.0.0/8"), json!(["10.0.0.0/8"]), json!(null)),
        ("bound-cidr-list", "bound_cidr_list", json!("10.0.0.0/8"), json!(["10.0.0.0/8"]), json!(null)),
        ("token-bound-cidrs", "token_bound_cidrs", json!("127.0.0.1"), json!(["127.0.0.1"]), json!([])),
        ("bind-secret-id", "bind_secret_id", json!("true"), json!(true), json!(true)),
        ("secret-id-num-uses", "secret_id_num_uses", json!("2"), json!(2), json!(0)),
        ("secret-id-ttl", "secret_id_ttl", json!("2h"), json!(7200), json!(0)),
        ("period", "token_period", json!("1m"), json!(60), json!(0)),
        ("token-num-uses", "token_num_uses", json!(4), json!(4), json!(0)),
        ("token-ttl", "token_ttl", json!("1h"), json!(3600), json!(0)),
        ("token-max-ttl", "token_max_ttl", json!("1h"), json!(3600), json!(0)),
    ] {
        let path = format!("{ROLE}/a/{field}");
        rig.set(&path, json!({parameter: sent})).await;
        assert_eq!(rig.read(ROOT, &path).await.unwrap().data[parameter], shown, "{field}");
        rig.delete(ROOT, &path).await.unwrap();
        assert_eq!(rig.read(ROOT, &path).await.unwrap().data[parameter], reset, "{field}");
        assert!(rig.read(ROOT, &format!("{ROLE}/zz/{field}")).await.is_err());
        assert!(rig.write(ROOT, &format!("{ROLE}/zz/{field}"), json!({parameter: 1})).await.is_err());
        assert!(rig.delete(ROOT, &format!("{ROLE}/zz/{field}")).await.unwrap().is_empty);
    }
    let local = rig.read(ROOT, &format!("{ROLE}/a/local-secret-ids")).await.unwrap().data;
    assert_eq!(local, json!({"local_secret_ids": false}));
    assert!(rig.send(ROOT, Verb::Write, &format!("{ROLE}/a/local-secret-ids"), "{}").await.is_err());
    assert_eq!(rig.refusal(ROOT, &format!("{ROLE}/a/token-ttl"), json!({})).await, "missing token_ttl");
    rig.set(&format!("{ROLE}/a/token-ttl"), json!({"token_ttl": "1h"})).await;
    assert_eq!(
        rig.refusal(ROOT, &format!("{ROLE}/a/token-max-ttl"), json!({"token_max_ttl": "1m"})).await,
        "token_max_ttl should be greater than or equal to token_ttl"
    );
    // A field's endpoint changes that field alone.
    rig.set(&format!("{ROLE}/a/token-num-uses"), json!({"token_num_uses": 1, "token_ttl": "5h"})).await;
    assert_eq!(rig.read(ROOT, &format!("{ROLE}/a/token-ttl")).await.unwrap().data["token_ttl"], 3600);
}

#[tokio::test]
async fn a_login_carries_role_and_metadata() {
    let rig = rig_with_role(json!({"token_policies": "P1", "token_ttl": "10m", "token_num_uses": 4})).await;
    let (id, _) = secret_id(&rig, "a", json!({"metadata": "{\"k\":\"v\"}"})).await;
    let answer = log_in(&rig, "rid-a", &id).await.unwrap();
    let block = answer.auth();
    assert_eq!(block.policies, ["default", "p1"]);
    assert_eq!(serde_json::to_value(&block.metadata).unwrap(), json!({"k": "v", "role_name": "a"}));
    assert_eq!((block.lease_duration, block.orphan, block.renewable, block.num_uses), (600, true, true, 4));
    let data = rig.set("auth/token/lookup", json!({"token": answer.token()})).await.data;
    assert_eq!((&data["display_name"], &data["path"]), (&json!("approle"), &json!("auth/approle/login")));
}

#[tokio::test]
async fn renewal_respects_the_roles_maximum() {
    let rig = rig_with_role(json!({"token_ttl": "10m", "token_max_ttl": "20m"})).await;
    let (id, _) = secret_id(&rig, "a", json!({})).await;
    let token = log_in(&rig, "rid-a", &id).await.unwrap().token();
    rig.clock.advance(900 - 400);
    assert_eq!(rig.set("auth/token/renew", json!({"token": token})).await.auth().lease_duration, 600);
    rig.clock.advance(500);
    let answer = rig.set("auth/token/renew", json!({"token": token, "increment": "1h"})).await;
    assert_eq!(answer.auth().lease_duration, 200);
    assert_eq!(answer.warnings.len(), 1);
}

#[tokio::test]
async fn every_wrong_pair_gets_the_same_answer() {
    let rig = rig_with_role(json!({})).await;
    rig.set(&format!("{ROLE}/b"), json!({"role_id": "rid-b"})).await;
    let (of_a, _) = secret_id(&rig, "a", json!({})).await;
    for (role_id, secret_id) in [("rid-a", "nope"), ("nope", of_a.as_str()), ("rid-b", of_a.as_str()), ("nope", "nope")]
    {
        assert_eq!(log_in(&rig, role_id, secret_id).await.unwrap_err().to_string(), INVALID);
    }
    assert_eq!(log_in(&rig, "", &of_a).await.unwrap_err().to_string(), "missing role_id");
    assert_eq!(log_in(&rig, "rid-a", "").await.unwrap_err().to_string(), "missing secret_id");
    assert!(log_in(&rig, "rid-a", &of_a).await.is_ok());
}

#[tokio::test]
async fn cve_2026_46405_failing_logins_leave_no_token() {
    let rig = rig_with_role(json!({"token_bound_cidrs": ["10.0.0.0/8"]})).await;
    let (id, _) = secret_id(&rig, "a", json!({})).await;
    let before = rig.tokens.accessors().await.unwrap();
    for pair in [("rid-a", id.as_str()), ("rid-a", "nope"), ("nope", "nope")] {
        assert!(log_in(&rig, pair.0, pair.1).await.is_err());
    }
    assert_eq!(rig.tokens.accessors().await.unwrap(), before);
}

#[tokio::test]
async fn uses_and_ends_of_secret_ids_are_kept() {
    let rig = rig_with_role(json!({"secret_id_num_uses": 2, "secret_id_ttl": "1h"})).await;
    let (id, accessor) = secret_id(&rig, "a", json!({})).await;
    assert!(log_in(&rig, "rid-a", &id).await.is_ok());
    let data = rig.set(&format!("{ROLE}/a/secret-id/lookup"), json!({"secret_id": id})).await.data;
    assert_eq!(
        data,
        json!({
            "cidr_list": [], "creation_time": "2023-11-14T22:13:20Z", "expiration_time": "2023-11-14T23:13:20Z",
            "last_updated_time": "2023-11-14T22:13:20Z", "metadata": {}, "secret_id_accessor": accessor,
            "secret_id_num_uses": 1, "secret_id_ttl": 3600, "token_bound_cidrs": []
        })
    );
    assert!(log_in(&rig, "rid-a", &id).await.is_ok());
    assert_eq!(log_in(&rig, "rid-a", &id).await.unwrap_err().to_string(), INVALID);
    assert!(rig.list(ROOT, &format!("{ROLE}/a/secret-id")).await.is_err());
    let (other, _) = secret_id(&rig, "a", json!({})).await;
    rig.clock.advance(3600);
    assert_eq!(log_in(&rig, "rid-a", &other).await.unwrap_err().to_string(), INVALID);
    let answer = rig.set("auth/approle/tidy/secret-id", json!({})).await;
    assert_eq!(answer.disposition, Disposition::Accepted);
}

#[tokio::test]
async fn secret_ids_are_asked_for_within_the_roles_bounds() {
    let rig =
        rig_with_role(json!({"secret_id_num_uses": 2, "secret_id_ttl": "1h", "secret_id_bound_cidrs": "127.0.0.0/8"}))
            .await;
    for (body, text) in [
        (json!({"num_uses": -1}), "num_uses cannot be negative"),
        (json!({"num_uses": 3}), "num_uses cannot be higher than the role's secret_id_num_uses"),
        (json!({"num_uses": 0}), "num_uses cannot be higher than the role's secret_id_num_uses"),
        (json!({"ttl": "2h"}), "ttl cannot be longer than the role's secret_id_ttl"),
        (json!({"ttl": 0}), "ttl cannot be longer than the role's secret_id_ttl"),
        (json!({"cidr_list": "frob"}), "failed to validate CIDR blocks: invalid CIDR address: frob"),
        (
            json!({"token_bound_cidrs": "127.0.0.1"}),
            "failed to validate token CIDR blocks: invalid CIDR address: 127.0.0.1",
        ),
        (json!({"metadata": "[1]"}), "failed to parse metadata: failed to parse the input: invalid <key,value> format"),
        (
            json!({"cidr_list": "11.0.0.0/8"}),
            "failed to verify subset relationship between CIDR blocks on the role [\"127.0.0.0/8\"] and CIDR blocks on the secret ID [\"11.0.0.0/8\"]",
        ),
    ] {
        assert_eq!(rig.refusal(ROOT, &format!("{ROLE}/a/secret-id"), body.clone()).await, text, "{body}");
    }
    let text = rig.refusal(ROOT, &format!("{ROLE}/zz/secret-id"), json!({})).await;
    assert_eq!(text, "role \"zz\" does not exist");
}

#[tokio::test]
async fn custom_secret_ids_work_once() {
    let rig = rig_with_role(json!({})).await;
    let path = format!("{ROLE}/a/custom-secret-id");
    assert_eq!(rig.set(&path, json!({"secret_id": "mine"})).await.data["secret_id"], "mine");
    assert_eq!(
        rig.refusal(ROOT, &path, json!({"secret_id": "mine"})).await,
        "failed to store secret_id: SecretID is already registered"
    );
    assert_eq!(rig.refusal(ROOT, &path, json!({})).await, "missing secret_id");
    assert!(log_in(&rig, "rid-a", "mine").await.is_ok());
    rig.set(&format!("{ROLE}/a/secret-id/destroy"), json!({"secret_id": "mine"})).await;
    assert!(log_in(&rig, "rid-a", "mine").await.is_err());
}

#[tokio::test]
async fn cve_2023_24999_an_accessor_works_only_below_its_own_role() {
    let rig = rig_with_role(json!({})).await;
    rig.set(&format!("{ROLE}/b"), json!({})).await;
    let (id, accessor) = secret_id(&rig, "a", json!({})).await;
    let text = format!("failed to find accessor entry for secret_id_accessor: {accessor:?}");
    let foreign =
        rig.set(&format!("{ROLE}/b/secret-id-accessor/lookup"), json!({"secret_id_accessor": accessor})).await;
    assert_eq!((foreign.disposition, foreign.data), (Disposition::AbsentWithData, json!({"error": text})));
    let path = format!("{ROLE}/b/secret-id-accessor/destroy");
    let refused = rig.write(ROOT, &path, json!({"secret_id_accessor": accessor})).await;
    assert!(matches!(refused, Err(Fault::NotFound(_))));
    rig.set(&format!("{ROLE}/b/secret-id/destroy"), json!({"secret_id": id})).await;
    assert!(log_in(&rig, "rid-a", &id).await.is_ok());
    let own = rig.set(&format!("{ROLE}/a/secret-id-accessor/lookup"), json!({"secret_id_accessor": accessor})).await;
    assert_eq!(own.data["secret_id_accessor"], json!(accessor));
    rig.set(&format!("{ROLE}/a/secret-id-accessor/destroy"), json!({"secret_id_accessor": accessor})).await;
    assert!(log_in(&rig, "rid-a", &id).await.is_err());
    let missing = rig.refusal(ROOT, &format!("{ROLE}/a/secret-id-accessor/destroy"), json!({})).await;
    assert_eq!(missing, "missing secret_id_accessor");
}

#[tokio::test]
async fn addresses_bind_logins_and_tokens() {
    let mut rig = rig_with_role(json!({"secret_id_bound_cidrs": ["10.0.0.0/8"], "secret_id_num_uses": 1})).await;
    let (id, _) = secret_id(&rig, "a", json!({"token_bound_cidrs": ["10.1.0.0/16"]})).await;
    let text = log_in(&rig, "rid-a", &id).await.unwrap_err().to_string();
    assert_eq!(text, "source address \"127.0.0.1\" unauthorized by CIDR restrictions on the role");
    rig.client = "10.1.0.9:1".parse().unwrap();
    let token = log_in(&rig, "rid-a", &id).await.unwrap().token();
    assert!(rig.is_alive(&token).await);
    rig.client = "10.2.0.9:1".parse().unwrap();
    assert!(!rig.is_alive(&token).await);
}

#[tokio::test]
async fn a_role_without_secret_ids_is_bound_by_address() {
    let rig = rig_with_role(json!({"bind_secret_id": false, "secret_id_bound_cidrs": ["127.0.0.0/8"]})).await;
    assert!(log_in(&rig, "rid-a", "").await.is_ok());
    let text = rig.refusal(ROOT, &format!("{ROLE}/a/secret-id"), json!({})).await;
    assert_eq!(text, "bind_secret_id is not set on the role");
}

#[tokio::test]
async fn cve_2025_5999_no_role_yields_root() {
    for spelling in ["root", "Root", " ROOT "] {
        let rig = rig_with_role(json!({"token_policies": [spelling, "p"]})).await;
        let (id, _) = secret_id(&rig, "a", json!({})).await;
        let text = log_in(&rig, "rid-a", &id).await.unwrap_err().to_string();
        assert_eq!(text, "auth methods cannot create root tokens", "{spelling:?}");
        assert_eq!(rig.tokens.accessors().await.unwrap().len(), 1);
    }
}

//! The endpoints of `sys/` that need a token.

use crate::appliance::{Running, start};
use serde_json::{Value, json};

impl Running {
    async fn read(&self, path: &str) -> Value {
        let answer = self.root("GET", &format!("/v1/{path}"), "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    async fn write(&self, path: &str, body: Value) -> u16 {
        self.root("POST", &format!("/v1/{path}"), &body.to_string()).await.status
    }

    async fn refusal(&self, path: &str, body: Value) -> String {
        let answer = self.root("POST", &format!("/v1/{path}"), &body.to_string()).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        answer.json()["errors"][0].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn mounts_are_listed_in_the_envelope_and_beside_it() {
    let running = start().await;
    let config = json!({"default_lease_ttl": "1h", "listing_visibility": "unauth"});
    let body = json!({"type": "kv-v2", "description": "d", "config": config});
    assert_eq!(running.write("sys/mounts/a/b", body).await, 204);
    let list = running.read("sys/mounts").await;
    assert_eq!(list["data"]["a/b/"], list["a/b/"]);
    let mount = &list["data"]["a/b/"];
    assert_eq!((&mount["type"], &mount["options"]), (&json!("kv"), &json!({"version": "2"})));
    assert_eq!(mount["config"]["default_lease_ttl"], 3600);
    assert_eq!(mount["running_sha256"], "");
    assert_eq!(running.read("sys/mounts/a/b").await["data"]["uuid"], mount["uuid"]);
    let stranger = running.stranger("GET", "/v1/sys/internal/ui/mounts", "").await.json();
    assert_eq!(
        stranger["data"]["secret"],
        json!({"a/b/": {"description": "d", "options": {"version": "2"}, "type": "kv"}})
    );
    assert_eq!(running.refusal("sys/mounts/a/b", json!({"type": "kv"})).await, "path is already in use at a/b/");
    assert_eq!(running.refusal("sys/mounts/x", json!({})).await, "backend type must be specified as a string");
    assert_eq!(
        running.refusal("sys/mounts/x", json!({"type": "nonsense"})).await,
        "plugin not found in the catalog: nonsense"
    );
    assert_eq!(running.refusal("sys/mounts/sys", json!({"type": "kv"})).await, "cannot mount \"sys/\"");
    assert_eq!(running.root("DELETE", "/v1/sys/mounts/a/b", "").await.status, 204);
    assert_eq!(running.root("GET", "/v1/a/b/config", "").await.status, 404);
}

#[tokio::test]
async fn tuning_is_read_back_and_contradictions_are_refused() {
    let running = start().await;
    let ttls = json!({"default_lease_ttl": "3600s", "max_lease_ttl": "8600s", "nonsense": 1});
    assert_eq!(running.write("sys/mounts/kv/tune", ttls).await, 204);
    let tuned = running.read("sys/mounts/kv/tune").await;
    assert_eq!((&tuned["data"]["default_lease_ttl"], &tuned["max_lease_ttl"]), (&json!(3600), &json!(8600)));
    for (body, text) in [
        (
            json!({"default_lease_ttl": "5h"}),
            "backend max lease TTL of 8600 would be less than backend default lease TTL of 18000",
        ),
        (json!({"default_lease_ttl": "abc"}), "time: invalid duration \"abc\""),
        (json!({"token_type": "batch"}), "'token_type' can only be modified on auth mounts"),
        (json!({"listing_visibility": "x"}), "invalid listing_visibility x"),
        (json!({"options": {"version": "7"}}), "invalid version provided: 7"),
    ] {
        assert_eq!(running.refusal("sys/mounts/kv/tune", body).await, text);
    }
    assert_eq!(running.read("sys/mounts/kv/tune").await["data"], tuned["data"], "a refusal changes nothing");
    assert_eq!(
        running.write("sys/mounts/kv/tune", json!({"default_lease_ttl": "system", "max_lease_ttl": 0})).await,
        204
    );
    assert_eq!(running.read("sys/mounts/kv/tune").await["data"]["max_lease_ttl"], 2_764_800);
}

#[tokio::test]
async fn a_moved_mount_keeps_its_data() {
    let running = start().await;
    running.write("kv/a", json!({"x": "1"})).await;
    let moved = running.root("POST", "/v1/sys/remount", r#"{"from": "kv", "to": "deep/er"}"#).await.json();
    let id = moved["data"]["migration_id"].as_str().unwrap();
    assert_eq!(running.read(&format!("sys/remount/status/{id}")).await["data"]["migration_info"]["status"], "success");
    assert_eq!(running.read("deep/er/a").await["data"], json!({"x": "1"}));
    assert_eq!(running.root("GET", "/v1/kv/a", "").await.status, 404);
    assert_eq!(
        running.refusal("sys/remount", json!({"from": "deep/er", "to": "sys"})).await,
        "cannot remount to destination sys/"
    );
    assert_eq!(running.refusal("sys/remount", json!({"from": "x", "to": "y"})).await, "no matching mount at \"x/\"");
}

#[tokio::test]
async fn policies_have_two_spellings_and_decide_what_capabilities_say() {
    let running = start().await;
    let document = "path \"kv/*\" { capabilities = [\"read\", \"list\"] }";
    assert_eq!(running.write("sys/policies/acl/Reader", json!({"policy": document})).await, 204);
    assert_eq!(running.read("sys/policies/acl/reader").await["data"]["policy"], document);
    assert_eq!(running.read("sys/policy/reader").await["rules"], document);
    let names = running.read("sys/policy").await;
    assert_eq!(names["data"]["keys"], json!(["default", "reader", "root"]));
    assert_eq!(names["policies"], names["data"]["keys"]);
    assert_eq!(
        running.refusal("sys/policies/acl/root", json!({"policy": document})).await,
        "cannot update \"root\" policy"
    );
    assert_eq!(running.refusal("sys/policy/x", json!({})).await, "'policy' parameter not supplied or empty");

    let token = running.token(&["reader"]).await;
    let body = r#"{"paths": "kv/a,sys/mounts"}"#;
    let own = running.with_token(&token, "POST", "/v1/sys/capabilities-self", body).await;
    assert_eq!(own.status, 403, "{}", own.text);
    let asked = json!({"token": token, "path": "kv/a"}).to_string();
    let answer = running.root("POST", "/v1/sys/capabilities", &asked).await.json();
    assert_eq!(answer["capabilities"], json!(["list", "read"]));
    let denied = running.with_token(&token, "GET", "/v1/sys/mounts", "").await;
    assert_eq!(denied.status, 403);
    let seen = running.with_token(&token, "GET", "/v1/sys/internal/ui/mounts/kv/a", "").await.json();
    assert_eq!((&seen["data"]["path"], &seen["data"]["type"]), (&json!("kv/"), &json!("kv")));
    let hidden = running.with_token(&token, "GET", "/v1/sys/internal/ui/mounts/absent", "").await;
    assert_eq!(hidden.status, 403);
}

#[tokio::test]
async fn what_is_wrapped_comes_out_once() {
    let running = start().await;
    running.write("kv/a", json!({"x": "1"})).await;
    let wrap =
        running.request("GET", "/v1/kv/a").header("X-Vault-Token", &running.root).header("X-Vault-Wrap-TTL", "60s");
    let wrapped: Value = serde_json::from_str(&wrap.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!((&wrapped["data"], &wrapped["wrap_info"]["ttl"]), (&Value::Null, &json!(60)));
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let looked = running.with_token(token, "GET", "/v1/sys/wrapping/lookup", "").await.json();
    assert_eq!(looked["data"]["creation_path"], "kv/a", "looking does not use it up");
    let renewed = running.root("POST", "/v1/sys/wrapping/rewrap", &json!({"token": token}).to_string()).await.json();
    let token = renewed["wrap_info"]["token"].as_str().unwrap();
    let opened = running.with_token(token, "POST", "/v1/sys/wrapping/unwrap", "").await;
    assert_eq!(opened.json()["data"], json!({"x": "1"}), "{}", opened.text);
    let text = running.refusal("sys/wrapping/unwrap", json!({"token": token})).await;
    assert_eq!(text, "wrapping token is not valid or does not exist");
    let again = running.with_token(token, "POST", "/v1/sys/wrapping/unwrap", "{}").await;
    assert_eq!((again.status, again.text.contains(&text)), (400, true), "{}", again.text);
    assert_eq!(
        running.refusal("sys/wrapping/wrap", json!({"a": 1})).await,
        "endpoint requires response wrapping to be used"
    );
}

#[tokio::test]
async fn the_keyring_rotates_and_tells_its_term() {
    let running = start().await;
    let before = running.read("sys/key-status").await;
    assert_eq!(before["term"], before["data"]["term"]);
    assert_eq!(running.root("PUT", "/v1/sys/rotate", "").await.status, 204);
    assert_eq!(running.read("sys/key-status").await["data"]["term"], before["data"]["term"].as_u64().unwrap() + 1);
    assert_eq!(running.write("sys/rotate/config", json!({"interval": "48h", "max_operations": 2_000_000})).await, 204);
    let config = json!({"enabled": true, "interval": "48h0m0s", "max_operations": 2_000_000});
    assert_eq!(running.read("sys/rotate/config").await["data"], config);
    assert_eq!(
        running.refusal("sys/rotate/config", json!({"interval": "1h"})).await,
        "interval must be greater or equal to 24h0m0s"
    );
}

#[tokio::test]
async fn tools_hash_and_draw() {
    let running = start().await;
    let hashed = running.root("POST", "/v1/sys/tools/hash/sha2-256", r#"{"input": "YWJj"}"#).await.json();
    assert_eq!(hashed["data"]["sum"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let drawn = running.root("POST", "/v1/sys/tools/random/all/16", r#"{"format": "hex"}"#).await.json();
    assert_eq!(drawn["data"]["random_bytes"].as_str().unwrap().len(), 32);
    assert_eq!(running.refusal("sys/tools/random/0", json!({})).await, "'bytes' cannot be less than 1");
    assert_eq!(running.refusal("sys/tools/hash/md5", json!({"input": ""})).await, "unsupported algorithm md5");
}

#[tokio::test]
async fn openapi_names_every_route_of_every_mount() {
    let running = start().await;
    let document = running.read("sys/internal/specs/openapi").await;
    let paths = document["paths"].as_object().unwrap();
    for path in ["/sys/mounts/{path}", "/kv/{path}", "/auth/token/lookup-self", "/sys/seal-status"] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert_eq!(paths["/sys/seal-status"]["x-vault-unauthenticated"], true);
    assert_eq!(paths["/sys/rotate"]["x-vault-sudo"], true);
}

#[tokio::test]
async fn the_status_pages_of_a_token_holder_answer() {
    let running = start().await;
    let history = running.root("LIST", "/v1/sys/version-history", "").await.json();
    assert_eq!(history["data"]["keys"], json!([env!("CARGO_PKG_VERSION")]));
    assert_eq!(running.read("sys/ha-status").await["data"]["nodes"][0]["active_node"], true);
    assert!(running.read("sys/host-info").await["data"]["memory"]["total"].as_u64().unwrap() > 0);
    let metrics = running.root("GET", "/v1/sys/metrics?format=prometheus", "").await;
    assert!(metrics.text.contains("vault_core_unsealed 1"), "{}", metrics.text);
    let leases = running.root("PUT", "/v1/sys/leases/lookup", r#"{"lease_id": "absent"}"#).await;
    assert_eq!(leases.json()["errors"], json!(["invalid lease"]));
    assert_eq!(running.root("LIST", "/v1/sys/leases/lookup/absent", "").await.status, 404);
}

#[tokio::test]
async fn a_missing_wrapping_token_is_403_and_a_wrong_one_400() {
    let running = start().await;
    for endpoint in ["lookup", "unwrap", "rewrap"] {
        let path = format!("/v1/sys/wrapping/{endpoint}");
        let missing = running.stranger("POST", &path, "{}").await;
        assert_eq!(missing.status, 403, "{endpoint}");
        assert_eq!(missing.json()["errors"][0], "error validating wrapping token: token is empty", "{endpoint}");
        for (token, body) in [("hvs.absent", "{}"), (running.root.as_str(), "{}"), (running.root.as_str(), "")] {
            let wrong = running.with_token(token, "POST", &path, body).await;
            assert_eq!(wrong.status, 400, "{endpoint}");
            assert_eq!(wrong.json()["errors"][0], "wrapping token is not valid or does not exist", "{endpoint}");
        }
    }
}

#[tokio::test]
async fn cve_2024_8185_strangers_cannot_fill_the_store_with_wrapping_tokens() {
    let running = start().await;
    let before = running.core().tokens.accessors().await.unwrap();
    let token = json!({"encoded_token": "AAAA", "otp": "abc"}).to_string();
    for (method, path, body) in [("GET", "sys/internal/ui/mounts", String::new()), ("POST", "sys/decode-token", token)]
    {
        let request = running.request(method, &format!("/v1/{path}")).header("X-Vault-Wrap-TTL", "876000h");
        let answer = request.body(body).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["wrap_info"].is_null() && answer["data"].is_object(), "{path}: {answer}");
    }
    assert_eq!(running.core().tokens.accessors().await.unwrap(), before);
}

#[tokio::test]
async fn a_secret_without_a_lease_is_revoked_at_once() {
    let running = start().await;
    assert_eq!(running.write("sys/mounts/pki", json!({"type": "pki"})).await, 204);
    let root = json!({"common_name": "root", "ttl": "24h", "key_type": "ec"});
    assert_eq!(running.write("pki/root/generate/internal", root).await, 200);
    let role = json!({"allow_any_name": true, "generate_lease": true, "key_type": "ec", "ttl": "1h"});
    assert!(running.write("pki/roles/r", role).await < 300);
    let policy = json!({"policy": "path \"pki/issue/r\" { capabilities = [\"create\", \"update\"] }"});
    assert_eq!(running.write("sys/policies/acl/issuer", policy).await, 204);
    let made = running.root("POST", "/v1/auth/token/create", r#"{"policies":["issuer"],"num_uses":1}"#).await.json();
    let token = made["auth"]["client_token"].as_str().unwrap();
    let issued = running.with_token(token, "POST", "/v1/pki/issue/r", r#"{"common_name":"leaf.example"}"#).await;
    assert_eq!(issued.status, 400, "{}", issued.text);
    assert!(issued.text.contains("immediately revoked"), "{}", issued.text);
    let revoked = running.root("LIST", "/v1/pki/certs/revoked", "").await.json();
    assert_eq!(revoked["data"]["keys"].as_array().map(Vec::len), Some(1), "{revoked}");
}

#[tokio::test]
async fn path_help_shows_endpoints_to_those_whose_policies_reach_the_mount() {
    let running = start().await;
    let policy = json!({"policy": "path \"kv/a\" { capabilities = [\"read\"] }"});
    assert_eq!(running.write("sys/policies/acl/reader", policy).await, 204);
    let token = running.token(&["reader"]).await;
    let help = running.with_token(&token, "GET", "/v1/kv?help=1", "").await;
    assert_eq!(help.status, 200, "{}", help.text);
    assert!(help.json()["help"].as_str().unwrap().contains("kv/"), "{}", help.text);
    let one = running.root("GET", "/v1/sys/seal?help=1", "").await.json();
    assert_eq!(one["help"], "sys/seal\n    Seals the barrier.\n    write; needs sudo\n");
    for path in ["absent", "auth/absent/x"] {
        let refused = running.with_token(&token, "GET", &format!("/v1/{path}?help=1"), "").await;
        assert_eq!(refused.status, 403, "{path}");
    }
    assert_eq!(running.stranger("GET", "/v1/kv?help=1", "").await.status, 403);
    assert_eq!(running.root("GET", "/v1/sys/nonsense?help=1", "").await.status, 404);
    assert!(running.core().is_open());
}

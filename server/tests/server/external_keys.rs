//! Registered keys in both dialects, over the appliance's own token (alias `hsm`). Statuses and texts of
//! `sys/external-keys` are those of OpenBao 2.7.2, recorded from a server with `verify=false` or its `transit` plugin;
//! its open-source binary has no `pkcs11` plugin. Real PKCS#11 tokens: `softhsm-tests/tests/external_keys.rs`.

use crate::appliance::{Running, start};
use serde_json::{Value, json};

const CONFIGS: &str = "/v1/sys/external-keys/configs";

impl Running {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call("POST", path, body).await
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = self.request(method, path).header("X-Vault-Token", &self.root).body(body);
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let answer = crate::appliance::Answer::of(request.header("Content-Type", kind).send().await.unwrap()).await;
        (answer.status, serde_json::from_str(&answer.text).unwrap_or(Value::Null))
    }

    async fn refuses(&self, method: &str, path: &str, body: Value, text: &str) {
        let (status, answer) = self.call(method, path, body.clone()).await;
        assert_eq!((status, answer["errors"][0].as_str()), (400, Some(text)), "{method} {path} {body}");
    }

    async fn accepts(&self, method: &str, path: &str, body: Value) {
        let (status, answer) = self.call(method, path, body.clone()).await;
        assert_eq!(status, 204, "{method} {path} {body}: {answer}");
    }

    /// A config `own` for the appliance's token with a fresh key `name` in it, granted to `transit/`.
    async fn registered(&self, name: &str, mechanism: &str) {
        self.accepts("POST", &format!("{CONFIGS}/own"), json!({"plugin": "pkcs11", "lib": "hsm"})).await;
        let key = format!("{CONFIGS}/own/keys/{name}");
        let order = json!({"label": name, "mechanism": mechanism, "allow_generate_key": true});
        self.accepts("POST", &key, order).await;
        self.accepts("POST", &format!("{key}/grants/transit"), json!({})).await;
    }

    async fn mount_transit(&self) {
        self.accepts("POST", "/v1/sys/mounts/transit", json!({"type": "transit"})).await;
    }
}

#[tokio::test]
async fn configs_answer_as_openbao_does() {
    let running = start().await;
    let at = |name: &str| format!("{CONFIGS}/{name}");
    assert_eq!(running.call("LIST", CONFIGS, Value::Null).await, (404, json!({"errors": []})));
    assert_eq!(running.call("GET", CONFIGS, Value::Null).await.0, 405);
    running.refuses("GET", &at("x"), Value::Null, "config \"x\" not found").await;
    running.refuses("PATCH", &at("x"), json!({"slot": 2}), "config \"x\" not found").await;
    running.refuses("POST", &at("x"), json!({}), "missing required field \"plugin\"").await;
    running.refuses("POST", &at("x"), json!({"plugin": "nosuch"}), "unknown plugin: nosuch").await;
    running.refuses("POST", &at("x"), json!({"plugin": 5}), "unknown plugin: 5").await;
    let text = "Field validation failed: error converting input for field \"verify\": '' cannot parse value as 'bool': strconv.ParseBool: invalid syntax";
    running.refuses("POST", &at("x"), json!({"plugin": "pkcs11", "verify": "abc"}), text).await;
    let text = "decoding failed due to the following error(s):\n\n'config' has invalid keys: extra, num";
    running.refuses("POST", &at("x"), json!({"plugin": "pkcs11", "num": 5, "extra": "a"}), text).await;
    running.accepts("POST", &at("x"), json!({"plugin": "nosuch", "verify": false})).await;
    let text = "failed to read metadata for plugin \"nosuch\": unknown plugin: nosuch";
    running.refuses("GET", &at("x"), Value::Null, text).await;
    let config = json!({"plugin": "pkcs11", "verify": false, "lib": "softhsm", "slot": 1, "pin": "874-pin-321"});
    running.accepts("PUT", &at("x"), config).await;
    let (_, shown) = running.call("GET", &at("x"), Value::Null).await;
    assert_eq!(shown["data"], json!({"lib": "softhsm", "pin": "(redacted)", "plugin": "pkcs11", "slot": 1}));
    running.accepts("PATCH", &at("x"), json!({"slot": null, "token_label": "t", "verify": "false"})).await;
    let (_, shown) = running.call("GET", &at("x"), Value::Null).await;
    assert_eq!(shown["data"], json!({"lib": "softhsm", "pin": "(redacted)", "plugin": "pkcs11", "token_label": "t"}));
    running.accepts("PATCH", &at("x"), json!({"pin": null, "verify": false})).await;
    assert_eq!(running.call("GET", &at("x"), Value::Null).await.1["data"]["pin"], Value::Null);
    assert_eq!(running.call("LIST", CONFIGS, Value::Null).await.1["data"]["keys"], json!(["x"]));
    running.accepts("DELETE", &at("x"), Value::Null).await;
    running.accepts("DELETE", &at("x"), Value::Null).await;
    assert_eq!(running.call("POST", &at("-bad"), json!({})).await.0, 404);
}

#[tokio::test]
async fn a_config_names_a_library_by_alias_and_never_by_path() {
    let running = start().await;
    let config = |lib: &str| json!({"plugin": "pkcs11", "lib": lib, "slot": 1, "pin": "1234"});
    for lib in ["/usr/lib/softhsm/libsofthsm2.so", "softhsm2", "../x", ""] {
        let (status, answer) = running.post(&format!("{CONFIGS}/x"), config(lib)).await;
        let text = answer["errors"][0].as_str().unwrap();
        assert_eq!(status, 400, "{lib}");
        assert!(text.contains("unknown library") || text.contains("missing required parameter 'lib'"), "{text}");
        assert!(!text.contains("1234"));
    }
    // Kept without being tried, it is refused when it is used.
    let unverified = json!({"plugin": "pkcs11", "lib": "/x.so", "slot": 1, "pin": "1234", "verify": false});
    running.accepts("POST", &format!("{CONFIGS}/x"), unverified).await;
    let (status, answer) = running.post(&format!("{CONFIGS}/x/keys/k"), json!({"label": "l"})).await;
    assert_eq!(status, 400);
    assert!(answer["errors"][0].as_str().unwrap().contains("unknown library"), "{answer}");
}

#[tokio::test]
async fn keys_and_grants_answer_as_openbao_does() {
    let running = start().await;
    let (config, key) = (format!("{CONFIGS}/x"), format!("{CONFIGS}/x/keys/k"));
    running.refuses("POST", &key, json!({"verify": false}), "config \"x\" does not exist").await;
    assert_eq!(running.call("LIST", &format!("{CONFIGS}/nox/keys"), Value::Null).await.0, 404);
    running.accepts("POST", &config, json!({"plugin": "pkcs11", "lib": "hsm"})).await;
    running.refuses("GET", &key, Value::Null, "key \"k\" not found").await;
    running.refuses("PATCH", &key, json!({"id": "01"}), "key \"k\" not found").await;
    running.refuses("LIST", &format!("{key}/grants"), Value::Null, "key \"k\" not found").await;
    running.refuses("POST", &format!("{key}/grants/transit"), json!({}), "key \"k\" not found").await;
    let (status, answer) = running.post(&key, json!({"label": "nobody"})).await;
    assert_eq!(status, 400);
    assert!(answer["errors"][0].as_str().unwrap().contains("was not found"), "{answer}");
    running.accepts("POST", &key, json!({"label": "l", "id": "01", "mechanism": "CKM_AES_GCM", "verify": false})).await;
    running.accepts("PATCH", &key, json!({"id": null, "label": "m", "verify": false})).await;
    let (_, shown) = running.call("GET", &key, Value::Null).await;
    assert_eq!(shown["data"], json!({"label": "m", "mechanism": "CKM_AES_GCM"}));
    assert_eq!(running.call("LIST", &format!("{key}/grants"), Value::Null).await.0, 404);
    running.accepts("POST", &format!("{key}/grants/transit"), json!({})).await;
    running.accepts("PUT", &format!("{key}/grants/a/b/c"), json!({})).await;
    let (_, grants) = running.call("LIST", &format!("{key}/grants"), Value::Null).await;
    assert_eq!(grants["data"]["keys"], json!(["a/b/c/", "transit/"]));
    assert_eq!(running.call("GET", &format!("{key}/grants/transit"), Value::Null).await.0, 405);
    running.accepts("DELETE", &format!("{key}/grants/transit"), Value::Null).await;
    running.accepts("DELETE", &format!("{key}/grants/nomount"), Value::Null).await;
    let (_, grants) = running.call("LIST", &format!("{key}/grants"), Value::Null).await;
    assert_eq!(grants["data"]["keys"], json!(["a/b/c/"]));
    running.accepts("DELETE", &config, Value::Null).await;
    assert_eq!(running.call("LIST", &format!("{config}/keys"), Value::Null).await.0, 404);
    running.accepts("DELETE", &key, Value::Null).await;
}

#[tokio::test]
async fn the_appliances_own_keys_cannot_be_registered() {
    let running = start().await;
    running.accepts("POST", &format!("{CONFIGS}/own"), json!({"plugin": "pkcs11", "lib": "hsm"})).await;
    let keys = running.core().hsm.as_ref().unwrap().list().await.unwrap();
    let kek = keys.iter().find(|key| key.label.contains("kek")).unwrap();
    let by_id = json!({"id": kek.reference.id.to_string()});
    let by_label = json!({"label": format!("chancery/{}", kek.label)});
    let making = json!({"label": "chancery/mine", "allow_generate_key": true, "mechanism": "CKM_AES_GCM"});
    for key in [by_id, by_label, making] {
        let text = "keys whose label starts with \"chancery/\" are the appliance's own";
        running.refuses("POST", &format!("{CONFIGS}/own/keys/kek"), key, text).await;
    }
}

#[tokio::test]
async fn a_mount_uses_a_key_only_while_it_is_granted() {
    let running = start().await;
    running.mount_transit().await;
    running.registered("pay", "CKM_AES_GCM").await;
    let create = |name: &str, reference: &str| {
        (format!("/v1/transit/keys/{name}"), json!({"type": "external-key", "external_key_ref": reference}))
    };
    for (reference, text) in [
        ("own", "invalid key reference: must be \"<config name>:<key name>\""),
        ("own:nokey", "key \"own:nokey\" does not exist"),
        ("no:pay", "key \"no:pay\" does not exist"),
    ] {
        let (path, body) = create("k", reference);
        running.refuses("POST", &path, body, &format!("failed to fetch external key: {text}")).await;
    }
    let (path, body) = create("k", "own:pay");
    assert_eq!(running.post(&path, body.clone()).await.0, 200);
    let plaintext = json!({"plaintext": "aGVsbG8="});
    let (status, sealed) = running.post("/v1/transit/encrypt/k", plaintext.clone()).await;
    assert_eq!(status, 200, "{sealed}");
    let grant = format!("{CONFIGS}/own/keys/pay/grants/transit");
    running.accepts("DELETE", &grant, Value::Null).await;
    let text = "failed to fetch external key: mount \"transit/\" is missing grant for key \"own:pay\"";
    let in_use = format!("factory[0] {text}");
    running.refuses("POST", "/v1/transit/encrypt/k", plaintext, &in_use).await;
    running.refuses("POST", "/v1/transit/decrypt/k", sealed["data"].clone(), &in_use).await;
    let (path, _) = create("other", "own:pay");
    running.refuses("POST", &path, body, text).await;
    running.accepts("POST", &grant, json!({})).await;
    let (_, opened) = running.post("/v1/transit/decrypt/k", sealed["data"].clone()).await;
    assert_eq!(opened["data"]["plaintext"], "aGVsbG8=");
    // The grant is of a path: another mount there, or this one elsewhere, is another question.
    running.call("POST", "/v1/sys/remount", json!({"from": "transit", "to": "moved"})).await;
    let (status, _) = running.post("/v1/moved/encrypt/k", json!({"plaintext": "aGVsbG8="})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn managed_keys_are_the_same_keys() {
    let running = start().await;
    running.mount_transit().await;
    let at = "/v1/sys/managed-keys/pkcs11/Pay";
    assert_eq!(running.call("LIST", "/v1/sys/managed-keys/pkcs11", Value::Null).await.0, 404);
    assert_eq!(running.call("LIST", "/v1/sys/managed-keys/awskms", Value::Null).await.0, 404);
    assert_eq!(running.call("LIST", "/v1/sys/managed-keys/nosuch", Value::Null).await.0, 400);
    assert_eq!(running.call("GET", at, Value::Null).await.0, 404);
    assert_eq!(running.post(at, json!({"library": "hsm"})).await.0, 400, "neither label nor id");
    assert_eq!(running.post(at, json!({"library": "nolib", "slot": "1", "pin": "1", "key_label": "p"})).await.0, 400);
    let order = json!({"library": "hsm", "key_label": "pay", "mechanism": "0x1041", "curve": "P256", "allow_generate_key": "true"});
    running.accepts("POST", at, order).await;
    running.accepts("POST", &format!("{at}/test/sign"), Value::Null).await;
    // Once it is there, nothing is made in its place; and what is not given stays.
    running.accepts("POST", at, json!({"allow_generate_key": false})).await;
    let (_, shown) = running.call("GET", at, Value::Null).await;
    let shown = &shown["data"];
    assert_eq!(
        (&shown["name"], &shown["type"], &shown["pin"], &shown["library"], &shown["key_label"], &shown["mechanism"]),
        (&json!("pay"), &json!("pkcs11"), &json!("redacted"), &json!("hsm"), &json!("pay"), &json!(0x1041))
    );
    let (_, other_face) = running.call("GET", &format!("{CONFIGS}/pay/keys/pay"), Value::Null).await;
    assert_eq!(other_face["data"]["curve"], "P256");
    assert_eq!(
        running.call("LIST", "/v1/sys/managed-keys/pkcs11", Value::Null).await.1["data"]["keys"],
        json!(["pay"])
    );
    let create = json!({"type": "managed_key", "managed_key_name": "pay"});
    let (status, refused) = running.post("/v1/transit/keys/k", create.clone()).await;
    assert_eq!(status, 400);
    assert!(refused["errors"][0].as_str().unwrap().contains("allowed_managed_keys"), "{refused}");
    running.accepts("POST", "/v1/sys/mounts/transit/tune", json!({"allowed_managed_keys": ["pay"]})).await;
    let (_, tuned) = running.call("GET", "/v1/sys/mounts/transit/tune", Value::Null).await;
    assert_eq!(tuned["data"]["allowed_managed_keys"], json!(["pay"]));
    let (status, made) = running.post("/v1/transit/keys/k", create).await;
    assert_eq!((status, &made["data"]["type"]), (200, &json!("managed_key")), "{made}");
    let by_id = json!({"type": "managed_key", "managed_key_id": shown["UUID"]});
    assert_eq!(running.post("/v1/transit/keys/by-id", by_id).await.0, 200);
    let (_, signed) = running.post("/v1/transit/sign/k", json!({"input": "aGVsbG8="})).await;
    let proof = json!({"input": "aGVsbG8=", "signature": signed["data"]["signature"]});
    let (_, verified) = running.post("/v1/transit/verify/by-id", proof).await;
    assert_eq!(verified["data"]["valid"], true);
    assert_eq!(running.call("DELETE", at, Value::Null).await.0, 400, "a mount is tuned to it");
    running.accepts("POST", "/v1/sys/mounts/transit/tune", json!({"allowed_managed_keys": []})).await;
    running.accepts("DELETE", at, Value::Null).await;
    assert_eq!(running.call("GET", &format!("{CONFIGS}/pay"), Value::Null).await.0, 400);
}

#[tokio::test]
async fn secrets_of_configs_stay_out_of_answers_and_audit() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.jsonl");
    let settings = chancery_server::core::Settings {
        audit: vec![crate::appliance::file_sink(&log)],
        ..crate::appliance::settings()
    };
    let (store, hsm) = (chancery_store::Store::memory().await.unwrap(), chancery_hsm::Hsm::software());
    let running = crate::appliance::start_with(store, hsm, settings).await;
    let config = json!({"plugin": "pkcs11", "lib": "l", "slot": 1, "pin": "874-pin-321", "verify": false});
    running.accepts("POST", &format!("{CONFIGS}/x"), config).await;
    let answer = running.root("GET", &format!("{CONFIGS}/x"), "").await;
    assert!(!answer.text.contains("874-pin-321"));
    let managed = json!({"library": "hsm", "pin": "874-pin-321", "key_label": "k"});
    running.post("/v1/sys/managed-keys/pkcs11/m", managed).await;
    running.appliance.shutdown().await;
    assert!(!std::fs::read_to_string(&log).unwrap().contains("874-pin-321"));
}

//! ACME through the door: methods, media types, headers, and what the audit log says of it.

use crate::appliance::{Answer, Running, file_sink, start};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_server::mount::{MountClass, NewMount};
use serde_json::{Value, json};

const BASE: &str = "https://ca.example/v1/pki/acme";

async fn serving() -> Running {
    let running = start().await;
    running.core().mounts.mount(NewMount::new(MountClass::Secret, "pki", "pki")).await.unwrap();
    for (path, body) in [
        ("root/generate/internal", json!({"common_name": "Root", "key_type": "ec"})),
        ("config/cluster", json!({"path": "https://ca.example/v1/pki"})),
        ("config/acme", json!({"enabled": true})),
    ] {
        let answer = running.root("POST", &format!("/v1/pki/{path}"), &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    running
}

async fn post(running: &Running, path: &str, content_type: &str, body: String) -> Answer {
    let request = running.request("POST", &format!("/v1/pki/{path}")).header("Content-Type", content_type).body(body);
    Answer::of(request.send().await.unwrap()).await
}

fn sign(key: &EcdsaKeyPair, header: &Value, payload: &Value) -> String {
    let (protected, payload) =
        (URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload.to_string()));
    let signature = key.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes()).unwrap();
    json!({"protected": protected, "payload": payload, "signature": URL_SAFE_NO_PAD.encode(signature)}).to_string()
}

async fn nonce(running: &Running) -> String {
    let answer = running.stranger("HEAD", "/v1/pki/acme/new-nonce", "").await;
    assert_eq!(answer.status, 200);
    answer.header("replay-nonce").to_owned()
}

#[tokio::test]
async fn nonces_come_with_head_and_get_and_nothing_else_answers_head() {
    let running = serving().await;
    let (head, get) = (
        running.stranger("HEAD", "/v1/pki/acme/new-nonce", "").await,
        running.stranger("GET", "/v1/pki/acme/new-nonce", "").await,
    );
    assert_eq!((head.status, get.status), (200, 204));
    assert!(!head.header("replay-nonce").is_empty() && head.header("cache-control") == "no-store");
    assert_eq!(running.stranger("HEAD", "/v1/pki/acme/directory", "").await.status, 200);
    for path in ["/v1/pki/acme/new-order", "/v1/pki/ca", "/v1/kv/acme/new-nonce", "/v1/none/acme/new-nonce"] {
        assert_eq!(running.stranger("HEAD", path, "").await.status, 405, "{path}");
    }
    running.appliance.shutdown().await;
}

#[tokio::test]
async fn what_is_no_signed_request_gets_a_problem_document() {
    let running = serving().await;
    for (content_type, body, status) in [
        ("application/jose+json", "garbage".to_owned(), 400),
        ("application/jose+json", String::new(), 400),
        ("application/jose+json", "\u{0}".to_owned(), 400),
        ("application/jose+json", "[".repeat(5000), 400),
        ("application/jose+json; charset=utf-8", "{}".to_owned(), 400),
        ("application/json", "{}".to_owned(), 415),
        ("text/html", "x".repeat(100_000), 415),
    ] {
        for path in ["acme/new-account", "roles/x/acme/new-order", "acme/order/1", "acme/star/1/2", "acme/revoke-cert"]
        {
            let answer = post(&running, path, content_type, body.clone()).await;
            let expected = if path.starts_with("roles") { 400 } else { status };
            assert_eq!(answer.status, expected, "{path} {content_type}: {}", answer.text);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert!(!answer.header("replay-nonce").is_empty());
            assert!(answer.json()["detail"].as_str().unwrap().len() > 10);
        }
    }
    running.appliance.shutdown().await;
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_asked_for_by_anybody_with_get() {
    let running = serving().await;
    let directory = running.stranger("GET", "/v1/pki/acme/directory", "").await;
    assert_eq!(directory.json()["meta"]["auto-renewal"]["allow-certificate-get"], true);
    for path in ["acme/star/1/2", "acme/star/1/2/1", "roles/x/acme/star/1/2"] {
        let answer = running.stranger("GET", &format!("/v1/pki/{path}"), "").await;
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}: {}", answer.text);
        let expected = if path.starts_with("roles") { 400 } else { 404 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
    }
    running.appliance.shutdown().await;
}

#[tokio::test]
async fn every_call_is_recorded_with_its_account_and_order() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    let running = serving().await;
    running.core().audit.enable(file_sink(&log)).await.unwrap();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
    });
    let header =
        json!({"alg": "ES256", "jwk": jwk, "url": format!("{BASE}/new-account"), "nonce": nonce(&running).await});
    let made = post(&running, "acme/new-account", "application/jose+json", sign(&key, &header, &json!({}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let account = made.header("location").to_owned();
    let header = json!({
        "alg": "ES256", "kid": account, "url": format!("{BASE}/new-order"), "nonce": made.header("replay-nonce"),
    });
    let order = json!({"identifiers": [{"type": "dns", "value": "www.example.com"}]});
    let made = post(&running, "acme/new-order", "application/jose+json", sign(&key, &header, &order)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (account, order) = (id(&account), id(made.header("location")));

    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| -> Vec<&Value> {
        let path = format!("pki/acme/{path}");
        lines.iter().filter(|line| line["request"]["path"] == path.as_str()).collect()
    };
    assert_eq!(of("new-nonce").len(), 2);
    assert_eq!(of("new-account")[1]["response"]["data"]["account"], account);
    let recorded = &of("new-order")[1]["response"]["data"];
    assert_eq!((&recorded["account"], &recorded["order"]), (&json!(account), &json!(order)));
    // What was signed is hashed like every other value.
    assert!(of("new-order")[0]["request"]["data"]["jws"].as_str().unwrap().starts_with("hmac-"));
    running.appliance.shutdown().await;
}

fn id(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}

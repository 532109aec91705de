//! `sys/` before there is a token, and the ceremonies with key shares.

use crate::appliance::{Answer, Running, settings};
use chancery_engine::clock::ManualClock;
use chancery_hsm::Hsm;
use chancery_server::{
    Appliance,
    config::Config,
    core::{Parts, Settings},
};
use chancery_store::{SealKind, Store};
use data_encoding::BASE64_NOPAD;
use serde_json::{Value, json};
use std::sync::Arc;

/// An appliance with a Shamir seal that nobody initialised yet, and its clock.
async fn blank() -> (Running, ManualClock) {
    let clock = ManualClock::at(1_800_000_000);
    let settings = Settings { seal: SealKind::Shamir, ..settings() };
    let store = Store::memory().await.unwrap();
    let parts = Parts { clock: Arc::new(clock.clone()), store, hsm: Some(Hsm::software()), settings };
    let appliance = Appliance::start_with(&Config::for_tests(), parts).await.unwrap();
    let url = format!("http://{}", appliance.addresses()[0].0);
    let client = reqwest::Client::builder().build().unwrap();
    (Running { appliance, root: String::new(), client, url }, clock)
}

/// One that was initialised with three shares, of which two unseal, and unsealed.
async fn unsealed() -> (Running, ManualClock, Vec<String>) {
    let (mut running, clock) = blank().await;
    let shares = running.initialize().await;
    for share in &shares[..2] {
        running.unseal(share).await;
    }
    (running, clock, shares)
}

impl Running {
    async fn put(&self, path: &str, body: Value) -> Answer {
        self.stranger("PUT", &format!("/v1/sys/{path}"), &body.to_string()).await
    }

    async fn initialize(&mut self) -> Vec<String> {
        let answer = self.put("init", json!({"secret_shares": 3, "secret_threshold": 2})).await.json();
        self.root = answer["root_token"].as_str().unwrap().to_owned();
        answer["keys"].as_array().unwrap().iter().map(|share| share.as_str().unwrap().to_owned()).collect()
    }

    async fn unseal(&self, share: &str) -> Value {
        self.put("unseal", json!({"key": share})).await.json()
    }
}

#[tokio::test]
async fn health_tells_the_state_by_its_status_and_lets_it_be_chosen() {
    let (mut running, _) = blank().await;
    assert_eq!(running.stranger("GET", "/v1/sys/health", "").await.status, 501);
    assert_eq!(running.stranger("GET", "/v1/sys/health?uninitcode=299", "").await.status, 299);
    assert_eq!(running.stranger("GET", "/v1/sys/health?uninitcode=x", "").await.status, 400);
    assert_eq!(running.stranger("HEAD", "/v1/sys/health", "").await.status, 501);
    let shares = running.initialize().await;
    assert_eq!(running.stranger("GET", "/v1/sys/health", "").await.status, 503);
    assert_eq!(running.stranger("GET", "/v1/sys/health?sealedcode=204", "").await.status, 204);
    running.unseal(&shares[0]).await;
    running.unseal(&shares[1]).await;
    let answer = running.stranger("GET", "/v1/sys/health", "").await;
    assert_eq!((answer.status, &answer.json()["sealed"]), (200, &json!(false)));
    assert_eq!(running.stranger("PUT", "/v1/sys/health", "{}").await.status, 405);
}

#[tokio::test]
async fn init_refuses_impossible_shares_and_a_second_time() {
    let (mut running, _) = blank().await;
    for (body, text) in [
        (json!({}), "invalid seal configuration: shares must be at least one"),
        (json!({"secret_shares": 1}), "invalid seal configuration: threshold must be at least one"),
        (
            json!({"secret_shares": 2, "secret_threshold": 3}),
            "invalid seal configuration: threshold cannot be larger than shares",
        ),
        (json!({"secret_shares": -1}), "invalid seal configuration: shares must be at least one"),
        (
            json!({"secret_shares": 1, "secret_threshold": 1, "recovery_shares": 1}),
            "parameters recovery_shares not applicable to seal type shamir",
        ),
    ] {
        let answer = running.put("init", body).await;
        assert_eq!((answer.status, &answer.json()["errors"][0]), (400, &json!(text)));
    }
    let encrypted = json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["a"]});
    assert_eq!(running.put("init", encrypted).await.status, 400);
    assert_eq!(running.stranger("GET", "/v1/sys/init", "").await.json(), json!({"initialized": false}));
    running.initialize().await;
    let again = running.put("init", json!({"secret_shares": 1, "secret_threshold": 1})).await;
    assert_eq!(again.json()["errors"], json!(["Vault is already initialized"]));
}

#[tokio::test]
async fn unsealing_counts_different_shares_and_starts_over_after_wrong_ones() {
    let (mut running, _) = blank().await;
    let shares = running.initialize().await;
    assert_eq!(running.root("GET", "/v1/sys/mounts", "").await.status, 503);
    assert_eq!(running.unseal(&shares[0]).await["progress"], 1);
    assert_eq!(running.unseal(&shares[0]).await["progress"], 1);
    assert_eq!(running.put("unseal", json!({"reset": true})).await.json()["progress"], 0);
    running.unseal(&shares[0]).await;
    let wrong = running.put("unseal", json!({"key": "11".repeat(33)})).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(running.stranger("GET", "/v1/sys/seal-status", "").await.json()["progress"], 0);
    running.unseal(&shares[2]).await;
    assert_eq!(running.unseal(&shares[1]).await["sealed"], false);
    assert_eq!(running.root("GET", "/v1/sys/mounts", "").await.status, 200);
    assert_eq!(running.stranger("PUT", "/v1/sys/seal", "").await.status, 403);
    assert_eq!(running.root("PUT", "/v1/sys/seal", "").await.status, 204);
    assert_eq!(running.root("GET", "/v1/sys/mounts", "").await.status, 503);
}

#[tokio::test]
async fn shares_make_a_root_token_hidden_by_the_one_time_password() {
    let (mut running, _, shares) = unsealed().await;
    let started = running.put("generate-root/attempt", json!({})).await.json();
    let (nonce, otp) = (started["nonce"].as_str().unwrap(), started["otp"].as_str().unwrap());
    assert_eq!(started["otp_length"], 28);
    let wrong = running.put("generate-root/update", json!({"key": shares[0], "nonce": "x"})).await;
    assert_eq!(wrong.status, 400);
    let progress = running.put("generate-root/update", json!({"key": shares[0], "nonce": nonce})).await.json();
    assert_eq!((&progress["progress"], &progress["complete"]), (&json!(1), &json!(false)));
    let again = running.put("generate-root/update", json!({"key": shares[0], "nonce": nonce})).await;
    assert_eq!(again.status, 400);
    let done = running.put("generate-root/update", json!({"key": shares[1], "nonce": nonce})).await.json();
    assert_eq!(done["complete"], true);
    let hidden = BASE64_NOPAD.decode(done["encoded_root_token"].as_str().unwrap().as_bytes()).unwrap();
    let token: Vec<u8> = hidden.iter().zip(otp.bytes()).map(|(byte, mask)| byte ^ mask).collect();
    running.root = String::from_utf8(token).unwrap();
    let decode = json!({"encoded_token": done["encoded_root_token"], "otp": otp});
    assert_eq!(running.put("decode-token", decode).await.json()["data"]["token"], running.root);
    let lookup = running.root("GET", "/v1/auth/token/lookup-self", "").await.json();
    assert_eq!(lookup["data"]["policies"], json!(["root"]));
    assert_eq!(running.stranger("GET", "/v1/sys/generate-root/attempt", "").await.json()["started"], false);
}

#[tokio::test]
async fn cve_2025_4656_a_stranger_cannot_cancel_and_an_idle_attempt_gives_way() {
    let (running, clock, _) = unsealed().await;
    for path in ["generate-root/attempt", "rekey/init"] {
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        let nonce = running.put(path, body.clone()).await.json()["nonce"].clone();
        let url = format!("/v1/sys/{path}");
        for stranger in [json!({}), json!({"nonce": nonce})] {
            assert_eq!(running.stranger("DELETE", &url, &stranger.to_string()).await.status, 403, "{path}");
        }
        assert_eq!(running.stranger("GET", &url, "").await.json()["started"], true);
        assert_eq!(running.put(path, body.clone()).await.status, 400, "{path}: one attempt at a time");
        clock.advance(601);
        let replaced = running.put(path, body).await;
        assert_eq!(replaced.status, 200, "{path}");
        assert_ne!(replaced.json()["nonce"], nonce);
        assert_eq!(running.root("DELETE", &url, "").await.status, 204);
        assert_eq!(running.stranger("GET", &url, "").await.json()["started"], false);
    }
}

#[tokio::test]
async fn rekeyed_shares_replace_the_old_ones_only_when_they_were_proven() {
    let (running, _, shares) = unsealed().await;
    let start = json!({"secret_shares": 2, "secret_threshold": 2, "require_verification": true});
    let nonce = running.put("rekey/init", start).await.json()["nonce"].clone();
    running.put("rekey/update", json!({"key": shares[0], "nonce": nonce})).await;
    let done = running.put("rekey/update", json!({"key": shares[2], "nonce": nonce})).await.json();
    assert_eq!((&done["complete"], &done["verification_required"]), (&json!(true), &json!(true)));
    assert_eq!(running.stranger("GET", "/v1/sys/seal-status", "").await.json()["n"], 3, "not in force yet");
    let verification = &done["verification_nonce"];
    let new: Vec<&str> = done["keys"].as_array().unwrap().iter().map(|share| share.as_str().unwrap()).collect();
    let first = running.put("rekey/verify", json!({"key": new[0], "nonce": verification})).await.json();
    assert_eq!(first["progress"], 1);
    let last = running.put("rekey/verify", json!({"key": new[1], "nonce": verification})).await.json();
    assert_eq!(last["complete"], true);
    running.root("PUT", "/v1/sys/seal", "").await;
    running.unseal(new[0]).await;
    assert_eq!(running.unseal(new[1]).await["sealed"], false);
}

#[tokio::test]
async fn rekeyed_shares_make_the_old_ones_worthless() {
    let (running, _, shares) = unsealed().await;
    let start = json!({"secret_shares": 1, "secret_threshold": 1});
    let nonce =
        running.root("PUT", "/v1/sys/rotate/root/init", &start.to_string()).await.json()["data"]["nonce"].clone();
    let mut last = Value::Null;
    for share in &shares[..2] {
        let body = json!({"key": share, "nonce": nonce}).to_string();
        last = running.root("PUT", "/v1/sys/rotate/root/update", &body).await.json();
    }
    let new = last["data"]["keys"][0].as_str().unwrap().to_owned();
    running.root("PUT", "/v1/sys/seal", "").await;
    assert_eq!(running.put("unseal", json!({"key": shares[0]})).await.status, 400);
    assert_eq!(running.unseal(&new).await["sealed"], false);
}

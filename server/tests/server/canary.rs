//! Secrets sent in every body, header and query never come out in clear: not in the database, not in the audit log,
//! not in errors, not in metrics.

use crate::appliance::{Running, file_sink, settings, start_with};
use chancery_hsm::Hsm;
use chancery_server::mount::{MountClass, NewMount};
use chancery_store::Store;
use jiff::Timestamp;
use std::{path::Path, sync::Arc};

/// Every canary contains this; what is encoded (base64) is searched for in its own spelling besides.
const CANARY: &str = "canary0secret0value";
const ENCODED: &str = "Y2FuYXJ5MHNlY3JldDB2YWx1ZQ==";
/// Looks like a token, as old clients put them into paths.
const TOKEN: &str = "hvs.canary0secret0value0canary0secret0value";

async fn provoke(running: &Running) -> Vec<String> {
    let mut answers = Vec::new();
    let bodies = [
        format!(r#"{{"password":"{CANARY}","nested":{{"deep":["{CANARY}"]}}}}"#),
        format!(r#"{{"plaintext":"{ENCODED}"}}"#),
        format!(r#"{{"plaintext":"{CANARY}"}}"#),
        format!(r#"{{"token":"{TOKEN}","type":5,"ttl":"{CANARY}"}}"#),
        format!(r#"{{"broken":"{CANARY}"#),
        format!("field={CANARY}&plaintext={CANARY}"),
    ];
    let paths = [
        "/v1/kv/a",
        "/v1/transit/keys/k",
        "/v1/transit/encrypt/k",
        "/v1/transit/decrypt/k",
        "/v1/nosuch/x",
        "/v1/auth/userpass/login/u",
        "/v1/auth/userpass/users/u",
        "/v1/auth/approle/login",
        "/v1/pki/roles/r",
        "/v1/pki/issue/r",
        "/v1/sys/unseal",
        "/v1/sys/wrapping/unwrap",
        "/v1/sys/tools/hash",
        "/v1/auth/token/create",
    ];
    for path in paths {
        for body in &bodies {
            for token in [running.root.as_str(), TOKEN, ""] {
                let request = running.request("POST", path).header("X-Vault-Token", token).body(body.clone());
                let request = request.header("X-Custom", CANARY).header("Cookie", CANARY).header("User-Agent", CANARY);
                answers.push(request.send().await.unwrap().text().await.unwrap());
            }
        }
    }
    for (method, path) in [
        ("GET", format!("/v1/kv/a?field={CANARY}")),
        ("GET", format!("/v1/auth/token/lookup/{TOKEN}")),
        ("DELETE", format!("/v1/kv/a?x={CANARY}")),
        ("GET", format!("/v1/nosuch/{TOKEN}")),
    ] {
        let request = running.request(method, &path).header("Authorization", format!("Bearer {TOKEN}"));
        answers.push(request.send().await.unwrap().text().await.unwrap());
        running.root(method, &path, "").await;
    }
    answers
}

fn assert_clean(what: &str, bytes: &[u8]) {
    for secret in [CANARY, ENCODED] {
        let found = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(120)..(at + 60).min(bytes.len())];
            panic!("{what} holds {secret:?}: {}", String::from_utf8_lossy(around));
        }
    }
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[tokio::test]
async fn no_secret_comes_out_in_clear() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&directory.path().join("chancery.db"), Arc::new(Timestamp::now)).await.unwrap();
    let running = start_with(store, Hsm::software(), settings()).await;
    let mounts = &running.core().mounts;
    mounts.mount(NewMount::new(MountClass::Secret, "transit", "transit")).await.unwrap();
    mounts.mount(NewMount::new(MountClass::Auth, "auth/userpass", "userpass")).await.unwrap();
    mounts.mount(NewMount::new(MountClass::Auth, "auth/approle", "approle")).await.unwrap();
    mounts.mount(NewMount::new(MountClass::Secret, "pki", "pki")).await.unwrap();
    running.core().audit.enable(file_sink(&directory.path().join("audit.log"))).await.unwrap();
    running.root("POST", "/v1/transit/keys/k", "{}").await;
    for answer in provoke(&running).await {
        assert_clean("an answer", answer.as_bytes());
    }
    assert_clean("the metrics", chancery_server::metrics::render(running.core()).as_bytes());
    let seen = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    assert!(seen.lines().count() > 100, "{} lines", seen.lines().count());
    running.appliance.shutdown().await;
    for file in files_below(directory.path()) {
        assert_clean(&file.display().to_string(), &std::fs::read(&file).unwrap());
    }
}

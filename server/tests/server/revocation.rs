//! CRLs and OCSP over plain HTTP, as machines without a token fetch them.

use crate::appliance::{Running, file_sink, settings, start, start_with};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_hsm::Hsm;
use chancery_server::core::Settings;
use chancery_store::Store;
use serde_json::json;
use std::{path::Path, process::Command};

pub(crate) async fn with_certificate(running: &Running) -> (String, String) {
    let write = async |path: &str, body: serde_json::Value| {
        let answer = running.root("POST", &format!("/v1/{path}"), &body.to_string()).await;
        assert!(answer.status < 300, "{path}: {}", answer.text);
        answer
    };
    write("sys/mounts/pki", json!({"type": "pki"})).await;
    let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "700h", "issuer_name": "root"});
    let root = write("pki/root/generate/internal", root).await.json();
    write("pki/roles/r", json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h"})).await;
    let leaf = write("pki/issue/r", json!({"common_name": "a.b"})).await.json();
    let text = |value: &serde_json::Value| value["data"]["certificate"].as_str().unwrap().to_owned();
    (text(&root), text(&leaf))
}

pub(crate) fn openssl(place: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(place).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssls_own_ocsp_client_asks_over_http() {
    let running = start().await;
    let (root, leaf) = with_certificate(&running).await;
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("ca.pem"), root).unwrap();
    std::fs::write(place.path().join("leaf.pem"), &leaf).unwrap();
    let url = format!("{}/v1/pki/ocsp", running.url);
    let arguments = ["ocsp", "-issuer", "ca.pem", "-cert", "leaf.pem", "-CAfile", "ca.pem", "-url", url.as_str()];
    let asked = tokio::task::block_in_place(|| openssl(place.path(), &arguments));
    assert!(asked.contains("Response verify OK") && asked.contains("leaf.pem: good"), "{asked}");
    let revoked = running.root("POST", "/v1/pki/revoke", &json!({"certificate": leaf}).to_string()).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    let asked = tokio::task::block_in_place(|| openssl(place.path(), &arguments));
    assert!(asked.contains("leaf.pem: revoked"), "{asked}");
}

#[tokio::test]
async fn a_request_in_the_path_may_hold_slashes_in_any_spelling() {
    let running = start().await;
    let (root, leaf) = with_certificate(&running).await;
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("ca.pem"), root).unwrap();
    std::fs::write(place.path().join("leaf.pem"), &leaf).unwrap();
    let mut seen = 0;
    for hash in ["-sha1", "-sha256"] {
        let made = openssl(
            place.path(),
            &["ocsp", hash, "-issuer", "ca.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "request.der"],
        );
        assert!(!made.contains("rror"), "{made}");
        let request = STANDARD.encode(std::fs::read(place.path().join("request.der")).unwrap());
        let escaped = request.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
        let safe = request.replace('/', "_").replace('+', "-");
        for spelling in [request, escaped, safe] {
            let answer = running.stranger("GET", &format!("/v1/pki/ocsp/{spelling}"), "").await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "application/ocsp-response"));
            assert!(answer.header("cache-control").contains("max-age="), "{spelling}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
    // Elsewhere such a path is what it always was.
    assert_eq!(running.root("GET", "/v1/kv/ocsp/a%2Fb", "").await.status, 400);
}

#[tokio::test]
async fn what_a_cache_has_already_is_not_sent_again() {
    let running = start().await;
    with_certificate(&running).await;
    let url = format!("{}/v1/pki/crl", running.url);
    let first = running.client.get(&url).send().await.unwrap();
    let header = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(first.status().as_u16(), 200);
    assert!(header("cache-control").contains("public") && !header("cache-control").contains("no-store"));
    for (name, value, status) in [
        ("if-none-match", header("etag"), 304),
        ("if-modified-since", header("last-modified"), 304),
        ("if-none-match", "\"other\"".to_owned(), 200),
    ] {
        let again = running.client.get(&url).header(name, value).send().await.unwrap();
        assert_eq!(again.status().as_u16(), status, "{name}");
        assert_eq!(again.headers()["etag"].to_str().unwrap(), header("etag"));
        assert_eq!(again.bytes().await.unwrap().is_empty(), status == 304);
    }
}

#[tokio::test]
async fn strangers_who_fetch_what_is_published_leave_no_audit_lines_and_callers_do() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("audit.jsonl");
    let settings = Settings { audit: vec![file_sink(&file)], ..settings() };
    let running = start_with(Store::memory().await.unwrap(), Hsm::software(), settings).await;
    with_certificate(&running).await;
    let lines = || std::fs::read_to_string(&file).unwrap().lines().filter(|line| line.contains("pki/crl")).count();
    assert_eq!(running.stranger("GET", "/v1/pki/crl", "").await.status, 200);
    assert_eq!(lines(), 0);
    assert_eq!(running.root("GET", "/v1/pki/crl/rotate", "").await.status, 200);
    assert_eq!(lines(), 2);
}

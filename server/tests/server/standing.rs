//! OCSP answers go out again as they are, and never once they are wrong.

use crate::{
    appliance::{Answer, Running, start},
    revocation::{openssl, with_certificate},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

/// OCSPResponseStatus and the tag of CertStatus: what of an answer differs here.
#[derive(Debug, PartialEq)]
enum Said {
    Good,
    Revoked,
    Refused,
}

struct Asking {
    running: Running,
    leaf: String,
    url: String,
}

impl Asking {
    async fn new() -> Self {
        let running = start().await;
        let (root, leaf) = with_certificate(&running).await;
        let url = format!("/v1/pki/ocsp/{}", URL_SAFE_NO_PAD.encode(request(&root, &leaf, "-no_nonce")));
        Self { running, leaf, url }
    }

    async fn get(&self) -> Answer {
        self.running.stranger("GET", &self.url, "").await
    }

    async fn said(&self) -> Said {
        let response = self.running.request("GET", &self.url).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let der = response.bytes().await.unwrap();
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("response.der"), &der).unwrap();
        let text = openssl(place.path(), &["ocsp", "-respin", "response.der", "-noverify", "-resp_text"]);
        match () {
            () if text.contains("Cert Status: good") => Said::Good,
            () if text.contains("Cert Status: revoked") => Said::Revoked,
            () if text.contains("unauthorized") => Said::Refused,
            () => panic!("{text}"),
        }
    }

    /// How many answers went out again, and how many requests were counted.
    async fn counted(&self) -> (u64, u64) {
        let page = self.running.root("GET", "/v1/sys/metrics?format=prometheus", "").await.text;
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0, |rest| rest.trim().parse::<u64>().unwrap())
        };
        let reads = r#"chancery_http_request_duration_seconds_count{mount_type="pki",op="read",result="ok"}"#;
        (value("chancery_answers_given_again_total"), value(reads))
    }
}

fn request(root: &str, leaf: &str, nonce: &str) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("ca.pem"), root).unwrap();
    std::fs::write(place.path().join("leaf.pem"), leaf).unwrap();
    let made = openssl(
        place.path(),
        &["ocsp", "-sha256", "-issuer", "ca.pem", "-cert", "leaf.pem", nonce, "-reqout", "request.der"],
    );
    assert!(!made.contains("rror"), "{made}");
    std::fs::read(place.path().join("request.der")).unwrap()
}

#[tokio::test]
async fn an_answer_goes_out_again_as_it_is_and_is_counted() {
    let asking = Asking::new().await;
    let first = asking.get().await;
    let (again, counted) = asking.counted().await;
    assert_eq!(again, 0);
    // Once a second it is looked up anew, so that of two the second may be the one.
    let mut seen = 0;
    for number in 1..=3 {
        let answer = asking.get().await;
        assert_eq!((answer.status, &answer.text), (200, &first.text));
        for name in ["content-type", "etag", "last-modified", "x-content-type-options", "content-length"] {
            assert_eq!(answer.header(name), first.header(name), "{name}");
        }
        assert!(answer.header("cache-control").contains("public") && !answer.header("date").is_empty());
        let (again, all) = asking.counted().await;
        assert_eq!(all, counted + number);
        seen = again;
    }
    assert!(seen > 0, "none went out again");
}

#[tokio::test]
async fn a_revoked_certificate_is_told_at_once() {
    let asking = Asking::new().await;
    for _ in 0..3 {
        assert_eq!(asking.said().await, Said::Good);
    }
    let revoked = asking.running.root("POST", "/v1/pki/revoke", &json!({"certificate": asking.leaf}).to_string()).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    for _ in 0..3 {
        assert_eq!(asking.said().await, Said::Revoked);
    }
}

#[tokio::test]
async fn a_responder_that_is_switched_off_or_gone_says_nothing_more() {
    let asking = Asking::new().await;
    let configure = async |disable: bool| {
        let body = json!({"ocsp_disable": disable}).to_string();
        assert!(asking.running.root("POST", "/v1/pki/config/crl", &body).await.status < 300);
    };
    for (disable, said) in [(false, Said::Good), (true, Said::Refused), (false, Said::Good)] {
        configure(disable).await;
        assert_eq!(asking.said().await, said);
        assert_eq!(asking.said().await, said);
    }
    let moved = json!({"from": "pki", "to": "other"}).to_string();
    assert_eq!(asking.running.root("POST", "/v1/sys/remount", &moved).await.status, 200);
    let mut waits = 0;
    while asking.running.core().mounts.at("other").is_none() {
        waits += 1;
        assert!(waits < 500, "the mount has not moved");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(asking.get().await.status, 403);
    let there = asking.url.replace("/pki/", "/other/");
    assert_eq!(asking.running.stranger("GET", &there, "").await.status, 200);
    assert_eq!(asking.running.stranger("GET", &there, "").await.status, 200);
    assert!(asking.running.root("DELETE", "/v1/sys/mounts/other", "").await.status < 300);
    assert_eq!(asking.running.stranger("GET", &there, "").await.status, 403);
    asking.running.core().seal().await;
    assert_eq!(asking.running.stranger("GET", &there, "").await.status, 503);
}

#[tokio::test]
async fn a_request_that_says_more_than_its_url_goes_the_whole_way() {
    let asking = Asking::new().await;
    let etag = asking.get().await.header("etag").to_owned();
    assert_eq!(asking.get().await.status, 200);
    let (again, _) = asking.counted().await;
    for (name, value, status) in
        [("if-none-match", etag.as_str(), 304), ("x-vault-namespace", "team", 404), ("x-vault-wrap-ttl", "bogus", 400)]
    {
        let answer = asking.running.request("GET", &asking.url).header(name, value).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}");
    }
    assert_eq!(asking.running.stranger("DELETE", &asking.url, "").await.status, 403);
    assert_eq!(asking.counted().await.0, again);
}

#[tokio::test]
async fn a_url_in_a_long_spelling_is_answered_and_not_kept() {
    let asking = Asking::new().await;
    let first = asking.get().await;
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let (place, request) = asking.url.rsplit_once('/').unwrap();
    // Escapes, and padding that means nothing: together they are longer than what is kept.
    let long = format!("{place}/{}{}", escaped(request), escaped("================"));
    assert!(long.len() > 512, "{}", long.len());
    for _ in 0..3 {
        let answer = asking.running.stranger("GET", &long, "").await;
        assert_eq!((answer.status, &answer.text), (200, &first.text));
    }
    assert_eq!(asking.counted().await.0, 0);
}

#[tokio::test]
async fn what_was_signed_for_one_goes_to_nobody_else() {
    let asking = Asking::new().await;
    let root = asking.running.stranger("GET", "/v1/pki/ca/pem", "").await.text;
    let url = format!("/v1/pki/ocsp/{}", URL_SAFE_NO_PAD.encode(request(&root, &asking.leaf, "-nonce")));
    let bytes = async || asking.running.request("GET", &url).send().await.unwrap().bytes().await.unwrap();
    assert_ne!(bytes().await, bytes().await);
    assert_eq!(asking.counted().await.0, 0);
}

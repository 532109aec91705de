//! The OCSP responder, judged by openssl and by a second decoder.

use crate::{
    harness::{Mount, NOW, Reply, tick},
    openssl::Openssl,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_store::{CertificateChange, CertificateIntent, Changes, Page};
use serde_json::{Value, json};

/// A minute after the test's time.
const ATTIME: &str = "1795219260";

async fn issue(mount: &Mount) -> Value {
    mount.write("issue/r", json!({"common_name": "a.b", "ttl": "1h"})).await.ok()
}

/// Asks with openssl's request about certificates, by POST; openssl judges the answer.
async fn ask(mount: &Mount, openssl: &Openssl, certificates: &[&Value], options: &[&str]) -> String {
    openssl.file("ca.pem", &String::from_utf8(mount.read("ca/pem").await.raw).unwrap());
    let mut arguments = vec!["ocsp", "-issuer", "ca.pem", "-reqout", "request.der"];
    arguments.extend_from_slice(options);
    let names: Vec<String> = (0..certificates.len()).map(|at| format!("leaf{at}.pem")).collect();
    for (name, certificate) in names.iter().zip(certificates) {
        openssl.file(name, certificate["certificate"].as_str().unwrap());
        arguments.extend_from_slice(&["-cert", name]);
    }
    openssl.must(&arguments);
    let reply = post(mount, &openssl.read_bytes("request.der")).await;
    assert_eq!((reply.status, reply.content_type), (200, "application/ocsp-response"), "{reply:?}");
    openssl.bytes("response.der", &reply.raw);
    // With the request at hand openssl compares the nonces, too.
    openssl.said(&[
        "ocsp",
        "-reqin",
        "request.der",
        "-no_nonce",
        "-respin",
        "response.der",
        "-CAfile",
        "ca.pem",
        "-attime",
        ATTIME,
        "-validity_period",
        "1000000",
        "-resp_text",
    ])
}

async fn post(mount: &Mount, request: &[u8]) -> Reply {
    mount.write("ocsp", json!({"req": STANDARD.encode(request)})).await
}

/// Status of an OCSPResponse: the value of its first member.
fn response_status(der: &[u8]) -> u8 {
    let at = der.iter().position(|byte| *byte == 0x0a).unwrap();
    der[at + 2]
}

async fn mount_with(key_type: &str, key_bits: u32) -> Mount {
    let mount = Mount::new().await;
    let root = json!({"common_name": "Root", "key_type": key_type, "key_bits": key_bits, "ttl": "87600h", "issuer_name": "root"});
    mount.write("root/generate/internal", root).await.ok();
    mount.role("r", json!({"allow_any_name": true})).await;
    mount
}

#[tokio::test]
async fn openssl_reads_good_and_revoked_under_every_issuer_algorithm() {
    let algorithms = [
        ("ec", 256, ""),
        ("ec", 384, ""),
        ("ec", 521, ""),
        ("rsa", 2048, ""),
        ("rsa", 2048, "SHA384WithRSAPSS"),
        ("ed25519", 0, ""),
    ];
    for (key_type, key_bits, algorithm) in algorithms {
        let (mount, openssl) = (mount_with(key_type, key_bits).await, Openssl::new());
        if !algorithm.is_empty() {
            mount.patch("issuer/root", json!({"revocation_signature_algorithm": algorithm})).await.ok();
        }
        let issued = issue(&mount).await;
        for options in [&["-sha1", "-no_nonce"][..], &["-sha256", "-no_nonce"], &["-sha256", "-nonce"]] {
            let text = ask(&mount, &openssl, &[&issued], options).await;
            assert!(text.contains("Response verify OK") && text.contains("Cert Status: good"), "{key_type}: {text}");
        }
        mount.write("revoke", json!({"serial_number": issued["serial_number"]})).await.ok();
        openssl.bytes("list.der", &mount.read("crl").await.raw);
        let list = openssl.must(&["crl", "-inform", "der", "-in", "list.der", "-noout", "-text", "-CAfile", "ca.pem"]);
        assert!(list.contains("verify OK"), "{key_type}: {list}");
        for options in [&["-sha1", "-no_nonce"][..], &["-sha256", "-no_nonce"]] {
            let text = ask(&mount, &openssl, &[&issued], options).await;
            assert!(text.contains("Response verify OK") && text.contains("Cert Status: revoked"), "{key_type}: {text}");
        }
    }
}

#[tokio::test]
async fn the_delegated_responder_chain_verifies_and_may_do_nothing_else() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    let issued = issue(&mount).await;
    ask(&mount, &openssl, &[&issued], &["-sha256", "-no_nonce"]).await;
    let text = openssl.said(&["ocsp", "-respin", "response.der", "-noverify", "-resp_text"]);
    assert!(text.contains("CN = OCSP responder") || text.contains("CN=OCSP responder"), "{text}");
    assert!(text.contains("OCSP Signing") && text.contains("OCSP No Check"), "{text}");
    assert!(!text.contains("CA:TRUE"), "{text}");
    let start = text.find("-----BEGIN CERTIFICATE-----").unwrap();
    openssl.file("responder.pem", &text[start..]);
    let verified =
        openssl.said(&["verify", "-attime", ATTIME, "-purpose", "ocsphelper", "-CAfile", "ca.pem", "responder.pem"]);
    assert!(verified.contains("responder.pem: OK"), "{verified}");
    let refused =
        openssl.said(&["verify", "-attime", ATTIME, "-purpose", "sslserver", "-CAfile", "ca.pem", "responder.pem"]);
    assert!(refused.contains("unsuitable certificate purpose") || refused.contains("unsupported"), "{refused}");
}

#[tokio::test]
async fn several_certificates_are_answered_in_one() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    let (one, other) = (issue(&mount).await, issue(&mount).await);
    mount.write("revoke", json!({"serial_number": other["serial_number"]})).await.ok();
    let text = ask(&mount, &openssl, &[&one, &other], &["-sha256", "-no_nonce"]).await;
    assert!(text.contains("Cert Status: good") && text.contains("Cert Status: revoked"), "{text}");
}

#[tokio::test]
async fn what_was_never_issued_is_unknown_and_a_foreign_issuer_unauthorized() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    openssl.file("ca.pem", &String::from_utf8(mount.read("ca/pem").await.raw).unwrap());
    openssl.must(&["ocsp", "-sha256", "-issuer", "ca.pem", "-serial", "0x4711", "-no_nonce", "-reqout", "request.der"]);
    let reply = post(&mount, &openssl.read_bytes("request.der")).await;
    openssl.bytes("response.der", &reply.raw);
    let text = openssl.said(&[
        "ocsp",
        "-respin",
        "response.der",
        "-CAfile",
        "ca.pem",
        "-attime",
        ATTIME,
        "-resp_text",
        "-validity_period",
        "1000000",
    ]);
    assert!(text.contains("Cert Status: unknown"), "{text}");
    let other = mount_with("ec", 256).await;
    let reply = post(&other, &openssl.read_bytes("request.der")).await;
    assert_eq!(response_status(&reply.raw), 6);
    for junk in [&b""[..], b"\x30\x80", &[0x30; 9000]] {
        assert_eq!(response_status(&post(&mount, junk).await.raw), 1, "malformedRequest");
    }
    assert_eq!(response_status(&mount.read("ocsp/!!!").await.raw), 1);
    mount.write("config/crl", json!({"ocsp_disable": true})).await.ok();
    assert_eq!(response_status(&post(&mount, &openssl.read_bytes("request.der")).await.raw), 6);
}

#[tokio::test]
async fn an_answer_without_a_nonce_is_signed_once_and_cached() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    let issued = issue(&mount).await;
    ask(&mount, &openssl, &[&issued], &["-sha256", "-no_nonce"]).await;
    let request = openssl.read_bytes("request.der");
    let first = post(&mount, &request).await;
    let by_get = mount.read(&format!("ocsp/{}", STANDARD.encode(&request))).await;
    assert_eq!(first.raw, by_get.raw);
    // Another engine on the same store, as after a restart.
    let again = Mount::beside(mount.store.clone(), mount.hsm.clone(), "1");
    assert_eq!(post(&again, &request).await.raw, first.raw);
    let header = |name: &str| first.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
    assert_eq!(header("cache-control").unwrap(), "max-age=3600, public, no-transform, must-revalidate");
    assert_eq!(header("last-modified").unwrap(), "Sat, 21 Nov 2026 00:00:00 GMT");
    assert!(header("etag").is_some() && header("expires").is_some());
    // With a nonce each answer is its own, and nobody keeps it.
    ask(&mount, &openssl, &[&issued], &["-sha256", "-nonce"]).await;
    let request = openssl.read_bytes("request.der");
    let (one, other) = (post(&mount, &request).await, post(&mount, &request).await);
    assert_ne!(one.raw, other.raw);
    assert!(one.headers.is_empty());
}

#[tokio::test]
async fn answers_are_renewed_ahead_of_their_end() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    let issued = mount.write("issue/r", json!({"common_name": "a.b", "ttl": "20h"})).await;
    assert_eq!(issued.status, 200, "{issued:?}");
    let issued = issued.data;
    ask(&mount, &openssl, &[&issued], &["-sha256", "-no_nonce"]).await;
    let request = openssl.read_bytes("request.der");
    let first = post(&mount, &request).await.raw;
    mount.clock.advance(5 * 3600);
    tick(&mount, mount.now()).await.unwrap();
    assert_eq!(post(&mount, &request).await.raw, first, "not halfway yet");
    mount.clock.advance(2 * 3600);
    tick(&mount, mount.now()).await.unwrap();
    assert_ne!(post(&mount, &request).await.raw, first);
}

#[tokio::test]
async fn a_revocation_by_another_engine_is_seen_within_a_second() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    let issued = issue(&mount).await;
    assert!(ask(&mount, &openssl, &[&issued], &["-sha256", "-no_nonce"]).await.contains("Cert Status: good"));
    let other = Mount::beside(mount.store.clone(), mount.hsm.clone(), "1");
    other.write("revoke", json!({"serial_number": issued["serial_number"]})).await.ok();
    mount.clock.advance(1);
    assert!(ask(&mount, &openssl, &[&issued], &["-sha256", "-no_nonce"]).await.contains("Cert Status: revoked"));
}

#[tokio::test]
async fn the_responder_is_replaced_every_week_and_its_old_key_destroyed() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    mount.role("long", json!({"allow_any_name": true, "ttl": "2000h", "max_ttl": "2000h"})).await;
    let issued = mount.write("issue/long", json!({"common_name": "a.b"})).await.ok();
    let mut keys = Vec::new();
    for week in 0..4 {
        let text = ask(&mount, &openssl, &[&issued], &["-sha256", "-nonce"]).await;
        assert!(text.contains("Response verify OK") || week > 0, "{text}");
        keys.push(mount.hsm.list().await.unwrap().len());
        mount.clock.advance(8 * 24 * 3600);
    }
    assert_eq!(keys, [2, 3, 3, 3], "the CA's, the responder's and the one before it");
    assert!(mount.now() > NOW);
}

/// The other decoder: what it cannot read it panics at, so it is caught.
#[tokio::test]
async fn a_second_decoder_reads_our_requests_the_same() {
    let (mount, openssl) = (mount_with("rsa", 2048).await, Openssl::new());
    let issued = issue(&mount).await;
    ask(&mount, &openssl, &[&issued], &["-sha1", "-no_nonce"]).await;
    let request = openssl.read_bytes("request.der");
    let ours = chancery_ca::ocsp::OcspQuery::parse(&request).unwrap();
    let theirs = std::panic::catch_unwind(|| ocsp::request::OcspRequest::parse(&request)).unwrap().unwrap();
    let list = &theirs.tbs_request.request_list;
    assert_eq!(list.len(), ours.certificates.len());
    let id = &list[0].certid;
    assert_eq!(id.issuer_name_hash, ours.certificates[0].issuer_name);
    assert_eq!(id.issuer_key_hash, ours.certificates[0].issuer_key);
    assert_eq!(id.serial_num, ours.certificates[0].serial.as_bytes());
}

/// Storage keys of the answers that were signed.
async fn stored(mount: &Mount) -> Vec<String> {
    mount.store.view("mount/1/ocsp/").keys("", Page::default()).await.unwrap()
}

fn plain(issued: &Value) -> String {
    issued["serial_number"].as_str().unwrap().replace(':', "")
}

#[tokio::test]
async fn what_names_an_ocsp_server_is_answered_before_anybody_asks() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    issue(&mount).await;
    tick(&mount, NOW).await.unwrap();
    assert!(stored(&mount).await.is_empty(), "it names no server");
    mount.write("config/urls", json!({"ocsp_servers": "http://ocsp.example.com"})).await.ok();
    let (one, other) = (issue(&mount).await, issue(&mount).await);
    tick(&mount, NOW).await.unwrap();
    let answers = stored(&mount).await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    for issued in [&one, &other] {
        assert!(answers.iter().any(|key| key.ends_with(&format!("/sha1/{}", plain(issued)))), "{answers:?}");
    }
    let before = mount.store.sequence().await.unwrap();
    let text = ask(&mount, &openssl, &[&one], &["-sha1", "-no_nonce"]).await;
    assert!(text.contains("Response verify OK") && text.contains("Cert Status: good"), "{text}");
    assert_eq!(mount.store.sequence().await.unwrap(), before, "nothing was signed for the one who asked");
    // A tick does not do it again.
    tick(&mount, NOW).await.unwrap();
    let sequence = mount.store.sequence().await.unwrap();
    tick(&mount, NOW).await.unwrap();
    assert_eq!(mount.store.sequence().await.unwrap(), sequence);
}

#[tokio::test]
async fn a_revocation_signs_the_answer_that_is_there_anew() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    mount.write("config/urls", json!({"ocsp_servers": "http://ocsp.example.com"})).await.ok();
    let issued = issue(&mount).await;
    tick(&mount, NOW).await.unwrap();
    mount.write("revoke", json!({"serial_number": issued["serial_number"]})).await.ok();
    let before = mount.store.sequence().await.unwrap();
    assert!(ask(&mount, &openssl, &[&issued], &["-sha1", "-no_nonce"]).await.contains("Cert Status: revoked"));
    assert_eq!(mount.store.sequence().await.unwrap(), before, "nothing was signed for the one who asked");
}

#[tokio::test]
async fn signing_ahead_waits_for_an_intent_that_may_be_signed_yet() {
    let mount = mount_with("ec", 256).await;
    mount.write("config/urls", json!({"ocsp_servers": "http://ocsp.example.com"})).await.ok();
    issue(&mount).await;
    tick(&mount, NOW).await.unwrap();
    let at = |seconds: i64| jiff::Timestamp::from_second(NOW + seconds).unwrap();
    let mut changes = Changes::default();
    changes.certificate(CertificateChange::Intent(CertificateIntent {
        mount: "mount/1/".to_owned(),
        serial: vec![0x47; 20],
        issuer: "root".to_owned(),
        role: String::new(),
        requester: String::new(),
        common_name: String::new(),
        names: Vec::new(),
        key_type: "ec-p256".to_owned(),
        not_before: at(0),
        not_after: at(100_000),
        created_at: at(0),
        shard: 0,
    }));
    mount.store.commit(changes).await.unwrap();
    issue(&mount).await;
    tick(&mount, NOW).await.unwrap();
    assert_eq!(stored(&mount).await.len(), 1);
    mount.clock.advance(601);
    tick(&mount, mount.now()).await.unwrap();
    assert_eq!(stored(&mount).await.len(), 2, "an intent this old is one of a crash");
}

#[tokio::test]
async fn an_answer_about_what_has_ended_says_since_when_such_are_kept() {
    let (mount, openssl) = (mount_with("ec", 256).await, Openssl::new());
    let issued = issue(&mount).await;
    let text = ask(&mount, &openssl, &[&issued], &["-sha256", "-no_nonce"]).await;
    assert!(!text.contains("Archive Cutoff"), "{text}");
    mount.clock.advance(24 * 3600);
    let text = ask(&mount, &openssl, &[&issued], &["-sha256", "-nonce"]).await;
    // The issuer began thirty seconds before the test's time.
    assert!(text.contains("OCSP Archive Cutoff") && text.contains("Nov 20 23:59:30 2026 GMT"), "{text}");
    issue(&mount).await;
    mount.clock.advance(80 * 24 * 3600);
    mount.role("r", json!({"allow_any_name": true})).await;
    let kept = issue(&mount).await;
    mount.clock.advance(2 * 24 * 3600);
    mount.write("tidy", json!({"tidy_cert_store": true, "safety_buffer": "240h"})).await;
    while mount.read("tidy-status").await.ok()["state"] != "Finished" {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let text = ask(&mount, &openssl, &[&kept], &["-sha256", "-nonce"]).await;
    // Ten days before now, which is 83 days after the test's time.
    assert!(text.contains("Feb  2 00:00:00 2027 GMT"), "{text}");
}

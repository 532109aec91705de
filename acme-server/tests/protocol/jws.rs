//! Every way in which a signed request can be wrong. Each has its type, says what is wrong, and writes nothing.

use crate::harness::{BASE, Client, Key, Mount, Web};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_engine::Verb;
use chancery_store::Page;
use serde_json::{Value, json};

async fn records(mount: &Mount) -> Vec<String> {
    mount.store.view("mount/1/acme").keys("", Page::default()).await.unwrap()
}

/// Sends a request to new-order whose header or form was changed.
async fn changed(client: &mut Client<'_>, change: impl FnOnce(&mut Value)) -> crate::harness::Reply {
    let url = client.url("new-order");
    let mut header = client.header(&url);
    change(&mut header);
    let jws = client.key.sign(&header, Some(&json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]})));
    client.raw(&url, &jws.to_string()).await
}

#[tokio::test]
async fn headers_that_are_wrong_are_refused() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let before = records(&mount).await;
    let other = Key::new().jwk();
    let nonce = client.nonce.clone();
    let cases: Vec<(&str, Value, &str, u16)> = vec![
        ("alg", json!("none"), "badSignatureAlgorithm", 400),
        ("alg", json!("HS256"), "badSignatureAlgorithm", 400),
        ("alg", json!("RS256"), "badSignatureAlgorithm", 400),
        ("alg", json!("ES384"), "badSignatureAlgorithm", 400),
        ("alg", json!("EdDSA"), "badSignatureAlgorithm", 400),
        ("alg", json!("es256"), "badSignatureAlgorithm", 400),
        ("alg", json!(""), "badSignatureAlgorithm", 400),
        ("alg", json!(1), "malformed", 400),
        ("alg", Value::Null, "malformed", 400),
        ("jwk", other, "malformed", 400),
        ("kid", Value::Null, "malformed", 400),
        ("kid", json!("https://acme.test/v1/pki/acme/account/nobody"), "accountDoesNotExist", 400),
        ("kid", json!("nobody"), "accountDoesNotExist", 400),
        ("kid", json!("https://acme.test/v1/pki/acme/account/../account/x"), "accountDoesNotExist", 400),
        ("url", json!("https://acme.test/v1/pki/acme/new-account"), "unauthorized", 403),
        ("url", json!("http://acme.test/v1/pki/acme/new-order"), "unauthorized", 403),
        ("url", json!("https://evil.test/v1/pki/acme/new-order"), "unauthorized", 403),
        ("url", Value::Null, "malformed", 400),
        ("nonce", Value::Null, "badNonce", 400),
        ("nonce", json!(""), "badNonce", 400),
        ("nonce", json!("AAAA"), "badNonce", 400),
        ("nonce", json!("\u{0}../x"), "badNonce", 400),
        ("crit", json!(["exp"]), "malformed", 400),
        ("crit", json!([]), "malformed", 400),
        ("b64", json!(false), "malformed", 400),
        ("b64", json!(true), "malformed", 400),
    ];
    for (member, value, kind, status) in cases {
        let shown = format!("{member}: {value}");
        let reply = changed(&mut client, |header| header[member] = value).await;
        reply.problem(kind, status);
        if kind == "badSignatureAlgorithm" {
            let algorithms = reply.json()["algorithms"].clone();
            assert_eq!(algorithms, json!(["ES256", "ES384", "ES512", "RS256", "EdDSA"]), "{shown}");
        }
        assert!(reply.header("replay-nonce").is_some(), "{shown}");
    }
    // The first of all these used up the nonce the client had then.
    changed(&mut client, |header| header["nonce"] = nonce.into()).await.problem("badNonce", 400);
    assert_eq!(records(&mount).await, before);
    changed(&mut client, |_| {}).await.created();
}

#[tokio::test]
async fn forms_that_are_no_flattened_jws_are_refused() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let before = records(&mount).await;
    let url = client.url("new-order");
    let good = client.key.sign(&client.header(&url), Some(&json!({})));
    let (protected, payload) = (good["protected"].as_str().unwrap(), good["payload"].as_str().unwrap());
    let signature = good["signature"].as_str().unwrap();
    let with = |member: &str, value: Value| {
        let mut jws = good.clone();
        jws[member] = value;
        jws.to_string()
    };
    let huge = "A".repeat(70_000);
    for text in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "{".to_owned(),
        format!("{protected}.{payload}.{signature}"),
        json!({"payload": payload, "signatures": [{"protected": protected, "signature": signature}]}).to_string(),
        with("signatures", json!([])),
        with("header", json!({})),
        with("header", json!({"alg": "none"})),
        with("signature", json!("")),
        with("signature", json!("AAAA")),
        with("signature", json!(format!("{signature}="))),
        with("signature", json!(1)),
        with("payload", json!("e30=")),
        with("payload", json!("!")),
        with("protected", json!("e30")),
        with("protected", json!("bm90IGpzb24")),
        with("protected", json!(URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","alg":"ES256"}"#))),
        with("protected", json!(huge)),
        with("payload", json!(URL_SAFE_NO_PAD.encode(r#"{"identifiers":[]}"#))),
        good.to_string().replacen("{", "{\"payload\":\"\",", 1),
    ] {
        let reply = client.raw(&url, &text).await;
        let kind = reply.json()["type"].as_str().unwrap().to_owned();
        assert!(kind.ends_with(":malformed") || kind.ends_with(":badNonce"), "{text}: {kind}");
        assert_eq!(reply.status, 400, "{text}");
    }
    assert_eq!(records(&mount).await, before);
}

#[tokio::test]
async fn a_request_is_good_once() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let own = client.account.clone().unwrap();
    let jws = client.key.sign(&client.header(&own), None).to_string();
    client.raw(&own, &jws).await.ok();
    client.raw(&own, &jws).await.problem("badNonce", 400);
    // Nor is a nonce of another server, or of this one before it was started again.
    let elsewhere = mount.restarted();
    client.nonce = elsewhere.nonce().await;
    client.read(&own).await.problem("badNonce", 400);
}

#[tokio::test]
async fn requests_are_of_their_own_type() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    for content_type in ["", "application/json", "application/x-www-form-urlencoded", "text/plain"] {
        let carried = json!({"content_type": content_type, "jws": "{}"});
        let reply = mount.send(Verb::Write, &format!("{BASE}acme/new-account"), carried).await;
        reply.problem("malformed", 415);
    }
}

#[tokio::test]
async fn keys_are_where_they_belong_and_sound() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    // An account's request with a key, and a new account's with an account.
    let own = client.account.clone().unwrap();
    changed(&mut client, |header| {
        header["jwk"] = Key::new().jwk();
        header.as_object_mut().unwrap().remove("kid");
    })
    .await
    .problem("malformed", 400);
    client.post(&client.url("new-account"), json!({})).await.problem("malformed", 400);
    client.account = None;
    let url = client.url("new-account");
    let point = client.key.jwk();
    let ones = URL_SAFE_NO_PAD.encode([1; 32]);
    for key in [
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "EC", "crv": "P-256", "x": ones, "y": ones}),
        json!({"kty": "EC", "crv": "P-256", "x": point["x"], "y": point["y"], "d": ones}),
        json!({"kty": "EC", "crv": "P-256", "x": point["x"]}),
        json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xff; 128])}),
        json!({"kty": "RSA", "e": "AQAB", "n": "A".repeat(5000)}),
        json!({"kty": "RSA", "e": "A".repeat(2000), "n": URL_SAFE_NO_PAD.encode([0xff; 256])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([0; 32])}),
    ] {
        let mut header = client.header(&url);
        header["jwk"] = key;
        let jws = client.key.sign(&header, Some(&json!({})));
        client.raw(&url, &jws.to_string()).await.problem("badPublicKey", 400);
    }
    // Another's key in the header: it did not sign this.
    let mut header = client.header(&url);
    header["jwk"] = Key::new().jwk();
    let jws = client.key.sign(&header, Some(&json!({})));
    client.raw(&url, &jws.to_string()).await.problem("malformed", 400);
    assert!(own.starts_with(BASE));
}

#[tokio::test]
async fn nonces_are_given_in_two_ways() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let url = format!("{BASE}acme/new-nonce");
    let get = mount.get(&url).await;
    let head = mount.send(Verb::Read, &url, json!({"method": "HEAD"})).await;
    assert_eq!((get.status, head.status), (204, 200));
    assert_ne!(get.header("replay-nonce"), head.header("replay-nonce"));
    assert_eq!(get.header("cache-control").as_deref(), Some("no-store"));
}

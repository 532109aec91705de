//! Renewal information and `replaces` (RFC 9773).

use crate::harness::{BASE, Mount, Web, leaf};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::facts::CertificateFacts;
use chancery_engine::Verb;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The certificate's id (§4.1).
fn id_of(chain: &str) -> String {
    let facts = CertificateFacts::parse(&leaf(chain)).unwrap();
    let mut serial = facts.serial.as_bytes().to_vec();
    if serial[0] >= 0x80 {
        serial.insert(0, 0);
    }
    let key_id = facts.authority_key_id.unwrap();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(key_id), URL_SAFE_NO_PAD.encode(serial))
}

fn window(info: &Value) -> (Timestamp, Timestamp) {
    let at = |name: &str| info["suggestedWindow"][name].as_str().unwrap().parse().unwrap();
    (at("start"), at("end"))
}

#[tokio::test]
async fn renewal_is_suggested_in_time_and_at_once_where_it_must_be() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (_, chain) = client.certificate(&["127.0.0.1"]).await;
    let facts = CertificateFacts::parse(&leaf(&chain)).unwrap();
    let url = format!("{BASE}acme/renewal-info/{}", id_of(&chain));
    let reply = mount.get(&url).await;
    let (start, end) = window(&reply.ok());
    assert!(facts.not_before < start && start < end && end < facts.not_after);
    assert_eq!(reply.header("retry-after").as_deref(), Some("21600"));
    for bad in ["x", "x.y", &format!("{}x", id_of(&chain)), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"] {
        mount.get(&format!("{BASE}acme/renewal-info/{bad}")).await.problem("malformed", 404);
    }

    let now = || chancery_engine::Clock::now(&mount.clock);
    let rule = json!({"issuer": "default", "explanation_url": "https://ca.example/incident"});
    let made = mount.admin(Verb::Write, "acme/replacements", rule).await.unwrap();
    let info = mount.get(&url).await.ok();
    assert!(window(&info).1 < now());
    assert_eq!(info["explanationURL"], "https://ca.example/incident");
    let place = format!("acme/replacements/{}", made["id"].as_str().unwrap());
    mount.admin(Verb::Delete, &place, json!({})).await.unwrap();
    assert!(window(&mount.get(&url).await.ok()).1 > now());

    let serial = facts.serial.to_string();
    for (from, to, hit) in [(serial.as_str(), serial.as_str(), true), ("", "01", false), (serial.as_str(), "", true)] {
        let rule = json!({"serial_from": from, "serial_to": to});
        let made = mount.admin(Verb::Write, "acme/replacements", rule).await.unwrap();
        assert_eq!(window(&mount.get(&url).await.ok()).1 < now(), hit, "{from} {to}");
        let place = format!("acme/replacements/{}", made["id"].as_str().unwrap());
        mount.admin(Verb::Delete, &place, json!({})).await.unwrap();
    }
    assert!(mount.admin(Verb::Write, "acme/replacements", json!({})).await.is_err());

    let revocation = json!({"certificate": URL_SAFE_NO_PAD.encode(leaf(&chain))});
    client.post(&client.url("revoke-cert"), revocation).await.ok();
    assert!(window(&mount.get(&url).await.ok()).1 < now());
}

#[tokio::test]
async fn a_certificate_is_replaced_once_by_its_own_account() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (_, chain) = client.certificate(&["127.0.0.1"]).await;
    let order = |name: &str, id: &str| json!({"identifiers": [{"type": "ip", "value": name}], "replaces": id});
    let url = client.url("new-order");
    let id = id_of(&chain);
    client.post(&url, order("127.0.0.2", &id)).await.problem("malformed", 400);
    client.post(&url, order("127.0.0.1", "x.y")).await.problem("malformed", 400);
    let mut other = mount.stranger("acme").await;
    other.register(json!({})).await.created();
    let detail = other.post(&url, order("127.0.0.1", &id)).await.problem("malformed", 400);
    // cert-manager looks for this word, and orders without it.
    assert!(detail.contains("replaces"), "{detail}");
    let reply = client.post(&url, order("127.0.0.1", &id)).await;
    reply.created();
    assert_eq!(reply.json()["replaces"], json!(id));
    client.post(&url, order("127.0.0.1", &id)).await.problem("alreadyReplaced", 409);
}

//! Certificates that are renewed automatically (RFC 8739).

use crate::harness::{BASE, Client, Mount, Reply, Web, finalize, leaf};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::facts::CertificateFacts;
use chancery_engine::{Clock as _, Verb};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

const DAY: i64 = 86_400;

/// A certificate is there two minutes before the half of the lifetime of the one before.
const HALF: i64 = DAY - 120;

/// Ten days of certificates of two days each.
fn ten_days() -> Value {
    json!({"end-date": "2026-12-01T00:00:00Z", "lifetime": 2 * DAY})
}

async fn order(client: &mut Client<'_>, renewal: &Value) -> Reply {
    let identifiers = json!([{"type": "ip", "value": "127.0.0.1"}]);
    client.post(&client.url("new-order"), json!({"identifiers": identifiers, "auto-renewal": renewal})).await
}

/// The valid order and its URL.
async fn issued(client: &mut Client<'_>, renewal: &Value) -> (String, Value) {
    let made = order(client, renewal).await;
    let url = made.created();
    client.authorize(&made.json()).await;
    let valid = client.post(made.json()["finalize"].as_str().unwrap(), finalize(&["127.0.0.1"])).await.ok();
    assert_eq!(valid["status"], "valid", "{valid}");
    (url, valid)
}

fn star(order: &Value) -> String {
    order["star-certificate"].as_str().unwrap_or_else(|| panic!("{order}")).to_owned()
}

#[track_caller]
fn facts(reply: &Reply) -> CertificateFacts {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.header("content-type").as_deref(), Some("application/pem-certificate-chain"));
    let text = String::from_utf8(reply.body.clone()).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
    let facts = CertificateFacts::parse(&leaf(&text)).unwrap();
    let date = |name: &str| {
        let text = reply.header(name).unwrap();
        assert!(text.ends_with(" GMT"), "{text}");
        jiff::fmt::rfc2822::parse(&text).unwrap().timestamp()
    };
    assert_eq!((date("cert-not-before"), date("cert-not-after")), (facts.not_before, facts.not_after));
    facts
}

/// What goes on once a minute, and what it begins.
async fn settle(mount: &Mount) {
    mount.tick().await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
}

/// Waits for another certificate than this one.
async fn renewed(client: &mut Client<'_>, url: &str, before: &CertificateFacts) -> CertificateFacts {
    for _ in 0..100 {
        settle(client.mount).await;
        let next = facts(&client.read(url).await);
        if next.serial != before.serial {
            return next;
        }
    }
    panic!("no renewal of {}", before.serial)
}

/// What is to be renewed.
async fn index(mount: &Mount) -> Vec<String> {
    mount.store.view("mount/1/acme/star").keys("", chancery_store::Page::default()).await.unwrap()
}

fn after(seconds: i64) -> Timestamp {
    "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn a_certificate_is_renewed_until_its_order_ends_also_over_a_restart() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let meta = &mount.get(&format!("{BASE}acme/directory")).await.ok()["meta"]["auto-renewal"];
    assert_eq!(*meta, json!({"min-lifetime": 3600, "max-duration": 90 * DAY, "allow-certificate-get": true}));
    let (url, valid) = issued(&mut client, &ten_days()).await;
    let echoed = json!({
        "end-date": "2026-12-01T00:00:00Z", "lifetime": 2 * DAY, "lifetime-adjust": 0, "allow-certificate-get": false,
    });
    assert_eq!(valid["auto-renewal"], echoed);
    assert_eq!(valid["expires"], "2026-12-01T00:00:00Z");
    assert!(valid.get("certificate").is_none());
    client.read(&format!("{url}/cert")).await.problem("malformed", 404);
    let place = star(&valid);
    let first = facts(&client.read(&place).await);
    assert_eq!(first.not_after, after(2 * DAY));
    assert!(first.not_before <= mount.clock.now());
    client.read(&format!("{place}/1")).await.problem("malformed", 404);

    mount.clock.advance(HALF - 1);
    settle(&mount).await;
    assert_eq!(facts(&client.read(&place).await).serial, first.serial);
    mount.clock.advance(1);
    let second = renewed(&mut client, &place, &first).await;
    assert_eq!((second.not_before, second.not_after), (after(HALF), after(4 * DAY)));
    assert_eq!(second.public_key, first.public_key);
    assert_eq!(client.read(&url).await.ok()["status"], "valid");
    // Once, however often it is looked at.
    settle(&mount).await;
    assert_eq!(facts(&client.read(&place).await).serial, second.serial);

    let restarted = mount.restarted();
    let mut client = Client { mount: &restarted, nonce: restarted.nonce().await, ..client };
    let mut last = second;
    for number in [6, 8, 10] {
        restarted.clock.advance(2 * DAY);
        last = renewed(&mut client, &place, &last).await;
        assert_eq!(last.not_after, after(number * DAY));
    }
    assert_eq!(index(&restarted).await, Vec::<String>::new());
    restarted.clock.advance(3 * DAY + 119);
    facts(&client.read(&place).await);
    restarted.clock.advance(1);
    client.read(&place).await.problem("autoRenewalExpired", 403);
    // RFC 8739 §3.3: the order stays valid.
    assert_eq!(client.read(&url).await.ok()["status"], "valid");
}

#[tokio::test]
async fn a_server_that_was_away_makes_the_certificate_that_counts_now() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let renewal = json!({
        "start-date": "2026-11-21T12:00:00Z", "end-date": "2026-12-01T12:00:00Z",
        "lifetime": 2 * DAY, "lifetime-adjust": DAY + DAY / 2,
    });
    let (_, valid) = issued(&mut client, &renewal).await;
    let place = star(&valid);
    let noon = DAY / 2;
    let first = facts(&client.read(&place).await);
    assert_eq!((first.not_before, first.not_after), (after(noon), after(noon + 2 * DAY)));
    mount.clock.advance(noon + 4 * DAY + DAY / 4);
    let next = renewed(&mut client, &place, &first).await;
    assert_eq!((next.not_before, next.not_after), (after(noon + 2 * DAY + DAY / 2), after(noon + 6 * DAY)));
    assert_eq!(index(&mount).await.len(), 1);
}

#[tokio::test]
async fn anybody_fetches_the_certificate_where_the_order_allows_it() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (_, closed) = issued(&mut client, &ten_days()).await;
    mount.get(&star(&closed)).await.problem("unauthorized", 403);
    let mut open = ten_days();
    open["allow-certificate-get"] = true.into();
    let (url, open) = issued(&mut client, &open).await;
    assert_eq!(open["auto-renewal"]["allow-certificate-get"], true);
    let place = star(&open);
    assert_eq!(facts(&mount.get(&place).await).serial, facts(&client.read(&place).await).serial);
    // Caches may keep it for a while, and never beyond its time.
    assert_eq!(mount.get(&place).await.header("cache-control").as_deref(), Some("public, max-age=600"));
    // At its own directory, and by its own account.
    mount.get(&place.replace("/acme/", "/roles/web/acme/")).await.problem("malformed", 404);
    mount.get(&format!("{place}x")).await.problem("malformed", 404);
    let mut other = mount.stranger("acme").await;
    other.register(json!({})).await.created();
    other.read(&place).await.problem("malformed", 404);
    // What is not renewed is not there either.
    let (plain, _) = client.certificate(&["127.0.0.1"]).await;
    let id = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    mount.get(&place.replace(&id(&url), &id(&plain))).await.problem("unauthorized", 403);
    client.read(&place.replace(&id(&url), &id(&plain))).await.problem("malformed", 404);
}

#[tokio::test]
async fn a_canceled_order_gives_no_certificate_any_more() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let cancel = || json!({"status": "canceled"});
    let (plain, _) = client.certificate(&["127.0.0.1"]).await;
    client.post(&plain, cancel()).await.problem("autoRenewalCancellationInvalid", 400);
    assert_eq!(client.read(&plain).await.ok()["status"], "valid");
    let pending = order(&mut client, &json!({"end-date": "2026-11-30T00:00:00Z", "lifetime": DAY})).await.created();
    client.post(&pending, cancel()).await.problem("autoRenewalCancellationInvalid", 400);

    let mut open = ten_days();
    open["allow-certificate-get"] = true.into();
    let (url, valid) = issued(&mut client, &open).await;
    for bad in [json!({"status": "valid"}), json!({}), json!({"status": 1}), json!([])] {
        client.post(&url, bad).await.problem("malformed", 400);
    }
    let canceled = client.post(&url, cancel()).await.ok();
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["expires"], "2026-11-21T00:00:00Z");
    assert!(canceled.get("star-certificate").is_none());
    assert_eq!(client.read(&url).await.ok()["status"], "canceled");
    client.read(&star(&valid)).await.problem("autoRenewalCanceled", 403);
    mount.get(&star(&valid)).await.problem("autoRenewalCanceled", 403);
    client.post(&url, cancel()).await.problem("autoRenewalCancellationInvalid", 400);
    assert!(index(&mount).await.is_empty());
    let held = mount.admin(Verb::List, "certs", json!({})).await.unwrap();
    mount.clock.advance(HALF);
    settle(&mount).await;
    assert_eq!(mount.admin(Verb::List, "certs", json!({})).await.unwrap(), held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_canceled_while_it_is_renewed_stays_canceled() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    for number in 0..8 {
        let end = mount.clock.now() + SignedDuration::from_secs(10 * DAY);
        let (url, valid) = issued(&mut client, &json!({"end-date": end.to_string(), "lifetime": 2 * DAY})).await;
        mount.clock.advance(HALF);
        mount.tick().await.unwrap();
        tokio::time::sleep(Duration::from_micros(200 * number)).await;
        let canceled = client.post(&url, json!({"status": "canceled"})).await.ok();
        assert_eq!(canceled["status"], "canceled");
        settle(&mount).await;
        settle(&mount).await;
        assert_eq!(client.read(&url).await.ok()["status"], "canceled");
        client.read(&star(&valid)).await.problem("autoRenewalCanceled", 403);
        assert!(index(&mount).await.is_empty());
    }
}

#[tokio::test]
async fn clients_cancel_instead_of_revoking_and_what_operators_revoke_is_not_renewed() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (url, valid) = issued(&mut client, &ten_days()).await;
    let reply = client.read(&star(&valid)).await;
    let first = facts(&reply);
    let der = leaf(&String::from_utf8(reply.body).unwrap());
    let revocation = json!({"certificate": URL_SAFE_NO_PAD.encode(der)});
    let revoke = client.url("revoke-cert");
    client.post(&revoke, revocation).await.problem("autoRenewalRevocationNotSupported", 403);

    let serial = json!({"serial_number": first.serial.to_string()});
    mount.admin(Verb::Write, "revoke", serial).await.unwrap();
    client.read(&star(&valid)).await.problem("unauthorized", 403);
    mount.clock.advance(HALF);
    settle(&mount).await;
    let ended = client.read(&url).await.ok();
    assert_eq!(ended["status"], "invalid", "{ended}");
    assert!(ended["error"]["detail"].as_str().unwrap().contains("revoked"), "{ended}");
    assert!(index(&mount).await.is_empty());
}

#[tokio::test]
async fn what_holds_no_more_ends_the_renewal_and_the_last_certificate_is_good_until_its_end() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.stranger("roles/web/acme").await;
    *web.thumbprint.lock() = client.key.thumbprint();
    client.register(json!({})).await.created();
    let (url, valid) = issued(&mut client, &ten_days()).await;
    let first = facts(&client.read(&star(&valid)).await);

    // Where ACME is off for a while, it goes on later.
    mount.admin(Verb::Write, "config/acme", json!({"enabled": false})).await.unwrap();
    mount.clock.advance(HALF);
    settle(&mount).await;
    mount.admin(Verb::Write, "config/acme", json!({"enabled": true})).await.unwrap();
    assert_eq!(facts(&client.read(&star(&valid)).await).serial, first.serial);
    let second = renewed(&mut client, &star(&valid), &first).await;

    let role = json!({"allowed_domains": ["example.com"], "allow_ip_sans": false, "key_type": "any"});
    mount.admin(Verb::Write, "roles/web", role).await.unwrap();
    mount.clock.advance(2 * DAY);
    settle(&mount).await;
    let ended = client.read(&url).await.ok();
    assert_eq!(ended["status"], "invalid", "{ended}");
    assert!(!ended["error"]["detail"].as_str().unwrap().is_empty());
    assert!(index(&mount).await.is_empty());
    assert_eq!(facts(&client.read(&star(&valid)).await).serial, second.serial);
    mount.clock.advance(DAY + 300);
    let detail = client.read(&star(&valid)).await.problem("unauthorized", 403);
    assert!(detail.contains("not renewed any more"), "{detail}");
}

#[tokio::test]
async fn a_role_whose_certificates_are_to_live_shorter_ends_the_renewal() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.stranger("roles/web/acme").await;
    *web.thumbprint.lock() = client.key.thumbprint();
    client.register(json!({})).await.created();
    let (url, _) = issued(&mut client, &ten_days()).await;
    let role = json!({"allow_any_name": true, "key_type": "any", "max_ttl": "71h"});
    mount.admin(Verb::Write, "roles/web", role).await.unwrap();
    mount.clock.advance(HALF);
    settle(&mount).await;
    let ended = client.read(&url).await.ok();
    assert_eq!(ended["status"], "invalid", "{ended}");
    let detail = ended["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("255600"), "{detail}");
}

#[tokio::test]
async fn a_token_that_is_away_ends_no_renewal() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let (url, valid) = issued(&mut client, &ten_days()).await;
    let first = facts(&client.read(&star(&valid)).await);
    mount.clock.advance(HALF);
    let due = index(&mount).await;
    // A token without the issuer's key.
    let away = mount.restarted_on(chancery_hsm::Hsm::software());
    let mut client = Client { mount: &away, nonce: away.nonce().await, ..client };
    for _ in 0..2 {
        // The revocation lists fail as well.
        away.tick().await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(client.read(&url).await.ok()["status"], "valid");
    assert_eq!(facts(&client.read(&star(&valid)).await).serial, first.serial);
    assert_eq!(index(&away).await, due);

    let back = mount.restarted();
    let mut client = Client { mount: &back, nonce: back.nonce().await, ..client };
    assert_eq!(renewed(&mut client, &star(&valid), &first).await.not_after, after(4 * DAY));
}

#[tokio::test]
async fn nothing_is_renewed_for_an_account_that_was_deactivated() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    let mut client = mount.client(&web).await;
    let mut open = ten_days();
    open["allow-certificate-get"] = true.into();
    let (_, valid) = issued(&mut client, &open).await;
    let first = facts(&mount.get(&star(&valid)).await);
    let account = client.account.clone().unwrap();
    client.post(&account, json!({"status": "deactivated"})).await.ok();
    mount.clock.advance(HALF);
    settle(&mount).await;
    assert!(index(&mount).await.is_empty());
    assert_eq!(facts(&mount.get(&star(&valid)).await).serial, first.serial);
}

#[tokio::test]
async fn what_may_not_be_asked_for_is_refused_by_field_and_value() {
    let web = Web::start().await;
    let mount = Mount::new(&web).await;
    // The role's longest life is ten days.
    let mut client = mount.stranger("roles/web/acme").await;
    client.register(json!({})).await.created();
    let end = "2026-12-01T00:00:00Z";
    for (member, value) in [
        ("end-date", json!("2026-11-20T00:00:00Z")),
        ("end-date", json!("2027-06-01T00:00:00Z")),
        ("end-date", json!("tomorrow")),
        ("end-date", json!(1)),
        ("start-date", json!("yesterday")),
        ("start-date", json!("2026-11-30T00:00:00Z")),
        ("start-date", json!(null)),
        ("lifetime", json!(3599)),
        ("lifetime", json!(-1)),
        ("lifetime", json!(7200.5)),
        ("lifetime", json!("7200")),
        ("lifetime", json!(7 * DAY)),
        ("lifetime", json!(u64::MAX)),
        ("lifetime-adjust", json!(-1)),
        ("lifetime-adjust", json!("0")),
        ("allow-certificate-get", json!("true")),
    ] {
        let mut renewal = json!({"end-date": end, "lifetime": 2 * DAY});
        renewal[member] = value.clone();
        let detail = order(&mut client, &renewal).await.problem("malformed", 400);
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert!(detail.contains(&format!("\"{member}\"")) && detail.contains(&shown), "{detail}");
    }
    for renewal in [json!(true), json!([]), json!({"end-date": end}), json!({"lifetime": DAY}), json!({})] {
        order(&mut client, &renewal).await.problem("malformed", 400);
    }
    let swapped = json!({"start-date": end, "end-date": "2026-11-30T00:00:00Z", "lifetime": DAY});
    assert!(order(&mut client, &swapped).await.problem("malformed", 400).contains("end-date"));
    let adjusted = json!({"end-date": end, "lifetime": 6 * DAY, "lifetime-adjust": 5 * DAY});
    assert!(order(&mut client, &adjusted).await.problem("malformed", 400).contains("lifetime-adjust"));
    for member in ["notBefore", "notAfter"] {
        let mut both = json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}], "auto-renewal": ten_days()});
        both[member] = "2026-11-22T00:00:00Z".into();
        let detail = client.post(&client.url("new-order"), both).await.problem("malformed", 400);
        assert!(detail.contains(member), "{detail}");
    }
    // Two that differ in nothing else are two orders.
    let one = order(&mut client, &ten_days()).await.created();
    assert_eq!(order(&mut client, &ten_days()).await.created(), one);
    assert_ne!(order(&mut client, &json!({"end-date": end, "lifetime": DAY})).await.created(), one);

    mount.admin(Verb::Write, "config/acme", json!({"auto_renewal_max_duration": 0})).await.unwrap();
    assert!(order(&mut client, &ten_days()).await.problem("malformed", 400).contains("not offered"));
    assert!(mount.get(&format!("{BASE}acme/directory")).await.ok()["meta"].get("auto-renewal").is_none());
    let year = json!({"auto_renewal_max_duration": "9000h"});
    assert!(mount.admin(Verb::Write, "config/acme", year).await.unwrap_err().contains("auto_renewal_max_duration"));
}

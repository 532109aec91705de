//! A token goes away under a certificate authority and comes back: what is still answered, what is told to come back, what is
//! made up for.

use crate::{
    harness::{Mount, NOW, Reply, tick},
    openssl::Openssl,
    token::Token,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_ca::crl::list::CrlList;
use chancery_hsm::Hsm;
use chancery_store::{Initialize, SealChoice, Store};
use serde_json::{Value, json};
use std::time::Duration;

/// How the token is taken away.
pub(crate) trait Plug {
    fn pull(&mut self);
    fn put_back(&mut self);
}

async fn mount_on(hsm: Hsm) -> Mount {
    let store = Store::memory().await.unwrap();
    store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
    let mount = Mount::beside(store, hsm, "1");
    let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "87600h", "issuer_name": "root"});
    mount.write("root/generate/internal", root).await.ok();
    let urls = json!({"crl_distribution_points": "http://crl.example.com/{{shard}}", "ocsp_servers": "http://ocsp.example.com"});
    mount.write("config/urls", urls).await.ok();
    mount.write("config/crl", json!({"shards": 1})).await.ok();
    mount.role("r", json!({"allow_any_name": true, "ttl": "2000h", "max_ttl": "2000h"})).await;
    mount
}

async fn issue(mount: &Mount) -> Reply {
    mount.write("issue/r", json!({"common_name": "a.b"})).await
}

/// A request without a nonce about a certificate, that names the issuer by this hash.
fn question(openssl: &Openssl, issued: &Value, hash: &str) -> Vec<u8> {
    openssl.file("leaf.pem", issued["certificate"].as_str().unwrap());
    let arguments = ["ocsp", hash, "-issuer", "ca.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "request.der"];
    openssl.must(&arguments);
    openssl.read_bytes("request.der")
}

async fn ask(mount: &Mount, request: &[u8]) -> Vec<u8> {
    mount.write("ocsp", json!({"req": STANDARD.encode(request)})).await.raw
}

/// responseStatus of an OCSPResponse.
fn status(answer: &[u8]) -> u8 {
    let at = answer.iter().position(|byte| *byte == 0x0a).unwrap();
    answer[at + 2]
}

fn lists(list: &[u8], issued: &Value) -> bool {
    let serial = issued["serial_number"].as_str().unwrap();
    let list = CrlList::parse(list).unwrap();
    list.entries().any(|entry| entry.unwrap().serial.to_string() == serial)
}

pub(crate) async fn unplugged(token: &Token, plug: &mut impl Plug) {
    let mut config = token.config();
    config.reconnect_pause = Duration::from_millis(100);
    let hsm = Hsm::open(config).await.unwrap();
    let (mount, openssl) = (mount_on(hsm.clone()).await, Openssl::new());
    openssl.file("ca.pem", &String::from_utf8(mount.read("ca/pem").await.raw).unwrap());

    let (good, revoked, fresh) = (issue(&mount).await.ok(), issue(&mount).await.ok(), issue(&mount).await.ok());
    mount.write("revoke", json!({"serial_number": revoked["serial_number"]})).await.ok();
    let (of_good, of_revoked) = (question(&openssl, &good, "-sha256"), question(&openssl, &revoked, "-sha256"));
    let (good_answer, revoked_answer) = (ask(&mount, &of_good).await, ask(&mount, &of_revoked).await);
    assert_eq!((status(&good_answer), status(&revoked_answer)), (0, 0));
    tick(&mount, NOW).await.unwrap();
    let (whole, shard) = (mount.read("crl").await.raw, mount.read("crl/shard/1").await.raw);
    assert!(lists(&whole, &revoked) && lists(&shard, &revoked));

    plug.pull();

    // What needs a signature waits for the first attempt to reconnect, then is told to come back.
    assert_eq!(issue(&mount).await.status, 503);
    assert_eq!(issue(&mount).await.status, 503);
    // What was signed before goes on being served.
    assert_eq!(ask(&mount, &of_good).await, good_answer);
    assert_eq!(ask(&mount, &of_revoked).await, revoked_answer);
    mount.clock.advance(5);
    assert_eq!(ask(&mount, &of_good).await, good_answer, "read back from storage");
    assert_eq!(mount.read("crl").await.raw, whole);
    assert_eq!(mount.read("crl/shard/1").await.raw, shard);
    // Every certificate was answered ahead, if asked about as most clients ask; any other way cannot be signed for now.
    openssl.bytes("response.der", &ask(&mount, &question(&openssl, &fresh, "-sha1")).await);
    let text = openssl.said(&["ocsp", "-respin", "response.der", "-noverify", "-resp_text"]);
    assert!(text.contains("Cert Status: good"), "{text}");
    assert_eq!(status(&ask(&mount, &question(&openssl, &fresh, "-sha256")).await), 3, "tryLater");

    // A revocation is taken all the same, and nobody is told that the certificate is good any more.
    let taken = mount.write("revoke", json!({"serial_number": good["serial_number"]})).await;
    assert_eq!((taken.status, taken.warnings.len()), (200, 1), "{taken:?}");
    assert_eq!(status(&ask(&mount, &of_good).await), 3, "tryLater");

    // Past its end a list gives way to its spare.
    mount.clock.advance(73 * 3600);
    for path in ["crl", "crl/shard/1"] {
        let list = mount.read(path).await.raw;
        let next = CrlList::parse(&list).unwrap().next_update.unwrap();
        assert!(next.as_second() > mount.now(), "{path} holds");
        assert!(lists(&list, &revoked), "{path}");
    }
    assert!(tick(&mount, mount.now()).await.is_err(), "nothing can be renewed");

    plug.put_back();
    for _ in 0..300 {
        if hsm.status().is_ready() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tick(&mount, mount.now()).await.unwrap();
    mount.clock.advance(2);
    for path in ["crl", "crl/shard/1"] {
        let list = mount.read(path).await.raw;
        assert!(lists(&list, &revoked) && lists(&list, &good), "{path} has what was revoked meanwhile");
    }
    assert_eq!(status(&ask(&mount, &of_good).await), 0);
    issue(&mount).await.ok();
    hsm.shutdown().await;
}

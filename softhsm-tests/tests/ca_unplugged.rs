//! The certificate authority on a token that is unplugged and comes back: the pass-through module in front of SoftHSM
//! answers `CKR_DEVICE_REMOVED`, to signatures and to every attempt to reconnect.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test binary without a harness; it fails by panicking"
)]

#[path = "../../ca/tests/api/harness.rs"]
#[expect(dead_code, reason = "the engine's own tests use more of it")]
mod harness;
#[path = "../../ca/tests/api/openssl.rs"]
#[expect(dead_code, reason = "the engine's own tests use more of it")]
mod openssl;
#[path = "support/shim.rs"]
#[expect(dead_code, reason = "here nobody counts calls")]
mod shim;
#[path = "support/softhsm.rs"]
mod softhsm;
#[path = "support/token.rs"]
mod token;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_ca::crl::list::CrlList;
use chancery_hsm::Hsm;
use chancery_store::{Initialize, SealChoice, Store};
use harness::{Mount, NOW, Reply, tick};
use openssl::Openssl;
use serde_json::{Value, json};
use shim::Shim;
use std::{process::ExitCode, time::Duration};
use token::{Stage, Token};

const DEVICE_REMOVED: u64 = 0x32;
const FOR_GOOD: u64 = 1_000_000;

fn main() -> ExitCode {
    let module = if Token::inherited().is_some() { None } else { Some(shim::build()) };
    let token = match softhsm::stage(module.as_deref()) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(unplugged(&token));
    println!("ok      a token that is unplugged and comes back");
    ExitCode::SUCCESS
}

async fn mount_on(hsm: Hsm) -> Mount {
    let store = Store::memory().await.unwrap();
    store.barrier().initialize(Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } }).await.unwrap();
    let mount = Mount::beside(store, hsm, "1");
    let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "87600h", "issuer_name": "root"});
    mount.write("root/generate/internal", root).await.ok();
    mount.write("config/urls", json!({"crl_distribution_points": "http://crl.example.com/{{shard}}"})).await.ok();
    mount.write("config/crl", json!({"shards": 1})).await.ok();
    mount.role("r", json!({"allow_any_name": true, "ttl": "2000h", "max_ttl": "2000h"})).await;
    mount
}

async fn issue(mount: &Mount) -> Reply {
    mount.write("issue/r", json!({"common_name": "a.b"})).await
}

/// A request without a nonce about a certificate.
fn question(openssl: &Openssl, issued: &Value) -> Vec<u8> {
    openssl.file("leaf.pem", issued["certificate"].as_str().unwrap());
    let arguments =
        ["ocsp", "-sha256", "-issuer", "ca.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "request.der"];
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

async fn unplugged(token: &Token) {
    let mut config = token.config();
    config.reconnect_pause = Duration::from_millis(100);
    let hsm = Hsm::open(config).await.unwrap();
    let (mount, openssl, shim) = (mount_on(hsm.clone()).await, Openssl::new(), Shim::at(&token.place));
    openssl.file("ca.pem", &String::from_utf8(mount.read("ca/pem").await.raw).unwrap());

    let (good, revoked, fresh) = (issue(&mount).await.ok(), issue(&mount).await.ok(), issue(&mount).await.ok());
    mount.write("revoke", json!({"serial_number": revoked["serial_number"]})).await.ok();
    let (of_good, of_revoked) = (question(&openssl, &good), question(&openssl, &revoked));
    let (good_answer, revoked_answer) = (ask(&mount, &of_good).await, ask(&mount, &of_revoked).await);
    assert_eq!((status(&good_answer), status(&revoked_answer)), (0, 0));
    tick(&mount, NOW).await.unwrap();
    let (whole, shard) = (mount.read("crl").await.raw, mount.read("crl/shard/1").await.raw);
    assert!(lists(&whole, &revoked) && lists(&shard, &revoked));

    shim.fail("C_SignInit", DEVICE_REMOVED, FOR_GOOD);
    shim.fail("C_Initialize", DEVICE_REMOVED, FOR_GOOD);

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
    // What was not asked before cannot be signed now.
    assert_eq!(status(&ask(&mount, &question(&openssl, &fresh)).await), 3, "tryLater");

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

    shim.order("reset");
    for _ in 0..100 {
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

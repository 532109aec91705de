//! What a mount costs that has made a million certificates by ACME: newOrder to certificate beside the same mount with a
//! thousand, in one run, on SQLite, keys in the software token. The past is a copy of what one order leaves behind, under
//! other ids.
//!
//! `CHANCERY_BENCH_ORDERS` (1,000,000) sets another size. Rounds on both mounts take turns, and the median counts.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../tests/protocol/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

use chancery_acme_server::Knobs;
use chancery_ca::serial::SerialNumber;
use chancery_engine::Clock as _;
use chancery_store::{CertificateChange, CertificateIntent, Changes, Page, Store};
use harness::{Client, Mount, Web, challenge, finalize};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const FEW: u64 = 1000;
const PER_COMMIT: u64 = 200;
/// Accounts among which the past is shared.
const ACCOUNTS: u64 = 1000;
const CALLERS: usize = 8;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A mount whose every order shows control anew.
async fn mount_at(path: &Path, web: &Web) -> Mount {
    let store = Store::sqlite(path, Arc::new(Timestamp::now)).await.unwrap();
    let knobs = Knobs { http_port: Some(web.port), allow_private: true, reuse_rate: Some(0), ..Knobs::default() };
    Mount::beside(store, knobs).await
}

/// What one order left behind: keys below `acme/`, values, ends.
struct Left {
    entries: Vec<(String, String, Option<Timestamp>)>,
    order: String,
    authorization: String,
    account: String,
    serial: String,
}

/// Gets one certificate and reads what is stored of it.
async fn left_behind(mount: &Mount, client: &mut Client<'_>) -> Left {
    let view = mount.store.view("mount/1/acme/");
    let before = view.keys("", Page::default()).await.unwrap();
    let (url, _) = client.certificate(&["127.0.0.100"]).await;
    let mut entries = Vec::new();
    for key in view.keys("", Page::default()).await.unwrap() {
        if !before.contains(&key) {
            let entry = view.read(&key).await.unwrap().unwrap();
            let value: Value = entry.decode().unwrap();
            entries.push((key, value.to_string(), entry.expires_at));
        }
    }
    let last = |text: &str| text.rsplit('/').next().unwrap().to_owned();
    let of = |kind: &str| last(&entries.iter().find(|(key, ..)| key.starts_with(kind)).expect(kind).0);
    let (authorization, serial) = (of("authorization/"), of("issued/"));
    Left { order: last(&url), authorization, account: last(client.account.as_ref().unwrap()), serial, entries }
}

/// Orders of the past, one a second, each under ids and a serial number of its own.
async fn fill(mount: &Mount, left: &Left, orders: u64) {
    let view = mount.store.view("mount/1/acme/");
    let now = mount.clock.now();
    let serial = SerialNumber::parse(&left.serial).unwrap();
    let template = mount.store.certificates().by_serial("mount/1/", serial.as_bytes()).await.unwrap().unwrap();
    let mut done = 0;
    while done < orders {
        let mut changes = Changes::default();
        for number in done..orders.min(done + PER_COMMIT) {
            let made = now - jiff::SignedDuration::from_secs(i64::try_from(orders - number).unwrap());
            let id = |kind: u64| format!("{:012x}{kind:04x}{number:020x}", made.as_millisecond());
            let serial = SerialNumber::fresh(made).unwrap();
            let account = format!("{:036x}", number % ACCOUNTS);
            let renamed = |text: &str| {
                text.replace(&left.order, &id(1))
                    .replace(&left.authorization, &id(2))
                    .replace(&left.account, &account)
                    .replace(&left.serial, &serial.to_string())
            };
            for (key, value, ends) in &left.entries {
                let mut key = renamed(key);
                if key.starts_with("proof/") || key.starts_with("open/") {
                    // Its last segment is a digest: any other does as well.
                    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &number.to_be_bytes());
                    let digest = data_encoding::BASE32HEX_NOPAD.encode(digest.as_ref()).to_ascii_lowercase();
                    key = format!("{}/{digest}", key.rsplit_once('/').unwrap().0);
                }
                let value: Value = serde_json::from_str(&renamed(value)).unwrap();
                match ends {
                    Some(ends) => changes.put_expiring(&view, &key, &value, *ends).unwrap(),
                    None => changes.put(&view, &key, &value).unwrap(),
                };
            }
            let intent = CertificateIntent { serial: serial.as_bytes().to_vec(), ..template.intent.clone() };
            changes.certificate(CertificateChange::Intent(intent));
            changes.certificate(CertificateChange::Issued {
                mount: "mount/1/".to_owned(),
                serial: serial.as_bytes().to_vec(),
                der: template.der.clone(),
            });
        }
        mount.store.commit(changes).await.unwrap();
        done += PER_COMMIT;
    }
}

/// newOrder to certificate. On a busy machine an answer may have to be asked for again.
async fn issue(client: &mut Client<'_>, address: &str) {
    let (url, order) = client.order(&[address]).await;
    let authorization = client.read(order["authorizations"][0].as_str().unwrap()).await.ok();
    client.post(&challenge(&authorization, "http-01"), json!({})).await.ok();
    while client.read(&url).await.ok()["status"] == "pending" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut order = client.post(order["finalize"].as_str().unwrap(), finalize(&[address])).await.ok();
    while order["status"] == "processing" {
        tokio::time::sleep(Duration::from_millis(5)).await;
        order = client.read(&url).await.ok();
    }
    client.read(order["certificate"].as_str().expect("a certificate")).await;
}

/// Certificates a second, by several clients of one account.
async fn rate(mount: &Mount, client: &Client<'_>) -> f64 {
    // The mount's clock stands still; what one account may order has to fill again.
    mount.clock.advance(10);
    let (started, until) = (Instant::now(), Instant::now() + ROUND);
    let callers = (0..CALLERS).map(|number| async move {
        let nonce = mount.nonce().await;
        let (key, account) = (harness::Key::from_pkcs8(&client.key.pkcs8()), client.account.clone());
        let mut client = Client { mount, key, account, nonce, directory: client.directory.clone() };
        let mut count = 0_u32;
        while Instant::now() < until {
            issue(&mut client, &format!("127.0.1.{number}")).await;
            count += 1;
        }
        count
    });
    let count: u32 = futures_util::future::join_all(callers).await.into_iter().sum();
    f64::from(count) / started.elapsed().as_secs_f64()
}

async fn run() {
    let orders = setting("CHANCERY_BENCH_ORDERS", 1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let (few_web, many_web) = (Web::start().await, Web::start().await);
    let few = mount_at(&folder.path().join("few.db"), &few_web).await;
    let many = mount_at(&folder.path().join("many.db"), &many_web).await;
    let (mut few_client, mut many_client) = (few.client(&few_web).await, many.client(&many_web).await);
    fill(&few, &left_behind(&few, &mut few_client).await, FEW).await;
    let filling = Instant::now();
    fill(&many, &left_behind(&many, &mut many_client).await, orders).await;
    println!("{orders} past orders, filled in {:.0} s", filling.elapsed().as_secs_f64());
    let (mut at_few, mut at_many) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        at_few.push(rate(&few, &few_client).await);
        at_many.push(rate(&many, &many_client).await);
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (one, other) = (median(&mut at_few), median(&mut at_many));
    println!("{:44} {FEW:>12} {orders:>12}", "");
    println!("{:44} {one:>12.1} {other:>12.1}", "newOrder to certificate, certificates a second");
    println!("    rate with {orders} at {:.0} % of that with {FEW}", other / one * 100.0);
    // What has ended is found by its index, however much has not.
    let sweep = async |mount: &Mount| {
        let started = Instant::now();
        mount.tick().await.unwrap();
        started.elapsed().as_secs_f64() * 1000.0
    };
    println!("{:44} {:>9.1} ms {:>9.1} ms", "a tick with nothing to remove", sweep(&few).await, sweep(&many).await);
}

fn main() {
    // `cargo test --benches` passes this; the figures are for `cargo bench`.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(run());
}

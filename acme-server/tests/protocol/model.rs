//! The state machine against a model of it: whatever clients do in whatever order, with crashes and time between the steps,
//! orders and authorizations are what the model says.

use crate::harness::{Client, Mount, Web, challenge, finalize};
use chancery_engine::Clock as _;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    /// An order for the names of these numbers.
    Order(Vec<u8>),
    /// Answers the challenge of an authorization, well or badly.
    Answer {
        authorization: usize,
        well: bool,
    },
    /// Finalizes an order, with its names or with another.
    Finalize {
        order: usize,
        well: bool,
    },
    GiveUp(usize),
    Wait(i64),
    Crash,
}

#[derive(Debug)]
struct Order {
    url: String,
    names: Vec<u8>,
    authorizations: Vec<String>,
    status: &'static str,
    ends: i64,
}

#[derive(Debug)]
struct Authorization {
    name: u8,
    status: &'static str,
    ends: i64,
    orders: Vec<usize>,
}

#[derive(Debug, Default)]
struct Model {
    orders: Vec<Order>,
    authorizations: BTreeMap<String, Authorization>,
    /// By name: the authorization that is used again.
    proofs: BTreeMap<u8, String>,
}

const DAY: i64 = 86_400;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::btree_set(1_u8..4, 1..3).prop_map(|names| Step::Order(names.into_iter().collect())),
        6 => (0_usize..8, prop::bool::weighted(0.8)).prop_map(|(authorization, well)| Step::Answer { authorization, well }),
        5 => (0_usize..6, prop::bool::weighted(0.8)).prop_map(|(order, well)| Step::Finalize { order, well }),
        1 => (0_usize..8).prop_map(Step::GiveUp),
        2 => prop_oneof![Just(60), Just(DAY / 2), Just(DAY)].prop_map(Step::Wait),
        2 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..25)
}

impl Model {
    /// What time does.
    fn settle(&mut self, now: i64) {
        for order in self.orders.iter_mut().filter(|order| order.ends <= now) {
            if matches!(order.status, "pending" | "ready") {
                order.status = "invalid";
            }
        }
        for authorization in self.authorizations.values_mut().filter(|one| one.ends <= now) {
            authorization.status = match authorization.status {
                "pending" => "invalid",
                "valid" => "expired",
                other => other,
            };
        }
    }

    fn is_valid(&self, url: &str) -> bool {
        self.authorizations[url].status == "valid"
    }

    fn lose(&mut self, url: &str) {
        for number in self.authorizations[url].orders.clone() {
            if matches!(self.orders[number].status, "pending" | "ready") {
                self.orders[number].status = "invalid";
            }
        }
    }
}

fn addresses(names: &[u8]) -> Vec<String> {
    names.iter().map(|name| format!("127.0.0.{name}")).collect()
}

async fn order(client: &mut Client<'_>, model: &mut Model, names: Vec<u8>, now: i64) {
    let texts = addresses(&names);
    let (url, order) = client.order(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let open = model
        .orders
        .iter()
        .find(|known| known.names == names && matches!(known.status, "pending" | "ready") && known.ends > now + 1800);
    // Only the last of several for the same names is remembered; an older one does not come back.
    if let Some(known) = model.orders.iter().rev().find(|known| known.names == names)
        && open.is_some_and(|open| open.url == known.url)
    {
        assert_eq!(url, known.url);
        return;
    }
    assert!(model.orders.iter().all(|known| known.url != url), "an order came back");
    let urls: Vec<String> =
        order["authorizations"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
    let number = model.orders.len();
    for (name, url) in names.iter().zip(&urls) {
        match model.proofs.get(name).filter(|proof| model.is_valid(proof)) {
            Some(proof) => assert_eq!(proof, url),
            None => {
                let made = Authorization { name: *name, status: "pending", ends: now + DAY, orders: vec![number] };
                assert!(model.authorizations.insert(url.clone(), made).is_none(), "an authorization came back");
            }
        }
    }
    let status = if urls.iter().all(|url| model.is_valid(url)) { "ready" } else { "pending" };
    model.orders.push(Order { url, names, authorizations: urls, status, ends: now + DAY });
}

async fn answer(client: &mut Client<'_>, model: &mut Model, (which, well): (usize, bool), now: i64) {
    let Some(url) = model.authorizations.keys().nth(which).cloned() else { return };
    let seen = client.read(&url).await.ok();
    if model.authorizations[&url].status != "pending" {
        return;
    }
    client.post(&challenge(&seen, "http-01"), json!({})).await.ok();
    let authorization = model.authorizations.get_mut(&url).unwrap();
    if !well {
        authorization.status = "invalid";
        model.lose(&url);
        return;
    }
    authorization.status = "valid";
    authorization.ends = authorization.ends.max(now + DAY);
    model.proofs.insert(authorization.name, url.clone());
    for number in model.authorizations[&url].orders.clone() {
        let complete = model.orders[number].authorizations.iter().all(|one| model.is_valid(one));
        if complete && model.orders[number].status == "pending" {
            model.orders[number].status = "ready";
        }
    }
}

async fn finish(client: &mut Client<'_>, model: &mut Model, (which, well): (usize, bool)) {
    let Some(order) = model.orders.get(which) else { return };
    let names = if well { addresses(&order.names) } else { vec!["192.0.2.99".to_owned()] };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let reply = client.post(&format!("{}/finalize", order.url), finalize(&names)).await;
    if order.status != "ready" {
        reply.problem("orderNotReady", 403);
    } else if !order.authorizations.iter().all(|url| model.is_valid(url)) {
        reply.problem("unauthorized", 403);
    } else if well {
        reply.ok();
        model.orders[which].status = "valid";
    } else {
        reply.problem("badCSR", 400);
    }
}

async fn give_up(client: &mut Client<'_>, model: &mut Model, which: usize) {
    let Some(url) = model.authorizations.keys().nth(which).cloned() else { return };
    let reply = client.post(&url, json!({"status": "deactivated"})).await;
    let authorization = model.authorizations.get_mut(&url).unwrap();
    match authorization.status {
        "pending" | "valid" => {
            reply.ok();
            authorization.status = "deactivated";
            model.proofs.remove(&authorization.name);
            model.lose(&url);
        }
        "deactivated" => drop(reply.ok()),
        _ => drop(reply.problem("malformed", 400)),
    }
}

async fn compare(client: &mut Client<'_>, model: &Model) {
    let mut certificates = Vec::new();
    for order in &model.orders {
        let seen = client.read(&order.url).await.ok();
        assert_eq!(seen["status"], order.status, "{order:?}");
        if let Some(place) = seen["certificate"].as_str() {
            certificates.push(crate::harness::leaf(&String::from_utf8(client.read(place).await.body).unwrap()));
        }
    }
    for (url, authorization) in &model.authorizations {
        assert_eq!(client.read(url).await.ok()["status"], authorization.status, "{authorization:?}");
    }
    // A certificate for every valid order, no two the same, and none besides.
    let valid = model.orders.iter().filter(|order| order.status == "valid").count();
    let mut different = certificates.clone();
    different.sort();
    different.dedup();
    assert_eq!((certificates.len(), different.len()), (valid, valid));
}

async fn run(steps: Vec<Step>) {
    let web = Web::start().await;
    let mut mount = Mount::new(&web).await;
    let first = mount.client(&web).await;
    let (account, mut key) = (first.account.clone(), first.key);
    let thumbprint = key.thumbprint();
    let mut model = Model::default();
    for step in steps {
        let mut now = mount.clock.now().as_second();
        match step {
            Step::Crash => {
                mount = mount.restarted();
                continue;
            }
            Step::Wait(seconds) => {
                mount.clock.advance(seconds);
                now += seconds;
            }
            _ => {}
        }
        model.settle(now);
        let mut client = mount.stranger("acme").await;
        (client.account, client.key) = (account.clone(), key);
        let well = !matches!(step, Step::Answer { well: false, .. });
        *web.thumbprint.lock() = if well { thumbprint.clone() } else { "wrong".to_owned() };
        match step {
            Step::Order(names) => order(&mut client, &mut model, names, now).await,
            Step::Answer { authorization, well } => answer(&mut client, &mut model, (authorization, well), now).await,
            Step::Finalize { order, well } => finish(&mut client, &mut model, (order, well)).await,
            Step::GiveUp(which) => give_up(&mut client, &mut model, which).await,
            Step::Wait(_) | Step::Crash => {}
        }
        compare(&mut client, &model).await;
        key = client.key;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_clients_do_the_states_are_those_of_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}

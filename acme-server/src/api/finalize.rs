//! Finalizing (RFC 8555 §7.4). Certificates are made behind the request; one that is there quickly goes out with it.
//!
//! cert-manager finalizes again after a restart and takes a 403 for the end of an order that is not valid yet, so a
//! finalize of an order that is being signed waits until that has settled.

use super::order::{self, LOOK_AGAIN_SECONDS};
use crate::{
    exchange::{Answer, Exchange},
    problem::{Problem, ProblemType},
    records::Order,
    server::{AcmeServer, mount_ttl},
    state::OrderStatus,
    work::issuance::{self, Asked},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::{csr::Csr, validity::MountTtl};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

#[derive(Debug, Deserialize)]
struct Finalize {
    csr: String,
}

/// How long a finalize waits for its certificate before it says `processing`.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a finalize of an order that is being signed is held (the client's own limit is 90 s).
const HOLD: Duration = Duration::from_secs(60);

/// How often it is looked whether another server has made the certificate.
const GLANCE: Duration = Duration::from_millis(500);

/// `POST order/:order/finalize`
pub(crate) async fn finalize(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let id = exchange.capture("order").to_owned();
    let signed = exchange.by_account(&server, &format!("order/{id}/finalize")).await?;
    let request: Finalize = signed.parse()?;
    let found = order::find(&server, &exchange, &signed).await?;
    let mount = mount_ttl(&exchange.call.mount);
    match found.value.status {
        OrderStatus::Ready => {}
        OrderStatus::Processing => return server.hold(&exchange, &found.value, mount).await,
        _ => return Err(not_ready(&found.value)),
    }
    let bad = |detail: String| ProblemType::BadCsr.because(detail);
    let der = URL_SAFE_NO_PAD
        .decode(&request.csr)
        .map_err(|_| bad("\"csr\" is not DER in base64url without padding".to_owned()))?;
    let csr = Csr::from_der(&der).map_err(|error| bad(error.to_string()))?;
    // RFC 8555 §11.1
    if csr.public_key().der() == signed.account.value.key.spki() {
        return Err(bad("the request is for the account's own key".to_owned()));
    }
    let asked = Asked { text: request.csr, csr };
    let (mut done, progress) = server.issue(&found.value, Some(asked), mount);
    let finished = tokio::time::timeout(PATIENCE, done.wait_for(|done| *done)).await.is_ok();
    if !finished && !progress.lock().recorded {
        // Nothing is durable yet, so there is nothing to tell.
        let _settled = tokio::time::timeout(HOLD, done.wait_for(|done| *done)).await;
    }
    if let Some(problem) = progress.lock().refused.take() {
        return Err(problem);
    }
    let found = order::find(&server, &exchange, &signed).await?;
    match found.value.status {
        OrderStatus::Ready => Err(Problem::busy()),
        _ => Ok(answer(&exchange, &found.value)),
    }
}

fn answer(exchange: &Exchange, order: &Order) -> Answer {
    let answer = Answer::json(200, &order::view(exchange, order)).at(exchange.url(&format!("order/{}", order.id)));
    if order.status == OrderStatus::Processing { answer.again_after(LOOK_AGAIN_SECONDS) } else { answer }
}

/// §7.4: 403 wherever the order is not ready.
fn not_ready(order: &Order) -> Problem {
    let detail = format!("the order is {:?}, not ready", order.status).to_lowercase();
    ProblemType::OrderNotReady.because(detail)
}

impl AcmeServer {
    /// Waits until the order has settled.
    async fn hold(self: &Arc<Self>, exchange: &Exchange, order: &Order, mount: MountTtl) -> Result<Answer, Problem> {
        let name = issuance::key(order);
        let until = tokio::time::Instant::now() + HOLD;
        loop {
            self.resume_order(order, mount).await;
            match self.running(&name) {
                Some(mut done) => {
                    let _settled = tokio::time::timeout_at(until, done.wait_for(|done| *done)).await;
                }
                // Another server is at it, and nothing tells us when it is done.
                None => tokio::time::sleep(GLANCE).await,
            }
            let found = self.records.order(&order.account, &order.id).await?;
            let found = found.ok_or_else(|| Problem::not_found("order"))?;
            if found.value.status != OrderStatus::Processing {
                return Err(not_ready(&found.value));
            }
            // Still no decision: a 403 would make the client give the order up.
            if tokio::time::Instant::now() >= until {
                return Ok(answer(exchange, &found.value));
            }
        }
    }
}

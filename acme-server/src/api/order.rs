//! An order as clients see it (RFC 8555 §7.1.3).

use crate::{
    exchange::set,
    exchange::{Answer, Exchange, Signed},
    problem::{Problem, ProblemType},
    records::Order,
    server::{AcmeServer, mount_ttl},
    state::{OrderEvent, OrderStatus},
    storage::Stored,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// When a client should look at a processing order again.
pub(crate) const LOOK_AGAIN_SECONDS: u32 = 2;

/// `POST order/:order`
pub(crate) async fn order(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let id = exchange.capture("order").to_owned();
    let signed = exchange.by_account(&server, &format!("order/{id}")).await?;
    if !signed.is_post_as_get() {
        return cancel(&server, &exchange, &signed).await;
    }
    let order = find(&server, &exchange, &signed).await?;
    let answer = Answer::json(200, &view(&exchange, &order.value));
    let mount = mount_ttl(&exchange.call.mount);
    if order.value.status == OrderStatus::Processing {
        server.resume_order(&order.value, mount).await;
        return Ok(answer.again_after(LOOK_AGAIN_SECONDS));
    }
    server.resume_challenges(&order.value, mount).await?;
    Ok(answer)
}

#[derive(Debug, Deserialize)]
struct Change {
    status: Option<String>,
}

/// Ends the renewal of an order (RFC 8739 §3.1.2), the only change a client may make to one.
async fn cancel(server: &AcmeServer, exchange: &Exchange, signed: &Signed) -> Result<Answer, Problem> {
    let change: Change = signed.parse()?;
    if change.status.as_deref() != Some("canceled") {
        let detail = "an order is read by POST-as-GET; the only change to it is \"status\": \"canceled\"";
        return Err(Problem::malformed(detail));
    }
    let order = find(server, exchange, signed).await?.value;
    let invalid = |detail: String| ProblemType::AutoRenewalCancellationInvalid.because(detail);
    let state = if order.auto_renewal.is_some() {
        format!("the order is {:?}, not valid", order.status).to_lowercase()
    } else {
        "the order has no automatic renewal to cancel".to_owned()
    };
    let why = invalid(state);
    let stopped = server.stop_renewal((&order.account, &order.id), (OrderEvent::Canceled, why.clone())).await?;
    Ok(Answer::json(200, &view(exchange, &stopped.ok_or(why)?)))
}

/// The order of the URL, as it is now; another account's does not exist.
pub(crate) async fn find(server: &AcmeServer, exchange: &Exchange, signed: &Signed) -> Result<Stored<Order>, Problem> {
    let found = server.records.order(signed.account(), exchange.capture("order")).await?;
    let order = found.ok_or_else(|| Problem::not_found("order"))?;
    exchange.note("order", &order.value.id);
    if let Some(serial) = order.value.serial.as_deref().filter(|_| order.value.status == OrderStatus::Valid) {
        exchange.note("serial", serial);
    }
    Ok(Stored { value: order.value.at(exchange.now), ..order })
}

/// The order.
pub(crate) fn view(exchange: &Exchange, order: &Order) -> Value {
    let url = exchange.url(&format!("order/{}", order.id));
    let authorizations = order.authorizations.iter().map(|id| exchange.url(&format!("authorization/{id}")));
    let mut object = json!({
        "status": order.status,
        "expires": order.expires.to_string(),
        "identifiers": order.names.iter().map(crate::identifier::Named::written).collect::<Vec<_>>(),
        "authorizations": authorizations.collect::<Vec<_>>(),
        "finalize": format!("{url}/finalize"),
    });
    let times = [("notBefore", &order.not_before), ("notAfter", &order.not_after)];
    for (name, time) in times {
        if let Some(time) = time {
            set(&mut object, name, time.to_string());
        }
    }
    for (name, text) in [("profile", &order.profile), ("replaces", &order.replaces)] {
        if let Some(text) = text {
            set(&mut object, name, text.as_str());
        }
    }
    if let Some(error) = &order.error {
        set(&mut object, "error", error.to_value());
    }
    if let Some(renewal) = &order.auto_renewal {
        set(&mut object, "auto-renewal", renewal.view());
    }
    match &order.auto_renewal {
        _ if order.status != OrderStatus::Valid => {}
        Some(_) => set(&mut object, "star-certificate", exchange.url(&format!("star/{}/{}", order.account, order.id))),
        None => set(&mut object, "certificate", format!("{url}/cert")),
    }
    object
}

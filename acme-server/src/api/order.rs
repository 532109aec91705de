//! An order as clients see it (RFC 8555 §7.1.3).

use crate::{
    exchange::set,
    exchange::{Answer, Exchange, Signed},
    problem::Problem,
    records::Order,
    server::AcmeServer,
    state::OrderStatus,
    storage::Stored,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// When a client should look at a processing order again.
pub(crate) const LOOK_AGAIN_SECONDS: u32 = 2;

/// `POST order/:order`
pub(crate) async fn order(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let id = exchange.capture("order").to_owned();
    let signed = exchange.by_account(&server, &format!("order/{id}")).await?;
    signed.only_reads()?;
    let order = find(&server, &exchange, &signed).await?;
    let mut answer = Answer::json(200, &view(&exchange, &order.value));
    if order.value.status == OrderStatus::Processing {
        server.resume_order(&order.value, crate::server::mount_ttl(&exchange.call.mount)).await;
        answer = answer.again_after(LOOK_AGAIN_SECONDS);
    }
    Ok(answer)
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
    if order.status == OrderStatus::Valid {
        set(&mut object, "certificate", format!("{url}/cert"));
    }
    object
}

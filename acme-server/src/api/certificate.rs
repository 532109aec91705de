//! Fetching a certificate and its chains (RFC 8555 §7.4.2), also one that is renewed automatically (RFC 8739 §3.3).

use super::order;
use crate::{
    exchange::{Answer, Exchange},
    problem::{Problem, ProblemType},
    records::Order,
    server::AcmeServer,
    state::OrderStatus,
};
use chancery_ca::{pem, serial::SerialNumber};
use chancery_store::Certificate;
use jiff::{Timestamp, tz::TimeZone};
use std::{fmt::Write as _, sync::Arc};

/// `POST order/:order/cert`, `POST order/:order/cert/:chain`
pub(crate) async fn certificate(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let place = format!("order/{}/cert", exchange.capture("order"));
    let signed = exchange.by_account(&server, &path(&exchange, &place)).await?;
    signed.only_reads()?;
    let order = order::find(&server, &exchange, &signed).await?.value;
    if order.status != OrderStatus::Valid || order.auto_renewal.is_some() {
        return Err(missing());
    }
    if let (Some(der), Some(issuer)) = (&order.der, &order.issuer) {
        return with_chain(&server, &exchange, (der, issuer, &place)).await;
    }
    let row = row(&server, &order).await?;
    with_chain(&server, &exchange, (&row.der, &row.intent.issuer, &place)).await
}

/// `POST star/:account/:order`, `POST star/:account/:order/:chain`
pub(crate) async fn posted_star(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let place = star_place(&exchange);
    let signed = exchange.by_account(&server, &path(&exchange, &place)).await?;
    signed.only_reads()?;
    if signed.account() != exchange.capture("account") {
        return Err(Problem::not_found("order"));
    }
    let order = order::find(&server, &exchange, &signed).await?.value;
    star(&server, &exchange, &order).await
}

/// `GET star/:account/:order`, `GET star/:account/:order/:chain`: by anybody who knows the URL, where the order allows it
/// (RFC 8739 §3.4).
pub(crate) async fn fetched_star(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let found = server.records.order(exchange.capture("account"), exchange.capture("order")).await?;
    let here = found.filter(|found| found.value.scope == exchange.scope.path());
    let order = here.ok_or_else(|| Problem::not_found("order"))?.value.at(exchange.now);
    exchange.note("account", &order.account);
    exchange.note("order", &order.id);
    if !order.auto_renewal.as_ref().is_some_and(|renewal| renewal.allow_get) {
        let detail = "the order does not allow its certificate to be fetched by GET; use POST-as-GET";
        return Err(ProblemType::Unauthorized.because(detail));
    }
    let mut answer = star(&server, &exchange, &order).await?;
    answer.headers.push(("cache-control", format!("public, max-age={}", fresh_for(&order, exchange.now))));
    Ok(answer)
}

/// RFC 8739 §4: no cache keeps a certificate beyond its time. None is kept beyond the next one either, nor so long that
/// a cancellation goes unnoticed for more than ten minutes.
fn fresh_for(order: &Order, now: Timestamp) -> i64 {
    let due = order.auto_renewal.as_ref().and_then(|renewal| renewal.due);
    let next = [due, order.certificate_ends].into_iter().flatten().min().unwrap_or(now);
    next.duration_since(now).as_secs().clamp(0, 600)
}

fn star_place(exchange: &Exchange) -> String {
    format!("star/{}/{}", exchange.capture("account"), exchange.capture("order"))
}

/// The place with the chain that is asked for.
fn path(exchange: &Exchange, place: &str) -> String {
    match exchange.capture("chain") {
        "" => place.to_owned(),
        chosen => format!("{place}/{chosen}"),
    }
}

/// The current certificate of an order that renews it.
async fn star(server: &AcmeServer, exchange: &Exchange, order: &Order) -> Result<Answer, Problem> {
    let renewal = order.auto_renewal.as_ref().filter(|renewal| renewal.first.is_some()).ok_or_else(missing)?;
    if order.status == OrderStatus::Canceled {
        return Err(ProblemType::AutoRenewalCanceled.because("the order was canceled"));
    }
    if exchange.now >= renewal.end {
        return Err(ProblemType::AutoRenewalExpired.because(format!("the order ended at {}", renewal.end)));
    }
    // Where renewal was refused, the last certificate is good until it ends.
    if let Some(error) = &order.error
        && order.certificate_ends.is_none_or(|end| end < exchange.now)
    {
        let detail = format!("the certificate is not renewed any more: {}", error.detail);
        return Err(ProblemType::Unauthorized.because(detail));
    }
    let row = row(server, order).await?;
    exchange.note("serial", order.serial.as_deref().unwrap_or_default());
    if row.revocation.is_some() {
        return Err(ProblemType::Unauthorized.because("the certificate was revoked, so it is not renewed any more"));
    }
    let mut answer = with_chain(server, exchange, (&row.der, &row.intent.issuer, &star_place(exchange))).await?;
    answer.headers.push(("cert-not-before", http_date(row.intent.not_before)));
    answer.headers.push(("cert-not-after", http_date(row.intent.not_after)));
    Ok(answer)
}

fn missing() -> Problem {
    Problem::not_found("certificate")
}

/// The order's certificate in the inventory.
async fn row(server: &AcmeServer, order: &Order) -> Result<Certificate, Problem> {
    let serial = order.serial.as_deref().and_then(SerialNumber::parse).ok_or_else(missing)?;
    let row = server.authority.door_certificate(&serial).await.map_err(|error| Problem::internal(&error))?;
    row.ok_or_else(missing)
}

/// The certificate with the chain that is asked for, and where the others are.
async fn with_chain(
    server: &AcmeServer,
    exchange: &Exchange,
    (der, issuer, place): (&[u8], &str, &str),
) -> Result<Answer, Problem> {
    let chosen = exchange.capture("chain");
    let chains = server.authority.door_chains(issuer).await.map_err(|error| Problem::internal(&error))?;
    let number: usize = if chosen.is_empty() { 0 } else { chosen.parse().map_err(|_| missing())? };
    let chain = chains.get(number).ok_or_else(missing)?;
    let mut text = pem::encode_line(pem::CERTIFICATE, der);
    for issuer in chain {
        // Writing to a text cannot fail.
        let _infallible = write!(text, "{}", pem::encode_line(pem::CERTIFICATE, &issuer.facts.der));
    }
    let mut answer = Answer {
        status: 200,
        body: Some(("application/pem-certificate-chain", text.into_bytes())),
        ..Answer::default()
    };
    for other in (0..chains.len()).filter(|other| *other != number) {
        let rest = if other == 0 { String::new() } else { format!("/{other}") };
        answer = answer.link("alternate", exchange.url(&format!("{place}{rest}")));
    }
    Ok(answer)
}

/// RFC 9110 §5.6.7
fn http_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

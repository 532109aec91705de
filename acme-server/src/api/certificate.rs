//! Fetching a certificate and its chains (RFC 8555 §7.4.2).

use super::order;
use crate::{
    exchange::{Answer, Exchange},
    problem::Problem,
    server::AcmeServer,
    state::OrderStatus,
};
use chancery_ca::{pem, serial::SerialNumber};
use std::{fmt::Write as _, sync::Arc};

/// `POST order/:order/cert`, `POST order/:order/cert/:chain`
pub(crate) async fn certificate(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let (id, chosen) = (exchange.capture("order").to_owned(), exchange.capture("chain").to_owned());
    let rest = if chosen.is_empty() { String::new() } else { format!("/{chosen}") };
    let signed = exchange.by_account(&server, &format!("order/{id}/cert{rest}")).await?;
    signed.only_reads()?;
    let order = order::find(&server, &exchange, &signed).await?.value;
    let missing = || Problem::not_found("certificate");
    let serial = order.serial.as_deref().filter(|_| order.status == OrderStatus::Valid).ok_or_else(missing)?;
    let serial = SerialNumber::parse(serial).ok_or_else(missing)?;
    let failed = |error: chancery_ca::CaError| Problem::internal(&error);
    let row = server.authority.door_certificate(&serial).await.map_err(failed)?.ok_or_else(missing)?;
    let chains = server.authority.door_chains(&row.intent.issuer).await.map_err(failed)?;
    let number: usize = if chosen.is_empty() { 0 } else { chosen.parse().map_err(|_| missing())? };
    let chain = chains.get(number).ok_or_else(missing)?;
    let mut text = pem::encode_line(pem::CERTIFICATE, &row.der);
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
        let place = if other == 0 { String::new() } else { format!("/{other}") };
        answer = answer.link("alternate", exchange.url(&format!("order/{id}/cert{place}")));
    }
    Ok(answer)
}

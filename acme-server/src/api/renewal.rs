//! When a certificate should be replaced (RFC 9773): at two thirds of its life, earlier where an operator says so, at once
//! where it is revoked.

use crate::{
    exchange::set,
    exchange::{Answer, Exchange, Signed},
    identifier::Named,
    problem::{Problem, ProblemType},
    server::AcmeServer,
    state::OrderStatus,
    storage::{Issued, Stored},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::{facts::CertificateFacts, serial::SerialNumber};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// How often clients should ask.
const POLL_SECONDS: u32 = 6 * 3600;

/// Certificates that live shorter than this are replaced at half of their life (RFC 9773 §4.2 leaves it to the CA).
const SHORT_LIFE_SECONDS: i64 = 10 * 86_400;

/// `GET renewal-info/{certificate}`
pub(crate) async fn renewal_info(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let missing = || Problem::not_found("certificate");
    let (key_id, serial) = parse_id(exchange.capture("certificate")).ok_or_else(missing)?;
    let failed = |error: chancery_ca::CaError| Problem::internal(&error);
    let row = server.authority.door_certificate(&serial).await.map_err(failed)?.ok_or_else(missing)?;
    let facts = CertificateFacts::parse(&row.der).map_err(failed)?;
    if facts.authority_key_id.as_ref() != Some(&key_id) {
        return Err(missing());
    }
    exchange.note("serial", &serial.to_string());
    let early = server.replacement(&row.intent).await?;
    let at_once = row.revocation.is_some() || early.is_some();
    let (start, end) = window(row.intent.not_before, row.intent.not_after, at_once.then_some(exchange.now));
    let mut body = json!({ "suggestedWindow": { "start": start.to_string(), "end": end.to_string() } });
    if let Some(url) = early.filter(|url| !url.is_empty()) {
        set(&mut body, "explanationURL", url);
    }
    Ok(Answer::json(200, &body).again_after(if at_once { 3600 } else { POLL_SECONDS }))
}

/// The id of RFC 9773 §4.1: key identifier of the issuer and serial number.
fn parse_id(text: &str) -> Option<(Vec<u8>, SerialNumber)> {
    let (key_id, serial) = text.split_once('.')?;
    let (key_id, serial) = (URL_SAFE_NO_PAD.decode(key_id).ok()?, URL_SAFE_NO_PAD.decode(serial).ok()?);
    let fits = (1..=64).contains(&key_id.len()) && (1..=21).contains(&serial.len());
    fits.then(|| (key_id, SerialNumber::from_bytes(&serial)))
}

/// From when to when to replace it; where it is to be done at once, in what has just passed.
fn window(not_before: Timestamp, not_after: Timestamp, at_once: Option<Timestamp>) -> (Timestamp, Timestamp) {
    let seconds = |count: i64| SignedDuration::from_secs(count);
    let shift = |time: Timestamp, by: i64| time.checked_add(seconds(by)).unwrap_or(time);
    if let Some(now) = at_once {
        return (shift(now, -3600), shift(now, -60));
    }
    let life = not_after.as_second() - not_before.as_second();
    let point = if life < SHORT_LIFE_SECONDS { life / 2 } else { life - life / 3 };
    let half = (life / 100).max(1);
    (shift(not_before, point - half), shift(not_before, point + half))
}

impl AcmeServer {
    /// The certificate an order says it replaces (RFC 9773 §5).
    pub(crate) async fn replaceable<T>(
        &self,
        signed: &Signed,
        id: &str,
        asked: &BTreeMap<Named, T>,
    ) -> Result<(String, Stored<Issued>), Problem> {
        let unknown = || Problem::malformed("\"replaces\" names no certificate of this account");
        let (_, serial) = parse_id(id).ok_or_else(unknown)?;
        let found = self.records.issued(&serial.to_string()).await?.ok_or_else(unknown)?;
        if found.value.account != signed.account() {
            return Err(unknown());
        }
        let before = self.records.order(signed.account(), &found.value.order).await?.ok_or_else(unknown)?;
        if !before.value.names.iter().any(|name| asked.contains_key(name)) {
            return Err(Problem::malformed("\"replaces\" names a certificate with none of the order's names"));
        }
        if let Some(other) = &found.value.replaced_by {
            let other = self.records.order(signed.account(), other).await?;
            let gone = |status| matches!(status, OrderStatus::Invalid | OrderStatus::Canceled);
            let holds = other.is_some_and(|other| !gone(other.value.at(self.now()).status));
            if holds {
                return Err(ProblemType::AlreadyReplaced.because("another order replaces that certificate already"));
            }
        }
        Ok((serial.to_string(), found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_at_two_thirds_of_a_life_and_have_a_length() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let (start, end) = window(at(0), at(90 * 86_400), None);
        assert!(start < at(60 * 86_400) && at(60 * 86_400) < end);
        let (start, end) = window(at(0), at(3600), None);
        assert!(at(1700) < start && start < end && end < at(1900));
        let (start, end) = window(at(0), at(3600), Some(at(10_000)));
        assert!(start < end && end < at(10_000));
    }

    #[test]
    fn ids_are_those_of_rfc_9773() {
        let (key_id, serial) = parse_id("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE").unwrap();
        assert_eq!(key_id.len(), 20);
        assert_eq!(serial.to_string(), "87:65:43:21");
        for bad in ["", ".", "a", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.A=", "x.y.z"] {
            assert!(parse_id(bad).is_none(), "{bad}");
        }
    }
}

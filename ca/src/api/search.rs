//! `certs/search` (ours) and `certs/detailed` (OpenBao's): the inventory as people read it.

use super::roles::PageRequest;
use crate::{
    CertificateAuthority, authority::Authority, error::CaError, public_key::PublicKey, serial::SerialNumber,
    validity::written_text,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, Flag, Text, parse_duration},
};
use chancery_store::{
    Certificate as Row, CertificateCursor, CertificateFilter, CertificateOrder, CertificateQuery, CertificateState,
    SerialPage,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, x509::X509Name};

/// Certificates on a page unless it is said otherwise, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SearchRequest {
    /// In place of all else.
    serial_number: Text,
    common_name: Text,
    /// One of the subject alternative names.
    name: Text,
    /// Id or name.
    issuer: Text,
    role: Text,
    requester: Text,
    key_type: Text,
    status: Text,
    expires_after: Text,
    expires_before: Text,
    sort: Text,
    descending: Flag,
    after: Text,
    limit: Count,
}

/// What is told of a certificate.
#[derive(Serialize)]
struct Found<'a> {
    common_name: &'a str,
    names: &'a [String],
    status: &'static str,
    not_before: String,
    not_after: String,
    issued_at: String,
    issuer_id: &'a str,
    issuer_name: &'a str,
    role: &'a str,
    requester: &'a str,
    key_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_reason: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_shard: Option<u32>,
}

#[derive(Serialize)]
struct SearchResponse<'a> {
    keys: Vec<String>,
    key_info: BTreeMap<String, Found<'a>>,
    /// The `after` of the next page; empty on the last one.
    next: String,
}

/// A cursor as clients carry it.
#[derive(Serialize, Deserialize)]
struct Cursor {
    key: String,
    end: i64,
    id: u64,
}

#[derive(Serialize)]
struct Detail {
    common_name: String,
    dns_names: Vec<String>,
    issuer: String,
    key_bits: u32,
    key_type: &'static str,
    not_after: String,
    not_before: String,
}

#[derive(Serialize)]
struct DetailedResponse {
    keys: Vec<String>,
    key_info: BTreeMap<String, Detail>,
}

impl SearchRequest {
    fn query(&self, mount: &str, authority: &Authority, now: Timestamp) -> Result<CertificateQuery, CaError> {
        let stated = |text: &Text| (!text.0.is_empty()).then(|| text.0.clone());
        let order = self.order()?;
        // Certificates of an issuer that is gone are found by its id.
        let id_of =
            |reference: String| authority.issuer(&reference).map_or(reference, |issuer| issuer.record.id.clone());
        let issuer = stated(&self.issuer).map(id_of);
        let mut filter = CertificateFilter {
            mount: mount.to_owned(),
            issuer,
            role: stated(&self.role),
            requester: stated(&self.requester),
            common_name: stated(&self.common_name),
            name: stated(&self.name),
            key_type: stated(&self.key_type),
            state: None,
            expires_from: moment("expires_after", &self.expires_after.0, now)?,
            expires_before: moment("expires_before", &self.expires_before.0, now)?,
            created_before: None,
        };
        match self.status.0.as_str() {
            "" | "any" => {}
            "valid" => {
                filter.state = Some(CertificateState::Issued);
                filter.expires_from = Some(filter.expires_from.map_or(now, |from| from.max(now)));
            }
            "expired" => filter.expires_before = Some(filter.expires_before.map_or(now, |before| before.min(now))),
            "revoked" => filter.state = Some(CertificateState::Revoked),
            "intended" => filter.state = Some(CertificateState::Intent),
            other => {
                return Err(CaError::Caller(format!(
                    "status must be valid, expired, revoked, intended or any, got {other:?}"
                )));
            }
        }
        let limit = match self.limit.0 {
            0 => PAGE,
            limit => usize::try_from(limit).ok().filter(|limit| *limit <= LARGEST_PAGE).ok_or_else(|| {
                CaError::Caller(format!("limit must be a number from 1 to {LARGEST_PAGE}, got {limit}"))
            })?,
        };
        let after = stated(&self.after).map(|text| cursor(&text)).transpose()?;
        // One more than asked for tells whether there is another page.
        Ok(CertificateQuery { filter, order, descending: self.descending.0, after, limit: Some(limit + 1) })
    }

    fn order(&self) -> Result<CertificateOrder, CaError> {
        Ok(match self.sort.0.as_str() {
            "" | "expiry" => CertificateOrder::Expiry,
            "created" => CertificateOrder::Created,
            "common_name" => CertificateOrder::CommonName,
            "issuer" => CertificateOrder::Issuer,
            "role" => CertificateOrder::Role,
            "requester" => CertificateOrder::Requester,
            "key_type" => CertificateOrder::KeyType,
            "status" => CertificateOrder::State,
            other => {
                return Err(CaError::Caller(format!(
                    "sort must be expiry, created, common_name, issuer, role, requester, key_type or status, got {other:?}"
                )));
            }
        })
    }
}

/// A moment in RFC 3339, or so long from now.
fn moment(name: &str, text: &str, now: Timestamp) -> Result<Option<Timestamp>, CaError> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(at) = text.parse() {
        return Ok(Some(at));
    }
    let wrong =
        || CaError::Caller(format!("{name} must be a time in RFC 3339 or a duration such as 30d, got {text:?}"));
    let seconds = parse_duration(text).map_err(|_| wrong())?;
    now.checked_add(SignedDuration::from_secs(seconds)).map(Some).map_err(|_| wrong())
}

fn cursor(text: &str) -> Result<CertificateCursor, CaError> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let cursor: Cursor = serde_json::from_slice(&bytes).ok()?;
        let not_after = Timestamp::from_microsecond(cursor.end).ok()?;
        Some(CertificateCursor { key: cursor.key, not_after, id: cursor.id })
    };
    read().ok_or_else(|| CaError::caller("after must be the `next` of another page"))
}

fn next(row: &Row, order: CertificateOrder) -> String {
    let place = CertificateCursor::of(row, order);
    let cursor = Cursor { key: place.key, end: place.not_after.as_microsecond(), id: place.id };
    // Texts and numbers always serialise.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
}

fn status(row: &Row, now: Timestamp) -> &'static str {
    match row.state {
        CertificateState::Revoked => "revoked",
        CertificateState::Intent => "intended",
        CertificateState::Issued if row.intent.not_after < now => "expired",
        CertificateState::Issued => "valid",
    }
}

/// `certs/search`
pub(crate) async fn search(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: SearchRequest = call.parse()?;
    let authority = engine.authority().await?;
    let now = engine.now();
    let query = request.query(engine.mount(), &authority, now)?;
    let (order, limit) = (query.order, query.limit.unwrap_or(PAGE).saturating_sub(1));
    let inventory = engine.store.certificates();
    let mut rows = if request.serial_number.0.is_empty() {
        inventory.search(query).await.map_err(CaError::from)?
    } else {
        let serial = SerialNumber::parse(&request.serial_number.0).ok_or(Fault::Absent)?;
        let row = inventory.by_serial(engine.mount(), serial.as_bytes()).await.map_err(CaError::from)?;
        row.into_iter().collect()
    };
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let mut response = SearchResponse { keys: Vec::new(), key_info: BTreeMap::new(), next: String::new() };
    if has_more && let Some(last) = rows.last() {
        response.next = next(last, order);
    }
    for row in &rows {
        let serial = SerialNumber::from_bytes(&row.intent.serial).to_string();
        let id = &row.intent.issuer;
        let issuer = authority.issuers.get(id).or_else(|| authority.retired.get(id));
        response.keys.push(serial.clone());
        response.key_info.insert(
            serial,
            Found {
                common_name: &row.intent.common_name,
                names: &row.intent.names,
                status: status(row, now),
                not_before: row.intent.not_before.to_string(),
                not_after: written_text(row.intent.not_after),
                issued_at: row.intent.created_at.to_string(),
                issuer_id: id,
                issuer_name: issuer.map_or("", |issuer| &issuer.record.name),
                role: &row.intent.role,
                requester: &row.intent.requester,
                key_type: &row.intent.key_type,
                revocation_time: row.revocation.map(|revocation| revocation.at.to_string()),
                revocation_reason: row.revocation.map(|revocation| revocation.reason),
                crl_shard: (row.intent.shard > 0).then_some(row.intent.shard),
            },
        );
    }
    if response.keys.is_empty() {
        return Err(Fault::Absent);
    }
    Response::data(&response)
}

/// `LIST certs/detailed`
pub(crate) async fn detailed(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let after = SerialNumber::parse(&request.after.0).map(|serial| serial.as_bytes().to_vec());
    let page = SerialPage { after, limit: request.limit() };
    let inventory = engine.store.certificates();
    let serials = inventory.list_serials(engine.mount(), page).await.map_err(CaError::from)?;
    let mut response = DetailedResponse { keys: Vec::with_capacity(serials.len()), key_info: BTreeMap::new() };
    for serial in serials {
        let text = SerialNumber::from_bytes(&serial).to_string();
        let row = inventory.by_serial(engine.mount(), &serial).await.map_err(CaError::from)?;
        if let Some(detail) = row.and_then(|row| detail(&row)) {
            response.key_info.insert(text.clone(), detail);
        }
        response.keys.push(text);
    }
    if response.keys.is_empty() {
        return Err(Fault::Absent);
    }
    Response::data(&response)
}

fn detail(row: &Row) -> Option<Detail> {
    let (_, certificate) = X509Certificate::from_der(&row.der).ok()?;
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let dns_names = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let key = PublicKey::parse(certificate.public_key().raw).ok()?.kind();
    Some(Detail {
        common_name: row.intent.common_name.clone(),
        dns_names: dns_names.collect(),
        issuer: name_text(certificate.issuer()),
        key_bits: key.bits(),
        key_type: key.name(),
        not_after: written_text(row.intent.not_after),
        not_before: row.intent.not_before.to_string(),
    })
}

/// A name as RFC 2253 writes it, the last part first.
fn name_text(name: &X509Name<'_>) -> String {
    let mut parts = Vec::new();
    for part in name.iter() {
        let values = part.iter().map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let known = ATTRIBUTES.iter().find(|(known, _)| *known == oid);
            let key = known.map_or(oid.as_str(), |(_, short)| short);
            format!("{key}={}", escaped(attribute.as_str().unwrap_or_default()))
        });
        parts.push(values.collect::<Vec<_>>().join("+"));
    }
    parts.reverse();
    parts.join(",")
}

const ATTRIBUTES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.17", "POSTALCODE"),
];

fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let is_special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (at == 0 && matches!(c, ' ' | '#'))
            || (at == last && c == ' ');
        if is_special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

//! `revoke`, `revocations`, `revocation/:id`: what is taken out of use.

use crate::{
    SshAuthority,
    error::SshError,
    public_key::{PublicKeyError, SshPublicKey},
    revocation::RevocationOutcome,
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, Text},
};
use chancery_store::{SshPage, SshRevocation, SshRevocationOrder, SshRevocationTarget};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Longest reason.
const LONGEST_REASON: usize = 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RevokeRequest {
    /// One certificate, as `sign` named it.
    serial_number: Text,
    /// Certificates of an issuer from this one on …
    first_serial_number: Text,
    /// … to this one; `last` is the last one signed so far.
    last_serial_number: Text,
    key_id: Text,
    public_key: Text,
    /// `SHA256:…`
    fingerprint: Text,
    /// A CA's own key.
    issuer: Text,
    /// Whose certificates are meant.
    issuer_ref: Text,
    reason: Text,
}

#[derive(Serialize)]
struct RevokeResponse {
    krl_version: u64,
    revocation_time: i64,
    revocation_time_rfc3339: String,
}

/// A revocation as it is shown.
#[derive(Serialize)]
struct RevocationView {
    id: u64,
    kind: &'static str,
    target: String,
    issuer_id: String,
    reason: String,
    requester: String,
    revocation_time: i64,
    revocation_time_rfc3339: String,
}

#[derive(Serialize)]
struct Listing {
    key_info: BTreeMap<String, RevocationView>,
    keys: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageRequest {
    after: Count,
    limit: Count,
}

/// What one request revokes.
struct Meant {
    issuer: String,
    target: SshRevocationTarget,
    expires_at: Option<Timestamp>,
}

/// `POST revoke`
pub(crate) async fn revoke(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RevokeRequest = call.parse()?;
    let stated = [
        !request.serial_number.0.is_empty(),
        !request.first_serial_number.0.is_empty() || !request.last_serial_number.0.is_empty(),
        !request.key_id.0.is_empty(),
        !request.public_key.0.is_empty(),
        !request.fingerprint.0.is_empty(),
        !request.issuer.0.is_empty(),
    ];
    if stated.iter().filter(|stated| **stated).count() != 1 {
        return Err(Fault::caller(
            "state exactly one of serial_number, first_serial_number with last_serial_number, key_id, public_key, fingerprint, issuer",
        ));
    }
    if request.reason.0.len() > LONGEST_REASON || request.reason.0.chars().any(char::is_control) {
        return Err(Fault::Caller(format!(
            "reason must have no control characters and at most {LONGEST_REASON} bytes"
        )));
    }
    let meant = meant(&engine, &request).await?;
    let order = SshRevocationOrder {
        mount: engine.mount().to_owned(),
        issuer: meant.issuer,
        target: meant.target,
        requester: call.identity()?.display_name.clone(),
        reason: request.reason.0.clone(),
        at: engine.now(),
        expires_at: meant.expires_at,
    };
    let RevocationOutcome { version, at, known } = engine.revoke(order).await?;
    let answer = Response::data(&RevokeResponse {
        krl_version: version,
        revocation_time: at.as_second(),
        revocation_time_rfc3339: at.to_string(),
    })?;
    Ok(if known { answer.warn("this is revoked already; the key revocation list has not changed") } else { answer })
}

async fn meant(engine: &SshAuthority, request: &RevokeRequest) -> Result<Meant, SshError> {
    let authority = engine.authority().await?;
    let issuer = match request.issuer_ref.0.as_str() {
        "" => None,
        reference => Some(authority.issuer_or_retired(reference)?.record.id.clone()),
    };
    let by_key = |target| Meant { issuer: String::new(), target, expires_at: None };
    if !request.serial_number.0.is_empty() {
        return by_serial(engine, parse_serial("serial_number", &request.serial_number.0)?, issuer).await;
    }
    if !request.key_id.0.is_empty() {
        let target = SshRevocationTarget::KeyId(request.key_id.0.clone());
        return Ok(Meant { issuer: issuer.unwrap_or_default(), target, expires_at: None });
    }
    if !request.public_key.0.is_empty() {
        let key = SshPublicKey::parse(&request.public_key.0).map_err(|error| match error {
            PublicKeyError::Certificate => {
                SshError::caller("public_key is a certificate; revoke it by its serial_number")
            }
            other => SshError::from(other),
        })?;
        return Ok(by_key(SshRevocationTarget::Key(key.blob().to_vec())));
    }
    if !request.fingerprint.0.is_empty() {
        return Ok(by_key(SshRevocationTarget::Fingerprint(parse_fingerprint(&request.fingerprint.0)?)));
    }
    if !request.issuer.0.is_empty() {
        let issuer = authority.issuer_or_retired(&request.issuer.0)?;
        return Ok(by_key(SshRevocationTarget::Key(issuer.public_key.blob().to_vec())));
    }
    let issuer = match issuer {
        Some(issuer) => issuer,
        None => authority.issuer(crate::authority::DEFAULT)?.record.id.clone(),
    };
    let first = match request.first_serial_number.0.as_str() {
        "" => 1,
        text => parse_serial("first_serial_number", text)?,
    };
    let last = match request.last_serial_number.0.as_str() {
        "" | "last" => engine.last_serial().await?,
        text => parse_serial("last_serial_number", text)?,
    };
    if first > last {
        return Err(SshError::caller("first_serial_number lies behind last_serial_number"));
    }
    Ok(Meant { issuer, target: SshRevocationTarget::Serials { first, last }, expires_at: None })
}

async fn by_serial(engine: &SshAuthority, serial: u64, issuer: Option<String>) -> Result<Meant, SshError> {
    let target = SshRevocationTarget::Serials { first: serial, last: serial };
    let row = engine.store.ssh().by_serial(engine.mount(), serial).await?;
    match (row, issuer) {
        (Some(row), issuer) if issuer.as_ref().is_none_or(|issuer| *issuer == row.issuer) => {
            let expires_at = Some(SshAuthority::kept_until(row.valid_before));
            Ok(Meant { issuer: row.issuer, target, expires_at })
        }
        (Some(row), _) => Err(SshError::Caller(format!(
            "certificate with serial number {serial:x} was signed by issuer {}, not by the issuer_ref stated",
            row.issuer
        ))),
        // Signed elsewhere by a key that was brought here, or forgotten: the operator says whose it is.
        (None, Some(issuer)) => Ok(Meant { issuer, target, expires_at: None }),
        (None, None) => Err(SshError::Caller(format!(
            "certificate with serial number {serial:x} is not in the inventory; state issuer_ref to revoke it all the same"
        ))),
    }
}

/// Reads a serial number as `sign` writes it: hexadecimal.
pub(crate) fn parse_serial(member: &str, text: &str) -> Result<u64, SshError> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let serial = u64::from_str_radix(text, 16).ok().filter(|serial| is_plain && *serial != 0);
    serial
        .ok_or_else(|| SshError::Caller(format!("{member} {text:?} is not a serial number in hexadecimal above zero")))
}

fn parse_fingerprint(text: &str) -> Result<Vec<u8>, SshError> {
    let hash = text.strip_prefix("SHA256:").and_then(|hash| STANDARD_NO_PAD.decode(hash.trim_end_matches('=')).ok());
    hash.filter(|hash| hash.len() == 32).ok_or_else(|| {
        SshError::caller("fingerprint is not one such as `ssh-keygen -l` shows: SHA256: and 43 characters of base64")
    })
}

/// `LIST revocations`
pub(crate) async fn list(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: PageRequest = call.parse()?;
    let page = SshPage {
        after: u64::try_from(request.after.0).ok().filter(|after| *after > 0),
        limit: usize::try_from(request.limit.0).ok().filter(|limit| *limit > 0),
    };
    let rows = engine.store.ssh().revocations(engine.mount(), page).await.map_err(SshError::from)?;
    if rows.is_empty() {
        return Err(Fault::Absent);
    }
    let keys = rows.iter().map(|row| row.id.to_string()).collect();
    Response::data(&Listing { key_info: rows.into_iter().map(|row| (row.id.to_string(), view(row))).collect(), keys })
}

/// `GET revocation/:id`
pub(crate) async fn read(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let id = id(&call)?;
    let page = SshPage { after: Some(id.saturating_sub(1)), limit: Some(1) };
    let rows = engine.store.ssh().revocations(engine.mount(), page).await.map_err(SshError::from)?;
    match rows.into_iter().next().filter(|row| row.id == id) {
        Some(row) => Response::data(&view(row)),
        None => Err(Fault::Absent),
    }
}

/// `DELETE revocation/:id`: takes it back.
pub(crate) async fn delete(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    engine.restore(id(&call)?).await?;
    Ok(Response::empty())
}

fn id(call: &Call) -> Result<u64, Fault> {
    call.captures.text("id").parse().ok().filter(|id| *id > 0).ok_or(Fault::Absent)
}

fn view(row: SshRevocation) -> RevocationView {
    let (kind, target) = match row.order.target {
        SshRevocationTarget::Serials { first, last } if first == last => ("serial_number", format!("{first:x}")),
        SshRevocationTarget::Serials { first, last } => ("serial_numbers", format!("{first:x}-{last:x}")),
        SshRevocationTarget::KeyId(id) => ("key_id", id),
        SshRevocationTarget::Key(key) => {
            ("public_key", SshPublicKey::from_blob(&key).map(|key| key.to_line()).unwrap_or_default())
        }
        SshRevocationTarget::Fingerprint(hash) => ("fingerprint", format!("SHA256:{}", STANDARD_NO_PAD.encode(hash))),
    };
    RevocationView {
        id: row.id,
        kind,
        target,
        issuer_id: row.order.issuer,
        reason: row.order.reason,
        requester: row.order.requester,
        revocation_time: row.order.at.as_second(),
        revocation_time_rfc3339: row.order.at.to_string(),
    }
}

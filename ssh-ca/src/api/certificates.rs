//! `certificates`, `certificate/:serial`: what was signed. `config/inventory`: how long that is kept.

use super::revoke::parse_serial;
use crate::{
    SshAuthority, approve, authority::Authority, error::SshError, public_key::SshPublicKey, revocation::Subject,
    settings::InventorySettings, storage,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, DurationSeconds, Text},
};
use chancery_store::{Changes, SshCertificate, SshCertificateKind, SshFilter, SshPage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Rows answered where the request states no limit, and at most.
const USUAL_PAGE: usize = 1000;
const LONGEST_PAGE: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SearchRequest {
    after: Text,
    limit: Count,
    cert_type: Text,
    fingerprint: Text,
    issuer_ref: Text,
    key_id: Text,
    principal: Text,
    requester: Text,
    role: Text,
    ends_after: Text,
    ends_before: Text,
}

/// A certificate as a list shows it.
#[derive(Serialize)]
struct Row {
    cert_type: &'static str,
    fingerprint: String,
    issuer_id: String,
    key_id: String,
    key_type: String,
    principals: Vec<String>,
    requester: String,
    role: String,
    source: String,
    state: &'static str,
    valid_after: String,
    valid_before: String,
}

#[derive(Serialize)]
struct Listing {
    key_info: BTreeMap<String, Row>,
    keys: Vec<String>,
}

#[derive(Serialize)]
struct Whole {
    serial_number: String,
    signed_key: String,
    created_at: String,
    #[serde(flatten)]
    row: Row,
}

#[derive(Debug, Deserialize)]
struct InventoryRequest {
    #[serde(default)]
    retention: Option<DurationSeconds>,
}

/// `LIST certificates`: by serial number, in pages; every filter given must match.
pub(crate) async fn list(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: SearchRequest = call.parse()?;
    let authority = engine.authority().await?;
    let filter = filter(&request, &authority)?;
    let limit = match usize::try_from(request.limit.0) {
        Ok(0) | Err(_) => USUAL_PAGE,
        Ok(limit) => limit.min(LONGEST_PAGE),
    };
    let after = match request.after.0.as_str() {
        "" => None,
        text => Some(parse_serial("after", text)?),
    };
    let page = SshPage { after, limit: Some(limit) };
    let found = engine.store.ssh().search(engine.mount(), filter, page).await.map_err(SshError::from)?;
    if found.is_empty() {
        return Err(Fault::Absent);
    }
    let mut listing = Listing { key_info: BTreeMap::new(), keys: Vec::with_capacity(found.len()) };
    let states = engine.states_of(&found, &authority).await?;
    for (certificate, state) in found.into_iter().zip(states) {
        let serial = format!("{:x}", certificate.serial);
        listing.keys.push(serial.clone());
        listing.key_info.insert(serial, row(certificate, state));
    }
    Response::data(&listing)
}

fn filter(request: &SearchRequest, authority: &Authority) -> Result<SshFilter, SshError> {
    let text = |text: &Text| (!text.0.is_empty()).then(|| text.0.clone());
    let time = |member: &str, text: &Text| match text.0.as_str() {
        "" => Ok(None),
        text => text
            .parse::<Timestamp>()
            .map(Some)
            .map_err(|_| SshError::Caller(format!("{member} {text:?} is not a time such as 2026-01-31T00:00:00Z"))),
    };
    let kind = match request.cert_type.0.as_str() {
        "" => None,
        text => Some(approve::kind(text)?),
    };
    let issuer = match request.issuer_ref.0.as_str() {
        "" => None,
        reference => Some(authority.issuer_or_retired(reference)?.record.id.clone()),
    };
    Ok(SshFilter {
        issuer,
        role: text(&request.role),
        requester: text(&request.requester),
        key_id: text(&request.key_id),
        principal: text(&request.principal),
        fingerprint: text(&request.fingerprint),
        kind,
        ends_from: time("ends_after", &request.ends_after)?,
        ends_before: time("ends_before", &request.ends_before)?,
    })
}

fn row(certificate: SshCertificate, state: &'static str) -> Row {
    Row {
        cert_type: match certificate.kind {
            SshCertificateKind::User => "user",
            SshCertificateKind::Host => "host",
        },
        fingerprint: certificate.fingerprint,
        issuer_id: certificate.issuer,
        key_id: certificate.key_id,
        key_type: certificate.key_type,
        principals: certificate.principals,
        requester: certificate.requester,
        role: certificate.role,
        source: certificate.source,
        state,
        valid_after: certificate.valid_after.to_string(),
        valid_before: certificate.valid_before.to_string(),
    }
}

/// `GET certificate/:serial`
pub(crate) async fn read(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let serial = parse_serial("serial number", call.captures.text("serial"))?;
    let found = engine.store.ssh().by_serial(engine.mount(), serial).await.map_err(SshError::from)?;
    let certificate = found.ok_or(Fault::Absent)?;
    let authority = engine.authority().await?;
    let states = engine.states_of(std::slice::from_ref(&certificate), &authority).await?;
    let state = states.first().copied().unwrap_or_default();
    let name = certificate.key_type.strip_suffix("@openssh.com").unwrap_or(&certificate.key_type);
    Response::data(&Whole {
        serial_number: format!("{serial:x}"),
        signed_key: format!("{name}-cert-v01@openssh.com {}\n", STANDARD.encode(&certificate.certificate)),
        created_at: certificate.created_at.to_string(),
        row: row(certificate, state),
    })
}

/// `GET config/inventory`
pub(crate) async fn read_config(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.inventory_settings().await?)
}

/// `POST config/inventory`
pub(crate) async fn write_config(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: InventoryRequest = call.parse()?;
    let mut settings = engine.inventory_settings().await?;
    if let Some(retention) = request.retention {
        settings.retention =
            u64::try_from(retention.0).map_err(|_| SshError::caller("retention must not be negative"))?;
    }
    let mut changes = Changes::default();
    changes.put(&engine.view, storage::CONFIG_INVENTORY, &settings).map_err(SshError::from)?;
    engine.store.commit(changes).await.map_err(SshError::from)?;
    Response::data(&settings)
}

impl SshAuthority {
    pub(crate) async fn inventory_settings(&self) -> Result<InventorySettings, SshError> {
        Ok(storage::read(&self.view, storage::CONFIG_INVENTORY).await?.unwrap_or_default())
    }

    /// `revoked`, `expired` or `valid`, of each.
    async fn states_of(
        &self,
        certificates: &[SshCertificate],
        authority: &Authority,
    ) -> Result<Vec<&'static str>, SshError> {
        let keys: Vec<_> = certificates.iter().map(|certificate| certified_key(&certificate.certificate)).collect();
        let subjects = certificates.iter().zip(&keys).map(|(certificate, key)| {
            let id = &certificate.issuer;
            let issuer = authority.issuers.get(id).or_else(|| authority.retired.get(id));
            Subject {
                issuer: id,
                issuer_key: issuer.map(|issuer| issuer.public_key.blob()).unwrap_or_default(),
                serial: certificate.serial,
                key_id: &certificate.key_id,
                key: key.as_ref().map(SshPublicKey::blob).unwrap_or_default(),
            }
        });
        let revoked = self.are_revoked(&subjects.collect::<Vec<_>>()).await?;
        let now = self.now();
        let state = |(is_revoked, certificate): (bool, &SshCertificate)| match is_revoked {
            true => "revoked",
            false if certificate.valid_before <= now => "expired",
            false => "valid",
        };
        Ok(revoked.into_iter().zip(certificates).map(state).collect())
    }
}

/// The key in a certificate that was signed here.
pub(crate) fn certified_key(certificate: &[u8]) -> Option<SshPublicKey> {
    let certificate = ssh_key::Certificate::from_bytes(certificate).ok()?;
    let blob = ssh_key::encoding::Encode::encode_vec(certificate.public_key()).ok()?;
    SshPublicKey::from_blob(&blob).ok()
}

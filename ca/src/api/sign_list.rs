//! `issuer/:issuer_ref/resign-crls`, `issuer/:issuer_ref/sign-revocation-list`: lists that the caller puts together. Neither
//! is published here.

use crate::{
    CertificateAuthority,
    authority::Authority,
    crl::{self, CrlHeader, list::CrlList},
    error::CaError,
    issuer::{Issuer, Usage},
    oid, pem,
    serial::SerialNumber,
    signature::{SignatureAlgorithm, SignaturePreference},
    verify,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::{
    Call, Fault, Response,
    wire::{CommaList, Count, Flag, Text, parse_duration},
};
use chancery_hsm::SignInput;
use der::{Decode, asn1::OctetString};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use x509_cert::ext::Extension;

#[derive(Debug, Deserialize)]
#[serde(default)]
struct ListRequest {
    crl_number: Count,
    delta_crl_base_number: Count,
    next_update: Text,
    format: Text,
    /// `resign-crls`
    crls: CommaList,
    /// `sign-revocation-list`, as the member below.
    revoked_certs: Vec<RevokedRequest>,
    extensions: Vec<ExtensionRequest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RevokedRequest {
    serial_number: Text,
    revocation_time: Text,
    extensions: Vec<ExtensionRequest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExtensionRequest {
    id: Text,
    critical: Flag,
    value: Text,
}

#[derive(Serialize)]
struct ListResponse {
    crl: String,
}

impl Default for ListRequest {
    fn default() -> Self {
        Self {
            crl_number: Count(0),
            delta_crl_base_number: Count(-1),
            next_update: Text("72h".to_owned()),
            format: Text("pem".to_owned()),
            crls: CommaList::default(),
            revoked_certs: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

/// Extensions that the list has anyway.
const OURS: [const_oid::ObjectIdentifier; 3] =
    [oid::AUTHORITY_KEY_IDENTIFIER, oid::CRL_NUMBER, oid::DELTA_CRL_INDICATOR];

impl ExtensionRequest {
    fn read(&self) -> Result<Extension, CaError> {
        let id = oid::parse_oid(&self.id.0)
            .ok_or_else(|| CaError::Caller(format!("unable to parse extension id {:?}", self.id.0)))?;
        let value = STANDARD
            .decode(&self.value.0)
            .map_err(|_| CaError::Caller(format!("value of extension {id} is not base64")))?;
        if der::asn1::AnyRef::from_der(&value).is_err() {
            return Err(CaError::Caller(format!("value of extension {id} is not DER")));
        }
        Ok(Extension { extn_id: id, critical: self.critical.0, extn_value: OctetString::new(value)? })
    }
}

/// `resign-crls`
pub(crate) async fn resign(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ListRequest = call.parse()?;
    let authority = engine.authority().await?;
    let issuer = issuer_of(&authority, &call)?;
    let mut entries: BTreeMap<SerialNumber, Vec<u8>> = BTreeMap::new();
    for (at, text) in request.crls.0.iter().enumerate() {
        let block = pem::decode_first(text)?.filter(|block| block.label == pem::CRL).ok_or_else(|| {
            CaError::Caller(format!("failed decoding crl {at}: invalid crl; should be one PEM block only"))
        })?;
        let list = CrlList::parse(&block.bytes).map_err(|error| CaError::Caller(format!("crls[{at}]: {error}")))?;
        if !verify::certificate_signature(&block.bytes, &issuer.facts.public_key) {
            return Err(CaError::Caller(format!(
                "failed verifying signature for CRL {at} with issuer {}",
                issuer.record.id
            ))
            .into());
        }
        for entry in list.entries() {
            let entry = entry?;
            let same = entries.insert(entry.serial.clone(), entry.der.to_vec());
            if same.is_some_and(|other| other != entry.der) {
                return Err(CaError::Caller(format!(
                    "certificate {} is revoked in several lists, and differently",
                    entry.serial
                ))
                .into());
            }
        }
    }
    let entries: Vec<u8> = entries.into_values().flatten().collect();
    sign(&engine, issuer, &request, &entries, &[]).await
}

/// `sign-revocation-list`
pub(crate) async fn sign_list(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ListRequest = call.parse()?;
    let authority = engine.authority().await?;
    let issuer = issuer_of(&authority, &call)?;
    let mut entries: BTreeMap<SerialNumber, Vec<u8>> = BTreeMap::new();
    for revoked in &request.revoked_certs {
        let text = &revoked.serial_number.0;
        let serial = SerialNumber::parse(text)
            .ok_or_else(|| CaError::Caller(format!("serial_number {text:?} of revoked_certs could not be read")))?;
        let at: Timestamp = revoked.revocation_time.0.parse().map_err(|_| {
            CaError::Caller(format!("revocation_time of certificate {serial} must be a time in RFC 3339"))
        })?;
        let extensions = revoked.extensions.iter().map(ExtensionRequest::read).collect::<Result<Vec<_>, _>>()?;
        let mut entry = Vec::new();
        crl::push_entry_with(serial.as_bytes(), at, &extensions, &mut entry)?;
        if entries.insert(serial.clone(), entry).is_some() {
            return Err(CaError::Caller(format!("certificate {serial} is listed twice")).into());
        }
    }
    let mut further = Vec::new();
    for extension in &request.extensions {
        let extension = extension.read()?;
        if OURS.contains(&extension.extn_id) {
            return Err(CaError::Caller(format!("extension {} is the list's own", extension.extn_id)).into());
        }
        further.push(extension);
    }
    let entries: Vec<u8> = entries.into_values().flatten().collect();
    sign(&engine, issuer, &request, &entries, &further).await
}

fn issuer_of<'a>(authority: &'a Authority, call: &Call) -> Result<&'a Arc<Issuer>, CaError> {
    let reference = call.captures.text("issuer_ref");
    authority
        .issuer(reference)
        .map_err(|error| CaError::Caller(format!("failed to resolve issuer issuer_ref: {error}")))
}

async fn sign(
    engine: &CertificateAuthority,
    issuer: &Arc<Issuer>,
    request: &ListRequest,
    entries: &[u8],
    further: &[Extension],
) -> Result<Response, Fault> {
    issuer.require(Usage::CrlSigning)?;
    let authority = engine.authority().await?;
    let key = authority
        .keys
        .get(&issuer.record.key_id)
        .ok_or_else(|| CaError::corrupt(format!("issuer {}", issuer.record.id), "its key is not in this mount"))?;
    let number = u64::try_from(request.crl_number.0)
        .map_err(|_| CaError::caller("crl_number parameter must be 0 or greater"))?;
    let base = u64::try_from(request.delta_crl_base_number.0).ok();
    if base.is_some_and(|base| base >= number) {
        return Err(CaError::caller("delta_crl_base_number must be lower than crl_number").into());
    }
    let text = &request.next_update.0;
    let lifetime = parse_duration(text)
        .map_err(|_| CaError::Caller(format!("invalid value for next_update: time: invalid duration {text:?}")))?;
    if lifetime <= 0 {
        return Err(CaError::Caller(format!("next_update must be a duration above zero, got {text:?}")).into());
    }
    let this_update = engine.now();
    let next_update = this_update
        .checked_add(SignedDuration::from_secs(lifetime))
        .map_err(|_| CaError::caller("next_update reaches beyond the year 9999"))?;
    let algorithm = match issuer.record.revocation_signature_algorithm.as_str() {
        "" => SignatureAlgorithm::choose(key.reference.algorithm, SignaturePreference::default())?,
        name => SignatureAlgorithm::by_wire_name(name)?,
    };
    let header = CrlHeader {
        issuer: &issuer.facts,
        algorithm: &algorithm.identifier,
        number,
        this_update,
        next_update,
        base,
        distribution_point: &[],
        freshest: &[],
        further,
    };
    let tbs = crl::encode(header, entries)?;
    let signature = engine.custody.sign(key, algorithm.scheme, SignInput::Message(tbs.clone())).await?;
    let der = crl::assemble(&tbs, &algorithm.identifier, &signature)?;
    let crl = match request.format.0.as_str() {
        "pem" => pem::encode_line(pem::CRL, &der),
        "der" => STANDARD.encode(der),
        other => return Err(CaError::Caller(format!("unknown format value of {other}")).into()),
    };
    Response::data(&ListResponse { crl })
}

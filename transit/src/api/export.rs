//! `export/:type/:name[/:version]`: public keys of any pair, secret keys of exportable ones.

use crate::{
    ed25519, encoding,
    error::TransitError,
    input::Text,
    key::{Key, KeyRecord},
    key_type::{KeyType, Protection},
    ml_dsa, pem,
    transit::Transit,
    version::StoredMaterial,
};
use chancery_engine::{Call, Fault, Response, SecretString};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

#[derive(Deserialize, Default)]
#[serde(default)]
struct ExportRequest<'a> {
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Serialize)]
struct ExportResponse<'a> {
    keys: BTreeMap<String, SecretString>,
    name: &'a str,
    #[serde(rename = "type")]
    key_type: &'static str,
}

const NOT_EXPORTABLE: &str = "private key material is not exportable";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Export {
    EncryptionKey,
    SigningKey,
    HmacKey,
    PublicKey,
    CertificateChain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Default,
    Raw,
    Der,
    Pem,
}

/// Exports.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: ExportRequest<'_> = call.parse()?;
    let export = export_named(call.captures.text("type"))?;
    let format = match request.format.as_str() {
        "" => Format::Default,
        "raw" => Format::Raw,
        "der" => Format::Der,
        "pem" => Format::Pem,
        other => return Err(Fault::Caller(format!("invalid format: {other}"))),
    };
    let key = engine.key(call.captures.text("name")).await?.ok_or(Fault::Absent)?;
    check(&key, export)?;
    let mut keys = BTreeMap::new();
    for number in numbers(&key.record, call.captures.text("version"))? {
        keys.insert(number.to_string(), SecretString::new(one(&engine, &key, number, export, format).await?));
    }
    Response::data(&ExportResponse { keys, name: &key.name, key_type: key.record.type_name() })
}

fn export_named(name: &str) -> Result<Export, Fault> {
    Ok(match name {
        "encryption-key" => Export::EncryptionKey,
        "signing-key" => Export::SigningKey,
        "hmac-key" => Export::HmacKey,
        "public-key" => Export::PublicKey,
        "certificate-chain" => Export::CertificateChain,
        other => return Err(Fault::Caller(format!("invalid export type: {other}"))),
    })
}

fn check(key: &Key, export: Export) -> Result<(), TransitError> {
    let record = &key.record;
    let secret = matches!(export, Export::EncryptionKey | Export::SigningKey | Export::HmacKey);
    let refusal = if secret && (!record.exportable || record.protection == Protection::Hsm) {
        NOT_EXPORTABLE.to_owned()
    } else if record.soft_deleted {
        return Err(TransitError::SoftDeleted);
    } else {
        match export {
            Export::EncryptionKey if !record.key_type.supports_encryption() => {
                "encryption not supported for the key".to_owned()
            }
            Export::SigningKey if !record.key_type.supports_signing() => "signing not supported for the key".to_owned(),
            Export::PublicKey if !record.key_type.is_asymmetric() => {
                format!("unknown key type {} for export type public-key", record.key_type.name())
            }
            Export::CertificateChain if !record.key_type.supports_signing() => {
                "certificate chain not supported for keys that do not support signing".to_owned()
            }
            _ => return Ok(()),
        }
    };
    Err(TransitError::Caller(refusal))
}

/// The numbers that `version` of the path names: all, `latest`, `N` or `vN`.
pub(crate) fn numbers(record: &KeyRecord, version: &str) -> Result<Vec<u32>, TransitError> {
    let number = match version {
        "" => return Ok(record.usable_versions().collect()),
        "latest" => return Ok(vec![record.latest_version]),
        number => number.strip_prefix('v').unwrap_or(number).parse::<i64>(),
    };
    let number = number.map_err(|_| TransitError::caller("invalid key version"))?;
    if number < i64::from(record.min_decryption_version) {
        return Err(TransitError::caller("version for export is below minimum decryption version"));
    }
    let known = u32::try_from(number).ok().filter(|number| record.usable_versions().contains(number));
    known.map(|number| vec![number]).ok_or_else(|| TransitError::caller("version does not exist or cannot be found"))
}

async fn one(engine: &Transit, key: &Key, number: u32, export: Export, format: Format) -> Result<String, TransitError> {
    let key_type = key.record.key_type;
    if export == Export::PublicKey {
        return public(key_type, &engine.public_key(key, number).await?, format);
    }
    // What is expanded for use is not kept in a form that could be shown, so it is read from the store.
    let version = engine.storage.version(&key.name, number).await?.ok_or(TransitError::NoSuchVersion)?;
    if export == Export::CertificateChain {
        return match version.certificate_chain.as_slice() {
            [] => Err(TransitError::caller("selected key version does not have a certificate chain imported")),
            chain => Ok(pem::write_chain(chain)),
        };
    }
    let symmetric = |bytes: &[u8]| match format {
        Format::Default | Format::Raw => Ok(encoding::encode(bytes)),
        _ => Err(TransitError::caller("unknown format for HMAC key; supported values are `` or `raw`")),
    };
    match (&version.material, export) {
        (StoredMaterial::Software { key: secret, mac }, Export::HmacKey) => {
            symmetric(mac.as_ref().unwrap_or(secret).bytes())
        }
        (StoredMaterial::Public { mac: Some(mac), .. }, Export::HmacKey) => symmetric(mac.bytes()),
        (StoredMaterial::Software { key: secret, .. }, _) if !key_type.is_asymmetric() => symmetric(secret.bytes()),
        (StoredMaterial::Software { key: secret, .. }, _) => private(key_type, secret.bytes(), format),
        // A version without its private half has nothing to show, which is no mistake.
        (StoredMaterial::Public { .. }, _) => match format {
            Format::Raw if key_type.is_rsa() || key_type.is_ecdsa() => Err(no_raw_form(key_type)),
            _ => Ok(String::new()),
        },
        _ => Err(TransitError::caller(NOT_EXPORTABLE)),
    }
}

fn public(key_type: KeyType, der: &[u8], format: Format) -> Result<String, TransitError> {
    let bare = match key_type {
        KeyType::Ed25519 => Some(ed25519::raw_public_key(der)),
        ml_dsa if ml_dsa.is_ml_dsa() => Some(ml_dsa::raw_public_key(ml_dsa, der)?),
        _ => None,
    };
    match (format, bare) {
        (Format::Default | Format::Raw, Some(bare)) => Ok(encoding::encode(bare)),
        (Format::Default | Format::Pem, _) => Ok(block(key_type, "PUBLIC KEY", der)),
        (Format::Der, _) => Ok(encoding::encode(der)),
        (Format::Raw, None) => Err(no_raw_form(key_type)),
    }
}

fn private(key_type: KeyType, secret: &[u8], format: Format) -> Result<String, TransitError> {
    match (format, key_type) {
        (Format::Default | Format::Raw, KeyType::Ed25519) => {
            Ok(encoding::encode(&ed25519::Pair::from_seed(secret)?.seed_and_public_key()))
        }
        (Format::Default | Format::Raw, bare) if !(bare.is_rsa() || bare.is_ecdsa()) => Ok(encoding::encode(secret)),
        (Format::Raw, _) => Err(no_raw_form(key_type)),
        (Format::Default, _) => {
            let line_end = if key_type.is_rsa() { "\n" } else { "" };
            Ok(pem::traditional(key_type, secret)?.to_string() + line_end)
        }
        (Format::Pem, _) => Ok(block(key_type, "PRIVATE KEY", &stored_pkcs8(key_type, secret)?)),
        (Format::Der, _) => Ok(encoding::encode(&stored_pkcs8(key_type, secret)?)),
    }
}

/// The private key of a pair as PKCS#8, from the form it is stored in.
pub(crate) fn stored_pkcs8(key_type: KeyType, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    match key_type {
        KeyType::Ed25519 => Ok(ed25519::Pair::from_seed(secret)?.to_pkcs8()),
        ml_dsa if ml_dsa.is_ml_dsa() => Ok(ml_dsa::to_pkcs8(ml_dsa, secret)),
        pair if pair.is_rsa() || pair.is_ecdsa() => Ok(Zeroizing::new(secret.to_vec())),
        other => Err(TransitError::Caller(format!("keys of type {} have no PKCS#8 form", other.name()))),
    }
}

/// PEM as the reference ends it: with a line break for RSA, without one for all else.
fn block(key_type: KeyType, label: &str, der: &[u8]) -> String {
    let line_end = if key_type.is_rsa() { "\n" } else { "" };
    pem::write(label, der).to_string() + line_end
}

fn no_raw_form(key_type: KeyType) -> TransitError {
    let kind = if key_type.is_rsa() { "rsa" } else { "ec" };
    TransitError::Caller(format!("unknown key format for {kind} key; supported values are ``, `der`, or `pem`"))
}

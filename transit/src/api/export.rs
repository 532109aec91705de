//! `export/:type/:name[/:version]`: public keys of any pair, secret keys of exportable ones.

use crate::{
    ed25519, encoding,
    error::TransitError,
    input::Text,
    key::Key,
    key_type::{KeyType, Protection},
    pem,
    storage::Storage,
    transit::Transit,
    version::{StoredMaterial, VersionRecord},
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
    key_type: KeyType,
}

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
    for number in versions(&key, call.captures.text("version"))? {
        keys.insert(number.to_string(), SecretString::new(one(&engine.storage, &key, number, export, format).await?));
    }
    Response::data(&ExportResponse { keys, name: &key.name, key_type: key.record.key_type })
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
        "private key material is not exportable".to_owned()
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
            Export::CertificateChain => "selected key version does not have a certificate chain imported".to_owned(),
            _ => return Ok(()),
        }
    };
    Err(TransitError::Caller(refusal))
}

/// The numbers that `version` of the path names: all, `latest`, `N` or `vN`.
fn versions(key: &Key, version: &str) -> Result<Vec<u32>, TransitError> {
    let number = match version {
        "" => return Ok(key.versions.keys().copied().collect()),
        "latest" => return Ok(vec![key.record.latest_version]),
        number => number.strip_prefix('v').unwrap_or(number).parse::<i64>(),
    };
    let number = number.map_err(|_| TransitError::caller("invalid key version"))?;
    if number < i64::from(key.record.min_decryption_version) {
        return Err(TransitError::caller("version for export is below minimum decryption version"));
    }
    let known = u32::try_from(number).ok().filter(|number| key.versions.contains_key(number));
    known.map(|number| vec![number]).ok_or_else(|| TransitError::caller("version does not exist or cannot be found"))
}

async fn one(
    storage: &Storage,
    key: &Key,
    number: u32,
    export: Export,
    format: Format,
) -> Result<String, TransitError> {
    let key_type = key.record.key_type;
    if export == Export::PublicKey {
        let public_key = key.versions.get(&number).and_then(|version| version.public_key.as_deref());
        return public(key_type, public_key.ok_or(TransitError::NoSuchVersion)?, format);
    }
    // What is expanded for use is not kept in a form that could be shown, so it is read from the store.
    let version = storage.version(&key.name, number).await?.ok_or(TransitError::NoSuchVersion)?;
    let VersionRecord { material: StoredMaterial::Software { key: secret, mac }, .. } = &version else {
        return Err(TransitError::caller("private key material is not exportable"));
    };
    let symmetric = |bytes: &[u8]| match format {
        Format::Default | Format::Raw => Ok(encoding::encode(bytes)),
        _ => Err(TransitError::caller("unknown format for HMAC key; supported values are `` or `raw`")),
    };
    match export {
        Export::HmacKey => symmetric(mac.as_ref().unwrap_or(secret).bytes()),
        _ if key_type.is_aead() => symmetric(secret.bytes()),
        _ => private(key_type, secret.bytes(), format),
    }
}

fn public(key_type: KeyType, der: &[u8], format: Format) -> Result<String, TransitError> {
    match (format, key_type) {
        (Format::Default | Format::Raw, KeyType::Ed25519) => Ok(encoding::encode(ed25519::raw_public_key(der))),
        (Format::Default | Format::Pem, _) => Ok(pem::write("PUBLIC KEY", der).to_string()),
        (Format::Der, _) => Ok(encoding::encode(der)),
        (Format::Raw, _) => Err(no_raw_form(key_type)),
    }
}

fn private(key_type: KeyType, secret: &[u8], format: Format) -> Result<String, TransitError> {
    let pkcs8 = if key_type == KeyType::Ed25519 {
        let pair = ed25519::Pair::from_seed(secret)?;
        if matches!(format, Format::Default | Format::Raw) {
            return Ok(encoding::encode(&pair.seed_and_public_key()));
        }
        pair.to_pkcs8()
    } else {
        Zeroizing::new(secret.to_vec())
    };
    match format {
        Format::Default => Ok(pem::traditional(key_type, &pkcs8)?.to_string()),
        Format::Pem => Ok(pem::write("PRIVATE KEY", &pkcs8).to_string()),
        Format::Der => Ok(encoding::encode(&pkcs8)),
        Format::Raw => Err(no_raw_form(key_type)),
    }
}

fn no_raw_form(key_type: KeyType) -> TransitError {
    let kind = if key_type.is_rsa() { "rsa" } else { "ec" };
    TransitError::Caller(format!("unknown key format for {kind} key; supported values are ``, `der`, or `pem`"))
}

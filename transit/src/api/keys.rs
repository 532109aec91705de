//! `keys`, `keys/:name`: lists, makes, shows and deletes keys.

use crate::{
    derivation::{ConvergentVersion, Kdf},
    ed25519, encoding,
    error::TransitError,
    input::{Text, given},
    kem,
    key::{Key, KeyRecord, Milestone, SHORTEST_ROTATION_SECONDS},
    key_type::{KeyType, ML_DSA, Protection},
    ml_dsa, pem,
    transit::Transit,
    version::{KeyVersion, Material},
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, DurationSeconds, Flag},
};
use chancery_hsm::ExternalKeyName;
use chancery_store::Page;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Sizes that a key of type `hmac` may have, in bytes.
const HMAC_KEY_BYTES: std::ops::RangeInclusive<i64> = 32..=512;

#[derive(Deserialize, Default)]
#[serde(default)]
struct ListRequest {
    after: String,
    limit: Count,
}

/// Lists the names.
pub(crate) async fn list(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: ListRequest = call.parse()?;
    let page = Page {
        after: (!request.after.is_empty()).then_some(request.after),
        limit: usize::try_from(request.limit.0).ok().filter(|limit| *limit > 0),
    };
    let names = engine.storage.names(page).await.map_err(TransitError::from)?;
    Response::list(&names)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CreateRequest<'a> {
    #[serde(rename = "type", borrow, deserialize_with = "given")]
    key_type: Option<Text<'a>>,
    derived: Flag,
    convergent_encryption: Flag,
    exportable: Flag,
    allow_plaintext_backup: Flag,
    auto_rotate_period: DurationSeconds,
    key_size: Count,
    /// Vault's second half of the type's name, `44`, `65` or `87`.
    #[serde(borrow)]
    parameter_set: Text<'a>,
    #[serde(borrow)]
    protection: Text<'a>,
    #[serde(borrow)]
    external_key_ref: Text<'a>,
    #[serde(borrow)]
    managed_key_name: Text<'a>,
    #[serde(borrow)]
    managed_key_id: Text<'a>,
    /// Read by no endpoint but GET; known to the path.
    #[serde(rename = "context")]
    _context: Text<'a>,
}

/// Makes a key; if there is one of that name already, shows it and changes nothing.
pub(crate) async fn create(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request = call.parse()?;
    let mut record = record(&request)?;
    let given = [&request.external_key_ref, &request.managed_key_name, &request.managed_key_id].map(Text::as_str);
    if let Some(external) = registered_key(record.key_type, given, "create")? {
        if record.auto_rotate_period_seconds != 0 {
            return Err(Fault::caller("cannot enable auto-rotation with external keys"));
        }
        record.protection = Protection::Hsm;
        check_protection(&record)?;
        let key = engine.create_external(call.captures.text("name"), record, external).await?;
        return key_body(&engine, &key).await;
    }
    if record.protection == Protection::Hsm && !engine.has_hsm() {
        return Err(Fault::caller("this appliance runs without an HSM: only protection software is possible"));
    }
    let key = engine.create(call.captures.text("name"), record).await?;
    key_body(&engine, &key).await
}

/// Answers a key as it is.
pub(crate) async fn key_body(engine: &Transit, key: &Key) -> Result<Response, Fault> {
    engine.load_all_versions(key).await?;
    Response::data(&KeyBody::of(key, None)?)
}

/// The registered key that a request names: in OpenBao's word `external_key_ref` for type `external-key`, in Vault's
/// words for type `managed_key`. `None` for types that have none.
pub(crate) fn registered_key(
    key_type: KeyType,
    [reference, name, id]: [&str; 3],
    verb: &str,
) -> Result<Option<ExternalKeyName>, TransitError> {
    let missing = |what: &str| {
        Err(TransitError::Caller(format!("must provide {what} to {verb} policy of type {}", key_type.name())))
    };
    if !reference.is_empty() && key_type != KeyType::ExternalKey {
        let text = match verb {
            "create" => "must provide type=external-key to use external_key_ref".to_owned(),
            _ => format!("cannot use external_key_ref on key of type {}", key_type.name()),
        };
        return Err(TransitError::Caller(text));
    }
    if !(name.is_empty() && id.is_empty()) && key_type != KeyType::ManagedKey {
        return Err(TransitError::caller("managed_key_name and managed_key_id are for keys of type managed_key"));
    }
    match key_type {
        KeyType::ExternalKey if reference.is_empty() => missing("external_key_ref"),
        KeyType::ExternalKey => Ok(Some(ExternalKeyName::Reference(reference.to_owned()))),
        KeyType::ManagedKey => match (name, id) {
            ("", "") => missing("managed_key_name or managed_key_id"),
            ("", id) => Ok(Some(ExternalKeyName::ManagedId(id.to_owned()))),
            (name, "") => Ok(Some(ExternalKeyName::Managed(name.to_owned()))),
            _ => Err(TransitError::caller("only one of managed_key_name and managed_key_id can be given")),
        },
        _ => Ok(None),
    }
}

/// Checks the parameters against each other; every combination has an answer here.
fn record(request: &CreateRequest<'_>) -> Result<KeyRecord, TransitError> {
    let type_name = request.key_type.as_ref().map_or(KeyType::Aes256Gcm96.name(), Text::as_str);
    let (key_type, named_by_parameter_set) = named_type(type_name, request.parameter_set.as_str())?;
    let period = request.auto_rotate_period.0;
    check_rotation(period)?;
    if request.convergent_encryption.0 && !request.derived.0 {
        return Err(TransitError::caller("convergent encryption requires derivation to be enabled"));
    }
    let key_size = key_size(key_type, request.key_size.0)?;
    if request.derived.0 && !key_type.supports_derivation() {
        return Err(TransitError::Caller(format!(
            "key derivation and convergent encryption not supported for keys of type {type_name}"
        )));
    }
    if request.convergent_encryption.0 && !key_type.is_aead() {
        return Err(TransitError::Caller(format!("convergent encryption not supported for keys of type {type_name}")));
    }
    let protection = request.protection.as_str();
    let protection = Protection::named(protection)
        .ok_or_else(|| TransitError::Caller(format!("unknown protection {protection}, expected software or hsm")))?;
    let record = KeyRecord {
        protection,
        derived: request.derived.0,
        convergent_encryption: request.convergent_encryption.0,
        exportable: request.exportable.0,
        allow_plaintext_backup: request.allow_plaintext_backup.0,
        auto_rotate_period_seconds: period,
        key_size,
        named_by_parameter_set,
        ..KeyRecord::new(key_type)
    };
    check_protection(&record)?;
    Ok(record)
}

/// The type of that name, and whether it is Vault's name of ML-DSA, which wants a parameter set beside it.
fn named_type(name: &str, parameter_set: &str) -> Result<(KeyType, bool), TransitError> {
    if name == ML_DSA {
        let key_type = KeyType::of_parameter_set(name, parameter_set).ok_or_else(|| {
            TransitError::Caller(format!("invalid parameter set {parameter_set} for key type {name}"))
        })?;
        return Ok((key_type, true));
    }
    let key_type = KeyType::named(name).ok_or_else(|| TransitError::Caller(format!("unknown key type {name}")))?;
    Ok((key_type, false))
}

/// Refuses what a key of the token cannot be.
fn check_protection(record: &KeyRecord) -> Result<(), TransitError> {
    if record.protection == Protection::Software {
        return Ok(());
    }
    if record.derived {
        return Err(TransitError::caller("keys with protection hsm cannot be derived"));
    }
    if record.exportable || record.allow_plaintext_backup {
        return Err(TransitError::caller("keys with protection hsm never leave the token"));
    }
    if record.key_size.is_some_and(|bytes| bytes != 32) {
        return Err(TransitError::caller("a key of type hmac with protection hsm has a key_size of 32"));
    }
    Ok(())
}

fn key_size(key_type: KeyType, bytes: i64) -> Result<Option<u16>, TransitError> {
    if key_type != KeyType::Hmac {
        if bytes == 0 {
            return Ok(None);
        }
        return Err(TransitError::Caller(format!("key_size is not valid for algorithm {}", key_type.name())));
    }
    if bytes == 0 {
        return Err(TransitError::caller("invalid key size for HMAC key, must be between 32 and 512 bytes"));
    }
    let size = u16::try_from(bytes).ok().filter(|_| HMAC_KEY_BYTES.contains(&bytes));
    size.map(Some).ok_or_else(|| TransitError::Caller(format!("invalid key_size {bytes}")))
}

/// Refuses rotation periods shorter than an hour, 0 excepted.
pub(crate) fn check_rotation(seconds: i64) -> Result<(), TransitError> {
    if seconds < 0 {
        return Err(TransitError::Caller(format!(
            "Field validation failed: error converting input for field \"auto_rotate_period\": cannot provide negative value '{seconds}'"
        )));
    }
    if seconds != 0 && seconds < SHORTEST_ROTATION_SECONDS {
        return Err(TransitError::caller("auto rotate period must be 0 to disable or at least an hour"));
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReadRequest<'a> {
    #[serde(borrow)]
    context: Text<'a>,
}

/// Shows a key; a derived Ed25519 key shows the public keys of `context`.
pub(crate) async fn read(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: ReadRequest<'_> = call.parse()?;
    let key = engine.key(call.captures.text("name")).await?.ok_or(Fault::Absent)?;
    let context = encoding::decode(request.context.as_str()).map_err(|_| TransitError::ContextNotBase64)?;
    engine.load_all_versions(&key).await?;
    Response::data(&KeyBody::of(&key, (!context.is_empty()).then_some(&context))?)
}

/// Deletes a key for good.
pub(crate) async fn delete(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("name");
    let allow = |record: &KeyRecord| match record.deletion_allowed {
        true => Ok(()),
        false => {
            Err(TransitError::Caller(format!("error deleting policy {name}: deletion is not allowed for this key")))
        }
    };
    if engine.delete(name, allow).await? {
        return Ok(Response::empty());
    }
    Err(Fault::caller(format!("error deleting policy {name}: could not delete key; not found")))
}

/// What reading, making and changing a key answers.
#[derive(Serialize)]
pub(crate) struct KeyBody<'a> {
    allow_plaintext_backup: bool,
    auto_rotate_period: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_info: Option<Milestone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    convergent_encryption: Option<bool>,
    /// -1: the version is chosen per key version.
    #[serde(skip_serializing_if = "Option::is_none")]
    convergent_encryption_version: Option<i8>,
    deletion_allowed: bool,
    derived: bool,
    exportable: bool,
    imported_key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    imported_key_allow_rotation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf: Option<&'static str>,
    /// Only the older derivation has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_size: Option<u16>,
    /// Not shown for type `hmac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<BTreeMap<String, VersionBody<'a>>>,
    latest_version: u32,
    min_available_version: u32,
    min_decryption_version: u32,
    min_encryption_version: u32,
    name: &'a str,
    /// Ours: where the secret half lives.
    protection: Protection,
    /// Ours: public halves of registered keys, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_keys: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_info: Option<Milestone>,
    soft_deleted: bool,
    supports_decryption: bool,
    supports_derivation: bool,
    supports_encryption: bool,
    supports_signing: bool,
    /// Vault's way to tell the kinds of ML-DSA apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter_set: Option<&'static str>,
    #[serde(rename = "type")]
    key_type: &'static str,
}

/// One version: of a symmetric key its making in unix seconds, of a pair its public half.
#[derive(Serialize)]
#[serde(untagged)]
enum VersionBody<'a> {
    /// The name of a registered key.
    External(&'a str),
    Symmetric(i64),
    Pair {
        certificate_chain: String,
        creation_time: String,
        name: &'static str,
        public_key: String,
    },
}

impl<'a> KeyBody<'a> {
    pub(crate) fn of(key: &'a Key, context: Option<&[u8]>) -> Result<Self, TransitError> {
        let record = &key.record;
        let key_type = record.key_type;
        Ok(Self {
            allow_plaintext_backup: record.allow_plaintext_backup,
            auto_rotate_period: record.auto_rotate_period_seconds,
            backup_info: record.backup_info,
            convergent_encryption: record.derived.then_some(record.convergent_encryption),
            convergent_encryption_version: record
                .convergent_encryption
                .then(|| record.convergent_version.map_or(-1, ConvergentVersion::number)),
            deletion_allowed: record.deletion_allowed,
            derived: record.derived,
            exportable: record.exportable,
            imported_key: record.imported.is_some(),
            imported_key_allow_rotation: record.imported.map(|imported| imported.allow_rotation),
            kdf: record.derived.then(|| record.kdf.name()),
            kdf_mode: (record.derived && record.kdf == Kdf::HmacSha256Counter).then(|| record.kdf.name()),
            key_size: record.key_size,
            keys: if key_type == KeyType::Hmac { None } else { Some(versions(key, context)?) },
            latest_version: record.latest_version,
            min_available_version: record.min_available_version,
            min_decryption_version: record.min_decryption_version,
            min_encryption_version: record.min_encryption_version,
            name: &key.name,
            protection: record.protection,
            public_keys: key_type.is_external().then(|| public_keys(key)),
            restore_info: record.restore_info,
            soft_deleted: record.soft_deleted,
            supports_decryption: key_type.supports_encryption(),
            supports_derivation: key_type.supports_derivation(),
            supports_encryption: key_type.supports_encryption(),
            supports_signing: key_type.supports_signing(),
            parameter_set: key_type.parameter_set().filter(|_| record.named_by_parameter_set),
            key_type: record.type_name(),
        })
    }
}

/// Raw base64 of what is only bytes, PEM of the rest.
fn shown_public_key(key_type: KeyType, der: &[u8]) -> Result<String, TransitError> {
    match key_type {
        KeyType::Ed25519 => Ok(encoding::encode(ed25519::raw_public_key(der))),
        ml_dsa if ml_dsa.is_ml_dsa() => Ok(encoding::encode(ml_dsa::raw_public_key(ml_dsa, der)?)),
        ml_kem if ml_kem.is_ml_kem() => Ok(encoding::encode(kem::raw_public_key(ml_kem, der)?)),
        _ => Ok(pem::write("PUBLIC KEY", der).to_string() + "\n"),
    }
}

fn public_keys(key: &Key) -> BTreeMap<String, String> {
    let of =
        |version: &KeyVersion| version.public_key.as_ref().map(|der| pem::write("PUBLIC KEY", der).to_string() + "\n");
    key.versions.iter().filter_map(|(number, version)| Some((number.to_string(), of(version)?))).collect()
}

fn versions<'k>(key: &'k Key, context: Option<&[u8]>) -> Result<BTreeMap<String, VersionBody<'k>>, TransitError> {
    let mut shown = BTreeMap::new();
    for (number, version) in key.versions.iter() {
        if let Material::External(external) = &version.material {
            shown.insert(number.to_string(), VersionBody::External(external.shown()));
            continue;
        }
        let body = match &version.public_key {
            None => VersionBody::Symmetric(version.created_at.as_second()),
            Some(der) => VersionBody::Pair {
                certificate_chain: pem::write_chain(&version.certificate_chain),
                creation_time: version.created_at.to_string(),
                name: key.record.key_type.curve_or_size(),
                public_key: match (&version.material, context) {
                    (Material::Derived(_), None) => String::new(),
                    (Material::Derived(secret), Some(context)) => {
                        encoding::encode(ed25519::Pair::derive(secret, context)?.public_key())
                    }
                    _ => shown_public_key(key.record.key_type, der)?,
                },
            },
        };
        shown.insert(number.to_string(), body);
    }
    Ok(shown)
}

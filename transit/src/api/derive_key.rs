//! `derive-key/:name`: a symmetric key of a Diffie-Hellman agreement, by HKDF-SHA256 without salt and info.

use crate::{
    api::import::importing,
    curve::Curve,
    derivation::hkdf_sha256,
    error::TransitError,
    import::{Incoming, off_thread},
    input::{Text, given},
    key::{Imported, Key, KeyRecord},
    key_type::KeyType,
    pem_blocks,
    public_key::PublicKey,
    transit::Transit,
    version::StoredMaterial,
};
use aws_lc_rs::agreement;
use chancery_engine::{Call, Fault, Response, wire::Count};
use serde::Deserialize;
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Deserialize, Default)]
#[serde(default)]
struct DeriveKeyRequest<'a> {
    #[serde(borrow, deserialize_with = "given")]
    key_derivation_algorithm: Option<Text<'a>>,
    #[serde(borrow)]
    peer_public_key: Text<'a>,
    #[serde(borrow)]
    base_key_name: Text<'a>,
    base_key_version: Count,
    #[serde(borrow, deserialize_with = "given")]
    derived_key_type: Option<Text<'a>>,
}

/// Derives, and keeps the result as a new key or as one more version of one there is.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: DeriveKeyRequest<'_> = call.parse()?;
    let algorithm = request.key_derivation_algorithm.as_ref().map_or("ecdh", Text::as_str);
    if algorithm != "ecdh" {
        return Err(Fault::Caller(format!("key derivation algorithm {algorithm} not supported")));
    }
    if request.peer_public_key.as_str().is_empty() {
        return Err(Fault::caller("peer public key not provided"));
    }
    let type_name = request.derived_key_type.as_ref().map_or(KeyType::Aes256Gcm96.name(), Text::as_str);
    let derived_type = KeyType::named(&type_name.to_ascii_lowercase()).filter(|key_type| key_type.is_aead());
    let derived_type = derived_type.ok_or_else(|| Fault::Caller(format!("unknown key type {type_name}")))?;
    let base = engine.key(request.base_key_name.as_str()).await?;
    let base = base.ok_or_else(|| Fault::caller("specified base key not found"))?;
    let secret = agree(&engine, &base, request.base_key_version.0, request.peer_public_key.as_str()).await?;
    let length = derived_type.symmetric_bytes().ok_or(TransitError::Bug("a cipher without a key length"))?;
    let incoming = || Ok::<_, TransitError>(Incoming::Private(hkdf_sha256(&secret, &[], length)?));
    let name = call.captures.text("name");
    let record = KeyRecord { imported: Some(Imported { allow_rotation: false }), ..KeyRecord::new(derived_type) };
    if engine.import(name, record, incoming()?).await.map_err(importing)? {
        return Ok(Response::empty());
    }
    engine.import_version(name, incoming()?, None, |_| Ok(())).await.map_err(importing)?;
    Ok(Response::empty())
}

/// The shared secret of a version of `base` with the peer (SP 800-56A §5.7.1.2).
async fn agree(engine: &Transit, base: &Key, version: i64, peer: &str) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let record = &base.record;
    let unfit = || TransitError::Caller(format!("base key type {} does not support key agreement", record.type_name()));
    let curve = Curve::of(record.key_type).ok_or_else(unfit)?;
    base.usable()?;
    let number = base_version(record, version)?;
    let peer = peer_key(record.key_type, curve, peer)?;
    let found = engine.storage.version(&base.name, number).await?.ok_or(TransitError::NoSuchVersion)?;
    let StoredMaterial::Software { key, .. } = found.material else {
        return Err(TransitError::caller("the base key version has no private key that can be agreed with here"));
    };
    off_thread(move || {
        let private_key = agreement::PrivateKey::from_private_key_der(curve.agreement(), key.bytes())
            .map_err(|_| TransitError::Crypto("agreement::PrivateKey::from_private_key_der"))?;
        let peer = agreement::UnparsedPublicKey::new(curve.agreement(), peer);
        let failed = TransitError::Crypto("agreement::agree");
        agreement::agree(&private_key, peer, failed, |secret| Ok(Zeroizing::new(secret.to_vec())))
    })
    .await
}

fn base_version(record: &KeyRecord, version: i64) -> Result<u32, TransitError> {
    let refusal = if version < 0 {
        "requested version of the base key is negative"
    } else if version > i64::from(record.latest_version) {
        "requested version of the base key is higher than the latest key version"
    } else if version != 0 && version < i64::from(record.min_available_version) {
        "requested version of the base key is less than the minimum available key version"
    } else {
        let number = u32::try_from(version).unwrap_or_default();
        let number = if number == 0 { record.latest_version } else { number };
        return Some(number)
            .filter(|number| record.usable_versions().contains(number))
            .ok_or(TransitError::NoSuchVersion);
    };
    Err(TransitError::caller(refusal))
}

/// The peer's public key as SubjectPublicKeyInfo.
fn peer_key(key_type: KeyType, curve: Curve, pem: &str) -> Result<Vec<u8>, TransitError> {
    // The reference's text has a space at its end.
    let unreadable =
        |text: &str| TransitError::Caller(format!("failed to parse supplied peer public key PEM: {text} "));
    let (block, rest) =
        pem_blocks::first(pem).ok_or_else(|| unreadable("data does not contain any valid public keys"))?;
    if !rest.trim().is_empty() {
        return Err(unreadable("unexpected trailing data after parsed PEM block"));
    }
    match PublicKey::from_der(&block.der) {
        Ok(PublicKey::Ec(found, der)) if found == curve => Ok(der),
        Ok(PublicKey::Ec(..)) => Err(TransitError::Caller(format!(
            "base private key type {} does not match peer public key curve",
            key_type.name()
        ))),
        Ok(_) => Err(TransitError::caller("supplied peer public key is not an ECDSA key")),
        Err(text) => Err(unreadable(&text)),
    }
}

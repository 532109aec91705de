//! Finding a key that others made: by `CKA_ID`, `CKA_LABEL` or both, and only if exactly one fits.

use cryptoki::{
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};

use super::{
    failure::Failure,
    keys::{Desk, check_value, find_objects, find_public, read_public_key},
    objects::algorithm_of,
};
use crate::{
    HsmError, KeyAlgorithm, KeyId, KeyReference, KeySearch, Origin, TokenIdentity,
    external::{is_reserved, reserved},
};

/// The private or secret key that fits, with everything needed to know it again.
pub(super) fn find(desk: &Desk<'_>, token: &TokenIdentity, search: &KeySearch) -> Result<KeyReference, Failure> {
    let _searching = desk.objects.read();
    let none = KeyId::new(Vec::new());
    let (id, label) = (search.id.as_ref().unwrap_or(&none), search.label.as_deref());
    let mut found = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
        found.extend(find_objects(desk.session, class, id, label)?);
    }
    let handle = match found.as_slice() {
        [handle] => *handle,
        [] => return Err(HsmError::KeyNotFound { key: format!("{search} on token {token}") }.into()),
        _ => {
            let key = format!("{search} on token {token}");
            return Err(HsmError::KeyMismatch { key, detail: "several keys fit; give id and label" }.into());
        }
    };
    describe(desk.session, token, search, handle)
}

fn describe(
    session: &Session,
    token: &TokenIdentity,
    search: &KeySearch,
    handle: ObjectHandle,
) -> Result<KeyReference, Failure> {
    let (mut label, mut id, mut key_type) = (None, None, None);
    let wanted = [AttributeType::Label, AttributeType::Id, AttributeType::KeyType];
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Label(bytes) => label = Some(bytes),
            Attribute::Id(bytes) => id = Some(KeyId::new(bytes)),
            Attribute::KeyType(found) => key_type = Some(found),
            _ => {}
        }
    }
    let label = label.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).filter(|label| !label.is_empty());
    if label.as_deref().is_some_and(is_reserved) {
        return Err(reserved().into());
    }
    let id = id.unwrap_or_else(|| KeyId::new(Vec::new()));
    let algorithm = match key_type {
        Some(key_type) => algorithm_of(session, handle, key_type)?,
        None => None,
    };
    let algorithm = algorithm.ok_or_else(|| HsmError::not_supported("keys of this key's type or size"))?;
    // A label is part of later searches only where it was part of this one, or where nothing else names the key.
    let label = label.filter(|_| id.as_bytes().is_empty() || search.label.is_some());
    let public_key = public_half(session, algorithm, handle, (&id, label.as_deref()))?;
    let check_value = if algorithm.is_asymmetric() { None } else { check_value(session, algorithm, handle)? };
    let origin = Origin::Foreign { label };
    Ok(KeyReference { token: token.clone(), id, algorithm, public_key, check_value, origin })
}

fn public_half(
    session: &Session,
    algorithm: KeyAlgorithm,
    handle: ObjectHandle,
    (id, label): (&KeyId, Option<&str>),
) -> Result<Option<Vec<u8>>, Failure> {
    if !algorithm.is_asymmetric() {
        return Ok(None);
    }
    let object = if algorithm.is_rsa() { Some(handle) } else { find_public(session, id, label)? };
    let object = object.ok_or_else(|| {
        HsmError::invalid("the token holds no public key beside this private one; put it there with the same CKA_ID")
    })?;
    read_public_key(session, algorithm, object).map(Some)
}

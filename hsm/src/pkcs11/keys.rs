//! From a key reference to an object handle, and the proof that it is the right object.

use std::collections::HashMap;

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};
use parking_lot::{Mutex, RwLock};

use super::failure::Failure;
use crate::{
    HsmError, KeyAlgorithm, KeyId, KeyReference,
    public_key::{spki_from_point, spki_from_rsa},
    software::token::same_check_value,
};

/// Handles of token objects, by `CKA_ID`; looking an object up costs milliseconds on a full token.
#[derive(Default)]
pub(super) struct HandleCache {
    handles: Mutex<HashMap<Place, (u64, ObjectHandle)>>,
}

/// What an object is found by; one `CKA_ID` may serve a pair and a secret.
type Place = (KeyId, Option<String>, bool);

fn place(key: &KeyReference) -> Place {
    (key.id.clone(), key.origin.label().map(str::to_owned), key.algorithm.is_asymmetric())
}

impl HandleCache {
    fn find(&self, key: &KeyReference, epoch: u64) -> Option<ObjectHandle> {
        self.handles.lock().get(&place(key)).filter(|(known, _)| *known == epoch).map(|(_, handle)| *handle)
    }

    fn keep(&self, key: &KeyReference, epoch: u64, handle: ObjectHandle) {
        self.handles.lock().insert(place(key), (epoch, handle));
    }

    pub(super) fn forget(&self, key: &KeyReference) {
        self.handles.lock().remove(&place(key));
    }

    pub(super) fn clear(&self) {
        self.handles.lock().clear();
    }
}

/// What a command works with: a session of the current epoch, and the shared tables.
pub(super) struct Desk<'a> {
    pub(super) session: &'a Session,
    pub(super) epoch: u64,
    pub(super) objects: &'a RwLock<()>,
    pub(super) handles: &'a HandleCache,
}

/// The private or secret key of a reference, found by id and compared with what the reference recorded.
pub(super) fn resolve(desk: &Desk<'_>, key: &KeyReference) -> Result<ObjectHandle, Failure> {
    if let Some(handle) = desk.handles.find(key, desk.epoch) {
        return Ok(handle);
    }
    let handle = {
        let _searching = desk.objects.read();
        find_one(desk.session, key)?
    };
    compare(desk, key, handle)?;
    desk.handles.keep(key, desk.epoch, handle);
    Ok(handle)
}

fn find_one(session: &Session, key: &KeyReference) -> Result<ObjectHandle, Failure> {
    let found = find_objects(session, private_class(key.algorithm), &key.id, key.origin.label())?;
    match found.as_slice() {
        [handle] => Ok(*handle),
        [] => Err(HsmError::KeyNotFound { key: key.to_string() }.into()),
        _ => Err(mismatch(key, "several objects carry its id").into()),
    }
}

/// Token objects with that id and label; an empty id is none.
pub(super) fn find_objects(
    session: &Session,
    class: ObjectClass,
    id: &KeyId,
    label: Option<&str>,
) -> Result<Vec<ObjectHandle>, Failure> {
    let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
    if !id.as_bytes().is_empty() {
        template.push(Attribute::Id(id.as_bytes().to_vec()));
    }
    if let Some(label) = label {
        template.push(Attribute::Label(label.as_bytes().to_vec()));
    }
    Ok(session.find_objects(&template)?)
}

/// The public half that stands beside a private key: the id joins them, the label only where there is no id.
pub(super) fn find_public(session: &Session, id: &KeyId, label: Option<&str>) -> Result<Option<ObjectHandle>, Failure> {
    let label = label.filter(|_| id.as_bytes().is_empty());
    Ok(find_objects(session, ObjectClass::PUBLIC_KEY, id, label)?.first().copied())
}

pub(super) fn private_class(algorithm: KeyAlgorithm) -> ObjectClass {
    if algorithm.is_asymmetric() { ObjectClass::PRIVATE_KEY } else { ObjectClass::SECRET_KEY }
}

/// Compares the public half, or the check value of a secret. The halves of an EC pair are separate objects, so this
/// alone does not prove the private one; verifying each signature does.
fn compare(desk: &Desk<'_>, key: &KeyReference, handle: ObjectHandle) -> Result<(), Failure> {
    if let Some(recorded) = &key.check_value {
        let found = check_value(desk.session, key.algorithm, handle)?;
        let same = found.is_some_and(|found| same_check_value(&found, recorded));
        return if same { Ok(()) } else { Err(mismatch(key, "its check value differs from the recorded one").into()) };
    }
    let Some(recorded) = &key.public_key else { return Ok(()) };
    let public = if key.algorithm.is_rsa() {
        Some(handle)
    } else {
        let _searching = desk.objects.read();
        find_public(desk.session, &key.id, key.origin.label())?
    };
    match public {
        Some(public) if &read_public_key(desk.session, key.algorithm, public)? != recorded => {
            Err(mismatch(key, "its public key differs from the recorded one").into())
        }
        _ => Ok(()),
    }
}

fn mismatch(key: &KeyReference, detail: &'static str) -> HsmError {
    HsmError::KeyMismatch { key: key.to_string(), detail }
}

/// SPKI of a public key object (or of an RSA private key, which holds the public numbers too).
pub(super) fn read_public_key(
    session: &Session,
    algorithm: KeyAlgorithm,
    handle: ObjectHandle,
) -> Result<Vec<u8>, Failure> {
    let wanted: &[AttributeType] = if algorithm.is_rsa() {
        &[AttributeType::Modulus, AttributeType::PublicExponent]
    } else {
        &[AttributeType::EcPoint]
    };
    let (mut modulus, mut exponent) = (None, None);
    for attribute in session.get_attributes(handle, wanted)? {
        match attribute {
            Attribute::EcPoint(point) => return Ok(spki_from_point(algorithm, &point)?),
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            _ => {}
        }
    }
    match (modulus, exponent) {
        (Some(modulus), Some(exponent)) => Ok(spki_from_rsa(&modulus, &exponent)?),
        _ => Err(HsmError::Internal { detail: "the token does not show a key's public half" }.into()),
    }
}

/// The start of a fixed block processed with a secret key; `None` where the token cannot do that with this key.
///
/// The block is not zero: AES of zero is the GCM hash key.
pub(super) fn check_value(
    session: &Session,
    algorithm: KeyAlgorithm,
    handle: ObjectHandle,
) -> Result<Option<Vec<u8>>, Failure> {
    const BLOCK: &[u8; 16] = b"chancery key chk";
    let made = match algorithm {
        KeyAlgorithm::Hmac => session.sign(&Mechanism::Sha256Hmac, handle, BLOCK),
        _ => session.encrypt(&Mechanism::AesEcb, handle, BLOCK),
    };
    match made.map_err(Failure::from) {
        Ok(mut value) => {
            value.truncate(8);
            Ok(Some(value))
        }
        Err(failure) if is_unable(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn is_unable(failure: &Failure) -> bool {
    use super::failure::Class;
    matches!(failure.class(), Class::NotSupported | Class::WrongUse | Class::Other)
}

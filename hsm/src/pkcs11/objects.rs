//! Creating, describing, listing and destroying objects. All of it under the module's object lock.

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};

use super::{
    failure::Failure,
    keys::{Desk, check_value, find_objects, find_public, read_public_key, resolve},
};
use crate::{
    KeyAlgorithm, KeyAttributes, KeyId, KeyPurpose, KeyReference, KeySpec, KeySummary, LABEL_PREFIX, Origin,
    TokenIdentity,
    public_key::{algorithm_of_curve, curve_parameters},
};

/// How long an object lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    Token,
    /// As long as the session: for trials.
    Session,
}

/// A generated key: the handle that does the work, and the public half of a pair.
pub(super) struct Made {
    pub(super) key: ObjectHandle,
    pub(super) public: Option<ObjectHandle>,
}

/// Makes a token key, reads its protection back, and destroys it again if it could leave the token.
pub(super) fn generate(desk: &Desk<'_>, token: &TokenIdentity, spec: &KeySpec) -> Result<KeyReference, Failure> {
    let id = spec.new_id()?;
    let _exclusive = desk.objects.write();
    let made = make(desk.session, spec, &id, Lifetime::Token)?;
    let described = describe(desk.session, &made, token, spec, id);
    if described.is_err() {
        for object in [Some(made.key), made.public].into_iter().flatten() {
            if let Err(error) = desk.session.destroy_object(object) {
                tracing::warn!(%error, "a refused key could not be destroyed");
            }
        }
    }
    described
}

fn describe(
    session: &Session,
    made: &Made,
    token: &TokenIdentity,
    spec: &KeySpec,
    id: KeyId,
) -> Result<KeyReference, Failure> {
    read_attributes(session, made.key)?.require_protected()?;
    let public_key = match made.public {
        Some(public) => Some(read_public_key(session, spec.algorithm, public)?),
        None => None,
    };
    let check_value = match made.public {
        Some(_) => None,
        None => check_value(session, spec.algorithm, made.key)?,
    };
    Ok(KeyReference {
        token: token.clone(),
        id,
        algorithm: spec.algorithm,
        public_key,
        check_value,
        origin: spec.origin(),
    })
}

/// Makes a key of either lifetime.
pub(super) fn make(session: &Session, spec: &KeySpec, id: &KeyId, lifetime: Lifetime) -> Result<Made, Failure> {
    let mut shared = vec![
        Attribute::Token(lifetime == Lifetime::Token),
        Attribute::Id(id.as_bytes().to_vec()),
        Attribute::Label(spec.full_label().into_bytes()),
    ];
    let mut private = shared.clone();
    private.extend([Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)]);
    private.extend(private_usage(spec.algorithm, spec.purpose));
    if let Some(bytes) = spec.algorithm.secret_bytes() {
        private.push(Attribute::ValueLen(bytes.try_into()?));
        let mechanism = match spec.algorithm {
            KeyAlgorithm::Hmac => Mechanism::GenericSecretKeyGen,
            _ => Mechanism::AesKeyGen,
        };
        return Ok(Made { key: session.generate_key(&mechanism, &private)?, public: None });
    }
    shared.push(Attribute::Private(false));
    let mechanism = match spec.algorithm.modulus_bits() {
        Some(bits) => {
            shared.push(Attribute::ModulusBits(u64::from(bits).into()));
            shared.push(Attribute::PublicExponent(vec![1, 0, 1]));
            shared.push(Attribute::Verify(spec.purpose.signs()));
            shared.push(Attribute::Encrypt(spec.purpose.decrypts_rsa()));
            Mechanism::RsaPkcsKeyPairGen
        }
        None => {
            shared.push(Attribute::EcParams(curve_parameters(spec.algorithm)?));
            shared.push(Attribute::Verify(true));
            match spec.algorithm {
                KeyAlgorithm::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
                _ => Mechanism::EccKeyPairGen,
            }
        }
    };
    let (public, key) = session.generate_key_pair(&mechanism, &shared, &private)?;
    Ok(Made { key, public: Some(public) })
}

/// Exactly the purpose. No key wraps or unwraps: nothing can be carried out of the token through it.
fn private_usage(algorithm: KeyAlgorithm, purpose: KeyPurpose) -> Vec<Attribute> {
    match purpose {
        KeyPurpose::Encrypt => vec![
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Sign(false),
            Attribute::Verify(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ],
        KeyPurpose::Mac => vec![
            Attribute::Sign(true),
            Attribute::Verify(true),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ],
        _ if algorithm.is_rsa() => {
            vec![Attribute::Sign(purpose.signs()), Attribute::Decrypt(purpose.decrypts_rsa()), Attribute::Unwrap(false)]
        }
        _ => vec![Attribute::Sign(true), Attribute::Unwrap(false), Attribute::Derive(false)],
    }
}

pub(super) fn destroy(desk: &Desk<'_>, key: &KeyReference) -> Result<(), Failure> {
    let handle = resolve(desk, key)?;
    let _exclusive = desk.objects.write();
    desk.handles.forget(key);
    desk.session.destroy_object(handle)?;
    if key.algorithm.is_asymmetric() {
        for public in find_objects(desk.session, ObjectClass::PUBLIC_KEY, &key.id, key.origin.label())? {
            desk.session.destroy_object(public)?;
        }
    }
    Ok(())
}

pub(super) fn attributes(desk: &Desk<'_>, key: &KeyReference) -> Result<KeyAttributes, Failure> {
    let handle = resolve(desk, key)?;
    let _reading = desk.objects.read();
    read_attributes(desk.session, handle)
}

/// Our private and secret keys, by the prefix of their label.
pub(super) fn list(desk: &Desk<'_>, token: &TokenIdentity) -> Result<Vec<KeySummary>, Failure> {
    let _searching = desk.objects.read();
    let mut keys = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
        for handle in desk.session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])? {
            if let Some(summary) = summarise(desk.session, token, handle)? {
                keys.push(summary);
            }
        }
    }
    keys.sort_by(|a, b| (&a.label, &a.reference.id).cmp(&(&b.label, &b.reference.id)));
    Ok(keys)
}

/// `None` for objects that are not ours or of no kind we make.
fn summarise(session: &Session, token: &TokenIdentity, handle: ObjectHandle) -> Result<Option<KeySummary>, Failure> {
    let (mut label, mut id, mut key_type) = (None, None, None);
    for attribute in
        session.get_attributes(handle, &[AttributeType::Label, AttributeType::Id, AttributeType::KeyType])?
    {
        match attribute {
            Attribute::Label(bytes) => label = String::from_utf8(bytes).ok(),
            Attribute::Id(bytes) => id = Some(KeyId::new(bytes)),
            Attribute::KeyType(found) => key_type = Some(found),
            _ => {}
        }
    }
    let label = label.as_deref().and_then(|label| label.strip_prefix(LABEL_PREFIX));
    let (Some(label), Some(id), Some(key_type)) = (label, id, key_type) else { return Ok(None) };
    let Some(algorithm) = algorithm_of(session, handle, key_type)? else { return Ok(None) };
    let public_key = if algorithm.is_asymmetric() {
        match find_public(session, &id, None)? {
            Some(public) => Some(read_public_key(session, algorithm, public)?),
            None => None,
        }
    } else {
        None
    };
    let origin = Origin::Own;
    let reference = KeyReference { token: token.clone(), id, algorithm, public_key, check_value: None, origin };
    Ok(Some(KeySummary { label: label.to_owned(), reference }))
}

pub(super) fn algorithm_of(
    session: &Session,
    handle: ObjectHandle,
    key_type: KeyType,
) -> Result<Option<KeyAlgorithm>, Failure> {
    let wanted = match key_type {
        KeyType::RSA => AttributeType::Modulus,
        KeyType::EC | KeyType::EC_EDWARDS => AttributeType::EcParams,
        KeyType::AES => AttributeType::ValueLen,
        KeyType::GENERIC_SECRET => return Ok(Some(KeyAlgorithm::Hmac)),
        _ => return Ok(None),
    };
    Ok(session.get_attributes(handle, &[wanted])?.into_iter().find_map(|attribute| match attribute {
        Attribute::Modulus(modulus) => {
            let bits = u32::try_from(modulus.len() * 8).ok();
            KeyAlgorithm::ALL.into_iter().find(|algorithm| bits.is_some() && algorithm.modulus_bits() == bits)
        }
        Attribute::EcParams(parameters) => algorithm_of_curve(&parameters),
        Attribute::ValueLen(length) if *length == 16 => Some(KeyAlgorithm::Aes128),
        Attribute::ValueLen(length) if *length == 32 => Some(KeyAlgorithm::Aes256),
        _ => None,
    }))
}

pub(super) fn read_attributes(session: &Session, handle: ObjectHandle) -> Result<KeyAttributes, Failure> {
    use AttributeType as T;
    let wanted = [
        T::Label,
        T::Token,
        T::Private,
        T::Sensitive,
        T::Extractable,
        T::AlwaysSensitive,
        T::NeverExtractable,
        T::Local,
        T::Sign,
        T::Encrypt,
        T::Decrypt,
        T::Wrap,
        T::Unwrap,
    ];
    let mut found = KeyAttributes::default();
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Label(label) => found.label = String::from_utf8_lossy(&label).into_owned(),
            Attribute::Token(value) => found.token = Some(value),
            Attribute::Private(value) => found.private = Some(value),
            Attribute::Sensitive(value) => found.sensitive = Some(value),
            Attribute::Extractable(value) => found.extractable = Some(value),
            Attribute::AlwaysSensitive(value) => found.always_sensitive = Some(value),
            Attribute::NeverExtractable(value) => found.never_extractable = Some(value),
            Attribute::Local(value) => found.local = Some(value),
            Attribute::Sign(value) => found.sign = Some(value),
            Attribute::Encrypt(value) => found.encrypt = Some(value),
            Attribute::Decrypt(value) => found.decrypt = Some(value),
            Attribute::Wrap(value) => found.wrap = Some(value),
            Attribute::Unwrap(value) => found.unwrap = Some(value),
            _ => {}
        }
    }
    Ok(found)
}

//! Signatures of one text with a named key, made and checked.
//!
//! What aws-lc-rs does not sign (RSA with SHA-1, SHA-224, SHA-3 or without a hash) is refused by its name, and verified.

use crate::{
    ciphertext::{Kind, join},
    derivation::DerivationKey,
    ed25519::{
        self,
        variant::{self, Variant},
    },
    encoding,
    error::TransitError,
    hash::HashName,
    key::{Key, Numbered},
    key_type::KeyType,
    ml_dsa,
    transit::Transit,
    version::{KeyVersion, Material},
};
use chancery_hsm::{HashAlgorithm, HsmError, Mechanism, SaltLength, SignInput, SignScheme, verify_unhashed_pkcs1};
use der::{Decode, Encode, Sequence, asn1::UintRef};
use std::{borrow::Cow, sync::Arc};
use zeroize::Zeroizing;

/// How to sign or verify, as the request asks for it.
#[derive(Debug, Clone)]
pub(crate) struct SignOptions {
    pub(crate) hash: HashName,
    algorithm: Algorithm,
    salt: SaltLength,
    prehashed: bool,
    marshaling: Marshaling,
    /// `signature_context`, decoded: the context of RFC 8032, which has nothing to do with derivation.
    context: Vec<u8>,
}

/// The options as the request spells them.
#[derive(Default)]
pub(crate) struct OptionTexts<'a> {
    /// The most specific name given.
    pub(crate) hash: &'a str,
    pub(crate) algorithm: &'a str,
    pub(crate) salt: Option<&'a str>,
    pub(crate) marshaling: &'a str,
    pub(crate) prehashed: bool,
    /// Base64.
    pub(crate) signature_context: &'a str,
}

/// `signature_algorithm`; types that do not look at it mind no name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Algorithm {
    /// PSS, unless the key is meant for something else.
    Unsaid,
    Pss,
    Pkcs1v15,
    Ed25519(Variant),
    Unknown(String),
}

/// `marshaling_algorithm`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marshaling {
    /// ECDSA as DER, standard base64.
    Asn1,
    /// ECDSA as r and s side by side, base64url (RFC 7518 §3.4).
    Jws,
}

/// A signature with what the answer shows beside it.
pub(crate) struct Signed {
    pub(crate) signature: String,
    pub(crate) key_version: u32,
    /// Public key of a derived key.
    pub(crate) public_key: Option<String>,
}

/// RFC 3279 §2.2.3
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl SignOptions {
    pub(crate) fn read(texts: &OptionTexts<'_>) -> Result<Self, TransitError> {
        let invalid = |what: &str, text: &str| TransitError::Caller(format!("invalid {what} {text:?}"));
        let context = encoding::decode(texts.signature_context)
            .map_err(|_| TransitError::caller("failed to base64-decode signature_context"))?;
        if context.len() > variant::CONTEXT_BYTES {
            return Err(TransitError::Caller(format!(
                "signature_context has more than {} bytes",
                variant::CONTEXT_BYTES
            )));
        }
        Ok(Self {
            hash: HashName::named(texts.hash).ok_or_else(|| invalid("hash algorithm", texts.hash))?,
            algorithm: match texts.algorithm {
                "" => Algorithm::Unsaid,
                "pss" => Algorithm::Pss,
                "pkcs1v15" => Algorithm::Pkcs1v15,
                "ed25519ctx" => Algorithm::Ed25519(Variant::Context),
                "ed25519ph" => Algorithm::Ed25519(Variant::Prehashed),
                other => Algorithm::Unknown(other.to_owned()),
            },
            salt: texts.salt.map_or(Ok(SaltLength::Auto), parse_salt)?,
            prehashed: texts.prehashed,
            marshaling: match texts.marshaling {
                "" | "asn1" => Marshaling::Asn1,
                "jws" => Marshaling::Jws,
                other => return Err(invalid("marshaling type", other)),
            },
            context: context.to_vec(),
        })
    }

    /// Refuses combinations that make no sense for the key's type.
    pub(crate) fn check(&self, key_type: KeyType) -> Result<(), TransitError> {
        if !self.context.is_empty() && key_type != KeyType::Ed25519 {
            let text = format!("signature_context is not supported for key type {}", key_type.name());
            return Err(TransitError::Caller(text));
        }
        if key_type == KeyType::Ed25519 && self.context.is_empty() && self.variant() == Some(Variant::Context) {
            return Err(TransitError::caller("signature_algorithm=ed25519ctx requires a signature_context"));
        }
        // What a registered key is, its versions tell.
        if key_type == KeyType::Ed25519 || key_type.is_ml_dsa() || key_type.is_external() {
            return Ok(());
        }
        if self.hash == HashName::None && !(self.prehashed && self.algorithm == Algorithm::Pkcs1v15) {
            return Err(TransitError::caller(
                "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15",
            ));
        }
        match &self.algorithm {
            Algorithm::Unknown(name) if key_type.is_rsa() => {
                Err(TransitError::Caller(format!("unsupported rsa signature algorithm {name}")))
            }
            Algorithm::Ed25519(_) if key_type.is_rsa() => {
                Err(TransitError::caller("unsupported rsa signature algorithm of Ed25519"))
            }
            _ => Ok(()),
        }
    }

    /// The variant of Ed25519 asked for; a context makes the plain one Ed25519ctx.
    fn variant(&self) -> Option<Variant> {
        match self.algorithm {
            Algorithm::Ed25519(variant) => Some(variant),
            _ => (!self.context.is_empty()).then_some(Variant::Context),
        }
    }

    /// What a variant of Ed25519 signs or verifies, if one is asked for.
    fn variant_input(&self, key_type: KeyType, input: &[u8]) -> Result<Option<(Variant, Vec<u8>)>, TransitError> {
        let Some(variant) = self.variant().filter(|_| key_type == KeyType::Ed25519) else { return Ok(None) };
        let text = match variant {
            Variant::Prehashed if !self.prehashed => HashAlgorithm::Sha512.digest(input),
            Variant::Prehashed if input.len() != HashAlgorithm::Sha512.digest_bytes() => {
                return Err(TransitError::caller("prehashed input of ed25519ph must be a SHA-512 digest, 64 bytes"));
            }
            _ => input.to_vec(),
        };
        Ok(Some((variant, text)))
    }

    fn of_variant<'i>(&'i self, (variant, text): &'i (Variant, Vec<u8>)) -> variant::Input<'i> {
        variant::Input { variant: *variant, context: &self.context, text }
    }

    /// The options for one version, and the type that it really has. For a registered key, `none` (OpenBao's default) is
    /// the hash that its type takes by itself, and a scheme nobody asked for is the one it was registered for.
    fn settled(
        &self,
        of_key: KeyType,
        version: &KeyVersion,
        operation: &'static str,
    ) -> Result<(Cow<'_, Self>, KeyType), TransitError> {
        let key_type = version.effective_type(of_key);
        let Material::External(external) = &version.material else { return Ok((Cow::Borrowed(self), key_type)) };
        if !key_type.supports_signing() {
            return Err(TransitError::TypeDoesNot { operation, key_type: key_type.name() });
        }
        let mut options = self.clone();
        if options.hash == HashName::None && !options.prehashed {
            options.hash = HashName::Known(HashAlgorithm::Sha256);
        }
        if options.algorithm == Algorithm::Unsaid && external.mechanism == Some(Mechanism::RsaPkcs) {
            options.algorithm = Algorithm::Pkcs1v15;
        }
        options.check(key_type)?;
        Ok((Cow::Owned(options), key_type))
    }

    /// The scheme and what it signs.
    fn scheme(
        &self,
        key_type: KeyType,
        mut input: Zeroizing<Vec<u8>>,
    ) -> Result<(SignScheme, SignInput), TransitError> {
        if key_type == KeyType::Ed25519 {
            return Ok((SignScheme::Ed25519, SignInput::Message(std::mem::take(&mut *input))));
        }
        if key_type.is_ecdsa() && self.prehashed {
            let (hash, digest) = fitted_digest(key_type, &input)?;
            return Ok((SignScheme::Ecdsa(hash), SignInput::Digest(digest)));
        }
        if self.hash == HashName::None {
            // With `none` the input stands in the padding as it is. Callers use it to name the hash themselves.
            if let Some((hash, digest)) = HashAlgorithm::in_digest_info(&input) {
                return Ok((SignScheme::RsaPkcs1(hash), SignInput::Digest(digest.to_vec())));
            }
            return Err(HsmError::NotSupported { mechanism: "RSA PKCS#1 v1.5 without a hash".to_owned() }.into());
        }
        let hash = self.hash.function()?;
        let scheme = match (key_type.is_ecdsa(), &self.algorithm) {
            (true, _) => SignScheme::Ecdsa(hash),
            (false, Algorithm::Pkcs1v15) => SignScheme::RsaPkcs1(hash),
            (false, _) => SignScheme::RsaPss { hash, salt: self.salt },
        };
        let input = std::mem::take(&mut *input);
        if !self.prehashed {
            return Ok((scheme, SignInput::Message(input)));
        }
        if input.len() != hash.digest_bytes() {
            return Err(TransitError::caller("crypto/rsa: input must be hashed with given hash"));
        }
        Ok((scheme, SignInput::Digest(input)))
    }
}

/// `auto`, `hash` or a number; 0 and -1 are Go's constants for the first two.
fn parse_salt(text: &str) -> Result<SaltLength, TransitError> {
    match text {
        "auto" => Ok(SaltLength::Auto),
        "hash" => Ok(SaltLength::Digest),
        number => match number.parse::<i64>() {
            Err(_) => Err(TransitError::Caller(format!("salt length neither 'auto', 'hash', nor an int: {number}"))),
            Ok(0) => Ok(SaltLength::Auto),
            Ok(-1) => Ok(SaltLength::Digest),
            Ok(length) if length < 0 => Err(TransitError::Caller(format!("salt length is invalid: {length}"))),
            Ok(length) => Ok(SaltLength::Fixed(u16::try_from(length).unwrap_or(u16::MAX))),
        },
    }
}

/// ECDSA signs the leftmost bits of whatever digest it is given (SEC 1 §4.1.3), so a ready-made one of any length is
/// brought to that of a hash as wide as the curve: cut on the right, or filled with zeros on the left.
fn fitted_digest(key_type: KeyType, digest: &[u8]) -> Result<(HashAlgorithm, Vec<u8>), TransitError> {
    let hash = match key_type {
        KeyType::EcdsaP256 => HashAlgorithm::Sha256,
        KeyType::EcdsaP384 => HashAlgorithm::Sha384,
        _ => HashAlgorithm::Sha512,
    };
    let width = hash.digest_bytes();
    if key_type == KeyType::EcdsaP521 && digest.len() > width {
        return Err(TransitError::caller("a digest for ecdsa-p521 has at most 64 bytes"));
    }
    let kept = digest.get(..width).unwrap_or(digest);
    let mut fitted = vec![0; width.saturating_sub(kept.len())];
    fitted.extend_from_slice(kept);
    Ok((hash, fitted))
}

fn decode_context(context: &str) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    encoding::decode(context).map_err(|_| TransitError::ContextNotBase64)
}

/// Signs `input`, which is base64.
pub(crate) async fn sign(
    engine: &Transit,
    key: &Arc<Key>,
    options: &SignOptions,
    requested: i64,
    (input, context): (&str, &str),
) -> Result<Signed, TransitError> {
    engine.supplied(key, || async { sign_once(engine, key, options, requested, (input, context)).await }).await
}

async fn sign_once(
    engine: &Transit,
    key: &Arc<Key>,
    options: &SignOptions,
    requested: i64,
    (input, context): (&str, &str),
) -> Result<Signed, TransitError> {
    let input = encoding::decode(input).map_err(TransitError::in_input)?;
    let context = decode_context(context)?;
    let version = key.version_to_make(requested, "signing")?;
    let (options, key_type) = options.settled(key.record.key_type, version.version, "signing")?;
    let options = options.as_ref();
    let mut public_key = None;
    let signature = match &version.version.material {
        Material::MlDsa(pair) => pair.sign(&input)?,
        Material::Derived(secret) => {
            let pair = derive(secret, &context)?;
            public_key = Some(encoding::encode(pair.public_key()));
            match options.variant_input(key_type, &input)? {
                Some(text) => pair.sign_variant(&options.of_variant(&text))?,
                None => {
                    let (scheme, input) = options.scheme(key_type, input)?;
                    pair.into_software_key()?.sign(scheme, &input)?
                }
            }
        }
        material => match (options.variant_input(key_type, &input)?, material) {
            (Some(text), Material::Pair(pair)) => {
                ed25519::Pair::of_software_key(pair)?.sign_variant(&options.of_variant(&text))?
            }
            (Some((variant, _)), Material::Hsm(_) | Material::External(_)) => {
                return Err(HsmError::NotSupported { mechanism: variant.name().to_owned() }.into());
            }
            _ => sign_plainly(engine, key, options, version, input).await?,
        },
    };
    let payload = match options.marshaling {
        Marshaling::Asn1 => encoding::encode(&signature),
        Marshaling::Jws => encoding::encode_url(&to_jws(key_type, signature)?),
    };
    Ok(Signed { signature: join(version.number, &payload), key_version: version.number, public_key })
}

/// Signs with one of the schemes that the HSM's face has.
async fn sign_plainly(
    engine: &Transit,
    key: &Arc<Key>,
    options: &SignOptions,
    version: Numbered<'_>,
    input: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, TransitError> {
    let key_type = version.version.effective_type(key.record.key_type);
    let (scheme, input) = options.scheme(key_type, input)?;
    let signature = match &version.version.material {
        Material::Pair(_) if key_type.is_rsa() => sign_off_thread(Arc::clone(key), version.number, scheme, input).await,
        Material::Pair(pair) => pair.sign(scheme, &input),
        Material::Hsm(_) | Material::External(_) => {
            let token = engine.token_key(version.version).await.map_err(|error| error.in_factory("factory "))?;
            token.hsm().sign(token.key(), scheme, input).await
        }
        Material::Public => return Err(TransitError::NoPrivateHalf("signing")),
        _ => return Err(TransitError::Bug("a key that cannot sign")),
    };
    signature.map_err(|error| signing_refusal(error, options.salt))
}

/// An RSA signature takes milliseconds of arithmetic, too long for a thread that serves requests.
async fn sign_off_thread(
    key: Arc<Key>,
    number: u32,
    scheme: SignScheme,
    input: SignInput,
) -> Result<Vec<u8>, HsmError> {
    let lost = HsmError::KeyNotFound { key: "the version that was to sign".to_owned() };
    let work = move || match key.versions.get(number).map(|version| &version.material) {
        Some(Material::Pair(pair)) => pair.sign(scheme, &input),
        _ => Err(lost),
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(HsmError::Closed))
}

fn signing_refusal(error: HsmError, salt: SaltLength) -> TransitError {
    match (error, salt) {
        (HsmError::InvalidInput { .. }, SaltLength::Fixed(length)) => {
            TransitError::Caller(format!("requested salt length {length} is invalid"))
        }
        (error, _) => error.into(),
    }
}

fn derive(key: &DerivationKey, context: &[u8]) -> Result<ed25519::Pair, TransitError> {
    if context.is_empty() {
        return Err(TransitError::MissingContextForSignature);
    }
    ed25519::Pair::derive(key, context)
}

/// Whether `signature`, as [`sign`] writes it, is one of `input`.
pub(crate) fn verify(
    key: &Key,
    options: &SignOptions,
    signature: &str,
    (input, context): (&str, &str),
) -> Result<bool, TransitError> {
    let input = encoding::decode(input).map_err(TransitError::in_input)?;
    let context = decode_context(context)?;
    let envelope = Kind::Signature.parse(signature)?;
    let version = key.version_to_check(envelope.version, Kind::Signature)?;
    let (options, key_type) = options.settled(key.record.key_type, version.version, "verification")?;
    let options = options.as_ref();
    let signature = decode_signature(key_type, options.marshaling, envelope.payload)?;
    let public_key = public_key(version, &context)?;
    if key_type.is_ml_dsa() {
        return ml_dsa::verify(key_type, &public_key, &input, &signature);
    }
    if key_type.is_rsa() && options.hash == HashName::None {
        return Ok(verify_unhashed_pkcs1(&public_key, &input, &signature)?);
    }
    let checked = match options.variant_input(key_type, &input) {
        Ok(Some(text)) => {
            let raw = ed25519::raw_public_key(&public_key);
            return variant::verify(raw, &options.of_variant(&text), &signature);
        }
        Ok(None) => options.scheme(key_type, input),
        Err(error) => Err(error),
    };
    let (scheme, input) = match checked {
        // A digest of the wrong length was never signed.
        Err(TransitError::Caller(_)) => return Ok(false),
        other => other?,
    };
    match chancery_hsm::verify(&public_key, scheme, &input, &signature) {
        Err(error @ HsmError::InvalidInput { .. }) if matches!(options.salt, SaltLength::Fixed(_)) => {
            Err(signing_refusal(error, options.salt))
        }
        Err(HsmError::InvalidInput { .. }) => Ok(false),
        other => Ok(other?),
    }
}

fn public_key(version: Numbered<'_>, context: &[u8]) -> Result<Vec<u8>, TransitError> {
    match (&version.version.material, &version.version.public_key) {
        (Material::Derived(secret), _) => Ok(derive(secret, context)?.public_key_der()),
        (_, Some(public_key)) => Ok(public_key.clone()),
        (_, None) => Err(TransitError::Bug("a key that cannot sign")),
    }
}

fn decode_signature(key_type: KeyType, marshaling: Marshaling, payload: &str) -> Result<Vec<u8>, TransitError> {
    let not_base64 = || TransitError::caller("invalid base64 signature value");
    match marshaling {
        Marshaling::Asn1 => {
            let signature = encoding::decode(payload).map_err(|_| not_base64())?.to_vec();
            if key_type.is_ecdsa() && EcdsaSignature::from_der(&signature).is_err() {
                return Err(TransitError::caller("supplied signature is invalid"));
            }
            Ok(signature)
        }
        Marshaling::Jws => {
            let signature = encoding::decode_url(payload).ok_or_else(not_base64)?;
            from_jws(key_type, signature)
        }
    }
}

/// DER to r and s side by side; other signatures stay as they are.
fn to_jws(key_type: KeyType, signature: Vec<u8>) -> Result<Vec<u8>, TransitError> {
    let Some(width) = key_type.ecdsa_field_bytes() else { return Ok(signature) };
    let malformed = TransitError::Crypto("an ECDSA signature is not DER");
    let Ok(parsed) = EcdsaSignature::from_der(&signature) else { return Err(malformed) };
    let mut sides = Vec::with_capacity(2 * width);
    for side in [parsed.r.as_bytes(), parsed.s.as_bytes()] {
        sides.resize(sides.len() + width.saturating_sub(side.len()), 0);
        sides.extend_from_slice(side);
    }
    Ok(sides)
}

/// r and s side by side to DER; other signatures stay as they are.
fn from_jws(key_type: KeyType, signature: Vec<u8>) -> Result<Vec<u8>, TransitError> {
    let Some(width) = key_type.ecdsa_field_bytes() else { return Ok(signature) };
    let invalid = |_| TransitError::caller("supplied signature is invalid");
    // RFC 7518 §3.4: both sides have the field's full width, else one signature could be written in many ways.
    let (r, s) = match signature.split_at_checked(width) {
        Some((r, s)) if s.len() == width => (r, s),
        _ => return Err(TransitError::caller("supplied signature is invalid")),
    };
    let (r, s) = (UintRef::new(r).map_err(invalid)?, UintRef::new(s).map_err(invalid)?);
    EcdsaSignature { r, s }.to_der().map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jws_and_der_are_two_writings_of_one_signature() {
        for (r, s) in [([1_u8; 32], [0xff_u8; 32]), ([0; 32], [0x80; 32])] {
            let sides = [r, s].concat();
            let der = from_jws(KeyType::EcdsaP256, sides.clone()).unwrap();
            assert_eq!(to_jws(KeyType::EcdsaP256, der).unwrap(), sides);
        }
        for size in [0, 2, 40, 62, 63, 65, 66, 128] {
            assert!(from_jws(KeyType::EcdsaP256, vec![1; size]).is_err(), "{size} bytes");
        }
    }

    #[test]
    fn salt_lengths_are_read_like_go_reads_them() {
        assert_eq!(parse_salt("0").unwrap(), SaltLength::Auto);
        assert_eq!(parse_salt("-1").unwrap(), SaltLength::Digest);
        assert_eq!(parse_salt("20").unwrap(), SaltLength::Fixed(20));
        assert_eq!(parse_salt("-2").unwrap_err().to_string(), "salt length is invalid: -2");
        assert!(parse_salt("").unwrap_err().to_string().starts_with("salt length neither"));
    }
}

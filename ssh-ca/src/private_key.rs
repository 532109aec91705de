//! Private keys in the forms OpenSSH reads: what an operator brings as a CA's key, what `issue` makes for a caller.

use crate::{blob::BlobWriter, error::SshError, public_key::SshPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::SecretString;
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use crypto_bigint::{BoxedUint, NonZero};
use der::{
    Decode, Encode, Reader, Sequence, SliceReader,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef, UintRef},
};
use spki::AlgorithmIdentifierRef;
use ssh_key::private::{EcdsaKeypair, KeypairData};
use zeroize::Zeroizing;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// PKCS#8 (RFC 5208 §5).
#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifierRef<'a>,
    private_key: &'a OctetStringRef,
}

impl<'a> PrivateKeyInfo<'a> {
    /// Attributes and a public half (RFC 5958 §2) may follow the key; they are not looked at.
    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let info = reader.sequence(|content| {
            let info =
                Self { version: content.decode()?, algorithm: content.decode()?, private_key: content.decode()? };
            while !content.is_finished() {
                AnyRef::decode(content)?;
            }
            Ok::<_, der::Error>(info)
        })?;
        reader.finish()?;
        Ok(info)
    }
}

/// RFC 5915 §3
#[derive(Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    parameters: Option<ObjectIdentifier>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    public_key: Option<BitStringRef<'a>>,
}

/// RFC 8017 §A.1.2
#[derive(Sequence)]
struct RsaPrivateKey<'a> {
    version: u8,
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
    private_exponent: UintRef<'a>,
    prime1: UintRef<'a>,
    prime2: UintRef<'a>,
    exponent1: UintRef<'a>,
    exponent2: UintRef<'a>,
    coefficient: UintRef<'a>,
}

/// A private key as PKCS#8 in DER.
pub(crate) struct Pkcs8 {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Reads a private key: OpenSSH's own form without a passphrase, PKCS#1, SEC 1 or PKCS#8, in PEM.
///
/// # Errors
/// [`SshError::Caller`] that says what is wrong and quotes nothing.
pub(crate) fn read(pem: &str) -> Result<Pkcs8, SshError> {
    let refuse = |why: &str| SshError::Caller(format!("could not parse private_key provided value: {why}"));
    let pem = Zeroizing::new(format!("{}\n", pem.trim().replace("\r\n", "\n")));
    if pem.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let key = ssh_key::PrivateKey::from_openssh(pem.as_str()).map_err(|_| refuse("ssh: malformed private key"))?;
        if key.is_encrypted() {
            return Err(refuse("ssh: this private key is passphrase protected"));
        }
        return of_openssh(key.key_data()).map_err(|_| refuse("ssh: unsupported or malformed private key"));
    }
    let (label, der) = der::pem::decode_vec(pem.as_bytes()).map_err(|_| refuse("ssh: no key found"))?;
    let der = Zeroizing::new(der);
    let read = match label {
        "PRIVATE KEY" => of_pkcs8(der),
        "RSA PRIVATE KEY" => of_pkcs1(&der),
        "EC PRIVATE KEY" => of_sec1(&der),
        _ => return Err(refuse("ssh: unsupported key type")),
    };
    read.map_err(|_| refuse("ssh: unsupported or malformed private key"))
}

fn of_pkcs8(der: Zeroizing<Vec<u8>>) -> der::Result<Pkcs8> {
    let info = PrivateKeyInfo::read(&der)?;
    let algorithm = match info.algorithm.oid {
        ID_ED25519 => KeyAlgorithm::Ed25519,
        ID_EC_PUBLIC_KEY => curve(info.algorithm.parameters.map(AnyRef::decode_as).transpose()?)?,
        RSA_ENCRYPTION => rsa_algorithm(RsaPrivateKey::from_der(info.private_key.as_bytes())?.modulus)?,
        _ => return Err(unsupported()),
    };
    Ok(Pkcs8 { algorithm, der })
}

fn of_pkcs1(der: &[u8]) -> der::Result<Pkcs8> {
    let algorithm = rsa_algorithm(RsaPrivateKey::from_der(der)?.modulus)?;
    wrap(algorithm, AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) }, der)
}

fn of_sec1(der: &[u8]) -> der::Result<Pkcs8> {
    let key = EcPrivateKey::from_der(der)?;
    let parameters = key.parameters;
    let algorithm = curve(parameters)?;
    let curve = parameters.ok_or_else(unsupported)?.to_der()?;
    let identifier = AlgorithmIdentifierRef { oid: ID_EC_PUBLIC_KEY, parameters: Some(AnyRef::from_der(&curve)?) };
    wrap(algorithm, identifier, der)
}

fn of_openssh(data: &KeypairData) -> der::Result<Pkcs8> {
    match data {
        KeypairData::Ed25519(pair) => {
            let seed = Zeroizing::new(OctetStringRef::new(pair.private.as_ref())?.to_der()?);
            wrap(KeyAlgorithm::Ed25519, AlgorithmIdentifierRef { oid: ID_ED25519, parameters: None }, &seed)
        }
        KeypairData::Ecdsa(pair) => {
            let oid = match pair {
                EcdsaKeypair::NistP256 { .. } => P256,
                EcdsaKeypair::NistP384 { .. } => P384,
                EcdsaKeypair::NistP521 { .. } => P521,
            };
            let public = BitStringRef::from_bytes(pair.public_key_bytes())?;
            let key = EcPrivateKey {
                version: 1,
                private_key: OctetStringRef::new(pair.private_key_bytes())?,
                parameters: Some(oid),
                public_key: Some(public),
            };
            of_sec1(&Zeroizing::new(key.to_der()?))
        }
        KeypairData::Rsa(pair) => {
            let positive =
                |number: &ssh_key::Mpint| number.as_positive_bytes().map(<[u8]>::to_vec).ok_or_else(unsupported);
            let secret = |number: &ssh_key::Mpint| positive(number).map(Zeroizing::new);
            let (modulus, exponent) = (positive(pair.public().n())?, positive(pair.public().e())?);
            let (private, coefficient) = (secret(pair.private().d())?, secret(pair.private().iqmp())?);
            let (p, q) = (secret(pair.private().p())?, secret(pair.private().q())?);
            let (exponent1, exponent2) = (reduced(&private, &p)?, reduced(&private, &q)?);
            let key = RsaPrivateKey {
                version: 0,
                modulus: UintRef::new(&modulus)?,
                public_exponent: UintRef::new(&exponent)?,
                private_exponent: UintRef::new(&private)?,
                prime1: UintRef::new(&p)?,
                prime2: UintRef::new(&q)?,
                exponent1: UintRef::new(&exponent1)?,
                exponent2: UintRef::new(&exponent2)?,
                coefficient: UintRef::new(&coefficient)?,
            };
            of_pkcs1(&Zeroizing::new(key.to_der()?))
        }
        _ => Err(unsupported()),
    }
}

/// d mod (prime - 1)
fn reduced(private: &[u8], prime: &[u8]) -> der::Result<Zeroizing<Vec<u8>>> {
    let number = |bytes: &[u8]| {
        let bits = u32::try_from(bytes.len() * 8).map_err(|_| unsupported())?;
        BoxedUint::from_be_slice(bytes, bits).map_err(|_| unsupported())
    };
    if prime.len() < 64 || private.len() > 1024 {
        return Err(unsupported());
    }
    let less_one = number(prime)?.wrapping_sub(BoxedUint::one());
    let less_one = NonZero::new(less_one).into_option().ok_or_else(unsupported)?;
    Ok(Zeroizing::new(crate::blob::strip_zeros(&number(private)?.rem(&less_one).to_be_bytes()).to_vec()))
}

fn wrap(algorithm: KeyAlgorithm, identifier: AlgorithmIdentifierRef<'_>, key: &[u8]) -> der::Result<Pkcs8> {
    let info = PrivateKeyInfo { version: 0, algorithm: identifier, private_key: OctetStringRef::new(key)? };
    Ok(Pkcs8 { algorithm, der: Zeroizing::new(info.to_der()?) })
}

fn rsa_algorithm(modulus: UintRef<'_>) -> der::Result<KeyAlgorithm> {
    match modulus.as_bytes().len() {
        256 => Ok(KeyAlgorithm::Rsa2048),
        384 => Ok(KeyAlgorithm::Rsa3072),
        512 => Ok(KeyAlgorithm::Rsa4096),
        _ => Err(unsupported()),
    }
}

fn curve(parameters: Option<ObjectIdentifier>) -> der::Result<KeyAlgorithm> {
    match parameters {
        Some(P256) => Ok(KeyAlgorithm::EcP256),
        Some(P384) => Ok(KeyAlgorithm::EcP384),
        Some(P521) => Ok(KeyAlgorithm::EcP521),
        _ => Err(unsupported()),
    }
}

fn unsupported() -> der::Error {
    der::ErrorKind::Failed.into()
}

/// A key pair made for a caller; the private half goes out with the answer and is kept nowhere.
pub(crate) struct SubjectPair {
    pub(crate) public: SshPublicKey,
    pub(crate) private: SecretString,
    pub(crate) kind: &'static str,
}

/// Makes a pair. `key_type` is `rsa`, `ec` or `ed25519`.
///
/// # Errors
/// [`SshError::Caller`] that names the type or the size.
pub(crate) async fn generate(key_type: &str, key_bits: i64) -> Result<SubjectPair, SshError> {
    let (algorithm, kind) = match (key_type, key_bits) {
        ("rsa", 0 | 2048) => (KeyAlgorithm::Rsa2048, "rsa"),
        ("rsa", 3072) => (KeyAlgorithm::Rsa3072, "rsa"),
        ("rsa", 4096) => (KeyAlgorithm::Rsa4096, "rsa"),
        ("ec", 0 | 256) => (KeyAlgorithm::EcP256, "ec"),
        ("ec", 384) => (KeyAlgorithm::EcP384, "ec"),
        ("ec", 521) => (KeyAlgorithm::EcP521, "ec"),
        ("ed25519", _) => (KeyAlgorithm::Ed25519, "ed25519"),
        // The texts are those of generating a CA.
        _ => {
            return Err(match crate::issuer::algorithm(key_type, key_bits) {
                Err(error) => error,
                Ok(_) => SshError::Caller(format!("unknown ssh key pair algorithm: {key_type}")),
            });
        }
    };
    let make = move || -> Result<SubjectPair, SshError> {
        let key = SoftwareKey::generate(algorithm)?;
        let public = SshPublicKey::from_spki(key.public_key_der().unwrap_or_default())
            .map_err(|error| SshError::Encoding(error.to_string()))?;
        let private = to_pem(&key.to_bytes()?, &public, kind)?;
        Ok(SubjectPair { public, private, kind })
    };
    if algorithm.is_rsa() { tokio::task::spawn_blocking(make).await? } else { make() }
}

fn to_pem(pkcs8: &[u8], public: &SshPublicKey, kind: &str) -> Result<SecretString, SshError> {
    let info = PrivateKeyInfo::read(pkcs8)?;
    match kind {
        "rsa" => pem("RSA PRIVATE KEY", info.private_key.as_bytes()),
        "ec" => {
            let mut key = EcPrivateKey::from_der(info.private_key.as_bytes())?;
            key.parameters = info.algorithm.parameters.map(AnyRef::decode_as).transpose()?;
            pem("EC PRIVATE KEY", &Zeroizing::new(key.to_der()?))
        }
        _ => {
            let seed = <&OctetStringRef>::from_der(info.private_key.as_bytes())?.as_bytes();
            pem("OPENSSH PRIVATE KEY", &openssh_ed25519(seed, public)?)
        }
    }
}

/// OpenSSH's own form without a passphrase (PROTOCOL.key).
fn openssh_ed25519(seed: &[u8], public: &SshPublicKey) -> Result<Zeroizing<Vec<u8>>, SshError> {
    let check = getrandom::u32().map_err(|error| SshError::Encoding(format!("getrandom: {error}")))?;
    let point = public.blob().get(public.blob().len().saturating_sub(32)..).unwrap_or_default();
    let pair = Zeroizing::new([seed, point].concat());
    let mut secret = BlobWriter::with_capacity(256);
    secret.u32(check).u32(check).string("ssh-ed25519").string(point).string(pair.as_slice()).string("");
    let mut secret = Zeroizing::new(secret.into_bytes());
    for padding in 1..=8_u8 {
        if secret.len().is_multiple_of(8) {
            break;
        }
        secret.push(padding);
    }
    let mut writer = BlobWriter::with_capacity(512);
    writer.raw(b"openssh-key-v1\0").string("none").string("none").string("").u32(1).string(public.blob());
    writer.string(secret.as_slice());
    Ok(Zeroizing::new(writer.into_bytes()))
}

fn pem(label: &str, der: &[u8]) -> Result<SecretString, SshError> {
    let text = Zeroizing::new(STANDARD.encode(der));
    // OpenSSH breaks its own form at 70 characters, PEM at 64; readers take both.
    let mut lines = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.push_str(std::str::from_utf8(line).map_err(|error| SshError::Encoding(error.to_string()))?);
        lines.push('\n');
    }
    lines.push_str(&format!("-----END {label}-----\n"));
    Ok(SecretString::new(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_made_for_callers_can_be_brought_as_a_cas_key() {
        for (kind, bits) in [("rsa", 2048), ("ec", 0), ("ec", 384), ("ec", 521), ("ed25519", 0)] {
            let pair = generate(kind, bits).await.unwrap();
            let read = read(pair.private.expose()).unwrap();
            let key = SoftwareKey::from_bytes(read.algorithm, &read.der).unwrap();
            let public = SshPublicKey::from_spki(key.public_key_der().unwrap()).unwrap();
            assert_eq!(public, pair.public, "{kind} {bits}");
        }
    }

    #[tokio::test]
    async fn sizes_and_types_nobody_should_use_are_refused() {
        for (kind, bits, text) in [
            ("zork", 0, "unknown ssh key pair algorithm: zork"),
            ("rsa", 1024, "refusing to generate weak rsa key: 1024 bits < 2048 bits"),
            ("ssh-rsa", 2048, "unknown ssh key pair algorithm: ssh-rsa"),
        ] {
            assert_eq!(generate(kind, bits).await.err().unwrap().to_string(), text);
        }
    }

    #[test]
    fn junk_is_refused_without_quoting_it() {
        for text in [
            "",
            "s3cret",
            "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n-----END OPENSSH PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            let error = read(text).err().unwrap().to_string();
            assert!(
                error.starts_with("could not parse private_key provided value: ssh: ") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}

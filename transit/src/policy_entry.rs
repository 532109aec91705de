//! A version as it stands in a backup, from and into the form it is stored in here.

use crate::{
    curve::Curve,
    derivation::ConvergentVersion,
    ed25519, encoding,
    error::TransitError,
    key_type::KeyType,
    ml_dsa, pem,
    policy::{Bytes, Decimal, Entry, Precomputed, RsaPrivate, RsaPublic},
    private_key::PrivateKey,
    public_key::{self, PublicKey},
    rsa_numbers::RsaNumbers,
    version::{StoredBytes, StoredMaterial, VersionRecord},
};
use crypto_bigint::BoxedUint;
use jiff::Timestamp;
use zeroize::Zeroizing;

impl Entry {
    /// Writes a version. Keys of a token are never backed up.
    pub(crate) fn of(key_type: KeyType, version: &VersionRecord) -> Result<Self, TransitError> {
        let mut entry = Self {
            time: Some(version.created_at),
            creation_time: version.created_at.as_second(),
            convergent_version: version.convergent_version.map_or(0, |known| i64::from(known.number())),
            certificate_chain: (!version.certificate_chain.is_empty())
                .then(|| version.certificate_chain.iter().map(copy).collect()),
            ..Self::default()
        };
        match &version.material {
            StoredMaterial::Software { key, mac } => {
                entry.hmac_key = Some(copy(mac.as_ref().unwrap_or(key)));
                entry.put_private(key_type, key.bytes())?;
            }
            StoredMaterial::Public { key, mac } => {
                entry.hmac_key = mac.as_ref().map(copy);
                entry.put_public(key_type, key.bytes())?;
            }
            StoredMaterial::Hsm { .. } | StoredMaterial::External { .. } => {
                return Err(TransitError::Bug("a key of a token in a backup"));
            }
        }
        Ok(entry)
    }

    fn put_private(&mut self, key_type: KeyType, key: &[u8]) -> Result<(), TransitError> {
        let malformed = |_| TransitError::Bug("a stored private key is not PKCS#8");
        if key_type.is_rsa() || key_type.is_ecdsa() {
            match PrivateKey::from_pkcs8(key).map_err(malformed)? {
                PrivateKey::Rsa(numbers) => self.rsa_key = Some(RsaPrivate::of(&numbers)),
                PrivateKey::Ec(curve, scalar) => {
                    self.ec_d = Some(Decimal(BoxedUint::from_be_slice_vartime(&scalar)));
                    let public_key = chancery_hsm::software::SoftwareKey::from_bytes(curve.algorithm(), key)?;
                    self.put_public(key_type, public_key.public_key_der().unwrap_or_default())?;
                }
                _ => return Err(TransitError::Bug("a stored private key of another type")),
            }
            return Ok(());
        }
        if key_type == KeyType::Ed25519 {
            let pair = ed25519::Pair::from_seed(key)?;
            self.public_key = encoding::encode(pair.public_key());
            self.key = Some(Bytes(pair.seed_and_public_key()));
            return Ok(());
        }
        if key_type.is_ml_dsa() {
            let public_key = ml_dsa::Pair::from_seed(key_type, key)?.public_key_der()?;
            self.put_public(key_type, &public_key)?;
        }
        self.key = Some(Bytes(Zeroizing::new(key.to_vec())));
        Ok(())
    }

    fn put_public(&mut self, key_type: KeyType, der: &[u8]) -> Result<(), TransitError> {
        if let Some(curve) = Curve::of(key_type) {
            let start = der.len().saturating_sub(2 * curve.bytes());
            let (x, y) = der.get(start..).and_then(|point| point.split_at_checked(curve.bytes())).unwrap_or_default();
            self.ec_x = Some(Decimal(BoxedUint::from_be_slice_vartime(x)));
            self.ec_y = Some(Decimal(BoxedUint::from_be_slice_vartime(y)));
            self.public_key = pem::write("PUBLIC KEY", der).to_string() + "\n";
        } else if key_type.is_rsa() {
            let (modulus, public_exponent) =
                public_key::rsa_numbers_of(der).ok_or(TransitError::Bug("a stored public key is no RSA key"))?;
            self.rsa_public_key = Some(RsaPublic { modulus: Decimal(modulus), public_exponent });
        } else if key_type == KeyType::Ed25519 {
            self.public_key = encoding::encode(ed25519::raw_public_key(der));
        } else {
            self.public_key = encoding::encode(ml_dsa::raw_public_key(key_type, der)?);
        }
        Ok(())
    }

    /// Reads a version. The error says what is wrong with it.
    pub(crate) fn read(self, key_type: KeyType) -> Result<VersionRecord, String> {
        let created_at = self.time.unwrap_or(Timestamp::UNIX_EPOCH);
        let convergent_version = ConvergentVersion::numbered(self.convergent_version);
        let certificate_chain = self.certificate_chain.iter().flatten().map(|der| StoredBytes::new(der.0.clone()));
        let certificate_chain = certificate_chain.collect();
        let material = self.material(key_type)?;
        Ok(VersionRecord { created_at, material, certificate_chain, convergent_version })
    }

    fn material(self, key_type: KeyType) -> Result<StoredMaterial, String> {
        let internal = |error: TransitError| error.to_string();
        // Keys from before there were HMAC keys get one now, as in the reference.
        let mac = match &self.hmac_key {
            Some(mac) if !mac.0.is_empty() => StoredBytes::new(mac.0.clone()),
            _ => StoredBytes::mac_key().map_err(internal)?,
        };
        if !key_type.is_asymmetric() {
            let key = self.key.filter(|key| fits(key_type, key.0.len())).ok_or("invalid key size")?;
            let mac = (key_type != KeyType::Hmac).then_some(mac);
            return Ok(StoredMaterial::Software { key: StoredBytes::new(key.0.clone()), mac });
        }
        if let Some(private) = self.private(key_type)? {
            private.fit(key_type).map_err(internal)?;
            let key = StoredBytes::new(private.to_stored().map_err(internal)?);
            return Ok(StoredMaterial::Software { key, mac: Some(mac) });
        }
        let public = self.public(key_type)?;
        public.fit(key_type).map_err(internal)?;
        let key = StoredBytes::new(Zeroizing::new(public.der().to_vec()));
        Ok(StoredMaterial::Public { key, mac: Some(mac) })
    }

    /// The private half, where there is one.
    fn private(&self, key_type: KeyType) -> Result<Option<PrivateKey>, String> {
        if let Some(curve) = Curve::of(key_type) {
            let Some(scalar) = &self.ec_d else { return Ok(None) };
            let scalar = curve.scalar(&Zeroizing::new(scalar.0.to_be_bytes().into_vec()))?;
            return Ok(Some(PrivateKey::Ec(curve, scalar)));
        }
        if key_type.is_rsa() {
            let Some(key) = &self.rsa_key else { return Ok(None) };
            let numbers = key.numbers()?;
            numbers.check()?;
            return Ok(Some(PrivateKey::Rsa(Box::new(numbers))));
        }
        let Some(key) = self.key.as_ref().filter(|key| !key.0.is_empty()) else { return Ok(None) };
        if key_type.is_ml_dsa() {
            let seed = (key.0.len() == ml_dsa::SEED_BYTES).then(|| key.0.clone()).ok_or("invalid seed size")?;
            return Ok(Some(PrivateKey::MlDsa(key_type, seed)));
        }
        let (seed, public_key) = key.0.split_at_checked(ed25519::SEED_BYTES).ok_or("invalid Ed25519 key size")?;
        let pair = ed25519::Pair::from_seed(seed).map_err(|error| error.to_string())?;
        if pair.public_key() != public_key {
            return Err("the halves of an Ed25519 key do not match".to_owned());
        }
        Ok(Some(PrivateKey::Ed25519(Zeroizing::new(seed.to_vec()))))
    }

    fn public(&self, key_type: KeyType) -> Result<PublicKey, String> {
        if key_type.is_rsa() {
            let key = self.rsa_public_key.as_ref().ok_or(NO_KEY)?;
            return PublicKey::rsa(&key.modulus.0, key.public_exponent);
        }
        if let Some(curve) = Curve::of(key_type) {
            let (x, y) = self.ec_x.as_ref().zip(self.ec_y.as_ref()).ok_or(NO_KEY)?;
            return PublicKey::ec(curve, &x.0, &y.0);
        }
        let raw = encoding::decode(&self.public_key).ok().filter(|raw| !raw.is_empty()).ok_or(NO_KEY)?;
        PublicKey::raw(key_type, &raw)
    }
}

const NO_KEY: &str = "neither a private nor a public key";

fn fits(key_type: KeyType, length: usize) -> bool {
    match key_type.symmetric_bytes() {
        Some(expected) => length == expected,
        None if key_type == KeyType::Hmac => (32..=512).contains(&length),
        // Read by the key type itself when the version is made ready.
        None => length > 0,
    }
}

fn copy(bytes: &StoredBytes) -> Bytes {
    Bytes(Zeroizing::new(bytes.bytes().to_vec()))
}

impl RsaPrivate {
    fn of(numbers: &RsaNumbers) -> Self {
        let decimal = |number: &BoxedUint| Decimal(number.clone());
        let [dp, dq] = &numbers.exponents;
        Self {
            modulus: decimal(&numbers.modulus),
            public_exponent: numbers.public_exponent,
            private_exponent: decimal(&numbers.private_exponent),
            primes: numbers.primes.iter().map(decimal).collect(),
            precomputed: Some(Precomputed {
                dp: decimal(dp),
                dq: decimal(dq),
                coefficient: decimal(&numbers.coefficient),
                others: [],
            }),
        }
    }

    fn numbers(&self) -> Result<RsaNumbers, &'static str> {
        let [p, q] = self.primes.as_slice() else {
            return Err("crypto/rsa: keys of more than two primes are not supported");
        };
        let primes = [trimmed(&p.0)?, trimmed(&q.0)?];
        RsaNumbers::from_primes(
            trimmed(&self.modulus.0)?,
            self.public_exponent,
            trimmed(&self.private_exponent.0)?,
            primes,
        )
    }
}

/// The same number in as few words as it needs.
fn trimmed(number: &BoxedUint) -> Result<BoxedUint, &'static str> {
    let bytes = Zeroizing::new(number.to_be_bytes().into_vec());
    crate::rsa_numbers::number(&bytes).map_err(|_| "crypto/rsa: modulus too large")
}

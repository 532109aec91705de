//! Trying out a token on throw-away session objects, once, before any work is taken.

use cryptoki::{mechanism::MechanismType, object::ObjectHandle, session::Session};

use super::{
    failure::{Class, Failure},
    gcm,
    keys::read_public_key,
    link::Link,
    objects::{Lifetime, Made, make},
    operations::{mac_with, random, rsa_decrypt_with, sign_verified},
    session::OwnedSession,
};
use crate::{
    Capabilities, HsmError, KeyAlgorithm, KeyId, KeyPurpose, KeySpec, MacAlgorithm, Need, RsaPadding, SignInput,
    Support, software::rsa_encrypt,
};

/// Fills the table. Only a token that is gone makes this fail; anything it cannot do is a row.
pub(super) fn run(link: &Link) -> Result<Capabilities, HsmError> {
    let gate = link.module.enter();
    let open = || OwnedSession::open(link.module.context(), link.slot(gate.epoch)?, gate.epoch);
    let mut probe = Probe {
        link,
        table: Capabilities::default(),
        keys: open().map_err(Failure::into_error)?,
        trials: open().map_err(Failure::into_error)?,
    };
    let outcome = probe.all();
    probe.keys.close(gate.epoch);
    probe.trials.close(gate.epoch);
    outcome.map_err(Failure::into_error)?;
    Ok(probe.table)
}

struct Probe<'a> {
    link: &'a Link,
    table: Capabilities,
    /// Holds the throw-away keys; they die with it.
    keys: OwnedSession,
    /// Uses them; replaced after each failed call.
    trials: OwnedSession,
}

impl Probe<'_> {
    fn all(&mut self) -> Result<(), Failure> {
        for algorithm in KeyAlgorithm::ALL {
            match algorithm {
                KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => self.large_rsa(algorithm)?,
                _ => self.algorithm(algorithm)?,
            }
        }
        let outcome = random(self.trials.raw(), 16).map(drop);
        self.record(Need::Random, outcome)
    }

    /// Tries everything with one kind of key.
    fn algorithm(&mut self, algorithm: KeyAlgorithm) -> Result<(), Failure> {
        let purpose = match algorithm {
            KeyAlgorithm::Aes128 | KeyAlgorithm::Aes256 => KeyPurpose::Encrypt,
            KeyAlgorithm::Hmac => KeyPurpose::Mac,
            _ if algorithm.is_rsa() => KeyPurpose::SignAndDecrypt,
            _ => KeyPurpose::Sign,
        };
        let spec = KeySpec::new(algorithm, purpose, "probe");
        let made = {
            let _exclusive = self.link.module.objects.write();
            make(self.keys.raw(), &spec, &KeyId::random()?, Lifetime::Session)
        };
        let made = match made {
            Ok(made) => made,
            Err(failure) => return self.record(Need::Generate(algorithm), Err(failure)),
        };
        self.record(Need::Generate(algorithm), Ok(()))?;
        match made.public {
            Some(public) => self.pair(algorithm, &made, public)?,
            None => self.secret(algorithm, made.key)?,
        }
        let _exclusive = self.link.module.objects.write();
        for object in [Some(made.key), made.public].into_iter().flatten() {
            // It dies with its session anyway.
            let _ = self.keys.raw().destroy_object(object);
        }
        Ok(())
    }

    fn pair(&mut self, algorithm: KeyAlgorithm, made: &Made, public: ObjectHandle) -> Result<(), Failure> {
        let public = read_public_key(self.trials.raw(), algorithm, public)?;
        let input = SignInput::Message(b"chancery probe".to_vec());
        for need in Need::all() {
            let outcome = match need {
                Need::Sign(kind, scheme) if kind == algorithm => {
                    let signed = sign_verified(self.trials.raw(), made.key, (algorithm, &public), scheme, &input);
                    signed.and_then(|signature| signature.map(drop).ok_or_else(wrong_answer))
                }
                Need::RsaDecrypt(padding) if algorithm.is_rsa() => {
                    decrypts(self.trials.raw(), made.key, &public, padding)
                }
                _ => continue,
            };
            self.record(need, outcome)?;
        }
        Ok(())
    }

    fn secret(&mut self, algorithm: KeyAlgorithm, key: ObjectHandle) -> Result<(), Failure> {
        if algorithm == KeyAlgorithm::Hmac {
            for mac in [MacAlgorithm::HmacSha256, MacAlgorithm::HmacSha384, MacAlgorithm::HmacSha512] {
                let outcome = mac_with(self.trials.raw(), key, mac, b"chancery probe").map(drop);
                self.record(Need::Mac(mac), outcome)?;
            }
            return Ok(());
        }
        let outcome = gcm::probe(self.trials.raw(), key).map(|policy| self.table.set_aead(policy));
        self.record(Need::Aead(algorithm), outcome)?;
        // The forgeries it refused were failed calls.
        self.renew()
    }

    /// Making one takes seconds on many tokens, so the mechanism's own limits are believed.
    fn large_rsa(&mut self, algorithm: KeyAlgorithm) -> Result<(), Failure> {
        let slot = self.link.slot(self.keys.epoch())?;
        let info = self.link.module.context().get_mechanism_info(slot, MechanismType::RSA_PKCS_KEY_PAIR_GEN);
        let bits = usize::try_from(algorithm.modulus_bits().unwrap_or_default()).unwrap_or(usize::MAX);
        let outcome = info.map_err(Failure::from).and_then(|info| {
            let range = info.min_key_size()..=info.max_key_size();
            if range.contains(&bits) { Ok(()) } else { Err(HsmError::not_supported("this key size").into()) }
        });
        self.record(Need::Generate(algorithm), outcome)
    }

    /// Notes the outcome. Passes on a failure only if the token does not even make a random byte after it: some answer
    /// `CKR_DEVICE_ERROR` to what they merely cannot do.
    fn record(&mut self, need: Need, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let Err(failure) = outcome else {
            self.table.record(need, Support::Works);
            return Ok(());
        };
        if matches!(failure.class(), Class::Capacity) {
            return Err(failure);
        }
        self.renew()?;
        random(self.trials.raw(), 1)?;
        let reason = failure.into_error().to_string();
        tracing::debug!(%need, reason, "the token cannot do this");
        self.table.record(need, Support::Missing(reason));
        Ok(())
    }

    fn renew(&mut self) -> Result<(), Failure> {
        let epoch = self.trials.epoch();
        let fresh = OwnedSession::open(self.link.module.context(), self.link.slot(epoch)?, epoch)?;
        std::mem::replace(&mut self.trials, fresh).close(epoch);
        Ok(())
    }
}

fn decrypts(session: &Session, key: ObjectHandle, public: &[u8], padding: RsaPadding) -> Result<(), Failure> {
    const SECRET: &[u8] = b"chancery probe";
    let sealed = rsa_encrypt(public, padding, SECRET)?;
    let opened = rsa_decrypt_with(session, key, padding, &sealed)?;
    if opened.as_slice() == SECRET { Ok(()) } else { Err(wrong_answer()) }
}

fn wrong_answer() -> Failure {
    HsmError::Internal { detail: "the token's answer is wrong" }.into()
}

//! A host renews its certificate by proving that it holds the key of the present one: a signature over a nonce of ours.
//!
//! The signature is one that `ssh-keygen -Y sign` makes, so a host needs nothing of ours. Nonces are not stored: each
//! carries its time and a MAC. One that was used is remembered until it is too old, so the only memory a stranger can
//! fill is that of holders of host keys.

use crate::{
    SshAuthority, error::SshError, issuer::Issuer, public_key::SshPublicKey, revocation::Subject, role::Role,
    signature, storage,
};
use aws_lc_rs::hmac;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chancery_store::{Changes, SshCertificate, SshCertificateKind, StoreError};
use jiff::{SignedDuration, Timestamp};
use ssh_key::{Certificate, SshSig, encoding::Encode};
use std::{collections::HashMap, sync::Arc};

/// Namespace of the proof (PROTOCOL.sshsig): a signature made for something else proves nothing here.
pub(crate) const NAMESPACE: &str = "host-renewal@chancery";
/// First line of what is signed.
const TITLE: &str = "chancery-host-renewal-v1";
/// A nonce is good for so long.
pub(crate) const NONCE_SECONDS: i64 = 120;
const MOST_USED: usize = 100_000;
const NONCE_BYTES: usize = 8 + 16 + 32;
/// Longest texts that are looked at.
const LONGEST: usize = 64 << 10;

/// Nonces that were used, and when they were made.
pub(crate) type UsedNonces = HashMap<[u8; 16], i64>;

/// A nonce whose MAC is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Nonce {
    at: i64,
    random: [u8; 16],
}

/// A renewal that was proven.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) role: Arc<Role>,
    /// The certificate that was shown, from the inventory.
    pub(crate) present: SshCertificate,
    pub(crate) key: SshPublicKey,
}

/// A presented certificate, taken apart and checked against its issuer.
struct Presented {
    serial: u64,
    blob: Vec<u8>,
    key: SshPublicKey,
    issuer: Arc<Issuer>,
}

fn refused(why: impl Into<String>) -> SshError {
    SshError::Refused(format!("renewal refused: {}", why.into()))
}

impl SshAuthority {
    /// A fresh nonce.
    pub(crate) async fn nonce(&self) -> Result<String, SshError> {
        let mut bytes = Vec::with_capacity(NONCE_BYTES);
        bytes.extend_from_slice(&self.now().as_second().to_be_bytes());
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| SshError::Encoding(format!("getrandom: {error}")))?;
        bytes.extend_from_slice(&random);
        let tag = hmac::sign(&self.nonce_key().await?, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    async fn read_nonce(&self, text: &str) -> Result<Nonce, SshError> {
        let unknown = || refused("the nonce is not one of this server");
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == NONCE_BYTES).ok_or_else(unknown)?;
        let (content, tag) = bytes.split_at_checked(24).ok_or_else(unknown)?;
        hmac::verify(&self.nonce_key().await?, content, tag).map_err(|_| unknown())?;
        let (at, rest) = content.split_first_chunk::<8>().ok_or_else(unknown)?;
        let random = *rest.first_chunk::<16>().ok_or_else(unknown)?;
        let nonce = Nonce { at: i64::from_be_bytes(*at), random };
        let age = self.now().as_second() - nonce.at;
        if (0..=NONCE_SECONDS).contains(&age) {
            Ok(nonce)
        } else {
            Err(refused("the nonce is too old; ask for another"))
        }
    }

    /// Remembers that a nonce was used; refuses one that was.
    fn use_nonce(&self, nonce: Nonce) -> Result<(), SshError> {
        let now = self.now().as_second();
        let mut used = self.used_nonces.lock();
        if used.len() >= MOST_USED {
            used.retain(|_, at| now - *at <= NONCE_SECONDS);
        }
        if used.len() >= MOST_USED {
            return Err(refused("too many renewals at once; try again in a minute"));
        }
        match used.insert(nonce.random, nonce.at) {
            None => Ok(()),
            Some(_) => Err(refused("the nonce was used already")),
        }
    }

    /// The key of the nonces, made at the first need and kept sealed, so that every node knows it.
    async fn nonce_key(&self) -> Result<hmac::Key, SshError> {
        for _ in 0..2 {
            if let Some(text) = storage::read::<chancery_engine::SecretString>(&self.view, storage::RENEWAL).await? {
                let bytes = zeroize::Zeroizing::new(
                    STANDARD.decode(text.expose()).map_err(|error| SshError::corrupt("renewal", error))?,
                );
                return Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
            }
            let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
            getrandom::fill(bytes.as_mut()).map_err(|error| SshError::Encoding(format!("getrandom: {error}")))?;
            let text = chancery_engine::SecretString::new(STANDARD.encode(bytes.as_ref()));
            let mut changes = Changes::default();
            changes.create(&self.view, storage::RENEWAL, &text)?;
            match self.store.commit(changes).await {
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(SshError::corrupt("renewal", "it cannot be read back"))
    }

    /// Judges a renewal: whose certificate, whether it may be renewed, and whether its holder asks.
    pub(crate) async fn prove(
        &self,
        certificate: &str,
        new_key: &str,
        nonce_text: &str,
        proof: &str,
    ) -> Result<Proven, SshError> {
        if [certificate, new_key, nonce_text, proof].iter().any(|text| text.len() > LONGEST) {
            return Err(refused("the request is too long"));
        }
        let presented = self.presented(certificate).await?;
        let key = match new_key.trim() {
            "" => presented.key.clone(),
            line => SshPublicKey::parse(line)?,
        };
        let nonce = self.read_nonce(nonce_text).await?;
        check_proof(&presented.key, &to_be_signed(nonce_text, &key), proof)?;
        self.use_nonce(nonce)?;
        // From here on the caller is who he says he is, and may hear what is wrong with his certificate.
        let present = self.store.ssh().by_serial(self.mount(), presented.serial).await?;
        let present = present
            .filter(|row| row.certificate == presented.blob)
            .ok_or_else(|| refused("the certificate is not in the inventory"))?;
        if present.kind != SshCertificateKind::Host {
            return Err(refused("only host certificates are renewed"));
        }
        let subject = Subject {
            issuer: &present.issuer,
            issuer_key: presented.issuer.public_key.blob(),
            serial: present.serial,
            key_id: &present.key_id,
            key: presented.key.blob(),
        };
        if self.is_revoked(&subject).await? {
            return Err(refused("the certificate is revoked"));
        }
        let role = self.role(&present.role).await?.ok_or_else(|| refused("its role is gone"))?;
        may_renew(&role, &present, self.now())?;
        Ok(Proven { role, present, key })
    }

    async fn presented(&self, line: &str) -> Result<Presented, SshError> {
        let malformed = || refused("the certificate cannot be read");
        let certificate = Certificate::from_openssh(line.trim()).map_err(|_| malformed())?;
        let blob = certificate.to_bytes().map_err(|_| malformed())?;
        let signature = certificate.signature().encode_vec().map_err(|_| malformed())?;
        let signer = certificate.signature_key().encode_vec().map_err(|_| malformed())?;
        let authority = self.authority().await?;
        let issuer =
            authority.by_key(&signer).ok_or_else(|| refused("no issuer of this mount signed the certificate"))?;
        // The signature is the last string of a certificate.
        let end = blob.len().checked_sub(signature.len() + 4).ok_or_else(malformed)?;
        let signed = blob.get(..end).ok_or_else(malformed)?;
        if !signature::verify(&issuer.public_key, signed, &signature) {
            return Err(refused("no issuer of this mount signed the certificate"));
        }
        let key = certificate.public_key().encode_vec().map_err(|_| malformed())?;
        let key = SshPublicKey::from_blob(&key).map_err(|_| malformed())?;
        Ok(Presented { serial: certificate.serial(), blob, key, issuer: Arc::clone(issuer) })
    }
}

/// What the holder of a host key signs to renew: the nonce, and the key that shall be certified.
fn to_be_signed(nonce: &str, key: &SshPublicKey) -> String {
    format!("{TITLE}\n{nonce}\n{}\n", key.fingerprint())
}

fn check_proof(key: &SshPublicKey, message: &str, proof: &str) -> Result<(), SshError> {
    let unproven = || refused("the signature does not prove that the key of the certificate is held");
    let proof = SshSig::from_pem(format!("{}\n", proof.trim()).as_bytes())
        .map_err(|_| refused("the signature is not one of `ssh-keygen -Y sign`"))?;
    let signer = proof.public_key().encode_vec().map_err(|_| unproven())?;
    if proof.namespace() != NAMESPACE || signer != key.blob() || !proof.reserved().is_empty() {
        return Err(unproven());
    }
    let signed = SshSig::signed_data(NAMESPACE, proof.hash_alg(), message.as_bytes()).map_err(|_| unproven())?;
    let signature = proof.signature().encode_vec().map_err(|_| unproven())?;
    if signature::verify(key, &signed, &signature) { Ok(()) } else { Err(unproven()) }
}

fn may_renew(role: &Role, present: &SshCertificate, now: Timestamp) -> Result<(), SshError> {
    if !role.allow_host_renewal {
        return Err(refused("its role does not allow it (allow_host_renewal)"));
    }
    if role.allowed_domains_template {
        return Err(refused("its role has templates, which a renewal without a login cannot fill in"));
    }
    let grace = SignedDuration::from_secs(i64::try_from(role.renewal_grace).unwrap_or(0));
    let latest = present.valid_before.checked_add(grace).unwrap_or(Timestamp::MAX);
    if now < present.valid_after {
        return Err(refused("the certificate is not valid yet"));
    }
    if now >= latest {
        return Err(refused(format!(
            "the certificate ended at {} and could be renewed until {latest}; enrol again",
            present.valid_before
        )));
    }
    Ok(())
}

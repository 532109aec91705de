//! The one list of what a provider must do. It runs on the software provider (`hsm/tests/conformance.rs`), on SoftHSM
//! and on Kryoptic (`softhsm-tests/tests`). What a token cannot do is reported as skipped, by name, never passed.

use std::{fmt::Write as _, pin::Pin, time::Instant};

use chancery_hsm::{
    AeadSealed, HashAlgorithm as H, MAX_RANDOM_BYTES, MacAlgorithm, SaltLength, SignInput, SignScheme as S,
};
use chancery_hsm::{
    Hsm, HsmError, KeyAlgorithm as A, KeyId, KeyPurpose as P, KeyReference, KeySearch, KeySpec, Need, Origin,
    RsaPadding,
    envelope::{self, EnvelopeKeys},
    software::rsa_encrypt,
    verify,
};

/// What a case says: nothing, or what was wrong.
pub(crate) type Outcome = Result<(), String>;

type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One line of the list.
struct Case {
    name: String,
    needs: Vec<Need>,
    run: Box<dyn for<'a> Fn(&'a Hsm) -> Running<'a> + Send + Sync>,
}

/// How a case ended.
pub(crate) enum Verdict {
    /// It did what it must.
    Passed,
    /// The token lacks the named mechanism.
    Skipped(String),
    /// It did something else.
    Failed(String),
}

/// How the whole list ended.
pub(crate) struct Report {
    /// Which token.
    pub(crate) token: String,
    /// Name, verdict and milliseconds of each case.
    pub(crate) rows: Vec<(String, Verdict, u128)>,
}

impl Report {
    /// A line per case and the totals.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("conformance list on {}\n", self.token);
        let (mut passed, mut skipped, mut failed) = (0, 0, 0);
        for (name, verdict, milliseconds) in &self.rows {
            let line = match verdict {
                Verdict::Passed => {
                    passed += 1;
                    format!("  passed   {name} ({milliseconds} ms)")
                }
                Verdict::Skipped(mechanism) => {
                    skipped += 1;
                    format!("  skipped: {name} ({mechanism})")
                }
                Verdict::Failed(reason) => {
                    failed += 1;
                    format!("  FAILED   {name}: {reason}")
                }
            };
            let _ = writeln!(text, "{line}");
        }
        let _ = write!(text, "  {passed} passed, {skipped} skipped, {failed} failed");
        text
    }

    /// Names of the cases that ended this way.
    pub(crate) fn names(&self, wanted: fn(&Verdict) -> bool) -> Vec<&str> {
        self.rows.iter().filter(|(_, verdict, _)| wanted(verdict)).map(|(name, ..)| name.as_str()).collect()
    }
}

/// Runs the whole list.
pub(crate) async fn run(hsm: &Hsm) -> Report {
    let capabilities = hsm.capabilities();
    let mut rows = Vec::new();
    for case in cases() {
        let started = Instant::now();
        let missing = case.needs.iter().find(|need| !capabilities.supports(need));
        let verdict = match missing {
            Some(need) => Verdict::Skipped(need.to_string()),
            None => match (case.run)(hsm).await {
                Ok(()) => Verdict::Passed,
                Err(reason) => Verdict::Failed(reason),
            },
        };
        rows.push((case.name, verdict, started.elapsed().as_millis()));
    }
    Report { token: format!("{} {}", hsm.token().manufacturer, hsm.token()), rows }
}

fn case<F>(name: impl Into<String>, needs: impl Into<Vec<Need>>, run: F) -> Case
where
    F: for<'a> Fn(&'a Hsm) -> Running<'a> + Send + Sync + 'static,
{
    Case { name: name.into(), needs: needs.into(), run: Box::new(run) }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for algorithm in A::ALL {
        cases.push(case(
            format!("generated {algorithm} key is protected and can be destroyed"),
            [Need::Generate(algorithm)],
            move |hsm| Box::pin(key_is_protected(hsm, algorithm)),
        ));
    }
    for (algorithm, scheme) in signatures() {
        let name = format!("{algorithm} signs with {scheme}");
        cases.push(case(name, [Need::Sign(algorithm, scheme)], move |hsm| Box::pin(signs(hsm, algorithm, scheme))));
    }
    for algorithm in [A::Aes128, A::Aes256] {
        let name = format!("{algorithm} encrypts and refuses forgeries");
        cases.push(case(name, [Need::Aead(algorithm)], move |hsm| Box::pin(encrypts(hsm, algorithm))));
    }
    for padding in [RsaPadding::OaepSha1, RsaPadding::OaepSha256, RsaPadding::Pkcs1v15] {
        let needs = [Need::Generate(A::Rsa2048), Need::RsaDecrypt(padding)];
        cases.push(case(format!("rsa2048 decrypts {padding}"), needs, move |hsm| Box::pin(decrypts(hsm, padding))));
    }
    for mac in [MacAlgorithm::HmacSha256, MacAlgorithm::HmacSha384, MacAlgorithm::HmacSha512] {
        let needs = [Need::Generate(A::Hmac), Need::Mac(mac)];
        cases.push(case(format!("hmac key makes {mac}"), needs, move |hsm| Box::pin(makes_macs(hsm, mac))));
    }
    let p256 = [Need::Sign(A::EcP256, S::Ecdsa(H::Sha256))];
    let aes = [Need::Aead(A::Aes256)];
    let oaep =
        [Need::Generate(A::Rsa2048), Need::RsaDecrypt(RsaPadding::OaepSha1), Need::Mac(MacAlgorithm::HmacSha256)];
    cases.push(case("random bytes have the asked length and differ", [Need::Random], |hsm| Box::pin(random(hsm))));
    cases.push(case("list shows our keys until they are destroyed", p256, |hsm| Box::pin(lists(hsm))));
    cases.push(case("destroyed key is not found, by name", p256, |hsm| Box::pin(destroyed_is_not_found(hsm))));
    cases.push(case("reference with another public key is refused", p256, |hsm| Box::pin(other_key_is_refused(hsm))));
    cases.push(case("reference of another token is refused", p256, |hsm| Box::pin(other_token_is_refused(hsm))));
    cases.push(case("key that others named is found by id, by label and by both", p256, |hsm| {
        Box::pin(foreign_is_found(hsm))
    }));
    cases.push(case("our own keys are not found as somebody else's", p256, |hsm| Box::pin(own_is_not_foreign(hsm))));
    cases
        .push(case("key that others named encrypts what it gets as it is", aes, |hsm| Box::pin(foreign_encrypts(hsm))));
    cases.push(case("signing key does not decrypt", oaep, |hsm| Box::pin(purpose_is_kept(hsm))));
    cases.push(case("scheme that does not fit the key is the caller's fault", p256, |hsm| Box::pin(misfits(hsm))));
    cases.push(case("envelope with AES-GCM", aes, |hsm| Box::pin(envelope_aes(hsm))));
    cases.push(case("envelope with RSA-OAEP and MAC", oaep, |hsm| Box::pin(envelope_rsa(hsm))));
    cases.push(case("keys come and go while others sign", p256, |hsm| Box::pin(concurrency(hsm))));
    cases
}

fn signatures() -> Vec<(A, S)> {
    let mut pairs = Vec::new();
    for curve in [A::EcP256, A::EcP384, A::EcP521] {
        pairs.extend([H::Sha1, H::Sha256, H::Sha384, H::Sha512].map(|hash| (curve, S::Ecdsa(hash))));
    }
    pairs.push((A::Ed25519, S::Ed25519));
    let pkcs1 = [H::Sha1, H::Sha224, H::Sha256, H::Sha384, H::Sha512, H::Sha3_224, H::Sha3_512];
    pairs.extend(pkcs1.map(|hash| (A::Rsa2048, S::RsaPkcs1(hash))));
    pairs.extend([H::Sha256, H::Sha384, H::Sha512].map(|hash| (A::Rsa2048, S::rsa_pss(hash))));
    for salt in [SaltLength::Auto, SaltLength::Fixed(0)] {
        pairs.push((A::Rsa2048, S::RsaPss { hash: H::Sha256, salt }));
    }
    pairs.extend([A::Rsa3072, A::Rsa4096].map(|large| (large, S::RsaPkcs1(H::Sha256))));
    pairs
}

// --- the cases ---

async fn key_is_protected(hsm: &Hsm, algorithm: A) -> Outcome {
    let key = make(hsm, algorithm, purpose_of(algorithm)).await?;
    let attributes = hsm.attributes(&key).await.map_err(said("attributes"))?;
    attributes.require_protected().map_err(said("protection"))?;
    ensure(attributes.private == Some(true) && attributes.token == Some(true), "it is a private token object")?;
    ensure(attributes.unwrap != Some(true) && attributes.wrap != Some(true), "it neither wraps nor unwraps")?;
    ensure(key.public_key.is_some() == algorithm.is_asymmetric(), "a pair has a public key, a secret has none")?;
    unmake(hsm, &key).await
}

async fn signs(hsm: &Hsm, algorithm: A, scheme: S) -> Outcome {
    let key = make(hsm, algorithm, P::Sign).await?;
    let public = key.public_key.clone().ok_or("no public key")?;
    let message = b"what is to be signed".to_vec();
    let input = SignInput::Message(message.clone());
    let signature = hsm.sign(&key, scheme, input.clone()).await.map_err(said("sign"))?;
    ensure(verify(&public, scheme, &input, &signature).map_err(said("verify"))?, "the signature verifies")?;
    let other = SignInput::Message(b"something else".to_vec());
    ensure(
        !verify(&public, scheme, &other, &signature).map_err(said("verify"))?,
        "it does not verify another message",
    )?;
    if let Some(hash) = scheme.hash() {
        let digest = SignInput::Digest(hash.digest(&message));
        let signature = hsm.sign(&key, scheme, digest).await.map_err(said("sign a digest"))?;
        let verified = verify(&public, scheme, &input, &signature).map_err(said("verify"))?;
        ensure(verified, "a signature over the digest is one over the message")?;
        let short = hsm.sign(&key, scheme, SignInput::Digest(vec![1; 3])).await;
        ensure(short.is_err_and(|error| error.is_caller_fault()), "a digest of the wrong length is refused")?;
    }
    unmake(hsm, &key).await
}

async fn encrypts(hsm: &Hsm, algorithm: A) -> Outcome {
    let key = make(hsm, algorithm, P::Encrypt).await?;
    let long = vec![0x5A; 64 * 1024];
    for (aad, plaintext) in
        [(b"place".as_slice(), b"secret".as_slice()), (b"", b"secret"), (b"place", b""), (b"", &long)]
    {
        let sealed = hsm.encrypt(&key, aad, plaintext).await.map_err(said("encrypt"))?;
        ensure(sealed.ciphertext.len() == plaintext.len() + 16, "the ciphertext is as long as the text and a tag")?;
        let opened = hsm.decrypt(&key, aad, &sealed).await.map_err(said("decrypt"))?;
        ensure(opened.as_slice() == plaintext, "it decrypts to the same text")?;
        let again = hsm.encrypt(&key, aad, plaintext).await.map_err(said("encrypt"))?;
        ensure(again.nonce != sealed.nonce, "no vector is used twice")?;
    }
    let sealed = hsm.encrypt(&key, b"place", b"secret").await.map_err(said("encrypt"))?;
    let forged = |change: fn(&mut AeadSealed)| {
        let mut forged = sealed.clone();
        change(&mut forged);
        forged
    };
    let forgeries = [
        ("flipped bit in the tag", b"place".as_slice(), forged(|s| flip(s.ciphertext.last_mut()))),
        ("flipped bit in the text", b"place", forged(|s| flip(s.ciphertext.first_mut()))),
        ("flipped bit in the vector", b"place", forged(|s| flip(s.nonce.first_mut()))),
        ("other place", b"elsewhere", sealed.clone()),
        ("no place", b"", sealed.clone()),
        ("truncated text", b"place", forged(|s| s.ciphertext.truncate(15))),
        ("no text at all", b"place", forged(|s| s.ciphertext.clear())),
        ("no vector", b"place", forged(|s| s.nonce.clear())),
    ];
    for (what, aad, forgery) in forgeries {
        match hsm.decrypt(&key, aad, &forgery).await {
            Err(HsmError::BadData) => {}
            Err(error) => return Err(format!("{what}: refused as {error:?}")),
            Ok(_) => return Err(format!("{what}: accepted")),
        }
    }
    ensure(hsm.status().is_ready(), "forgeries do not count against the token")?;
    hsm.decrypt(&key, b"place", &sealed).await.map_err(said("decrypt after forgeries"))?;
    unmake(hsm, &key).await
}

async fn decrypts(hsm: &Hsm, padding: RsaPadding) -> Outcome {
    let key = make(hsm, A::Rsa2048, P::Decrypt).await?;
    let public = key.public_key.clone().ok_or("no public key")?;
    let sealed = rsa_encrypt(&public, padding, b"secret").map_err(said("encrypt"))?;
    let opened = hsm.rsa_decrypt(&key, padding, &sealed).await.map_err(said("decrypt"))?;
    ensure(opened.as_slice() == b"secret", "it decrypts to the same text")?;
    let mut damaged = sealed.clone();
    flip(damaged.get_mut(9));
    // Some providers answer PKCS#1 v1.5 damage with random bytes on purpose; what they must not do is find the text.
    match hsm.rsa_decrypt(&key, padding, &damaged).await {
        Err(HsmError::BadData) => {}
        Ok(bytes) if padding == RsaPadding::Pkcs1v15 => {
            ensure(bytes.as_slice() != b"secret", "damage is not overlooked")?;
        }
        Err(error) => return Err(format!("damage is refused as {error:?}")),
        Ok(_) => return Err("damage is accepted".into()),
    }
    ensure(hsm.status().is_ready(), "damage does not count against the token")?;
    hsm.rsa_decrypt(&key, padding, &sealed).await.map_err(said("decrypt after damage"))?;
    unmake(hsm, &key).await
}

async fn makes_macs(hsm: &Hsm, algorithm: MacAlgorithm) -> Outcome {
    let (key, other) = (make(hsm, A::Hmac, P::Mac).await?, make(hsm, A::Hmac, P::Mac).await?);
    let mac = |key: KeyReference, data: &'static [u8]| async move {
        hsm.mac(&key, algorithm, data).await.map_err(said("mac"))
    };
    let first = mac(key.clone(), b"data").await?;
    ensure(first == mac(key.clone(), b"data").await?, "it is the same each time")?;
    ensure(first != mac(key.clone(), b"Data").await?, "it depends on the data")?;
    ensure(first != mac(other.clone(), b"data").await?, "it depends on the key")?;
    unmake(hsm, &other).await?;
    unmake(hsm, &key).await
}

async fn random(hsm: &Hsm) -> Outcome {
    for length in [0, 1, 32, 10_000] {
        let bytes = hsm.random(length).await.map_err(said("random"))?;
        ensure(bytes.len() == length, "it has the asked length")?;
    }
    let (a, b) = (hsm.random(32).await.map_err(said("random"))?, hsm.random(32).await.map_err(said("random"))?);
    ensure(a != b, "two draws differ")?;
    ensure(hsm.random(MAX_RANDOM_BYTES + 1).await.is_err_and(|e| e.is_caller_fault()), "too much is refused")
}

async fn lists(hsm: &Hsm) -> Outcome {
    let spec = KeySpec::new(A::EcP256, P::Sign, "conformance/listed");
    let key = hsm.generate(spec).await.map_err(said("generate"))?;
    let found = hsm.list().await.map_err(said("list"))?;
    let ours = found.iter().find(|summary| summary.reference.id == key.id).ok_or("the key is not in the list")?;
    ensure(ours.label == "conformance/listed", "the label is the given one")?;
    ensure(ours.reference == key, "the listed reference is the key's")?;
    unmake(hsm, &key).await?;
    let found = hsm.list().await.map_err(said("list"))?;
    ensure(found.iter().all(|summary| summary.reference.id != key.id), "a destroyed key leaves the list")
}

async fn destroyed_is_not_found(hsm: &Hsm) -> Outcome {
    let key = make(hsm, A::EcP256, P::Sign).await?;
    unmake(hsm, &key).await?;
    match sign(hsm, &key).await {
        Err(error @ HsmError::KeyNotFound { .. }) => {
            ensure(error.to_string().contains(&key.id.to_string()), "the error names the key")
        }
        other => Err(format!("signing answered {other:?}")),
    }
}

async fn other_key_is_refused(hsm: &Hsm) -> Outcome {
    let (key, other) = (make(hsm, A::EcP256, P::Sign).await?, make(hsm, A::EcP256, P::Sign).await?);
    let swapped = KeyReference { public_key: other.public_key.clone(), ..key.clone() };
    match sign(hsm, &swapped).await {
        Err(HsmError::KeyMismatch { .. } | HsmError::BadSignature { .. }) => {}
        answer => return Err(format!("signing answered {answer:?}")),
    }
    sign(hsm, &key).await.map_err(said("sign with the true reference"))?;
    unmake(hsm, &other).await?;
    unmake(hsm, &key).await
}

async fn other_token_is_refused(hsm: &Hsm) -> Outcome {
    let key = make(hsm, A::EcP256, P::Sign).await?;
    let mut foreign = key.clone();
    foreign.token.serial = "somewhere else".into();
    let answer = sign(hsm, &foreign).await;
    ensure(matches!(answer, Err(HsmError::WrongToken { .. })), "it is refused as another token's")?;
    unmake(hsm, &key).await
}

async fn foreign_is_found(hsm: &Hsm) -> Outcome {
    let both = KeySearch { id: Some(KeyId::new(vec![0xF0, 1])), label: Some("operators key".into()) };
    let key = hsm.generate(KeySpec::named(A::EcP256, P::Sign, both.clone())).await.map_err(said("generate"))?;
    for search in [both.clone(), KeySearch { label: None, ..both.clone() }, KeySearch { id: None, ..both.clone() }] {
        let found = hsm.find(search.clone()).await.map_err(said("find"))?;
        ensure(found.public_key == key.public_key && found.id == key.id, "it is the key that was made")?;
        sign(hsm, &found).await.map_err(said("sign"))?;
    }
    let absent = hsm.find(KeySearch { label: Some("nobodys key".into()), ..both.clone() }).await;
    ensure(matches!(absent, Err(HsmError::KeyNotFound { .. })), "another label is another key")?;
    let listed = hsm.list().await.map_err(said("list"))?;
    ensure(listed.iter().all(|summary| summary.reference.id != key.id), "it is not listed as ours")?;
    unmake(hsm, &key).await
}

async fn own_is_not_foreign(hsm: &Hsm) -> Outcome {
    let key = make(hsm, A::EcP256, P::Sign).await?;
    let answer = hsm.find(KeySearch { id: Some(key.id.clone()), label: None }).await;
    ensure(answer.is_err_and(|error| error.is_caller_fault()), "found by id, it is refused by its label")?;
    unmake(hsm, &key).await
}

async fn foreign_encrypts(hsm: &Hsm) -> Outcome {
    let search = KeySearch { id: None, label: Some("operators cipher".into()) };
    let key = hsm.generate(KeySpec::named(A::Aes256, P::Encrypt, search.clone())).await.map_err(said("generate"))?;
    let found = hsm.find(search).await.map_err(said("find"))?;
    for aad in [b"place".as_slice(), b""] {
        let sealed = hsm.encrypt(&found, aad, b"secret").await.map_err(said("encrypt"))?;
        let opened = hsm.decrypt(&key, aad, &sealed).await.map_err(said("decrypt"))?;
        ensure(opened.as_slice() == b"secret", "it opens what it sealed")?;
        let own = KeyReference { origin: Origin::Own, ..found.clone() };
        ensure(hsm.decrypt(&own, aad, &sealed).await.is_err(), "its associated data are not framed as ours are")?;
    }
    unmake(hsm, &key).await
}

async fn purpose_is_kept(hsm: &Hsm) -> Outcome {
    let key = make(hsm, A::Rsa2048, P::Sign).await?;
    let public = key.public_key.clone().ok_or("no public key")?;
    let sealed = rsa_encrypt(&public, RsaPadding::OaepSha1, b"secret").map_err(said("encrypt"))?;
    let answer = hsm.rsa_decrypt(&key, RsaPadding::OaepSha1, &sealed).await;
    ensure(answer.is_err_and(|error| error.is_caller_fault()), "decryption is refused as a wrong use")?;
    unmake(hsm, &key).await
}

async fn misfits(hsm: &Hsm) -> Outcome {
    let key = make(hsm, A::EcP256, P::Sign).await?;
    let input = SignInput::Message(b"m".to_vec());
    let refused = [
        hsm.sign(&key, S::Ed25519, input.clone()).await.map(drop),
        hsm.sign(&key, S::RsaPkcs1(H::Sha256), input).await.map(drop),
        hsm.mac(&key, MacAlgorithm::HmacSha256, b"m").await.map(drop),
        hsm.encrypt(&key, b"", b"m").await.map(drop),
        hsm.rsa_decrypt(&key, RsaPadding::Pkcs1v15, &[0; 256]).await.map(drop),
        hsm.generate(KeySpec::new(A::EcP256, P::Encrypt, "misfit")).await.map(drop),
    ];
    for (number, answer) in refused.into_iter().enumerate() {
        ensure(answer.is_err_and(|error| error.is_caller_fault()), &format!("misfit {number} is refused"))?;
    }
    unmake(hsm, &key).await
}

async fn envelope_aes(hsm: &Hsm) -> Outcome {
    let key = make(hsm, A::Aes256, P::Encrypt).await?;
    envelope_with(hsm, (&key).into()).await?;
    unmake(hsm, &key).await
}

async fn envelope_rsa(hsm: &Hsm) -> Outcome {
    let (key, mac) = (make(hsm, A::Rsa2048, P::Decrypt).await?, make(hsm, A::Hmac, P::Mac).await?);
    envelope_with(hsm, EnvelopeKeys::RsaOaep { key: key.clone(), mac: mac.clone() }).await?;
    unmake(hsm, &mac).await?;
    unmake(hsm, &key).await
}

async fn envelope_with(hsm: &Hsm, keys: EnvelopeKeys) -> Outcome {
    let sealed = envelope::seal(hsm, keys, b"root key", &[7; 32]).await.map_err(said("seal"))?;
    let opened = envelope::open(hsm, &sealed, b"root key").await.map_err(said("open"))?;
    ensure(opened.as_slice() == [7; 32], "it opens to the same secret")?;
    let elsewhere = envelope::open(hsm, &sealed, b"other key").await;
    ensure(matches!(elsewhere, Err(HsmError::BadData)), "it does not open for another context")
}

async fn concurrency(hsm: &Hsm) -> Outcome {
    let key = make(hsm, A::EcP256, P::Sign).await?;
    let mut tasks = Vec::new();
    for number in 0..8 {
        let (hsm, key) = (hsm.clone(), key.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                if number % 2 == 0 {
                    let made = make(&hsm, A::EcP256, P::Sign).await?;
                    sign(&hsm, &made).await.map_err(said("sign with a new key"))?;
                    unmake(&hsm, &made).await?;
                } else {
                    sign(&hsm, &key).await.map_err(said("sign"))?;
                }
            }
            Ok::<(), String>(())
        }));
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())??;
    }
    unmake(hsm, &key).await
}

// --- small change ---

fn purpose_of(algorithm: A) -> P {
    match algorithm {
        A::Aes128 | A::Aes256 => P::Encrypt,
        A::Hmac => P::Mac,
        _ => P::Sign,
    }
}

async fn make(hsm: &Hsm, algorithm: A, purpose: P) -> Result<KeyReference, String> {
    hsm.generate(KeySpec::new(algorithm, purpose, "conformance")).await.map_err(said("generate"))
}

async fn unmake(hsm: &Hsm, key: &KeyReference) -> Outcome {
    hsm.destroy(key).await.map_err(said("destroy"))
}

async fn sign(hsm: &Hsm, key: &KeyReference) -> Result<Vec<u8>, HsmError> {
    hsm.sign(key, S::Ecdsa(H::Sha256), SignInput::Message(b"m".to_vec())).await
}

fn flip(byte: Option<&mut u8>) {
    if let Some(byte) = byte {
        *byte ^= 1;
    }
}

fn said(call: &'static str) -> impl Fn(HsmError) -> String {
    move |error| format!("{call}: {error} ({error:?})")
}

fn ensure(holds: bool, fact: &str) -> Outcome {
    if holds { Ok(()) } else { Err(format!("not so: {fact}")) }
}

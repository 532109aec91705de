//! Bad input, altered answers, lost sessions and handles: nothing that the token as a whole is to blame for.

use chancery_hsm::{
    Hsm, HsmError, IvPolicy, KeyAlgorithm, KeyPurpose, RsaPadding,
    envelope::{self, EnvelopeProfile},
    software::rsa_encrypt,
};

use crate::{Bench, Outcome, Scenario, ensure, ensure_equal, make, said, sign, signing_key};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("bad input inside decrypt is the caller's, whatever its code", |b| Box::pin(bad_input(b))),
    ("vague codes inside decrypt are bad input while a known answer works", |b| Box::pin(vague_codes(b))),
    ("vague codes inside RSA decrypt are bad input while a known answer works", |b| Box::pin(vague_rsa(b))),
    ("GENERAL_ERROR that also spoils the known answer is a lost device", |b| Box::pin(dying_decrypt(b))),
    ("altered plaintext is refused by the envelope and not shown", |b| Box::pin(altered_plaintext(b))),
    ("altered signature is made again once, then refused", |b| Box::pin(altered_signature(b))),
    ("signature by another key behind a stale handle is never released", |b| Box::pin(aliased_handle(b))),
    ("vector chosen by the token is found and stored, wherever it is put", |b| Box::pin(token_chooses_iv(b))),
    ("lost session is replaced and the command tried once more", |b| Box::pin(lost_session(b))),
    ("forgotten login is renewed and the command tried once more", |b| Box::pin(lost_login(b))),
    ("lost handle is looked up again", |b| Box::pin(lost_handle(b))),
    ("object that is not found is an error, not a deletion", |b| Box::pin(vanished_object(b))),
];

async fn bad_input(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = make(&hsm, KeyAlgorithm::Aes256, KeyPurpose::Encrypt).await?;
    let sealed = hsm.encrypt(&key, b"a", b"text").await.map_err(said("encrypt"))?;
    hsm.encrypt(&key, b"", b"text").await.map_err(said("encrypt without associated data"))?;
    ensure_equal(bench.shim.count("empty-aad"), 0, "calls without associated data on the wire")?;
    let rebuilds = bench.rebuilds();
    for (name, code) in [("ENCRYPTED_DATA_INVALID", 0x40), ("ENCRYPTED_DATA_LEN_RANGE", 0x41), ("DATA_LEN_RANGE", 0x21)]
    {
        bench.shim.fail("C_Decrypt", code, 1);
        let answer = hsm.decrypt(&key, b"a", &sealed).await;
        ensure(matches!(answer, Err(HsmError::BadData)), name)?;
        hsm.decrypt(&key, b"a", &sealed).await.map_err(said(name))?;
    }
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    finish(hsm).await
}

async fn vague_codes(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = make(&hsm, KeyAlgorithm::Aes256, KeyPurpose::Encrypt).await?;
    let sealed = hsm.encrypt(&key, b"a", b"text").await.map_err(said("encrypt"))?;
    let rebuilds = bench.rebuilds();
    for (name, code) in [("GENERAL_ERROR", 0x05), ("DEVICE_ERROR", 0x30), ("FUNCTION_FAILED", 0x06)] {
        bench.shim.fail("C_Decrypt", code, 1);
        let answer = hsm.decrypt(&key, b"a", &sealed).await;
        ensure(matches!(answer, Err(HsmError::BadData)), name)?;
    }
    // A real forgery: SoftHSM itself answers GENERAL_ERROR.
    let mut forged = sealed.clone();
    forged.ciphertext.reverse();
    for _ in 0..50 {
        let answer = hsm.decrypt(&key, b"a", &forged).await;
        ensure(matches!(answer, Err(HsmError::BadData)), "a forgery is bad data")?;
    }
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    ensure(hsm.status().is_ready(), "garbage from outside does not make the token unready")?;
    finish(hsm).await
}

async fn vague_rsa(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = make(&hsm, KeyAlgorithm::Rsa2048, KeyPurpose::Decrypt).await?;
    let public = key.public_key.clone().ok_or("no public key")?;
    let sealed = rsa_encrypt(&public, RsaPadding::OaepSha1, b"text").map_err(said("encrypt"))?;
    let rebuilds = bench.rebuilds();
    bench.shim.fail("C_Decrypt", 0x05, 1);
    let answer = hsm.rsa_decrypt(&key, RsaPadding::OaepSha1, &sealed).await;
    ensure(matches!(answer, Err(HsmError::BadData)), "it is bad data")?;
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    hsm.rsa_decrypt(&key, RsaPadding::OaepSha1, &sealed).await.map_err(said("decrypt"))?;
    finish(hsm).await
}

async fn dying_decrypt(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = make(&hsm, KeyAlgorithm::Aes256, KeyPurpose::Encrypt).await?;
    let sealed = hsm.encrypt(&key, b"a", b"text").await.map_err(said("encrypt"))?;
    let rebuilds = bench.rebuilds();
    bench.shim.fail("C_Decrypt", 0x05, 1000);
    let answer = hsm.decrypt(&key, b"a", &sealed).await;
    ensure(answer.is_err_and(|error| error.is_unavailable()), "it is not blamed on the caller")?;
    ensure(bench.rebuilds() > rebuilds, "the connection is rebuilt")?;
    bench.shim.order("reset");
    hsm.decrypt(&key, b"a", &sealed).await.map_err(said("decrypt afterwards"))?;
    finish(hsm).await
}

async fn altered_plaintext(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = make(&hsm, KeyAlgorithm::Aes256, KeyPurpose::Encrypt).await?;
    let secret = *b"root key root key root key root!";
    let sealed = envelope::seal(&hsm, &key, b"c", &secret).await.map_err(said("seal"))?;
    bench.shim.order("damage C_Decrypt 1");
    let Err(error) = envelope::open(&hsm, &sealed, b"c").await else { return Err("it was accepted".into()) };
    ensure(matches!(error, HsmError::AlteredSecret), "it is refused as altered")?;
    let words = format!("{error} {error:?}");
    ensure(!words.contains("oot key") && !words.contains("111, 111"), "the error shows nothing of it")?;
    bench.shim.order("damage C_Encrypt 1");
    let answer = envelope::seal(&hsm, &key, b"c", &secret).await;
    ensure(answer.is_err(), "an envelope that does not open is not handed out")?;
    envelope::open(&hsm, &sealed, b"c").await.map_err(said("open"))?;
    finish(hsm).await
}

async fn altered_signature(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    bench.shim.order("damage C_Sign 1");
    sign(&hsm, &key).await.map_err(said("the second attempt"))?;
    bench.shim.order("damage C_Sign 100");
    let answer = sign(&hsm, &key).await;
    ensure(matches!(answer, Err(HsmError::BadSignature { .. })), "it is refused")?;
    finish(hsm).await
}

async fn aliased_handle(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let (one, two) = (signing_key(&hsm).await?, signing_key(&hsm).await?);
    bench.shim.order("alias 1");
    sign(&hsm, &one).await.map_err(said("once aliased"))?;
    sign(&hsm, &two).await.map_err(said("the other key"))?;
    bench.shim.order("alias 100");
    let answer = sign(&hsm, &one).await;
    ensure(matches!(answer, Err(HsmError::BadSignature { .. })), "another key's signature is refused")?;
    finish(hsm).await
}

async fn token_chooses_iv(bench: &Bench) -> Outcome {
    // Sealed under each layout; all must open in the end, under the plain one.
    let hsm = bench.open().await?;
    let key = make(&hsm, KeyAlgorithm::Aes256, KeyPurpose::Encrypt).await?;
    hsm.shutdown().await;
    let mut sealed = Vec::new();
    let policies = [
        ("write", IvPolicy::TokenWritesIv),
        ("append", IvPolicy::TokenAppends),
        ("prepend", IvPolicy::TokenPrepends),
        ("app", IvPolicy::App),
    ];
    for (order, policy) in policies {
        bench.shim.order(&format!("iv {order}"));
        let hsm = bench.open().await?;
        ensure(hsm.capabilities().aead() == Some(policy), order)?;
        let text = hsm.encrypt(&key, b"a", b"text").await.map_err(said(order))?;
        let by_token = text.nonce.starts_with(b"shim");
        ensure(by_token == (policy != IvPolicy::App), "the stored vector is the one that was used")?;
        let opened = hsm.decrypt(&key, b"a", &text).await.map_err(said(order))?;
        ensure(opened.as_slice() == b"text", order)?;
        let envelope = envelope::seal(&hsm, &key, b"c", &[7; 32]).await.map_err(said(order))?;
        ensure(envelope.profile() == EnvelopeProfile::AesGcm(policy), "the envelope names its profile")?;
        sealed.push(envelope);
        hsm.shutdown().await;
    }
    let hsm = bench.open().await?;
    for envelope in &sealed {
        envelope::open(&hsm, envelope, b"c").await.map_err(said("open"))?;
    }
    ensure_equal(bench.shim.count("empty-aad"), 0, "calls without associated data")?;
    finish(hsm).await
}

async fn lost_session(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    let rebuilds = bench.rebuilds();
    for (name, code) in [
        ("SESSION_HANDLE_INVALID", 0xB3),
        ("SESSION_CLOSED", 0xB0),
        ("OPERATION_ACTIVE", 0x90),
        ("BUFFER_TOO_SMALL", 0x150),
    ] {
        for function in ["C_SignInit", "C_Sign"] {
            let opened = bench.shim.count("C_OpenSession");
            bench.shim.fail(function, code, 1);
            sign(&hsm, &key).await.map_err(said(format!("{name} from {function}")))?;
            ensure(bench.shim.count("C_OpenSession") > opened, "a fresh session is used")?;
        }
    }
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    finish(hsm).await
}

async fn lost_login(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    let (rebuilds, logins) = (bench.rebuilds(), bench.shim.count("C_Login"));
    bench.shim.fail("C_SignInit", 0x101, 1);
    // ALREADY_LOGGED_IN is as good as OK, which is what SoftHSM will say.
    sign(&hsm, &key).await.map_err(said("sign"))?;
    ensure_equal(bench.shim.count("C_Login"), logins + 1, "logins")?;
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    finish(hsm).await
}

async fn lost_handle(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    let rebuilds = bench.rebuilds();
    for (name, code) in [("KEY_HANDLE_INVALID", 0x60), ("OBJECT_HANDLE_INVALID", 0x82), ("one GENERAL_ERROR", 0x05)] {
        let searches = bench.shim.count("C_FindObjectsInit");
        bench.shim.fail("C_SignInit", code, 1);
        sign(&hsm, &key).await.map_err(said(name))?;
        ensure(bench.shim.count("C_FindObjectsInit") > searches, "the object is looked up again")?;
    }
    ensure_equal(bench.rebuilds(), rebuilds, "rebuilds")?;
    finish(hsm).await
}

async fn vanished_object(bench: &Bench) -> Outcome {
    let hsm = bench.open().await?;
    let key = signing_key(&hsm).await?;
    bench.shim.fail("C_SignInit", 0x82, 1);
    // CKR_OK without a result: what a token says whose storage is not mounted.
    bench.shim.fail("C_FindObjects", 0, 1);
    let Err(error) = sign(&hsm, &key).await else { return Err("it signed".into()) };
    ensure(matches!(error, HsmError::KeyNotFound { .. }), "it is not found")?;
    ensure(error.to_string().contains(&key.id.to_string()), "the error names the key")?;
    sign(&hsm, &key).await.map_err(said("once the storage is back"))?;
    finish(hsm).await
}

async fn finish(hsm: Hsm) -> Outcome {
    hsm.shutdown().await;
    Ok(())
}

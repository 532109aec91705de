use super::*;

async fn both_kinds(hsm: &Hsm) -> [EnvelopeKeys; 2] {
    let aes = EnvelopeKeys::generate(hsm, "kek").await.unwrap();
    let key = hsm.generate(KeySpec::new(KeyAlgorithm::Rsa2048, KeyPurpose::Decrypt, "kek-rsa")).await.unwrap();
    let mac = hsm.generate(KeySpec::new(KeyAlgorithm::Hmac, KeyPurpose::Mac, "kek-mac")).await.unwrap();
    [aes, EnvelopeKeys::RsaOaep { key, mac }]
}

#[tokio::test]
async fn sealed_secret_opens_for_its_context_only() {
    let hsm = Hsm::software();
    for keys in both_kinds(&hsm).await {
        let envelope = seal(&hsm, &keys, b"root key 1", &[7; 32]).await.unwrap();
        let stored: Envelope = serde_json::from_str(&serde_json::to_string(&envelope).unwrap()).unwrap();
        assert_eq!(open(&hsm, &stored, b"root key 1").await.unwrap().as_slice(), [7; 32]);
        let error = open(&hsm, &stored, b"root key 2").await.unwrap_err();
        assert!(matches!(error, HsmError::BadData), "{error}");
    }
}

#[tokio::test]
async fn altered_envelope_is_refused() {
    let hsm = Hsm::software();
    for keys in both_kinds(&hsm).await {
        let envelope = seal(&hsm, &keys, b"c", &[7; 32]).await.unwrap();
        for index in [0, envelope.ciphertext.len() - 1] {
            let mut altered = envelope.clone();
            altered.ciphertext[index] ^= 1;
            assert!(matches!(open(&hsm, &altered, b"c").await, Err(HsmError::BadData)), "byte {index}");
        }
    }
}

#[tokio::test]
async fn planted_rsa_ciphertext_is_refused() {
    let hsm = Hsm::software();
    let [_, keys] = both_kinds(&hsm).await;
    let mut envelope = seal(&hsm, &keys, b"c", &[7; 32]).await.unwrap();
    let EnvelopeKeys::RsaOaep { key, .. } = &keys else { panic!("the second kind is RSA") };
    let mut payload = [9; 32].to_vec();
    payload.extend_from_slice(&check(b"c", &[9; 32]));
    let public = key.public_key.as_deref().unwrap();
    envelope.ciphertext = rsa_encrypt(public, RsaPadding::OaepSha256, &payload).unwrap();
    assert!(matches!(open(&hsm, &envelope, b"c").await, Err(HsmError::BadData)));
}

#[tokio::test]
async fn wrong_bytes_from_the_token_are_refused() {
    let hsm = Hsm::software();
    let key = hsm.generate(KeySpec::new(KeyAlgorithm::Aes256, KeyPurpose::Encrypt, "kek")).await.unwrap();
    let mut payload = [7; 32].to_vec();
    payload.extend_from_slice(&check(b"c", &[7; 32]));
    payload[0] ^= 1;
    let forged = seal_with_aes(&hsm, &key, b"c", &payload).await.unwrap();
    assert!(matches!(open(&hsm, &forged, b"c").await, Err(HsmError::AlteredSecret)));
}

#[tokio::test]
async fn envelope_of_another_token_names_both() {
    let hsm = Hsm::software();
    let key = hsm.generate(KeySpec::new(KeyAlgorithm::Aes256, KeyPurpose::Encrypt, "kek")).await.unwrap();
    let envelope = seal(&hsm, &key, b"c", &[7; 32]).await.unwrap();
    let error = open(&Hsm::software(), &envelope, b"c").await.unwrap_err();
    assert!(matches!(error, HsmError::WrongToken { .. }), "{error}");
}

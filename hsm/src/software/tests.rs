use super::*;
use crate::{HashAlgorithm as H, SaltLength};

fn message() -> SignInput {
    SignInput::Message(b"attack at dawn".to_vec())
}

const HASHES: [H; 8] = [H::Sha1, H::Sha224, H::Sha256, H::Sha384, H::Sha512, H::Sha3_256, H::Sha3_384, H::Sha3_512];

#[test]
fn every_curve_signs_with_every_hash() {
    for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::EcP521] {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let public = key.public_key_der().unwrap();
        for hash in HASHES {
            let scheme = SignScheme::Ecdsa(hash);
            let signature = key.sign(scheme, &message()).unwrap();
            assert!(verify(public, scheme, &message(), &signature).unwrap(), "{algorithm} {hash}");
            let prehashed = SignInput::Digest(hash.digest(b"attack at dawn"));
            assert!(verify(public, scheme, &prehashed, &signature).unwrap(), "{algorithm} {hash} prehashed");
            let other = SignInput::Message(b"attack at dusk".to_vec());
            assert!(!verify(public, scheme, &other, &signature).unwrap(), "{algorithm} {hash} other message");
        }
    }
}

/// The library's own pairing of curve and hash is the independent check of the digest fitting.
#[test]
fn foreign_curve_and_hash_pairs_verify_with_the_library_itself() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA1_ASN1, UnparsedPublicKey,
    };
    let pairs: [(KeyAlgorithm, H, &'static aws_lc_rs::signature::EcdsaVerificationAlgorithm); 3] = [
        (KeyAlgorithm::EcP256, H::Sha384, &ECDSA_P256_SHA384_ASN1),
        (KeyAlgorithm::EcP384, H::Sha256, &ECDSA_P384_SHA256_ASN1),
        (KeyAlgorithm::EcP521, H::Sha1, &ECDSA_P521_SHA1_ASN1),
    ];
    for (algorithm, hash, verification) in pairs {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let signature = key.sign(SignScheme::Ecdsa(hash), &message()).unwrap();
        let public = UnparsedPublicKey::new(verification, key.public_key_der().unwrap());
        public.verify(b"attack at dawn", &signature).unwrap_or_else(|_| panic!("{algorithm} {hash}"));
    }
}

#[test]
fn rsa_signs_where_the_library_does_and_names_what_it_does_not() {
    let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    let public = key.public_key_der().unwrap();
    for hash in [H::Sha256, H::Sha384, H::Sha512] {
        let schemes = [SaltLength::Digest, SaltLength::Auto, SaltLength::Fixed(0), SaltLength::Fixed(17)]
            .map(|salt| SignScheme::RsaPss { hash, salt });
        for scheme in schemes.into_iter().chain([SignScheme::RsaPkcs1(hash)]) {
            let signature = key.sign(scheme, &message()).unwrap();
            let as_signed = match scheme {
                SignScheme::RsaPss { salt: SaltLength::Auto, .. } => scheme,
                SignScheme::RsaPss { .. } => {
                    let auto = SignScheme::RsaPss { hash, salt: SaltLength::Auto };
                    assert!(verify(public, auto, &message(), &signature).unwrap(), "{scheme} as auto");
                    scheme
                }
                _ => scheme,
            };
            assert!(verify(public, as_signed, &message(), &signature).unwrap(), "{scheme}");
        }
    }
    let error = key.sign(SignScheme::RsaPkcs1(H::Sha224), &message()).unwrap_err();
    assert!(matches!(&error, HsmError::NotSupported { mechanism } if mechanism.contains("SHA-224")), "{error}");
    let long = SignScheme::RsaPss { hash: H::Sha256, salt: SaltLength::Fixed(223) };
    assert!(matches!(key.sign(long, &message()), Err(HsmError::InvalidInput { .. })));
}

#[test]
fn keys_survive_serialisation() {
    for algorithm in
        KeyAlgorithm::ALL.into_iter().filter(|a| !matches!(a, KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096))
    {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let again = SoftwareKey::from_bytes(algorithm, &key.to_bytes().unwrap()).unwrap();
        assert_eq!(again.public_key_der(), key.public_key_der(), "{algorithm}");
        assert_eq!(again.to_bytes().unwrap(), key.to_bytes().unwrap(), "{algorithm}");
    }
}

#[test]
fn key_of_another_algorithm_is_refused() {
    let p256 = SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap().to_bytes().unwrap();
    for algorithm in KeyAlgorithm::ALL.into_iter().filter(|a| *a != KeyAlgorithm::EcP256) {
        assert!(SoftwareKey::from_bytes(algorithm, &p256).unwrap_err().is_caller_fault(), "{algorithm}");
    }
}

#[test]
fn rsa_ciphertexts_open_with_their_own_padding_only() {
    let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    let public = key.public_key_der().unwrap();
    for padding in [RsaPadding::OaepSha1, RsaPadding::OaepSha256, RsaPadding::Pkcs1v15] {
        let sealed = rsa_encrypt(public, padding, b"secret").unwrap();
        assert_eq!(key.rsa_decrypt(padding, &sealed).unwrap().as_slice(), b"secret", "{padding}");
        let mut damaged = sealed.clone();
        damaged[10] ^= 1;
        let opened = key.rsa_decrypt(padding, &damaged);
        assert!(opened.is_err() || opened.unwrap().as_slice() != b"secret", "{padding}");
    }
    let sealed = rsa_encrypt(public, RsaPadding::OaepSha1, b"secret").unwrap();
    assert!(matches!(key.rsa_decrypt(RsaPadding::OaepSha256, &sealed), Err(HsmError::BadData)));
    assert!(rsa_encrypt(public, RsaPadding::OaepSha256, &[0; 191]).unwrap_err().is_caller_fault());
}

#[test]
fn ed25519_refuses_digests_and_wrong_length_digests_are_refused() {
    let key = SoftwareKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let digest = SignInput::Digest(vec![0; 32]);
    assert!(key.sign(SignScheme::Ed25519, &digest).unwrap_err().is_caller_fault());
    let key = SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap();
    let short = SignInput::Digest(vec![0; 31]);
    assert!(key.sign(SignScheme::Ecdsa(H::Sha256), &short).unwrap_err().is_caller_fault());
}

#[test]
fn hmac_matches_rfc_4231_case_2() {
    let mut padded = [0; 32];
    padded[..4].copy_from_slice(b"Jefe");
    let key = SoftwareKey::from_bytes(KeyAlgorithm::Hmac, &padded).unwrap();
    let mac = key.mac(MacAlgorithm::HmacSha256, b"what do ya want for nothing?").unwrap();
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(data_encoding::HEXLOWER.encode(&mac), expected);
}

#[test]
fn ml_dsa_keys_sign_verify_and_survive_serialisation() {
    for algorithm in [KeyAlgorithm::MlDsa44, KeyAlgorithm::MlDsa65, KeyAlgorithm::MlDsa87] {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let again = SoftwareKey::from_bytes(algorithm, &key.to_bytes().unwrap()).unwrap();
        assert_eq!(again.public_key_der(), key.public_key_der(), "{algorithm}");
        let signature = again.sign(SignScheme::MlDsa, &message()).unwrap();
        let public = key.public_key_der().unwrap();
        assert!(verify(public, SignScheme::MlDsa, &message(), &signature).unwrap(), "{algorithm}");
        let other = SignInput::Message(b"another".to_vec());
        assert!(!verify(public, SignScheme::MlDsa, &other, &signature).unwrap(), "{algorithm}");
        assert!(key.sign(SignScheme::Ed25519, &message()).unwrap_err().is_caller_fault());
    }
    let small = SoftwareKey::generate(KeyAlgorithm::MlDsa44).unwrap().to_bytes().unwrap();
    assert!(SoftwareKey::from_bytes(KeyAlgorithm::MlDsa65, &small).unwrap_err().is_caller_fault());
}

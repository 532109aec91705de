use super::*;
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};

fn key(algorithm: KeyAlgorithm) -> SshPublicKey {
    let key = SoftwareKey::generate(algorithm).unwrap();
    SshPublicKey::from_spki(key.public_key_der().unwrap()).unwrap()
}

fn refused(blob: &[u8]) -> PublicKeyError {
    SshPublicKey::from_blob(blob).unwrap_err()
}

fn blob(parts: &[&[u8]]) -> Vec<u8> {
    let mut writer = BlobWriter::new();
    for part in parts {
        writer.string(part);
    }
    writer.into_bytes()
}

#[test]
fn keys_survive_both_encodings() {
    for algorithm in
        [KeyAlgorithm::EcP256, KeyAlgorithm::EcP384, KeyAlgorithm::EcP521, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048]
    {
        let private = SoftwareKey::generate(algorithm).unwrap();
        let spki = private.public_key_der().unwrap();
        let key = SshPublicKey::from_spki(spki).unwrap();
        assert_eq!(key.spki().unwrap(), spki, "{algorithm}");
        assert_eq!(SshPublicKey::parse(&key.to_line()).unwrap(), key);
        assert_eq!(SshPublicKey::parse(&format!("  {} a comment\n", key.to_line())).unwrap(), key);
        assert_eq!(SshPublicKey::parse(key.to_line().split(' ').nth(1).unwrap()).unwrap(), key);
    }
}

#[test]
fn a_fingerprint_is_what_ssh_keygen_shows() {
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOl93O7w6oeD6DzbvyxfYL8vrOInLwg2IpOAsuzpQzRF me";
    let key = SshPublicKey::parse(line).unwrap();
    assert_eq!(key.hex_hash(), "a4bf82688e07d202da0118c721c6b62f0eedd7c167c6d4051f6ee397f41c38d9");
    assert_eq!(key.fingerprint(), "SHA256:pL+CaI4H0gLaARjHIca2Lw7t18FnxtQFH27jl/QcONk");
}

#[test]
fn a_line_must_say_what_the_key_is() {
    let (ed, ec) = (key(KeyAlgorithm::Ed25519), key(KeyAlgorithm::EcP256));
    let encoded = |key: &SshPublicKey| STANDARD.encode(key.blob());
    let wrong = format!("ssh-ed25519 {}", encoded(&ec));
    assert!(matches!(SshPublicKey::parse(&wrong), Err(PublicKeyError::OtherType { .. })));
    let wrong = format!("ecdsa-sha2-nistp384 {}", encoded(&ec));
    assert!(matches!(SshPublicKey::parse(&wrong), Err(PublicKeyError::OtherType { .. })));
    let two = format!("{}\n{}", ed.to_line(), ec.to_line());
    assert_eq!(SshPublicKey::parse(&two).unwrap_err(), PublicKeyError::Lines);
    for junk in
        ["", " ", "zork", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!!!!!!!", "command=\"x\" ssh-ed25519 AAAA"]
    {
        assert!(SshPublicKey::parse(junk).is_err(), "{junk:?}");
    }
}

#[test]
fn bytes_behind_a_key_and_other_forms_of_it_are_refused() {
    let ed = key(KeyAlgorithm::Ed25519);
    let with_tail = [ed.blob(), &[0]].concat();
    assert_eq!(refused(&with_tail), PublicKeyError::Trailing);
    for end in 0..ed.blob().len() {
        assert!(SshPublicKey::from_blob(&ed.blob()[..end]).is_err(), "{end}");
    }
    // A modulus with a zero more than it needs.
    let rsa = key(KeyAlgorithm::Rsa2048);
    let mut reader = BlobReader::new(rsa.blob());
    let (name, exponent, modulus) = (reader.string().unwrap(), reader.string().unwrap(), reader.string().unwrap());
    let longer = [&[0], modulus].concat();
    assert!(SshPublicKey::from_blob(&blob(&[name, exponent, &longer])).is_err());
}

#[test]
fn certificates_and_refused_types_are_no_keys() {
    let ed = key(KeyAlgorithm::Ed25519);
    let certificate = [&blob(&[b"ssh-ed25519-cert-v01@openssh.com", &[7; 32]]), ed.fields()].concat();
    assert_eq!(refused(&certificate), PublicKeyError::Certificate);
    let dsa = blob(&[b"ssh-dss", &[0x7f; 128], &[0x7f; 20], &[0x7f; 128], &[0x7f; 128]]);
    assert!(matches!(refused(&dsa), PublicKeyError::Algorithm(_)));
    assert!(matches!(refused(&blob(&[b"zork", b"x"])), PublicKeyError::Algorithm(name) if name == "zork"));
}

#[test]
fn points_that_are_on_no_curve_are_refused() {
    let ec = key(KeyAlgorithm::EcP256);
    let mut bytes = ec.blob().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&bytes), PublicKeyError::Point);
    let compressed = [&[2], &ec.blob()[ec.blob().len() - 64..ec.blob().len() - 32]].concat();
    assert!(SshPublicKey::from_blob(&blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &compressed])).is_err());
    let infinity = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &[0]]);
    assert!(SshPublicKey::from_blob(&infinity).is_err());
    let other_curve = blob(&[b"ecdsa-sha2-nistp384", b"nistp256", &ec.blob()[ec.blob().len() - 65..]]);
    assert!(SshPublicKey::from_blob(&other_curve).is_err());
    // y = 2 is on no point of the curve; y = 1 is the neutral element, whose signatures all verify.
    let edwards = |low: u8| {
        let mut point = [0; 32];
        point[0] = low;
        refused(&blob(&[b"ssh-ed25519", &point]))
    };
    assert_eq!(edwards(2), PublicKeyError::Point);
    assert_eq!(edwards(1), PublicKeyError::Point);
}

#[test]
fn weak_rsa_keys_are_refused() {
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        let mut writer = BlobWriter::new();
        writer.string("ssh-rsa").mpint(exponent).mpint(modulus);
        SshPublicKey::from_blob(&writer.into_bytes())
    };
    let sound = |bytes: usize| {
        let mut modulus = vec![0xa5; bytes];
        let last = (1..=255_u8).step_by(2).find(|last| {
            modulus[bytes - 1] = *last;
            SMALL_PRIMES.iter().all(|prime| remainder(&modulus, *prime) != 0)
        });
        modulus[bytes - 1] = last.unwrap();
        modulus
    };
    assert!(rsa(&sound(256), &[1, 0, 1]).is_ok());
    assert_eq!(rsa(&sound(128), &[1, 0, 1]), Err(PublicKeyError::SmallModulus(1024)));
    assert_eq!(rsa(&sound(2049), &[1, 0, 1]), Err(PublicKeyError::LargeModulus(16_392)));
    assert_eq!(rsa(&[0xa4; 256], &[1, 0, 1]), Err(PublicKeyError::WeakModulus));
    for exponent in [&[1][..], &[4], &[0x7f; 9]] {
        assert_eq!(rsa(&sound(256), exponent), Err(PublicKeyError::Exponent), "{exponent:?}");
    }
}

#[test]
fn keys_in_security_keys_are_read() {
    let ed = key(KeyAlgorithm::Ed25519);
    let point = &ed.blob()[ed.blob().len() - 32..];
    let sk = blob(&[b"sk-ssh-ed25519@openssh.com", point, b"ssh:"]);
    let read = SshPublicKey::from_blob(&sk).unwrap();
    assert!(read.kind().is_security_key() && read.spki().is_none());
    assert!(SshPublicKey::from_blob(&blob(&[b"sk-ssh-ed25519@openssh.com", point, b"a\nb"])).is_err());
    let ec = key(KeyAlgorithm::EcP256);
    let point = &ec.blob()[ec.blob().len() - 65..];
    let sk = blob(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point, b"ssh:"]);
    assert_eq!(SshPublicKey::from_blob(&sk).unwrap().kind(), KeyKind::SkEcdsa);
}

//! What the SSH engine reads of strangers: public keys, options, and (for tests) revocation lists.

use crate::{lines, text};
use chancery_ssh_ca::{
    krl::{Krl, Subject},
    options::{self, Options, Version},
    public_key::SshPublicKey,
};

/// A line of an `authorized_keys` file, or a key in OpenSSH's binary format: refused, or a key with one form.
pub fn ssh_public_key(data: &[u8]) {
    let parsed = [text(data).and_then(|line| SshPublicKey::parse(line).ok()), SshPublicKey::from_blob(data).ok()];
    for key in parsed.into_iter().flatten() {
        let again = SshPublicKey::parse(&key.to_line()).expect("what was read is written as a key");
        assert_eq!(again, key);
        assert_eq!(SshPublicKey::from_blob(key.blob()).as_ref(), Ok(&key));
        if let Some(spki) = key.spki() {
            assert_eq!(SshPublicKey::from_spki(&spki).as_ref(), Ok(&key));
        }
        assert!(key.fingerprint().starts_with("SHA256:") && key.hex_hash().len() == 64);
        assert!(key.kind().family() != "rsa" || key.kind().bits() >= SshPublicKey::SMALLEST_RSA);
    }
}

/// A key revocation list: refused, or one that says the same when it is written again.
pub fn ssh_krl(data: &[u8]) {
    let Ok(krl) = Krl::decode(data) else { return };
    let again = Krl::decode(&krl.encode()).expect("what we wrote is a list");
    for (ca, revoked) in &krl.certificates {
        for (first, last) in revoked.serials.iter() {
            assert!(first > 0 && first <= last);
            for serial in [first - 1, first, last, last.wrapping_add(1)] {
                let subject = Subject { key: b"k", certificate: Some((ca, serial, "nobody's")) };
                assert_eq!(again.revokes(&subject), krl.without_old_fingerprints().revokes(&subject));
            }
        }
        for id in &revoked.key_ids {
            assert!(again.revokes(&Subject { key: b"k", certificate: Some((ca, 0, id)) }));
        }
    }
    assert_eq!((&again.keys, &again.fingerprints), (&krl.keys, &krl.fingerprints));
}

/// A version, then options as `name=value`, a line each: what passes has no control character, and only known names.
pub fn ssh_options(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (version, rest) = lines(text);
    let Ok(version) = Version::parse(version) else { return };
    let options: Options = rest
        .split('\n')
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let is_plain = |options: &Options| {
        options.iter().all(|(name, value)| {
            name.bytes().all(|byte| byte.is_ascii_graphic()) && !value.chars().any(|c| c.is_control() && c != '\t')
        })
    };
    if options::check_critical(&options, version).is_ok() {
        assert!(is_plain(&options));
        let known = ["force-command", "source-address", "verify-required"];
        assert!(options.keys().all(|name| known.contains(&name.as_str())));
    }
    if options::check_extensions(&options).is_ok() {
        assert!(is_plain(&options));
    }
}

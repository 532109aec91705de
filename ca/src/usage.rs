//! Key usage and extended key usage (RFC 5280 §4.2.1.3, §4.2.1.12): names on the wire, bits and OIDs in certificates.

use crate::{oid, public_key::PublicKeyKind, role::Role};
use const_oid::ObjectIdentifier;
use der::flagset::FlagSet;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

/// The bits that `key_usage` names. Unknown names are ignored, as roles accept them.
#[must_use]
pub fn key_usage(names: &[String], kind: PublicKeyKind) -> KeyUsage {
    let mut bits = FlagSet::<KeyUsages>::default();
    for name in names {
        let bare = name.strip_prefix("KeyUsage").unwrap_or(name);
        let known = KEY_USAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(bare));
        if let Some((_, bit)) = known {
            bits |= *bit;
        }
    }
    KeyUsage(bits & fitting(kind))
}

/// The bits of a CA: it signs certificates and CRLs, and may do besides what `names` says and its key can.
#[must_use]
pub fn authority_key_usage(names: &[String], kind: PublicKeyKind) -> KeyUsage {
    KeyUsage(key_usage(names, kind).0 | KeyUsages::KeyCertSign | KeyUsages::CRLSign)
}

/// The bits a key can serve: RFC 4055 §1 for RSA, RFC 8813 §3 for curves, RFC 8410 §5 for Ed25519, RFC 9881 §5 for
/// ML-DSA. Roles name all bits for all keys by default, so what does not fit is left out rather than refused.
fn fitting(kind: PublicKeyKind) -> FlagSet<KeyUsages> {
    let common = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
    match kind {
        PublicKeyKind::Rsa { .. } => common | KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment,
        PublicKeyKind::Ec { .. } => {
            common | KeyUsages::KeyAgreement | KeyUsages::EncipherOnly | KeyUsages::DecipherOnly
        }
        PublicKeyKind::Ed25519 | PublicKeyKind::MlDsa { .. } => common,
    }
}

/// The purposes a role grants: flags, then `ext_key_usage`, then `ext_key_usage_oids`.
#[must_use]
pub fn extended_key_usage(role: &Role) -> Vec<ObjectIdentifier> {
    let flags = [
        (role.server_flag, oid::SERVER_AUTH),
        (role.client_flag, oid::CLIENT_AUTH),
        (role.code_signing_flag, oid::CODE_SIGNING),
        (role.email_protection_flag, oid::EMAIL_PROTECTION),
    ];
    let mut purposes: Vec<ObjectIdentifier> = flags.into_iter().filter(|(set, _)| *set).map(|(_, oid)| oid).collect();
    let named = role.ext_key_usage.iter().filter_map(|name| {
        let bare = name.strip_prefix("ExtKeyUsage").unwrap_or(name);
        EXTENDED.iter().find(|(known, _)| known.eq_ignore_ascii_case(bare)).map(|(_, oid)| *oid)
    });
    let stated = role.ext_key_usage_oids.iter().filter_map(|text| oid::parse_oid(text));
    for purpose in named.chain(stated) {
        if !purposes.contains(&purpose) {
            purposes.push(purpose);
        }
    }
    purposes
}

const KEY_USAGES: [(&str, KeyUsages); 10] = [
    ("DigitalSignature", KeyUsages::DigitalSignature),
    ("ContentCommitment", KeyUsages::NonRepudiation),
    ("NonRepudiation", KeyUsages::NonRepudiation),
    ("KeyEncipherment", KeyUsages::KeyEncipherment),
    ("DataEncipherment", KeyUsages::DataEncipherment),
    ("KeyAgreement", KeyUsages::KeyAgreement),
    ("CertSign", KeyUsages::KeyCertSign),
    ("CRLSign", KeyUsages::CRLSign),
    ("EncipherOnly", KeyUsages::EncipherOnly),
    ("DecipherOnly", KeyUsages::DecipherOnly),
];

const EXTENDED: [(&str, ObjectIdentifier); 7] = [
    ("Any", oid::ANY_EXTENDED_KEY_USAGE),
    ("ServerAuth", oid::SERVER_AUTH),
    ("ClientAuth", oid::CLIENT_AUTH),
    ("CodeSigning", oid::CODE_SIGNING),
    ("EmailProtection", oid::EMAIL_PROTECTION),
    ("TimeStamping", oid::TIME_STAMPING),
    ("OCSPSigning", oid::OCSP_SIGNING),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bits_that_fit_the_key_are_set() {
        let names = Role::default().key_usage;
        let rsa = key_usage(&names, PublicKeyKind::Rsa { bits: 2048 });
        assert!(rsa.digital_signature() && rsa.key_encipherment() && !rsa.key_agreement());
        let ec = key_usage(&names, PublicKeyKind::Ec { bits: 256 });
        assert!(ec.digital_signature() && !ec.key_encipherment() && ec.key_agreement());
        let ed25519 = key_usage(&names, PublicKeyKind::Ed25519);
        assert!(ed25519.digital_signature() && !ed25519.key_encipherment() && !ed25519.key_agreement());
    }

    #[test]
    fn roles_cannot_grant_certificate_signing() {
        let usage = key_usage(&["CertSign".into(), "CRLSign".into()], PublicKeyKind::Rsa { bits: 2048 });
        assert!(!usage.key_cert_sign() && !usage.crl_sign());
    }

    #[test]
    fn purposes_come_from_flags_names_and_oids_without_repetition() {
        let role = Role {
            ext_key_usage: vec!["serverauth".into(), "ExtKeyUsageTimeStamping".into(), "zork".into()],
            ext_key_usage_oids: vec!["1.2.3".into()],
            ..Role::default()
        };
        let purposes: Vec<String> = extended_key_usage(&role).iter().map(ToString::to_string).collect();
        assert_eq!(purposes, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.8", "1.2.3"]);
    }
}

//! Each rule broken once; nothing broken reaches a signer.

mod mutations;

use super::*;
use crate::{
    approve::{Applicant, Asked},
    profile::{Signatory, encode},
    public_key::PublicKey,
    role::Role,
    signature::{SignatureAlgorithm, SignaturePreference},
    urls::Urls,
    validity::Validity,
};
use chancery_hsm::{KeyAlgorithm, software::SoftwareKey};
use jiff::Timestamp;

fn key() -> PublicKey {
    PublicKey::parse(SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap().public_key_der().unwrap()).unwrap()
}

fn approved(role: &Role, common_name: &str) -> Approved {
    let asked = Asked { common_name: common_name.into(), ..Asked::default() };
    let validity = Validity {
        not_before: Timestamp::from_second(1_800_000_000).unwrap(),
        not_after: Timestamp::from_second(1_800_003_599).unwrap(),
    };
    role.approve(Applicant::Generated(&key()), &asked, "", validity).unwrap().0
}

fn role() -> Role {
    Role { allow_any_name: true, enforce_hostnames: false, ..Role::default() }
}

fn algorithm() -> SignatureAlgorithm {
    SignatureAlgorithm::choose(KeyAlgorithm::EcP256, SignaturePreference::default()).unwrap()
}

/// Lints a draft as a self-signed one after `spoil` had it.
fn outcome(approved: Approved, spoil: impl FnOnce(&mut Draft)) -> Result<Linted, LintFailure> {
    let algorithm = algorithm();
    let signatory = Signatory { issuer: None, algorithm: &algorithm.identifier, urls: &Urls::default() };
    let mut draft = encode(approved, SerialNumber::fresh(Timestamp::now()).unwrap(), signatory).unwrap();
    spoil(&mut draft);
    lint(
        draft,
        Surroundings {
            issuer: None,
            algorithm: &algorithm.identifier,
            may_outlive_issuer: false,
            urls: &Urls::default(),
        },
    )
}

fn flip(tbs: &mut [u8], find: &[u8], replace: &[u8]) {
    let at = tbs.windows(find.len()).position(|window| window == find).expect("the bytes are there");
    tbs[at..at + replace.len()].copy_from_slice(replace);
}

#[test]
fn what_is_linted_is_what_is_signed() {
    let mut bytes = Vec::new();
    let linted = outcome(approved(&role(), "a.example.com"), |draft| bytes.clone_from(&draft.tbs)).unwrap();
    assert_eq!(linted.tbs(), bytes);
}

#[test]
fn every_spoilt_draft_is_stopped() {
    type Spoil = fn(&mut Draft);
    let cases: [(&str, Spoil); 9] = [
        ("parses", |draft| draft.tbs.truncate(20)),
        ("parses", |draft| draft.tbs.push(0)),
        ("version", |draft| flip(&mut draft.tbs, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1])),
        ("serial number", |draft| draft.serial = SerialNumber::fresh(Timestamp::now()).unwrap()),
        ("signature algorithm", |draft| {
            flip(&mut draft.tbs, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]);
        }),
        ("validity", |draft| draft.approved.validity.not_after = Timestamp::from_second(1_900_000_000).unwrap()),
        ("says what was approved", |draft| draft.approved.public_key = key()),
        ("subject alternative names", |draft| draft.approved.names.dns.clear()),
        // keyUsage: digitalSignature + keyAgreement becomes keyCertSign
        ("key usage", |draft| flip(&mut draft.tbs, &[0x03, 0x02, 0x03, 0x88], &[0x03, 0x02, 0x02, 0x04])),
    ];
    for (lint, spoil) in cases {
        let failure = outcome(approved(&role(), "a.example.com"), spoil).unwrap_err();
        assert_eq!(failure.lint, lint, "{failure}");
    }
}

#[test]
fn subjects_keep_the_bounds_of_the_standard() {
    let long = ["x".repeat(40), "y".repeat(40)].join(".");
    assert_eq!(outcome(approved(&role(), &long), |_| {}).unwrap_err().lint, "subject");
    let country = Role { country: vec!["USA".into()], ..role() };
    assert_eq!(outcome(approved(&country, "a"), |_| {}).unwrap_err().lint, "subject");
}

#[test]
fn purposes_need_fitting_usages() {
    let role = Role { key_usage: vec!["ContentCommitment".into()], ..role() };
    assert_eq!(outcome(approved(&role, "a"), |_| {}).unwrap_err().lint, "key usage");
    let signer = Role {
        key_usage: vec!["KeyAgreement".into()],
        server_flag: false,
        client_flag: false,
        code_signing_flag: true,
        ..role
    };
    assert_eq!(outcome(approved(&signer, "a"), |_| {}).unwrap_err().lint, "key usage");
}

//! Drafts spoilt at random, the same ones each time: all are stopped, and the key that would sign them is not used.

use super::*;
use crate::{constraints::NameConstraintSet, role::PolicyIdentifier, san::OtherName};
use chancery_hsm::{SignInput, SignScheme};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Sequence,
    asn1::{Any, BitString, OctetString},
};
use std::cell::Cell;
use x509_cert::ext::Extension;

/// A key that counts how often it signs, and that can only sign what was linted.
struct Token {
    key: SoftwareKey,
    signatures: Cell<usize>,
}

impl Token {
    fn new() -> Self {
        Self { key: SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap(), signatures: Cell::new(0) }
    }

    fn sign(&self, linted: &Linted) {
        self.signatures.set(self.signatures.get() + 1);
        let input = SignInput::Message(linted.tbs().to_vec());
        self.key.sign(SignScheme::Ecdsa(chancery_hsm::HashAlgorithm::Sha256), &input).unwrap();
    }
}

/// Numbers that only look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }
}

fn urls() -> Urls {
    Urls {
        issuing_certificates: vec!["http://pki.example.com/ca.der".into()],
        crl_distribution_points: vec!["http://pki.example.com/1.crl".into(), "http://pki.example.com/2.crl".into()],
        delta_crl_distribution_points: vec!["http://pki.example.com/delta.crl".into()],
        ocsp_servers: vec!["http://ocsp.example.com/".into()],
    }
}

/// A leaf with every extension and every kind of name.
fn leaf() -> Approved {
    let role = Role {
        must_staple: true,
        organization: vec!["Org".into()],
        ou: vec!["A".into(), "B".into()],
        country: vec!["DE".into()],
        allowed_uri_sans: vec!["*".into()],
        allowed_other_sans: vec!["*".into()],
        basic_constraints_valid_for_non_ca: true,
        policy_identifiers: vec!["1.2.3.4".into()],
        ..role()
    };
    let mut approved = approved(&role, "a.example.com");
    approved.names.add_email("a@example.com".into());
    approved.names.ips.push("10.0.0.1".parse().unwrap());
    approved.names.uris.push("spiffe://trust/x".into());
    approved.names.others.push(OtherName::parse("1.3.6.1.4.1.311.20.2.3;UTF8:user@realm").unwrap());
    let qualified = r#"{"oid":"1.2.3.5","cps":"http://cps.example.com","notice":"Notice"}"#;
    approved.policies.push(PolicyIdentifier::parse(qualified).unwrap());
    approved
}

fn authority() -> Approved {
    let purpose = Purpose::Authority {
        path_length: Some(1),
        constraints: NameConstraintSet::permitting_dns(&["example.com".into()]),
        key_usage: crate::usage::authority_key_usage(&[], key().kind()),
        extended: vec![crate::oid::SERVER_AUTH],
        subject_key_id: None,
    };
    let mut approved = Approved { purpose, ..leaf() };
    approved.names = crate::san::AlternativeNames::default();
    approved.common_name_in_san = false;
    approved
}

/// Lints a self-signed draft after `spoil` had its bytes, and signs it if that is allowed.
fn attempt(token: &Token, approved: Approved, spoil: impl FnOnce(&mut Vec<u8>)) -> Result<(), LintFailure> {
    let (algorithm, urls) = (algorithm(), urls());
    let signatory = Signatory { issuer: None, algorithm: &algorithm.identifier, urls: &urls };
    let mut draft = encode(approved, SerialNumber::fresh(Timestamp::now()).unwrap(), signatory).unwrap();
    spoil(&mut draft.tbs);
    let around =
        Surroundings { issuer: None, algorithm: &algorithm.identifier, may_outlive_issuer: false, urls: &urls };
    let linted = lint(draft, around)?;
    token.sign(&linted);
    Ok(())
}

#[test]
fn sound_drafts_are_signed() {
    let token = Token::new();
    attempt(&token, leaf(), |_| {}).unwrap();
    attempt(&token, authority(), |_| {}).unwrap();
    assert_eq!(token.signatures.get(), 2);
}

/// One bit, one byte more, one byte less, the end cut off: nothing in a draft is without a meaning.
#[test]
fn no_byte_of_a_draft_can_change() {
    let (token, mut dice) = (Token::new(), Dice(0x5eed_0001));
    for round in 0..3000 {
        let approved = if round % 2 == 0 { leaf() } else { authority() };
        let mut shown = String::new();
        let outcome = attempt(&token, approved, |tbs| {
            let before = tbs.clone();
            let at = dice.roll(tbs.len());
            while *tbs == before {
                match dice.roll(8) {
                    0 => tbs.insert(at, u8::try_from(dice.roll(256)).unwrap()),
                    1 => drop(tbs.remove(at)),
                    2 => tbs.truncate(at),
                    _ => tbs[at] ^= 1 << dice.roll(8),
                }
            }
            let around =
                |bytes: &[u8]| bytes[at.saturating_sub(24).min(bytes.len())..(at + 24).min(bytes.len())].to_vec();
            shown = format!("byte {at}: {:02x?} became {:02x?}", around(&before), around(tbs));
        });
        assert!(outcome.is_err(), "round {round} was signed: {shown}");
    }
    assert_eq!(token.signatures.get(), 0);
}

/// The TBSCertificate as its parts, none of them looked at.
#[derive(Sequence)]
struct Tbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    serial: Any,
    signature: Any,
    issuer: Any,
    validity: Any,
    subject: Any,
    key: Any,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_id: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_id: Option<BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

impl Tbs {
    fn list(&mut self) -> &mut Vec<Extension> {
        self.extensions.get_or_insert_default()
    }

    /// Gives the extension another value; adds it where this draft has it not.
    fn state(&mut self, oid: &str, critical: bool, value: &[u8]) {
        let made = extension(oid, critical, value);
        match self.list().iter_mut().find(|extension| extension.extn_id == made.extn_id) {
            Some(found) if found.extn_value == made.extn_value => found.critical = !found.critical,
            Some(found) => *found = made,
            None => self.list().push(made),
        }
    }
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Extension {
    let extn_id = ObjectIdentifier::new_unwrap(oid);
    Extension { extn_id, critical, extn_value: OctetString::new(value).unwrap() }
}

fn any(der: &[u8]) -> Any {
    Any::from_der(der).unwrap()
}

fn name(tag: u8, oid: &str, text: &[u8]) -> Any {
    let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let oid = ObjectIdentifier::new_unwrap(oid).to_der().unwrap();
    any(&wrap(0x30, &wrap(0x31, &wrap(0x30, &[oid, wrap(tag, text)].concat()))))
}

/// The same for every single bit, so that no run of the test depends on where the dice fall.
#[test]
fn no_bit_of_a_draft_can_change() {
    let token = Token::new();
    for approved in [leaf as fn() -> Approved, authority] {
        let (mut bit, mut length) = (0, usize::MAX);
        while bit / 8 < length {
            let mut shown = String::new();
            let outcome = attempt(&token, approved(), |tbs| {
                length = tbs.len();
                tbs[bit / 8] ^= 1 << (bit % 8);
                shown = format!("{:02x?}", &tbs[(bit / 8).saturating_sub(24)..(bit / 8 + 24).min(length)]);
            });
            assert!(outcome.is_err(), "bit {bit}, in the middle of {shown}");
            bit += 1;
        }
        assert!(length > 400);
    }
    assert_eq!(token.signatures.get(), 0);
}

type Spoil = (&'static str, fn(&mut Tbs, &mut Dice));

/// Valid DER of certificates nobody approved.
const FIELDS: [Spoil; 21] = [
    ("version 1", |tbs, _| tbs.version = None),
    ("version 2", |tbs, _| tbs.version = Some(1)),
    ("version 4", |tbs, _| tbs.version = Some(3)),
    ("serial 0", |tbs, _| tbs.serial = any(&[2, 1, 0])),
    ("short serial", |tbs, dice| tbs.serial = any(&[2, 1, u8::try_from(dice.roll(127)).unwrap()])),
    ("negative serial", |tbs, _| tbs.serial = any(&[&[2, 16, 0x80][..], &[7; 15]].concat())),
    ("long serial", |tbs, _| tbs.serial = any(&[&[2, 21][..], &[7; 21]].concat())),
    ("another serial", |tbs, _| {
        tbs.serial = any(&[&[2, 16][..], SerialNumber::fresh(Timestamp::now()).unwrap().as_bytes()].concat()[..18]);
    }),
    ("SHA-1", |tbs, _| tbs.signature = any(&[0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1])),
    ("parameters", |tbs, _| tbs.signature = any(&[0x30, 12, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2, 5, 0])),
    ("no issuer", |tbs, _| tbs.issuer = any(&[0x30, 0])),
    ("another issuer", |tbs, _| tbs.issuer = name(0x13, "2.5.4.3", b"Another")),
    ("GeneralizedTime before 2050", |tbs, _| {
        let time = |text: &[u8]| [&[0x18, 15], text].concat();
        let period = [time(b"20270115080000Z"), time(b"20270115085959Z")].concat();
        tbs.validity = any(&[&[0x30, 34][..], &period].concat());
    }),
    ("ends before it begins", |tbs, _| {
        let content = tbs.validity.value().to_vec();
        let (first, second) = content.split_at(content.len() / 2);
        tbs.validity = any(&[&[0x30, u8::try_from(content.len()).unwrap()][..], second, first].concat());
    }),
    ("no subject", |tbs, _| tbs.subject = any(&[0x30, 0])),
    ("TeletexString", |tbs, _| tbs.subject = name(0x14, "2.5.4.3", b"a.example.com")),
    ("another name", |tbs, _| tbs.subject = name(0x0c, "2.5.4.3", b"b.example.com")),
    ("another key", |tbs, _| tbs.key = any(key().der())),
    ("issuerUniqueID", |tbs, _| tbs.issuer_id = Some(BitString::from_bytes(&[1]).unwrap())),
    ("subjectUniqueID", |tbs, _| tbs.subject_id = Some(BitString::from_bytes(&[1]).unwrap())),
    ("no extensions", |tbs, _| tbs.extensions = None),
];

const EXTENSIONS: [Spoil; 30] = [
    ("one is missing", |tbs, dice| {
        let at = dice.roll(tbs.list().len());
        tbs.list().remove(at);
    }),
    ("one appears twice", |tbs, dice| {
        let at = dice.roll(tbs.list().len());
        let again = tbs.list()[at].clone();
        tbs.list().push(again);
    }),
    ("criticality", |tbs, dice| {
        let at = dice.roll(tbs.list().len());
        tbs.list()[at].critical ^= true;
    }),
    ("empty value", |tbs, dice| {
        let at = dice.roll(tbs.list().len());
        tbs.list()[at].extn_value = OctetString::new([]).unwrap();
    }),
    ("bytes behind the value", |tbs, dice| {
        let at = dice.roll(tbs.list().len());
        let longer = [tbs.list()[at].extn_value.as_bytes(), &[5, 0]].concat();
        tbs.list()[at].extn_value = OctetString::new(longer).unwrap();
    }),
    ("value of another", |tbs, dice| {
        let count = tbs.list().len();
        let (at, other) = (dice.roll(count), dice.roll(count - 1));
        let other = if other >= at { other + 1 } else { other };
        tbs.list()[at].extn_value = tbs.list()[other].extn_value.clone();
    }),
    ("unknown, critical", |tbs, _| tbs.list().push(extension("1.2.3.4.5", true, &[5, 0]))),
    ("unknown", |tbs, _| tbs.list().push(extension("1.2.3.4.5", false, &[5, 0]))),
    ("template of AD CS", |tbs, _| tbs.list().push(extension("1.3.6.1.4.1.311.21.10", false, &[0x30, 0]))),
    ("poison", |tbs, _| tbs.list().push(extension("1.3.6.1.4.1.11129.2.4.3", true, &[5, 0]))),
    ("no revocation check", |tbs, _| tbs.list().push(extension("1.3.6.1.5.5.7.48.1.5", false, &[5, 0]))),
    ("policy mappings", |tbs, _| {
        tbs.list().push(extension("2.5.29.33", true, &[0x30, 10, 0x30, 8, 6, 2, 0x2a, 3, 6, 2, 0x2a, 4]));
    }),
    ("policy constraints", |tbs, _| tbs.list().push(extension("2.5.29.36", true, &[0x30, 3, 0x80, 1, 0]))),
    ("inhibitAnyPolicy", |tbs, _| tbs.list().push(extension("2.5.29.54", true, &[2, 1, 0]))),
    ("issuer's names", |tbs, _| tbs.list().push(extension("2.5.29.18", false, &[0x30, 3, 0x82, 1, b'a']))),
    ("CA or no longer", |tbs, _| tbs.state("2.5.29.19", true, &[0x30, 3, 1, 1, 0xff])),
    ("path length of a leaf", |tbs, _| tbs.state("2.5.29.19", true, &[0x30, 3, 2, 1, 0])),
    ("deeper path", |tbs, _| tbs.state("2.5.29.19", true, &[0x30, 6, 1, 1, 0xff, 2, 1, 9])),
    ("FALSE that DER leaves out", |tbs, _| tbs.state("2.5.29.19", true, &[0x30, 3, 1, 1, 0])),
    ("no usage", |tbs, _| tbs.state("2.5.29.15", true, &[3, 1, 0])),
    ("keyCertSign alone", |tbs, _| tbs.state("2.5.29.15", true, &[3, 2, 2, 4])),
    ("usages with trailing zeros", |tbs, _| tbs.state("2.5.29.15", true, &[3, 2, 0, 0x88])),
    ("encipherOnly", |tbs, _| tbs.state("2.5.29.15", true, &[3, 2, 0, 1])),
    ("every usage", |tbs, _| tbs.state("2.5.29.15", true, &[3, 3, 7, 0xff, 0x80])),
    ("OCSPSigning", |tbs, _| tbs.state("2.5.29.37", false, &[0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 9])),
    ("any purpose", |tbs, _| tbs.state("2.5.29.37", false, &[0x30, 6, 6, 4, 0x55, 0x1d, 0x25, 0])),
    ("no purpose", |tbs, _| tbs.state("2.5.29.37", false, &[0x30, 0])),
    ("another key's id", |tbs, dice| {
        let id = [u8::try_from(dice.roll(256)).unwrap(); 20];
        tbs.state("2.5.29.14", false, &[&[4, 20][..], &id].concat());
    }),
    ("another issuer's id", |tbs, dice| {
        let id = [u8::try_from(dice.roll(256)).unwrap(); 20];
        tbs.state("2.5.29.35", false, &[&[0x30, 22, 0x80, 20][..], &id].concat());
    }),
    ("one more name", |tbs, dice| {
        let host = [b'a' + u8::try_from(dice.roll(26)).unwrap(); 9];
        tbs.state("2.5.29.17", false, &[&[0x30, 11, 0x82, 9][..], &host].concat());
    }),
];

/// Whole fields that say something else, in proper DER.
#[test]
fn profiles_that_nobody_approved_are_stopped() {
    let (token, mut dice, mut count) = (Token::new(), Dice(0x5eed_0002), 0);
    for seed in 0..6 {
        for (label, spoil) in FIELDS.iter().chain(&EXTENSIONS) {
            let approved = if seed % 2 == 0 { leaf() } else { authority() };
            let outcome = attempt(&token, approved, |der| {
                let mut tbs = Tbs::from_der(der).unwrap();
                spoil(&mut tbs, &mut dice);
                let spoilt = tbs.to_der().unwrap();
                assert_ne!(spoilt, *der, "{label} changes nothing");
                *der = spoilt;
            });
            assert!(outcome.is_err(), "{label} was signed, seed {seed}");
            count += 1;
        }
    }
    assert_eq!((count, token.signatures.get()), (306, 0));
}

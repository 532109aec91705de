//! Certificate requests put together byte by byte, so that they can lie about anything and still be signed.

use chancery_hsm::{HashAlgorithm, KeyAlgorithm, SignInput, SignScheme, software::SoftwareKey};

/// A tag, the shortest length, the content.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=0x7f => vec![u8::try_from(short).unwrap()],
        byte @ 0x80..=0xff => vec![0x81, u8::try_from(byte).unwrap()],
        two @ 0x100..=0xffff => [&[0x82][..], &u16::try_from(two).unwrap().to_be_bytes()].concat(),
        long => [&[0x83][..], &u32::try_from(long).unwrap().to_be_bytes()[1..]].concat(),
    };
    [&[tag][..], &length, content].concat()
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

/// An OBJECT IDENTIFIER from its dotted text.
pub(crate) fn oid(text: &str) -> Vec<u8> {
    tlv(6, const_oid::ObjectIdentifier::new(text).unwrap().as_bytes())
}

pub(crate) fn bit_string(content: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], content].concat())
}

pub(crate) fn integer(content: &[u8]) -> Vec<u8> {
    let positive = content.first().is_none_or(|byte| byte & 0x80 == 0);
    if positive { tlv(2, content) } else { tlv(2, &[&[0], content].concat()) }
}

/// A name of one attribute.
pub(crate) fn name(kind: &str, tag: u8, text: &[u8]) -> Vec<u8> {
    sequence(&[&set(&[&sequence(&[&oid(kind), &tlv(tag, text)])])])
}

pub(crate) fn common_name(text: &str) -> Vec<u8> {
    name("2.5.4.3", 0x0c, text.as_bytes())
}

/// One extension.
pub(crate) fn extension(kind: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&oid(kind), flag, &tlv(4, value)])
}

/// The SAN extension with these GeneralNames, as they are.
pub(crate) fn alternative_names(names: &[&[u8]]) -> Vec<u8> {
    extension("2.5.29.17", false, &sequence(names))
}

pub(crate) fn dns(text: &[u8]) -> Vec<u8> {
    tlv(0x82, text)
}

/// The attribute that asks for extensions.
pub(crate) fn extension_request(extensions: &[&[u8]]) -> Vec<u8> {
    sequence(&[&oid("1.2.840.113549.1.9.14"), &set(&[&sequence(extensions)])])
}

pub(crate) fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]);
    sequence(&[&algorithm, &bit_string(&sequence(&[&integer(modulus), &integer(exponent)]))])
}

pub(crate) const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

/// A request, part by part, each in DER.
pub(crate) struct Forged {
    pub(crate) key: SoftwareKey,
    pub(crate) version: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    /// What stands in `[0]`.
    pub(crate) attributes: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    pub(crate) behind: Vec<u8>,
}

impl Forged {
    /// An honest request for `a.example.com`.
    pub(crate) fn new() -> Self {
        let key = SoftwareKey::generate(KeyAlgorithm::EcP256).unwrap();
        Self {
            version: vec![2, 1, 0],
            subject: common_name("a.example.com"),
            public_key: key.public_key_der().unwrap().to_vec(),
            attributes: Vec::new(),
            algorithm: sequence(&[&oid(ECDSA_SHA256)]),
            behind: Vec::new(),
            key,
        }
    }

    /// The same with one list of extensions.
    pub(crate) fn asking(extensions: &[&[u8]]) -> Self {
        Self { attributes: extension_request(extensions), ..Self::new() }
    }

    pub(crate) fn info(&self) -> Vec<u8> {
        let attributes = tlv(0xa0, &self.attributes);
        sequence(&[&self.version, &self.subject, &self.public_key, &attributes, &self.behind])
    }

    pub(crate) fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        sequence(&[&self.info(), &self.algorithm, &bit_string(signature)])
    }

    /// Signed with the key, whatever the request says of keys and algorithms.
    pub(crate) fn sign(&self) -> Vec<u8> {
        let input = SignInput::Message(self.info());
        self.with_signature(&self.key.sign(SignScheme::Ecdsa(HashAlgorithm::Sha256), &input).unwrap())
    }
}

pub(crate) fn pem(der: &[u8]) -> String {
    chancery_ca::pem::encode_line("CERTIFICATE REQUEST", der)
}

//! What engines parse of what a caller sent.

use crate::{lines, text};
use chancery_ca::{
    crl::list::CrlList,
    csr::Csr,
    facts::CertificateFacts,
    ocsp::{LONGEST_REQUEST, MOST_CERTIFICATES, OcspQuery},
    pem,
    public_key::PublicKey,
    san::AlternativeNames,
};
use chancery_transit::fuzzing::{self, Ciphers};
use der::{Decode, Encode};
use serde_json::{Value, value::RawValue};
use std::cell::LazyCell;
use x509_cert::ext::pkix::name::GeneralNames;

thread_local! {
    static CIPHERS: LazyCell<Ciphers> = LazyCell::new(Ciphers::fixed);
}

/// Ciphertext, context, associated data, a line each. A ciphertext nobody made opens with no key; a text that was
/// encrypted comes back.
pub fn ciphertext(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (ciphertext, rest) = lines(text);
    let (context, associated_data) = lines(rest);
    for (version, payload) in fuzzing::envelopes(ciphertext).into_iter().flatten() {
        assert!(ciphertext.starts_with("vault:v") && ciphertext.ends_with(payload));
        let again = format!("vault:v{version}:{payload}");
        assert!(fuzzing::envelopes(&again).into_iter().flatten().any(|found| found == (version, payload)));
    }
    CIPHERS.with(|ciphers| {
        assert_eq!(ciphers.opened(ciphertext, context, associated_data), 0, "opened what nobody sealed");
        assert!(ciphers.round_trip(ciphertext));
    });
}

/// The body of `encrypt`, then the same bytes as a batch of each kind: refused, or as many items as the list has.
pub fn transit_batch(data: &[u8]) {
    let _ = fuzzing::encrypt_request(data);
    let Some(text) = text(data) else { return };
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return };
    let value = serde_json::from_str::<Value>(text).ok();
    for items in fuzzing::batches(raw) {
        match items {
            Ok(items) => {
                assert!(items > 0);
                if let Some(value) = &value {
                    assert_eq!(value.as_array().map(Vec::len), Some(items));
                }
            }
            Err(refusal) => assert!(!refusal.contains("s3cret"), "the refusal quotes a value: {refusal}"),
        }
    }
}

/// Requests in PEM, or in DER: refused, or signed with the key they carry.
pub fn certificate_request(data: &[u8]) {
    let parsed = match text(data) {
        Some(text) if text.contains("-----BEGIN") => Csr::from_pem(text),
        _ => Csr::from_der(data),
    };
    let Ok(csr) = parsed else { return };
    let _ = (csr.common_name(), csr.names().texts(), csr.asks_for_basic_constraints());
    // The key was judged by itself, too.
    assert_eq!(PublicKey::parse(csr.public_key().der()).as_ref(), Ok(csr.public_key()));
    // Names that an extension carried can be written into one again.
    assert!(csr.names().to_general_names().is_ok());
}

/// CA certificates in PEM, or in DER: refused, or facts that agree with the bytes.
pub fn certificate(data: &[u8]) {
    let block = text(data).and_then(|text| pem::decode_first(text).ok().flatten());
    let der = block.as_ref().map_or(data, |block| block.bytes.as_slice());
    let Ok(facts) = CertificateFacts::parse(der) else { return };
    assert_eq!(facts.der, der);
    assert!([&facts.tbs, &facts.subject, &facts.issuer, &facts.public_key].into_iter().all(|part| !part.is_empty()));
    let _ = (facts.common_name(), facts.is_self_issued(), facts.is_signed_by(&facts));
    let again = pem::encode("CERTIFICATE", der);
    let blocks = pem::decode_all(&again).expect("what we encoded is PEM");
    assert!(matches!(blocks.as_slice(), [block] if block.bytes.as_slice() == der));
}

/// Revocation lists of a stranger's in DER: refused, or entries that lie where they are said to lie.
pub fn revocation_list(data: &[u8]) {
    let Ok(list) = CrlList::parse(data) else { return };
    assert!(!list.issuer.is_empty());
    let entries: Result<Vec<_>, _> = list.entries().collect();
    if let Ok(entries) = entries {
        let whole: Vec<u8> = entries.iter().flat_map(|entry| entry.der.iter().copied()).collect();
        assert_eq!(whole, list.entries, "entries do not make up the list");
    }
}

/// OCSP requests: refused, or a bounded number of certificates and a nonce of a length that may be repeated.
pub fn ocsp_request(data: &[u8]) {
    let Ok(query) = OcspQuery::parse(data) else { return };
    assert!(data.len() <= LONGEST_REQUEST);
    assert!((1..=MOST_CERTIFICATES).contains(&query.certificates.len()));
    assert!(query.nonce.is_none_or(|nonce| (1..=128).contains(&nonce.len())));
}

/// The value of a SAN extension of a stranger's: refused, or names that survive being written again.
pub fn alternative_names(data: &[u8]) {
    let Ok(names) = GeneralNames::from_der(data) else { return };
    let Ok(names) = AlternativeNames::from_general_names(&names) else { return };
    let written = names.to_general_names().expect("what an extension carried can be written");
    let der = written.to_der().expect("names have a DER form");
    let read = GeneralNames::from_der(&der).expect("what we wrote is DER");
    assert_eq!(AlternativeNames::from_general_names(&read).ok().as_ref(), Some(&names));
    assert_eq!(names.texts().is_empty(), names.is_empty());
}

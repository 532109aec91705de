//! CRLs that callers hand in, OCSP requests of strangers.

use chancery_ca::{
    crl::list::CrlList,
    ocsp::{LONGEST_REQUEST, MOST_CERTIFICATES, OcspQuery},
};

/// `resign-crls`: what is accepted has entries that lie one behind the other and fill the list.
pub fn crl(data: &[u8]) {
    let Ok(list) = CrlList::parse(data) else { return };
    let mut length = 0;
    for entry in list.entries() {
        let Ok(entry) = entry else { return };
        assert!(!entry.der.is_empty());
        length += entry.der.len();
    }
    assert_eq!(length, list.entries.len());
}

/// `ocsp`: what is accepted keeps to its bounds.
pub fn ocsp_request(data: &[u8]) {
    let Ok(query) = OcspQuery::parse(data) else { return };
    assert!(data.len() <= LONGEST_REQUEST);
    assert!((1..=MOST_CERTIFICATES).contains(&query.certificates.len()));
    assert!(query.nonce.is_none_or(|nonce| (1..=128).contains(&nonce.len())));
}

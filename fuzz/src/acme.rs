//! What ACME clients send: signed requests, and the names they ask for.

use chancery_acme_server::{
    identifier::{Named, Written},
    jwk::ALGORITHMS,
    jws::{Jws, Signer},
    star::{AutoRenewal, Bounds},
};
use jiff::Timestamp;

/// A signed request. Whatever is accepted has one signer and an algorithm that is offered.
pub fn acme_jws(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let Ok(jws) = Jws::parse(text) else { return };
    let _binding = jws.verify_binding(b"key");
    match jws.signer() {
        Ok(Signer::Key(key)) => {
            assert!(ALGORITHMS.contains(&jws.header.alg.as_str()));
            assert_eq!(key.thumbprint().len(), 43);
            let _verified = jws.verify(&key);
        }
        Ok(Signer::Account(_)) => assert!(jws.header.jwk.is_none()),
        Err(problem) => assert!(problem.status >= 400 && !problem.detail.is_empty()),
    }
}

/// A type and a value. Whatever is accepted is written in one way, and reads back as itself.
pub fn acme_identifier(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let (kind, value) = crate::lines(text);
    let Ok(named) = Named::parse(&Written { kind: kind.to_owned(), value: value.to_owned() }) else { return };
    let written = named.written();
    assert_eq!(Named::parse(&written).as_ref(), Ok(&named));
    assert!(written.value.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
    assert!(!written.value.contains(['/', '@', '\\', '"']));
}

/// What an order asks of automatic renewal. Whatever is accepted keeps to its bounds, and comes to an end.
pub fn acme_auto_renewal(data: &[u8]) {
    let Ok(asked) = serde_json::from_slice(data) else { return };
    let bounds = Bounds { longest_life: 10 * 86_400, max_duration: 366 * 86_400 };
    let start = Timestamp::UNIX_EPOCH;
    let Ok(mut renewal) = AutoRenewal::read(&asked, bounds, start) else { return };
    assert!(renewal.longest_life() <= bounds.longest_life);
    let mut now = start;
    for number in 0.. {
        assert!(number <= bounds.max_duration / chancery_acme_server::star::MIN_LIFETIME + 1, "no end: {renewal:?}");
        let Some(period) = renewal.period(now) else { return };
        assert!(period.not_after <= renewal.end);
        if let Some(not_before) = period.not_before {
            assert!(not_before <= period.not_after && renewal.start.is_none_or(|start| start <= not_before));
            assert!(period.not_after.as_second() - not_before.as_second() <= bounds.longest_life);
        }
        renewal.made(period);
        let Some(due) = renewal.due else { return };
        now = now.max(due);
    }
}

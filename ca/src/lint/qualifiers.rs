//! Lints on certificate policies and their qualifiers (RFC 5280 §4.2.1.4, RFC 6818 §3).

use super::{LintFailure, extensions::is};
use crate::{oid, role::PolicyIdentifier, san::is_uri, subject::is_deceptive};
use x509_parser::{
    asn1_rs::{Any, FromDer},
    extensions::{PolicyInformation, PolicyQualifierInfo},
};

/// Identifier octets, with class and form.
const SEQUENCE: u8 = 0x30;
const UTF8_STRING: u8 = 0x0c;
const IA5_STRING: u8 = 0x16;

/// Longest text of a notice, in characters.
const LONGEST_NOTICE: usize = 200;

/// Each policy once, with qualifiers that can be shown.
pub(super) fn check(found: &[PolicyInformation<'_>]) -> Result<(), LintFailure> {
    let fail = |detail: String| Err(LintFailure::new("certificate policies", detail));
    if found.is_empty() {
        return fail("name no policy".to_owned());
    }
    for (at, policy) in found.iter().enumerate() {
        if found.iter().skip(at + 1).any(|other| other.policy_id == policy.policy_id) {
            return fail(format!("{} appears twice", policy.policy_id));
        }
        for qualifier in policy.policy_qualifiers.iter().flatten() {
            if let Some(uri) = cps(qualifier) {
                if !is_uri(uri) {
                    return fail(format!("the practice statement {uri:?} is no URI"));
                }
            } else if let Some(text) = notice(qualifier) {
                if text.chars().count() > LONGEST_NOTICE || text.chars().any(is_deceptive) {
                    return fail(format!(
                        "the notice {text:?} has over {LONGEST_NOTICE} characters or one that is not shown"
                    ));
                }
            } else {
                return fail(format!("the qualifier {} is not one of RFC 5280", qualifier.policy_qualifier_id));
            }
        }
    }
    Ok(())
}

/// Whether they are these, in this order.
pub(super) fn are(found: &[PolicyInformation<'_>], approved: &[PolicyIdentifier]) -> bool {
    found.len() == approved.len()
        && found.iter().zip(approved).all(|(found, approved)| {
            let qualifiers = found.policy_qualifiers.as_deref().unwrap_or_default();
            let places: Vec<&str> = qualifiers.iter().filter_map(cps).collect();
            let notices: Vec<&str> = qualifiers.iter().filter_map(notice).collect();
            is(&found.policy_id, approved.oid)
                && qualifiers.len() == places.len() + notices.len()
                && places == stated(&approved.cps)
                && notices == stated(&approved.notice)
        })
}

fn stated(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { vec![text] }
}

/// The URI of a CPS qualifier.
fn cps<'a>(qualifier: &PolicyQualifierInfo<'a>) -> Option<&'a str> {
    if !is(&qualifier.policy_qualifier_id, oid::QUALIFIER_CPS) {
        return None;
    }
    text(qualifier.qualifier, IA5_STRING)
}

/// The text of a notice that has nothing but a text.
fn notice<'a>(qualifier: &PolicyQualifierInfo<'a>) -> Option<&'a str> {
    if !is(&qualifier.policy_qualifier_id, oid::QUALIFIER_USER_NOTICE) {
        return None;
    }
    let (rest, outer) = Any::from_der(qualifier.qualifier).ok()?;
    (rest.is_empty() && qualifier.qualifier.first() == Some(&SEQUENCE)).then_some(())?;
    text(outer.data, UTF8_STRING)
}

fn text(der: &[u8], tag: u8) -> Option<&str> {
    let (rest, value) = Any::from_der(der).ok()?;
    if rest.is_empty() && der.first() == Some(&tag) { std::str::from_utf8(value.data).ok() } else { None }
}

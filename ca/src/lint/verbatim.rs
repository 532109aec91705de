//! Lints on extensions that a CSR brought and `sign-verbatim` lets through: whatever the requester wrote, the certificate
//! must be one the standard knows.

use super::{LintFailure, qualifiers};
use x509_parser::extensions::{ParsedExtension, X509Extension};

/// Extensions that mean something only in a CA certificate, only in a precertificate, or only in the issuer's mouth.
const FOREIGN: [(&str, &str); 6] = [
    ("2.5.29.33", "policy mappings belong in CA certificates"),
    ("2.5.29.36", "policy constraints belong in CA certificates"),
    ("2.5.29.54", "inhibitAnyPolicy belongs in CA certificates"),
    ("1.3.6.1.4.1.11129.2.4.3", "the poison of RFC 6962 §3.1 belongs in precertificates"),
    ("1.3.6.1.4.1.11129.2.4.2", "timestamps of RFC 6962 §3.3 are added by the issuer"),
    ("2.5.29.18", "the issuer's alternative names are the issuer's to say"),
];

/// Extensions that the standard wants not to be critical.
const NEVER_CRITICAL: [&str; 5] =
    ["2.5.29.9", "2.5.29.46", "1.3.6.1.5.5.7.1.11", "1.2.840.113549.1.9.15", "1.3.6.1.5.5.7.1.24"];

pub(super) fn check(extension: &X509Extension<'_>) -> Result<(), LintFailure> {
    let oid = extension.oid.to_id_string();
    let fail = |detail: String| Err(LintFailure::new("requested extensions", detail));
    if let Some((_, why)) = FOREIGN.iter().find(|(foreign, _)| *foreign == oid) {
        return fail(format!("{oid}: {why}"));
    }
    if extension.critical && NEVER_CRITICAL.contains(&oid.as_str()) {
        return fail(format!("{oid} must not be critical"));
    }
    match extension.parsed_extension() {
        ParsedExtension::CertificatePolicies(found) => qualifiers::check(found),
        ParsedExtension::ExtendedKeyUsage(usage) if usage.any && extension.critical => {
            fail(format!("{oid} with anyExtendedKeyUsage must not be critical"))
        }
        _ if extension.value.is_empty() => fail(format!("{oid} is empty")),
        _ => Ok(()),
    }
}

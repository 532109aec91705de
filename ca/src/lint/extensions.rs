//! Lints on extensions (RFC 5280 §4.2): what stands there is what was approved, nothing besides, nothing missing, each
//! once, with the criticality the standard asks for.
//!
//! To let a profile say something new, give it an arm in [`own`]; until then the linter stops it.

use super::{LintFailure, Surroundings, purpose, qualifiers, verbatim};
use crate::{
    approve::{Approved, Purpose, RevocationTerms},
    constraints::NameConstraintSet,
    oid,
};
use const_oid::ObjectIdentifier;
use x509_parser::{
    certificate::TbsCertificate,
    der_parser::oid::Oid,
    extensions::{
        AccessDescription, CRLDistributionPoints, DistributionPointName, GeneralName, ParsedExtension, X509Extension,
    },
    prelude::FromDer,
};

pub(super) fn check(
    parsed: &TbsCertificate<'_>,
    approved: &Approved,
    around: Surroundings<'_>,
) -> Result<(), LintFailure> {
    let extensions = parsed.extensions();
    for (at, extension) in extensions.iter().enumerate() {
        if extensions.iter().skip(at + 1).any(|other| other.oid == extension.oid) {
            return Err(LintFailure::new("extensions", format!("{} appears twice", extension.oid)));
        }
        if let ParsedExtension::ParseError { error } = extension.parsed_extension() {
            return Err(LintFailure::new("extensions", format!("{} does not parse: {error}", extension.oid)));
        }
    }
    let mut expected = expected(approved, around);
    for extension in extensions {
        let at = expected.iter().position(|oid| is(&extension.oid, *oid));
        let requested = requested(approved, extension);
        match (at, requested) {
            (Some(at), _) => {
                expected.swap_remove(at);
                own(extension, approved, around)?;
            }
            (None, true) => verbatim::check(extension)?,
            (None, false) => {
                return Err(LintFailure::new("extensions", format!("{} was not approved", extension.oid)));
            }
        }
    }
    let is_absent =
        |extension: &&x509_cert::ext::Extension| !extensions.iter().any(|found| is(&found.oid, extension.extn_id));
    let missing = expected.first().or_else(|| asked(approved).iter().find(is_absent).map(|absent| &absent.extn_id));
    if let Some(missing) = missing {
        return Err(LintFailure::new("extensions", format!("{missing} is missing")));
    }
    purpose::check(parsed, approved, around.issuer)
}

/// Extensions of a CSR that `sign-verbatim` lets through.
fn asked(approved: &Approved) -> &[x509_cert::ext::Extension] {
    match &approved.purpose {
        Purpose::EndEntity { verbatim, .. } => verbatim,
        Purpose::Authority { .. } => &[],
    }
}

/// Whether the extension is one of those, byte for byte.
fn requested(approved: &Approved, extension: &X509Extension<'_>) -> bool {
    asked(approved).iter().any(|asked| {
        is(&extension.oid, asked.extn_id)
            && extension.critical == asked.critical
            && extension.value == asked.extn_value.as_bytes()
    })
}

/// What the profile writes by itself.
fn expected(approved: &Approved, around: Surroundings<'_>) -> Vec<ObjectIdentifier> {
    let mut list = vec![oid::SUBJECT_KEY_IDENTIFIER, oid::AUTHORITY_KEY_IDENTIFIER];
    let mut push = |wanted: bool, oid| {
        if wanted {
            list.push(oid);
        }
    };
    let urls = places(approved, around);
    push(!approved.names.is_empty(), oid::SUBJECT_ALT_NAME);
    push(!approved.policies.is_empty(), oid::CERTIFICATE_POLICIES);
    push(!(urls.ocsp.is_empty() && urls.issuers.is_empty()), oid::AUTHORITY_INFO_ACCESS);
    push(!urls.crls.is_empty(), oid::CRL_DISTRIBUTION_POINTS);
    push(!urls.deltas.is_empty(), oid::FRESHEST_CRL);
    match &approved.purpose {
        Purpose::EndEntity { key_usage, extended, states_basic_constraints, revocation, .. } => {
            push(*revocation == RevocationTerms::Staple, oid::TLS_FEATURE);
            push(*revocation == RevocationTerms::Never, oid::NO_REV_AVAIL);
            push(!key_usage.0.is_empty(), oid::KEY_USAGE);
            push(!extended.is_empty(), oid::EXTENDED_KEY_USAGE);
            push(*states_basic_constraints, oid::BASIC_CONSTRAINTS);
        }
        Purpose::Authority { constraints, extended, .. } => {
            push(true, oid::KEY_USAGE);
            push(!extended.is_empty(), oid::EXTENDED_KEY_USAGE);
            push(true, oid::BASIC_CONSTRAINTS);
            push(!constraints.is_empty(), oid::NAME_CONSTRAINTS);
        }
    }
    list
}

/// Where to ask, as this certificate is to say it.
struct Places<'a> {
    ocsp: &'a [String],
    issuers: &'a [String],
    crls: &'a [String],
    deltas: &'a [String],
}

/// RFC 9608 §4: a certificate that is never revoked names neither CRL nor OCSP.
fn places<'a>(approved: &Approved, around: Surroundings<'a>) -> Places<'a> {
    let urls = around.urls;
    if approved.is_never_revoked() {
        return Places { ocsp: &[], issuers: &urls.issuing_certificates, crls: &[], deltas: &[] };
    }
    Places {
        ocsp: &urls.ocsp_servers,
        issuers: &urls.issuing_certificates,
        crls: &urls.crl_distribution_points,
        deltas: &urls.delta_crl_distribution_points,
    }
}

/// One of the profile's own: criticality and content. Usages and basic constraints are judged in [`purpose`], names in
/// [`super::names`].
fn own(extension: &X509Extension<'_>, approved: &Approved, around: Surroundings<'_>) -> Result<(), LintFailure> {
    let critical = |name: &'static str, wanted: bool| {
        if extension.critical == wanted {
            return Ok(());
        }
        Err(LintFailure::new(name, if wanted { "must be critical" } else { "must not be critical" }))
    };
    let says = |name: &'static str, same: bool| {
        if same { Ok(()) } else { Err(LintFailure::new(name, "is not what was approved")) }
    };
    match extension.parsed_extension() {
        ParsedExtension::KeyUsage(_) => critical("key usage", true),
        // RFC 3161 §2.3
        ParsedExtension::ExtendedKeyUsage(purposes) => {
            let is_leaf = matches!(approved.purpose, Purpose::EndEntity { .. });
            critical("extended key usage", is_leaf && purposes.time_stamping)
        }
        ParsedExtension::BasicConstraints(_) => critical("basic constraints", true),
        ParsedExtension::SubjectAlternativeName(_) => Ok(()),
        ParsedExtension::SubjectKeyIdentifier(id) => {
            critical("subject key identifier", false)?;
            let own = approved.subject_key_id();
            if id.0 == own { Ok(()) } else { Err(LintFailure::new("subject key identifier", "is not the key's")) }
        }
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            critical("authority key identifier", false)?;
            let own = approved.subject_key_id();
            let issuer = around.issuer.map_or(own.as_slice(), |issuer| &issuer.subject_key_id);
            let is_plain = id.authority_cert_issuer.is_none() && id.authority_cert_serial.is_none();
            if is_plain && id.key_identifier.as_ref().is_some_and(|id| id.0 == issuer) {
                return Ok(());
            }
            Err(LintFailure::new("authority key identifier", "is not the issuer's"))
        }
        ParsedExtension::NameConstraints(found) => {
            critical("name constraints", true)?;
            let Purpose::Authority { constraints, .. } = &approved.purpose else {
                return says("name constraints", false);
            };
            says("name constraints", NameConstraintSet::read(found).is_ok_and(|found| found == *constraints))
        }
        ParsedExtension::AuthorityInfoAccess(found) => {
            critical("authority information access", false)?;
            let urls = places(approved, around);
            let servers = urls.ocsp.iter().map(|url| (oid::ACCESS_OCSP, url));
            let issuers = urls.issuers.iter().map(|url| (oid::ACCESS_CA_ISSUERS, url));
            let same = |(found, (method, url)): (&AccessDescription<'_>, (ObjectIdentifier, &String))| {
                is(&found.access_method, method) && is_url(&found.access_location, url)
            };
            let count = urls.ocsp.len() + urls.issuers.len();
            let all = found.accessdescs.len() == count && found.iter().zip(servers.chain(issuers)).all(same);
            says("authority information access", all)
        }
        ParsedExtension::CRLDistributionPoints(found) => {
            critical("CRL distribution points", false)?;
            says("CRL distribution points", points_to(found, places(approved, around).crls))
        }
        ParsedExtension::CertificatePolicies(found) => {
            critical("certificate policies", false)?;
            qualifiers::check(found)?;
            says("certificate policies", qualifiers::are(found, &approved.policies))
        }
        // RFC 5280 §4.2.1.15
        _ if is(&extension.oid, oid::FRESHEST_CRL) => {
            critical("freshest CRL", false)?;
            let same = CRLDistributionPoints::from_der(extension.value)
                .is_ok_and(|(rest, found)| rest.is_empty() && points_to(&found, places(approved, around).deltas));
            says("freshest CRL", same)
        }
        // RFC 7633 §4: a list with the TLS extension status_request, number 5. RFC 9608 §4: a NULL.
        _ if is(&extension.oid, oid::TLS_FEATURE) => {
            critical("TLS feature", false)?;
            says("TLS feature", extension.value == [0x30, 3, 2, 1, 5])
        }
        _ if is(&extension.oid, oid::NO_REV_AVAIL) => {
            critical("no revocation available", false)?;
            says("no revocation available", extension.value == [5, 0])
        }
        _ => Err(LintFailure::new("extensions", format!("{} is of a kind that is not known", extension.oid))),
    }
}

/// One point for each URL, each with nothing but that name.
fn points_to(found: &CRLDistributionPoints<'_>, urls: &[String]) -> bool {
    found.points.len() == urls.len()
        && found.points.iter().zip(urls).all(|(point, url)| {
            point.reasons.is_none()
                && point.crl_issuer.is_none()
                && matches!(&point.distribution_point, Some(DistributionPointName::FullName(names))
                    if matches!(names.as_slice(), [name] if is_url(name, url)))
        })
}

pub(super) fn is(found: &Oid<'_>, known: ObjectIdentifier) -> bool {
    found.as_bytes() == known.as_bytes()
}

fn is_url(found: &GeneralName<'_>, url: &str) -> bool {
    matches!(found, GeneralName::URI(text) if *text == url) && crate::san::is_uri(url)
}

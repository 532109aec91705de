//! From an approved content to the bytes that will be signed (RFC 5280 §4.1).
//!
//! Names and keys go in as DER, byte for byte; nothing is re-encoded. The extensions stand in the order other software
//! of this API writes them.

use crate::{
    approve::{Approved, Purpose, RevocationTerms},
    error::CaError,
    facts::CertificateFacts,
    oid,
    role::PolicyIdentifier,
    serial::SerialNumber,
    urls::Urls,
};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Sequence,
    asn1::{Any, AnyRef, GeneralizedTime, Ia5String, Null, OctetString, UintRef, UtcTime, Utf8StringRef},
};
use jiff::Timestamp;
use std::time::Duration;
use x509_cert::{
    ext::{
        Extension,
        pkix::{
            AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
            CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage, SubjectKeyIdentifier,
            certpolicy::{PolicyInformation, PolicyQualifierInfo},
            crl::dp::DistributionPoint,
            name::{DistributionPointName, GeneralName},
        },
    },
    time::Time,
};

/// Bytes to be signed, and what they were made from, for the linter to compare.
#[derive(Debug)]
pub struct Draft {
    pub(crate) tbs: Vec<u8>,
    pub(crate) serial: SerialNumber,
    pub(crate) approved: Approved,
}

/// Who signs, as the profile needs it.
#[derive(Debug, Clone, Copy)]
pub struct Signatory<'a> {
    /// The issuer's certificate; none for a root that signs itself.
    pub issuer: Option<&'a CertificateFacts>,
    /// DER of the AlgorithmIdentifier the issuer will sign with.
    pub algorithm: &'a [u8],
    /// Where the issuer publishes.
    pub urls: &'a Urls,
}

#[derive(Sequence)]
struct TbsCertificate<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: UintRef<'a>,
    signature: AnyRef<'a>,
    issuer: AnyRef<'a>,
    validity: Period,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Period {
    not_before: Time,
    not_after: Time,
}

/// Encodes the to-be-signed part.
///
/// # Errors
/// [`CaError::Caller`] where a value cannot be written in its field.
pub fn encode(approved: Approved, serial: SerialNumber, signatory: Signatory<'_>) -> Result<Draft, CaError> {
    let own_id = approved.subject_key_id();
    let places;
    let urls = if approved.is_never_revoked() {
        // RFC 9608 §4: neither CRL nor OCSP is named.
        places = Urls { issuing_certificates: signatory.urls.issuing_certificates.clone(), ..Urls::default() };
        &places
    } else {
        signatory.urls
    };
    let issuer = signatory.issuer.map_or(approved.subject.as_slice(), |issuer| &issuer.subject);
    let issuer_id = signatory.issuer.map_or(own_id.as_slice(), |issuer| &issuer.subject_key_id);
    let tbs = TbsCertificate {
        version: 2,
        serial_number: UintRef::new(serial.as_bytes())?,
        signature: AnyRef::from_der(signatory.algorithm)?,
        issuer: AnyRef::from_der(issuer)?,
        validity: Period {
            not_before: time(approved.validity.not_before)?,
            not_after: time(approved.validity.not_after)?,
        },
        subject: AnyRef::from_der(&approved.subject)?,
        public_key: AnyRef::from_der(approved.public_key.der())?,
        extensions: extensions(&approved, &own_id, issuer_id, urls)?,
    }
    .to_der()?;
    Ok(Draft { tbs, serial, approved })
}

/// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on.
///
/// # Errors
/// [`CaError::Caller`] before 1970 and after 9999.
pub fn time(at: Timestamp) -> Result<Time, CaError> {
    let outside = || CaError::Caller(format!("{at} cannot be written in a certificate"));
    let seconds = u64::try_from(crate::validity::written_second(at)).map_err(|_| outside())?;
    let since_epoch = Duration::from_secs(seconds);
    match UtcTime::from_unix_duration(since_epoch) {
        Ok(time) => Ok(Time::UtcTime(time)),
        Err(_) => GeneralizedTime::from_unix_duration(since_epoch).map(Time::GeneralTime).map_err(|_| outside()),
    }
}

fn extensions(approved: &Approved, own_id: &[u8], issuer_id: &[u8], urls: &Urls) -> Result<Vec<Extension>, CaError> {
    let mut list = Vec::with_capacity(10);
    match &approved.purpose {
        Purpose::EndEntity { key_usage, extended, states_basic_constraints, .. } => {
            if !key_usage.0.is_empty() {
                list.push(extension(oid::KEY_USAGE, true, key_usage)?);
            }
            if !extended.is_empty() {
                // RFC 3161 §2.3: who stamps times says so critically.
                let is_critical = extended.contains(&oid::TIME_STAMPING);
                list.push(extension(oid::EXTENDED_KEY_USAGE, is_critical, &ExtendedKeyUsage(extended.clone()))?);
            }
            if *states_basic_constraints {
                let leaf = BasicConstraints { ca: false, path_len_constraint: None };
                list.push(extension(oid::BASIC_CONSTRAINTS, true, &leaf)?);
            }
        }
        Purpose::Authority { path_length, key_usage, extended, .. } => {
            list.push(extension(oid::KEY_USAGE, true, key_usage)?);
            if !extended.is_empty() {
                list.push(extension(oid::EXTENDED_KEY_USAGE, false, &ExtendedKeyUsage(extended.clone()))?);
            }
            let authority = BasicConstraints { ca: true, path_len_constraint: *path_length };
            list.push(extension(oid::BASIC_CONSTRAINTS, true, &authority)?);
        }
    }
    list.push(extension(oid::SUBJECT_KEY_IDENTIFIER, false, &SubjectKeyIdentifier(OctetString::new(own_id)?))?);
    let authority = AuthorityKeyIdentifier { key_identifier: Some(OctetString::new(issuer_id)?), ..Default::default() };
    list.push(extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority)?);
    push_access(&mut list, urls)?;
    if !approved.names.is_empty() {
        // RFC 5280 §4.2.1.6: critical where the subject is empty.
        let is_critical = approved.subject == [0x30, 0x00];
        list.push(extension(oid::SUBJECT_ALT_NAME, is_critical, &approved.names.to_general_names()?)?);
    }
    push_policies(&mut list, &approved.policies)?;
    if let Purpose::Authority { constraints, .. } = &approved.purpose
        && !constraints.is_empty()
    {
        list.push(extension(oid::NAME_CONSTRAINTS, true, &constraints.to_extension()?)?);
    }
    push_distribution_points(&mut list, oid::CRL_DISTRIBUTION_POINTS, &urls.crl_distribution_points)?;
    // RFC 5280 §4.2.1.15
    push_distribution_points(&mut list, oid::FRESHEST_CRL, &urls.delta_crl_distribution_points)?;
    if let Purpose::EndEntity { verbatim, revocation, .. } = &approved.purpose {
        match revocation {
            RevocationTerms::Ask => {}
            // RFC 7633 §4.1: the TLS extension status_request, number 5.
            RevocationTerms::Staple => list.push(extension(oid::TLS_FEATURE, false, &vec![5_u8])?),
            RevocationTerms::Never => list.push(extension(oid::NO_REV_AVAIL, false, &Null)?),
        }
        list.extend(
            verbatim
                .iter()
                .filter(|own| list.iter().all(|set| set.extn_id != own.extn_id))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    Ok(list)
}

fn push_access(list: &mut Vec<Extension>, urls: &Urls) -> Result<(), CaError> {
    let mut access = Vec::new();
    for (method, places) in
        [(oid::ACCESS_OCSP, &urls.ocsp_servers), (oid::ACCESS_CA_ISSUERS, &urls.issuing_certificates)]
    {
        for place in places {
            access.push(AccessDescription { access_method: method, access_location: uri(place)? });
        }
    }
    if !access.is_empty() {
        list.push(extension(oid::AUTHORITY_INFO_ACCESS, false, &AuthorityInfoAccessSyntax(access))?);
    }
    Ok(())
}

fn push_distribution_points(
    list: &mut Vec<Extension>,
    kind: ObjectIdentifier,
    places: &[String],
) -> Result<(), CaError> {
    let mut points = Vec::new();
    for place in places {
        points.push(DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![uri(place)?])),
            reasons: None,
            crl_issuer: None,
        });
    }
    if !points.is_empty() {
        list.push(extension(kind, false, &CrlDistributionPoints(points))?);
    }
    Ok(())
}

fn push_policies(list: &mut Vec<Extension>, policies: &[PolicyIdentifier]) -> Result<(), CaError> {
    let mut informations = Vec::new();
    for policy in policies {
        let mut qualifiers = Vec::new();
        if !policy.cps.is_empty() {
            let cps = Any::encode_from(&Ia5String::new(&policy.cps)?)?;
            qualifiers.push(PolicyQualifierInfo { policy_qualifier_id: oid::QUALIFIER_CPS, qualifier: Some(cps) });
        }
        if !policy.notice.is_empty() {
            // UserNotice ::= SEQUENCE { explicitText UTF8String }
            let notice = Any::encode_from(&vec![Utf8StringRef::new(&policy.notice)?])?;
            qualifiers
                .push(PolicyQualifierInfo { policy_qualifier_id: oid::QUALIFIER_USER_NOTICE, qualifier: Some(notice) });
        }
        informations.push(PolicyInformation {
            policy_identifier: policy.oid,
            policy_qualifiers: (!qualifiers.is_empty()).then_some(qualifiers),
        });
    }
    if !informations.is_empty() {
        list.push(extension(oid::CERTIFICATE_POLICIES, false, &CertificatePolicies(informations))?);
    }
    Ok(())
}

fn uri(text: &str) -> Result<GeneralName, CaError> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(text)?))
}

/// An extension whose value is the DER of `value`.
///
/// # Errors
/// The encoder's failure.
pub(crate) fn extension(extn_id: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension, CaError> {
    Ok(Extension { extn_id, critical, extn_value: OctetString::new(value.to_der()?)? })
}

//! Object identifiers: the ones this engine writes, and reading them from text.

use const_oid::ObjectIdentifier;

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        $($(#[$doc])* pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)+
    };
}

oids! {
    /// subjectKeyIdentifier
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    /// keyUsage
    KEY_USAGE = "2.5.29.15";
    /// subjectAltName
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// basicConstraints
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// cRLNumber
    CRL_NUMBER = "2.5.29.20";
    /// reasonCode
    CRL_REASON = "2.5.29.21";
    /// deltaCRLIndicator
    DELTA_CRL_INDICATOR = "2.5.29.27";
    /// issuingDistributionPoint
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    /// nameConstraints
    NAME_CONSTRAINTS = "2.5.29.30";
    /// cRLDistributionPoints
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// certificatePolicies
    CERTIFICATE_POLICIES = "2.5.29.32";
    /// authorityKeyIdentifier
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    /// extKeyUsage
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// noRevAvail (RFC 9608)
    NO_REV_AVAIL = "2.5.29.56";
    /// TLS feature (RFC 7633)
    TLS_FEATURE = "1.3.6.1.5.5.7.1.24";
    /// freshestCRL
    FRESHEST_CRL = "2.5.29.46";
    /// id-pkix-ocsp-nocheck
    OCSP_NO_CHECK = "1.3.6.1.5.5.7.48.1.5";
    /// authorityInfoAccess
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// Policy qualifier: CPS URI
    QUALIFIER_CPS = "1.3.6.1.5.5.7.2.1";
    /// Policy qualifier: user notice
    QUALIFIER_USER_NOTICE = "1.3.6.1.5.5.7.2.2";
    /// Access method: OCSP
    ACCESS_OCSP = "1.3.6.1.5.5.7.48.1";
    /// Access method: CA issuers
    ACCESS_CA_ISSUERS = "1.3.6.1.5.5.7.48.2";
    /// PKCS#9 extensionRequest
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
    /// commonName
    COMMON_NAME = "2.5.4.3";
    /// serialNumber (of a subject)
    SERIAL_NUMBER = "2.5.4.5";
    /// countryName
    COUNTRY = "2.5.4.6";
    /// localityName
    LOCALITY = "2.5.4.7";
    /// stateOrProvinceName
    PROVINCE = "2.5.4.8";
    /// streetAddress
    STREET_ADDRESS = "2.5.4.9";
    /// organizationName
    ORGANIZATION = "2.5.4.10";
    /// organizationalUnitName
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    /// postalCode
    POSTAL_CODE = "2.5.4.17";
    /// userId
    USER_ID = "0.9.2342.19200300.100.1.1";
    /// rsaEncryption
    RSA = "1.2.840.113549.1.1.1";
    /// id-RSASSA-PSS
    RSA_PSS = "1.2.840.113549.1.1.10";
    /// id-mgf1
    MGF1 = "1.2.840.113549.1.1.8";
    /// sha256WithRSAEncryption
    RSA_SHA256 = "1.2.840.113549.1.1.11";
    /// sha384WithRSAEncryption
    RSA_SHA384 = "1.2.840.113549.1.1.12";
    /// sha512WithRSAEncryption
    RSA_SHA512 = "1.2.840.113549.1.1.13";
    /// id-ecPublicKey
    EC = "1.2.840.10045.2.1";
    /// secp256r1
    P256 = "1.2.840.10045.3.1.7";
    /// secp384r1
    P384 = "1.3.132.0.34";
    /// secp521r1
    P521 = "1.3.132.0.35";
    /// secp224r1
    P224 = "1.3.132.0.33";
    /// ecdsa-with-SHA256
    ECDSA_SHA256 = "1.2.840.10045.4.3.2";
    /// ecdsa-with-SHA384
    ECDSA_SHA384 = "1.2.840.10045.4.3.3";
    /// ecdsa-with-SHA512
    ECDSA_SHA512 = "1.2.840.10045.4.3.4";
    /// Ed25519
    ED25519 = "1.3.101.112";
    /// ML-DSA-44 (RFC 9881 §2)
    ML_DSA_44 = "2.16.840.1.101.3.4.3.17";
    /// ML-DSA-65
    ML_DSA_65 = "2.16.840.1.101.3.4.3.18";
    /// ML-DSA-87
    ML_DSA_87 = "2.16.840.1.101.3.4.3.19";
    /// SHA-256
    SHA256 = "2.16.840.1.101.3.4.2.1";
    /// SHA-384
    SHA384 = "2.16.840.1.101.3.4.2.2";
    /// SHA-512
    SHA512 = "2.16.840.1.101.3.4.2.3";
    /// anyExtendedKeyUsage
    ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0";
    /// serverAuth
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// clientAuth
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// codeSigning
    CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
    /// emailProtection
    EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
    /// timeStamping
    TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
    /// OCSPSigning
    OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
}

/// Reads a dotted OID.
#[must_use]
pub fn parse_oid(text: &str) -> Option<ObjectIdentifier> {
    ObjectIdentifier::new(text).ok()
}

/// Whether `text` is a dotted OID.
#[must_use]
pub fn is_oid(text: &str) -> bool {
    parse_oid(text).is_some()
}

//! tls-alpn-01 (RFC 8737), for addresses too (RFC 8738 §6).

use super::{
    Failure, Question, Settings,
    dial::{Host, dial, handshake},
    failure::{Deadline, excerpt},
    resolver::Perspective,
};
use crate::identifier::Identifier;
use aws_lc_rs::digest::{SHA256, digest};
use der::{
    Decode, Encode, Reader, SliceReader,
    asn1::{ObjectIdentifier, OctetStringRef},
};
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use x509_cert::{
    Certificate,
    ext::{
        Extension,
        pkix::{SubjectAltName, name::GeneralName},
    },
};

/// RFC 8737 §6.2
const PROTOCOL: &[u8] = b"acme-tls/1";
/// id-pe-acmeIdentifier (RFC 8737 §6.1)
const ACME_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");
/// id-ce-subjectAltName
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// Connects, speaks `acme-tls/1` and reads the certificate.
pub(super) async fn validate(
    settings: &Settings,
    perspective: &Perspective,
    question: &Question<'_>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let (host, sni) = match question.identifier {
        Identifier::Dns(name) => (Host::Name(name.to_string()), name.to_string()),
        Identifier::Ip(address) => (Host::Address(*address), reverse_name(*address)),
    };
    let sni = ServerName::try_from(sni)
        .map_err(|error| Failure::malformed(format!("{} is not a TLS server name: {error}", question.identifier)))?;
    let dialled = dial(settings, perspective, &host, settings.tls_port, deadline).await?;
    let address = dialled.address;
    let stream = handshake(dialled, Some(sni), &[PROTOCOL], deadline).await?;
    // RFC 8737 §3: nothing is sent over the connection.
    let (_, connection) = stream.get_ref();
    if connection.alpn_protocol() != Some(PROTOCOL) {
        return Err(Failure::tls(format!("{address} did not agree to the protocol acme-tls/1")));
    }
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    let Some(certificate) = certificate else {
        return Err(Failure::tls(format!("{address} sent no certificate")));
    };
    certificate_shows(certificate, question.identifier, question.key_authorization)
        .map_err(|reason| Failure::incorrect(format!("the certificate that {address} sent {reason}")))
}

/// Whether a certificate shows control over the identifier (RFC 8737 §3).
///
/// # Errors
/// What is wrong with it.
pub fn certificate_shows(certificate: &[u8], identifier: &Identifier, key_authorization: &str) -> Result<(), String> {
    let parsed = Certificate::from_der(certificate).map_err(|error| format!("cannot be read: {error}"))?;
    let tbs = parsed.tbs_certificate();
    let extensions = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
    shows_name(only(extensions, SUBJECT_ALT_NAME, "subjectAltName")?, identifier)?;
    let proof = only(extensions, ACME_IDENTIFIER, "acmeIdentifier")?;
    if !proof.critical {
        return Err("has an acmeIdentifier extension that is not critical".to_owned());
    }
    let expected = digest(&SHA256, key_authorization.as_bytes());
    let found = authorization(proof.extn_value.as_bytes())?;
    if found != expected.as_ref() {
        return Err(format!(
            "has the digest {}… in its acmeIdentifier extension, not {}…",
            start(found),
            start(expected.as_ref())
        ));
    }
    let is_self_issued = tbs.issuer() == tbs.subject();
    let key = tbs.subject_public_key_info().to_der().map_err(|error| format!("has an unreadable key: {error}"))?;
    if !is_self_issued || !chancery_ca::verify::certificate_signature(certificate, &key) {
        return Err("is not self-signed, as RFC 8737 wants it".to_owned());
    }
    Ok(())
}

/// The one extension of its kind: a second would leave it to each reader which of them counts.
fn only<'a>(extensions: &'a [Extension], id: ObjectIdentifier, name: &str) -> Result<&'a Extension, String> {
    let mut found = extensions.iter().filter(|extension| extension.extn_id == id);
    match (found.next(), found.next()) {
        (Some(extension), None) => Ok(extension),
        (None, _) => Err(format!("has no {name} extension; is another server answering?")),
        (Some(_), Some(_)) => Err(format!("has several {name} extensions")),
    }
}

fn shows_name(extension: &Extension, identifier: &Identifier) -> Result<(), String> {
    let names = SubjectAltName::from_der(extension.extn_value.as_bytes())
        .map_err(|error| format!("has unreadable alternative names: {error}"))?;
    let [name] = names.0.as_slice() else {
        return Err(format!("has {} alternative names, not only {identifier}", names.0.len()));
    };
    let is_same = match (identifier, name) {
        (Identifier::Dns(wanted), GeneralName::DnsName(found)) => found.as_str().eq_ignore_ascii_case(wanted.as_str()),
        (Identifier::Ip(IpAddr::V4(wanted)), GeneralName::IpAddress(found)) => found.as_bytes() == wanted.octets(),
        (Identifier::Ip(IpAddr::V6(wanted)), GeneralName::IpAddress(found)) => found.as_bytes() == wanted.octets(),
        _ => false,
    };
    if is_same { Ok(()) } else { Err(format!("is for {}, not for {identifier}", shown(name))) }
}

fn shown(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => excerpt(name.as_bytes()),
        GeneralName::IpAddress(bytes) => {
            match (<[u8; 4]>::try_from(bytes.as_bytes()), <[u8; 16]>::try_from(bytes.as_bytes())) {
                (Ok(four), _) => IpAddr::from(four).to_string(),
                (_, Ok(six)) => IpAddr::from(six).to_string(),
                _ => "an address of another length".to_owned(),
            }
        }
        _ => "a name of another kind".to_owned(),
    }
}

/// `Authorization ::= OCTET STRING (SIZE (32))`, and nothing behind it.
fn authorization(value: &[u8]) -> Result<&[u8], String> {
    let unreadable = |error: der::Error| format!("has an unreadable acmeIdentifier extension: {error}");
    let mut reader = SliceReader::new(value).map_err(unreadable)?;
    let octets = <&OctetStringRef>::decode(&mut reader).map_err(unreadable)?.as_bytes();
    if !reader.is_finished() || octets.len() != 32 {
        return Err("has an acmeIdentifier extension that is not one digest of 32 bytes".to_owned());
    }
    Ok(octets)
}

fn start(digest: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest.get(..6).unwrap_or_default())
}

/// The name under which an address stands in the reverse map (RFC 8738 §6): there is no SNI for addresses.
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
            format!("{}ip6.arpa", nibbles.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_as_the_reverse_map_names_them() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse_name("2001:db8::567:89ab".parse().unwrap()),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn the_extension_holds_one_digest_of_its_length() {
        let mut value = vec![4, 32];
        value.extend([7; 32]);
        assert_eq!(authorization(&value).unwrap(), [7; 32]);
        value.push(0);
        assert!(authorization(&value).is_err());
        for bad in [&[][..], &[4, 0], &[4, 1, 1], &[4, 33], &[5, 0], &[4, 0x81, 32]] {
            assert!(authorization(bad).is_err(), "{bad:?}");
        }
    }
}

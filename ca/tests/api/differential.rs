//! One leaf profile, encoded by us and by `rcgen`: two encoders, one TBS, but for what each chooses for itself.

use crate::harness::Mount;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use serde_json::json;
use x509_parser::{certificate::X509Certificate, pem::parse_x509_pem, prelude::FromDer};

#[tokio::test]
async fn rcgen_encodes_the_same_leaf() {
    let mount = Mount::with_role(json!({"allow_any_name": true, "organization": "Org"})).await;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut request = CertificateParams::new(vec!["b.example.com".to_owned()]).unwrap();
    request.distinguished_name = DistinguishedName::new();
    request.distinguished_name.push(DnType::CommonName, "a.example.com");
    let csr = request.serialize_request(&key).unwrap().pem().unwrap();
    let issued = mount.write("sign/r", json!({"csr": csr})).await.ok();
    let (_, pem) = parse_x509_pem(issued["certificate"].as_str().unwrap().as_bytes()).unwrap();
    let (_, ours) = X509Certificate::from_der(&pem.contents).unwrap();

    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    for (kind, value) in [(DnType::OrganizationName, "Org"), (DnType::CommonName, "a.example.com")] {
        parameters.distinguished_name.push(kind, rcgen::DnValue::PrintableString(value.try_into().unwrap()));
    }
    parameters.subject_alt_names =
        ["b.example.com", "a.example.com"].map(|name| SanType::DnsName(name.try_into().unwrap())).to_vec();
    parameters.serial_number = Some(SerialNumber::from_slice(ours.raw_serial()));
    parameters.not_before = ours.validity().not_before.to_datetime();
    parameters.not_after = ours.validity().not_after.to_datetime();
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.use_authority_key_identifier_extension = true;

    // The issuer as rcgen knows it: our root's name, and a key of its own, as ours does not leave the token.
    let stand_in = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut root = CertificateParams::default();
    root.distinguished_name = DistinguishedName::new();
    root.distinguished_name.push(DnType::CommonName, rcgen::DnValue::PrintableString("Root".try_into().unwrap()));
    let issuer_id = ours.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
            id.key_identifier.as_ref().map(|id| id.0.to_vec())
        }
        _ => None,
    });
    root.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(issuer_id.unwrap());
    let theirs = parameters.signed_by(&key, &Issuer::new(root, stand_in)).unwrap();
    let (_, theirs) = X509Certificate::from_der(theirs.der()).unwrap();

    assert_eq!(ours.tbs_certificate.version, theirs.tbs_certificate.version);
    assert_eq!(ours.raw_serial(), theirs.raw_serial());
    assert_eq!(ours.issuer().as_raw(), theirs.issuer().as_raw());
    assert_eq!(ours.subject().as_raw(), theirs.subject().as_raw());
    assert_eq!(ours.public_key().raw, theirs.public_key().raw);
    assert_eq!(ours.validity(), theirs.validity());
    // rcgen leaves the subject key identifier out of leaves; all others must be there, byte for byte.
    let encoded = |certificate: &X509Certificate<'_>| {
        let mut list: Vec<_> = certificate
            .extensions()
            .iter()
            .map(|extension| (extension.oid.to_id_string(), extension.critical, extension.value.to_vec()))
            .filter(|(oid, _, _)| oid != "2.5.29.14")
            .collect();
        list.sort();
        list
    };
    assert_eq!(encoded(&ours), encoded(&theirs));
}

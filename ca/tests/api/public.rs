use crate::harness::Mount;
use chancery_ca::CertificateAuthority;
use chancery_engine::{Access, Service, Verb};
use serde_json::json;

#[tokio::test]
async fn an_empty_mount_answers_as_the_wire_does() {
    let mount = Mount::new().await;
    for path in ["ca", "ca/pem", "ca_chain"] {
        let reply = mount.read(path).await;
        assert_eq!((reply.status, reply.raw.len()), (204, 0), "{path}");
    }
    mount.read("cert/ca").await.refused("no default issuer currently configured");
    mount.read("cert/ca_chain").await.refused("no default issuer currently configured");
    mount.read("cert/crl").await.refused("no default issuer currently configured");
    let reply = mount.read("issuer/default").await;
    assert_eq!((reply.status, reply.error.as_str()), (500, "no default issuer currently configured"));
    for path in ["issuers", "keys", "certs", "roles"] {
        assert_eq!(mount.list(path).await.status, 404, "{path}");
    }
    assert_eq!(mount.read("crl/rotate").await.ok(), json!({"success": true}));
}

#[tokio::test]
async fn every_form_of_the_ca_is_the_same_certificate() {
    let mount = Mount::with_root().await;
    let pem = String::from_utf8(mount.read("ca/pem").await.raw).unwrap();
    assert_eq!(mount.read("cert/ca").await.text("certificate"), pem);
    assert_eq!(String::from_utf8(mount.read("ca_chain").await.raw).unwrap(), pem);
    assert_eq!(mount.read("cert/ca_chain").await.text("ca_chain"), pem);
    assert_eq!(mount.read("issuer/root/json").await.text("certificate"), format!("{pem}\n"));
    assert_eq!(String::from_utf8(mount.read("issuer/default/pem").await.raw).unwrap(), format!("{pem}\n"));
    let der = mount.read("ca").await.raw;
    assert_eq!(mount.read("issuer/root/der").await.raw, der);
    assert_eq!(mount.read("cert/ca/raw").await.raw, der);
    let crl = mount.read("crl").await.raw;
    assert_eq!(mount.read("issuer/root/crl/der").await.raw, crl);
    assert!(mount.read("issuer/root/crl").await.text("crl").starts_with("-----BEGIN X509 CRL-----\n"));
    assert_eq!(mount.read("issuer/nope/json").await.error, "unable to find PKI issuer for reference: nope");
}

#[test]
fn only_reads_are_public() {
    for route in CertificateAuthority::routes().describe() {
        if route.access == Access::Public {
            // OCSP asks by POST, and changes nothing by it.
            let reads = |verb: &Verb| matches!(verb, Verb::Read | Verb::List) || route.pattern == "ocsp";
            assert!(route.verbs.iter().all(reads), "{}", route.pattern);
            assert!(!route.pattern.starts_with("roles") && !route.pattern.starts_with("key"), "{}", route.pattern);
        }
    }
}

//! RFC 8737 and RFC 8738 against rustls servers.

use crate::{
    KEY_AUTHORIZATION, assert_failed,
    dns_stub::DnsStub,
    look, name, settings,
    web_stub::{WebStub, raw},
};
use chancery_acme_server::{
    challenge::ChallengeType::{Http01, TlsAlpn01},
    identifier::Identifier,
    problem::ProblemType,
    validation::{Failure, Settings, tls_alpn::certificate_shows},
};
use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, Issuer, KeyPair, SanType};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// 1.3.6.1.5.5.7.1.31
const ACME_IDENTIFIER: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 31];

fn digest(key_authorization: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key_authorization.as_bytes()).as_ref().to_vec()
}

fn proof(key_authorization: &str) -> CustomExtension {
    CustomExtension::new_acme_identifier(&digest(key_authorization))
}

fn named(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn certificate(names: &[SanType], extensions: Vec<CustomExtension>) -> (CertificateDer<'static>, KeyPair) {
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = names.to_vec();
    parameters.custom_extensions = extensions;
    let key = KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().der().clone(), key)
}

/// Sends one certificate, and notes the name it was asked by.
#[derive(Debug)]
struct Noting {
    certificate: Arc<CertifiedKey>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.asked.lock().push(hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.certificate))
    }
}

struct TlsStub {
    port: u16,
    asked: Arc<Mutex<Vec<Option<String>>>>,
    _serving: JoinSet<()>,
}

impl TlsStub {
    async fn start(protocol: &[u8], made: (CertificateDer<'static>, KeyPair)) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, protocol, made).await
    }

    async fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        protocol: &[u8],
        (certificate, key): (CertificateDer<'static>, KeyPair),
    ) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        // Not `from_der`, which reads the certificate and stops at its critical extension.
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let certificate = Arc::new(CertifiedKey::new(vec![certificate], key));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Noting { certificate, asked: Arc::clone(&asked) }));
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.to_vec()];
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut handshakes = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                handshakes.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // As a web server would: for whoever has something to say.
                        tokio::time::sleep(Duration::from_secs(5)).await;
                        drop(stream);
                    }
                });
            }
        });
        Self { port, asked, _serving: serving }
    }
}

async fn ask(stub: &TlsStub) -> Result<(), Failure> {
    let dns = DnsStub::start().await;
    dns.has_a("www.a.test", &[HERE]);
    look(Settings { tls_port: stub.port, ..settings(&dns) }, TlsAlpn01, &name("www.a.test")).await
}

#[tokio::test]
async fn the_certificate_made_for_the_challenge_is_accepted() {
    let stub = TlsStub::start(b"acme-tls/1", certificate(&[named("WWW.a.test")], vec![proof(KEY_AUTHORIZATION)])).await;
    ask(&stub).await.unwrap();
    assert_eq!(*stub.asked.lock(), [Some("www.a.test".to_owned())]);
}

#[tokio::test]
async fn both_versions_of_tls_and_every_usual_key_are_understood() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let mut parameters = CertificateParams::default();
            parameters.subject_alt_names = vec![named("www.a.test")];
            parameters.custom_extensions = vec![proof(KEY_AUTHORIZATION)];
            let made = (parameters.self_signed(&key).unwrap().der().clone(), key);
            let stub = TlsStub::speaking(&[version], b"acme-tls/1", made).await;
            ask(&stub).await.unwrap();
        }
    }
}

#[tokio::test]
async fn addresses_are_asked_by_their_reverse_name() {
    let made = certificate(&[SanType::IpAddress(HERE.into())], vec![proof(KEY_AUTHORIZATION)]);
    let stub = TlsStub::start(b"acme-tls/1", made).await;
    let dns = DnsStub::start().await;
    let settings = Settings { tls_port: stub.port, ..settings(&dns) };
    look(settings, TlsAlpn01, &Identifier::Ip(HERE.into())).await.unwrap();
    assert_eq!(*stub.asked.lock(), [Some("2.0.0.127.in-addr.arpa".to_owned())]);
}

#[tokio::test]
async fn other_certificates_are_refused_and_described() {
    let www = || named("www.a.test");
    let other = || proof("another key authorization");
    let mut lax = proof(KEY_AUTHORIZATION);
    lax.set_criticality(false);
    let mut short = CustomExtension::from_oid_content(&ACME_IDENTIFIER, vec![4, 3, 1, 2, 3]);
    short.set_criticality(true);
    for (names, extensions, says) in [
        (vec![www()], vec![other()], "has the digest"),
        (vec![www()], vec![], "no acmeIdentifier extension"),
        (vec![www()], vec![lax], "not critical"),
        (vec![www()], vec![short], "not one digest of 32 bytes"),
        (vec![named("b.test")], vec![proof(KEY_AUTHORIZATION)], "is for \"b.test\""),
        (vec![named("*.a.test")], vec![proof(KEY_AUTHORIZATION)], "is for \"*.a.test\""),
        (vec![www(), named("b.test")], vec![proof(KEY_AUTHORIZATION)], "has 2 alternative names"),
        (vec![www(), www()], vec![proof(KEY_AUTHORIZATION)], "has 2 alternative names"),
        (vec![SanType::IpAddress(HERE.into())], vec![proof(KEY_AUTHORIZATION)], "is for 127.0.0.2"),
        (vec![SanType::Rfc822Name("www.a.test".try_into().unwrap())], vec![proof(KEY_AUTHORIZATION)], "another kind"),
        (vec![], vec![proof(KEY_AUTHORIZATION)], "no subjectAltName"),
    ] {
        let stub = TlsStub::start(b"acme-tls/1", certificate(&names, extensions)).await;
        assert_failed(ask(&stub).await, ProblemType::IncorrectResponse, says, false);
    }
}

#[tokio::test]
async fn the_certificate_signs_itself() {
    let ca_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = vec![named("www.a.test")];
    parameters.custom_extensions = vec![proof(KEY_AUTHORIZATION)];
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&parameters, &ca_key);
    let foreign = parameters.signed_by(&key, &issuer).unwrap().der().clone();
    let stub = TlsStub::start(b"acme-tls/1", (foreign, key)).await;
    assert_failed(ask(&stub).await, ProblemType::IncorrectResponse, "not self-signed", false);
}

#[tokio::test]
async fn servers_that_do_not_speak_the_protocol_are_told_so() {
    let made = || certificate(&[named("www.a.test")], vec![proof(KEY_AUTHORIZATION)]);
    let stub = TlsStub::start(b"http/1.1", made()).await;
    assert_failed(ask(&stub).await, ProblemType::Tls, "handshake", false);
    let silent = TlsStub::start(b"", made()).await;
    assert_failed(ask(&silent).await, ProblemType::Tls, "acme-tls/1", false);
    let plain = WebStub::start("127.0.0.2:0", |_| raw(b"HTTP/1.1 400 Bad\r\n\r\n")).await;
    let dns = DnsStub::start().await;
    dns.has_a("www.a.test", &[HERE]);
    let settings = || Settings { tls_port: plain.port(), timeout: Duration::from_millis(800), ..settings(&dns) };
    // Who waits for a request and gets a handshake says nothing; who is gone may come back.
    let failure = look(settings(), TlsAlpn01, &name("www.a.test")).await.unwrap_err();
    assert!(failure.problem.detail.contains("TLS handshake with 127.0.0.2"), "{}", failure.problem.detail);
    let gone = Settings { tls_port: 1, ..settings() };
    assert_failed(look(gone, TlsAlpn01, &name("www.a.test")).await, ProblemType::Connection, "cannot connect", true);
}

#[tokio::test]
async fn redirects_to_https_are_followed_whoever_vouches_for_the_certificate() {
    let (made, key) = certificate(&[named("elsewhere.test")], vec![]);
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let tls_port = listener.local_addr().unwrap().port();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&requests);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        crate::web_stub::serve(stream, heard, Arc::new(|_: &str| crate::web_stub::ok(KEY_AUTHORIZATION))).await;
    });
    let web = WebStub::start("127.0.0.2:0", |head| {
        crate::web_stub::redirect(&format!("https://www.a.test{}", head.split(' ').nth(1).unwrap()))
    })
    .await;
    let dns = DnsStub::start().await;
    dns.has_a("www.a.test", &[HERE]);
    let settings = Settings { http_port: web.port(), tls_port, ..settings(&dns) };
    look(settings, Http01, &name("www.a.test")).await.unwrap();
    assert_eq!(requests.lock().len(), 1);
}

#[test]
fn certificates_that_are_none_are_refused() {
    let identifier = name("www.a.test");
    let (good, _) = certificate(&[named("www.a.test")], vec![proof(KEY_AUTHORIZATION)]);
    certificate_shows(&good, &identifier, KEY_AUTHORIZATION).unwrap();
    for length in 0..good.len() {
        assert!(certificate_shows(&good[..length], &identifier, KEY_AUTHORIZATION).is_err(), "{length}");
    }
    let mut longer = good.to_vec();
    longer.push(0);
    assert!(certificate_shows(&longer, &identifier, KEY_AUTHORIZATION).is_err());
    for at in 0..good.len() {
        let mut bent = good.to_vec();
        bent[at] ^= 1;
        assert!(certificate_shows(&bent, &identifier, KEY_AUTHORIZATION).is_err(), "byte {at}");
    }
    let address = Identifier::Ip(IpAddr::from(HERE));
    assert!(certificate_shows(&good, &address, KEY_AUTHORIZATION).unwrap_err().contains("not for 127.0.0.2"));
    let double = vec![proof(KEY_AUTHORIZATION), proof(KEY_AUTHORIZATION)];
    let (double, _) = certificate(&[named("www.a.test")], double);
    assert!(certificate_shows(&double, &identifier, KEY_AUTHORIZATION).unwrap_err().contains("several"));
}

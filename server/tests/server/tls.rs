//! The TLS door: what it speaks, and a certificate that changes while it serves.

use crate::appliance::settings;
use chancery_engine::SystemClock;
use chancery_hsm::Hsm;
use chancery_server::{Appliance, config::Config, core::Parts, http::tls::TlsSource};
use chancery_store::Store;
use std::{path::Path, sync::Arc};

fn write_certificate(directory: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

async fn serve(directory: &Path) -> (Appliance, String) {
    let mut config = Config::for_tests();
    config.listeners[0].tls =
        Some(TlsSource::Files { certificate: directory.join("tls.crt"), key: directory.join("tls.key") });
    let parts = Parts {
        clock: Arc::new(SystemClock),
        store: Store::memory().await.unwrap(),
        hsm: Some(Hsm::software()),
        settings: settings(),
    };
    let appliance = Appliance::start_with(&config, parts).await.unwrap();
    let (address, tls) = appliance.addresses()[0];
    assert!(tls);
    (appliance, format!("https://localhost:{}/livez", address.port()))
}

fn trusting(pem: &str) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([root])
}

#[tokio::test]
async fn http_2_and_http_1_are_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let pem = write_certificate(directory.path());
    let (_appliance, url) = serve(directory.path()).await;
    let answer = trusting(&pem).build().unwrap().get(&url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    let answer = trusting(&pem).http1_only().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_11));
    let old = trusting(&pem).tls_version_max(reqwest::tls::Version::TLS_1_2).build().unwrap();
    assert_eq!(old.get(&url).send().await.unwrap().status().as_u16(), 200);
    assert!(reqwest::get(url.replace("https", "http")).await.is_err(), "plain HTTP gets no answer");
}

#[tokio::test]
async fn a_new_certificate_is_served_after_a_reload_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let first = write_certificate(directory.path());
    let (appliance, url) = serve(directory.path()).await;
    let get = |pem: &str| trusting(pem).build().unwrap().get(&url).send();
    assert!(get(&first).await.is_ok());
    let second = write_certificate(directory.path());
    assert!(get(&second).await.is_err(), "not before the reload");
    appliance.reload().await;
    assert!(get(&second).await.is_ok());
    std::fs::write(directory.path().join("tls.crt"), "not a certificate").unwrap();
    appliance.reload().await;
    assert!(get(&second).await.is_ok(), "the old one stays in service");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::for_tests();
    let certificate = directory.path().join("absent.crt");
    config.listeners[0].tls = Some(TlsSource::Files { certificate, key: directory.path().join("absent.key") });
    let error = Appliance::start(config).await.err().unwrap().to_string();
    assert!(error.contains("absent.crt") && error.contains("readable PEM") && error.lines().count() == 1, "{error}");
}

#[tokio::test]
async fn what_is_no_client_hello_ends_the_connection_and_nothing_else() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let directory = tempfile::tempdir().unwrap();
    let pem = write_certificate(directory.path());
    let (appliance, url) = serve(directory.path()).await;
    let hello = |rest: &[u8]| [&[0x16, 3, 1], rest].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 64],
        hello(&[0, 4, 1, 0, 0, 0]),
        hello(&[0, 5, 1, 0xff, 0xff, 0xff, 0]),
        hello(&[0xff; 300]),
        // A hello that asks for TLS 1.0 and offers no cipher suite.
        hello(&[[0, 45, 1, 0, 0, 41, 3, 1].as_slice(), &[7; 32], &[0, 0, 0, 1, 0, 0, 0]].concat()),
    ] {
        let mut stream = tokio::net::TcpStream::connect(appliance.addresses()[0].0).await.unwrap();
        let _reset = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let closing = tokio::time::timeout(std::time::Duration::from_secs(15), stream.read_to_end(&mut answer));
        assert!(closing.await.is_ok(), "the server hangs up on {bytes:?}");
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert!(trusting(&pem).build().unwrap().get(&url).send().await.is_ok(), "an honest client is served");
}

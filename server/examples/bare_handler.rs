//! The floor that transit is measured against: axum on rustls, the same JSON, base64 and raw aws-lc-rs, two plain audit
//! lines, and nothing else: no tokens, no policies, no HMAC, no key versions.
//!
//! `cargo run --release --example bare_handler -- 127.0.0.1:8399 [audit file] [bodies]` serves `POST /v1/transit/OPERATION/KEY`
//! over TLS with a certificate of its own and over plain HTTP on the next port: `encrypt`, `decrypt` and `rewrap` with
//! AES-256-GCM (one text or `batch_input`), `sign` with Ed25519 where the key is called `ed25519`, else with P-256.
//! `POST /v1/pki/sign/ROLE` and `/v1/ssh/sign/ROLE` get answers of the size that the appliance gives, without anything of
//! a certificate being done for them.
//! With `bodies` its lines hold request and answer as they are, so that what a log of a batch cannot do without, the
//! copy and the write, is part of the floor too.
//! `chancery bench transit --against https://127.0.0.1:8399 --key bench` measures it.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a measuring tool: it may stop at the first surprise")]

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::IntoResponse,
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, server::conn::auto, service::TowerToHyperService};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fs::File, io::Write, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;

struct Floor {
    key: LessSafeKey,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    certificate: String,
    ssh_certificate: String,
    audit: mpsc::UnboundedSender<Vec<u8>>,
    /// Whether lines hold the bodies.
    bodies: bool,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow, default)]
    batch_input: Vec<Item<'a>>,
    plaintext: Option<&'a str>,
    ciphertext: Option<&'a str>,
    input: Option<&'a str>,
}

#[derive(Deserialize)]
struct Item<'a> {
    plaintext: Option<&'a str>,
    ciphertext: Option<&'a str>,
    input: Option<&'a str>,
}

#[derive(Serialize)]
struct Output {
    data: Data,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    One(Outcome),
    Batch { batch_results: Vec<Outcome> },
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Plaintext(String),
    Ciphertext(String),
    Signature(String),
}

/// The body of `pki/sign` or `ssh/sign`.
#[derive(Deserialize)]
struct CertificateInput<'a> {
    #[serde(borrow)]
    csr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    public_key: Option<Cow<'a, str>>,
    ttl: &'a str,
}

/// The answer, in Vault's envelope.
#[derive(Serialize)]
struct CertificateOutput<'a> {
    request_id: &'a str,
    lease_id: &'a str,
    renewable: bool,
    lease_duration: u64,
    data: CertificateData<'a>,
    wrap_info: Option<()>,
    warnings: Option<()>,
    auth: Option<()>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum CertificateData<'a> {
    X509 {
        ca_chain: [&'a str; 2],
        certificate: &'a str,
        expiration: u64,
        issuing_ca: &'a str,
        not_before: u64,
        serial_number: &'a str,
    },
    Ssh {
        issuer_id: &'a str,
        serial_number: &'a str,
        signed_key: &'a str,
    },
}

impl Floor {
    fn certificate(&self, body: &[u8]) -> Vec<u8> {
        let input: CertificateInput<'_> = serde_json::from_slice(body).unwrap();
        assert!(!input.ttl.is_empty());
        let data = match (&input.csr, &input.public_key) {
            (Some(csr), _) => {
                assert!(csr.starts_with("-----BEGIN"));
                CertificateData::X509 {
                    ca_chain: [&self.certificate; 2],
                    certificate: &self.certificate,
                    expiration: 1_800_000_000,
                    issuing_ca: &self.certificate,
                    not_before: 1_799_996_400,
                    serial_number: "01:93:6f:2a:5b:00:51:9c:7e:2d:d0:4c:a1:f3:88:15:6b:c2:97:0e",
                }
            }
            (None, key) => {
                assert!(key.as_deref().unwrap().starts_with("ssh-"));
                CertificateData::Ssh {
                    issuer_id: "c8368dfe-1e4b-419f-b557-76d3d78a5e82",
                    serial_number: "193610a5a8f34c21",
                    signed_key: &self.ssh_certificate,
                }
            }
        };
        let output = CertificateOutput {
            request_id: "0b9a4f3e-6f0e-4a53-8d6f-2f2f5f0f1e3d",
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data,
            wrap_info: None,
            warnings: None,
            auth: None,
        };
        serde_json::to_vec(&output).unwrap()
    }

    fn seal(&self, mut bytes: Vec<u8>) -> Outcome {
        let mut nonce = [0_u8; 12];
        aws_lc_rs::rand::fill(&mut nonce).unwrap();
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes).unwrap();
        let mut sealed = nonce.to_vec();
        sealed.append(&mut bytes);
        Outcome::Ciphertext(format!("vault:v1:{}", STANDARD.encode(sealed)))
    }

    fn open(&self, ciphertext: &str) -> Vec<u8> {
        let mut bytes = STANDARD.decode(ciphertext.strip_prefix("vault:v1:").unwrap()).unwrap();
        let sealed = bytes.split_off(12);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).unwrap();
        let mut sealed = sealed;
        self.key.open_in_place(nonce, Aad::empty(), &mut sealed).unwrap().to_vec()
    }

    /// An audit line; the one of an answer holds the request once more, as Vault's does.
    fn record(&self, kind: &str, path: [&str; 3], bodies: &[&[u8]]) {
        let path = path.join("/");
        let mut line =
            format!("{{\"type\":\"{kind}\",\"time\":\"2026-01-01T00:00:00Z\",\"request\":{{\"path\":\"{path}\"}}")
                .into_bytes();
        if self.bodies {
            for body in bodies {
                line.extend_from_slice(b",\"data\":");
                line.extend_from_slice(body);
            }
        }
        line.extend_from_slice(b"}\n");
        self.audit.send(line).unwrap();
    }

    fn work(&self, operation: &str, key: &str, item: &Item<'_>) -> Outcome {
        match operation {
            "encrypt" => self.seal(STANDARD.decode(item.plaintext.unwrap()).unwrap()),
            "decrypt" => Outcome::Plaintext(STANDARD.encode(self.open(item.ciphertext.unwrap()))),
            "rewrap" => self.seal(self.open(item.ciphertext.unwrap())),
            _ => {
                let input = STANDARD.decode(item.input.unwrap()).unwrap();
                let signature = if key == "ed25519" {
                    STANDARD.encode(self.ed25519.sign(&input))
                } else {
                    STANDARD.encode(self.p256.sign(&SystemRandom::new(), &input).unwrap())
                };
                Outcome::Signature(format!("vault:v1:{signature}"))
            }
        }
    }
}

async fn handle(
    State(floor): State<Arc<Floor>>,
    Path((mount, operation, key)): Path<(String, String, String)>,
    body: Bytes,
) -> impl IntoResponse {
    let path = [mount.as_str(), operation.as_str(), key.as_str()];
    floor.record("request", path, &[&body]);
    let answer = if mount == "transit" { transit(&floor, &operation, &key, &body) } else { floor.certificate(&body) };
    floor.record("response", path, &[&body, &answer]);
    ([("content-type", "application/json")], answer)
}

fn transit(floor: &Floor, operation: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let input: Input<'_> = serde_json::from_slice(body).unwrap();
    let data = if input.batch_input.is_empty() {
        let Input { plaintext, ciphertext, input, .. } = input;
        Data::One(floor.work(operation, key, &Item { plaintext, ciphertext, input }))
    } else {
        let results = input.batch_input.iter().map(|item| floor.work(operation, key, item));
        Data::Batch { batch_results: results.collect() }
    };
    serde_json::to_vec(&Output { data }).unwrap()
}

/// Writes whatever has gathered since the last write, once.
async fn write_audit(mut lines: mpsc::UnboundedReceiver<Vec<u8>>, mut file: File) {
    let (mut gathered, mut text) = (Vec::new(), Vec::new());
    while lines.recv_many(&mut gathered, 4096).await > 0 {
        for line in gathered.drain(..) {
            text.extend_from_slice(&line);
        }
        file.write_all(&text).unwrap();
        text.clear();
    }
}

fn tls() -> Arc<rustls::ServerConfig> {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

async fn serve(address: SocketAddr, router: Router, acceptor: Option<TlsAcceptor>) {
    let listener = TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (router, acceptor) = (router.clone(), acceptor.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(router);
            // A client that goes away in the middle is not this tool's business.
            let _ = match acceptor {
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
                    Err(_) => Ok(()),
                },
                None => builder.serve_connection(TokioIo::new(stream), service).await,
            };
        });
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:8399").parse().unwrap();
    // In the order of the usage above.
    let file = File::create(arguments.next().as_deref().unwrap_or("/dev/null")).unwrap();
    let bodies = arguments.next().is_some_and(|word| word == "bodies");
    let (audit, lines) = mpsc::unbounded_channel();
    tokio::spawn(write_audit(lines, file));
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let signed = rcgen::generate_simple_self_signed(vec![
        "bench.dev.test".to_owned(),
        "as-long-as-what-else-stands-in-a-certificate.dev.test".to_owned(),
    ])
    .unwrap();
    let floor = Floor {
        key,
        p256,
        ed25519: Ed25519KeyPair::generate().unwrap(),
        certificate: signed.cert.pem(),
        ssh_certificate: format!("ssh-ed25519-cert-v01@openssh.com {}\n", STANDARD.encode([7; 536])),
        audit,
        bodies,
    };
    let router = Router::new()
        .route("/v1/{mount}/{operation}/{key}", post(handle))
        // As much as the appliance takes.
        .layer(axum::extract::DefaultBodyLimit::max(32 << 20))
        .with_state(Arc::new(floor));
    let plain = SocketAddr::new(address.ip(), address.port() + 1);
    eprintln!("bare handler on https://{address} and http://{plain}");
    tokio::join!(serve(address, router.clone(), Some(TlsAcceptor::from(tls()))), serve(plain, router, None));
}

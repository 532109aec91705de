//! The floor that `transit/encrypt` is measured against: axum on rustls, the same JSON, base64 and AES-256-GCM, two
//! plain audit lines, and nothing else: no tokens, no policies, no HMAC, no key versions.
//!
//! `cargo run --release --example bare_handler -- 127.0.0.1:8399 [audit file]` serves
//! `POST /v1/transit/encrypt/bench` (one plaintext or `batch_input`) over TLS with a certificate of its own and over
//! plain HTTP on the next port. `chancery bench transit --against https://127.0.0.1:8399` measures it.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a measuring tool: it may stop at the first surprise")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use axum::{Router, body::Bytes, extract::State, response::IntoResponse, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, server::conn::auto, service::TowerToHyperService};
use serde::{Deserialize, Serialize};
use std::{fs::File, io::Write, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;

struct Floor {
    key: LessSafeKey,
    audit: mpsc::UnboundedSender<String>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow, default)]
    plaintext: Option<&'a str>,
    #[serde(borrow, default)]
    batch_input: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    plaintext: &'a str,
}

#[derive(Serialize)]
struct Output {
    data: Data,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    One { ciphertext: String },
    Batch { batch_results: Vec<One> },
}

#[derive(Serialize)]
struct One {
    ciphertext: String,
}

fn encrypt(key: &LessSafeKey, plaintext: &str) -> String {
    let mut bytes = STANDARD.decode(plaintext).unwrap();
    let mut nonce = [0_u8; 12];
    aws_lc_rs::rand::fill(&mut nonce).unwrap();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes).unwrap();
    let mut sealed = nonce.to_vec();
    sealed.append(&mut bytes);
    format!("vault:v1:{}", STANDARD.encode(sealed))
}

async fn handle(State(floor): State<Arc<Floor>>, body: Bytes) -> impl IntoResponse {
    let input: Input<'_> = serde_json::from_slice(&body).unwrap();
    let line = |kind: &str| {
        format!(
            "{{\"type\":\"{kind}\",\"time\":\"2026-01-01T00:00:00Z\",\"request\":{{\"path\":\"transit/encrypt/bench\"}}}}\n"
        )
    };
    floor.audit.send(line("request")).unwrap();
    let data = match input.plaintext {
        Some(plaintext) => Data::One { ciphertext: encrypt(&floor.key, plaintext) },
        None => Data::Batch {
            batch_results: input
                .batch_input
                .iter()
                .map(|item| One { ciphertext: encrypt(&floor.key, item.plaintext) })
                .collect(),
        },
    };
    floor.audit.send(line("response")).unwrap();
    ([("content-type", "application/json")], serde_json::to_vec(&Output { data }).unwrap())
}

/// Writes whatever has gathered since the last write, once.
async fn write_audit(mut lines: mpsc::UnboundedReceiver<String>, mut file: File) {
    let mut gathered = Vec::new();
    while lines.recv_many(&mut gathered, 4096).await > 0 {
        let text: String = gathered.drain(..).collect();
        file.write_all(text.as_bytes()).unwrap();
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
    let file = File::create(arguments.next().as_deref().unwrap_or("/dev/null")).unwrap();
    let (audit, lines) = mpsc::unbounded_channel();
    tokio::spawn(write_audit(lines, file));
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let router =
        Router::new().route("/v1/transit/encrypt/bench", post(handle)).with_state(Arc::new(Floor { key, audit }));
    let plain = SocketAddr::new(address.ip(), address.port() + 1);
    eprintln!("bare handler on https://{address} and http://{plain}");
    tokio::join!(serve(address, router.clone(), Some(TlsAcceptor::from(tls()))), serve(plain, router, None));
}

//! OCSP answers that were signed ahead, one certificate a connection, beside axum handing out the same bytes as static files,
//! read for each request (in place, which from the system's cache is the quickest way) or held in memory: requests a second
//! over plain HTTP/1.1 with keep-alive, in turns within one run.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its figures and fails by panicking"
)]

#[path = "../tests/server/appliance.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use more of it")]
mod appliance;

use appliance::start;
use axum::{Router, extract::Path, http::header, response::IntoResponse, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const CONNECTIONS: usize = 32;
const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 4;

/// Requests about certificates that were just issued, one for each connection.
async fn questions(running: &appliance::Running) -> Vec<Vec<u8>> {
    let write = async |path: &str, body: serde_json::Value| {
        let answer = running.root("POST", &format!("/v1/{path}"), &body.to_string()).await;
        assert!(answer.status < 300, "{path}: {}", answer.text);
        answer
    };
    write("sys/mounts/pki", json!({"type": "pki"})).await;
    let root = json!({"common_name": "Root", "key_type": "ec", "ttl": "700h"});
    let root = write("pki/root/generate/internal", root).await.json();
    write("pki/roles/r", json!({"allow_any_name": true, "key_type": "ec", "ttl": "24h"})).await;
    let place = tempfile::tempdir().unwrap();
    let arguments =
        ["ocsp", "-sha256", "-issuer", "ca.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "request.der"];
    let mut questions = Vec::new();
    for _ in 0..CONNECTIONS {
        let leaf = write("pki/issue/r", json!({"common_name": "a.b"})).await.json();
        for (name, value) in [("ca.pem", &root), ("leaf.pem", &leaf)] {
            std::fs::write(place.path().join(name), value["data"]["certificate"].as_str().unwrap()).unwrap();
        }
        assert!(Command::new("openssl").args(arguments).current_dir(place.path()).status().unwrap().success());
        questions.push(std::fs::read(place.path().join("request.der")).unwrap());
    }
    questions
}

/// Headers as any server of files sends them, and what a cache needs.
fn with_headers(bytes: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "application/ocsp-response"),
        (header::CACHE_CONTROL, "max-age=3600, public, no-transform, must-revalidate"),
        (header::ETAG, "\"0123456789abcdef0123456789abcdef\""),
    ];
    (headers, bytes)
}

/// A server that hands out the answers as files: `/file/NUMBER` from `folder`, `/memory/NUMBER` as they lie in memory.
async fn static_files(folder: PathBuf, answers: Vec<bytes::Bytes>) -> SocketAddr {
    let (folder, answers) = (Arc::new(folder), Arc::new(answers));
    let from_file =
        move |Path(name): Path<String>| async move { with_headers(std::fs::read(folder.join(name)).unwrap()) };
    let from_memory = move |Path(number): Path<usize>| async move { with_headers(answers[number].clone()) };
    let router = Router::new().route("/file/{name}", get(from_file)).route("/memory/{number}", get(from_memory));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (router, builder) = (router.clone(), builder.clone());
            tokio::spawn(async move {
                let service = hyper_util::service::TowerToHyperService::new(router);
                // A client that hangs up ends the connection.
                let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Requests answered in a second, where each connection asks for a path of its own.
async fn rate(address: SocketAddr, paths: &[String]) -> f64 {
    let (started, until) = (Instant::now(), Instant::now() + TURN);
    let mut clients = JoinSet::new();
    for path in paths {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut buffer, mut count) = (vec![0; 16 << 10], 0_u32);
            while Instant::now() < until {
                stream.write_all(request.as_bytes()).await.unwrap();
                read_answer(&mut stream, &mut buffer).await;
                count += 1;
            }
            count
        });
    }
    let count: u32 = clients.join_all().await.into_iter().sum();
    f64::from(count) / started.elapsed().as_secs_f64()
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the server hung up");
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length =
            text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap();
        if filled >= head + 4 + length {
            return;
        }
    }
}

async fn run() {
    let running = start().await;
    let urls = |prefix: &str| (0..CONNECTIONS).map(|number| format!("/{prefix}/{number}")).collect::<Vec<_>>();
    let asked: Vec<String> = questions(&running).await.iter().map(|der| URL_SAFE_NO_PAD.encode(der)).collect();
    let asked: Vec<String> = asked.iter().map(|text| format!("/v1/pki/ocsp/{text}")).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut answers = Vec::new();
    for (number, path) in asked.iter().enumerate() {
        let answer = running.client.get(format!("{}{path}", running.url)).send().await.unwrap().bytes().await.unwrap();
        std::fs::write(folder.path().join(number.to_string()), &answer).unwrap();
        answers.push(answer);
    }
    let files = static_files(folder.path().to_owned(), answers).await;
    let ocsp = running.appliance.addresses()[0].0;
    let (mut ours, mut read, mut held) = (0.0, 0.0, 0.0);
    for _ in 0..TURNS {
        ours += rate(ocsp, &asked).await;
        read += rate(files, &urls("file")).await;
        held += rate(files, &urls("memory")).await;
    }
    let turns = f64::from(u32::try_from(TURNS).unwrap());
    println!("OCSP, signed ahead            {:>9.0} requests a second", ours / turns);
    println!(
        "static file                   {:>9.0} requests a second; OCSP at {:.0} %",
        read / turns,
        ours / read * 100.0
    );
    println!(
        "static bytes held in memory   {:>9.0} requests a second; OCSP at {:.0} %",
        held / turns,
        ours / held * 100.0
    );
}

fn main() {
    // `cargo test --benches` passes this; the figures are for `cargo bench`.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(run());
}

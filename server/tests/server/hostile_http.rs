//! Clients who do not keep to the protocol, on raw sockets: turned away, nothing written, and the next one is served.

use crate::appliance::{Running, start};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// What comes back until the server hangs up.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that hangs up while we still write resets the connection.
    let _reset = stream.write_all(bytes).await;
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server hangs up");
    String::from_utf8_lossy(&answer).into_owned()
}

fn address(running: &Running) -> SocketAddr {
    running.appliance.addresses()[0].0
}

fn put(running: &Running, headers: &str, body: &str) -> String {
    let token = &running.root;
    format!(
        "PUT /v1/kv/hostile HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

/// Nothing was written, and an honest client is served.
async fn assert_unharmed(running: &Running) {
    assert_eq!(running.root("GET", "/v1/kv/hostile", "").await.status, 404, "something was written");
    assert_eq!(running.root("PUT", "/v1/kv/honest", r#"{"a":1}"#).await.status, 204);
}

#[tokio::test]
async fn requests_whose_end_is_in_doubt_are_refused() {
    let running = start().await;
    for headers in [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 7\r\nContent-Length: 8\r\n",
        "Content-Length: +7\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 18446744073709551616\r\n",
    ] {
        let body = "7\r\n{\"a\":1}\r\n0\r\n\r\n";
        let answer = exchange(address(&running), put(&running, headers, body).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers}: {answer}");
    }
    for chunks in
        ["g\r\n{\"a\":1}\r\n0\r\n\r\n", "ffffffffffffffff1\r\n{\"a\":1}\r\n0\r\n\r\n", "7;a\r{\"a\":1}\r\n0\r\n\r\n"]
    {
        let request = put(&running, "Transfer-Encoding: chunked\r\n", chunks);
        let answer = exchange(address(&running), request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{chunks:?}: {answer}");
    }
    assert_unharmed(&running).await;
}

/// RFC 9112 §6.3: such a request may be served by its chunks, but nothing that follows on the connection is believed.
#[tokio::test]
async fn no_request_is_smuggled_behind_one_with_two_lengths() {
    let running = start().await;
    let smuggled = put(&running, "Content-Length: 7\r\n", r#"{"a":1}"#);
    for headers in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"]
    {
        let first = format!("PUT /v1/nosuch/x HTTP/1.1\r\nHost: x\r\n{headers}\r\n0\r\n\r\n{smuggled}");
        let answer = exchange(address(&running), first.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers}: {answer}");
    }
    assert_unharmed(&running).await;
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_size() {
    let running = start().await;
    let many: String = (0..2_000).map(|number| format!("x{number}: y\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(17 << 10));
    let uri = format!("GET /v1/kv/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(17 << 10));
    for request in [put(&running, &many, ""), put(&running, &long, ""), uri] {
        let answer = exchange(address(&running), request.as_bytes()).await;
        let refused = ["HTTP/1.1 431 ", "HTTP/1.1 414 ", "HTTP/1.1 400 "].iter().any(|start| answer.starts_with(start));
        assert!(answer.is_empty() || refused, "{answer}");
    }
    assert_unharmed(&running).await;
}

/// Dribbled a byte a time, so that the connection is never idle; the second half of them dribble HTTP/2's preface.
#[tokio::test]
async fn slow_heads_and_silence_are_cut_off() {
    let running = start().await;
    let began = Instant::now();
    let dribble = |text: &'static [u8]| {
        let address = address(&running);
        async move {
            let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
            let writing = tokio::spawn(async move {
                for byte in text.iter().cycle().take(60) {
                    if writer.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let mut answer = Vec::new();
            let _reset = timeout(PATIENCE, reader.read_to_end(&mut answer)).await.expect("the server hangs up");
            writing.abort();
        }
    };
    let half_a_preface = async {
        let mut stream = TcpStream::connect(address(&running)).await.unwrap();
        stream.write_all(b"PRI * HTTP/2").await.unwrap();
        rest(&mut stream).await
    };
    let silence = async { exchange(address(&running), b"").await };
    let (_, _, _, text) = tokio::join!(dribble(b"GET /livez HTTP/1.1\r\nX-"), half_a_preface, silence, async {
        running.root("GET", "/v1/kv/honest", "").await.status
    });
    assert_eq!(text, 404, "an honest client is served meanwhile");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_unharmed(&running).await;
}

#[tokio::test]
async fn bodies_larger_than_the_limit_are_refused_whatever_was_announced() {
    let running = start().await;
    let announced = put(&running, "Content-Length: 40000000\r\n", "{");
    let mut stream = TcpStream::connect(address(&running)).await.unwrap();
    stream.write_all(announced.as_bytes()).await.unwrap();
    let mut start = [0; 13];
    timeout(PATIENCE, stream.read_exact(&mut start)).await.unwrap().unwrap();
    assert_eq!(&start, b"HTTP/1.1 413 ", "before the body came");
    drop(stream);
    // Unannounced: chunk after chunk, until the server has had enough.
    let mut stream = TcpStream::connect(address(&running)).await.unwrap();
    stream.write_all(put(&running, "Transfer-Encoding: chunked\r\n", "").as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 64 && stream.write_all(&chunk).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "64 MiB were taken");
    assert_unharmed(&running).await;
}

#[tokio::test]
async fn json_bombs_are_refused() {
    let running = start().await;
    let deep = "[".repeat(1 << 20);
    let wide = format!("[{}]", vec!["{}"; 100_000].join(","));
    for bomb in [format!("{{\"a\":{deep}"), format!("{{\"a\":{wide}}}"), "{".repeat(1 << 20), deep.clone()] {
        let answer = running.root("PUT", "/v1/kv/hostile", &bomb).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.len() < 300, "{}", answer.text);
    }
    let form = (0..500_000).map(|number| format!("{number}&")).collect::<String>();
    let request = running.request("PUT", "/v1/kv/hostile").header("X-Vault-Token", &running.root);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(request.send().await.unwrap().status(), 400);
    assert_unharmed(&running).await;
}

/// Clients who send all of the largest body but its last byte: the server holds 512 MiB of it at most and asks
/// the others to come back.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_at_once_are_bounded() {
    let running = start().await;
    let size: usize = 31 << 20;
    let head = put(&running, &format!("Content-Length: {size}\r\n"), "");
    let body = bytes::Bytes::from(vec![b' '; size - 1]);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (address, head, body) = (address(&running), head.clone(), body.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let _reset = stream.write_all(&body).await;
            let mut start = vec![0; 13];
            let answered = timeout(Duration::from_secs(5), stream.read_exact(&mut start)).await;
            (stream, answered.is_ok_and(|read| read.is_ok()).then_some(start))
        });
    }
    let answers: Vec<_> = clients.join_all().await;
    let refused = answers.iter().filter(|(_, answer)| answer.as_deref() == Some(b"HTTP/1.1 503 ")).count();
    assert!(refused >= 8, "{refused} of 24 were asked to come back");
    // Small requests are served all the while.
    assert_unharmed(&running).await;
    drop(answers);
    // The room is given back.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(running.root("PUT", "/v1/kv/large", &large).await.status, 204);
}

/// CVE-2023-44487: streams that are opened and reset at once.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let running = start().await;
    let mut stream = TcpStream::connect(address(&running)).await.unwrap();
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, b""));
    // RFC 7541 Appendix A: GET, http, /, and `:authority: x`.
    let headers = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
    for number in 0..5_000_u32 {
        bytes.extend(frame(1, 5, 2 * number + 1, &headers));
        bytes.extend(frame(3, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    let _reset = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server hangs up");
    assert_unharmed(&running).await;
}

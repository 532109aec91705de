//! Web servers that answer what they were told, well-formed or not.

use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

/// What follows a request: bytes, and pauses between them.
pub(crate) type Script = Arc<dyn Fn(&str) -> Vec<Piece> + Send + Sync>;

#[derive(Clone)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// That often, that long apart.
    Drip(Vec<u8>, usize, Duration),
}

pub(crate) struct WebStub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    _serving: JoinSet<()>,
}

impl WebStub {
    /// `answer` makes the bytes from the request's head.
    pub(crate) async fn start(address: &str, answer: impl Fn(&str) -> Vec<Piece> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let mut serving = JoinSet::new();
        let (heard, counted, script): (_, _, Script) =
            (Arc::clone(&requests), Arc::clone(&connections), Arc::new(answer));
        serving.spawn(async move {
            let mut answering = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock() += 1;
                answering.spawn(serve(stream, Arc::clone(&heard), Arc::clone(&script)));
            }
        });
        Self { address, requests, connections, _serving: serving }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock()
    }
}

/// One request, one answer.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: Arc<Mutex<Vec<String>>>,
    script: Script,
) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(length) if length > 0 => head.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    requests.lock().push(head.clone());
    for piece in script(&head) {
        let (bytes, times, pause) = match piece {
            Piece::Bytes(bytes) => (bytes, 1, Duration::ZERO),
            Piece::Drip(bytes, times, pause) => (bytes, times, pause),
        };
        for _ in 0..times {
            if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }
    let _closed = stream.shutdown().await;
}

pub(crate) fn ok(body: &str) -> Vec<Piece> {
    vec![Piece::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())]
}

pub(crate) fn redirect(location: &str) -> Vec<Piece> {
    vec![Piece::Bytes(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes())]
}

pub(crate) fn raw(bytes: &[u8]) -> Vec<Piece> {
    vec![Piece::Bytes(bytes.to_vec())]
}

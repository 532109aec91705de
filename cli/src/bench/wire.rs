//! A bare HTTP/1.1 client with keep-alive: requests are rendered once, of the answers only status and length are read.

use super::Ask;
use crate::{
    failure::{Failure, Result},
    remote::Remote,
};
use reqwest::Url;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{net::IpAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Where to send what.
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    requests: Vec<Vec<u8>>,
}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Target {
    pub(super) fn new(remote: &Remote, asks: impl Iterator<Item = Ask>) -> Result<Self> {
        let wrong = || Failure::local(format!("{} is not the address of a server", remote.address()));
        let url = Url::parse(remote.address()).map_err(|error| wrong().because(error))?;
        let host = url.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().ok_or_else(wrong)?;
        let tls = match url.scheme() {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|error| wrong().because(error))?;
                Some((TlsConnector::from(Arc::new(tls(remote)?)), name))
            }
            _ => None,
        };
        let token = remote.token().unwrap_or_default();
        let requests = asks.map(|Ask { method, path, body }| {
            let body = body.to_string();
            let length = body.len();
            let request = format!(
                "{method} /v1/{path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Vault-Request: true\r\n\
                 X-Vault-Token: {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            request.into_bytes()
        });
        let requests = requests.collect();
        Ok(Self { host, port, tls, requests })
    }

    /// How many requests there are.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self> {
        let lost = |error| Failure::remote(format!("no connection to {}:{}", target.host, target.port)).because(error);
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let stream: Box<dyn Stream> = match &target.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await.map_err(lost)?),
        };
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and reads the whole answer; gives its status.
    pub(super) async fn exchange(&mut self, target: &Target, request: usize) -> Result<u16> {
        let lost = |error| Failure::remote("the server closed the connection").because(error);
        let request = target.requests.get(request).map(Vec::as_slice).unwrap_or_default();
        self.stream.write_all(request).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        self.buffer.clear();
        let mut known = None;
        loop {
            // The head is read once: an answer may come in thousands of pieces.
            known = if known.is_none() { head(&self.buffer)? } else { known };
            match &known {
                Some((status, Extent::Bytes(whole))) if self.buffer.len() >= *whole => return Ok(*status),
                // One request at a time on a connection: nothing can follow the last chunk.
                Some((status, Extent::Chunks)) if self.buffer.ends_with(b"\r\n0\r\n\r\n") => return Ok(*status),
                _ => {}
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(lost)? == 0 {
                return Err(Failure::remote("the server closed the connection"));
            }
        }
    }
}

impl Connection {
    /// The last answer, if it came in one piece.
    pub(super) fn body(&self) -> &[u8] {
        let end = self.buffer.windows(4).position(|window| window == b"\r\n\r\n");
        end.and_then(|end| self.buffer.get(end + 4..)).unwrap_or_default()
    }
}

/// How far an answer reaches.
#[derive(Debug, PartialEq, Eq)]
enum Extent {
    /// Head and body together.
    Bytes(usize),
    /// `Transfer-Encoding: chunked`
    Chunks,
}

/// Status and extent of the answer, once its head is there.
fn head(bytes: &[u8]) -> Result<Option<(u16, Extent)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let strange = || Failure::remote("the server's answer is not HTTP/1.1 with a length");
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| strange())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(strange)?;
    let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    if fields.iter().any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value.trim() == "chunked") {
        return Ok(Some((status, Extent::Chunks)));
    }
    let length = fields
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.trim().parse::<usize>().ok())
        .ok_or_else(strange)?;
    Ok(Some((status, Extent::Bytes(end + 4 + length))))
}

/// The same trust as every other command's, for a socket of our own.
fn tls(remote: &Remote) -> Result<ClientConfig> {
    let mut config = ClientConfig::builder().with_root_certificates(remote.root_store()?).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_measured_by_its_head() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(head(answer).unwrap(), Some((200, Extent::Bytes(answer.len()))));
        assert_eq!(head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Some((204, Extent::Bytes(27))));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        assert_eq!(head(chunked).unwrap(), Some((200, Extent::Chunks)));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }
}

//! http-01 (RFC 8555 §8.3): what a web server answers on port 80, after at most ten redirects.

use super::{
    Failure, Question, Settings,
    dial::{Dialled, Host, dial, handshake},
    failure::{Deadline, excerpt},
    resolver::Perspective,
};
use crate::identifier::{DnsName, Identifier};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};
use url::Url;

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 10;
/// A key authorization has less than 150 bytes (RFC 8555 §8.1, RFC 7638); what is longer than this is not one.
const LONGEST_BODY: usize = 512;
/// Header lines may take this much room in all, and be this many.
const LONGEST_HEADER: usize = 16 << 10;
const MOST_HEADERS: usize = 100;
/// A key authorization has no more characters than this: what is longer is refused before anybody is asked.
const LONGEST_TOKEN: usize = 128;

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: Host,
    port: u16,
    is_secure: bool,
    /// Path and query.
    path: String,
    /// As it stands in `Host`.
    authority: String,
}

/// Asks the identifier's web server, and those it sends us to.
pub(super) async fn validate(
    settings: &Settings,
    perspective: &Perspective,
    question: &Question<'_>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut url = first(settings, question).map_err(Failure::malformed)?;
    for redirects in 0.. {
        let target = Target::of(&url, settings).map_err(|reason| match redirects {
            0 => Failure::malformed(format!("{url} {reason}")),
            _ => {
                Failure::incorrect(format!("a redirect leads to {}, which {reason}", excerpt(url.as_str().as_bytes())))
            }
        })?;
        let answer = ask(settings, perspective, &target, deadline).await.map_err(|failure| match redirects {
            0 => failure,
            _ => failure.with(&format!(", where {redirects} redirects led")),
        })?;
        match answer {
            Answer::Body(body) => {
                return compare(&url, &body, question.key_authorization).map_err(Failure::incorrect);
            }
            Answer::Redirect(_) if redirects >= MOST_REDIRECTS => {
                return Err(Failure::incorrect(format!("more than {MOST_REDIRECTS} redirects, the last from {url}")));
            }
            Answer::Redirect(location) => {
                url = follow(&url, &location).map_err(|reason| {
                    Failure::incorrect(format!("{url} redirects to {}, which {reason}", excerpt(location.as_bytes())))
                })?;
            }
        }
    }
    Err(Failure::incorrect("redirects without end"))
}

/// Where to begin: the name itself, port 80, and a path that only the token varies.
fn first(settings: &Settings, question: &Question<'_>) -> Result<Url, String> {
    let token = question.token;
    let is_token = (1..=LONGEST_TOKEN).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !is_token {
        return Err("the token is not base64url, so it is no part of a path".to_owned());
    }
    let host = match question.identifier {
        Identifier::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        other => other.to_string(),
    };
    let text = format!("http://{host}:{}/.well-known/acme-challenge/{token}", settings.http_port);
    Url::parse(&text).map_err(|error| format!("{text} is not a URL: {error}"))
}

/// Where a redirect leads, seen from where it was found.
///
/// # Errors
/// Why it cannot be followed.
pub fn follow(from: &Url, location: &str) -> Result<Url, String> {
    from.join(location).map_err(|error| format!("is not a URL: {error}"))
}

impl Target {
    /// Reads a URL that may be a stranger's.
    ///
    /// # Errors
    /// Why it is not asked.
    pub fn of(url: &Url, settings: &Settings) -> Result<Self, String> {
        let is_secure = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err("is neither http nor https".to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user name or a password".to_owned());
        }
        let port = match url.port() {
            None if is_secure => settings.tls_port,
            None => settings.http_port,
            Some(port) if [80, 443, settings.http_port, settings.tls_port].contains(&port) => port,
            Some(port) => return Err(format!("has the port {port}; only 80 and 443 are asked")),
        };
        let host = match url.host() {
            None => return Err("names no host".to_owned()),
            Some(url::Host::Ipv4(address)) => Host::Address(address.into()),
            Some(url::Host::Ipv6(address)) => Host::Address(address.into()),
            Some(url::Host::Domain(name)) => {
                let name = DnsName::parse(name).map_err(|reason| format!("names a host that {reason}"))?;
                Host::Name(name.to_string())
            }
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let authority = url.authority().to_owned();
        Ok(Self { host, port, is_secure, path, authority })
    }

    /// The host that would be connected to, for tests: a name, or an address.
    #[must_use]
    pub fn host(&self) -> String {
        self.host.to_string()
    }

    /// The port that would be connected to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

enum Answer {
    Body(Vec<u8>),
    Redirect(String),
}

async fn ask(
    settings: &Settings,
    perspective: &Perspective,
    target: &Target,
    deadline: Deadline,
) -> Result<Answer, Failure> {
    let dialled = dial(settings, perspective, &target.host, target.port, deadline).await?;
    let address = dialled.address;
    if target.is_secure {
        let sni = match &target.host {
            Host::Name(name) => ServerName::try_from(name.clone()).ok(),
            Host::Address(_) => None,
        };
        let stream = handshake(dialled, sni, &[b"http/1.1"], deadline).await?;
        deadline
            .bound(Failure::connection, || format!("the answer of {address}"), exchange(stream, target, address))
            .await
    } else {
        let Dialled { stream, .. } = dialled;
        deadline
            .bound(Failure::connection, || format!("the answer of {address}"), exchange(stream, target, address))
            .await
    }
}

/// One request, one answer; the connection ends with the function.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &Target,
    address: SocketAddr,
) -> Result<Answer, Failure> {
    let broken = |error: hyper::Error| {
        if error.is_parse() || error.is_parse_too_large() {
            Failure::incorrect(format!("{address} does not answer in HTTP: {error}"))
        } else {
            Failure::connection(format!("the connection to {address} broke: {error}"))
        }
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LONGEST_HEADER).max_headers(MOST_HEADERS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with this set, whichever way the function ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::USER_AGENT, HeaderValue::from_static("chancery-acme-validation"))
        .header(header::ACCEPT, HeaderValue::from_static("*/*"))
        .header(header::CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| {
            Failure::incorrect(format!("{} cannot be asked for: {error}", excerpt(target.path.as_bytes())))
        })?;
    let response = sender.send_request(request).await.map_err(broken)?;
    read(response, target, address).await
}

async fn read(response: Response<Incoming>, target: &Target, address: SocketAddr) -> Result<Answer, Failure> {
    let status = response.status();
    let asked = || format!("http{}://{}{}", if target.is_secure { "s" } else { "" }, target.authority, target.path);
    if matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    ) {
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        return match location {
            Some(location) => Ok(Answer::Redirect(location.to_owned())),
            None => Err(Failure::incorrect(format!("{address} redirects {} without saying where to", asked()))),
        };
    }
    if status != StatusCode::OK {
        let failure = Failure::incorrect(format!("{address} answers {} with status {status}", asked()));
        // What is not there yet, and servers that have a bad moment.
        let may_pass =
            status.is_server_error() || [StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        return Err(if may_pass { failure.may_pass() } else { failure });
    }
    let mut body = response.into_body();
    let mut found = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Failure::connection(format!("the answer of {address} broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            found.extend_from_slice(&data);
        }
        if found.len() > LONGEST_BODY {
            return Err(Failure::incorrect(format!(
                "{address} answers {} with more than {LONGEST_BODY} bytes, beginning with {}; a key authorization is \
                 shorter",
                asked(),
                excerpt(&found)
            )));
        }
    }
    Ok(Answer::Body(found))
}

/// RFC 8555 §8.3: white space at the end is tolerated.
fn compare(url: &Url, body: &[u8], expected: &str) -> Result<(), String> {
    if body.trim_ascii_end() == expected.as_bytes() {
        return Ok(());
    }
    Err(format!("{url} answers with {}, not with the key authorization {expected:?}", excerpt(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(location: &str) -> Result<Target, String> {
        let from = Url::parse("http://www.example.com/.well-known/acme-challenge/t").unwrap();
        Target::of(&follow(&from, location)?, &Settings::default())
    }

    #[test]
    fn redirects_lead_to_web_servers_only() {
        for (location, host, port) in [
            ("/other", "www.example.com", 80),
            ("//b.example/x", "b.example", 80),
            ("https://b.example/x?y=z#w", "b.example", 443),
            ("https://b.example:80/", "b.example", 80),
            ("http://127.1/", "127.0.0.1", 80),
            ("http://0x7f000001/", "127.0.0.1", 80),
            ("http://[::ffff:10.0.0.1]/", "::ffff:10.0.0.1", 80),
        ] {
            let target = target(location).unwrap();
            assert_eq!((target.host().as_str(), target.port()), (host, port), "{location}");
        }
        assert_eq!(target("https://b.example/x?y=z#w").unwrap().path, "/x?y=z");
        for bad in [
            "ftp://b.example/",
            "file:///etc/passwd",
            "gopher://b.example/",
            "http://b.example:22/",
            "http://b.example:8200/",
            "http://user@b.example/",
            "http://:secret@b.example/",
            "http://b_c.example/",
            "http://b.example./",
            "http:///",
            "javascript:alert(1)",
            "http://[::1",
            "http://a b/",
            "data:text/plain,x",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_are_no_paths() {
        let identifier = Identifier::Dns(DnsName::parse("www.example.com").unwrap());
        for token in ["", "a/b", "..", "a.b", "a?b", "a#b", "a%2e", "a b", "a\r\nb", "é", &"a".repeat(200)] {
            let question = Question {
                challenge: crate::challenge::ChallengeType::Http01,
                identifier: &identifier,
                wildcard: false,
                token,
                key_authorization: "x",
                account_url: "x",
            };
            assert!(first(&Settings::default(), &question).is_err(), "{token:?}");
        }
    }
}

//! From an HTTP request to a [`Request`]: method, path, headers, body. What is refused here is refused before anyone
//! knows who asks (the texts are the real server's).

use super::{
    acme, body,
    door::Door,
    ocsp,
    response::{HttpResponse, bare, render},
};
use crate::{
    audit::{Audited, Exemption},
    heavy, ids,
    reply::Reply,
};
use chancery_engine::{Fault, Request, RequestPath, SecretString, Verb, wire::parse_duration};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use hyper::body::{Body as _, Incoming};
use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size count as small; of larger ones only so many bytes are held at once.
const SMALL_BODY_BYTES: usize = 64 << 10;

/// A body may take this long to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that never reach an engine or the audit log.
const PRIVATE_HEADERS: [&str; 4] = ["x-vault-token", "authorization", "cookie", "proxy-authorization"];

/// The share of [`Door::large_bodies`] a request takes; to be dropped with its body.
pub(crate) type Held = Option<OwnedSemaphorePermit>;

/// Reads one request to `/v1/…`. The error is the answer.
pub(crate) async fn read(
    parts: Parts,
    incoming: Incoming,
    client: SocketAddr,
    door: &Door,
) -> Result<(Request, Held), Box<HttpResponse>> {
    let id = ids::request_id();
    let query = parts.uri.query().unwrap_or_default();
    let heads = parts.method == Method::HEAD && acme::is_nonce_path(door, parts.uri.path());
    let verb = if heads { Verb::Read } else { verb(&parts.method, query, parts.uri.path())? };
    let refuse = |fault: Fault| {
        let reply = Reply::new(id.clone(), Err(fault));
        Box::new(render(Audited::exempt(reply, Exemption::Unreadable)))
    };
    let path = parts.uri.path().strip_prefix("/v1/").unwrap_or_default();
    let path = RequestPath::parse(&ocsp::path(door, path)).map_err(|error| refuse(Fault::Caller(error.to_string())))?;
    if matches!(verb, Verb::Write | Verb::Patch) && path.has_trailing_slash() {
        return Err(refuse(Fault::caller("cannot write to a path ending in '/'")));
    }
    check_namespace(&parts.headers).map_err(refuse)?;
    let wrap_ttl = wrap_ttl(&parts.headers).map_err(refuse)?;
    check_transfer_encoding(&parts.headers).map_err(refuse)?;
    let token = token(&parts.headers);
    let mut held = None;
    let body = match verb {
        Verb::Write | Verb::Patch => {
            let bytes = read_body(verb, &parts.headers, incoming, door, &mut held).await.map_err(refuse)?;
            let content_type = text(&parts.headers, header::CONTENT_TYPE.as_str());
            let own = ocsp::body(door, &path, content_type, &bytes);
            match own.or_else(|| acme::body(door, &path, content_type, &bytes)) {
                Some(body) => body,
                None => heavy::over(bytes.len(), || body::parse(bytes, content_type, door.json_limits(&path)))
                    .map_err(refuse)?,
            }
        }
        Verb::Read if heads => acme::head(),
        Verb::Read | Verb::List | Verb::Scan | Verb::Delete => body::from_query(query).map_err(refuse)?,
    };
    let headers = if door.reads_headers(&path) { engine_headers(&parts.headers) } else { Vec::new() };
    Ok((Request { id, verb, path, body, token, wrap_ttl, client: Some(client), headers }, held))
}

/// Whether the request is `GET …?help=1`.
pub(crate) fn asks_help(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    parts.method == Method::GET && body::query_value(query, "help").is_some_and(|value| !value.is_empty())
}

/// POST is PUT; GET with `list=true` is LIST. Answers 405 in the two spellings of the real server.
fn verb(method: &Method, query: &str, path: &str) -> Result<Verb, Box<HttpResponse>> {
    let flag = |name: &str| match body::query_value(query, name).as_deref() {
        None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some(_) => Err(Box::new(bare(StatusCode::BAD_REQUEST))),
    };
    match method.as_str() {
        "GET" => match (flag("list")?, flag("scan")?) {
            (true, true) => Err(Box::new(bare(StatusCode::BAD_REQUEST))),
            (true, false) => Ok(Verb::List),
            (false, true) => Ok(Verb::Scan),
            (false, false) => Ok(Verb::Read),
        },
        // Load balancers probe with HEAD; nothing else of the API answers it.
        "HEAD" if path == "/v1/sys/health" => Ok(Verb::Read),
        "POST" | "PUT" => Ok(Verb::Write),
        "LIST" => Ok(Verb::List),
        "SCAN" => Ok(Verb::Scan),
        "PATCH" => Ok(Verb::Patch),
        "DELETE" => Ok(Verb::Delete),
        _ => Err(Box::new(bare(StatusCode::METHOD_NOT_ALLOWED))),
    }
}

/// There is one namespace, the root; clients may name it in any of these ways.
fn check_namespace(headers: &HeaderMap) -> Result<(), Fault> {
    match text(headers, "x-vault-namespace").trim_matches('/') {
        "" | "root" => Ok(()),
        _ => Err(Fault::NotFound("namespace not found".to_owned())),
    }
}

/// Only `chunked` itself: what was compressed on the way would have to be unpacked (RFC 9112 §6.1). hyper has refused
/// everything that does not end in it, and closes the connection where a Content-Length stands beside it (§6.3).
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Fault> {
    match text(headers, header::TRANSFER_ENCODING.as_str()) {
        encoding if encoding.is_empty() || encoding.eq_ignore_ascii_case("chunked") => Ok(()),
        _ => Err(Fault::caller("unsupported transfer encoding")),
    }
}

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let value = text(headers, "x-vault-wrap-ttl");
    if value.is_empty() {
        return Ok(None);
    }
    let refuse = |what: &str| Fault::Caller(format!("error parsing X-Vault-Wrap-TTL header: {what}"));
    let seconds = parse_duration(value).map_err(|error| refuse(&error))?;
    let seconds = u64::try_from(seconds).map_err(|_| refuse("requested wrap ttl cannot be negative"))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn token(headers: &HeaderMap) -> Option<SecretString> {
    let own = text(headers, "x-vault-token");
    let token = if own.is_empty() {
        let (scheme, rest) = text(headers, header::AUTHORIZATION.as_str()).split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        rest.trim()
    } else {
        own
    };
    (!token.is_empty()).then(|| SecretString::new(token.to_owned()))
}

fn engine_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !PRIVATE_HEADERS.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

async fn read_body(
    verb: Verb,
    headers: &HeaderMap,
    incoming: Incoming,
    door: &Door,
    held: &mut Held,
) -> Result<Vec<u8>, Fault> {
    let content_type = text(headers, header::CONTENT_TYPE.as_str());
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if verb == Verb::Patch && !media.eq_ignore_ascii_case("application/merge-patch+json") {
        return Err(Fault::UnsupportedMedia(format!(
            "PATCH requires Content-Type of application/merge-patch+json, provided {content_type}"
        )));
    }
    tokio::time::timeout(BODY_TIMEOUT, collect(incoming, door, held))
        .await
        .map_err(|_| Fault::caller("request body did not arrive in time"))?
}

async fn collect(mut incoming: Incoming, door: &Door, held: &mut Held) -> Result<Vec<u8>, Fault> {
    let limit = door.limits.bytes;
    let announced = incoming.size_hint().lower();
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Fault::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await {
        let frame = frame.map_err(|_| Fault::caller("error reading request body"))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(Fault::TooLarge);
            }
            if bytes.len() + data.len() > SMALL_BODY_BYTES {
                hold(&door.large_bodies, data.len(), held)?;
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// Takes a share of the room for large bodies, or asks the client to come back.
fn hold(room: &Arc<Semaphore>, bytes: usize, held: &mut Held) -> Result<(), Fault> {
    let bytes = u32::try_from(bytes).map_err(|_| Fault::TooLarge)?;
    let share = Arc::clone(room).try_acquire_many_owned(bytes);
    let share = share.map_err(|_| Fault::Busy { retry_after: Duration::from_secs(1) })?;
    match held {
        Some(held) => held.merge(share),
        None => *held = Some(share),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn methods_become_verbs() {
        let verb = |method: &str, query: &str| verb(&method.parse().unwrap(), query, "/v1/x").ok();
        assert_eq!(verb("PUT", ""), Some(Verb::Write));
        assert_eq!(verb("POST", "list=true"), Some(Verb::Write));
        assert_eq!(verb("GET", "list=true"), Some(Verb::List));
        assert_eq!(verb("GET", "scan=1"), Some(Verb::Scan));
        assert_eq!(verb("LIST", ""), Some(Verb::List));
        assert_eq!(verb("GET", "list=maybe"), None);
        assert_eq!(verb("GET", "list=1&scan=1"), None);
        assert_eq!(verb("FOO", ""), None);
        assert_eq!(verb("HEAD", ""), None);
    }

    #[test]
    fn tokens_come_in_two_headers() {
        let exposed = |pairs: &[_]| token(&headers(pairs)).map(|token| token.expose().to_owned());
        assert_eq!(exposed(&[("x-vault-token", "a"), ("authorization", "Bearer b")]), Some("a".to_owned()));
        assert_eq!(exposed(&[("authorization", "bearer b")]), Some("b".to_owned()));
        assert_eq!(exposed(&[("authorization", "Basic b")]), None);
        assert_eq!(exposed(&[]), None);
    }

    #[test]
    fn wrap_ttls_and_namespaces_are_checked() {
        let ttl = |value: &'static str| wrap_ttl(&headers(&[("x-vault-wrap-ttl", value)]));
        assert_eq!(ttl("5m").unwrap(), Some(Duration::from_secs(300)));
        assert_eq!(ttl("0").unwrap(), None);
        assert!(ttl("-5").is_err() && ttl("bogus").is_err());
        assert!(check_namespace(&headers(&[("x-vault-namespace", "root/")])).is_ok());
        assert!(check_namespace(&headers(&[("x-vault-namespace", "team")])).is_err());
    }

    #[test]
    fn only_plain_chunks_are_taken() {
        let check = |value: &'static str| check_transfer_encoding(&headers(&[("transfer-encoding", value)]));
        assert!(check("chunked").is_ok() && check("Chunked").is_ok() && check("").is_ok());
        assert!(check("gzip, chunked").is_err() && check("identity").is_err());
    }

    #[test]
    fn the_room_for_large_bodies_comes_back_with_the_request() {
        let room = Arc::new(Semaphore::new(100));
        let (mut one, mut other) = (None, None);
        assert!(hold(&room, 60, &mut one).is_ok() && hold(&room, 30, &mut one).is_ok());
        assert!(matches!(hold(&room, 20, &mut other), Err(Fault::Busy { .. })));
        drop(one);
        assert!(hold(&room, 100, &mut other).is_ok());
    }

    #[test]
    fn tokens_do_not_reach_the_engines() {
        let seen = engine_headers(&headers(&[("x-vault-token", "s3cret"), ("user-agent", "x")]));
        assert_eq!(seen, [("user-agent".to_owned(), "x".to_owned())]);
    }
}

//! Renders what was audited, and is the only place with status codes.

use crate::{
    audit::Audited,
    reply::{Reply, envelope, envelope_before_data, envelope_behind_data},
};
use axum::body::Body;
use bytes::Bytes;
use chancery_engine::{
    Fault, Response as Answer, SecretBytes,
    response::{Disposition, RawBody, Standing},
};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{self as http_body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

/// What goes back to the client.
pub(crate) type HttpResponse = Response<Body>;

/// Our own version; clients that look at `sys/seal-status` see the one of `compat.api_version`.
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-chancery-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Beside an answer that an engine stands by, among the response's extensions.
#[derive(Clone)]
pub(crate) struct Stands {
    pub(crate) standing: Standing,
    pub(crate) body: Bytes,
}

/// Renders an answer.
pub(crate) fn render(audited: Audited<Reply>) -> HttpResponse {
    let mut reply = audited.into_inner();
    if let Ok(answer) = &mut reply.outcome
        && let Some(raw) = answer.raw.take()
    {
        return outside_envelope(raw, status(answer.disposition, false), answer.standing.take());
    }
    let large = match &mut reply.outcome {
        Ok(answer) if answer.data.as_ref().is_some_and(|data| data.expose().len() > LARGE_ANSWER_BYTES) => {
            answer.data.take_if(|_| !reply.repeats_data)
        }
        _ => None,
    };
    match &reply.outcome {
        Ok(answer) => success(&reply, answer, large),
        Err(fault) => failure(&reply.request_id, fault),
    }
}

fn status(disposition: Disposition, empty: bool) -> StatusCode {
    match disposition {
        Disposition::Done if empty => StatusCode::NO_CONTENT,
        Disposition::Done => StatusCode::OK,
        Disposition::Accepted => StatusCode::ACCEPTED,
        Disposition::CallerFailedInPart => StatusCode::BAD_REQUEST,
        Disposition::AbsentWithData => StatusCode::NOT_FOUND,
        Disposition::InternalFailedInPart => StatusCode::INTERNAL_SERVER_ERROR,
        Disposition::Chosen(code) => StatusCode::from_u16(code).unwrap_or(StatusCode::OK),
    }
}

fn outside_envelope(raw: RawBody, status: StatusCode, standing: Option<Standing>) -> HttpResponse {
    let body = Bytes::from(raw.bytes);
    let mut response = respond(status, HeaderValue::from_static(raw.content_type), body.clone());
    for (name, value) in raw.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            // Links are one a field; everything else replaces what the edge says by itself.
            if name == "link" {
                response.headers_mut().append(name, value);
            } else {
                response.headers_mut().insert(name, value);
            }
        }
    }
    if let Some(standing) = standing {
        response.extensions_mut().insert(Stands { standing, body });
    }
    response
}

/// `large`: the answer's data, taken out of it so that it need not be copied into an envelope.
fn success(reply: &Reply, answer: &Answer, large: Option<SecretBytes>) -> HttpResponse {
    let empty = answer.is_empty() && answer.warnings.is_empty() && large.is_none();
    let status = status(answer.disposition, empty);
    if let Some(data) = large {
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        envelope_before_data(reply, answer, &mut before);
        envelope_behind_data(answer, &mut behind);
        let pieces = [Bytes::from(before), Bytes::from_owner(Data(data)), Bytes::from(behind)];
        return respond(status, JSON, Body::new(Pieces(pieces.into())));
    }
    // An empty answer keeps its Content-Type: hvac looks at it before it looks at the length.
    let body = if empty { Vec::new() } else { envelope(reply, answer) };
    respond(status, JSON, body)
}

/// Larger data goes out as it is, between two pieces of envelope.
const LARGE_ANSWER_BYTES: usize = 64 << 10;

/// Data that is sent from where it lies, and wiped when it is sent.
struct Data(SecretBytes);

impl AsRef<[u8]> for Data {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A body in pieces, of known length.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| u64::try_from(piece.len()).unwrap_or(0)).sum())
    }
}

fn failure(request_id: &str, fault: &Fault) -> HttpResponse {
    let (status, text) = match fault {
        Fault::Caller(text) | Fault::CallerWithData { text, .. } => (StatusCode::BAD_REQUEST, text.as_str()),
        Fault::Denied => (StatusCode::FORBIDDEN, "permission denied"),
        Fault::Refused(text) => (StatusCode::FORBIDDEN, text.as_str()),
        Fault::Absent => (StatusCode::NOT_FOUND, ""),
        Fault::NotFound(text) => (StatusCode::NOT_FOUND, text.as_str()),
        Fault::UnsupportedOperation => {
            (StatusCode::METHOD_NOT_ALLOWED, "1 error occurred:\n\t* unsupported operation\n\n")
        }
        Fault::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large"),
        Fault::UnsupportedMedia(text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, text.as_str()),
        Fault::Sealed => (StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed"),
        Fault::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "the server is busy, try again"),
        Fault::Dependency(detail) | Fault::Bug(detail) => {
            tracing::error!(request_id, detail, "request failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
        Fault::Internal(text) => (StatusCode::INTERNAL_SERVER_ERROR, text.as_str()),
    };
    let data = if let Fault::CallerWithData { data, .. } = fault { Some(data.as_slice()) } else { None };
    let mut response = errors(status, text, data);
    if let Fault::Busy { retry_after } = fault {
        // Rounded up: a client that comes back too early is turned away again.
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// `{"errors":[…]}`, with an empty list where there is no text.
fn errors(status: StatusCode, text: &str, data: Option<&[u8]>) -> HttpResponse {
    let mut body = b"{\"errors\":[".to_vec();
    if !text.is_empty() {
        // A string always serialises.
        let _infallible = serde_json::to_writer(&mut body, text);
    }
    body.push(b']');
    if let Some(data) = data {
        body.extend_from_slice(b",\"data\":");
        body.extend_from_slice(data);
    }
    body.extend_from_slice(b"}\n");
    respond(status, JSON, body)
}

/// An answer of the door itself: a status and no text (unknown method, unknown URL).
pub(crate) fn bare(status: StatusCode) -> HttpResponse {
    errors(status, "", None)
}

/// A page outside the API.
pub(crate) fn page(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> HttpResponse {
    respond(status, HeaderValue::from_static(content_type), body)
}

fn respond(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> HttpResponse {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VERSION_HEADER, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_fault_has_its_status() {
        let status = |fault: Fault| failure("id", &fault).status().as_u16();
        assert_eq!(status(Fault::caller("x")), 400);
        assert_eq!(status(Fault::Denied), 403);
        assert_eq!(status(Fault::Absent), 404);
        assert_eq!(status(Fault::UnsupportedOperation), 405);
        assert_eq!(status(Fault::TooLarge), 413);
        assert_eq!(status(Fault::UnsupportedMedia(String::new())), 415);
        assert_eq!(status(Fault::Dependency("detail".to_owned())), 500);
        assert_eq!(status(Fault::Sealed), 503);
    }

    #[test]
    fn busy_tells_when_to_come_back() {
        let response = failure("id", &Fault::Busy { retry_after: Duration::from_millis(1500) });
        assert_eq!(response.status().as_u16(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }

    #[tokio::test]
    async fn large_data_goes_out_in_the_same_envelope() {
        let data = format!("{{\"a\":\"{}\"}}", "x".repeat(LARGE_ANSWER_BYTES)).into_bytes();
        let reply = || Reply::new("id", Ok(Answer::json(data.clone()).warn("careful")));
        let expected = reply();
        let expected = envelope(&expected, expected.outcome.as_ref().unwrap());
        let response = render(Audited::exempt(reply(), crate::audit::Exemption::Status));
        let length = http_body::Body::size_hint(response.body()).exact().unwrap();
        assert_eq!(usize::try_from(length).unwrap(), expected.len());
        assert_eq!(axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap(), expected);
    }
}

//! Renders what was audited, and is the only place with status codes (`vault-api.md` §4.1, `clients.md` §1.1).

use crate::{
    audit::Audited,
    reply::{Reply, envelope},
};
use axum::body::Body;
use chancery_engine::{Fault, Response as Answer, response::Disposition};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// What goes back to the client.
pub(crate) type HttpResponse = Response<Body>;

/// Our own version; clients that look at `sys/seal-status` see the one of `compat.api_version`.
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-chancery-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Renders an answer.
pub(crate) fn render(audited: Audited<Reply>) -> HttpResponse {
    let reply = audited.into_inner();
    match &reply.outcome {
        Ok(answer) => success(&reply, answer),
        Err(fault) => failure(&reply.request_id, fault),
    }
}

fn success(reply: &Reply, answer: &Answer) -> HttpResponse {
    let empty = answer.is_empty() && answer.warnings.is_empty();
    let status = match answer.disposition {
        Disposition::Done if empty => StatusCode::NO_CONTENT,
        Disposition::Done => StatusCode::OK,
        Disposition::Accepted => StatusCode::ACCEPTED,
        Disposition::CallerFailedInPart => StatusCode::BAD_REQUEST,
        Disposition::AbsentWithData => StatusCode::NOT_FOUND,
        Disposition::InternalFailedInPart => StatusCode::INTERNAL_SERVER_ERROR,
        Disposition::Chosen(code) => StatusCode::from_u16(code).unwrap_or(StatusCode::OK),
    };
    if let Some(raw) = &answer.raw {
        let mut response = respond(status, HeaderValue::from_static(raw.content_type), raw.bytes.clone());
        for (name, value) in &raw.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(*name, value);
            }
        }
        return response;
    }
    // An empty answer keeps its Content-Type: hvac looks at it before it looks at the length.
    let body = if empty { Vec::new() } else { envelope(reply, answer) };
    respond(status, JSON, body)
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

fn respond(status: StatusCode, content_type: HeaderValue, body: Vec<u8>) -> HttpResponse {
    let mut response = Response::new(Body::from(body));
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
}

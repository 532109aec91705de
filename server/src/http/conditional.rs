//! Conditional requests (RFC 9110 §13): an answer that carries an `ETag` or `Last-Modified` and that the client has already
//! goes out as 304 without its body. Engines set the headers ([`RawBody`]), nothing here knows which.
//!
//! [`RawBody`]: chancery_engine::response::RawBody

use super::response::HttpResponse;
use axum::body::Body;
use http::{HeaderMap, Method, StatusCode, header, request::Parts};

/// What the client has already.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    etags: Option<String>,
    since: Option<String>,
}

impl Conditions {
    /// Reads them from a request; only GET may be answered so.
    pub(crate) fn of(parts: &Parts) -> Self {
        if parts.method != Method::GET {
            return Self::default();
        }
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { etags: text(header::IF_NONE_MATCH), since: text(header::IF_MODIFIED_SINCE) }
    }

    /// The answer, or 304 in its place.
    pub(crate) fn apply(&self, response: HttpResponse) -> HttpResponse {
        if response.status() != StatusCode::OK || !self.are_met_by(response.headers()) {
            return response;
        }
        let (mut parts, _) = response.into_parts();
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        HttpResponse::from_parts(parts, Body::empty())
    }

    fn are_met_by(&self, headers: &HeaderMap) -> bool {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // §13.1.3: If-Modified-Since is not looked at where there is an If-None-Match.
        if let Some(wanted) = &self.etags {
            let Some(etag) = header(header::ETAG) else { return false };
            return wanted.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag);
        }
        match (&self.since, header(header::LAST_MODIFIED)) {
            // Both are dates we or the client wrote; a client repeats ours, so equality is the usual case.
            (Some(since), Some(modified)) => since == modified || is_after(since, modified),
            _ => false,
        }
    }
}

/// Whether `since` is a later moment than `modified`; what is no date is not.
fn is_after(since: &str, modified: &str) -> bool {
    let read = |text: &str| jiff::fmt::rfc2822::parse(text).map(|at| at.timestamp());
    match (read(since), read(modified)) {
        (Ok(since), Ok(modified)) => since >= modified,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Request, Response};

    fn conditions(method: &str, headers: &[(&'static str, &str)]) -> Conditions {
        let mut request = Request::builder().method(method).uri("/v1/pki/crl");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Conditions::of(&request.body(()).unwrap().into_parts().0)
    }

    fn answered(conditions: &Conditions) -> u16 {
        let mut response = Response::new(Body::from("list"));
        let headers = response.headers_mut();
        headers.insert(header::ETAG, HeaderValue::from_static("\"7\""));
        headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("Sat, 21 Nov 2026 00:00:00 GMT"));
        conditions.apply(response).status().as_u16()
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        assert_eq!(answered(&conditions("GET", &[])), 200);
        assert_eq!(answered(&conditions("GET", &[("if-none-match", "\"6\", W/\"7\"")])), 304);
        assert_eq!(answered(&conditions("GET", &[("if-none-match", "*")])), 304);
        assert_eq!(answered(&conditions("GET", &[("if-none-match", "\"6\"")])), 200);
        assert_eq!(answered(&conditions("POST", &[("if-none-match", "\"7\"")])), 200);
    }

    #[test]
    fn dates_count_where_there_is_no_tag() {
        let since = |text| answered(&conditions("GET", &[("if-modified-since", text)]));
        assert_eq!(since("Sat, 21 Nov 2026 00:00:00 GMT"), 304);
        assert_eq!(since("Sat, 21 Nov 2026 00:00:01 GMT"), 304);
        assert_eq!(since("Fri, 20 Nov 2026 23:59:59 GMT"), 200);
        assert_eq!(since("yesterday"), 200);
        let both = [("if-none-match", "\"6\""), ("if-modified-since", "Sat, 21 Nov 2026 00:00:00 GMT")];
        assert_eq!(answered(&conditions("GET", &both)), 200);
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        assert_eq!(conditions("GET", &[("if-none-match", "*")]).apply(response).status().as_u16(), 404);
    }
}

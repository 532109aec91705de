//! Answers that an engine stands by ([`Standing`]: OCSP answers signed ahead) go out again by their URL, as they were
//! rendered. What is published needs nobody's permission and leaves no audit entry, so the way through the pipeline would
//! end in the same bytes.
//!
//! It ends when the engine takes its word back, when the mount changes, when the barrier is sealed, when other servers'
//! changes cannot be followed. A request that says more than its URL goes the whole way.
//!
//! [`Standing`]: chancery_engine::response::Standing

use super::response::{HttpResponse, Stands};
use crate::{core::Core, mount::Mounted};
use axum::body::Body;
use bytes::Bytes;
use chancery_engine::{Operation, response::Standing};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, header};
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Instant,
};

/// Answers kept, of one or two kilobytes each.
const MOST: usize = 10_000;

/// A longer path is not kept: whoever spells one request in many ways shall not fill memory.
const LONGEST_PATH: usize = 512;

/// Headers of a request that the answer may depend on, or that may be refused.
const MATTERING: [HeaderName; 5] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("x-vault-namespace"),
    HeaderName::from_static("x-vault-wrap-ttl"),
];

/// The answers of one listener, by path.
#[derive(Default)]
pub(crate) struct StandingAnswers {
    by_path: RwLock<HashMap<Box<str>, Kept>>,
}

struct Kept {
    mounted: Weak<Mounted>,
    standing: Standing,
    until: Instant,
    headers: HeaderMap,
    body: Bytes,
}

impl Kept {
    fn stands(&self, now: Instant) -> bool {
        now < self.until && self.standing.holds()
    }
}

impl StandingAnswers {
    /// The answer to a request, if there is one that stands.
    pub(crate) fn find<B>(&self, core: &Core, request: &Request<B>) -> Option<HttpResponse> {
        let path = path_alone(request.method(), request.uri())?;
        let by_path = self.by_path.read();
        let kept = by_path.get(path)?;
        let in_flight = core.metrics.request_started();
        let stands = kept.stands(in_flight.started()) && core.is_open() && core.nodes.is_followed(core);
        if !stands || MATTERING.iter().any(|name| request.headers().contains_key(name)) {
            return None;
        }
        let mounted = core.mounts.still_served_by(path, &kept.mounted)?;
        let mut response = HttpResponse::new(Body::from(kept.body.clone()));
        response.headers_mut().clone_from(&kept.headers);
        drop(by_path);
        in_flight.finish_again(&mounted.entry.kind, Operation::Read);
        Some(response)
    }

    /// Keeps an answer that an engine stands by; `uri` is the one it was asked for by.
    pub(crate) fn keep(&self, core: &Core, (method, uri): (&Method, &Uri), response: &mut HttpResponse) {
        let Some(Stands { standing, body }) = response.extensions_mut().remove() else { return };
        let Some(path) = path_alone(method, uri).filter(|path| path.len() <= LONGEST_PATH) else { return };
        let Some((mounted, _)) = core.mounts.route(path).filter(|_| response.status() == StatusCode::OK) else {
            return;
        };
        let now = Instant::now();
        let mut by_path = self.by_path.write();
        if by_path.len() >= MOST {
            by_path.retain(|_, kept| kept.stands(now));
            if by_path.len() >= MOST {
                by_path.clear();
            }
        }
        let until = now + standing.lasts;
        let headers = response.headers().clone();
        by_path.insert(path.into(), Kept { mounted: Arc::downgrade(&mounted), standing, until, headers, body });
    }
}

/// What stands behind `/v1/` in a GET without a query.
fn path_alone<'u>(method: &Method, uri: &'u Uri) -> Option<&'u str> {
    if *method != Method::GET || uri.query().is_some() {
        return None;
    }
    uri.path().strip_prefix("/v1/")
}

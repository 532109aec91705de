//! Which URL goes where. A request of the API is brought to its end: a client who goes away does not cut it in half
//! ([`ToTheEnd`]), and a handler that crashes takes nobody along.

use super::{
    body::BodyLimits,
    conditional::Conditions,
    errand::ToTheEnd,
    request,
    response::{HttpResponse, bare, page, render},
    standing::StandingAnswers,
};
use crate::{
    audit::{Audited, Exemption},
    core::Core,
    help, metrics, pipeline,
    reply::Reply,
};
use chancery_engine::{Fault, Limits, RequestPath};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::Semaphore;

/// What every connection of one listener shares.
pub(crate) struct Door {
    pub(crate) core: Arc<Core>,
    pub(crate) limits: BodyLimits,
    /// Whether `/metrics` is served here without a token.
    pub(crate) open_metrics: bool,
    /// Bytes of large bodies that may still be taken.
    pub(crate) large_bodies: Arc<Semaphore>,
    /// What goes out again without being asked for anew.
    pub(crate) standing: StandingAnswers,
}

impl Door {
    /// Answers one HTTP request.
    pub(crate) async fn answer(&self, client: SocketAddr, request: Request<Incoming>) -> HttpResponse {
        if let Some(answer) = self.standing.find(&self.core, &request) {
            return answer;
        }
        let path = request.uri().path();
        if path.starts_with("/v1/") {
            // Boxed, because its kilobytes would be moved for every answer that stands, too.
            return Box::pin(self.api(client, request)).await;
        }
        match path {
            "/livez" => page(StatusCode::OK, "text/plain", b"ok\n".to_vec()),
            "/readyz" => self.ready(),
            "/metrics" if self.open_metrics => {
                page(StatusCode::OK, "text/plain; version=0.0.4", metrics::render(&self.core).into_bytes())
            }
            _ => bare(StatusCode::NOT_FOUND),
        }
    }

    /// What JSON at `path` may hold: mounts that take batches get more.
    pub(crate) fn json_limits(&self, path: &RequestPath) -> &Limits {
        match self.core.mounts.route(path.as_str()) {
            Some((mounted, _)) if mounted.entry.kind == "transit" => &self.limits.batch,
            _ => &self.limits.json,
        }
    }

    /// Whether anybody behind the door looks at the headers of a request to `path`.
    pub(crate) fn reads_headers(&self, path: &RequestPath) -> bool {
        self.core.mounts.route(path.as_str()).is_some_and(|(mounted, _)| mounted.reads_headers())
    }

    async fn api(&self, client: SocketAddr, request: Request<Incoming>) -> HttpResponse {
        let (parts, incoming) = request.into_parts();
        let asks_help = request::asks_help(&parts);
        let conditions = Conditions::of(&parts);
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let (request, held) = match request::read(parts, incoming, client, self).await {
            Ok(read) => read,
            Err(refusal) => return *refusal,
        };
        let id = request.id.clone();
        let core = Arc::clone(&self.core);
        let work = ToTheEnd::new(async move {
            let audited =
                if asks_help { help::handle(&core, request).await } else { pipeline::handle(&core, request).await };
            drop(held);
            audited
        });
        let mut response = render(match work.await {
            Ok(audited) => audited,
            // The panic's own text may hold anything; the hook has written where it happened.
            Err(_) => {
                self.core.metrics.handler_panicked();
                tracing::error!(request_id = id, "handler crashed");
                let fault = Fault::Internal("internal error".to_owned());
                Audited::exempt(Reply::new(id, Err(fault)), Exemption::Crashed)
            }
        });
        self.standing.keep(&self.core, (&method, &uri), &mut response);
        conditions.apply(response)
    }

    /// Ready: the barrier is open, and the HSM answers where there is one.
    fn ready(&self) -> HttpResponse {
        if !self.core.is_open() {
            return page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", b"sealed\n".to_vec());
        }
        match &self.core.hsm {
            Some(hsm) if !hsm.status().is_ready() => {
                page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", b"hsm unavailable\n".to_vec())
            }
            _ => page(StatusCode::OK, "text/plain", b"ok\n".to_vec()),
        }
    }
}

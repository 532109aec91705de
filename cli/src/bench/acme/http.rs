//! How the clients ask: one connection each, kept open, whose writes do not wait for each other. The client of instant-acme
//! itself leaves Nagle's algorithm on, and then sends the body of each request only when the server's kernel has
//! acknowledged its head, 40 ms later.

use crate::failure::{Failure, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::Certificate;
use std::{
    fs,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Asks, and counts how often.
pub(super) struct Http {
    client: reqwest::Client,
    asked: Arc<AtomicU64>,
}

impl Http {
    pub(super) fn new(authority: &Path, http1: bool, asked: Arc<AtomicU64>) -> Result<Self> {
        let unusable = || Failure::local(format!("{} cannot be used", authority.display()));
        let pem = fs::read(authority).map_err(|error| unusable().because(error))?;
        let roots = Certificate::from_pem_bundle(&pem).map_err(|error| unusable().because(error))?;
        let mut builder = reqwest::Client::builder().tcp_nodelay(true).https_only(true).tls_certs_only(roots);
        if http1 {
            builder = builder.http1_only();
        }
        let client = builder.build().map_err(|error| unusable().because(error))?;
        Ok(Self { client, asked })
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<BytesResponse, Error>> + Send>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let client = self.client.clone();
        Box::pin(async move {
            let failed = |error: reqwest::Error| Error::Other(Box::new(error));
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = reqwest::Request::try_from(Request::from_parts(head, body.to_bytes())).map_err(failed)?;
            let answer: Response<reqwest::Body> = client.execute(request).await.map_err(failed)?.into();
            Ok(BytesResponse::from(answer))
        })
    }
}

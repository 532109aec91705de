//! The whole protocol as a client of somebody else's making speaks it.

use crate::harness::{BASE, Mount, Web};
use chancery_acme_server::Knobs;
use chancery_engine::Verb;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesBody, BytesResponse, ChallengeType, Error, HttpClient, Identifier,
    NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use serde_json::json;
use std::{future::Future, pin::Pin, sync::Arc};

/// Hands requests to the mount as the door does.
struct Door(Arc<Mount>);

struct Bytes(Vec<u8>);

#[async_trait::async_trait]
impl BytesBody for Bytes {
    async fn into_bytes(&mut self) -> Result<bytes::Bytes, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(std::mem::take(&mut self.0).into())
    }
}

impl HttpClient for Door {
    fn request(
        &self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let mount = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string();
            let text = body.collect().await.unwrap().to_bytes();
            let reply = match parts.method.as_str() {
                "GET" => mount.get(&url).await,
                "HEAD" => mount.send(Verb::Read, &url, json!({"method": "HEAD"})).await,
                _ => mount.post(&url, std::str::from_utf8(&text).unwrap()).await,
            };
            let mut response = Response::builder().status(reply.status);
            for (name, value) in &reply.headers {
                response = response.header(name, value);
            }
            let (parts, ()) = response.body(()).unwrap().into_parts();
            Ok(BytesResponse { parts, body: Box::new(Bytes(reply.body)) })
        })
    }
}

#[tokio::test]
async fn instant_acme_gets_renews_and_revokes_a_certificate() {
    let web = Web::start().await;
    // A fifth of all nonces is refused; the client tries again.
    let knobs = Knobs { http_port: Some(web.port), allow_private: true, nonce_reject: 20, ..Knobs::default() };
    let mount = Arc::new(Mount::with(knobs).await);
    let builder = Account::builder_with_http(Box::new(Door(Arc::clone(&mount))));
    let new =
        NewAccount { contact: &["mailto:a@example.com"], terms_of_service_agreed: true, only_return_existing: false };
    let (mut account, _) = builder.create(&new, format!("{BASE}acme/directory"), None).await.unwrap();
    *web.thumbprint.lock() = account.key_thumbprint().to_owned();
    let names = [Identifier::Ip("127.0.0.1".parse().unwrap()), Identifier::Ip("127.0.0.2".parse().unwrap())];
    let mut order = account.new_order(&NewOrder::new(&names)).await.unwrap();
    assert_eq!(order.state().status, OrderStatus::Pending);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.unwrap();
        assert_eq!(authorization.status, AuthorizationStatus::Pending);
        let mut challenge = authorization.challenge(ChallengeType::Http01).unwrap();
        challenge.set_ready().await.unwrap();
    }
    assert_eq!(order.poll_ready(&RetryPolicy::default()).await.unwrap(), OrderStatus::Ready);
    order.finalize().await.unwrap();
    let chain = order.poll_certificate(&RetryPolicy::default()).await.unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);

    account.update_contacts(&["mailto:b@example.com"]).await.unwrap();
    let _kept_by_the_account = account.update_key().await.unwrap();
    let mut renewal = account.new_order(&NewOrder::new(&names)).await.unwrap();
    assert_eq!(renewal.state().status, OrderStatus::Ready);
    renewal.finalize().await.unwrap();
    renewal.poll_certificate(&RetryPolicy::default()).await.unwrap();
    let der = crate::harness::leaf(&chain);
    let request = instant_acme::RevocationRequest { certificate: &der.into(), reason: None };
    account.revoke(&request).await.unwrap();
    account.deactivate().await.unwrap();
}

//! The whole protocol as a client of somebody else's making speaks it: what instant-acme's own tests ask of a server, asked
//! of ours. Its dns-01 and tls-alpn-01 run against a whole server in `./x interop acme`, with names instead of addresses.
//!
//! | its test | here |
//! |---|---|
//! | `http_01`, `update_contacts`, `account_deactivate` | `instant_acme_gets_renews_and_revokes_a_certificate` |
//! | `forbidden_identifier` | `names_that_are_not_allowed_are_told_one_by_one` |
//! | `eab_required` | `an_external_account_is_demanded_and_taken` |
//! | `authz_reuse` | `what_was_shown_before_is_not_asked_again` |
//! | `replacement_order` | `a_revoked_certificate_is_to_be_replaced_at_once` |
//! | `profiles` | `a_profile_is_a_role` |
//! | `order_deactivate` | `an_order_without_its_authorizations_is_invalid` |
//! | `account_deactivate` | `a_deactivated_account_orders_nothing` |
//! | `update_key` | `the_old_key_is_worth_nothing_after_a_change` |
//! | `account_from_key`, `account_create_from_key` | `an_account_is_found_again_by_its_key` |

use crate::harness::{BASE, Mount, Web, leaf};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_acme_server::Knobs;
use chancery_ca::facts::CertificateFacts;
use chancery_engine::Verb;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, BodyWrapper, BytesBody, BytesResponse, ChallengeType, Error,
    ExternalAccountKey, HttpClient, Identifier, Key, NewAccount, NewOrder, OrderStatus, Problem, RetryPolicy,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
    let der = leaf(&chain);
    let request = instant_acme::RevocationRequest { certificate: &der.into(), reason: None };
    account.revoke(&request).await.unwrap();
    account.deactivate().await.unwrap();
}

const NEW: NewAccount<'static> =
    NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };

fn builder(mount: &Arc<Mount>) -> AccountBuilder {
    Account::builder_with_http(Box::new(Door(Arc::clone(mount))))
}

fn directory() -> String {
    format!("{BASE}acme/directory")
}

async fn account(mount: &Arc<Mount>, web: &Web) -> Account {
    let (account, _) = builder(mount).create(&NEW, directory(), None).await.unwrap();
    *web.thumbprint.lock() = account.key_thumbprint().to_owned();
    account
}

fn addresses<const N: usize>(all: [&str; N]) -> [Identifier; N] {
    all.map(|address| Identifier::Ip(address.parse().unwrap()))
}

/// Orders, shows control of what is not shown yet, and fetches the certificate: its chain, and how many challenges it took.
async fn certificate(account: &Account, new: &NewOrder<'_>) -> Result<(String, usize), Error> {
    let mut order = account.new_order(new).await?;
    let mut answered = 0;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Pending {
            authorization.challenge(ChallengeType::Http01).unwrap().set_ready().await?;
            answered += 1;
        }
    }
    assert_eq!(order.poll_ready(&RetryPolicy::default()).await?, OrderStatus::Ready);
    order.finalize().await?;
    Ok((order.poll_certificate(&RetryPolicy::default()).await?, answered))
}

/// The problem the server answered with.
#[track_caller]
fn problem<T>(outcome: Result<T, Error>, kind: &str) -> Problem {
    match outcome {
        Err(Error::Api(problem)) => {
            assert_eq!(problem.r#type.as_deref(), Some(format!("urn:ietf:params:acme:error:{kind}").as_str()));
            problem
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test]
async fn names_that_are_not_allowed_are_told_one_by_one() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let role = json!({"allowed_domains": "good.test", "allow_subdomains": true, "key_type": "any"});
    mount.admin(Verb::Write, "roles/narrow", role).await.unwrap();
    let place = format!("{BASE}roles/narrow/acme/directory");
    let (account, _) = builder(&mount).create(&NEW, place, None).await.unwrap();
    let names = ["www.good.test", "www.bad.test"].map(|name| Identifier::Dns(name.to_owned()));
    let refused = problem(account.new_order(&NewOrder::new(&names)).await, "rejectedIdentifier");
    assert_eq!(refused.subproblems.len(), 1, "{refused:?}");
    assert_eq!(refused.subproblems[0].identifier, Some(Identifier::Dns("www.bad.test".to_owned())));
}

#[tokio::test]
async fn an_external_account_is_demanded_and_taken() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let policy = json!({"enabled": true, "eab_policy": "new-account-required"});
    mount.admin(Verb::Write, "config/acme", policy).await.unwrap();
    problem(builder(&mount).create(&NEW, directory(), None).await, "externalAccountRequired");
    let made = mount.admin(Verb::Write, "acme/new-eab", json!({})).await.unwrap();
    let key = URL_SAFE_NO_PAD.decode(made["key"].as_str().unwrap()).unwrap();
    let key = ExternalAccountKey::new(made["id"].as_str().unwrap().to_owned(), &key);
    let _made = builder(&mount).create(&NEW, directory(), Some(&key)).await.unwrap();
    // It makes one account.
    problem(builder(&mount).create(&NEW, directory(), Some(&key)).await, "unauthorized");
}

#[tokio::test]
async fn what_was_shown_before_is_not_asked_again() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let account = account(&mount, &web).await;
    let (_, answered) = certificate(&account, &NewOrder::new(&addresses(["127.0.0.1", "127.0.0.2"]))).await.unwrap();
    assert_eq!(answered, 2);
    let wider = addresses(["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let (chain, answered) = certificate(&account, &NewOrder::new(&wider)).await.unwrap();
    assert_eq!(answered, 1);
    let facts = CertificateFacts::parse(&leaf(&chain)).unwrap();
    assert_eq!(facts.names().unwrap().texts(), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
}

#[tokio::test]
async fn a_revoked_certificate_is_to_be_replaced_at_once() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let account = account(&mount, &web).await;
    let names = addresses(["127.0.0.1"]);
    let (chain, _) = certificate(&account, &NewOrder::new(&names)).await.unwrap();
    let der = leaf(&chain);
    let facts = CertificateFacts::parse(&der).unwrap();
    let request = instant_acme::RevocationRequest { certificate: &CertificateDer::from(der), reason: None };
    account.revoke(&request).await.unwrap();
    // RFC 9773 §4.1
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let issuer = facts.authority_key_id.clone().unwrap();
    let id = format!("{}.{}", encoded(&issuer), encoded(facts.serial.as_bytes()));
    let window = mount.get(&format!("{BASE}acme/renewal-info/{id}")).await.ok();
    let end: jiff::Timestamp = window["suggestedWindow"]["end"].as_str().unwrap().parse().unwrap();
    assert!(end <= "2026-11-21T00:00:00Z".parse().unwrap(), "{window}");
    let id = instant_acme::CertificateIdentifier::new(issuer.as_slice().into(), facts.serial.as_bytes().into());
    let order = NewOrder::new(&names).replaces(id);
    let (renewed, _) = certificate(&account, &order).await.unwrap();
    assert_ne!(leaf(&renewed), leaf(&chain));
    problem(account.new_order(&order).await, "alreadyReplaced");
}

#[tokio::test]
async fn a_profile_is_a_role() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let role = json!({"allow_any_name": true, "key_type": "any", "ttl": "1h"});
    mount.admin(Verb::Write, "roles/short", role).await.unwrap();
    let account = account(&mount, &web).await;
    let mut profiles: Vec<_> = account.profiles().map(|profile| profile.name.to_owned()).collect();
    profiles.sort();
    assert_eq!(profiles, ["short", "web"]);
    let names = addresses(["127.0.0.1"]);
    let life = |chain: &str| {
        let facts = CertificateFacts::parse(&leaf(chain)).unwrap();
        facts.not_after.duration_since(facts.not_before).as_hours()
    };
    let (short, _) = certificate(&account, &NewOrder::new(&names).profile("short")).await.unwrap();
    let (long, _) = certificate(&account, &NewOrder::new(&names).profile("web")).await.unwrap();
    assert_eq!((life(&short), life(&long)), (1, 24));
    problem(account.new_order(&NewOrder::new(&names).profile("other")).await, "invalidProfile");
}

#[tokio::test]
async fn an_order_without_its_authorizations_is_invalid() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let account = account(&mount, &web).await;
    let mut order = account.new_order(&NewOrder::new(&addresses(["127.0.0.1", "127.0.0.2"]))).await.unwrap();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.unwrap();
        assert_eq!(authorization.deactivate().await.unwrap().status, AuthorizationStatus::Deactivated);
    }
    assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Invalid);
}

#[tokio::test]
async fn a_deactivated_account_orders_nothing() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let account = account(&mount, &web).await;
    account.clone().deactivate().await.unwrap();
    problem(account.new_order(&NewOrder::new(&addresses(["127.0.0.1"]))).await, "unauthorized");
}

#[tokio::test]
async fn the_old_key_is_worth_nothing_after_a_change() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let mut account = account(&mount, &web).await;
    let before = account.clone();
    let credentials = account.update_key().await.unwrap();
    problem(before.update_contacts(&["mailto:b@example.com"]).await, "malformed");
    let again = builder(&mount).from_credentials(credentials).await.unwrap();
    again.update_contacts(&["mailto:b@example.com"]).await.unwrap();
    assert_eq!(again.id(), account.id());
}

#[tokio::test]
async fn an_account_is_found_again_by_its_key() {
    let web = Web::start().await;
    let mount = Arc::new(Mount::new(&web).await);
    let (key, secret) = Key::generate_pkcs8().unwrap();
    let pair = |key: Key| (key, PrivateKeyDer::Pkcs8(secret.clone_key()));
    let again = || pair(Key::from_pkcs8_der(secret.clone_key()).unwrap());
    problem(builder(&mount).from_key(again(), directory()).await, "accountDoesNotExist");
    let (made, credentials) = builder(&mount).create_from_key(pair(key), directory()).await.unwrap();
    let (found, same) = builder(&mount).from_key(again(), directory()).await.unwrap();
    assert_eq!(made.id(), found.id());
    assert_eq!(serde_json::to_string(&credentials).unwrap(), serde_json::to_string(&same).unwrap());
}

//! The directory (RFC 8555 §7.1.1) and fresh nonces (§7.2).

use crate::{
    exchange::{Answer, Exchange},
    limits,
    problem::Problem,
    server::AcmeServer,
    star::MIN_LIFETIME,
};
use serde_json::{Map, Value, json};
use std::{net::IpAddr, sync::Arc};

/// `GET directory`
pub(crate) async fn directory(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let settings = exchange.settings();
    let mut meta = Map::new();
    meta.insert("externalAccountRequired".to_owned(), settings.binds_new_accounts().into());
    for (name, url) in [("termsOfService", &settings.terms_of_service), ("website", &settings.website)] {
        if !url.is_empty() {
            meta.insert(name.to_owned(), url.as_str().into());
        }
    }
    if !settings.caa_identities.is_empty() {
        meta.insert("caaIdentities".to_owned(), json!(settings.caa_identities));
    }
    // RFC 8739 §3.2
    if settings.auto_renewal_max_duration > 0 {
        let offered = json!({
            "min-lifetime": MIN_LIFETIME,
            "max-duration": settings.auto_renewal_max_duration,
            "allow-certificate-get": true,
        });
        meta.insert("auto-renewal".to_owned(), offered);
    }
    // RFC 9444 §4.4
    meta.insert("subdomainAuthAllowed".to_owned(), true.into());
    let profiles = server.profiles(&exchange).await?;
    if !profiles.is_empty() {
        let described = profiles.iter().map(|name| (name.clone(), Value::from(format!("the role {name}"))));
        meta.insert("profiles".to_owned(), Value::Object(described.collect()));
    }
    let body = json!({
        "newNonce": exchange.url("new-nonce"),
        "newAccount": exchange.url("new-account"),
        "newOrder": exchange.url("new-order"),
        "newAuthz": exchange.url("new-authz"),
        "revokeCert": exchange.url("revoke-cert"),
        "keyChange": exchange.url("key-change"),
        "renewalInfo": exchange.url("renewal-info"),
        "meta": meta,
    });
    let mut answer = Answer::json(200, &body);
    // Clients that find no newNonce ask here.
    answer.headers.push(("replay-nonce", server.nonces.give()?));
    Ok(answer)
}

/// `GET new-nonce`, `HEAD new-nonce`
pub(crate) async fn new_nonce(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    if let Some(client) = client(&exchange) {
        let waiting = server.limits.nonces.take(client, exchange.now);
        waiting
            .map_err(|seconds| Problem::rate_limited("too many nonces were asked for from this address", seconds))?;
    }
    // RFC 8555 §7.2: 200 to HEAD, 204 to GET.
    let mut answer = Answer::empty(if exchange.is_head() { 200 } else { 204 });
    answer.headers.push(("replay-nonce", server.nonces.give()?));
    answer.headers.push(("cache-control", "no-store".to_owned()));
    Ok(answer)
}

impl AcmeServer {
    /// Profiles that may be asked for at this directory (draft-ietf-acme-profiles): the roles that it may use. Where
    /// accounts are bound by keys that operators hand out for one directory each, no profile leads from one to another.
    pub(crate) async fn profiles(&self, exchange: &Exchange) -> Result<Vec<String>, Problem> {
        if let Some(role) = &exchange.scope.role {
            return Ok(vec![role.clone()]);
        }
        let settings = exchange.settings();
        if let Some(role) = settings.default_role()? {
            return Ok(vec![role.to_owned()]);
        }
        if settings.binds_new_accounts() {
            return Ok(Vec::new());
        }
        let roles = self.authority.role_names(MOST_PROFILES).await.map_err(|error| Problem::internal(&error))?;
        Ok(roles.into_iter().filter(|role| settings.allows_role(role)).collect())
    }
}

/// Roles a directory lists.
const MOST_PROFILES: usize = 100;

/// The network a request came from, where it is known.
pub(crate) fn client(exchange: &Exchange) -> Option<IpAddr> {
    exchange.call.client.map(|client| limits::network(client.ip()))
}

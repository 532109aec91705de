//! Authorizations: reading, giving up (RFC 8555 §7.5, §7.5.2), and asking for one before an order (§7.4.1).

use super::{new_order::requester, order::LOOK_AGAIN_SECONDS};
use crate::{
    challenge::ChallengeType,
    exchange::set,
    exchange::{Answer, Exchange, door_role},
    identifier::{Named, Written},
    problem::{Problem, ProblemType},
    records::{Authorization, Challenge},
    server::{AcmeServer, mount_ttl},
    state::{AuthorizationEvent, AuthorizationStatus, ChallengeStatus, OrderEvent},
    storage::{AFTERLIFE, Edit, Stored, proof_key},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Update {
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAuthorization {
    identifier: NewIdentifier,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewIdentifier {
    #[serde(flatten)]
    written: Written,
    /// RFC 9444 §4.1
    #[serde(default)]
    subdomain_auth_allowed: bool,
}

/// `POST authorization/:authorization`
pub(crate) async fn authorization(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let id = exchange.capture("authorization").to_owned();
    let signed = exchange.by_account(&server, &format!("authorization/{id}")).await?;
    let mut found = find(&server, &exchange, signed.account(), &id).await?;
    if !signed.is_post_as_get() {
        let update: Update = signed.parse()?;
        if update.status.as_deref() != Some("deactivated") {
            return Err(Problem::malformed("the one change of an authorization is \"status\": \"deactivated\""));
        }
        found = server.give_up(&exchange, signed.account(), &id).await?;
    }
    let is_open = found.value.status == AuthorizationStatus::Pending;
    let answer = Answer::json(200, &view(&exchange, &found.value));
    let looked_at = found.value.challenges.iter().find(|one| one.status == ChallengeStatus::Processing);
    let Some(challenge) = looked_at.filter(|_| is_open) else { return Ok(answer) };
    let which = (signed.account(), id.as_str(), challenge.kind);
    server.resume_challenge(which, mount_ttl(&exchange.call.mount)).await;
    Ok(answer.again_after(LOOK_AGAIN_SECONDS))
}

/// `POST new-authz`
pub(crate) async fn new_authorization(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let signed = exchange.by_account(&server, "new-authz").await?;
    let request: NewAuthorization = signed.parse()?;
    let named = Named::parse(&request.identifier.written)?;
    let Written { kind, value } = &request.identifier.written;
    if named.wildcard {
        // RFC 8555 §7.4.1
        return Err(Problem::malformed("a wildcard cannot be authorized ahead of an order").about(kind, value));
    }
    if let Err(seconds) = server.limits.orders.take(signed.account().to_owned(), exchange.now) {
        return Err(Problem { retry_after: Some(seconds), ..Problem::busy() });
    }
    let subdomains = request.identifier.subdomain_auth_allowed && kind == "dns";
    if !subdomains {
        let names = super::new_order::alternative_names(std::iter::once(&named));
        let role = exchange.scope.role(exchange.settings())?;
        let account = requester(signed.account());
        let refused = server.authority.refused_names(door_role(role), &names, &account).await;
        let refused = refused.map_err(|error| Problem::from_authority(&error, ProblemType::Malformed))?;
        if let Some((_, reason)) = refused.into_iter().next() {
            return Err(ProblemType::RejectedIdentifier.because(reason).about(kind, value));
        }
    }
    let account = signed.account();
    if let Some(proved) = server.proof(&exchange, &signed.account.value, &named).await?
        && proved.subdomains == subdomains
    {
        return Ok(created(&exchange, &proved));
    }
    let expires = exchange.now.checked_add(super::new_order::ORDER_LIFETIME).unwrap_or(Timestamp::MAX);
    let has_persistent = !exchange.settings().caa_identities.is_empty();
    let made = Authorization::new((server.new_id()?, account), named, subdomains, expires, has_persistent)?;
    let mut edit = Edit::default();
    let ends = expires.checked_add(AFTERLIFE).unwrap_or(Timestamp::MAX);
    server.records.put_object(&mut edit, &made, ends)?;
    server.records.commit(edit).await?;
    Ok(created(&exchange, &made))
}

fn created(exchange: &Exchange, authorization: &Authorization) -> Answer {
    let url = exchange.url(&format!("authorization/{}", authorization.id));
    Answer::json(201, &view(exchange, authorization)).at(url)
}

/// The account's authorization, as it is now; another account's does not exist.
pub(crate) async fn find(
    server: &AcmeServer,
    exchange: &Exchange,
    account: &str,
    id: &str,
) -> Result<Stored<Authorization>, Problem> {
    let found = server.records.authorization(account, id).await?.ok_or_else(|| Problem::not_found("authorization"))?;
    exchange.note("authorization", id);
    if let Some(order) = found.value.orders.first() {
        exchange.note("order", order);
    }
    Ok(Stored { value: found.value.at(exchange.now), ..found })
}

/// The authorization as clients see it (RFC 8555 §7.1.4).
pub(crate) fn view(exchange: &Exchange, authorization: &Authorization) -> Value {
    // What was not tried is of no interest once it is decided.
    let shown = authorization.challenges.iter().filter(|challenge| {
        authorization.status == AuthorizationStatus::Pending || challenge.status != ChallengeStatus::Pending
    });
    let challenges: Vec<_> = shown.map(|challenge| challenge_view(exchange, authorization, challenge)).collect();
    let mut object = json!({
        "status": authorization.status,
        "expires": authorization.expires.to_string(),
        "identifier": authorization.named.identifier.written(),
        "challenges": challenges,
    });
    if authorization.named.wildcard {
        set(&mut object, "wildcard", true);
    }
    if authorization.subdomains {
        set(&mut object, "subdomainAuthAllowed", true);
    }
    object
}

/// A challenge as clients see it (RFC 8555 §8).
pub(crate) fn challenge_view(exchange: &Exchange, authorization: &Authorization, challenge: &Challenge) -> Value {
    let mut object = json!({
        "type": challenge.kind.name(),
        "url": exchange.url(&format!("challenge/{}/{}", authorization.id, challenge.kind)),
        "status": challenge.status,
    });
    if challenge.kind == ChallengeType::DnsPersist01 {
        // draft-ietf-acme-dns-persist: no token, but who may be named, and which account must be.
        set(&mut object, "issuer-domain-names", json!(exchange.settings().caa_identities));
        set(&mut object, "accounturi", exchange.account_url(&authorization.account));
    } else {
        set(&mut object, "token", challenge.token.as_str());
    }
    if let Some(at) = challenge.validated {
        set(&mut object, "validated", at.to_string());
    }
    if let Some(error) = &challenge.error {
        set(&mut object, "error", error.to_value());
    }
    object
}

impl AcmeServer {
    /// Deactivates an authorization; orders that wait for it, or would use it, come to nothing.
    async fn give_up(&self, exchange: &Exchange, account: &str, id: &str) -> Result<Stored<Authorization>, Problem> {
        let give_up = || async {
            let mut found = find(self, exchange, account, id).await?;
            let mut edit = Edit::default();
            if found.value.happen(AuthorizationEvent::Deactivated) {
                self.records.replace_object(&mut edit, &found)?;
                let proof = proof_key(account, &super::new_order::proof_name(&found.value));
                edit.delete(&self.records.view, &proof);
                let lost = ProblemType::Unauthorized
                    .because(format!("the authorization for {} was given up", found.value.named));
                self.end_orders(&mut edit, &found.value, (OrderEvent::AuthorizationLost, &lost)).await?;
            } else if found.value.status != AuthorizationStatus::Deactivated {
                let detail = format!("the authorization is {:?}", found.value.status).to_lowercase();
                return Err(Problem::malformed(detail));
            }
            Ok::<_, Problem>((edit, found))
        };
        self.records.transact("deactivate authorization", give_up).await
    }

    /// Ends every order that waits for the authorization.
    pub(crate) async fn end_orders(
        &self,
        edit: &mut Edit,
        authorization: &Authorization,
        (event, why): (OrderEvent, &Problem),
    ) -> Result<(), Problem> {
        for id in &authorization.orders {
            let Some(mut order) = self.records.order(&authorization.account, id).await? else { continue };
            if let Some(status) = order.value.status.after(event) {
                order.value.status = status;
                order.value.error = Some(why.clone());
                self.records.replace_object(edit, &order)?;
            }
        }
        Ok(())
    }
}

//! What operators see and do: accounts, orders, and certificates to be replaced early.

use super::{
    bindings::{Paging, listed},
    config::fault,
};
use crate::{
    exchange::set,
    problem::Problem,
    records::{Account, Authorization, Order},
    server::{AcmeServer, Replacement},
    star::AutoRenewal,
    state::{AccountStatus, ChallengeStatus},
    storage::{ACCOUNTS, Edit, REPLACEMENTS},
};
use chancery_ca::serial::SerialNumber;
use chancery_engine::{Call, Fault, Response, wire::Text};
use chancery_store::Changes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccountUpdate {
    status: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplacementRequest {
    issuer: Text,
    role: Text,
    serial_from: Text,
    serial_to: Text,
    explanation_url: Text,
}

/// Most rules for early replacement.
const MOST_REPLACEMENTS: usize = 100;

/// `LIST acme/accounts`
pub(crate) async fn accounts(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let paging: Paging = call.parse()?;
    let ids = server.records.view.list(ACCOUNTS, paging.page()).await.map_err(fault)?;
    let mut info = Map::new();
    for id in &ids {
        if let Some(account) = server.records.account(id).await.map_err(fault)? {
            info.insert(id.clone(), account_view(&account.value));
        }
    }
    listed(&ids, &info)
}

/// `GET acme/accounts/:account`
pub(crate) async fn read_account(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let account = server.records.account(call.captures.text("account")).await.map_err(fault)?.ok_or(Fault::Absent)?;
    let mut view = account_view(&account.value);
    set(&mut view, "key", account.value.key.to_value());
    set(&mut view, "keyid", account.value.id.as_str());
    Response::data(&view)
}

/// `POST acme/accounts/:account`: `status` `valid`, `deactivated` or `revoked`.
pub(crate) async fn write_account(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let request: AccountUpdate = call.parse()?;
    let id = call.captures.text("account");
    let mut account = server.records.account(id).await.map_err(fault)?.ok_or(Fault::Absent)?;
    account.value.status = match request.status.as_ref().map(|status| status.0.as_str()) {
        Some("valid") => AccountStatus::Valid,
        Some("deactivated") => AccountStatus::Deactivated,
        Some("revoked") => AccountStatus::Revoked,
        _ => return Err(Fault::caller("\"status\" must be valid, deactivated or revoked")),
    };
    let mut edit = Edit::default();
    server.records.replace_object(&mut edit, &account).map_err(fault)?;
    server.records.commit(edit).await.map_err(fault)?;
    Response::data(&account_view(&account.value))
}

fn account_view(account: &Account) -> Value {
    json!({
        "status": account.status,
        "contact": account.contact,
        "acme_directory": format!("{}acme/directory", account.scope),
        "created_on": account.created_at.to_string(),
        "eab": account.binding,
        "thumbprint": account.key.thumbprint(),
        "key_type": account.key.algorithm(),
        "has_certificates": account.has_certificates,
    })
}

/// `LIST acme/orders/:account`
pub(crate) async fn orders(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let paging: Paging = call.parse()?;
    let account = call.captures.text("account");
    let ids = server.records.orders(account, paging.page()).await.map_err(fault)?;
    let mut info = Map::new();
    for id in &ids {
        if let Some(order) = server.records.order(account, id).await.map_err(fault)? {
            info.insert(id.clone(), order_view(&order.value.at(server.now())));
        }
    }
    listed(&ids, &info)
}

/// `GET acme/orders/:account/:order`: the order with its authorizations, and why a challenge failed.
pub(crate) async fn read_order(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let (account, id) = (call.captures.text("account"), call.captures.text("order"));
    let order = server.records.order(account, id).await.map_err(fault)?.ok_or(Fault::Absent)?.value.at(server.now());
    let mut view = order_view(&order);
    let mut authorizations = Vec::new();
    for id in &order.authorizations {
        if let Some(found) = server.records.authorization(account, id).await.map_err(fault)? {
            authorizations.push(authorization_view(&found.value.at(server.now())));
        }
    }
    set(&mut view, "authorizations", authorizations);
    Response::data(&view)
}

fn order_view(order: &Order) -> Value {
    json!({
        "status": order.status,
        "identifiers": order.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "acme_directory": format!("{}acme/directory", order.scope),
        "profile": order.profile,
        "created_on": order.created_at.to_string(),
        "expires": order.expires.to_string(),
        "serial_number": order.serial.as_deref().unwrap_or_default(),
        "replaces": order.replaces,
        "auto_renewal": order.auto_renewal.as_ref().map(AutoRenewal::view),
        "error": order.error.as_ref().map(Problem::to_value),
    })
}

fn authorization_view(authorization: &Authorization) -> Value {
    let tried = authorization.challenges.iter().filter(|challenge| challenge.status != ChallengeStatus::Pending);
    let challenges: Vec<_> = tried
        .map(|challenge| {
            json!({
                "type": challenge.kind.name(),
                "status": challenge.status,
                "validated": challenge.validated.map(|at| at.to_string()),
                "error": challenge.error.as_ref().map(Problem::to_value),
            })
        })
        .collect();
    json!({
        "id": authorization.id,
        "identifier": authorization.named.to_string(),
        "status": authorization.status,
        "expires": authorization.expires.to_string(),
        "challenges": challenges,
    })
}

/// `LIST acme/replacements`
pub(crate) async fn replacements(server: Arc<AcmeServer>, _call: Call) -> Result<Response, Fault> {
    let stored = server.records.read::<Vec<Replacement>>(REPLACEMENTS).await.map_err(fault)?;
    let rules = stored.map(|stored| stored.value).unwrap_or_default();
    let ids: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
    let info = rules.iter().map(|rule| (rule.id.clone(), json!(rule))).collect::<Map<_, _>>();
    listed(&ids, &info)
}

/// `POST acme/replacements`: certificates that match in everything stated are to be replaced at once (RFC 9773).
pub(crate) async fn add_replacement(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let request: ReplacementRequest = call.parse()?;
    let stated = [&request.issuer, &request.role, &request.serial_from, &request.serial_to];
    if stated.iter().all(|text| text.0.is_empty()) {
        return Err(Fault::caller(
            "state an issuer, a role or a range of serial numbers; use issuer \"*\" for everything",
        ));
    }
    let serial = |name: &str, text: &Text| match text.0.as_str() {
        "" => Ok(String::new()),
        text => SerialNumber::parse(text)
            .map(|serial| serial.to_string())
            .ok_or_else(|| Fault::Caller(format!("{name}: {text} is no serial number"))),
    };
    let issuer = match request.issuer.0.as_str() {
        "" | "*" => String::new(),
        reference => server.authority.issuer_id(reference).await?,
    };
    let url = &request.explanation_url.0;
    if !url.is_empty() && !chancery_ca::urls::is_url(url) {
        return Err(Fault::Caller(format!("explanation_url: {url} is not a URL")));
    }
    let rule = Replacement {
        id: server.new_id().map_err(|error| Fault::Dependency(format!("getrandom: {error}")))?,
        issuer,
        role: request.role.0.clone(),
        serial_from: serial("serial_from", &request.serial_from)?,
        serial_to: serial("serial_to", &request.serial_to)?,
        explanation_url: url.clone(),
        since: server.now(),
    };
    server
        .change_replacements(|rules| {
            if rules.len() >= MOST_REPLACEMENTS {
                return Err(Fault::Caller(format!("there are {MOST_REPLACEMENTS} rules; delete one first")));
            }
            rules.push(rule.clone());
            Ok(())
        })
        .await?;
    Response::data(&rule)
}

/// `DELETE acme/replacements/:id`
pub(crate) async fn delete_replacement(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let id = call.captures.text("id");
    server
        .change_replacements(|rules| {
            rules.retain(|rule| rule.id != id);
            Ok(())
        })
        .await?;
    Ok(Response::empty())
}

impl AcmeServer {
    async fn change_replacements(
        &self,
        change: impl Fn(&mut Vec<Replacement>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let stored = self.records.read::<Vec<Replacement>>(REPLACEMENTS).await.map_err(fault)?;
        let mut rules = stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        change(&mut rules)?;
        let (mut changes, view) = (Changes::default(), &self.records.view);
        match stored {
            Some(stored) => changes.replace(view, REPLACEMENTS, &rules, stored.version, None),
            None => changes.create(view, REPLACEMENTS, &rules),
        }
        .map_err(fault)?;
        self.records.store.commit(changes).await.map_err(fault)?;
        self.forget_settings();
        Ok(())
    }
}

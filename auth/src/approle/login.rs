//! `login`: one error for every wrong pair, so that nobody learns which half was wrong.

use super::AppRole;
use crate::cidr;
use chancery_engine::{Call, Fault, Response, SecretString, response::Login, wire::Text};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(default)]
struct LoginRequest {
    role_id: Text,
    secret_id: SecretString,
}

impl Default for LoginRequest {
    fn default() -> Self {
        Self { role_id: Text::default(), secret_id: SecretString::new(String::new()) }
    }
}

fn invalid() -> Fault {
    Fault::caller("invalid role or secret ID")
}

pub(super) async fn log_in(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let request: LoginRequest = call.parse()?;
    let role_id = request.role_id.0.trim();
    if role_id.is_empty() {
        return Err(Fault::caller("missing role_id"));
    }
    let (name, role) = engine.roles.by_id(&engine.hash(role_id).await?).await?.ok_or_else(invalid)?;
    let client = call.client.map(|client| client.ip());
    let outside = || {
        let address = client.map_or(String::new(), |address| address.to_string());
        Fault::caller(format!("source address {address:?} unauthorized by CIDR restrictions on the role"))
    };
    let mut login = Login { alias: role.role_id, token: role.token, ..Login::default() };
    let ranges = role.secret_id_bound_cidrs.unwrap_or_default();
    if role.bind_secret_id {
        let secret_id = request.secret_id.expose().trim();
        if secret_id.is_empty() {
            return Err(Fault::caller("missing secret_id"));
        }
        let hash = engine.hash(secret_id).await?;
        // Only who knows the secret id learns that the address is wrong, and a wrong address takes no use.
        engine.secret_ids.find(&name, &hash, engine.clock.now()).await?.ok_or_else(invalid)?;
        if !cidr::admits(&ranges, client) || !cidr::admits(&login.token.bound_cidrs, client) {
            return Err(outside());
        }
        let taken = engine.secret_ids.take_use(&name, &hash, client, engine.clock.now()).await?;
        let secret = taken.ok_or_else(invalid)?;
        login.metadata = secret.metadata;
        if !secret.token_bound_cidrs.is_empty() {
            login.token.bound_cidrs = secret.token_bound_cidrs;
        }
    } else if !cidr::admits(&ranges, client) || !cidr::admits(&login.token.bound_cidrs, client) {
        return Err(outside());
    }
    login.metadata.insert("role_name".to_owned(), name.clone());
    login.internal.insert("role_name".to_owned(), name);
    Ok(Response::login(login))
}

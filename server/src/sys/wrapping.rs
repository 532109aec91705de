//! `wrapping/{wrap,lookup,unwrap,rewrap}`. A wrapping token in the request's own token header counts as the `token`
//! parameter: the pipeline moves it there (`adopt_wrapping_token`), so that looking does not use it up.

use super::System;
use chancery_engine::{Body, Call, Fault, Response, Route, SecretString, Verb};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// Whether a wrapping token is credential enough at `path`.
pub(crate) fn is_wrapping_path(path: &str) -> bool {
    matches!(path, "sys/wrapping/lookup" | "sys/wrapping/unwrap" | "sys/wrapping/rewrap")
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WrappingRequest {
    token: Option<SecretString>,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("wrapping/wrap", "Wraps what it is given.").on(Verb::Write, wrap),
        Route::at("wrapping/lookup", "What a wrapping token holds, without opening it.")
            .on(Verb::Read, lookup)
            .on(Verb::Write, lookup)
            .public(),
        Route::at("wrapping/unwrap", "Hands out what a wrapping token holds.").on(Verb::Write, unwrap).public(),
        Route::at("wrapping/rewrap", "Moves what a wrapping token holds into a new one.")
            .on(Verb::Write, rewrap)
            .public(),
    ]
}

async fn wrap(_system: Arc<System>, call: Call) -> Result<Response, Fault> {
    if call.header("x-vault-wrap-ttl").is_none_or(str::is_empty) {
        return Err(Fault::caller("endpoint requires response wrapping to be used"));
    }
    // Any object will do; it is only checked to be one.
    let _members: BTreeMap<String, &RawValue> = call.parse()?;
    let body = if call.body.is_empty() { b"{}".to_vec() } else { call.body.json().to_vec() };
    Ok(Response::json(body))
}

async fn lookup(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let token = given_token(&system, &call)?;
    Response::data(&system.core.tokens.lookup_wrapping(&token).await?)
}

async fn unwrap(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let wrapped = system.core.tokens.unwrap(&given_token(&system, &call)?).await?;
    // The envelope as it was wrapped, not one envelope inside another.
    Ok(Response::raw("application/json", wrapped.payload.to_vec()))
}

async fn rewrap(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let wrap_info = system.core.tokens.rewrap(&given_token(&system, &call)?).await?;
    Ok(Response { wrap_info: Some(wrap_info), ..Response::empty() })
}

fn given_token(system: &System, call: &Call) -> Result<SecretString, Fault> {
    if !system.core.is_open() {
        return Err(Fault::Sealed);
    }
    let request: WrappingRequest = call.parse()?;
    request
        .token
        .filter(|token| !token.expose().is_empty())
        .ok_or_else(|| Fault::Refused("error validating wrapping token: token is empty".to_owned()))
}

/// Whether the parameters of a request to `sys/wrapping/*` name a token themselves.
pub(crate) fn names_token(body: &Body) -> bool {
    chancery_engine::wire::parse_body::<WrappingRequest>(body.json(), |_| {})
        .is_ok_and(|request| request.token.is_some_and(|token| !token.expose().is_empty()))
}

/// The parameters of a request whose wrapping token stood in the header.
pub(crate) fn body_with_token(token: &SecretString) -> Body {
    let members = BTreeMap::from([("token", token.expose())]);
    // A map of texts always serialises.
    Body::from_json(serde_json::to_vec(&members).unwrap_or_default())
}

//! `issuers`, `issuer/:ref`, `config/issuers`.

use super::config_ca::IssuerResponse;
use crate::{SshAuthority, authority::DEFAULT, error::SshError, settings::IssuerSettings};
use chancery_engine::{Call, Fault, Response, wire::Text};
use chancery_store::Changes;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
struct Listing<'a> {
    key_info: BTreeMap<&'a str, Info<'a>>,
    keys: Vec<&'a str>,
}

#[derive(Serialize)]
struct Info<'a> {
    is_default: bool,
    issuer_name: &'a str,
    public_key: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NameRequest {
    issuer_name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigRequest {
    default: Text,
}

/// `LIST issuers`
pub(crate) async fn list(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    if authority.issuers.is_empty() {
        return Err(Fault::Absent);
    }
    let key_info = authority
        .issuers
        .iter()
        .map(|(id, issuer)| {
            let record = &issuer.record;
            let is_default = authority.default == *id;
            (id.as_str(), Info { is_default, issuer_name: &record.name, public_key: &record.public_key })
        })
        .collect();
    Response::data(&Listing { key_info, keys: authority.issuers.keys().map(String::as_str).collect() })
}

/// `GET issuer/:ref`
pub(crate) async fn read(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    Response::data(&IssuerResponse::of(authority.issuer(call.captures.text("issuer_ref"))?))
}

/// `POST issuer/:ref`: gives it a name; none takes it away.
pub(crate) async fn write(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: NameRequest = call.parse()?;
    let (name, reference) = (&request.issuer_name.0, call.captures.text("issuer_ref"));
    let issuer = engine
        .change("name issuer", |draft| {
            let mut issuer = draft.authority().issuer(reference)?.as_ref().clone();
            draft.authority().check_name(name, Some(&issuer.record.id))?;
            issuer.record.name.clone_from(name);
            draft.put_issuer(issuer.clone());
            Ok((issuer, Changes::default()))
        })
        .await?;
    Response::data(&IssuerResponse::of(&issuer))
}

/// `DELETE issuer/:ref`: the issuer and its key. One that is not there is gone already.
pub(crate) async fn delete(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let reference = call.captures.text("issuer_ref");
    let removed = engine
        .change("delete issuer", |draft| {
            let Ok(issuer) = draft.authority().issuer(reference).cloned() else {
                return Ok((None, Changes::default()));
            };
            let was_default = draft.remove_issuer(&issuer.record.id);
            Ok((Some((issuer, was_default)), Changes::default()))
        })
        .await?;
    let Some((issuer, was_default)) = removed else { return Ok(Response::empty()) };
    let mut answer = Response::empty();
    if was_default {
        answer = answer.warn(format!(
            "Deleted issuer {} (via issuer_ref {reference}); this was configured as the default issuer. Operations without an explicit issuer will not work until a new default is configured.",
            issuer.record.id
        ));
    }
    answer.warnings.extend(engine.destroy_key(&issuer).await);
    Ok(answer)
}

/// `GET config/issuers`
pub(crate) async fn read_config(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let default = authority.issuer(DEFAULT)?.record.id.clone();
    Response::data(&IssuerSettings { default })
}

/// `POST config/issuers`
pub(crate) async fn write_config(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    let reference = &request.default.0;
    if reference.is_empty() || reference == DEFAULT {
        return Err(Fault::caller("invalid issuer specification; must be non-empty and can't be 'default'."));
    }
    let (previous, default) = engine
        .change("default issuer", |draft| {
            let id = draft.authority().issuer(reference).map(|issuer| issuer.record.id.clone());
            let id = id.map_err(|error| SshError::Caller(format!("error resolving issuer reference: {error}")))?;
            let previous = draft.authority().default.clone();
            draft.set_default(id.clone());
            Ok(((previous, id), Changes::default()))
        })
        .await?;
    let answer = Response::data(&IssuerSettings { default: default.clone() })?;
    if previous.is_empty() || previous == default {
        return Ok(answer);
    }
    Ok(answer.warn(format!(
        "Previous default ({previous}) has been updated with the issuer '{reference}' (resolved to {default})"
    )))
}

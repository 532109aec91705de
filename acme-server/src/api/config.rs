//! `config/acme`. The texts are the real server's, which answers them with 500; a caller's mistake is a 400 here.

use crate::{
    server::{AcmeServer, network, resolvers},
    settings::Settings,
    storage::CONFIG,
};
use chancery_ca::door::DoorRole;
use chancery_engine::{
    Call, Fault, Response,
    wire::{CommaList, DurationSeconds, Flag, Text},
};
use chancery_store::{Changes, StoreError};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigRequest {
    enabled: Option<Flag>,
    allowed_issuers: Option<CommaList>,
    allowed_roles: Option<CommaList>,
    allow_role_ext_key_usage: Option<Flag>,
    default_directory_policy: Option<Text>,
    dns_resolver: Option<Text>,
    eab_policy: Option<Text>,
    allowed_networks: Option<CommaList>,
    caa_identities: Option<CommaList>,
    permit_without_caa_answer: Option<Flag>,
    terms_of_service: Option<Text>,
    website: Option<Text>,
    authorization_lifetime: Option<DurationSeconds>,
    auto_renewal_max_duration: Option<DurationSeconds>,
}

/// Longest time for which a shown control may be good: that of the real server's authorizations.
const LONGEST_AUTHORIZATION: u64 = 15 * 86_400;

/// Longest time for which certificates may be renewed: a year.
const LONGEST_RENEWAL: u64 = 366 * 86_400;

/// `GET config/acme`
pub(crate) async fn read(server: Arc<AcmeServer>, _call: Call) -> Result<Response, Fault> {
    Response::data(&server.records.settings().await.map_err(fault)?)
}

/// `POST config/acme`: what is not stated stays.
pub(crate) async fn write(server: Arc<AcmeServer>, call: Call) -> Result<Response, Fault> {
    let request: ConfigRequest = call.parse()?;
    let stored = server.records.read::<Settings>(CONFIG).await.map_err(fault)?;
    let mut settings = stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
    apply(&mut settings, request)?;
    check(&server, &settings).await?;
    let mut changes = Changes::default();
    let view = &server.records.view;
    match stored {
        Some(stored) => changes.replace(view, CONFIG, &settings, stored.version, None),
        None => changes.create(view, CONFIG, &settings),
    }
    .map_err(fault)?;
    server.records.store.commit(changes).await.map_err(fault)?;
    server.forget_settings();
    Response::data(&settings)
}

fn apply(settings: &mut Settings, request: ConfigRequest) -> Result<(), Fault> {
    for (stated, flag) in [
        (request.enabled, &mut settings.enabled),
        (request.allow_role_ext_key_usage, &mut settings.allow_role_ext_key_usage),
        (request.permit_without_caa_answer, &mut settings.permit_without_caa_answer),
    ] {
        if let Some(stated) = stated {
            *flag = stated.0;
        }
    }
    for (stated, list) in [
        (request.allowed_issuers, &mut settings.allowed_issuers),
        (request.allowed_roles, &mut settings.allowed_roles),
        (request.allowed_networks, &mut settings.allowed_networks),
        (request.caa_identities, &mut settings.caa_identities),
    ] {
        if let Some(stated) = stated {
            *list = stated.0;
        }
    }
    for (stated, text) in [
        (request.default_directory_policy, &mut settings.default_directory_policy),
        (request.dns_resolver, &mut settings.dns_resolver),
        (request.eab_policy, &mut settings.eab_policy),
        (request.terms_of_service, &mut settings.terms_of_service),
        (request.website, &mut settings.website),
    ] {
        if let Some(stated) = stated {
            *text = stated.0;
        }
    }
    if let Some(stated) = request.authorization_lifetime {
        let seconds = u64::try_from(stated.0).ok().filter(|seconds| (60..=LONGEST_AUTHORIZATION).contains(seconds));
        settings.authorization_lifetime = seconds.ok_or_else(|| {
            refuse(format!("authorization_lifetime must be from a minute to {LONGEST_AUTHORIZATION} seconds"))
        })?;
    }
    if let Some(stated) = request.auto_renewal_max_duration {
        let seconds = u64::try_from(stated.0).ok().filter(|seconds| *seconds <= LONGEST_RENEWAL);
        settings.auto_renewal_max_duration = seconds.ok_or_else(|| {
            refuse(format!("auto_renewal_max_duration must be from 0 (not offered) to {LONGEST_RENEWAL} seconds"))
        })?;
    }
    Ok(())
}

async fn check(server: &AcmeServer, settings: &Settings) -> Result<(), Fault> {
    for (name, list) in [("allowed_roles", &settings.allowed_roles), ("allowed_issuers", &settings.allowed_issuers)] {
        if list.is_empty() {
            return Err(refuse(format!(
                "{name} must take a non-zero length value; specify '*' as the value to allow anything or specify enabled=false to disable ACME entirely"
            )));
        }
    }
    for role in settings.allowed_roles.iter().filter(|role| *role != "*") {
        let found = server.authority.check_door_role(DoorRole::Named(role)).await;
        found.map_err(|error| refuse(format!("allowed_role {role} is not a valid acme role: {error}")))?;
    }
    for issuer in settings.allowed_issuers.iter().filter(|issuer| *issuer != "*") {
        let found = server.authority.door_issuer(DoorRole::Proved, Some(issuer)).await;
        found.map_err(|error| {
            refuse(format!("failed validating allowed_issuers: unable to fetch issuer: {issuer}: {error}"))
        })?;
    }
    match settings.default_directory_policy.as_str() {
        "sign-verbatim" | "forbid" => {}
        policy => {
            let role = policy.strip_prefix("role:").filter(|role| !role.is_empty()).ok_or_else(|| {
                refuse(format!(
                    "invalid default_directory_policy: string {policy} not a valid Default Directory Policy"
                ))
            })?;
            let found = server.authority.check_door_role(DoorRole::Named(role)).await;
            found.map_err(|error| {
                refuse(format!("default directory policy role {role} is not a valid ACME role: {error}"))
            })?;
            if !settings.allows_role(role) {
                return Err(refuse(format!("default directory policy role {role} is not one of allowed_roles")));
            }
        }
    }
    if !matches!(settings.eab_policy.as_str(), "not-required" | "new-account-required" | "always-required") {
        return Err(refuse(
            "invalid eab policy name provided, valid values are 'not-required', 'new-account-required', 'always-required'"
                .to_owned(),
        ));
    }
    if let Err(bad) = resolvers(&settings.dns_resolver) {
        return Err(refuse(format!(
            "failed to parse DNS resolver address: {bad} is not the address and port of a DNS server"
        )));
    }
    if let Some(bad) = settings.allowed_networks.iter().find(|text| network(text).is_none()) {
        return Err(refuse(format!("allowed_networks: {bad} is not a network such as 10.0.0.0/8")));
    }
    if let Some(bad) = settings.caa_identities.iter().find(|name| crate::identifier::DnsName::parse(name).is_err()) {
        return Err(refuse(format!("caa_identities: {bad} is not a domain name")));
    }
    for (name, url) in [("terms_of_service", &settings.terms_of_service), ("website", &settings.website)] {
        if !url.is_empty() && !chancery_ca::urls::is_url(url) {
            return Err(refuse(format!("{name}: {url} is not a URL")));
        }
    }
    if settings.enabled && server.authority.cluster_path().await?.is_empty() {
        return Err(refuse("ACME feature requires local cluster 'path' field configuration to be set".to_owned()));
    }
    crate::validation::Validator::new(server.validation(settings))
        .map(|_| ())
        .map_err(|error| refuse(error.to_string()))
}

fn refuse(text: String) -> Fault {
    Fault::Caller(text)
}

/// The store's failure as the API has it.
pub(crate) fn fault(error: StoreError) -> Fault {
    chancery_ca::CaError::from(error).into()
}

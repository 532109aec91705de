//! `config/*`: what can be said of the configuration over the API. It is changed in its file, under review, not here.

use super::System;
use chancery_engine::{Call, Fault, Response, Route, Verb};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
struct CorsResponse {
    enabled: bool,
}

#[derive(Serialize)]
struct HeadersResponse {
    headers: BTreeMap<String, ()>,
}

#[derive(Serialize)]
struct Sanitized<'a> {
    api_addr: &'a str,
    cluster_name: &'a str,
    default_lease_ttl: u64,
    max_lease_ttl: u64,
    raw_storage_endpoint: bool,
    seals: [Seal; 1],
    storage: Storage<'a>,
}

#[derive(Serialize)]
struct Seal {
    disabled: bool,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Storage<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

pub(super) fn routes() -> Vec<Route<System>> {
    let headers = "Request headers shown by the audit log beside the usual ones: none.";
    vec![
        Route::at("config/cors", "Cross-origin requests: refused.")
            .on(Verb::Read, |_, _| async { Response::data(&CorsResponse { enabled: false }) })
            .on(Verb::Write, |_, _| refuse("cross-origin requests"))
            .on(Verb::Delete, |_, _| async { Ok(Response::empty()) })
            .sudo(),
        Route::at("config/auditing/request-headers", headers)
            .on(Verb::Read, |_, _| async { Response::data(&HeadersResponse { headers: BTreeMap::new() }) })
            .sudo(),
        Route::at("config/auditing/request-headers/{header}", headers)
            .on(Verb::Read, |_, _| async { Err(Fault::caller("Could not find header in config")) })
            .on(Verb::Write, |_, _| refuse("request headers in the audit log"))
            .on(Verb::Delete, |_, _| async { Ok(Response::empty()) })
            .sudo(),
        Route::at("config/ui/headers", "Headers of the web pages: only the built-in ones.")
            .on(Verb::List, |_, _| async { Response::list(&[]) })
            .sudo(),
        Route::at("config/state/sanitized", "The configuration without secrets.").on(Verb::Read, sanitized),
    ]
}

async fn refuse(what: &'static str) -> Result<Response, Fault> {
    Err(Fault::Caller(format!("{what} cannot be configured on this server")))
}

async fn sanitized(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let settings = &system.core.settings;
    Response::data(&Sanitized {
        api_addr: &settings.api_address,
        cluster_name: settings.cluster_name.as_deref().unwrap_or_default(),
        default_lease_ttl: settings.leases.default_ttl,
        max_lease_ttl: settings.leases.max_ttl,
        raw_storage_endpoint: false,
        seals: [Seal { disabled: false, kind: settings.seal.as_str() }],
        storage: Storage { kind: &settings.storage_type },
    })
}

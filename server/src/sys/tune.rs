//! `mounts/:path/tune`, `auth/:path/tune`: what of a mount can be changed while it serves.

use super::{
    System,
    mount_view::{Occasion, TuneRequest, token_type},
    mounts::full_path,
};
use crate::mount::{MountClass, Mounted};
use chancery_engine::{Call, Fault, Response, Route, Verb};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
struct TuneResponse<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_managed_keys: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_response_headers: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audit_non_hmac_request_keys: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audit_non_hmac_response_keys: &'a [String],
    default_lease_ttl: u64,
    description: &'a str,
    force_no_cache: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    listing_visibility: &'a str,
    max_lease_ttl: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    passthrough_request_headers: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    plugin_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'a str>,
}

// The path before `/tune` may have several segments, which a pattern cannot say: one route for each depth in use.
const SECRET_PATTERNS: [&str; 4] =
    ["mounts/{a}/tune", "mounts/{a}/{b}/tune", "mounts/{a}/{b}/{c}/tune", "mounts/{a}/{b}/{c}/{d}/tune"];
const AUTH_PATTERNS: [&str; 4] =
    ["auth/{a}/tune", "auth/{a}/{b}/tune", "auth/{a}/{b}/{c}/tune", "auth/{a}/{b}/{c}/{d}/tune"];

pub(super) fn routes() -> Vec<Route<System>> {
    let secret = SECRET_PATTERNS.into_iter().map(|pattern| {
        Route::at(pattern, "Tuning of a mount.")
            .on(Verb::Read, |system, call| read(system, call, MountClass::Secret))
            .on(Verb::Write, |system, call| write(system, call, MountClass::Secret))
    });
    let auth = AUTH_PATTERNS.into_iter().map(|pattern| {
        Route::at(pattern, "Tuning of a login method.")
            .on(Verb::Read, |system, call| read(system, call, MountClass::Auth))
            .on(Verb::Write, |system, call| write(system, call, MountClass::Auth))
            .sudo()
    });
    secret.chain(auth).collect()
}

async fn read(system: Arc<System>, call: Call, class: MountClass) -> Result<Response, Fault> {
    let path = addressed(&call, class);
    let mounted = system
        .core
        .mounts
        .at(&path)
        .ok_or_else(|| Fault::Caller(format!("cannot fetch sysview for path \"{path}/\"")))?;
    let (tuning, point) = (&mounted.entry.tuning, &mounted.point);
    Response::data(&TuneResponse {
        allowed_managed_keys: &tuning.allowed_managed_keys,
        allowed_response_headers: &tuning.allowed_response_headers,
        audit_non_hmac_request_keys: &tuning.audit_non_hmac_request_keys,
        audit_non_hmac_response_keys: &tuning.audit_non_hmac_response_keys,
        default_lease_ttl: point.default_lease_ttl,
        description: &tuning.description,
        force_no_cache: tuning.force_no_cache,
        listing_visibility: &tuning.listing_visibility,
        max_lease_ttl: point.max_lease_ttl,
        options: tuning.options.as_ref().filter(|options| !options.is_empty()),
        passthrough_request_headers: &tuning.passthrough_request_headers,
        plugin_version: &tuning.plugin_version,
        token_type: token_type(&mounted),
    })
}

async fn write(system: Arc<System>, call: Call, class: MountClass) -> Result<Response, Fault> {
    let request: TuneRequest = call.parse()?;
    let path = addressed(&call, class);
    let mounted = system
        .core
        .mounts
        .at(&path)
        .ok_or_else(|| Fault::Caller(format!("tune of path \"{path}/\" failed: no mount entry found")))?;
    if mounted.entry.kind == "system" && request.has_description() {
        return Err(Fault::caller("cannot tune parameter description of sys/"));
    }
    let options = check_options(&mounted, &request)?;
    let class = mounted.entry.class;
    system
        .core
        .mounts
        .tune(&path, move |tuning| {
            request.apply(class, Occasion::Tuning, tuning)?;
            if tuning.max_lease_ttl != 0 && tuning.default_lease_ttl > tuning.max_lease_ttl {
                return Err(Fault::Caller(format!(
                    "backend max lease TTL of {} would be less than backend default lease TTL of {}",
                    tuning.max_lease_ttl, tuning.default_lease_ttl
                )));
            }
            if let Some(options) = options {
                tuning.options.get_or_insert_default().extend(options);
            }
            Ok(())
        })
        .await?;
    Ok(Response::empty())
}

/// The mount's full path, without a trailing slash.
fn addressed(call: &Call, class: MountClass) -> String {
    let segments: Vec<&str> =
        ["a", "b", "c", "d"].into_iter().map(|name| call.captures.text(name)).filter(|text| !text.is_empty()).collect();
    full_path(class, &segments.join("/"))
}

/// Only kv has an option that can change, and a version cannot be taken back: its data lies in another form.
fn check_options(mounted: &Mounted, request: &TuneRequest) -> Result<Option<BTreeMap<String, String>>, Fault> {
    let Some(options) = &request.options else { return Ok(None) };
    if mounted.entry.kind == "kv"
        && let Some(version) = options.0.get("version")
    {
        let present = mounted.entry.tuning.options.as_ref().and_then(|options| options.get("version"));
        let present = present.map_or("1", |version| if version.is_empty() { "1" } else { version.as_str() });
        if !matches!(version.as_str(), "1" | "2") {
            return Err(Fault::Caller(format!("invalid version provided: {version}")));
        }
        if version != present {
            return Err(Fault::Caller(format!(
                "cannot change mount from version {present} to version {version}: enable a new mount and copy the secrets"
            )));
        }
    }
    Ok(Some(options.0.clone()))
}

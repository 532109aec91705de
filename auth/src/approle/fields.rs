//! The endpoints that read, set and reset one field of a role: `role/:role_name/<field>`.

use super::{AppRole, Role, RoleFields, apply, check, role_exists};
use crate::parameters::{OldSpellings, TokenFields, parse_part};
use chancery_engine::{Call, Fault, Response, Route, Verb};
use serde_json::{Value, json};
use std::sync::Arc;

/// A field with an endpoint of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Policies,
    BindSecretId,
    BoundCidrList,
    SecretIdBoundCidrs,
    TokenBoundCidrs,
    SecretIdNumUses,
    SecretIdTtl,
    Period,
    TokenNumUses,
    TokenTtl,
    TokenMaxTtl,
    LocalSecretIds,
}

impl Field {
    /// Every field with the pattern of its endpoint.
    pub(super) const ALL: [(&'static str, Self); 12] = [
        ("role/:role_name/policies", Self::Policies),
        ("role/:role_name/bind-secret-id", Self::BindSecretId),
        ("role/:role_name/bound-cidr-list", Self::BoundCidrList),
        ("role/:role_name/secret-id-bound-cidrs", Self::SecretIdBoundCidrs),
        ("role/:role_name/token-bound-cidrs", Self::TokenBoundCidrs),
        ("role/:role_name/secret-id-num-uses", Self::SecretIdNumUses),
        ("role/:role_name/secret-id-ttl", Self::SecretIdTtl),
        ("role/:role_name/period", Self::Period),
        ("role/:role_name/token-num-uses", Self::TokenNumUses),
        ("role/:role_name/token-ttl", Self::TokenTtl),
        ("role/:role_name/token-max-ttl", Self::TokenMaxTtl),
        ("role/:role_name/local-secret-ids", Self::LocalSecretIds),
    ];

    /// Name of the parameter.
    fn parameter(self) -> &'static str {
        match self {
            Self::Policies => "token_policies",
            Self::BindSecretId => "bind_secret_id",
            Self::BoundCidrList => "bound_cidr_list",
            Self::SecretIdBoundCidrs => "secret_id_bound_cidrs",
            Self::TokenBoundCidrs => "token_bound_cidrs",
            Self::SecretIdNumUses => "secret_id_num_uses",
            Self::SecretIdTtl => "secret_id_ttl",
            Self::Period => "token_period",
            Self::TokenNumUses => "token_num_uses",
            Self::TokenTtl => "token_ttl",
            Self::TokenMaxTtl => "token_max_ttl",
            Self::LocalSecretIds => "local_secret_ids",
        }
    }

    /// The older name of the parameter, if it has one.
    fn old_parameter(self) -> Option<&'static str> {
        match self {
            Self::Policies => Some("policies"),
            Self::Period => Some("period"),
            _ => None,
        }
    }

    /// Whether a write without the parameter is an error.
    fn is_demanded(self) -> bool {
        !matches!(
            self,
            Self::Policies | Self::Period | Self::BoundCidrList | Self::SecretIdBoundCidrs | Self::TokenBoundCidrs
        )
    }

    fn show(self, role: &Role) -> Value {
        match self {
            Self::Policies => json!(role.token.policies),
            Self::BindSecretId => json!(role.bind_secret_id),
            Self::BoundCidrList | Self::SecretIdBoundCidrs => json!(role.secret_id_bound_cidrs),
            Self::TokenBoundCidrs => json!(role.token.bound_cidrs),
            Self::SecretIdNumUses => json!(role.secret_id_num_uses),
            Self::SecretIdTtl => json!(role.secret_id_ttl),
            Self::Period => json!(role.token.period),
            Self::TokenNumUses => json!(role.token.num_uses),
            Self::TokenTtl => json!(role.token.ttl),
            Self::TokenMaxTtl => json!(role.token.max_ttl),
            Self::LocalSecretIds => json!(role.local_secret_ids),
        }
    }

    fn reset(self, role: &mut Role) {
        match self {
            Self::Policies => role.token.policies.clear(),
            Self::BindSecretId => role.bind_secret_id = true,
            Self::BoundCidrList | Self::SecretIdBoundCidrs => role.secret_id_bound_cidrs = None,
            Self::TokenBoundCidrs => role.token.bound_cidrs.clear(),
            Self::SecretIdNumUses => role.secret_id_num_uses = 0,
            Self::SecretIdTtl => role.secret_id_ttl = 0,
            Self::Period => role.token.period = 0,
            Self::TokenNumUses => role.token.num_uses = 0,
            Self::TokenTtl => role.token.ttl = 0,
            Self::TokenMaxTtl => role.token.max_ttl = 0,
            Self::LocalSecretIds => {}
        }
        if matches!(self, Self::Policies | Self::Period) {
            role.old = OldSpellings::default();
        }
    }

    /// Copies this one field from `from`.
    fn copy(self, from: Role, into: &mut Role) {
        match self {
            Self::Policies => into.token.policies = from.token.policies,
            Self::BindSecretId => into.bind_secret_id = from.bind_secret_id,
            Self::BoundCidrList | Self::SecretIdBoundCidrs => into.secret_id_bound_cidrs = from.secret_id_bound_cidrs,
            Self::TokenBoundCidrs => into.token.bound_cidrs = from.token.bound_cidrs,
            Self::SecretIdNumUses => into.secret_id_num_uses = from.secret_id_num_uses,
            Self::SecretIdTtl => into.secret_id_ttl = from.secret_id_ttl,
            Self::Period => into.token.period = from.token.period,
            Self::TokenNumUses => into.token.num_uses = from.token.num_uses,
            Self::TokenTtl => into.token.ttl = from.token.ttl,
            Self::TokenMaxTtl => into.token.max_ttl = from.token.max_ttl,
            Self::LocalSecretIds => {}
        }
        into.old = from.old;
    }
}

/// The endpoint of one field.
pub(super) fn route(pattern: &'static str, field: Field) -> Route<AppRole> {
    let route = Route::at(pattern, "One field of a role")
        .on(Verb::Read, move |engine, call| read(engine, call, field))
        .exists(role_exists);
    if field == Field::LocalSecretIds {
        return route;
    }
    route
        .on(Verb::Write, move |engine, call| write(engine, call, field))
        .on(Verb::Delete, move |engine, call| reset(engine, call, field))
}

async fn read(engine: Arc<AppRole>, call: Call, field: Field) -> Result<Response, Fault> {
    let role = engine.role(&call.captures).await?.ok_or(Fault::Absent)?;
    let mut shown = serde_json::Map::new();
    shown.insert(field.parameter().to_owned(), field.show(&role));
    if let Some(old) = field.old_parameter().filter(|_| role.old != OldSpellings::default()) {
        shown.insert(old.to_owned(), field.show(&role));
    }
    let response = Response::data(&shown)?;
    Ok(if field == Field::BoundCidrList {
        response.warn(
            "The \"bound_cidr_list\" field is deprecated and will be removed. Please use \"secret_id_bound_cidrs\" instead.",
        )
    } else {
        response
    })
}

async fn write(engine: Arc<AppRole>, call: Call, field: Field) -> Result<Response, Fault> {
    let sent: serde_json::Map<String, Value> = parse_part(&call)?;
    let names = [Some(field.parameter()), field.old_parameter()];
    if field.is_demanded() && !names.iter().flatten().any(|name| sent.contains_key(*name)) {
        return Err(Fault::caller(format!("missing {}", field.parameter())));
    }
    engine
        .roles
        .update(call.captures.text("role_name"), None, None, |role| {
            let mut changed = role.clone();
            apply(parse_part::<RoleFields>(&call)?, &mut changed)?;
            let shared: TokenFields = parse_part(&call)?;
            shared.note(&mut changed.old);
            shared.apply(&mut changed.token).map_err(|fault| match (field, fault) {
                (Field::TokenMaxTtl | Field::TokenTtl, Fault::Caller(text)) if text.contains("cannot be greater") => {
                    Fault::caller("token_max_ttl should be greater than or equal to token_ttl")
                }
                (_, fault) => fault,
            })?;
            field.copy(changed, role);
            check(role)
        })
        .await?;
    Ok(Response::empty())
}

async fn reset(engine: Arc<AppRole>, call: Call, field: Field) -> Result<Response, Fault> {
    if engine.role(&call.captures).await?.is_none() {
        return Ok(Response::empty());
    }
    engine
        .roles
        .update(call.captures.text("role_name"), None, None, |role| {
            field.reset(role);
            check(role)
        })
        .await?;
    Ok(Response::empty())
}

//! `roles/` and `roles/:name`.

use super::{TokenEngine, roles::TokenRole};
use crate::{
    parameters::{TokenFields, checked_ranges, positive},
    tokens::sanitize_policies,
};
use chancery_engine::{
    Call, Fault, Response,
    route::is_name,
    wire::{CommaList, DurationSeconds, Flag, Text},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a role has besides the shared `token_*` parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoleFields {
    allowed_policies: Option<CommaList>,
    disallowed_policies: Option<CommaList>,
    allowed_policies_glob: Option<CommaList>,
    disallowed_policies_glob: Option<CommaList>,
    allowed_entity_aliases: Option<CommaList>,
    orphan: Option<Flag>,
    renewable: Option<Flag>,
    path_suffix: Option<Text>,
    period: Option<DurationSeconds>,
    token_period: Option<DurationSeconds>,
    explicit_max_ttl: Option<DurationSeconds>,
    token_explicit_max_ttl: Option<DurationSeconds>,
    bound_cidrs: Option<CommaList>,
    token_bound_cidrs: Option<CommaList>,
}

#[derive(Serialize)]
struct Shown<'a> {
    allowed_entity_aliases: Option<&'a [String]>,
    allowed_policies: &'a [String],
    allowed_policies_glob: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    bound_cidrs: &'a [String],
    disallowed_policies: &'a [String],
    disallowed_policies_glob: &'a [String],
    explicit_max_ttl: u64,
    name: &'a str,
    orphan: bool,
    path_suffix: &'a str,
    period: u64,
    renewable: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    token_bound_cidrs: &'a [String],
    token_explicit_max_ttl: u64,
    token_no_default_policy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_num_uses: Option<i64>,
    token_period: u64,
    token_type: &'a str,
}

pub(super) async fn list(engine: Arc<TokenEngine>, _call: Call) -> Result<Response, Fault> {
    Response::list(&engine.roles.list().await?)
}

pub(super) async fn read(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("name");
    let role = engine.roles.read(name).await?.ok_or(Fault::Absent)?;
    let aliases = role.allowed_entity_aliases.as_slice();
    Response::data(&Shown {
        allowed_entity_aliases: (!aliases.is_empty()).then_some(aliases),
        allowed_policies: &role.allowed_policies,
        allowed_policies_glob: &role.allowed_policies_glob,
        bound_cidrs: &role.old_bound_cidrs,
        disallowed_policies: &role.disallowed_policies,
        disallowed_policies_glob: &role.disallowed_policies_glob,
        explicit_max_ttl: role.old_explicit_max_ttl,
        name,
        orphan: role.orphan,
        path_suffix: &role.path_suffix,
        period: role.old_period,
        renewable: role.renewable,
        token_bound_cidrs: &role.token.bound_cidrs,
        token_explicit_max_ttl: role.token.explicit_max_ttl,
        token_no_default_policy: role.token.no_default_policy,
        token_num_uses: (role.token.num_uses > 0).then_some(role.token.num_uses),
        token_period: role.token.period,
        token_type: &role.token.token_type,
    })
}

pub(super) async fn write(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    // Two structs read one body, so neither may report what it does not know; parse errors name the member all the same.
    let maximum = call.mount.max_lease_ttl;
    let warnings = engine
        .roles
        .update(call.captures.text("name"), |role| {
            let mut warnings = Vec::new();
            let shared: TokenFields = crate::parameters::parse_part(&call)?;
            apply_lists(crate::parameters::parse_part(&call)?, role, &mut warnings)?;
            let renamed = |fault| match fault {
                Fault::Caller(text) if text.starts_with("error converting") || text.starts_with("invalid ") => {
                    Fault::Caller(text)
                }
                Fault::Caller(text) => Fault::Caller(format!("error parsing role fields: {text}")),
                other => other,
            };
            let (old_period, old_explicit) = (role.token.period, role.token.explicit_max_ttl);
            shared.apply(&mut role.token).map_err(renamed)?;
            apply_old_spellings(crate::parameters::parse_part(&call)?, role, old_period, old_explicit)?;
            check(role, maximum, &mut warnings)?;
            Ok(warnings)
        })
        .await?;
    Ok(Response { warnings, ..Response::empty() })
}

pub(super) async fn delete(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    engine.roles.delete(call.captures.text("name")).await?;
    Ok(Response::empty())
}

fn apply_lists(fields: RoleFields, role: &mut TokenRole, warnings: &mut Vec<String>) -> Result<(), Fault> {
    let names = |list: CommaList| sanitize_names(&list.0);
    if let Some(list) = fields.allowed_policies {
        role.allowed_policies = sanitize_policies(&list.0, false);
    }
    if let Some(list) = fields.disallowed_policies {
        role.disallowed_policies = names(list);
    }
    if let Some(list) = fields.allowed_policies_glob {
        role.allowed_policies_glob = names(list);
    }
    if let Some(list) = fields.disallowed_policies_glob {
        role.disallowed_policies_glob = names(list);
    }
    if let Some(list) = fields.allowed_entity_aliases {
        role.allowed_entity_aliases = names(list);
    }
    role.orphan = fields.orphan.map_or(role.orphan, |flag| flag.0);
    role.renewable = fields.renewable.map_or(role.renewable, |flag| flag.0);
    if let Some(Text(suffix)) = fields.path_suffix {
        if !suffix.is_empty() && (!is_name(&suffix) || suffix.len() < 3) {
            return Err(Fault::caller("given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w"));
        }
        role.path_suffix = suffix;
    }
    for (new, old, name) in [
        (fields.token_explicit_max_ttl.is_some(), fields.explicit_max_ttl.is_some(), "explicit_max_ttl"),
        (fields.token_period.is_some(), fields.period.is_some(), "period"),
        (fields.token_bound_cidrs.is_some(), fields.bound_cidrs.is_some(), "bound_cidrs"),
    ] {
        if new && old {
            warnings.push(format!(
                "Both 'token_{name}' and deprecated '{name}' value supplied, ignoring the deprecated value"
            ));
        }
    }
    Ok(())
}

/// The older spellings are shown under their own names as long as they rule.
fn apply_old_spellings(
    fields: RoleFields,
    role: &mut TokenRole,
    period_before: u64,
    explicit_before: u64,
) -> Result<(), Fault> {
    match (fields.token_period, fields.period) {
        (Some(_), _) => role.old_period = 0,
        (None, Some(period)) => role.old_period = positive("period", period)?,
        (None, None) => role.token.period = period_before,
    }
    match (fields.token_explicit_max_ttl, fields.explicit_max_ttl) {
        (Some(_), _) => role.old_explicit_max_ttl = 0,
        (None, Some(ttl)) => {
            role.old_explicit_max_ttl = positive("explicit_max_ttl", ttl)?;
            role.token.explicit_max_ttl = role.old_explicit_max_ttl;
        }
        (None, None) => role.token.explicit_max_ttl = explicit_before,
    }
    match (fields.token_bound_cidrs, fields.bound_cidrs) {
        (Some(_), _) => role.old_bound_cidrs.clear(),
        (None, Some(CommaList(ranges))) => role.old_bound_cidrs = checked_ranges(ranges)?,
        (None, None) => {}
    }
    Ok(())
}

fn check(role: &mut TokenRole, maximum: u64, warnings: &mut Vec<String>) -> Result<(), Fault> {
    if role.token.token_type.is_empty() || role.token.token_type == "default" {
        "default-service".clone_into(&mut role.token.token_type);
    }
    if role.token.token_type == "batch" {
        if role.token.period > 0 {
            return Err(Fault::caller("'token_type' cannot be 'batch' when role is set to generate periodic tokens"));
        }
        if role.token.explicit_max_ttl > 0 {
            return Err(Fault::caller(
                "'token_type' cannot be 'batch' when role is set to generate tokens with an explicit max TTL",
            ));
        }
    }
    if maximum > 0 && role.token.explicit_max_ttl > maximum {
        warnings.push(format!(
            "Given explicit max TTL of {} is greater than system/mount allowed value of {maximum} seconds; until this is fixed attempting to create tokens against this role will result in an error",
            role.token.explicit_max_ttl
        ));
    }
    Ok(())
}

fn sanitize_names(names: &[String]) -> Vec<String> {
    let mut clean: Vec<String> = names.iter().map(|name| name.trim().to_lowercase()).collect();
    clean.retain(|name| !name.is_empty());
    clean.sort();
    clean.dedup();
    clean
}

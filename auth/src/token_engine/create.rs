//! `create`, `create-orphan`, `create/:role`: who may give which rights to a new token.

use super::{TokenEngine, roles::TokenRole};
use crate::tokens::{NewToken, create::is_unassignable, sanitize_policies};
use chancery_engine::{
    Call, Fault, Identity, Response, SecretString,
    identity::TokenType,
    response::TokenParameters,
    wire::{CommaList, Count, DurationSeconds, Flag, KeyValues, Text},
};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Default, Deserialize)]
#[serde(default)]
struct CreateRequest {
    id: Text,
    policies: CommaList,
    meta: Option<KeyValues>,
    no_parent: Flag,
    no_default_policy: Flag,
    renewable: Option<Flag>,
    ttl: DurationSeconds,
    /// The older spelling of `ttl`.
    lease: DurationSeconds,
    explicit_max_ttl: DurationSeconds,
    period: DurationSeconds,
    num_uses: Count,
    r#type: Text,
    entity_alias: Text,
    display_name: Text,
}

/// Who asks, and what goes for this request.
struct Asking<'a> {
    caller: &'a Identity,
    is_sudo: bool,
    orphan: bool,
    role: Option<(&'a str, &'a TokenRole)>,
}

pub(super) async fn create(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    engine.create(&call, false).await
}

pub(super) async fn create_orphan(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    engine.create(&call, true).await
}

pub(super) async fn create_with_role(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    engine.create(&call, false).await
}

impl TokenEngine {
    async fn create(&self, call: &Call, orphan: bool) -> Result<Response, Fault> {
        let request: CreateRequest = call.parse()?;
        let role_name = call.captures.text("role");
        let role = match role_name {
            "" => None,
            name => Some(self.roles.read(name).await?.ok_or_else(|| Fault::caller(format!("unknown role {name}")))?),
        };
        let asking = Asking {
            caller: call.identity()?,
            is_sudo: call.permit.is_sudo(),
            orphan: orphan || role.as_ref().is_some_and(|role| role.orphan),
            role: role.as_ref().map(|role| (role_name, role)),
        };
        check_caller(&asking, &request)?;
        let mut warnings = Vec::new();
        let policies = choose_policies(&asking, &request)?;
        let parameters = choose_parameters(&asking, &request, &policies, &mut warnings)?;
        let is_root = policies.iter().any(|name| name == "root");
        if is_root
            && asking.caller.token_ttl > 0
            && request.ttl.0 == 0
            && request.lease.0 == 0
            && parameters.period == 0
        {
            return Err(Fault::caller("expiring root tokens cannot create non-expiring root tokens"));
        }
        let new = NewToken {
            id: choose_id(&asking, &request)?,
            parent: (!asking.orphan && !request.no_parent.0).then(|| asking.caller.token_key.clone()),
            path: choose_path(call, &asking),
            display_name: display_name(&request.display_name.0),
            metadata: request.meta.clone().map(|KeyValues(pairs)| pairs).filter(|pairs| !pairs.is_empty()),
            increment: choose_ttl(&request)?,
            renewable: request.renewable.is_none_or(|flag| flag.0)
                && asking.role.is_none_or(|(_, role)| role.renewable),
            role: role_name.to_owned(),
            mount_ttls: (call.mount.default_lease_ttl, call.mount.max_lease_ttl),
            endless: true,
            policies,
            parameters,
            ..NewToken::default()
        };
        let named = new.policies.clone();
        let (block, more) = self.tokens.create(new).await?;
        warnings.extend(more);
        for name in named {
            if !self.tokens.policies().exists(&name).await? {
                warnings.push(format!("Policy {name:?} does not exist"));
            }
        }
        let mut response = Response::auth(block);
        response.warnings = warnings;
        Ok(response)
    }
}

fn check_caller(asking: &Asking<'_>, request: &CreateRequest) -> Result<(), Fault> {
    if asking.caller.token_type == TokenType::Batch {
        return Err(Fault::caller("batch tokens cannot create more tokens"));
    }
    if asking.caller.remaining_uses != 0 {
        return Err(Fault::caller("restricted use token cannot generate child tokens"));
    }
    if !request.entity_alias.0.is_empty() && asking.role.is_none() {
        return Err(Fault::caller("'entity_alias' is only allowed in combination with token role"));
    }
    if let (alias, Some((_, role))) = (request.entity_alias.0.to_lowercase(), asking.role)
        && !alias.is_empty()
        && !role.allowed_entity_aliases.contains(&alias)
    {
        return Err(Fault::caller("invalid 'entity_alias' value"));
    }
    if request.num_uses.0 < 0 {
        return Err(Fault::caller("number of uses cannot be negative"));
    }
    if request.no_parent.0 && !asking.orphan && !asking.is_sudo {
        return Err(Fault::caller("root or sudo privileges required to create orphan token"));
    }
    Ok(())
}

fn choose_id(asking: &Asking<'_>, request: &CreateRequest) -> Result<Option<SecretString>, Fault> {
    let id = &request.id.0;
    if id.is_empty() {
        return Ok(None);
    }
    if !asking.is_sudo {
        return Err(Fault::caller("root or sudo privileges required to specify token id"));
    }
    for prefix in ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."] {
        if id.starts_with(prefix) {
            return Err(Fault::caller(format!("custom token ID cannot have the '{prefix}' prefix")));
        }
    }
    if id.contains('.') {
        return Err(Fault::caller("custom token ID cannot have a '.' in the value"));
    }
    if id.len() > 1024 || id.trim() != id || id.chars().any(char::is_control) {
        return Err(Fault::caller("custom token ID is not usable as a header value"));
    }
    Ok(Some(SecretString::new(id.clone())))
}

/// The policies of the new token. Without a role that says so, and without sudo, never more than the caller has.
fn choose_policies(asking: &Asking<'_>, request: &CreateRequest) -> Result<Vec<String>, Fault> {
    let caller = &asking.caller.policies;
    let asked = &request.policies.0;
    let restricting = asking.role.filter(|(_, role)| role.restricts());
    let no_default = request.no_default_policy.0
        || asking.role.is_some_and(|(_, role)| role.token.no_default_policy && request.policies.0.is_empty());
    let policies = match restricting {
        Some((_, role)) => {
            let wanted: &[String] = match asked.as_slice() {
                [] if role.allows_list() => &role.allowed_policies,
                [] => caller.as_ref(),
                asked => asked,
            };
            let policies = sanitize_policies(wanted, !no_default && (!asked.is_empty() || role.allows_list()));
            role.check(&policies)?;
            policies
        }
        None if asked.is_empty() => {
            let mut inherited = caller.to_vec();
            if no_default {
                inherited.retain(|name| name != "default");
            }
            sanitize_policies(&inherited, false)
        }
        None => {
            let plain = sanitize_policies(asked, false);
            if !asking.is_sudo && !asking.caller.is_root() && !plain.iter().all(|name| caller.contains(name)) {
                return Err(Fault::caller("child policies must be subset of parent"));
            }
            let add_default = !no_default && (asking.is_sudo || caller.iter().any(|name| name == "default"));
            sanitize_policies(asked, add_default)
        }
    };
    if policies.iter().any(|name| name == "root") && !asking.caller.is_root() {
        return Err(Fault::caller("root tokens may not be created without parent token being root"));
    }
    match policies.iter().find(|name| is_unassignable(name)) {
        Some(name) => Err(Fault::caller(format!("cannot assign policy {name:?}"))),
        None => Ok(policies),
    }
}

fn choose_ttl(request: &CreateRequest) -> Result<u64, Fault> {
    let ttl = if request.ttl.0 == 0 { request.lease } else { request.ttl };
    u64::try_from(ttl.0).map_err(|_| Fault::caller("ttl must be positive"))
}

fn choose_parameters(
    asking: &Asking<'_>,
    request: &CreateRequest,
    policies: &[String],
    warnings: &mut Vec<String>,
) -> Result<TokenParameters, Fault> {
    let role = asking.role.map(|(_, role)| &role.token);
    let mut parameters = TokenParameters {
        num_uses: request.num_uses.0,
        explicit_max_ttl: u64::try_from(request.explicit_max_ttl.0)
            .map_err(|_| Fault::caller("explicit_max_ttl must be positive"))?,
        period: u64::try_from(request.period.0).map_err(|_| Fault::caller("period must be positive"))?,
        token_type: choose_type(request, role)?,
        ..TokenParameters::default()
    };
    if parameters.period > 0 && !asking.is_sudo {
        return Err(Fault::caller("root or sudo privileges required to create periodic token"));
    }
    if let Some(role) = role {
        if role.explicit_max_ttl > 0 {
            if parameters.explicit_max_ttl > 0 {
                parameters.explicit_max_ttl = parameters.explicit_max_ttl.min(role.explicit_max_ttl);
                warnings.push(format!(
                    "Explicit max TTL specified both during creation call and in role; using the lesser value of {} seconds",
                    parameters.explicit_max_ttl
                ));
            } else {
                parameters.explicit_max_ttl = role.explicit_max_ttl;
            }
        }
        if role.period > 0 {
            parameters.period = role.period;
        }
        if role.num_uses > 0 && (parameters.num_uses == 0 || role.num_uses < parameters.num_uses) {
            parameters.num_uses = role.num_uses;
        }
        parameters.bound_cidrs.clone_from(&role.bound_cidrs);
    }
    if parameters.token_type == "batch" {
        check_batch(&parameters, policies)?;
    }
    Ok(parameters)
}

fn choose_type(request: &CreateRequest, role: Option<&TokenParameters>) -> Result<String, Fault> {
    let asked = match request.r#type.0.as_str() {
        "" => None,
        "service" => Some("service"),
        "batch" => Some("batch"),
        _ => return Err(Fault::caller("invalid 'token_type' value")),
    };
    let chosen = match role.map_or("default-service", |role| role.token_type.as_str()) {
        "service" => "service",
        "batch" => "batch",
        "default-batch" => asked.unwrap_or("batch"),
        _ => asked.unwrap_or("service"),
    };
    Ok(chosen.to_owned())
}

fn check_batch(parameters: &TokenParameters, policies: &[String]) -> Result<(), Fault> {
    if policies.iter().any(|name| name == "root") {
        return Err(Fault::caller("batch tokens cannot be root tokens"));
    }
    for (is_set, name) in [
        (parameters.explicit_max_ttl > 0, "explicit_max_ttl"),
        (parameters.period > 0, "period"),
        (parameters.num_uses > 0, "num_uses"),
    ] {
        if is_set {
            return Err(Fault::caller(format!("batch tokens cannot have \"{name}\" set")));
        }
    }
    Ok(())
}

fn choose_path(call: &Call, asking: &Asking<'_>) -> String {
    let mount = &call.mount.path;
    match asking.role {
        Some((name, role)) if !role.path_suffix.is_empty() => format!("{mount}create/{name}/{}", role.path_suffix),
        Some((name, _)) => format!("{mount}create/{name}"),
        None if asking.orphan => format!("{mount}create-orphan"),
        None => format!("{mount}create"),
    }
}

/// `token`, or `token-` and the name with what is not a letter, digit or dash replaced.
fn display_name(asked: &str) -> String {
    let clean: String = asked.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    match clean.trim_matches('-') {
        "" => "token".to_owned(),
        name => format!("token-{name}"),
    }
}

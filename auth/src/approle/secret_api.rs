//! `role/:role_name/secret-id` and what lies below it.

use super::{
    AppRole, no_such_role,
    roles::Role,
    secret_ids::{NewSecretId, SecretId, check_ranges},
};
use crate::random;
use chancery_engine::{
    Call, Fault, Response, SecretString,
    response::Disposition,
    wire::{CommaList, Count, DurationSeconds, Text},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Default, Deserialize)]
#[serde(default)]
struct GenerateRequest {
    secret_id: Text,
    metadata: Text,
    cidr_list: CommaList,
    token_bound_cidrs: CommaList,
    num_uses: Option<Count>,
    ttl: Option<DurationSeconds>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    secret_id: Text,
    secret_id_accessor: Text,
}

#[derive(Serialize)]
struct Generated<'a> {
    secret_id: &'a SecretString,
    secret_id_accessor: &'a str,
    secret_id_num_uses: i64,
    secret_id_ttl: u64,
}

#[derive(Serialize)]
struct Shown<'a> {
    cidr_list: &'a [String],
    creation_time: String,
    expiration_time: String,
    last_updated_time: String,
    metadata: &'a BTreeMap<String, String>,
    secret_id_accessor: &'a str,
    secret_id_num_uses: i64,
    secret_id_ttl: u64,
    token_bound_cidrs: &'a [String],
}

/// What the wire shows for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) async fn generate(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let request: GenerateRequest = call.parse()?;
    engine.generate(&call, request, SecretString::new(random::uuid())).await
}

pub(super) async fn generate_custom(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let request: GenerateRequest = call.parse()?;
    if request.secret_id.0.is_empty() {
        return Err(Fault::caller("missing secret_id"));
    }
    let secret_id = SecretString::new(request.secret_id.0.clone());
    engine.generate(&call, request, secret_id).await
}

pub(super) async fn list(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("role_name");
    if engine.role(&call.captures).await?.is_none() {
        return Err(Fault::caller(format!("role {name:?} does not exist")));
    }
    Response::list(&engine.secret_ids.accessors(name).await?)
}

pub(super) async fn lookup(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let hash = engine.hash_in_body(&call).await?;
    match engine.secret_ids.find(call.captures.text("role_name"), &hash, engine.clock.now()).await? {
        Some(secret) => show(&secret),
        None => Ok(Response::empty()),
    }
}

pub(super) async fn destroy(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let hash = engine.hash_in_body(&call).await?;
    engine.secret_ids.destroy(call.captures.text("role_name"), &hash).await?;
    Ok(Response::empty())
}

pub(super) async fn lookup_accessor(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let name = call.captures.text("role_name");
    let (accessor, hash) = engine.accessor_in_body(&call).await?;
    let secret = match hash {
        Some(hash) => engine.secret_ids.find(name, &hash, engine.clock.now()).await?,
        None => None,
    };
    match secret {
        Some(secret) => show(&secret),
        None => Ok(Response::data(&serde_json::json!({ "error": no_accessor(&accessor) }))?
            .disposed(Disposition::AbsentWithData)),
    }
}

pub(super) async fn destroy_accessor(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let (accessor, hash) = engine.accessor_in_body(&call).await?;
    let hash = hash.ok_or_else(|| Fault::NotFound(no_accessor(&accessor)))?;
    engine.secret_ids.destroy(call.captures.text("role_name"), &hash).await?;
    Ok(Response::empty())
}

impl AppRole {
    async fn generate(
        &self,
        call: &Call,
        request: GenerateRequest,
        secret_id: SecretString,
    ) -> Result<Response, Fault> {
        let name = call.captures.text("role_name");
        let role = self.role(&call.captures).await?.ok_or_else(|| no_such_role(name))?;
        if !role.bind_secret_id {
            return Err(Fault::caller("bind_secret_id is not set on the role"));
        }
        let num_uses = choose_uses(&role, request.num_uses)?;
        let ttl = choose_ttl(&role, request.ttl)?;
        check_ranges(&role, &request.cidr_list.0, &request.token_bound_cidrs.0)?;
        let new = NewSecretId {
            hash: self.hash(secret_id.expose()).await?,
            accessor: random::uuid(),
            ttl,
            num_uses,
            metadata: parse_metadata(&request.metadata.0)?,
            cidr_list: request.cidr_list.0,
            token_bound_cidrs: request.token_bound_cidrs.0,
        };
        let accessor = new.accessor.clone();
        self.secret_ids.create(name, new, self.clock.now()).await?;
        Response::data(&Generated {
            secret_id: &secret_id,
            secret_id_accessor: &accessor,
            secret_id_num_uses: num_uses,
            secret_id_ttl: ttl,
        })
    }

    /// The hash of the secret id in the body; the role must exist.
    async fn hash_in_body(&self, call: &Call) -> Result<String, Fault> {
        let target: Target = call.parse()?;
        if target.secret_id.0.is_empty() {
            return Err(Fault::caller("missing secret_id"));
        }
        self.existing_role(call).await?;
        self.hash(&target.secret_id.0).await
    }

    /// The accessor in the body, and the hash it leads to within this role.
    async fn accessor_in_body(&self, call: &Call) -> Result<(String, Option<String>), Fault> {
        let target: Target = call.parse()?;
        let accessor = target.secret_id_accessor.0;
        if accessor.is_empty() {
            return Err(Fault::caller("missing secret_id_accessor"));
        }
        self.existing_role(call).await?;
        let hash = self.secret_ids.hash_of_accessor(call.captures.text("role_name"), &accessor).await?;
        Ok((accessor, hash))
    }

    async fn existing_role(&self, call: &Call) -> Result<Role, Fault> {
        let name = call.captures.text("role_name");
        self.role(&call.captures).await?.ok_or_else(|| no_such_role(name))
    }
}

fn no_accessor(accessor: &str) -> String {
    format!("failed to find accessor entry for secret_id_accessor: {accessor:?}")
}

fn show(secret: &SecretId) -> Result<Response, Fault> {
    Response::data(&Shown {
        cidr_list: &secret.cidr_list,
        creation_time: secret.created.to_string(),
        expiration_time: secret.expires.map_or(NEVER.to_owned(), |expires| expires.to_string()),
        last_updated_time: secret.updated.to_string(),
        metadata: &secret.metadata,
        secret_id_accessor: &secret.accessor,
        secret_id_num_uses: secret.num_uses,
        secret_id_ttl: secret.ttl,
        token_bound_cidrs: &secret.token_bound_cidrs,
    })
}

fn choose_uses(role: &Role, asked: Option<Count>) -> Result<i64, Fault> {
    match asked {
        None => Ok(role.secret_id_num_uses),
        Some(Count(uses)) if uses < 0 => Err(Fault::caller("num_uses cannot be negative")),
        Some(Count(uses)) if role.secret_id_num_uses > 0 && (uses == 0 || uses > role.secret_id_num_uses) => {
            Err(Fault::caller("num_uses cannot be higher than the role's secret_id_num_uses"))
        }
        Some(Count(uses)) => Ok(uses),
    }
}

fn choose_ttl(role: &Role, asked: Option<DurationSeconds>) -> Result<u64, Fault> {
    let Some(asked) = asked else { return Ok(role.secret_id_ttl) };
    let ttl = u64::try_from(asked.0).map_err(|_| Fault::caller("ttl cannot be negative"))?;
    if role.secret_id_ttl > 0 && (ttl == 0 || ttl > role.secret_id_ttl) {
        return Err(Fault::caller("ttl cannot be longer than the role's secret_id_ttl"));
    }
    Ok(ttl)
}

/// A JSON object in a text, or `key=value` pairs with commas between them.
fn parse_metadata(text: &str) -> Result<BTreeMap<String, String>, Fault> {
    let invalid = || Fault::caller("failed to parse metadata: failed to parse the input: invalid <key,value> format");
    let text = text.trim();
    if text.starts_with('{') {
        let pairs: BTreeMap<String, Text> = serde_json::from_str(text).map_err(|_| invalid())?;
        return Ok(pairs.into_iter().map(|(key, Text(value))| (key, value)).collect());
    }
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(invalid)?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

//! Login of machines by role id and secret id, `auth/approle/` (vault-api §4.4).

mod fields;
mod login;
mod roles;
mod secret_api;
mod secret_ids;

use crate::{
    cidr,
    error::stored,
    parameters::{TokenFields, TokenMembers, parse_part, positive},
    random, salt,
};
use async_trait::async_trait;
use aws_lc_rs::hmac;
use chancery_engine::{
    Call, Clock, Fault, Response, Route, RouteTable, Service, Verb,
    response::Disposition,
    route::Captures,
    wire::{CommaList, Count, DurationSeconds, Flag, Text},
};
use chancery_store::{Store, View};
use fields::Field;
use roles::{Role, Roles};
use secret_ids::SecretIds;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The engine of an AppRole mount; kind `approle`.
#[derive(Debug)]
pub struct AppRole {
    view: View,
    store: Store,
    roles: Roles,
    secret_ids: SecretIds,
    clock: Arc<dyn Clock>,
    /// Keys the hashes that role ids and secret ids are stored under.
    salt: parking_lot::RwLock<Arc<OnceCell<hmac::Key>>>,
}

impl AppRole {
    /// The engine with its roles in `view`.
    #[must_use]
    pub fn new(view: View, store: Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            roles: Roles::new(&view, store.clone()),
            secret_ids: SecretIds::new(&view, store.clone()),
            view,
            store,
            clock,
            salt: parking_lot::RwLock::default(),
        })
    }

    /// The keyed hash of an id.
    async fn hash(&self, text: &str) -> Result<String, Fault> {
        let cell = Arc::clone(&self.salt.read());
        let key = cell
            .get_or_try_init(|| async {
                let bytes = salt::read_or_make(&self.store, &self.view, "salt").await?;
                Ok::<_, Fault>(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
            })
            .await?;
        Ok(data_encoding::HEXLOWER.encode(hmac::sign(key, text.as_bytes()).as_ref()))
    }

    async fn role(&self, captures: &Captures) -> Result<Option<Role>, Fault> {
        self.roles.read(captures.text("role_name")).await
    }
}

#[async_trait]
impl Service for AppRole {
    fn routes() -> RouteTable<Self> {
        use Verb::{Delete, List, Read, Write};
        let mut routes = vec![
            Route::at("login", "Log in").on(Write, login::log_in).public(),
            Route::at("tidy/secret-id", "Remove what dead secret ids left behind").on(Write, tidy),
            Route::at("role", "Names of the roles").on(List, list),
            Route::at("role/:role_name", "A role")
                .on(Read, read)
                .on(Write, write)
                .on(Delete, delete)
                .exists(role_exists),
            Route::at("role/:role_name/role-id", "A role's id").on(Read, read_role_id).on(Write, write_role_id),
            Route::at("role/:role_name/secret-id", "A role's secret ids")
                .on(Write, secret_api::generate)
                .on(List, secret_api::list),
            Route::at("role/:role_name/custom-secret-id", "A secret id of the caller's choice")
                .on(Write, secret_api::generate_custom),
            Route::at("role/:role_name/secret-id/lookup", "Show a secret id").on(Write, secret_api::lookup),
            Route::at("role/:role_name/secret-id/destroy", "Destroy a secret id")
                .on(Write, secret_api::destroy)
                .on(Delete, secret_api::destroy),
            Route::at("role/:role_name/secret-id-accessor/lookup", "Show the secret id of an accessor")
                .on(Write, secret_api::lookup_accessor),
            Route::at("role/:role_name/secret-id-accessor/destroy", "Destroy the secret id of an accessor")
                .on(Write, secret_api::destroy_accessor)
                .on(Delete, secret_api::destroy_accessor),
        ];
        routes.extend(Field::ALL.into_iter().map(|(pattern, field)| fields::route(pattern, field)));
        RouteTable::new(routes)
    }

    async fn tick(
        self: Arc<Self>,
        _mount: Arc<chancery_engine::MountPoint>,
        now: jiff::Timestamp,
    ) -> Result<(), Fault> {
        self.secret_ids.sweep(now).await
    }

    fn forget(&self) {
        *self.salt.write() = Arc::default();
    }

    fn changed_elsewhere(&self, keys: &[&str]) {
        // Nothing else is kept; and the salt is made once, unless the view was emptied.
        if keys.iter().any(|key| key.is_empty() || *key == "salt") {
            Service::forget(self);
        }
    }
}

async fn role_exists(engine: Arc<AppRole>, captures: Captures) -> Result<bool, Fault> {
    Ok(engine.role(&captures).await?.is_some())
}

/// What a role has besides the shared `token_*` parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoleFields {
    role_id: Option<Text>,
    bind_secret_id: Option<Flag>,
    local_secret_ids: Option<Flag>,
    secret_id_bound_cidrs: Option<CommaList>,
    /// The older spelling.
    bound_cidr_list: Option<CommaList>,
    secret_id_num_uses: Option<Count>,
    secret_id_ttl: Option<DurationSeconds>,
}

#[derive(Serialize)]
struct Shown<'a> {
    bind_secret_id: bool,
    local_secret_ids: bool,
    secret_id_bound_cidrs: &'a Option<Vec<String>>,
    secret_id_num_uses: i64,
    secret_id_ttl: u64,
    #[serde(flatten)]
    token: TokenMembers<'a>,
}

async fn list(engine: Arc<AppRole>, _call: Call) -> Result<Response, Fault> {
    Response::list(&engine.roles.list().await?)
}

async fn read(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let role = engine.role(&call.captures).await?.ok_or(Fault::Absent)?;
    Response::data(&Shown {
        bind_secret_id: role.bind_secret_id,
        local_secret_ids: role.local_secret_ids,
        secret_id_bound_cidrs: &role.secret_id_bound_cidrs,
        secret_id_num_uses: role.secret_id_num_uses,
        secret_id_ttl: role.secret_id_ttl,
        token: TokenMembers::of(&role.token, role.old),
    })
}

async fn write(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let fields: RoleFields = parse_part(&call)?;
    let wanted_id = fields.role_id.as_ref().map(|Text(id)| id.trim().to_owned());
    let role_id = match wanted_id {
        Some(id) => Some((engine.hash(&id).await?, id)),
        None => None,
    };
    let fresh_id = random::uuid();
    let fresh = (engine.hash(&fresh_id).await?, fresh_id);
    engine
        .roles
        .update(call.captures.text("role_name"), role_id.as_ref(), Some(&fresh), |role| {
            let shared: TokenFields = parse_part(&call)?;
            apply(parse_part(&call)?, role)?;
            shared.note(&mut role.old);
            shared.apply(&mut role.token)?;
            check(role)
        })
        .await?;
    Ok(Response::empty())
}

async fn delete(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    engine.roles.delete(call.captures.text("role_name"), &engine.secret_ids).await?;
    Ok(Response::empty())
}

async fn read_role_id(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let role = engine.role(&call.captures).await?.ok_or(Fault::Absent)?;
    Response::data(&serde_json::json!({ "role_id": role.role_id }))
}

async fn write_role_id(engine: Arc<AppRole>, call: Call) -> Result<Response, Fault> {
    let fields: RoleFields = call.parse()?;
    let id = fields.role_id.map(|Text(id)| id.trim().to_owned()).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Fault::caller("missing role_id"))?;
    let wanted = (engine.hash(&id).await?, id);
    engine.roles.update(call.captures.text("role_name"), Some(&wanted), None, |_| Ok(())).await?;
    Ok(Response::empty())
}

async fn tidy(engine: Arc<AppRole>, _call: Call) -> Result<Response, Fault> {
    let now = engine.clock.now();
    tokio::spawn(async move {
        if let Err(fault) = engine.secret_ids.sweep(now).await {
            tracing::warn!(%fault, "secret ids were not tidied");
        }
    });
    Ok(Response::empty()
        .warn("Tidy operation successfully started. Any information from the operation will be printed to the server logs.")
        .disposed(Disposition::Accepted))
}

fn apply(fields: RoleFields, role: &mut Role) -> Result<(), Fault> {
    role.bind_secret_id = fields.bind_secret_id.map_or(role.bind_secret_id, |flag| flag.0);
    if let Some(Flag(local)) = fields.local_secret_ids {
        role.local_secret_ids = local;
    }
    if let Some(CommaList(ranges)) = fields.secret_id_bound_cidrs.or(fields.bound_cidr_list) {
        role.secret_id_bound_cidrs = networks(ranges)?;
    }
    if let Some(Count(uses)) = fields.secret_id_num_uses {
        if uses < 0 {
            return Err(Fault::caller("secret_id_num_uses cannot be negative"));
        }
        role.secret_id_num_uses = uses;
    }
    if let Some(ttl) = fields.secret_id_ttl {
        role.secret_id_ttl = positive("secret_id_ttl", ttl)?;
    }
    Ok(())
}

/// Something must bind a login to the machine.
fn check(role: &Role) -> Result<(), Fault> {
    let is_bound = role.bind_secret_id || role.secret_id_bound_cidrs.is_some() || !role.token.bound_cidrs.is_empty();
    if is_bound { Ok(()) } else { Err(Fault::caller("at least one constraint should be enabled on the role")) }
}

/// Networks in CIDR form; none where the list is empty.
fn networks(ranges: Vec<String>) -> Result<Option<Vec<String>>, Fault> {
    match ranges.iter().find(|range| !cidr::is_network(range)) {
        Some(range) => Err(Fault::caller(format!("failed to validate CIDR blocks: invalid CIDR address: {range}"))),
        None => Ok((!ranges.is_empty()).then_some(ranges)),
    }
}

/// What POST answers below a role that does not exist.
fn no_such_role(name: &str) -> Fault {
    Fault::NotFound(format!("role {name:?} does not exist"))
}

/// Names at a place of a view, for LIST.
async fn names(view: &View, prefix: &str) -> Result<Vec<String>, Fault> {
    stored(view.list(prefix, chancery_store::Page::default()).await)
}

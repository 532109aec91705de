//! One request, straight down and back up. [`handle`] is read top to bottom; nothing reaches an engine another way.

use crate::{
    audit::{Audited, Exemption, Subject},
    core::Core,
    mount::Mounted,
    reply::{Lease, Reply, envelope, repeats_data},
    sys,
};
use chancery_engine::{
    Call, Fault, Identity, Operation, Permit, Request, Response, RouteMatch, RouteMiss, SecretBytes, Verb,
    call::MountPoint,
    policy::{AccessRequest, Acl},
    response::{AuthOutcome, Disposition, LeaseGrant},
};
use std::{sync::Arc, time::Duration};

/// Status pages under `sys/` that need no audit entry when they are read.
const STATUS_PAGES: [&str; 4] = ["sys/health", "sys/seal-status", "sys/leader", "sys/init"];

/// What was found out about a request on the way to its permit; the audit entry of a refusal says how far it got.
#[derive(Default)]
struct Trail {
    operation: Option<Operation>,
    mounted: Option<Arc<Mounted>>,
    identity: Option<Arc<Identity>>,
}

/// A request that may be handled.
struct Decision {
    permit: Permit,
    mounted: Arc<Mounted>,
    matched: RouteMatch,
}

/// Routes, authenticates, authorises, audits and handles one request (design §2, steps 3 to 9).
pub async fn handle(core: &Core, mut request: Request) -> Audited<Reply> {
    let in_flight = core.metrics.request_started();
    let id = std::mem::take(&mut request.id);
    request.id.clone_from(&id);

    adopt_wrapping_token(core, &mut request);

    // 3 to 5: where it goes, who asks, whether they may.
    let mut trail = Trail::default();
    let decided = decide(core, &request, &mut trail).await;
    if request.verb == Verb::Read && STATUS_PAGES.contains(&request.path.as_str()) && trail.identity.is_none() {
        let outcome = match decided {
            Ok(decision) => act(core, request, decision).await,
            Err(fault) => Err(fault),
        };
        return Audited::exempt(finished(id, outcome), Exemption::Status);
    }
    if let (Ok(decision), None) = (&decided, &trail.identity)
        && decision.matched.is_published
    {
        let operation = plain_operation(request.verb);
        let kind = trail.mounted.as_ref().map_or("", |mounted| mounted.entry.kind.as_str()).to_owned();
        let outcome = match decided {
            Ok(decision) => act(core, request, decision).await,
            Err(fault) => Err(fault),
        };
        let reply = finished(id, outcome);
        in_flight.finish(&kind, operation, &reply);
        return Audited::exempt(reply, Exemption::Published);
    }

    // 6: the entry is opened, also for what was refused.
    let refusal = decided.as_ref().err().map(ToString::to_string);
    let operation = trail.operation.unwrap_or_else(|| plain_operation(request.verb));
    let subject = Subject {
        request: &request,
        operation,
        mounted: trail.mounted.as_deref(),
        identity: trail.identity.as_deref(),
        permit: decided.as_ref().ok().map(|decision| &decision.permit),
        error: refusal.as_deref(),
    };
    let opened = match core.audit.open(&subject, trail.mounted.clone()).await {
        Ok(opened) => opened,
        Err(fault) => return Audited::exempt(Reply::new(id, Err(fault)), Exemption::Unrecordable),
    };

    // 7, 8: the engine does the work; tokens, leases and wrapping follow from what it answered.
    let repeats = repeats_data(request.path.as_str());
    let mut outcome = match decided {
        Ok(decision) => act(core, request, decision).await,
        Err(fault) => Err(fault),
    };
    // What is given again is not audited again.
    if let Ok((response, _)) = &mut outcome {
        response.standing = None;
    }

    // The last use of a counted token ends it, whatever came of the request.
    if let Some(identity) = &trail.identity
        && let Err(fault) = core.tokens.finish(identity).await
    {
        tracing::error!(request_id = id, %fault, "a used-up token could not be revoked; it is refused all the same");
    }

    // 9: the entry is closed before anybody sees the answer.
    let mut reply = finished(id, outcome);
    reply.repeats_data = repeats;
    in_flight.finish(trail.mounted.as_ref().map_or("", |mounted| mounted.entry.kind.as_str()), operation, &reply);
    core.audit.close(opened, reply).await
}

/// What [`act`] hands back: the answer and the lease registered for it.
type Acted = Result<(Response, Option<Lease>), Fault>;

fn finished(id: String, acted: Acted) -> Reply {
    let (outcome, lease) = match acted {
        Ok((response, lease)) => (Ok(response), lease),
        Err(fault) => (Err(fault), None),
    };
    Reply { lease, ..Reply::new(id, outcome) }
}

/// The token in the header of `sys/wrapping/*` becomes the parameter it stands for: as a credential it would be
/// used up by being looked at.
fn adopt_wrapping_token(core: &Core, request: &mut Request) {
    if !core.is_open() || !sys::is_wrapping_path(request.path.as_str()) || sys::names_token(&request.body) {
        return;
    }
    if let Some(token) = request.token.take() {
        request.body = sys::body_with_token(&token);
    }
}

async fn decide(core: &Core, request: &Request, trail: &mut Trail) -> Result<Decision, Fault> {
    let path = request.path.as_str();
    if core.is_open() && !STATUS_PAGES.contains(&path) {
        core.nodes.fresh(core).await?;
    }
    let routed = core.mounts.route(path);
    let found = routed.as_ref().map(|(mounted, rest)| mounted.engine.find(request.verb, rest));
    trail.mounted = routed.map(|(mounted, _)| mounted);

    if let (Some(mounted), Some(Ok(matched))) = (&trail.mounted, &found)
        && let Some(permit) = Acl::permit_public(matched, plain_operation(request.verb))
    {
        if !core.is_open() && mounted.entry.path != "sys/" {
            return Err(Fault::Sealed);
        }
        let permit = match &request.token {
            Some(token) if core.is_open() && sys::welcomes_caller(path) => {
                let identity = core.tokens.authenticate(token, request.client.map(|client| client.ip())).await?;
                let identity = trail.identity.insert(identity);
                Acl::permit_public_to(matched, permit.operation(), identity).unwrap_or(permit)
            }
            _ => permit,
        };
        return Ok(Decision { permit, mounted: Arc::clone(mounted), matched: matched.clone() });
    }
    if !core.is_open() {
        return Err(Fault::Sealed);
    }

    let token = request.token.as_ref().ok_or(Fault::Denied)?;
    let identity = core.tokens.authenticate(token, request.client.map(|client| client.ip())).await?;
    let identity = trail.identity.insert(identity);

    let matched = found.and_then(Result::ok);
    let operation = match (&trail.mounted, &matched) {
        (Some(mounted), Some(matched)) => told_apart(request.verb, mounted, matched).await?,
        _ => plain_operation(request.verb),
    };
    trail.operation = Some(operation);

    // Policies see the path that was routed; LIST and SCAN address what lies below it.
    let listed = matches!(operation, Operation::List | Operation::Scan).then(|| format!("{path}/"));
    let access = AccessRequest {
        path: listed.as_deref().unwrap_or(path),
        operation,
        body: &request.body,
        needs_sudo: matched.as_ref().is_some_and(|matched| matched.access == chancery_engine::Access::Sudo),
        wrap_ttl: request.wrap_ttl.map(|ttl| ttl.as_secs()),
    };
    let permit = identity.acl.authorize(identity, &access).map_err(|fault| match fault {
        // A known caller gets the text with a list around it, a stranger the bare one; clients match on both.
        Fault::Denied => Fault::Refused("1 error occurred:\n\t* permission denied\n\n".to_owned()),
        other => other,
    })?;

    // Only now may the caller learn what exists and what does not.
    let Some(mounted) = trail.mounted.clone() else {
        return Err(Fault::NotFound(format!("no handler for route {path:?}. route entry not found.")));
    };
    match matched {
        Some(matched) => Ok(Decision { permit, mounted, matched }),
        None => Err(miss(&mounted, request)),
    }
}

fn miss(mounted: &Mounted, request: &Request) -> Fault {
    let rest = request.path.as_str().strip_prefix(mounted.entry.path.as_str()).unwrap_or_default();
    match mounted.engine.find(request.verb, rest) {
        Err(RouteMiss::Operation) => Fault::UnsupportedOperation,
        _ => Fault::NotFound("1 error occurred:\n\t* unsupported path\n\n".to_owned()),
    }
}

/// A write is a create where the endpoint can tell and there is nothing yet, else an update.
async fn told_apart(verb: Verb, mounted: &Mounted, matched: &RouteMatch) -> Result<Operation, Fault> {
    if verb == Verb::Write && matched.has_existence_check && !mounted.engine.exists(matched).await? {
        return Ok(Operation::Create);
    }
    Ok(plain_operation(verb))
}

fn plain_operation(verb: Verb) -> Operation {
    match verb {
        Verb::Read => Operation::Read,
        Verb::List => Operation::List,
        Verb::Scan => Operation::Scan,
        Verb::Write => Operation::Update,
        Verb::Patch => Operation::Patch,
        Verb::Delete => Operation::Delete,
    }
}

async fn act(core: &Core, request: Request, decision: Decision) -> Acted {
    let Decision { permit, mounted, matched } = decision;
    let Request { id, verb, path, body, wrap_ttl, client, headers, token, .. } = request;
    let identity = permit.identity().cloned();
    let mut call = Call::new(permit, Arc::clone(&mounted.point), matched.captures, body);
    call.request_id.clone_from(&id);
    call.client = client;
    call.headers = visible_headers(&mounted, headers);
    // No other engine gets to see the caller's token (CVE-2026-4525).
    call.token = token.filter(|_| mounted.entry.kind == "token");

    let mut response = mounted.engine.handle(matched.index, verb, call).await?;

    if let Some(AuthOutcome::Login(login)) = response.auth {
        let (block, warnings) = core.tokens.create_for_login(&mounted.point, path.as_str(), *login).await?;
        response.warnings.extend(warnings);
        response.auth = Some(AuthOutcome::Issued(Box::new(block)));
    }
    let lease = match response.lease.take() {
        Some(grant) if !grant.renewable && grant.internal.is_empty() => {
            Some(Lease { id: String::new(), duration: grant.ttl, renewable: false })
        }
        Some(grant) => match register_lease(core, &grant, &mounted.point, path.as_str(), identity.as_deref()).await {
            Ok(lease) => Some(lease),
            Err(fault) => return Err(take_back(&mounted, &grant, identity.as_deref(), fault).await),
        },
        None => None,
    };
    // What `sys/` answers outside the envelope is no secret; it is handed out as it is. So is what anybody may read:
    // strangers must not fill the store with wrapping tokens (CVE-2024-8185).
    let is_bare = response.raw.is_some() && mounted.entry.path == "sys/";
    let is_strangers = identity.is_none() && response.auth.is_none();
    if let Some(ttl) = wrap_ttl.filter(|_| is_wrappable(&response) && !is_bare && !is_strangers) {
        let reply = Reply { lease, ..Reply::new(id, Ok(Response::empty())) };
        return Ok((wrap(core, ttl, path.as_str(), &reply, &response).await?, None));
    }
    Ok((response, lease))
}

/// `sys/` sees every header the door let in; other engines those their mount lists.
fn visible_headers(mounted: &Mounted, headers: Vec<(String, String)>) -> Vec<(String, String)> {
    if mounted.entry.path == "sys/" {
        return headers;
    }
    let passed = &mounted.entry.tuning.passthrough_request_headers;
    headers.into_iter().filter(|(name, _)| passed.iter().any(|listed| listed.eq_ignore_ascii_case(name))).collect()
}

async fn register_lease(
    core: &Core,
    grant: &LeaseGrant,
    mount: &MountPoint,
    path: &str,
    identity: Option<&Identity>,
) -> Result<Lease, Fault> {
    // A hint of how long to keep the answer, as key-value engines give it: nothing to renew, nothing to revoke.
    if grant.internal.is_empty() && !grant.renewable {
        return Ok(Lease { id: String::new(), duration: grant.ttl, renewable: false });
    }
    let caller = identity.ok_or(Fault::Denied)?;
    let registered = core.leases.register(grant, mount, path, caller).await?;
    Ok(Lease { id: registered.lease_id, duration: registered.lease_duration, renewable: registered.renewable })
}

/// Undoes a secret whose lease could not be written, since nobody would ever end it. Answers what to tell the caller.
async fn take_back(mounted: &Mounted, grant: &LeaseGrant, identity: Option<&Identity>, fault: Fault) -> Fault {
    if let Err(failure) = mounted.engine.revoke_lease(&grant.internal).await {
        tracing::error!(mount = mounted.entry.path, fault = %failure, "a secret without a lease was not revoked");
        return fault;
    }
    if identity.is_some_and(|identity| identity.remaining_uses < 0) {
        return Fault::caller(
            "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.",
        );
    }
    fault
}

/// A failure, an empty answer and what is wrapped already are handed out as they are.
fn is_wrappable(response: &Response) -> bool {
    matches!(response.disposition, Disposition::Done | Disposition::Accepted)
        && response.wrap_info.is_none()
        && !response.is_empty()
}

/// Puts the answer behind a single-use token (`X-Vault-Wrap-TTL`).
async fn wrap(core: &Core, ttl: Duration, path: &str, reply: &Reply, response: &Response) -> Result<Response, Fault> {
    if response.raw.is_some() {
        return Err(Fault::caller("the answer of this endpoint cannot be wrapped"));
    }
    let accessor = match &response.auth {
        Some(AuthOutcome::Issued(block)) => block.accessor.as_str(),
        Some(AuthOutcome::Login(_)) | None => "",
    };
    let payload = SecretBytes::new(envelope(reply, response));
    let wrap_info = core.tokens.create_wrapping(ttl.as_secs(), path, payload.expose(), accessor).await?;
    Ok(Response { wrap_info: Some(wrap_info), ..Response::empty() })
}

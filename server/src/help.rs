//! `?help=1`: what the endpoints at a path do, from the route table of the mount that serves it.

use crate::{
    audit::{Audited, Exemption, Subject},
    core::Core,
    mount::Mounted,
    reply::Reply,
};
use chancery_engine::{Access, Fault, Identity, Operation, Request, Response, Verb};
use std::sync::Arc;

const VERBS: [Verb; 6] = [Verb::Read, Verb::List, Verb::Scan, Verb::Write, Verb::Patch, Verb::Delete];

/// Answers whoever has a token and a policy that reaches into the mount; recorded like any other request.
pub(crate) async fn handle(core: &Core, request: Request) -> Audited<Reply> {
    let (mut identity, mut mounted) = (None, None);
    let outcome = explain(core, &request, &mut identity, &mut mounted).await;
    let refusal = outcome.as_ref().err().map(ToString::to_string);
    let subject = Subject {
        request: &request,
        operation: Operation::Read,
        mounted: mounted.as_deref(),
        identity: identity.as_deref(),
        permit: None,
        error: refusal.as_deref(),
    };
    let opened = match core.audit.open(&subject, mounted.clone()).await {
        Ok(opened) => opened,
        Err(fault) => return Audited::exempt(Reply::new(request.id, Err(fault)), Exemption::Unrecordable),
    };
    if let Some(identity) = &identity
        && let Err(fault) = core.tokens.finish(identity).await
    {
        tracing::error!(request_id = request.id, %fault, "a used-up token could not be revoked; it is refused all the same");
    }
    core.audit.close(opened, Reply::new(request.id, outcome)).await
}

async fn explain(
    core: &Core,
    request: &Request,
    identity: &mut Option<Arc<Identity>>,
    mounted: &mut Option<Arc<Mounted>>,
) -> Result<Response, Fault> {
    if !core.is_open() {
        return Err(Fault::Sealed);
    }
    let token = request.token.as_ref().ok_or(Fault::Denied)?;
    let identity = identity.insert(core.tokens.authenticate(token, request.client.map(|client| client.ip())).await?);
    // A mount that is not there and one that may not be seen look alike.
    let (found, rest) = core
        .mounts
        .route(request.path.as_str())
        .filter(|(found, _)| identity.acl.reaches_into(&found.entry.path))
        .ok_or_else(|| Fault::Refused("1 error occurred:\n\t* permission denied\n\n".to_owned()))?;
    let found = mounted.insert(found);
    let help = text(found, rest);
    if help.is_empty() {
        return Err(Fault::NotFound("1 error occurred:\n\t* unsupported path\n\n".to_owned()));
    }
    let answer = serde_json::json!({ "help": help, "see_also": null, "openapi": null });
    Ok(Response::raw("application/json", answer.to_string().into_bytes()))
}

/// The endpoints at `rest`; all of the mount's where that is empty.
fn text(mounted: &Mounted, rest: &str) -> String {
    let patterns: Vec<&str> =
        VERBS.iter().filter_map(|verb| mounted.engine.find(*verb, rest).ok()).map(|found| found.pattern).collect();
    let routes = mounted.engine.describe();
    let meant = routes.iter().filter(|route| rest.is_empty() || patterns.contains(&route.pattern));
    meant
        .map(|route| {
            let verbs: Vec<_> = route.verbs.iter().map(|verb| format!("{verb:?}").to_lowercase()).collect();
            let access = match route.access {
                Access::Policy => "",
                Access::Sudo => "; needs sudo",
                Access::Public => "; needs no token",
            };
            let (path, pattern) = (&mounted.entry.path, route.pattern);
            format!("{path}{pattern}\n    {}\n    {}{access}\n", route.summary, verbs.join(", "))
        })
        .collect()
}

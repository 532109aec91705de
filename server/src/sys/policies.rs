//! `policy` and `policies/acl`: the same documents in two spellings.

use super::System;
use chancery_engine::{Call, Fault, Response, Route, Verb, wire::Text};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct PolicyRequest {
    policy: Option<Text>,
    /// The word of the older spelling.
    rules: Option<Text>,
}

/// Exactly these members: hvac's own tests compare the whole object.
#[derive(Serialize)]
struct PolicyResponse<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a str>,
}

#[derive(Serialize)]
struct PolicyNames<'a> {
    keys: &'a [String],
    policies: &'a [String],
}

/// Which of the two spellings was used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Older,
    Newer,
}

pub(super) fn routes() -> Vec<Route<System>> {
    let one = |pattern, spelling| {
        Route::at(pattern, "One policy document.")
            .on(Verb::Read, move |system, call| read(system, call, spelling))
            .on(Verb::Write, move |system, call| write(system, call, spelling))
            .on(Verb::Delete, delete)
    };
    vec![
        Route::at("policy", "Lists the policies.").on(Verb::Read, list_older).on(Verb::List, list_older),
        one("policy/{name}", Spelling::Older),
        Route::at("policies/acl", "Lists the policies.").on(Verb::List, list),
        one("policies/acl/{name}", Spelling::Newer),
        Route::at("policies/password", "Password policies: this appliance makes no passwords.").on(Verb::List, none),
        Route::at("policies/password/{name}", "Password policies: this appliance makes no passwords.")
            .on(Verb::Read, no_password_policy),
    ]
}

async fn list(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    Response::list(&system.core.policies.list().await?)
}

async fn list_older(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    let names = system.core.policies.list().await?;
    Response::data(&PolicyNames { keys: &names, policies: &names })
}

async fn read(system: Arc<System>, call: Call, spelling: Spelling) -> Result<Response, Fault> {
    let name = call.captures.text("name").to_lowercase();
    let document = system.core.policies.read(&name).await?.ok_or(Fault::Absent)?;
    let text = Some(document.source.as_str());
    let (policy, rules) = if spelling == Spelling::Newer { (text, None) } else { (None, text) };
    Response::data(&PolicyResponse { name: &name, policy, rules })
}

async fn write(system: Arc<System>, call: Call, spelling: Spelling) -> Result<Response, Fault> {
    let request: PolicyRequest = call.parse()?;
    let is_older_word = spelling == Spelling::Older && request.policy.is_none() && request.rules.is_some();
    let given = if is_older_word { request.rules } else { request.policy };
    let Some(Text(text)) = given.filter(|text| !text.0.is_empty()) else {
        return Err(Fault::caller("'policy' parameter not supplied or empty"));
    };
    system.core.policies.write(call.captures.text("name"), &decoded(text)).await?;
    let response = Response::empty();
    Ok(if is_older_word { response.warn("'rules' is deprecated, please use 'policy' instead") } else { response })
}

async fn delete(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    system.core.policies.delete(call.captures.text("name")).await?;
    Ok(Response::empty())
}

async fn none(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    Response::list(&[])
}

async fn no_password_policy(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    Err(Fault::NotFound("1 error occurred:\n\t* policy does not exist\n\n".to_owned()))
}

/// Documents may come in base64; no document in HCL or JSON is base64 at the same time.
fn decoded(text: String) -> String {
    match BASE64.decode(text.as_bytes()).map(String::from_utf8) {
        Ok(Ok(decoded)) => decoded,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_may_come_in_base64() {
        let document = "path \"a\" { capabilities = [\"read\"] }";
        assert_eq!(decoded(BASE64.encode(document.as_bytes())), document);
        assert_eq!(decoded(document.to_owned()), document);
    }
}

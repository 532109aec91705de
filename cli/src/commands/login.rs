//! `login`: trade a credential for a token and keep it in the token file.

use crate::{
    failure::{Failure, Result},
    output::{Output, print},
    parameters, prompt,
    remote::{Answer, Remote},
    token_file,
};
use clap::Args;
use serde_json::{Map, Value, json};
use std::io;

#[derive(Debug, Args)]
pub(crate) struct LoginFlags {
    /// For the method token: the token, or - for standard input. For others: key=value parameters
    parameters: Vec<String>,
    /// token, userpass, approle, or the kind of another login method
    #[arg(long, default_value = "token")]
    method: String,
    /// Where the method is mounted, if not at its own name
    #[arg(long)]
    path: Option<String>,
    /// Do not keep the token
    #[arg(long)]
    no_store: bool,
    /// Print nothing
    #[arg(long)]
    no_print: bool,
    /// Print the token only, do not keep it
    #[arg(long)]
    token_only: bool,
}

pub(crate) fn run(remote: Remote, flags: &LoginFlags, output: &Output) -> Result<()> {
    let (answer, token) = match flags.method.as_str() {
        "token" => with_token(remote, flags)?,
        _ => with_method(remote, flags)?,
    };
    if flags.token_only {
        return print(&token);
    }
    if !flags.no_store {
        let path = token_file::write(&token)?;
        output.remark(format!("You are logged in. The token is kept in {} and used from now on.", path.display()));
        if let Some(set) = crate::environment::setting("TOKEN").filter(|set| *set != token) {
            drop(set);
            output
                .remark("warning: a token in the environment (CHANCERY_TOKEN, BAO_TOKEN, VAULT_TOKEN) goes before it.");
        }
    }
    if flags.no_print { Ok(()) } else { output.answer(&answer) }
}

fn with_token(remote: Remote, flags: &LoginFlags) -> Result<(Answer, String)> {
    let argument = flags.parameters.first().map(|word| word.strip_prefix("token=").unwrap_or(word));
    let token = prompt::secret(argument, "Token")?.to_string();
    let remote = remote.with_token(Some(token.clone()));
    let mut answer = remote.read("auth/token/lookup-self")?;
    answer.json = as_login(&answer.content(), &token);
    Ok((answer, token))
}

fn with_method(remote: Remote, flags: &LoginFlags) -> Result<(Answer, String)> {
    let mount = flags.path.as_deref().unwrap_or(&flags.method).trim_matches('/').to_owned();
    let mut body = parameters::parse(&flags.parameters, &mut io::stdin().lock())?;
    let path = match flags.method.as_str() {
        "userpass" | "ldap" | "radius" => {
            let user = take(&mut body, "username")
                .ok_or_else(|| Failure::local("no user name was given").fix("add username=NAME"))?;
            let password = take(&mut body, "password");
            body.insert("password".to_owned(), json!(*prompt::secret(password.as_deref(), "Password")?));
            format!("auth/{mount}/login/{user}")
        }
        _ => format!("auth/{mount}/login"),
    };
    let answer = remote.with_token(None).write(&path, body)?;
    let token = answer
        .json
        .pointer("/auth/client_token")
        .or_else(|| answer.json.pointer("/wrap_info/token"))
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::remote(format!("the login at {path} gave no token")))?
        .to_owned();
    Ok((answer, token))
}

fn take(body: &mut Map<String, Value>, name: &str) -> Option<String> {
    body.remove(name).and_then(|value| value.as_str().map(str::to_owned))
}

/// What a look-up says, in the shape a login gives.
fn as_login(data: &Map<String, Value>, token: &str) -> Value {
    let member = |name: &str| data.get(name).cloned().unwrap_or(Value::Null);
    json!({
        "request_id": "",
        "auth": {
            "client_token": token,
            "accessor": member("accessor"),
            "policies": member("policies"),
            "token_policies": member("policies"),
            "identity_policies": data.get("identity_policies").cloned().unwrap_or_else(|| json!([])),
            "metadata": member("meta"),
            "lease_duration": member("ttl"),
            "renewable": member("renewable"),
            "entity_id": member("entity_id"),
            "token_type": member("type"),
            "orphan": member("orphan"),
        }
    })
}

//! What makes a fresh appliance useful, done over HTTP like any client would.

use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{Ask, Remote, Verb},
    token_file,
};
use chancery_server::Appliance;
use serde_json::{Value, json};

/// What initialization gave.
pub(in super::super) struct Made {
    pub(in super::super) root_token: String,
    /// The one unseal or recovery share.
    pub(in super::super) unseal_key: String,
}

/// Address of the plain listener.
pub(in super::super) fn plain_address(appliance: &Appliance) -> Result<String> {
    address(appliance, false).ok_or_else(|| Failure::local("there is no plain listener"))
}

/// Address of the first listener with or without TLS.
pub(super) fn address(appliance: &Appliance, tls: bool) -> Option<String> {
    let scheme = if tls { "https" } else { "http" };
    appliance.addresses().iter().find(|(_, is_tls)| *is_tls == tls).map(|(address, _)| format!("{scheme}://{address}"))
}

/// Initializes with one share and unseals.
pub(in super::super) fn initialize(remote: &Remote) -> Result<Made> {
    let recovery = remote.read("sys/seal-status")?.content().get("recovery_seal") == Some(&json!(true));
    let body = if recovery {
        json!({"recovery_shares": 1, "recovery_threshold": 1})
    } else {
        json!({"secret_shares": 1, "secret_threshold": 1})
    };
    let made = remote.write("sys/init", body)?.json;
    let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let missing = || Failure::remote("the initialization gave no keys");
    let unseal_key = text("/keys_base64/0").or_else(|| text("/recovery_keys_base64/0")).ok_or_else(missing)?;
    if !recovery {
        remote.write("sys/unseal", json!({"key": unseal_key}))?;
    }
    Ok(Made { root_token: text("/root_token").ok_or_else(missing)?, unseal_key })
}

/// A root token with a text of the caller's choice; the one we hold is given up.
pub(in super::super) fn fixed_root_token(remote: &Remote, id: &str) -> Result<String> {
    let body = json!({"id": id, "policies": ["root"], "no_parent": true, "display_name": "root"});
    remote.send(&Ask::new(Verb::Post, "auth/token/create").body(body))?;
    remote.send(&Ask::new(Verb::Post, "auth/token/revoke-self"))?;
    Ok(id.to_owned())
}

pub(in super::super) fn mount(remote: &Remote, path: &str, body: &Value) -> Result<()> {
    remote.send(&Ask::new(Verb::Post, &format!("sys/mounts/{path}")).body(body.clone())).map(|_| ())
}

/// Whether something is mounted there; who went on with a server of theirs may have taken it away.
pub(super) fn is_mounted(remote: &Remote, path: &str) -> Result<bool> {
    Ok(remote.read("sys/mounts")?.content().get(&format!("{path}/")).is_some())
}

/// Keeps a development token for the next commands, unless the user is logged in to something real.
pub(in super::super) fn keep_token(token: &str, output: &Output) -> Result<()> {
    match token_file::read()? {
        Some(other) if *other != token => {
            output.remark("The token file holds another token and is left alone; the exports below go before it.");
            Ok(())
        }
        Some(_) => Ok(()),
        None => token_file::write(token).map(|_| ()),
    }
}

/// Everything `dev` has mounted: transit, key-value secrets, a CA with root and intermediate in the token, and a
/// CA for SSH.
pub(super) fn mount_everything(remote: &Remote) -> Result<()> {
    mount(remote, "transit", &json!({"type": "transit"}))?;
    mount(remote, "secret", &json!({"type": "kv", "options": {"version": "2"}}))?;
    mount(remote, "pki", &json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}}))?;
    certificate_authority(remote)?;
    mount(remote, "ssh", &json!({"type": "ssh"}))?;
    ssh_authority(remote)
}

/// A CA for users and hosts, a role for each.
fn ssh_authority(remote: &Remote) -> Result<()> {
    let write = |path: &str, body: Value| remote.send(&Ask::new(Verb::Post, path).body(body));
    write("ssh/config/ca", json!({"key_type": "ec", "key_bits": 256, "issuer_name": "dev"}))?;
    let user = json!({
        "key_type": "ca",
        "allow_user_certificates": true,
        "allowed_users": "*",
        "default_extensions": {"permit-pty": "", "permit-port-forwarding": "", "permit-agent-forwarding": ""},
        "allowed_extensions": "permit-pty,permit-port-forwarding,permit-agent-forwarding,permit-X11-forwarding",
        "ttl": "30m",
        "max_ttl": "16h",
    });
    write("ssh/roles/user", user)?;
    let host = json!({
        "key_type": "ca",
        "allow_host_certificates": true,
        "allowed_domains": "dev.test,localhost",
        "allow_bare_domains": true,
        "allow_subdomains": true,
        "allow_host_renewal": true,
        "ttl": "168h",
        "max_ttl": "720h",
    });
    write("ssh/roles/host", host).map(|_| ())
}

fn certificate_authority(remote: &Remote) -> Result<()> {
    let write = |path: &str, body: Value| remote.send(&Ask::new(Verb::Post, path).body(body));
    let member = |answer: &Value, name: &str| {
        let missing = || Failure::remote(format!("the CA's answer lacks {name}"));
        answer.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)
    };
    let key = json!({"key_type": "ec", "key_bits": 256});
    let with = |more: Value| {
        let mut body = key.as_object().cloned().unwrap_or_default();
        body.extend(more.as_object().cloned().unwrap_or_default());
        Value::Object(body)
    };
    let root = json!({"common_name": "Chancery development root", "ttl": "8760h", "issuer_name": "root"});
    write("pki/root/generate/internal", with(root))?;
    let request = with(json!({"common_name": "Chancery development intermediate"}));
    let request = write("pki/intermediate/generate/internal", request)?;
    let signed = write(
        "pki/root/sign-intermediate",
        json!({
            "csr": member(request.data(), "csr")?,
            "common_name": "Chancery development intermediate",
            "ttl": "4380h",
            "format": "pem_bundle",
        }),
    )?;
    let imported = write("pki/intermediate/set-signed", json!({"certificate": member(signed.data(), "certificate")?}))?;
    if let Some(issuer) = intermediate(imported.data()) {
        write("pki/config/issuers", json!({"default": issuer}))?;
    }
    let role = json!({
        "allowed_domains": ["dev.test", "localhost"],
        "allow_bare_domains": true,
        "allow_subdomains": true,
        "allow_localhost": true,
        "allow_ip_sans": true,
        "key_type": "ec",
        "key_bits": 256,
        "ttl": "24h",
        "max_ttl": "720h",
    });
    write("pki/roles/web", role).map(|_| ())
}

/// The issuer among the imported ones that has a key here and is not the root.
fn intermediate(imported: &Value) -> Option<String> {
    let mapping = imported.get("mapping")?.as_object()?;
    let new = imported.get("imported_issuers")?.as_array()?;
    new.iter()
        .filter_map(Value::as_str)
        .find(|issuer| mapping.get(*issuer).and_then(Value::as_str).is_some_and(|key| !key.is_empty()))
        .map(str::to_owned)
}

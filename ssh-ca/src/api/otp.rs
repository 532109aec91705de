//! `creds/:role`, `verify`: one-time passwords.

use crate::{SshAuthority, error::SshError, otp::OtpRecord, role::KeyType, settings::ZeroAddressSettings, storage};
use chancery_engine::{Call, Fault, Response, SecretString, response::LeaseGrant, wire::Text};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc};

/// What the helper on hosts asks to learn whether the server is there, and what it hears.
const ECHO_REQUEST: &str = "verify-echo-request";
const ECHO_RESPONSE: &str = "verify-echo-response";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CredentialRequest {
    ip: Text,
    username: Text,
}

#[derive(Serialize)]
struct CredentialResponse<'a> {
    ip: &'a str,
    key: SecretString,
    key_type: KeyType,
    port: i64,
    username: &'a str,
}

#[derive(Debug, Deserialize)]
struct VerifyRequest {
    #[serde(default = "nothing")]
    otp: SecretString,
}

#[derive(Serialize)]
struct Echo {
    message: &'static str,
}

fn nothing() -> SecretString {
    SecretString::new(String::new())
}

/// `POST creds/:role`
pub(crate) async fn credentials(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: CredentialRequest = call.parse()?;
    let name = call.captures.text("role");
    if request.ip.0.is_empty() {
        return Err(Fault::caller("Missing ip"));
    }
    let role = engine.role(name).await?.ok_or_else(|| Fault::Caller(format!("Role {name:?} not found")))?;
    let username =
        if role.key_type == KeyType::Otp { role.otp_user(&request.username.0)? } else { request.username.0.clone() };
    let address = address(&request.ip.0)?;
    let anywhere = engine.zero_address().await?.roles.iter().any(|listed| listed == name);
    if !anywhere && !role.covers(address) {
        return Err(Fault::caller("Error validating IP: IP does not belong to role"));
    }
    if role.key_type != KeyType::Otp {
        return Err(Fault::caller("key type unknown"));
    }
    let record = OtpRecord { ip: address.to_string(), role_name: name.to_owned(), username };
    let ttl = call.mount.default_lease_ttl;
    let (otp, leased) = engine.make_otp(&record, ttl).await?;
    let mut answer = Response::data(&CredentialResponse {
        ip: &record.ip,
        key: SecretString::new(otp),
        key_type: KeyType::Otp,
        port: role.port,
        username: &record.username,
    })?;
    let internal = serde_json::to_vec(&leased).map_err(|error| SshError::corrupt("lease", error))?;
    answer.lease = Some(LeaseGrant { ttl, max_ttl: call.mount.max_lease_ttl, renewable: false, internal });
    Ok(answer)
}

/// `POST verify`; public: the helper on a host has no token.
pub(crate) async fn verify(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: VerifyRequest = call.parse()?;
    if request.otp.expose() == ECHO_REQUEST {
        return Response::data(&Echo { message: ECHO_RESPONSE });
    }
    match engine.take_otp(request.otp.expose()).await? {
        Some(record) => Response::data(&record),
        None => Err(Fault::caller("OTP not found")),
    }
}

/// Reads an address as the wire has it.
pub(crate) fn address(text: &str) -> Result<IpAddr, Fault> {
    text.parse().map_err(|_| Fault::Caller(format!("Invalid IP {text:?}")))
}

impl SshAuthority {
    pub(crate) async fn zero_address(&self) -> Result<ZeroAddressSettings, SshError> {
        Ok(storage::read(&self.view, storage::CONFIG_ZERO_ADDRESS).await?.unwrap_or_default())
    }
}

//! `lookup`: the roles whose one-time passwords may be for an address.

use super::otp::address;
use crate::{SshAuthority, role::KeyType};
use chancery_engine::{Call, Fault, Response, wire::Text};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LookupRequest {
    ip: Text,
}

#[derive(Serialize)]
struct LookupResponse {
    /// Null where there are none, as OpenBao has it.
    roles: Option<Vec<String>>,
}

/// `POST lookup`
pub(crate) async fn lookup(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: LookupRequest = call.parse()?;
    if request.ip.0.is_empty() {
        return Err(Fault::caller("Missing ip"));
    }
    let address = address(&request.ip.0)?;
    let anywhere = engine.zero_address().await?.roles;
    let mut roles = Vec::new();
    for name in engine.role_names().await? {
        let Some(role) = engine.role(&name).await? else { continue };
        if role.key_type == KeyType::Otp && (anywhere.contains(&name) || role.covers(address)) {
            roles.push(name);
        }
    }
    Response::data(&LookupResponse { roles: (!roles.is_empty()).then_some(roles) })
}

//! `config/zeroaddress`: roles whose one-time passwords may be for any address. `tidy/dynamic-keys` does nothing any more.

use crate::settings::ZeroAddressSettings;
use crate::{SshAuthority, error::SshError, storage};
use chancery_engine::{Call, Fault, Response, wire::CommaList};
use chancery_store::Changes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ZeroAddressRequest {
    roles: CommaList,
}

#[derive(Serialize)]
struct TidyResponse {
    message: &'static str,
}

/// `GET config/zeroaddress`
pub(crate) async fn read(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let settings = engine.zero_address().await?;
    if settings.roles.is_empty() { Err(Fault::Absent) } else { Response::data(&settings) }
}

/// `POST config/zeroaddress`
pub(crate) async fn write(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ZeroAddressRequest = call.parse()?;
    if request.roles.0.is_empty() {
        return Err(Fault::caller("Missing roles"));
    }
    for name in &request.roles.0 {
        if engine.role(name).await?.is_none() {
            return Err(Fault::Caller(format!("Role {name:?} does not exist")));
        }
    }
    let settings = ZeroAddressSettings { roles: request.roles.0 };
    let mut changes = Changes::default();
    changes.put(&engine.view, storage::CONFIG_ZERO_ADDRESS, &settings).map_err(SshError::from)?;
    engine.store.commit(changes).await.map_err(SshError::from)?;
    Ok(Response::empty())
}

/// `DELETE config/zeroaddress`
pub(crate) async fn delete(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let mut changes = Changes::default();
    changes.delete(&engine.view, storage::CONFIG_ZERO_ADDRESS);
    engine.store.commit(changes).await.map_err(SshError::from)?;
    Ok(Response::empty())
}

/// `DELETE tidy/dynamic-keys`: there are none.
pub(crate) async fn tidy_dynamic_keys(_engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&TidyResponse { message: "Removed 0 of 0 host keys." })
}

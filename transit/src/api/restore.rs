//! `restore[/:name]`: a key out of a backup.

use crate::{backup::Restored, import::off_thread, input::Text, transit::Transit};
use chancery_engine::{Call, Fault, Response, wire::Flag};
use serde::Deserialize;
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Deserialize, Default)]
#[serde(default)]
struct RestoreRequest<'a> {
    #[serde(borrow)]
    backup: Text<'a>,
    force: Flag,
}

/// Restores.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: RestoreRequest<'_> = call.parse()?;
    if request.backup.as_str().is_empty() {
        return Err(Fault::caller("'backup' must be supplied"));
    }
    // Only the path names a key; a name in the body is not looked at.
    let name = Some(call.captures.text("name")).filter(|name| !name.is_empty()).map(ToOwned::to_owned);
    let backup = Zeroizing::new(request.backup.as_str().to_owned());
    let restored = off_thread(move || Restored::read(&backup, name.as_deref())).await?;
    let name = restored.name.clone();
    match engine.restore(restored, request.force.0).await? {
        true => Ok(Response::empty()),
        false => Err(Fault::Caller(format!("key {name:?} already exists"))),
    }
}

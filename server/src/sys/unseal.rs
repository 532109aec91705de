//! `unseal`, `seal`, `step-down`.

use super::{
    System, bare,
    ceremony::{decode_share, told_or_fault},
    method_not_allowed,
};
use chancery_engine::{Call, Fault, Response, Route, SecretString, Verb, wire::Flag};
use chancery_store::BarrierPhase;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, Default)]
#[serde(default)]
struct UnsealRequest {
    key: Option<SecretString>,
    reset: Flag,
    /// Seal migration does not exist here; the member is taken and means nothing.
    #[serde(rename = "migrate")]
    _migrate: Flag,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("unseal", "Takes one key share.")
            .on(Verb::Write, unseal)
            .on(Verb::Read, method_not_allowed)
            .on(Verb::Delete, method_not_allowed)
            .on(Verb::Patch, method_not_allowed)
            .on(Verb::List, method_not_allowed)
            .public(),
        Route::at("seal", "Seals the barrier.").on(Verb::Write, seal).sudo(),
        Route::at("step-down", "Gives up active duty; a single node keeps it.").on(Verb::Write, step_down).sudo(),
    ]
}

async fn unseal(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: UnsealRequest = call.parse()?;
    let barrier = system.core.store.barrier();
    if request.reset.0 {
        barrier.reset_unseal();
        return bare(&system.seal_status().await);
    }
    let Some(key) = request.key.filter(|key| !key.expose().is_empty()) else {
        return Err(Fault::caller("'key' must be specified in request body as JSON, or 'reset' set to true"));
    };
    // Decoded before anything else, as in Vault: what is no share is refused also before there is a seal.
    let share = decode_share(&key)?;
    let progress = barrier.submit_share(&share).await.map_err(told_or_fault)?;
    if !progress.sealed {
        system.core.opened().await?;
    }
    bare(&system.seal_status().await)
}

async fn seal(system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    system.core.seal().await;
    if system.core.store.barrier().state().await.phase == BarrierPhase::Unsealed {
        return Err(Fault::Bug("the barrier is still open".to_owned()));
    }
    Ok(Response::empty())
}

async fn step_down(_system: Arc<System>, _call: Call) -> Result<Response, Fault> {
    Ok(Response::empty())
}

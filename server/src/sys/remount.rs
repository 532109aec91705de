//! `remount`: moving a mount to another path. It is done when the answer is sent; the status stays readable for clients
//! that poll.

use super::System;
use chancery_engine::{Call, Fault, Response, Route, Verb, wire::Text};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};

/// Moves remembered for `remount/status`.
const REMEMBERED: usize = 128;

/// The last moves of this process.
#[derive(Default)]
pub(super) struct Moves(Mutex<VecDeque<Move>>);

#[derive(Clone, Serialize)]
struct Move {
    migration_id: String,
    migration_info: MoveInfo,
}

#[derive(Clone, Serialize)]
struct MoveInfo {
    source_mount: String,
    target_mount: String,
    status: &'static str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RemountRequest {
    from: Text,
    to: Text,
}

#[derive(Serialize)]
struct RemountResponse<'a> {
    migration_id: &'a str,
}

pub(super) fn routes() -> Vec<Route<System>> {
    vec![
        Route::at("remount", "Moves a mount to another path.").on(Verb::Write, remount).sudo(),
        Route::at("remount/status/{id}", "What became of a move.").on(Verb::Read, status),
    ]
}

async fn remount(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let request: RemountRequest = call.parse()?;
    let (from, to) = (with_slash(&request.from.0), with_slash(&request.to.0));
    if from == "/" || to == "/" {
        return Err(Fault::caller("both 'from' and 'to' path must be specified as a string"));
    }
    if system.core.mounts.at(&from).is_some() && system.core.mounts.at(&to).is_some() && !is_protected(&to) {
        return Err(Fault::Caller(format!("path already in use at {to:?}")));
    }
    if from.starts_with("auth/") != to.starts_with("auth/") {
        return Err(Fault::Caller(format!("cannot remount to destination {to}")));
    }
    system.core.remount(&from, &to).await?;
    let done = Move {
        migration_id: uuid::Uuid::new_v4().to_string(),
        migration_info: MoveInfo { source_mount: from, target_mount: to, status: "success" },
    };
    let response = Response::data(&RemountResponse { migration_id: &done.migration_id })?
        .warn("The mount was moved. Its status can be read at sys/remount/status with the returned migration_id.");
    let mut moves = system.moves.0.lock();
    moves.truncate(REMEMBERED - 1);
    moves.push_front(done);
    Ok(response)
}

async fn status(system: Arc<System>, call: Call) -> Result<Response, Fault> {
    let id = call.captures.text("id");
    let found = system.moves.0.lock().iter().find(|done| done.migration_id == id).cloned();
    Response::data(&found.ok_or(Fault::Absent)?)
}

fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_matches('/'))
}

fn is_protected(path: &str) -> bool {
    ["sys/", "cubbyhole/", "identity/", "auth/token/"].contains(&path)
}

//! Version 2: each write makes a version; versions are deleted softly, brought back, or destroyed.
//!
//! The endpoints are [`data`], [`metadata`], [`versions`] (delete, undelete, destroy), [`subkeys`] and [`config`]; what
//! lies in the store, and the rules of versions, are in [`model`].

mod config;
mod data;
mod metadata;
mod model;
mod subkeys;
mod versions;

use crate::error::KvError;
use async_trait::async_trait;
use chancery_engine::{
    Call, Captures, Clock, Fault, Response, Route, RouteTable, Service, Verb, response::Disposition, response::RawBody,
};
use chancery_store::{Store, View};
use std::sync::Arc;

/// Version 2 of the engine.
#[derive(Debug)]
pub struct Versioned {
    store: Store,
    view: View,
    clock: Arc<dyn Clock>,
}

impl Versioned {
    /// The engine of one mount.
    #[must_use]
    pub fn new(view: View, store: Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { store, view, clock })
    }

    async fn exists(self: Arc<Self>, captures: Captures) -> Result<bool, Fault> {
        Ok(self.load(captures.text("path")).await.map_err(Fault::from)?.is_some())
    }

    /// Whoever forgot the `data/` of the path is told so, with the status of a missing secret.
    async fn misdirected(self: Arc<Self>, call: Call) -> Result<Response, Fault> {
        use chancery_engine::Operation;
        let command = match call.permit.operation() {
            Operation::Create | Operation::Update => "put",
            Operation::Patch => "patch",
            Operation::Delete => "delete",
            Operation::List | Operation::Scan => "list",
            Operation::Read => "get",
        };
        let path = call.captures.text("path");
        if command == "list" && matches!(path, "data" | "subkeys" | "delete" | "undelete" | "destroy" | "config") {
            return Err(Fault::UnsupportedOperation);
        }
        let roots = ["data", "metadata", "subkeys", "delete", "undelete", "destroy"];
        let text = if roots.contains(&path) {
            "Non-listing operations on the root of a K/V v2 mount are not supported.".to_owned()
        } else {
            format!(
                "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to \
                 use. If using the Vault CLI, use 'vault kv {command}' for this operation."
            )
        };
        Ok(Response::empty().warn(text).disposed(Disposition::AbsentWithData))
    }
}

/// PATCH of something that is not there: 404 without any body.
fn absent_without_body() -> Response {
    Response {
        raw: Some(RawBody { content_type: "application/json", bytes: Vec::new(), headers: Vec::new() }),
        ..Response::empty().disposed(Disposition::Chosen(404))
    }
}

#[async_trait]
impl Service for Versioned {
    fn routes() -> RouteTable<Self> {
        RouteTable::new(vec![
            Route::at("config", "Limits that hold for every secret of the mount.")
                .on(Verb::Read, config::read)
                .on(Verb::Write, config::write),
            Route::at("data/*path", "Reads and writes versions of a secret.")
                .on(Verb::Read, data::read)
                .on(Verb::Write, data::write)
                .on(Verb::Patch, data::patch)
                .on(Verb::Delete, data::delete_latest)
                .exists(Self::exists),
            Route::at("subkeys/*path", "The structure of a secret without its values.").on(Verb::Read, subkeys::read),
            Route::at("delete/*path", "Deletes versions so that they can be brought back.")
                .on(Verb::Write, versions::delete),
            Route::at("undelete/*path", "Brings deleted versions back.").on(Verb::Write, versions::undelete),
            Route::at("destroy/*path", "Removes versions for good.").on(Verb::Write, versions::destroy),
            Route::at("metadata", "Lists the names at the root.").on(Verb::List, metadata::list),
            Route::at("metadata/*path", "What is known of a secret and its versions; lists the names below a path.")
                .on(Verb::Read, metadata::read)
                .on(Verb::Write, metadata::write)
                .on(Verb::Patch, metadata::patch)
                .on(Verb::Delete, metadata::delete)
                .on(Verb::List, metadata::list)
                .exists(Self::exists),
            Route::at("", "Explains that version 2 has other paths.")
                .on(Verb::Read, Self::misdirected)
                .on(Verb::Write, Self::misdirected)
                .on(Verb::Delete, Self::misdirected)
                .on(Verb::List, Self::misdirected),
            Route::at("*path", "Explains that version 2 has other paths.")
                .on(Verb::Read, Self::misdirected)
                .on(Verb::Write, Self::misdirected)
                .on(Verb::Patch, Self::misdirected)
                .on(Verb::Delete, Self::misdirected)
                .on(Verb::List, Self::misdirected),
        ])
    }
}

/// Maps a storage failure of a handler.
fn fault(error: impl Into<KvError>) -> Fault {
    Fault::from(error.into())
}

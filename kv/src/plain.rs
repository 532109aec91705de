//! Version 1: one value a path, replaced as a whole. The answer's `lease_duration` is a hint, there is no lease.

use crate::error::KvError;
use async_trait::async_trait;
use chancery_engine::{
    Call, Captures, Fault, Response, Route, RouteTable, Service, Verb, response::LeaseGrant, wire::DurationSeconds,
};
use chancery_store::{Changes, Page, Store, View};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// Version 1 of the engine.
#[derive(Debug)]
pub struct Plain {
    store: Store,
    view: View,
}

/// The two members that say how long a reader may keep the secret; all others are the caller's own.
#[derive(Deserialize, Default)]
struct Hint<'a> {
    #[serde(borrow)]
    ttl: Option<&'a RawValue>,
    #[serde(borrow)]
    lease: Option<&'a RawValue>,
}

impl Plain {
    /// The engine of one mount.
    #[must_use]
    pub fn new(view: View, store: Store) -> Arc<Self> {
        Arc::new(Self { store, view })
    }

    async fn exists(self: Arc<Self>, captures: Captures) -> Result<bool, Fault> {
        Ok(self.view.read(captures.text("path")).await.map_err(KvError::from)?.is_some())
    }

    async fn read(self: Arc<Self>, call: Call) -> Result<Response, Fault> {
        let entry = self.view.read(call.captures.text("path")).await.map_err(KvError::from)?.ok_or(Fault::Absent)?;
        let ttl = hinted_ttl(&entry.value).unwrap_or(call.mount.default_lease_ttl);
        Ok(Response {
            lease: Some(LeaseGrant { ttl, max_ttl: ttl, renewable: false, internal: Vec::new() }),
            ..Response::json(entry.value.to_vec())
        })
    }

    async fn write(self: Arc<Self>, call: Call) -> Result<Response, Fault> {
        let members: BTreeMap<String, &RawValue> = call.parse()?;
        if members.is_empty() {
            return Err(Fault::caller("missing data fields"));
        }
        let value: &RawValue = serde_json::from_slice(call.body.json()).map_err(KvError::from)?;
        let mut changes = Changes::default();
        changes.put(&self.view, call.captures.text("path"), value).map_err(KvError::from)?;
        self.store.commit(changes).await.map_err(KvError::from)?;
        Ok(Response::empty())
    }

    async fn delete(self: Arc<Self>, call: Call) -> Result<Response, Fault> {
        let mut changes = Changes::default();
        changes.delete(&self.view, call.captures.text("path"));
        self.store.commit(changes).await.map_err(KvError::from)?;
        Ok(Response::empty())
    }

    async fn list(self: Arc<Self>, call: Call) -> Result<Response, Fault> {
        let keys = self.view.list(call.captures.text("path"), Page::default()).await.map_err(KvError::from)?;
        Response::list(&keys)
    }
}

/// `ttl`, or the older word `lease`; a value that is no duration is not a hint.
fn hinted_ttl(value: &[u8]) -> Option<u64> {
    let hint: Hint<'_> = serde_json::from_slice(value).ok()?;
    [hint.ttl, hint.lease]
        .into_iter()
        .flatten()
        .find_map(|text| serde_json::from_str::<DurationSeconds>(text.get()).ok())
        .map(DurationSeconds::as_u64)
        .filter(|&seconds| seconds > 0)
}

#[async_trait]
impl Service for Plain {
    fn routes() -> RouteTable<Self> {
        RouteTable::new(vec![
            Route::at("", "Lists the names at the root.").on(Verb::List, Self::list),
            Route::at("*path", "Reads, writes, deletes one secret; lists the names below a path.")
                .on(Verb::Read, Self::read)
                .on(Verb::Write, Self::write)
                .on(Verb::Delete, Self::delete)
                .on(Verb::List, Self::list)
                .exists(Self::exists),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_a_duration_of_either_name() {
        assert_eq!(hinted_ttl(br#"{"ttl":"1h","x":1}"#), Some(3600));
        assert_eq!(hinted_ttl(br#"{"lease":"90s"}"#), Some(90));
        assert_eq!(hinted_ttl(br#"{"ttl":"abc"}"#), None);
        assert_eq!(hinted_ttl(br#"{"ttl":0}"#), None);
        assert_eq!(hinted_ttl(br#"{"x":"1h"}"#), None);
    }
}

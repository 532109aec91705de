//! `lookup`, `lookup-self`, `lookup-accessor`.

use super::{Target, TokenEngine, invalid_accessor, own_token};
use crate::tokens::{batch::BatchToken, batch::is_batch, record::TokenRecord};
use chancery_engine::{Call, Fault, Response, SecretString};
use jiff::Timestamp;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// What a lookup shows, members as clients expect them (clients §1.1-9).
#[derive(Serialize)]
struct Shown<'a> {
    accessor: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    bound_cidrs: &'a [String],
    creation_time: i64,
    creation_ttl: u64,
    display_name: &'a str,
    entity_id: &'a str,
    expire_time: Option<Timestamp>,
    explicit_max_ttl: u64,
    id: &'a SecretString,
    issue_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal_time: Option<i64>,
    meta: &'a Option<BTreeMap<String, String>>,
    num_uses: i64,
    orphan: bool,
    path: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    period: u64,
    policies: &'a [String],
    renewable: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'a str,
    ttl: u64,
    r#type: &'static str,
}

fn is_empty(list: &[String]) -> bool {
    list.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) async fn lookup(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    let token = target.token().unwrap_or_else(|| own_token(&call));
    engine.show(&token).await
}

pub(super) async fn lookup_self(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let token = own_token(&call);
    if is_batch(&token) {
        return engine.show(&token).await;
    }
    // By its hash: a token in its last use is still shown to itself.
    let found = engine.tokens.load(&call.identity()?.token_key).await?.ok_or(Fault::Denied)?;
    show_record(&found.record, &token, engine.tokens.now())
}

pub(super) async fn lookup_accessor(engine: Arc<TokenEngine>, call: Call) -> Result<Response, Fault> {
    let target: Target = call.parse()?;
    let found = engine.by_accessor(&target).await?.ok_or_else(invalid_accessor)?;
    show_record(&found.record, &SecretString::new(String::new()), engine.tokens.now())
}

impl TokenEngine {
    async fn show(&self, token: &SecretString) -> Result<Response, Fault> {
        let bad_token = || Fault::Refused("bad token".to_owned());
        if is_batch(token) {
            let batch = self.tokens.open_batch(token).await?.ok_or_else(bad_token)?;
            return show_batch(&batch, token, self.tokens.now());
        }
        let found = self.tokens.find(token).await?.ok_or_else(bad_token)?;
        show_record(&found.record, token, self.tokens.now())
    }
}

fn show_record(record: &TokenRecord, id: &SecretString, now: Timestamp) -> Result<Response, Fault> {
    Response::data(&Shown {
        accessor: &record.accessor,
        bound_cidrs: &record.bound_cidrs,
        creation_time: record.issued.as_second(),
        creation_ttl: record.creation_ttl,
        display_name: &record.display_name,
        entity_id: &record.entity_id,
        expire_time: record.expires,
        explicit_max_ttl: record.limits.explicit_max_ttl,
        id,
        issue_time: record.issued,
        last_renewal: record.last_renewal,
        last_renewal_time: record.last_renewal.map(Timestamp::as_second),
        meta: &record.metadata,
        num_uses: record.uses_left.max(0),
        orphan: record.parent.is_none(),
        path: &record.path,
        period: record.limits.period,
        policies: &record.policies,
        renewable: record.renewable,
        role: &record.role,
        ttl: record.ttl_left(now),
        r#type: "service",
    })
}

fn show_batch(batch: &BatchToken, id: &SecretString, now: Timestamp) -> Result<Response, Fault> {
    Response::data(&Shown {
        accessor: "",
        bound_cidrs: &batch.bound_cidrs,
        creation_time: batch.issued.as_second(),
        creation_ttl: batch.ttl,
        display_name: &batch.display_name,
        entity_id: &batch.entity_id,
        expire_time: Some(batch.expires),
        explicit_max_ttl: 0,
        id,
        issue_time: batch.issued,
        last_renewal: None,
        last_renewal_time: None,
        meta: &batch.metadata,
        num_uses: 0,
        orphan: batch.parent.is_none(),
        path: &batch.path,
        period: 0,
        policies: &batch.policies,
        renewable: false,
        role: &batch.role,
        ttl: batch.ttl_left(now),
        r#type: "batch",
    })
}

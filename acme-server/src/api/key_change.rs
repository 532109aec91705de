//! Changing an account's key (RFC 8555 §7.3.5): signed by the old key outside and by the new one inside.

use super::{account, new_account::is_same};
use crate::{
    exchange::{Answer, Exchange},
    jwk::Jwk,
    jws::{Jws, Signer},
    problem::{Problem, ProblemType},
    server::AcmeServer,
    storage::{Edit, key_key},
};
use chancery_store::StoreError;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyChange {
    account: String,
    old_key: Value,
}

/// `POST key-change`
pub(crate) async fn key_change(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let signed = exchange.by_account(&server, "key-change").await?;
    let text = std::str::from_utf8(&signed.payload).map_err(|_| Problem::malformed("the payload is no JWS"))?;
    let inner = Jws::parse(text)
        .map_err(|problem| Problem { detail: format!("the inner JWS: {}", problem.detail), ..problem })?;
    let Signer::Key(new) = inner.signer()? else {
        return Err(Problem::malformed("the inner JWS is to be signed with the new key in \"jwk\""));
    };
    inner.verify(&new)?;
    // The same URL as outside; a nonce only outside.
    exchange.check_url(&inner, "key-change")?;
    if inner.header.nonce.is_some() {
        return Err(Problem::malformed("the inner JWS holds a \"nonce\""));
    }
    let change: KeyChange = crate::exchange::parse(&inner.payload)?;
    let mut account = signed.account;
    if change.account != exchange.account_url(&account.value.id) {
        return Err(Problem::malformed("the inner JWS is about another account"));
    }
    if !is_same(&Jwk::parse(&change.old_key)?, &account.value.key) {
        return Err(Problem::malformed("\"oldKey\" is not the account's key"));
    }
    let records = &server.records;
    let scope = account.value.scope.clone();
    let taken = |id: &str| {
        let problem = Problem::malformed("the new key belongs to an account already").with_status(409);
        Err(Problem { location: Some(exchange.account_url(id)), ..problem })
    };
    let thumbprint = new.thumbprint();
    if let Some(other) = records.account_by_key(&scope, &thumbprint).await? {
        return taken(&other.value.id);
    }
    let mut edit = Edit::default();
    edit.delete(&records.view, &key_key(&scope, &account.value.key.thumbprint()));
    account.value.key = *new;
    let place = key_key(&scope, &thumbprint);
    match account.expires_at {
        Some(ends) => edit.create_expiring(&records.view, &place, &account.value.id, ends)?,
        None => edit.create(&records.view, &place, &account.value.id)?,
    };
    records.replace_object(&mut edit, &account)?;
    match records.commit(edit).await {
        Ok(_) => Ok(Answer::json(200, &account::view(&exchange, &account.value))),
        Err(StoreError::Conflict) => match records.account_by_key(&scope, &thumbprint).await? {
            Some(other) => taken(&other.value.id),
            None => Err(ProblemType::ServerInternal.because("the account was changed meanwhile").with_status(503)),
        },
        Err(error) => Err(error.into()),
    }
}

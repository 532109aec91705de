//! New accounts (RFC 8555 §7.3), and finding one's own again.

use super::{account, directory::client};
use crate::{
    binding,
    exchange::{Answer, Exchange, parse},
    jwk::Jwk,
    problem::{Problem, ProblemType},
    records::Account,
    server::AcmeServer,
    state::AccountStatus,
    storage::{Edit, binding_key, key_key},
};
use chancery_store::StoreError;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NewAccount {
    contact: Vec<String>,
    terms_of_service_agreed: bool,
    only_return_existing: bool,
    external_account_binding: Option<Value>,
}

/// An account that never got a certificate is forgotten after this.
pub(crate) const UNCONFIRMED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// `POST new-account`
pub(crate) async fn new_account(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let (jws, key) = exchange.by_key(&server, "new-account")?;
    let request: NewAccount = parse(&jws.payload)?;
    let scope = exchange.scope.path();
    let thumbprint = key.thumbprint();
    if let Some(known) = server.records.account_by_key(&scope, &thumbprint).await? {
        return existing(&exchange, &known.value);
    }
    if request.only_return_existing {
        return Err(ProblemType::AccountDoesNotExist.because("there is no account with this key"));
    }
    if let Some(client) = client(&exchange) {
        let waiting = server.limits.accounts.take(client, exchange.now);
        waiting.map_err(|seconds| Problem::rate_limited("too many new accounts from this address", seconds))?;
    }
    account::check_contact(&request.contact)?;
    let settings = exchange.settings();
    if !settings.terms_of_service.is_empty() && !request.terms_of_service_agreed {
        // RFC 8555 §7.3.3
        let detail = format!("the terms of service at {} must be agreed to", settings.terms_of_service);
        let terms = settings.terms_of_service.as_str();
        return Err(ProblemType::UserActionRequired.because(detail).with_member("instance", terms));
    }
    let account = Account {
        id: server.new_id()?,
        key,
        scope,
        status: AccountStatus::Valid,
        contact: request.contact,
        terms_agreed: request.terms_of_service_agreed,
        binding: None,
        created_at: exchange.now,
        has_certificates: false,
        proved_below: false,
    };
    let account = create(&server, &exchange, (account, request.external_account_binding)).await;
    // Somebody with the same key was quicker: then it is theirs.
    let account = match account {
        Err(problem) => match server.records.account_by_key(&exchange.scope.path(), &thumbprint).await? {
            Some(known) => return existing(&exchange, &known.value),
            None => return Err(problem),
        },
        Ok(account) => account,
    };
    exchange.note("account", &account.id);
    let url = exchange.account_url(&account.id);
    Ok(Answer::json(201, &account::view(&exchange, &account)).at(url))
}

/// An account that is there already is found again, whatever else the request holds: cert-manager sends its external
/// account binding each time.
fn existing(exchange: &Exchange, account: &Account) -> Result<Answer, Problem> {
    exchange.note("account", &account.id);
    if account.status != AccountStatus::Valid {
        let detail = format!("the account with this key is {:?}", account.status).to_lowercase();
        return Err(ProblemType::Unauthorized.because(detail).with_status(401));
    }
    Ok(Answer::json(200, &account::view(exchange, account)).at(exchange.account_url(&account.id)))
}

async fn create(
    server: &AcmeServer,
    exchange: &Exchange,
    (mut account, binding): (Account, Option<Value>),
) -> Result<Account, Problem> {
    let records = &server.records;
    let mut edit = Edit::default();
    if let Some(binding) = binding {
        let (id, key) = binding::check(records, exchange, (&binding, &account.key)).await?;
        if !key.value.reusable {
            let place = binding_key(&id);
            edit.expect_version(&records.view, &place, key.version).delete(&records.view, &place);
        }
        account.binding = Some(id);
    } else if exchange.settings().binds_new_accounts() {
        let detail = "this server makes accounts only with an external account binding";
        return Err(ProblemType::ExternalAccountRequired.because(detail));
    }
    let ends = exchange.now.checked_add(UNCONFIRMED).unwrap_or(Timestamp::MAX);
    let place = key_key(&account.scope, &account.key.thumbprint());
    edit.create_expiring(&records.view, &place, &account.id, ends)?;
    records.put_object(&mut edit, &account, ends)?;
    match records.commit(edit).await {
        Ok(_) => Ok(account),
        Err(StoreError::Conflict) if account.binding.is_some() => {
            Err(ProblemType::Unauthorized.because("the external account key was used before"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether two keys are one.
pub(crate) fn is_same(one: &Jwk, other: &Jwk) -> bool {
    one.spki() == other.spki()
}

//! An account: reading, updating, deactivating (RFC 8555 §7.3.2, §7.3.6), and the list of its orders (§7.1.2.1).

use crate::{
    exchange::set,
    exchange::{Answer, Exchange, Signed},
    problem::{Problem, ProblemType},
    records::Account,
    server::AcmeServer,
    state::{AccountStatus, OrderStatus},
    storage::Edit,
};
use chancery_store::Page;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Update {
    contact: Option<Vec<String>>,
    status: Option<String>,
}

/// Most contact URLs of one account, and the longest.
const MOST_CONTACTS: usize = 10;
const LONGEST_CONTACT: usize = 320;

/// Orders on one page of the list.
const PAGE: usize = 100;

/// `POST account/:account`
pub(crate) async fn account(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let signed = own(&server, &exchange, "").await?;
    if signed.is_post_as_get() {
        return Ok(Answer::json(200, &view(&exchange, &signed.account.value)));
    }
    let update: Update = signed.parse()?;
    let mut account = signed.account;
    match update.status.as_deref() {
        Some("deactivated") => account.value.status = AccountStatus::Deactivated,
        // RFC 8555 §7.3.2: what else the client says of itself is ignored.
        _ => {
            if let Some(contact) = update.contact {
                check_contact(&contact)?;
                account.value.contact = contact;
            }
        }
    }
    let mut edit = Edit::default();
    server.records.replace_object(&mut edit, &account)?;
    server.records.commit(edit).await?;
    Ok(Answer::json(200, &view(&exchange, &account.value)))
}

/// `POST account/:account/orders`, `POST account/:account/orders/:after`
pub(crate) async fn orders(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let after = exchange.capture("after").to_owned();
    let rest = if after.is_empty() { "/orders".to_owned() } else { format!("/orders/{after}") };
    let signed = own(&server, &exchange, &rest).await?;
    signed.only_reads()?;
    let page = Page { after: (!after.is_empty()).then_some(after), limit: Some(PAGE + 1) };
    let mut ids = server.records.orders(signed.account(), page).await?;
    let more = ids.len() > PAGE;
    ids.truncate(PAGE);
    let mut urls = Vec::new();
    for id in &ids {
        let order = server.records.order(signed.account(), id).await?;
        // §7.1.2.1: orders that came to nothing should not be listed.
        if order.is_some_and(|order| order.value.at(exchange.now).status != OrderStatus::Invalid) {
            urls.push(exchange.url(&format!("order/{id}")));
        }
    }
    let mut answer = Answer::json(200, &json!({ "orders": urls }));
    if let Some(last) = ids.last().filter(|_| more) {
        let next = format!("account/{}/orders/{last}", signed.account());
        answer = answer.link("next", exchange.url(&next));
    }
    Ok(answer)
}

/// The account of the URL, which must be the one that signed.
async fn own(server: &AcmeServer, exchange: &Exchange, rest: &str) -> Result<Signed, Problem> {
    let id = exchange.capture("account").to_owned();
    let signed = exchange.by_account(server, &format!("account/{id}{rest}")).await?;
    if signed.account() != id {
        return Err(ProblemType::Unauthorized.because("the request is signed by another account"));
    }
    Ok(signed)
}

/// The account as clients see it.
pub(crate) fn view(exchange: &Exchange, account: &Account) -> Value {
    let mut object = json!({
        "status": account.status,
        "contact": account.contact,
        "orders": format!("{}/orders", exchange.account_url(&account.id)),
        "key": account.key.to_value(),
        "createdAt": account.created_at.to_string(),
        "termsOfServiceAgreed": account.terms_agreed,
    });
    if let Some(binding) = &account.binding {
        set(&mut object, "externalAccountBinding", json!({ "kid": binding }));
    }
    object
}

/// RFC 8555 §7.3: only `mailto`, one address, no header fields.
pub(crate) fn check_contact(contact: &[String]) -> Result<(), Problem> {
    if contact.len() > MOST_CONTACTS {
        return Err(ProblemType::InvalidContact.because(format!("more than {MOST_CONTACTS} contacts")));
    }
    for url in contact {
        let shown: String = url.chars().take(100).collect();
        let Some(address) = url.strip_prefix("mailto:") else {
            let detail = format!("the contact {shown:?} is no \"mailto:\" URL; others are not supported");
            return Err(ProblemType::UnsupportedContact.because(detail));
        };
        let sound = url.len() <= LONGEST_CONTACT
            && address.bytes().all(|byte| byte.is_ascii_graphic() && !b"?,;<>\"()[]\\".contains(&byte))
            && address
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && crate::identifier::DnsName::parse(host).is_ok());
        if !sound {
            return Err(ProblemType::InvalidContact.because(format!("the contact {shown:?} is not one address")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_contact;
    use crate::problem::ProblemType;

    #[test]
    fn contacts_are_single_addresses() {
        let check = |url: &str| check_contact(&[url.to_owned()]).map_err(|problem| problem.kind);
        assert_eq!(check("mailto:a.b+c@example.com"), Ok(()));
        assert_eq!(check("tel:+1"), Err(ProblemType::UnsupportedContact));
        for bad in [
            "mailto:",
            "mailto:a",
            "mailto:a@",
            "mailto:@b",
            "mailto:a@b,c@d",
            "mailto:a@b.c?subject=x",
            "mailto:a b@c",
            "mailto:a@b\r\nc",
        ] {
            assert_eq!(check(bad), Err(ProblemType::InvalidContact), "{bad:?}");
        }
    }
}

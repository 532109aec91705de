//! New orders (RFC 8555 §7.4): every name is looked at before anything is written, and each that is refused has a problem of
//! its own.

use super::order;
use crate::{
    exchange::{Answer, Exchange, Signed, door_role},
    identifier::{DnsName, Identifier, Named, Written},
    problem::{Problem, ProblemType},
    records::{Account, Authorization, Order, ancestors},
    server::{AcmeServer, mount_ttl},
    star::{AutoRenewal, Bounds},
    state::{AuthorizationStatus, OrderEvent, OrderStatus},
    storage::{AFTERLIFE, Edit, Issued, Stored, issued_key, open_key, proof_key},
};
use chancery_ca::{requester::Requester, san::AlternativeNames};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewOrder {
    identifiers: Vec<AskedIdentifier>,
    not_before: Option<String>,
    not_after: Option<String>,
    profile: Option<String>,
    replaces: Option<String>,
    #[serde(rename = "auto-renewal")]
    auto_renewal: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedIdentifier {
    #[serde(flatten)]
    written: Written,
    /// RFC 9444 §4.2: control may be shown for this name above.
    ancestor_domain: Option<String>,
}

/// A name, and the name above it for which control may be shown.
type Asked = BTreeMap<Named, Option<DnsName>>;

/// Most names of one order.
const MOST_NAMES: usize = 100;

/// How long an order waits for being finalized.
pub(crate) const ORDER_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// An open order is found again until so long before its end.
const REUSE_MARGIN: SignedDuration = SignedDuration::from_mins(30);

/// `POST new-order`
pub(crate) async fn new_order(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let signed = exchange.by_account(&server, "new-order").await?;
    let request: NewOrder = signed.parse()?;
    // RFC 9773 §5: renewals are not limited. Clients take a 4xx here for final, so a flood is told to come back.
    if request.replaces.is_none()
        && let Err(seconds) = server.limits.orders.take(signed.account().to_owned(), exchange.now)
    {
        return Err(Problem { retry_after: Some(seconds), ..Problem::busy() });
    }
    let asked = names(&request.identifiers)?;
    let role = server.order_role(&exchange, request.profile.as_deref()).await?;
    check_role(&server, &signed, role.as_deref(), &asked).await?;
    let auto_renewal = server.auto_renewal(&exchange, &request, role.as_deref()).await?;
    let (not_before, not_after) = times(&exchange, &request)?;
    let replaced = match &request.replaces {
        Some(id) => Some(server.replaceable(&signed, id, &asked).await?),
        None => None,
    };
    let order = Order {
        id: server.new_id()?,
        account: signed.account().to_owned(),
        scope: exchange.scope.path(),
        status: OrderStatus::Pending,
        names: asked.keys().cloned().collect(),
        authorizations: Vec::new(),
        not_before,
        not_after,
        profile: request.profile,
        replaces: request.replaces,
        auto_renewal,
        expires: exchange.now.checked_add(ORDER_LIFETIME).unwrap_or(Timestamp::MAX),
        created_at: exchange.now,
        error: None,
        csr: None,
        serial: None,
        issuer: None,
        certificate_ends: None,
        der: None,
    };
    let open = open_key_of(&order);
    if replaced.is_none()
        && let Some(open) = server.open_order(&exchange, &signed, &open).await?
    {
        exchange.note("order", &open.id);
        return Ok(answer(&exchange, &open));
    }
    let order = server.place((&exchange, &signed), (order, asked), (open, replaced)).await?;
    exchange.note("order", &order.id);
    Ok(answer(&exchange, &order))
}

fn answer(exchange: &Exchange, order: &Order) -> Answer {
    Answer::json(201, &order::view(exchange, order)).at(exchange.url(&format!("order/{}", order.id)))
}

/// What is named, each once. All that is wrong is told at once.
fn names(identifiers: &[AskedIdentifier]) -> Result<Asked, Problem> {
    if identifiers.is_empty() {
        return Err(Problem::malformed("the order names nothing"));
    }
    if identifiers.len() > MOST_NAMES {
        return Err(Problem::malformed(format!("the order has {} names; {MOST_NAMES} are allowed", identifiers.len())));
    }
    let (mut asked, mut refused) = (Asked::new(), Vec::new());
    for identifier in identifiers {
        match name(identifier) {
            Ok((named, ancestor)) => {
                asked.insert(named, ancestor);
            }
            Err(problem) => refused.push(problem),
        }
    }
    if refused.is_empty() { Ok(asked) } else { Err(Problem::of_parts("some of the names are refused", refused)) }
}

fn name(identifier: &AskedIdentifier) -> Result<(Named, Option<DnsName>), Problem> {
    let named = Named::parse(&identifier.written)?;
    let Some(text) = &identifier.ancestor_domain else { return Ok((named, None)) };
    let Written { kind, value } = &identifier.written;
    let refuse = |detail: String| Problem::malformed(detail).about(kind, value);
    let ancestor = DnsName::parse(text).map_err(|reason| refuse(format!("the ancestor domain {reason}")))?;
    match &named.identifier {
        Identifier::Dns(name) if name.is_within(&ancestor) => Ok((named, Some(ancestor))),
        _ => Err(refuse(format!("{ancestor} is not above {named}"))),
    }
}

/// Refuses names the role will not certify now, rather than after the client has shown control of them.
async fn check_role(server: &AcmeServer, signed: &Signed, role: Option<&str>, asked: &Asked) -> Result<(), Problem> {
    let names = alternative_names(asked.keys());
    let requester = requester(signed.account());
    let refused = server.authority.refused_names(door_role(role), &names, &requester).await;
    let refused = refused.map_err(|error| Problem::from_authority(&error, ProblemType::Malformed))?;
    if refused.is_empty() {
        return Ok(());
    }
    let parts = refused.into_iter().map(|(name, reason)| {
        let kind = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
        ProblemType::RejectedIdentifier.because(reason).about(kind, &name)
    });
    Err(Problem::of_parts("some of the names are refused", parts.collect()))
}

/// notBefore and notAfter as they were asked for.
fn times(exchange: &Exchange, request: &NewOrder) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    let read = |member: &str, text: &Option<String>| match text.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => text
            .parse::<Timestamp>()
            .map(Some)
            .map_err(|_| Problem::malformed(format!("\"{member}\" is no time as RFC 3339 has it"))),
        None => Ok(None),
    };
    let (not_before, not_after) = (read("notBefore", &request.not_before)?, read("notAfter", &request.not_after)?);
    if not_after.is_some_and(|end| end <= exchange.now || not_before.is_some_and(|start| end <= start)) {
        return Err(Problem::malformed("\"notAfter\" is past, or not after \"notBefore\""));
    }
    Ok((not_before, not_after))
}

/// The names as certificates have them.
pub(crate) fn alternative_names<'n>(named: impl Iterator<Item = &'n Named>) -> AlternativeNames {
    let mut names = AlternativeNames::default();
    for name in named {
        match &name.identifier {
            Identifier::Dns(_) => names.dns.push(name.to_string()),
            Identifier::Ip(address) => names.ips.push(*address),
        }
    }
    names
}

/// The account as the inventory names it.
pub(crate) fn requester(account: &str) -> Requester {
    Requester::named(&format!("acme-{account}"))
}

/// What makes two orders the same.
fn open_key_of(order: &Order) -> String {
    let time = |time: &Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let mut what = vec![
        order.scope.clone(),
        order.profile.clone().unwrap_or_default(),
        time(&order.not_before),
        time(&order.not_after),
        order.auto_renewal.as_ref().map(|renewal| renewal.view().to_string()).unwrap_or_default(),
    ];
    what.extend(order.names.iter().map(ToString::to_string));
    open_key(&order.account, &what.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Where a shown control is found again.
pub(crate) fn proof_name(authorization: &Authorization) -> String {
    let below = if authorization.subdomains { "/below" } else { "" };
    format!("{}:{}{below}", authorization.named.identifier.kind(), authorization.named)
}

impl AcmeServer {
    /// The role an order is certified by: that of its profile, its directory, or the mount's default.
    pub(crate) async fn order_role(
        &self,
        exchange: &Exchange,
        profile: Option<&str>,
    ) -> Result<Option<String>, Problem> {
        match profile {
            Some(profile) if self.profiles(exchange).await?.iter().any(|known| known == profile) => {
                Ok(Some(profile.to_owned()))
            }
            Some(profile) => {
                let shown: String = profile.chars().take(100).collect();
                Err(ProblemType::InvalidProfile.because(format!("there is no profile {shown:?} here")))
            }
            None => Ok(exchange.scope.role(exchange.settings())?.map(str::to_owned)),
        }
    }

    /// What the order asks of automatic renewal (RFC 8739 §3.1.1).
    async fn auto_renewal(
        &self,
        exchange: &Exchange,
        request: &NewOrder,
        role: Option<&str>,
    ) -> Result<Option<AutoRenewal>, Problem> {
        let Some(asked) = &request.auto_renewal else { return Ok(None) };
        let most = exchange.settings().auto_renewal_max_duration;
        if most == 0 {
            return Err(Problem::malformed("\"auto-renewal\" (RFC 8739) is not offered here"));
        }
        for (member, stated) in [("notBefore", &request.not_before), ("notAfter", &request.not_after)] {
            if let Some(text) = stated {
                let shown: String = text.chars().take(100).collect();
                let detail = format!("\"{member}\" ({shown}) cannot be asked for beside \"auto-renewal\"");
                return Err(Problem::malformed(detail));
            }
        }
        let longest = self.authority.longest_life(door_role(role), mount_ttl(&exchange.call.mount)).await;
        let longest = longest.map_err(|error| Problem::from_authority(&error, ProblemType::Malformed))?;
        let seconds = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let bounds = Bounds { longest_life: seconds(longest), max_duration: seconds(most) };
        AutoRenewal::read(asked, bounds, exchange.now).map(Some)
    }

    /// An order of the same account for the same, that is still to be finalized.
    async fn open_order(&self, exchange: &Exchange, signed: &Signed, key: &str) -> Result<Option<Order>, Problem> {
        let Some(id) = self.records.read::<String>(key).await? else { return Ok(None) };
        let Some(order) = self.records.order(signed.account(), &id.value).await? else { return Ok(None) };
        let soon = exchange.now.checked_add(REUSE_MARGIN).unwrap_or(Timestamp::MAX);
        let order = order.value.at(soon);
        Ok(matches!(order.status, OrderStatus::Pending | OrderStatus::Ready).then_some(order))
    }

    /// Writes the order and what authorizations it needs.
    async fn place(
        &self,
        (exchange, signed): (&Exchange, &Signed),
        (mut order, asked): (Order, Asked),
        (open, replaced): (String, Option<(String, Stored<Issued>)>),
    ) -> Result<Order, Problem> {
        let records = &self.records;
        let mut edit = Edit::default();
        let mut fresh: Vec<Authorization> = Vec::new();
        let mut all_valid = true;
        for (named, ancestor) in asked {
            if let Some(proved) = self.proof(exchange, &signed.account.value, &named).await? {
                order.authorizations.push(proved.id);
                continue;
            }
            all_valid = false;
            let subdomains = ancestor.is_some();
            let wanted = match ancestor {
                Some(name) => Named { identifier: Identifier::Dns(name), wildcard: false },
                None => named,
            };
            if let Some(shared) = fresh.iter().find(|other| other.named == wanted && other.subdomains == subdomains) {
                order.authorizations.push(shared.id.clone());
                continue;
            }
            let has_persistent = !exchange.settings().caa_identities.is_empty();
            let id = (self.new_id()?, order.account.as_str());
            let mut authorization = Authorization::new(id, wanted, subdomains, order.expires, has_persistent)?;
            authorization.orders.push(order.id.clone());
            order.authorizations.push(authorization.id.clone());
            fresh.push(authorization);
        }
        order.authorizations.dedup();
        if all_valid {
            order.happen(OrderEvent::Authorized)?;
        }
        let ends = order.expires.checked_add(AFTERLIFE).unwrap_or(Timestamp::MAX);
        for authorization in &fresh {
            records.put_object(&mut edit, authorization, ends)?;
        }
        records.put_object(&mut edit, &order, ends)?;
        edit.put_expiring(&records.view, &open, &order.id, order.expires)?;
        if let Some((serial, mut issued)) = replaced {
            issued.value.replaced_by = Some(order.id.clone());
            records.replace(&mut edit, &issued_key(&serial), &issued)?;
        }
        records.commit(edit).await?;
        Ok(order)
    }

    /// A valid authorization of the account that covers the name.
    pub(crate) async fn proof(
        &self,
        exchange: &Exchange,
        account: &Account,
        named: &Named,
    ) -> Result<Option<Authorization>, Problem> {
        if self.knobs.reuse_rate.is_some_and(|rate| getrandom::u64().unwrap_or(0) % 100 >= u64::from(rate)) {
            return Ok(None);
        }
        let mut places = vec![format!("{}:{named}", named.identifier.kind())];
        if let (Identifier::Dns(name), true) = (&named.identifier, account.proved_below) {
            places.extend(ancestors(name).map(|above| format!("dns:{above}/below")));
        }
        for place in places {
            let Some(id) = self.records.read::<String>(&proof_key(&account.id, &place)).await? else { continue };
            let Some(found) = self.records.authorization(&account.id, &id.value).await? else { continue };
            let found = found.value.at(exchange.now);
            if found.status == AuthorizationStatus::Valid && found.covers(named) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

//! From a finalized order to its certificate. The order is `processing` in the same commit as the inventory's intent, and
//! `valid` in the same commit as the certificate, so that neither exists without the other. What fails for a moment (a
//! token that is away, a full queue) is tried again; only a refusal makes an order invalid.

use super::Errand;
use crate::{
    api::{
        new_account::UNCONFIRMED,
        new_order::{alternative_names, requester},
    },
    cache::Pending,
    challenge::ChallengeType,
    exchange::{Scope, door_role},
    identifier::{Identifier, Named},
    problem::{Problem, ProblemType},
    records::{Account, Order},
    server::AcmeServer,
    settings::Settings,
    star::{AutoRenewal, Period},
    state::{AuthorizationStatus, ChallengeStatus, OrderEvent, OrderStatus},
    storage::{AFTERLIFE, Edit, Issued, Records, Stored, WORK, issued_key, order_key, star_key},
    validation::Question,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::{
    CaError,
    csr::Csr,
    door::{DoorRole, NamedOrder},
    issuance::{Books, Certificate, Ledger},
    serial::SerialNumber,
    validity::{AskedValidity, MountTtl},
};
use chancery_store::{Changes, Sequence, StoreError};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// After this a certificate that could not be made is given up.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);

/// What a finalize that waits is told: how far it is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether the order is durably `processing`.
    pub(crate) recorded: bool,
    /// Why there will be no certificate by this request.
    pub(crate) refused: Option<Problem>,
}

/// The request of a finalize: as it came in base64url, and read.
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) csr: Csr,
}

/// Progress of one finalize, shared with its job.
pub(crate) type Shared = Arc<Mutex<Progress>>;

pub(crate) fn key(order: &Order) -> String {
    format!("issue.{}.{}", order.account, order.id)
}

/// The order's books.
struct OrderBooks<'a> {
    records: &'a Records,
    order: Mutex<Stored<Order>>,
    /// The commit that is under way.
    pending: Mutex<Pending>,
    progress: &'a Shared,
    issuer: String,
    now: Timestamp,
    /// Which certificate of an order that renews it.
    period: Option<Period>,
}

/// How an attempt ended.
enum Attempt {
    Done,
    Refused(Problem),
    Again(Problem),
}

impl Ledger for OrderBooks<'_> {
    fn intended(&self, serial: &SerialNumber) -> Result<Changes, StoreError> {
        let mut order = self.order.lock();
        let mut edit = Edit::default();
        if order.value.status == OrderStatus::Valid {
            // A renewal: until there is another, the certificate is the one before. Nothing is signed for an order that
            // was canceled.
            let place = order_key(&order.value.account, &order.value.id);
            edit.expect_version(&self.records.view, &place, order.version);
            return Ok(self.begin(edit));
        }
        let first = order.value.status.after(OrderEvent::Finalized);
        order.value.status = first.unwrap_or(order.value.status);
        order.value.serial = Some(serial.to_string());
        order.value.issuer = Some(self.issuer.clone());
        // A processing order does not end before its certificate is there or refused.
        order.expires_at = None;
        self.records.replace_object(&mut edit, &order)?;
        if first.is_some() {
            let (account, id) = (order.value.account.clone(), order.value.id.clone());
            let errand = Errand::Issue { account, order: id, since: self.now };
            edit.put(&self.records.view, &format!("{WORK}{}", key(&order.value)), &errand)?;
        }
        Ok(self.begin(edit))
    }

    fn recorded(&self, at: Sequence) {
        let mut order = self.order.lock();
        if order.value.status != OrderStatus::Valid {
            order.version = at.0;
        }
        drop(order);
        std::mem::take(&mut *self.pending.lock()).settle(at.0);
        self.progress.lock().recorded = true;
    }

    fn issued(&self, certificate: &Certificate) -> Result<Changes, StoreError> {
        let mut order = self.order.lock();
        let mut edit = Edit::default();
        let ends = certificate.validity().not_after;
        let forgotten = ends.checked_add(AFTERLIFE).unwrap_or(Timestamp::MAX);
        if order.value.status != OrderStatus::Valid {
            order.value.status = order.value.status.after(OrderEvent::Issued).ok_or(StoreError::Conflict)?;
            edit.delete(&self.records.view, &format!("{WORK}{}", key(&order.value)));
        }
        order.value.serial = Some(certificate.serial().to_string());
        order.value.issuer = Some(self.issuer.clone());
        order.value.certificate_ends = Some(ends);
        order.value.der = Some(certificate.der().to_vec());
        order.expires_at = Some(forgotten);
        if self.period.is_some() {
            self.turn(&mut order, &mut edit)?;
        } else {
            order.value.csr = None;
        }
        self.records.replace_object(&mut edit, &order)?;
        let (account, id) = (order.value.account.clone(), order.value.id.clone());
        let issued = Issued { account, order: id, replaced_by: None, renewed: self.period.is_some(), ends };
        edit.put_expiring(&self.records.view, &issued_key(&certificate.serial().to_string()), &issued, forgotten)?;
        Ok(self.begin(edit))
    }
}

impl OrderBooks<'_> {
    fn begin(&self, edit: Edit) -> Changes {
        let (changes, pending) = self.records.begin(edit);
        *self.pending.lock() = pending;
        changes
    }

    /// The order's next certificate becomes due, in the commit of this one.
    fn turn(&self, order: &mut Stored<Order>, changes: &mut Changes) -> Result<(), StoreError> {
        if let Some(before) = star_key(&order.value) {
            changes.delete(&self.records.view, &before);
        }
        let (Some(period), Some(renewal)) = (self.period, &mut order.value.auto_renewal) else { return Ok(()) };
        renewal.made(period);
        let end = renewal.end;
        // RFC 8739 §3.3: such an order expires at its end.
        order.value.expires = end;
        order.expires_at = order.expires_at.max(end.checked_add(AFTERLIFE).ok());
        if let Some(place) = star_key(&order.value) {
            changes.put(&self.records.view, &place, &())?;
        }
        Ok(())
    }
}

impl AcmeServer {
    /// Makes the certificate of an order behind the request. `asked` is the request where the order does not hold it yet.
    pub(crate) fn issue(
        self: &Arc<Self>,
        order: &Order,
        asked: Option<Asked>,
        mount: MountTtl,
    ) -> (watch::Receiver<bool>, Shared) {
        let progress = Shared::default();
        let shared = Arc::clone(&progress);
        let (account, id) = (order.account.clone(), order.id.clone());
        let done = self.run(&key(order), move |server| async move {
            let mut wait = Duration::from_millis(500);
            loop {
                match server.attempt((&account, &id, asked.as_ref()), mount, &shared).await {
                    Attempt::Done => return,
                    Attempt::Refused(problem) => return server.refuse((&account, &id), problem, &shared).await,
                    Attempt::Again(problem) if !shared.lock().recorded && asked.is_some() => {
                        // The client was told nothing yet; it may come again.
                        shared.lock().refused = Some(problem);
                        return;
                    }
                    Attempt::Again(problem) => {
                        tracing::warn!(order = id, %problem, "a certificate could not be made; trying again");
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
                }
            }
        });
        (done, progress)
    }

    async fn attempt(
        &self,
        (account, id, asked): (&str, &str, Option<&Asked>),
        mount: MountTtl,
        progress: &Shared,
    ) -> Attempt {
        let Ok(_permit) = self.work.issuances.acquire().await else { return Attempt::Done };
        let order = match self.records.order(account, id).await {
            Ok(Some(order)) => order,
            Ok(None) => return Attempt::Done,
            Err(error) => return Attempt::Again(error.into()),
        };
        match order.value.status {
            OrderStatus::Ready if asked.is_some() => {}
            OrderStatus::Processing => progress.lock().recorded = true,
            _ => return Attempt::Done,
        }
        match self.sign(order, asked, (mount, progress)).await {
            Ok(()) => Attempt::Done,
            Err(problem) if problem.status >= 500 => Attempt::Again(problem),
            Err(problem) => Attempt::Refused(problem),
        }
    }

    /// The road of all certificates, also of those that are renewed.
    pub(super) async fn sign(
        &self,
        mut order: Stored<Order>,
        asked: Option<&Asked>,
        (mount, progress): (MountTtl, &Shared),
    ) -> Result<(), Problem> {
        let configured = self.configured().await?;
        let now = self.now();
        if order.value.status == OrderStatus::Processing && now.duration_since(order.value.expires) > GIVEN_UP {
            return Err(Problem::malformed("the certificate could not be made in time"));
        }
        let scope = Scope::parse(&order.value.scope);
        let role = role_of(&order.value, &scope, &configured.settings)?;
        if let (OrderStatus::Ready, Some(asked)) = (order.value.status, asked) {
            order.value.csr = Some(asked.text.clone());
            let methods = self.check_authorizations(&order.value).await?;
            self.check_caa_records(&order.value, &methods, &configured.settings).await?;
            if let Some(renewal) = &mut order.value.auto_renewal {
                renewal.methods = methods;
            }
        }
        let refused = |error: CaError| Problem::from_authority(&error, ProblemType::BadCsr);
        let stored = if asked.is_some() { None } else { Some(stored_csr(&order.value)?) };
        let csr = asked.map(|asked| &asked.csr).or(stored.as_ref());
        let csr = csr.ok_or_else(|| ProblemType::BadCsr.because("the request is gone"))?;
        let role = door_role(role.as_deref());
        let issuer = self.authority.door_issuer(role, scope.issuer.as_deref()).await.map_err(refused)?;
        let names = alternative_names(order.value.names.iter());
        let period = match &order.value.auto_renewal {
            Some(renewal) => Some(self.period(renewal, (role, mount)).await?),
            None => None,
        };
        let (not_before, not_after) = match &period {
            Some(period) => (period.not_before, Some(period.not_after)),
            None => (order.value.not_before, order.value.not_after),
        };
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let validity = AskedValidity { ttl: 0, not_after: time(not_after), not_before: time(not_before) };
        let account = order.value.account.clone();
        let (records, order) = (&self.records, Mutex::new(order));
        let pending = Mutex::default();
        let books = OrderBooks { records, order, pending, progress, issuer: issuer.clone(), now, period };
        let named = NamedOrder {
            role,
            issuer: Some(&issuer),
            csr,
            names: &names,
            validity: &validity,
            requester: &requester(&account),
            mount,
            keeps_purposes: configured.settings.allow_role_ext_key_usage,
            ledger: Some(Books(&books)),
        };
        let issued = self.authority.issue_named(named).await.map_err(refused)?;
        self.confirm(&account, issued.certificate.validity().not_after).await;
        Ok(())
    }

    /// Which certificate is to be made. Its times are stated, so that no `max_ttl` bounds them on the road: it is asked here,
    /// each time anew.
    async fn period(&self, renewal: &AutoRenewal, (role, mount): (DoorRole<'_>, MountTtl)) -> Result<Period, Problem> {
        let longest = self.authority.longest_life(role, mount).await;
        let longest = longest.map_err(|error| Problem::from_authority(&error, ProblemType::Malformed))?;
        if u64::try_from(renewal.longest_life()).is_ok_and(|life| life > longest) {
            let life = renewal.longest_life();
            let detail = format!("certificates of this order live {life} seconds, but {longest} are allowed now");
            return Err(Problem::malformed(detail));
        }
        renewal.period(self.now()).ok_or_else(|| Problem::malformed("the order's end-date is past"))
    }

    /// Authorizations may have been given up, or have run out, since the order became ready. By what control of each name
    /// was shown.
    async fn check_authorizations(&self, order: &Order) -> Result<Vec<Option<ChallengeType>>, Problem> {
        let mut ways = Vec::new();
        for id in &order.authorizations {
            let found = self.records.authorization(&order.account, id).await?;
            let found = found.map(|found| found.value.at(self.now()));
            let Some(found) = found.filter(|found| found.status == AuthorizationStatus::Valid) else {
                return Err(ProblemType::Unauthorized.because("an authorization of the order is not valid any more"));
            };
            let shown = found.challenges.iter().find(|challenge| challenge.status == ChallengeStatus::Valid);
            ways.push((shown.map(|challenge| challenge.kind), found));
        }
        let way = |named: &Named| ways.iter().find(|(_, found)| found.covers(named)).and_then(|(way, _)| *way);
        Ok(order.names.iter().map(way).collect())
    }

    /// CAA records may have changed: RFC 8659 §3 is about the moment of issuance.
    pub(super) async fn check_caa_records(
        &self,
        order: &Order,
        methods: &[Option<ChallengeType>],
        settings: &Settings,
    ) -> Result<(), Problem> {
        if settings.caa_identities.is_empty() {
            return Ok(());
        }
        let cluster = self.authority.cluster_path().await.map_err(|error| Problem::internal(&error))?;
        let account_url = format!("{cluster}/{}acme/account/{}", order.scope, order.account);
        let mut forbidden = Vec::new();
        for (named, way) in order.names.iter().zip(methods.iter().copied().chain(std::iter::repeat(None))) {
            if let Err(problem) = self.check_caa(named, way, &account_url).await? {
                forbidden.push(problem);
            }
        }
        if forbidden.is_empty() {
            return Ok(());
        }
        Err(Problem::of_parts("CAA records forbid this certificate", forbidden))
    }

    async fn check_caa(
        &self,
        named: &Named,
        way: Option<ChallengeType>,
        account_url: &str,
    ) -> Result<Result<(), Problem>, Problem> {
        if !matches!(named.identifier, Identifier::Dns(_)) {
            return Ok(Ok(()));
        }
        let question = Question {
            challenge: way.unwrap_or(ChallengeType::Dns01),
            identifier: &named.identifier,
            wildcard: named.wildcard,
            token: "",
            key_authorization: "",
            account_url,
        };
        match self.configured().await?.validator.caa(&question).await {
            Ok(()) => Ok(Ok(())),
            // Nobody is refused for a DNS server that is away: the client may come again.
            Err(failure) if failure.transient => Err(Problem { detail: failure.problem.detail, ..Problem::busy() }),
            Err(failure) => {
                let written = named.written();
                Ok(Err(failure.problem.about(&written.kind, &written.value)))
            }
        }
    }

    /// There will be no certificate. An order whose request alone is wrong stays ready for another one.
    async fn refuse(&self, (account, id): (&str, &str), problem: Problem, progress: &Shared) {
        let refuse = || async {
            let mut edit = Edit::default();
            let Some(mut order) = self.records.order(account, id).await? else { return Ok((edit, ())) };
            if order.value.status == OrderStatus::Processing
                && let Some(status) = order.value.status.after(OrderEvent::Refused)
            {
                order.value.status = status;
                order.value.error = Some(problem.clone());
                order.expires_at = self.now().checked_add(AFTERLIFE).ok();
                self.records.replace_object(&mut edit, &order)?;
                edit.delete(&self.records.view, &format!("{WORK}{}", key(&order.value)));
            }
            Ok::<_, Problem>((edit, ()))
        };
        if let Err(error) = self.records.transact("refuse order", refuse).await {
            tracing::warn!(order = id, %error, "an order that was refused could not be written; it is looked at again");
        }
        progress.lock().refused = Some(problem);
    }

    /// The account got a certificate: it is not forgotten before that has ended, and a while longer. Written at most once a
    /// day, and the certificate does not wait for it.
    async fn confirm(&self, account: &str, ends: Timestamp) {
        let until = ends.checked_add(UNCONFIRMED).unwrap_or(Timestamp::MAX);
        let lasts = |found: &Stored<Account>| {
            found.expires_at.is_none_or(|end| until.duration_since(end) < SignedDuration::from_hours(24))
        };
        // Nearly always, and then there is nothing to commit.
        if matches!(self.records.account(account).await, Ok(Some(found)) if lasts(&found)) {
            return;
        }
        let confirm = || async {
            let mut edit = Edit::default();
            let Some(mut found) = self.records.account(account).await? else { return Ok((edit, ())) };
            if !lasts(&found) {
                found.value.has_certificates = true;
                found.expires_at = Some(until);
                let thumbprint = found.value.key.thumbprint();
                self.records.replace_object(&mut edit, &found)?;
                let place = crate::storage::key_key(&found.value.scope, &thumbprint);
                edit.put_expiring(&self.records.view, &place, &found.value.id, until)?;
            }
            Ok::<_, Problem>((edit, ()))
        };
        if let Err(error) = self.records.transact("confirm account", confirm).await {
            tracing::warn!(account, %error, "the certificate of an account was not noted with the account");
        }
    }
}

/// The request an order holds.
fn stored_csr(order: &Order) -> Result<Csr, Problem> {
    let text = order.csr.as_deref().unwrap_or_default();
    let der = URL_SAFE_NO_PAD.decode(text).map_err(|_| ProblemType::BadCsr.because("the request is gone"))?;
    Csr::from_der(&der).map_err(|error| Problem::from_authority(&error, ProblemType::BadCsr))
}

/// The role the order is certified by.
fn role_of(order: &Order, scope: &Scope, settings: &Settings) -> Result<Option<String>, Problem> {
    match &order.profile {
        Some(profile) => Ok(Some(profile.clone())),
        None => Ok(scope.role(settings)?.map(str::to_owned)),
    }
}

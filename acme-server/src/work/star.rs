//! Renewing certificates that renew themselves (RFC 8739). What is due stands in an index by time, `star/<time>…`, whose
//! entry moves on in the commit of the certificate: after a crash it is still there, and is looked at again.

use super::issuance::Shared;
use crate::{
    exchange::Scope,
    problem::{Problem, ProblemType},
    records::Order,
    server::AcmeServer,
    settings::Settings,
    state::{AccountStatus, OrderEvent, OrderStatus},
    storage::{AFTERLIFE, Edit, STAR, star_key, star_parts},
};
use chancery_ca::{serial::SerialNumber, validity::MountTtl};
use chancery_store::{Changes, Page};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use std::sync::Arc;

/// Renewals under way at once; clients that wait for a certificate have the rest.
const CONCURRENT: usize = 16;

/// Entries of the index read in one go.
const PAGE: usize = 500;

impl AcmeServer {
    /// Renews behind the tick what is due.
    pub(crate) fn renew_due(self: &Arc<Self>, mount: MountTtl) {
        self.run("star", move |server| async move {
            if let Err(problem) = server.walk_due(mount).await {
                tracing::warn!(%problem, "what is due to be renewed could not be read; it is looked at again");
            }
        });
    }

    async fn walk_due(&self, mount: MountTtl) -> Result<(), Problem> {
        let now = self.now();
        let mut after = None;
        loop {
            let mut names = self.records.view.list(STAR, Page { after, limit: Some(PAGE) }).await?;
            names.retain(|name| star_parts(name).is_none_or(|(due, ..)| due <= now.as_second()));
            stream::iter(&names).for_each_concurrent(CONCURRENT, |name| self.renew(name, mount)).await;
            if names.len() < PAGE {
                return Ok(());
            }
            after = names.pop();
        }
    }

    /// Renews one. What fails for a moment stays due; a refusal ends the order.
    async fn renew(&self, name: &str, mount: MountTtl) {
        let outcome = match self.try_renew(name, mount).await {
            Err(problem) if problem.status < 500 => self.end_renewal(name, &problem).await,
            outcome => outcome,
        };
        if let Err(problem) = outcome {
            tracing::warn!(renewal = name, %problem, "a certificate could not be renewed; trying again");
        }
    }

    async fn try_renew(&self, name: &str, mount: MountTtl) -> Result<(), Problem> {
        let Ok(_permit) = self.work.issuances.acquire().await else { return Ok(()) };
        let found = match star_parts(name) {
            Some((_, account, id)) => self.records.order(account, id).await?,
            None => None,
        };
        let is_due = |order: &Order| {
            let due = order.auto_renewal.as_ref().is_some_and(|renewal| self.now() < renewal.end);
            due && order.status == OrderStatus::Valid
                && star_key(order).is_some_and(|key| key == format!("{STAR}{name}"))
        };
        let Some(order) = found.filter(|found| is_due(&found.value)) else {
            let mut changes = Changes::default();
            changes.delete(&self.records.view, &format!("{STAR}{name}"));
            return self.records.store.commit(changes).await.map(|_| ()).map_err(Problem::from);
        };
        let configured = self.configured().await?;
        // Where ACME is off for a while, nothing is renewed meanwhile.
        if !configured.settings.enabled {
            return Ok(());
        }
        self.check_renewal(&order.value, &configured.settings).await?;
        self.sign(order, None, (mount, &Shared::default())).await?;
        tracing::info!(renewal = name, "a certificate was renewed");
        Ok(())
    }

    /// Whether what held when the order was made still holds. The authorizations do not count any more: they are about the
    /// order (RFC 8739 §1), whose end is bounded.
    async fn check_renewal(&self, order: &Order, settings: &Settings) -> Result<(), Problem> {
        let account = self.records.account(&order.account).await?;
        if account.is_none_or(|account| account.value.status != AccountStatus::Valid) {
            return Err(ProblemType::Unauthorized.because("the account of the order is not valid any more"));
        }
        self.check_scope(&Scope::parse(&order.scope), settings).await?;
        if let Some(profile) = order.profile.as_deref().filter(|profile| !settings.allows_role(profile)) {
            return Err(ProblemType::InvalidProfile.because(format!("the role {profile} is not served by ACME")));
        }
        // Whoever revoked it does not want another one for the same key.
        if let Some(serial) = order.serial.as_deref().and_then(SerialNumber::parse) {
            let row = self.authority.door_certificate(&serial).await.map_err(|error| Problem::internal(&error))?;
            if row.is_some_and(|row| row.revocation.is_some()) {
                return Err(ProblemType::AlreadyRevoked.because("the certificate was revoked, so it is not renewed"));
            }
        }
        let methods = order.auto_renewal.as_ref().map(|renewal| renewal.methods.as_slice()).unwrap_or_default();
        self.check_caa_records(order, methods, settings).await
    }

    async fn end_renewal(&self, name: &str, problem: &Problem) -> Result<(), Problem> {
        let Some((_, account, id)) = star_parts(name) else { return Ok(()) };
        tracing::warn!(renewal = name, %problem, "a certificate is not renewed any more");
        self.stop_renewal((account, id), (OrderEvent::RenewalRefused, problem.clone())).await.map(|_| ())
    }

    /// Ends the renewal of an order; the reason is noted with it unless it is the client's own. The order as it is then.
    pub(crate) async fn stop_renewal(
        &self,
        (account, id): (&str, &str),
        (event, why): (OrderEvent, Problem),
    ) -> Result<Option<Order>, Problem> {
        let why = &why;
        let stop = || async move {
            let mut edit = Edit::default();
            let Some(mut order) = self.records.order(account, id).await? else { return Ok((edit, None)) };
            let after = order.value.status.after(event).filter(|_| order.value.auto_renewal.is_some());
            let Some(status) = after else { return Ok((edit, None)) };
            if let Some(key) = star_key(&order.value) {
                edit.delete(&self.records.view, &key);
            }
            order.value.status = status;
            order.value.error = (event == OrderEvent::RenewalRefused).then(|| why.clone());
            order.value.csr = None;
            order.value.expires = self.now();
            if let Some(renewal) = &mut order.value.auto_renewal {
                renewal.due = None;
            }
            let kept = order.value.certificate_ends.unwrap_or(Timestamp::MIN).max(self.now());
            order.expires_at = kept.checked_add(AFTERLIFE).ok();
            self.records.replace_object(&mut edit, &order)?;
            Ok::<_, Problem>((edit, Some(order.value)))
        };
        self.records.transact("stop renewal", stop).await
    }
}

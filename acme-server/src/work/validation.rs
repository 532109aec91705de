//! Looking into a challenge: as often as it takes, and what came of it in one commit with the orders that wait for it.

use super::Errand;
use crate::{
    api::new_order::proof_name,
    challenge::{ChallengeType, key_authorization},
    problem::{Problem, ProblemType},
    records::Authorization,
    server::AcmeServer,
    state::{AuthorizationEvent, AuthorizationStatus, ChallengeEvent, OrderEvent},
    storage::{AFTERLIFE, Edit, Stored, WORK, proof_key},
    validation::Question,
};
use chancery_store::Changes;
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Waits before looking again, where something was away that may come back.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6), Duration::from_secs(12)];

/// Which challenge: account, authorization, type.
pub(super) type Which<'a> = (&'a str, &'a str, ChallengeType);

pub(super) fn key((account, authorization, kind): Which<'_>) -> String {
    format!("{}{authorization}.{kind}", of_account(account))
}

/// How the names of all errands of an account's challenges begin.
pub(super) fn of_account(account: &str) -> String {
    format!("validate.{account}.")
}

impl AcmeServer {
    /// Looks into a challenge behind the request.
    pub(crate) fn validate(self: &Arc<Self>, which: Which<'_>, account_url: String) -> watch::Receiver<bool> {
        let (account, authorization, kind) = (which.0.to_owned(), which.1.to_owned(), which.2);
        self.run(&key(which), move |server| async move {
            let which = (account.as_str(), authorization.as_str(), kind);
            if let Err(problem) = server.look(which, &account_url).await {
                tracing::warn!(%problem, authorization, "a challenge could not be looked into; it is tried again later");
            }
        })
    }

    /// Writes down that a challenge is to be looked into.
    pub(crate) fn note_validation(
        &self,
        changes: &mut Changes,
        which: Which<'_>,
        account_url: String,
    ) -> Result<(), Problem> {
        let (account, authorization, kind) = which;
        let errand = Errand::Validate {
            account: account.to_owned(),
            authorization: authorization.to_owned(),
            kind,
            account_url,
            since: self.now(),
        };
        changes.put(&self.records.view, &format!("{WORK}{}", key(which)), &errand)?;
        Ok(())
    }

    async fn look(&self, which: Which<'_>, account_url: &str) -> Result<(), Problem> {
        let (account, authorization, kind) = which;
        let Some(holder) = self.records.account(account).await? else { return Ok(()) };
        let thumbprint = holder.value.key.thumbprint();
        let mut waits = WAITS.iter();
        loop {
            let Some(found) = self.records.authorization(account, authorization).await? else { return Ok(()) };
            let Some(challenge) = found.value.challenge(kind).cloned() else { return Ok(()) };
            if found.value.status != AuthorizationStatus::Pending {
                let mut changes = Changes::default();
                changes.delete(&self.records.view, &format!("{WORK}{}", key(which)));
                return self.records.store.commit(changes).await.map(|_| ()).map_err(Problem::from);
            }
            let question = Question {
                challenge: kind,
                identifier: &found.value.named.identifier,
                wildcard: found.value.named.wildcard,
                token: &challenge.token,
                key_authorization: &key_authorization(&challenge.token, &thumbprint),
                account_url,
            };
            let outcome = {
                let Ok(_permit) = self.work.validations.acquire().await else { return Ok(()) };
                tokio::time::sleep(self.knobs.validation_delay).await;
                self.configured().await?.validator.validate(&question).await
            };
            match outcome {
                Ok(()) => return self.settle(which, Ok(())).await,
                Err(failure) => match waits.next().filter(|_| failure.transient) {
                    Some(wait) => tokio::time::sleep(*wait).await,
                    None => return self.settle(which, Err(failure.problem)).await,
                },
            }
        }
    }

    /// Commits what was found: the challenge, its authorization, and every order that waits for it, at once.
    async fn settle(&self, which: Which<'_>, outcome: Result<(), Problem>) -> Result<(), Problem> {
        let lifetime = i64::try_from(self.configured().await?.settings.authorization_lifetime).unwrap_or(0);
        let outcome = &outcome;
        let settle = || async move {
            let (account, id, kind) = which;
            let mut edit = Edit::default();
            edit.delete(&self.records.view, &format!("{WORK}{}", key(which)));
            let Some(mut found) = self.records.authorization(account, id).await? else { return Ok((edit, ())) };
            let now = self.now();
            let authorization = &mut found.value;
            let event = if outcome.is_ok() { ChallengeEvent::Shown } else { ChallengeEvent::Failed };
            let before = authorization.clone();
            let Some(challenge) = authorization.challenge_mut(kind) else { return Ok((edit, ())) };
            let Some(status) = challenge.status.after(event) else { return Ok((edit, ())) };
            challenge.status = status;
            if let Err(problem) = outcome {
                let named = before.named.written();
                challenge.error = Some(problem.clone().about(&named.kind, &named.value));
                if authorization.happen(AuthorizationEvent::Failed) {
                    let lost = challenge_failed(&before, kind, problem);
                    self.end_orders(&mut edit, &before, (OrderEvent::AuthorizationLost, &lost)).await?;
                }
            } else {
                challenge.validated = Some(now);
                if authorization.happen(AuthorizationEvent::Shown) {
                    // What was shown once is not shown for ever, and lasts at least as long as the orders that wait for it.
                    let lasts = now.checked_add(SignedDuration::from_secs(lifetime)).unwrap_or(Timestamp::MAX);
                    authorization.expires = lasts.max(authorization.expires);
                    found.expires_at = found.value.expires.checked_add(AFTERLIFE).ok();
                    self.remember(&mut edit, (&found, kind)).await?;
                    self.ready_orders(&mut edit, &found.value).await?;
                }
            }
            self.records.replace_object(&mut edit, &found)?;
            Ok::<_, Problem>((edit, ()))
        };
        self.records.transact("challenge outcome", settle).await
    }

    /// Puts a valid authorization where further orders look for it.
    async fn remember(
        &self,
        edit: &mut Edit,
        (found, kind): (&Stored<Authorization>, ChallengeType),
    ) -> Result<(), Problem> {
        // A record that stays in the DNS is looked at each time, so that removing it has an effect.
        if kind == ChallengeType::DnsPersist01 {
            return Ok(());
        }
        let authorization = &found.value;
        let place = proof_key(&authorization.account, &proof_name(authorization));
        edit.put_expiring(&self.records.view, &place, &authorization.id, authorization.expires)?;
        if authorization.subdomains {
            let holder = self.records.account(&authorization.account).await?;
            if let Some(mut holder) = holder.filter(|holder| !holder.value.proved_below) {
                holder.value.proved_below = true;
                self.records.replace_object(edit, &holder)?;
            }
        }
        Ok(())
    }

    /// Makes orders ready whose last authorization this was.
    async fn ready_orders(&self, edit: &mut Edit, shown: &Authorization) -> Result<(), Problem> {
        for id in &shown.orders {
            let Some(mut order) = self.records.order(&shown.account, id).await? else { continue };
            let Some(status) = order.value.status.after(OrderEvent::Authorized) else { continue };
            let mut complete = true;
            for other in order.value.authorizations.iter().filter(|other| **other != shown.id) {
                let other = self.records.authorization(&shown.account, other).await?;
                let valid = other
                    .as_ref()
                    .is_some_and(|other| other.value.clone().at(self.now()).status == AuthorizationStatus::Valid);
                if let Some(other) = other {
                    // Two that become valid at the same time must not each see the other pending.
                    let place = crate::storage::authorization_key(&shown.account, &other.value.id);
                    edit.expect_version(&self.records.view, &place, other.version);
                }
                complete &= valid;
            }
            if complete {
                order.value.status = status;
                self.records.replace_object(edit, &order)?;
            }
        }
        Ok(())
    }
}

fn challenge_failed(authorization: &Authorization, kind: ChallengeType, problem: &Problem) -> Problem {
    let named = authorization.named.written();
    let part = problem.clone().about(&named.kind, &named.value);
    let detail = format!("control of {} was not shown by {kind}: {}", authorization.named, problem.detail);
    Problem { subproblems: vec![part], ..ProblemType::Unauthorized.because(detail) }
}

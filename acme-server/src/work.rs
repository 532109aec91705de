//! What goes on behind requests: looking into challenges and having certificates signed, by a bounded number of workers.
//! What is under way is written down before anybody is told of it, and goes on after a restart.

pub(crate) mod issuance;
mod star;
mod validation;

use crate::{problem::Problem, records::Order, server::AcmeServer, state::OrderStatus, storage::WORK};
use chancery_ca::validity::MountTtl;
use chancery_store::{Changes, Page, StoreError};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};

/// Challenges looked into at once.
const VALIDATIONS: usize = 64;

/// Certificates being made at once; the HSM has a queue of its own behind it.
const ISSUANCES: usize = 64;

/// Where servers share the database, each says this often what it is still at. What is done sooner is never spoken for.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// What no server has spoken for in so long is taken over: its server died. Should it live all the same, both work on it,
/// and the commit of the second is a conflict: no order gets two certificates.
const GIVEN_UP: SignedDuration = SignedDuration::from_secs(30);

/// Records of work read in one go.
const PAGE: usize = 1000;

/// Work of one mount.
#[derive(Debug)]
pub(crate) struct Work {
    validations: Semaphore,
    issuances: Semaphore,
    running: Mutex<HashMap<String, watch::Receiver<bool>>>,
}

/// What is written down of work, under `work/<kind>.<account>.<id>`. `since` is when its server last spoke for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Errand {
    /// A challenge to look into.
    Validate {
        account: String,
        authorization: String,
        kind: crate::challenge::ChallengeType,
        account_url: String,
        since: Timestamp,
    },
    /// An order to get its certificate.
    Issue { account: String, order: String, since: Timestamp },
}

impl Errand {
    fn since(&mut self) -> &mut Timestamp {
        match self {
            Self::Validate { since, .. } | Self::Issue { since, .. } => since,
        }
    }
}

impl Default for Work {
    fn default() -> Self {
        Self {
            validations: Semaphore::new(VALIDATIONS),
            issuances: Semaphore::new(ISSUANCES),
            running: Mutex::default(),
        }
    }
}

/// Takes the job off the list when it ends, however it ends.
struct Turn {
    server: Arc<AcmeServer>,
    key: String,
    done: watch::Sender<bool>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.server.work.running.lock().remove(&self.key);
        // Nobody may be waiting.
        let _unheard = self.done.send(true);
    }
}

impl AcmeServer {
    /// Runs a job behind the request, unless it is running already; the receiver turns true at its end.
    fn run<F>(self: &Arc<Self>, key: &str, job: impl FnOnce(Arc<Self>) -> F) -> watch::Receiver<bool>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = self.work.running.lock();
        if let Some(done) = running.get(key) {
            return done.clone();
        }
        let (done, receiver) = watch::channel(false);
        running.insert(key.to_owned(), receiver.clone());
        drop(running);
        let turn = Turn { server: Arc::clone(self), key: key.to_owned(), done };
        let job = job(Arc::clone(self));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = job => {}
                () = turn.server.speak_for(&turn.key) => {}
            }
            drop(turn);
        });
        receiver
    }

    /// The job under this key, where one is running.
    pub(crate) fn running(&self, key: &str) -> Option<watch::Receiver<bool>> {
        self.work.running.lock().get(key).cloned()
    }

    /// Never ends: as long as it is polled, other servers see that somebody is at the job.
    async fn speak_for(&self, name: &str) {
        if !self.records.store.is_shared() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(SIGN_OF_LIFE).await;
            match self.speak(name).await {
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => tracing::warn!(errand = name, %error, "other servers are not told who is at it"),
            }
        }
    }

    async fn speak(&self, name: &str) -> Result<(), StoreError> {
        let place = format!("{WORK}{name}");
        let Some(mut errand) = self.records.read::<Errand>(&place).await? else { return Ok(()) };
        *errand.value.since() = self.now();
        let mut changes = Changes::default();
        self.records.replace(&mut changes, &place, &errand)?;
        self.records.store.commit(changes).await.map(|_| ())
    }

    /// Goes on, behind the caller, with all that is under way and that nobody works on.
    pub(crate) fn resume(self: &Arc<Self>, mount: MountTtl) {
        self.run("resume", move |server| async move {
            if let Err(problem) = server.walk_errands(mount).await {
                tracing::warn!(%problem, "what is under way could not be read; it is looked at again");
            }
        });
    }

    async fn walk_errands(self: &Arc<Self>, mount: MountTtl) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let mut names = self.records.view.list(WORK, Page { after, limit: Some(PAGE) }).await?;
            for name in &names {
                if let Err(problem) = self.resume_errand(name, mount).await {
                    tracing::warn!(errand = name, %problem, "an errand could not be resumed; it is looked at again");
                }
            }
            if names.len() < PAGE {
                return Ok(());
            }
            after = names.pop();
        }
    }

    async fn resume_errand(self: &Arc<Self>, name: &str, mount: MountTtl) -> Result<(), Problem> {
        match self.abandoned(name).await? {
            Some(Errand::Validate { account, authorization, kind, account_url, .. }) => {
                self.validate((&account, &authorization, kind), account_url);
            }
            Some(Errand::Issue { account, order, .. }) => {
                if let Some(order) = self.records.order(&account, &order).await?
                    && order.value.status == OrderStatus::Processing
                {
                    self.issue(&order.value, None, mount);
                }
            }
            None => {}
        }
        Ok(())
    }

    /// The errand, where it is there and nobody is at it: neither this process nor another server.
    async fn abandoned(&self, name: &str) -> Result<Option<Errand>, StoreError> {
        if self.running(name).is_some() {
            return Ok(None);
        }
        let errand = self.records.read::<Errand>(&format!("{WORK}{name}")).await?;
        let Some(mut errand) = errand.map(|errand| errand.value) else { return Ok(None) };
        let is_spoken_for = self.now().duration_since(*errand.since()) < GIVEN_UP;
        Ok((!(self.records.store.is_shared() && is_spoken_for)).then_some(errand))
    }

    /// Goes on with an order that is being signed and that nobody works on.
    pub(crate) async fn resume_order(self: &Arc<Self>, order: &Order, mount: MountTtl) {
        if order.status == OrderStatus::Processing {
            self.resume_by_name(&issuance::key(order), mount).await;
        }
    }

    /// Goes on with a challenge that is being looked into and that nobody works on.
    pub(crate) async fn resume_challenge(self: &Arc<Self>, which: validation::Which<'_>, mount: MountTtl) {
        self.resume_by_name(&validation::key(which), mount).await;
    }

    /// Goes on with an order's challenges that another server was looking into and does not any more.
    pub(crate) async fn resume_challenges(self: &Arc<Self>, order: &Order, mount: MountTtl) -> Result<(), Problem> {
        if order.status != OrderStatus::Pending || !self.records.store.is_shared() {
            return Ok(());
        }
        let of_account = validation::of_account(&order.account);
        let page = Page { after: Some(of_account.clone()), limit: Some(PAGE) };
        for name in self.records.view.list(WORK, page).await? {
            let Some(rest) = name.strip_prefix(&of_account) else { break };
            if order.authorizations.iter().any(|id| rest.starts_with(id.as_str())) {
                self.resume_by_name(&name, mount).await;
            }
        }
        Ok(())
    }

    async fn resume_by_name(self: &Arc<Self>, name: &str, mount: MountTtl) {
        if let Err(problem) = self.resume_errand(name, mount).await {
            tracing::warn!(errand = name, %problem, "an errand could not be resumed; it is looked at again");
        }
    }
}

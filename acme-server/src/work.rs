//! What goes on behind requests: looking into challenges and having certificates signed, by a bounded number of workers.
//! What is under way is written down before anybody is told of it, and goes on after a restart.

mod issuance;
mod star;
mod validation;

use crate::{problem::Problem, records::Order, server::AcmeServer, state::OrderStatus, storage::WORK};
use chancery_ca::validity::MountTtl;
use chancery_store::Page;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Semaphore, watch};

/// Challenges looked into at once.
const VALIDATIONS: usize = 64;

/// Certificates being made at once; the HSM has a queue of its own behind it.
const ISSUANCES: usize = 64;

/// Work of another server on the same database counts as given up after this.
const GIVEN_UP: SignedDuration = SignedDuration::from_mins(5);

/// Records of work looked at in one go.
const MOST_RESUMED: usize = 1000;

/// Work of one mount.
#[derive(Debug)]
pub(crate) struct Work {
    validations: Semaphore,
    issuances: Semaphore,
    running: Mutex<HashMap<String, watch::Receiver<bool>>>,
}

/// What is written down of work, under `work/<kind>.<account>.<id>`.
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
            let _turn = turn;
            job.await;
        });
        receiver
    }

    /// The job under this key, where one is running.
    pub(crate) fn running(&self, key: &str) -> Option<watch::Receiver<bool>> {
        self.work.running.lock().get(key).cloned()
    }

    /// Goes on with what was under way when the server stopped.
    pub(crate) async fn resume(self: &Arc<Self>, mount: MountTtl) -> Result<(), Problem> {
        let page = Page { after: None, limit: Some(MOST_RESUMED) };
        for name in self.records.view.list(WORK, page).await? {
            if self.running(&name).is_some() {
                continue;
            }
            let Some(errand) = self.records.read::<Errand>(&format!("{WORK}{name}")).await? else { continue };
            let since = match &errand.value {
                Errand::Validate { since, .. } | Errand::Issue { since, .. } => *since,
            };
            // Where several servers share the database, another one may be at it.
            if self.records.store.is_shared() && self.now().duration_since(since) < GIVEN_UP {
                continue;
            }
            match errand.value {
                Errand::Validate { account, authorization, kind, account_url, .. } => {
                    self.validate((&account, &authorization, kind), account_url);
                }
                Errand::Issue { account, order, .. } => {
                    if let Some(order) = self.records.order(&account, &order).await? {
                        self.resume_order(&order.value, mount).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes on with an order that is being signed and that nobody works on.
    pub(crate) async fn resume_order(self: &Arc<Self>, order: &Order, mount: MountTtl) {
        if order.status == OrderStatus::Processing && !self.records.store.is_shared() {
            self.issue(order, String::new(), mount);
        } else if order.status == OrderStatus::Processing {
            let key = format!("{WORK}{}", issuance::key(order));
            let errand = self.records.read::<Errand>(&key).await.ok().flatten();
            let since = match errand.map(|errand| errand.value) {
                Some(Errand::Issue { since, .. } | Errand::Validate { since, .. }) => since,
                None => order.created_at,
            };
            if self.now().duration_since(since) >= GIVEN_UP {
                self.issue(order, String::new(), mount);
            }
        }
    }
}

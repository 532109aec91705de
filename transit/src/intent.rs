//! Objects that are being made in the token and that no version refers to yet.
//!
//! Between the making of an object and the commit that records it the process may die, and the object would stay in the
//! token, unknown to everybody. So its label is announced first, at `intent/<ticket>`; the commit that records the object
//! takes the announcement away, and the tick destroys what was announced [`PATIENCE`] ago and never recorded. A commit
//! that comes too late fails, because its announcement is gone.

use crate::{error::TransitError, key::KeyRecord, key_type::Protection, transit::Transit, version::VersionRecord};
use chancery_store::{Changes, View};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long the making of an object may take.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// Announcements that one tick looks at.
const AT_ONCE: usize = 100;

/// Characters of a key's name that go into the label of its objects.
const NAME_CHARACTERS: usize = 31;

/// What is stored of objects to be made.
#[derive(Debug, Serialize, Deserialize)]
struct Announced {
    /// What the labels of the objects have behind `transit/`.
    stem: String,
}

/// An announcement, for the commit that fulfils it.
pub(crate) struct Intent {
    view: View,
    ticket: String,
    entry_version: u64,
}

/// Material of a new version that is not recorded yet.
pub(crate) struct NewVersion {
    pub(crate) version: VersionRecord,
    intent: Option<Intent>,
}

impl NewVersion {
    /// Takes the announcement away together with the changes that record the version.
    pub(crate) fn fulfil(&self, changes: &mut Changes) {
        if let Some(Intent { view, ticket, entry_version }) = &self.intent {
            changes.expect_version(view, ticket, *entry_version);
            changes.delete(view, ticket);
        }
    }
}

impl Transit {
    /// Makes the material of a new version, announced where it is made in the token.
    pub(crate) async fn generate(&self, name: &str, record: &KeyRecord) -> Result<NewVersion, TransitError> {
        let now = self.now();
        if record.protection != Protection::Hsm {
            let version = VersionRecord::generate(name, record, None, now).await?;
            return Ok(NewVersion { version, intent: None });
        }
        let (intent, stem) = self.announce(name, now).await?;
        match VersionRecord::generate(&stem, record, self.hsm.as_ref(), now).await {
            Ok(version) => Ok(NewVersion { version, intent: Some(intent) }),
            Err(error) => {
                self.withdraw(&intent).await;
                Err(error)
            }
        }
    }

    /// Destroys the objects of a version that was certainly not recorded.
    pub(crate) async fn discard(&self, new: &NewVersion) {
        self.destroy_all(new.version.objects()).await;
        if let Some(intent) = &new.intent {
            self.withdraw(intent).await;
        }
    }

    async fn announce(&self, name: &str, now: Timestamp) -> Result<(Intent, String), TransitError> {
        let mut random = [0; 4];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| TransitError::Random)?;
        let ticket = format!("{:08x}", u32::from_be_bytes(random));
        let stem = format!("{}/{ticket}", name.chars().take(NAME_CHARACTERS).collect::<String>());
        let view = self.storage.view("intent/");
        let mut changes = Changes::default();
        let expires_at = now.checked_add(PATIENCE).unwrap_or(now);
        changes.create_expiring(&view, &ticket, &Announced { stem: stem.clone() }, expires_at)?;
        let entry_version = self.storage.store().commit(changes).await?.0;
        Ok((Intent { view, ticket, entry_version }, stem))
    }

    /// A failure leaves the announcement to the tick, which finds nothing of its label then.
    async fn withdraw(&self, intent: &Intent) {
        let mut changes = Changes::default();
        changes.delete(&intent.view, &intent.ticket);
        if let Err(error) = self.storage.store().commit(changes).await {
            tracing::debug!(%error, "an announcement stays until it expires");
        }
    }

    /// Destroys what was announced long ago and never recorded.
    pub(crate) async fn destroy_orphans(&self, now: Timestamp) -> Result<(), TransitError> {
        let view = self.storage.view("intent/");
        let overdue = view.expired(now, AT_ONCE).await?;
        let Some(hsm) = self.hsm.as_ref().filter(|_| !overdue.is_empty()) else { return Ok(()) };
        let objects = hsm.list().await?;
        for ticket in overdue {
            let Some(entry) = view.read(&ticket).await? else { continue };
            let announced: Announced = entry.decode()?;
            let stem = format!("transit/{}", announced.stem);
            // Written anew, it is not what a late commit expects: nobody can record the objects any more.
            let mut changes = Changes::default();
            changes.replace(&view, &ticket, &announced, entry.version, Some(now))?;
            self.storage.store().commit(changes).await?;
            let ours =
                |label: &str| label.strip_prefix(&stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            for object in objects.iter().filter(|object| ours(&object.label)) {
                tracing::info!(key = %object.reference, label = object.label, "destroying an object that was never recorded");
                hsm.destroy(&object.reference).await?;
            }
            let mut changes = Changes::default();
            changes.delete(&view, &ticket);
            self.storage.store().commit(changes).await?;
        }
        Ok(())
    }
}

//! The audit log: every request leaves a line before the work and another before the answer, in every enabled sink.
//!
//! | file | holds |
//! |---|---|
//! | `entry` | the text of an entry, in Vault's shape |
//! | `redact` | keyed hashes in place of values |
//! | `salt` | the key of those hashes |
//! | `sink` | group-written files, pipes, standard output |
//! | `chain`, `checkpoint` | what proves that no line is missing or changed |
//! | `device` | what is stored of an enabled sink, its options |
//! | `verify` | the proof, offline |
//!
//! A request is refused when no enabled sink records it, and its answer is withheld when no enabled sink records that.
//! Sinks are open while the barrier is: their salts are sealed. Only [`Audited`] things are rendered, and only this
//! module makes them.

mod chain;
mod checkpoint;
mod device;
mod entry;
mod redact;
mod salt;
mod sink;
mod verify;

pub use chain::ChainHead;
pub use checkpoint::Checkpoint;
pub use device::{AuditDevice, NewDevice};
pub use entry::Subject;
pub use sink::SinkError;
pub use verify::{MAX_PROBLEMS, Problem, Report, fingerprint, verify};

use crate::{
    fault::{from_hsm, from_store},
    heavy,
    metrics::Metrics,
    mount::Mounted,
    reply::Reply,
};
use arc_swap::ArcSwap;
use chancery_engine::{Clock, Fault, Operation};
use chancery_hsm::{HashAlgorithm, Hsm, KeyAlgorithm, KeyPurpose, KeyReference, KeySpec, SignInput, SignScheme};
use chancery_store::{Changes, Page, Store, View};
use data_encoding::{BASE64, HEXLOWER};
use device::{Device, StoredDevice};
use entry::{Answered, Style};
use futures_util::future::join_all;
use std::sync::Arc;

/// Proof that what it holds is in the audit log, or need not be.
#[derive(Debug)]
pub struct Audited<T>(T);

/// Why an answer needs no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// The request never got past the door: nobody could say what it wanted.
    Unreadable,
    /// A status page that load balancers ask for all day and that reads nothing.
    Status,
    /// A published list or answer that somebody without a token fetched.
    Published,
    /// No sink recorded that the request came in, so it was refused.
    Unrecordable,
    /// The handler crashed after its entry was opened; the open entry stands for it.
    Crashed,
}

impl<T> Audited<T> {
    /// An answer that needs no entry, with the reason.
    pub(crate) fn exempt(inner: T, reason: Exemption) -> Self {
        tracing::trace!(?reason, "answer without an audit entry");
        Self(inner)
    }

    /// What is inside.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// An entry that was opened and must be closed.
pub struct Opened {
    contexts: Vec<(Arc<Device>, Vec<u8>)>,
    mounted: Option<Arc<Mounted>>,
    is_list: bool,
}

/// All enabled sinks.
pub struct Audit {
    clock: Arc<dyn Clock>,
    store: Store,
    hsm: Option<Hsm>,
    metrics: Arc<Metrics>,
    view: View,
    heads: View,
    /// Which server's chains these are, where several share the database.
    node: Option<String>,
    devices: ArcSwap<Vec<Arc<Device>>>,
    changing: tokio::sync::Mutex<()>,
}

/// Key in the view `sys/audit-key/`.
const CHECKPOINT_KEY: &str = "checkpoint";

impl Audit {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        store: Store,
        hsm: Option<Hsm>,
        metrics: Arc<Metrics>,
        node: &str,
    ) -> Self {
        Self {
            node: store.is_shared().then(|| node.to_owned()),
            clock,
            view: store.view("sys/audit/"),
            heads: store.view("sys/audit-head/"),
            store,
            hsm,
            metrics,
            devices: ArcSwap::default(),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// Writes the first line of a request to every sink.
    ///
    /// # Errors
    /// [`Fault::Internal`] where sinks are enabled and none recorded it: the request must not go on.
    pub async fn open(&self, subject: &Subject<'_>, mounted: Option<Arc<Mounted>>) -> Result<Opened, Fault> {
        let is_list = matches!(subject.operation, Operation::List | Operation::Scan);
        let devices = self.devices.load_full();
        let contexts: Vec<_> = heavy::over(subject.request.body.json().len(), || {
            devices.iter().map(|device| (Arc::clone(device), device.style.context(subject))).collect()
        });
        if !contexts.is_empty() {
            let time = self.clock.now().to_string();
            let lines =
                contexts.iter().map(|(device, context)| (device, Style::request_line(&time, context, subject.error)));
            if !self.write(lines.collect()).await {
                self.metrics.audit_failed(true);
                return Err(Fault::Internal("failed to audit request, cannot continue".to_owned()));
            }
        }
        Ok(Opened { contexts, mounted, is_list })
    }

    /// Writes the last line of a request to every sink and lets the answer go; where none records it, the answer is
    /// withheld.
    pub async fn close(&self, opened: Opened, reply: Reply) -> Audited<Reply> {
        if opened.contexts.is_empty() {
            return Audited(reply);
        }
        let time = self.clock.now().to_string();
        let answered = Answered { reply: &reply, mounted: opened.mounted.as_deref(), is_list: opened.is_list };
        let bytes = reply.outcome.as_ref().ok().and_then(|response| response.data.as_ref());
        let lines = heavy::over(bytes.map_or(0, |data| data.expose().len()), || {
            let lines = opened.contexts.iter();
            lines.map(|(device, context)| (device, device.style.response_line(&time, context, &answered))).collect()
        });
        if self.write(lines).await {
            return Audited(reply);
        }
        self.metrics.audit_failed(false);
        let fault = Fault::Internal("failed to audit response, cannot continue".to_owned());
        Audited(Reply::new(reply.request_id, Err(fault)))
    }

    /// Whether any sink recorded its line.
    async fn write(&self, mut lines: Vec<(&Arc<Device>, Vec<u8>)>) -> bool {
        if lines.len() == 1
            && let Some((device, line)) = lines.pop()
        {
            return recorded(device, line).await;
        }
        join_all(lines.into_iter().map(|(device, line)| recorded(device, line))).await.contains(&true)
    }

    /// The enabled sinks, by path.
    #[must_use]
    pub fn list(&self) -> Vec<AuditDevice> {
        let mut list: Vec<_> = self.devices.load().iter().map(|device| device.entry.clone()).collect();
        list.sort_by(|a, b| a.path.cmp(&b.path));
        list
    }

    /// Enables a sink.
    ///
    /// # Errors
    /// [`Fault::Caller`] where the path is taken, the kind unknown or an option wrong; failures of store and sink.
    pub async fn enable(&self, new: NewDevice) -> Result<(), Fault> {
        let stored = StoredDevice::new(new)?;
        let _turn = self.changing.lock().await;
        let devices = self.devices.load_full();
        if devices.iter().any(|device| device.conflicts(&stored.entry)) {
            return Err(Fault::caller("path already in use"));
        }
        let device = Device::open(&stored, None).map_err(|error| Fault::Caller(error.to_string()))?;
        let mut changes = Changes::default();
        changes.create(&self.view, &stored.entry.uuid, &stored).map_err(from_store)?;
        self.store.commit(changes).await.map_err(from_store)?;
        self.devices.store(Arc::new(devices.iter().cloned().chain([Arc::new(device)]).collect()));
        Ok(())
    }

    /// Disables a sink; `false` where there was none.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn disable(&self, path: &str) -> Result<bool, Fault> {
        let _turn = self.changing.lock().await;
        let devices = self.devices.load_full();
        let Some(device) = devices.iter().find(|device| device.is_at(path)) else { return Ok(false) };
        self.checkpoint_device(device).await?;
        let mut changes = Changes::default();
        changes.delete(&self.view, &device.entry.uuid).delete(&self.heads, &device.entry.uuid);
        changes.delete_view(&self.heads.view(&device.entry.uuid));
        self.store.commit(changes).await.map_err(from_store)?;
        self.devices.store(Arc::new(devices.iter().filter(|device| !device.is_at(path)).cloned().collect()));
        Ok(true)
    }

    /// The hash a sink would show for `input` (`sys/audit-hash`).
    ///
    /// # Errors
    /// [`Fault::Caller`] where there is no such sink.
    pub fn hash(&self, path: &str, input: &str) -> Result<String, Fault> {
        let devices = self.devices.load();
        let device = devices
            .iter()
            .find(|device| device.is_at(path))
            .ok_or_else(|| Fault::Caller(format!("unknown audit backend \"{}/\"", path.trim_matches('/'))))?;
        Ok(device.style.salt.hash(input.as_bytes()))
    }

    /// Opens the stored sinks, and those the configuration declares, after the barrier opened.
    pub(crate) async fn load(&self, declared: &[NewDevice]) -> Result<(), Fault> {
        {
            let _turn = self.changing.lock().await;
            let mut devices: Vec<Arc<Device>> = Vec::new();
            for stored in self.stored(declared).await? {
                if devices.iter().any(|device| device.is_at(&stored.entry.path)) {
                    continue;
                }
                devices.push(self.opened(&stored).await?);
            }
            self.devices.store(Arc::new(devices));
        }
        for device in declared {
            if !self.devices.load().iter().any(|open| open.is_at(&device.path)) {
                self.enable(device.clone()).await?;
            }
        }
        Ok(())
    }

    /// Opens and closes what another server has enabled and disabled. A sink that cannot be opened here is an error in
    /// the log: the others go on.
    pub(crate) async fn reload(&self, declared: &[NewDevice]) -> Result<(), Fault> {
        let _turn = self.changing.lock().await;
        let before = self.devices.load_full();
        let mut devices: Vec<Arc<Device>> = Vec::new();
        for stored in self.stored(declared).await? {
            if devices.iter().any(|device| device.is_at(&stored.entry.path)) {
                continue;
            }
            match before.iter().find(|device| device.entry == stored.entry) {
                Some(device) => devices.push(Arc::clone(device)),
                None => match self.opened(&stored).await {
                    Ok(device) => devices.push(device),
                    Err(fault) => {
                        tracing::error!(%fault, "an audit device that another server enabled is not in use here");
                    }
                },
            }
        }
        self.devices.store(Arc::new(devices));
        Ok(())
    }

    /// The stored sinks. Where servers share the database, each writes to where its own configuration says.
    async fn stored(&self, declared: &[NewDevice]) -> Result<Vec<StoredDevice>, Fault> {
        let mut found = Vec::new();
        for uuid in self.view.keys("", Page::default()).await.map_err(from_store)? {
            let Some(entry) = self.view.read(&uuid).await.map_err(from_store)? else { continue };
            let mut stored: StoredDevice = entry.decode().map_err(from_store)?;
            let own = declared.iter().find(|new| new.path.trim_matches('/') == stored.entry.path.trim_matches('/'));
            if let (Some(own), true) = (own, self.node.is_some()) {
                stored.entry.kind.clone_from(&own.kind);
                stored.entry.options.clone_from(&own.options);
            }
            found.push(stored);
        }
        Ok(found)
    }

    async fn opened(&self, stored: &StoredDevice) -> Result<Arc<Device>, Fault> {
        let head = self.heads.read(&self.head_key(&stored.entry.uuid)).await.map_err(from_store)?;
        let head: Option<ChainHead> = head.map(|entry| entry.decode()).transpose().map_err(from_store)?;
        Device::open(stored, head)
            .map(Arc::new)
            .map_err(|error| Fault::Dependency(format!("audit device {:?}: {error}", stored.entry.path)))
    }

    /// Where the head of a sink's chain is kept.
    fn head_key(&self, uuid: &str) -> String {
        self.node.as_ref().map_or_else(|| uuid.to_owned(), |node| format!("{uuid}/{node}"))
    }

    /// Closes the sinks: the barrier is about to be sealed.
    pub(crate) async fn forget(&self) {
        self.checkpoint().await;
        self.devices.store(Arc::default());
    }

    /// Opens files anew, for log rotation.
    pub async fn reopen(&self) {
        for device in self.devices.load_full().iter() {
            if let Err(error) = device.sink.reopen().await {
                tracing::error!(path = device.entry.path, %error, "audit file could not be opened anew");
            }
        }
    }

    /// Signs where each chain stands, and keeps a sealed copy of it, so that a file cut short is noticed.
    pub async fn checkpoint(&self) {
        let _turn = self.changing.lock().await;
        for device in self.devices.load_full().iter() {
            if let Err(fault) = self.checkpoint_device(device).await {
                tracing::error!(path = device.entry.path, %fault, "audit checkpoint failed");
            }
        }
    }

    /// Lines written since the last checkpoint, over all sinks.
    #[must_use]
    pub fn unsigned_lines(&self) -> u64 {
        self.devices.load().iter().map(|device| device.unsigned_lines()).sum()
    }

    async fn checkpoint_device(&self, device: &Device) -> Result<(), Fault> {
        if device.unsigned_lines() == 0 {
            return Ok(());
        }
        let head = device.sink.head();
        if let Some(hsm) = &self.hsm {
            let key = self.checkpoint_key(hsm).await?;
            let message = checkpoint::signed_message(&device.entry.uuid, &head);
            let signature = hsm
                .sign(&key, SignScheme::Ecdsa(HashAlgorithm::Sha256), SignInput::Message(message))
                .await
                .map_err(from_hsm)?;
            let checkpoint = Checkpoint {
                sink: device.entry.uuid.clone(),
                seq: head.seq,
                hash: head.hash,
                algorithm: "ecdsa-sha256".to_owned(),
                key_id: HEXLOWER.encode(key.id.as_bytes()),
                public_key: BASE64.encode(key.public_key.as_deref().unwrap_or_default()),
                signature: BASE64.encode(&signature),
            };
            let line = checkpoint.line(&self.clock.now().to_string());
            device.sink.append(line).await.map_err(|error| Fault::Dependency(error.to_string()))?;
        }
        let head = device.sink.head();
        let mut changes = Changes::default();
        changes.put(&self.heads, &self.head_key(&device.entry.uuid), &head).map_err(from_store)?;
        self.store.commit(changes).await.map_err(from_store)?;
        device.signed_through(head.seq);
        Ok(())
    }

    /// The key that signs checkpoints; made in the HSM when it is first needed.
    async fn checkpoint_key(&self, hsm: &Hsm) -> Result<KeyReference, Fault> {
        let view = self.store.view("sys/audit-key/");
        if let Some(entry) = view.read(CHECKPOINT_KEY).await.map_err(from_store)? {
            return entry.decode().map_err(from_store);
        }
        let spec = KeySpec::new(KeyAlgorithm::EcP256, KeyPurpose::Sign, "audit-checkpoint");
        let key = hsm.generate(spec).await.map_err(from_hsm)?;
        let mut changes = Changes::default();
        changes.create(&view, CHECKPOINT_KEY, &key).map_err(from_store)?;
        self.store.commit(changes).await.map_err(from_store)?;
        Ok(key)
    }
}

async fn recorded(device: &Arc<Device>, line: Vec<u8>) -> bool {
    match device.sink.append(line).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(path = device.entry.path, %error, "audit entry not recorded");
            false
        }
    }
}

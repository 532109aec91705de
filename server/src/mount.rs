//! Mounts: which engine serves which path. They come and go at run time; the table is stored sealed and lives in
//! memory while the barrier is open.
//!
//! | file | holds |
//! |---|---|
//! | `table` | what is stored of a mount, tuning, path rules |
//! | `router` | longest-prefix lookup |
//! | `factory` | engine kinds this appliance knows |

pub(crate) mod factory;
pub(crate) mod router;
pub mod table;

pub use table::{LeaseBounds, MountClass, MountEntry, NewMount, Tuning};

use crate::fault::from_store;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use chancery_auth::LeaseRevoker;
use chancery_engine::{Engine, Fault, MountPoint};
use chancery_store::{Changes, Page, Store, View};
use factory::Factory;
use router::Router;
use std::{
    collections::HashSet,
    sync::{Arc, Weak},
};
use table::canonical_path;

/// Kinds and paths that exist once and cannot be mounted, moved or removed.
const SINGLETONS: [(&str, MountClass, &str, &str); 3] = [
    ("sys/", MountClass::Secret, "system", "system endpoints used for control, policy and debugging"),
    ("cubbyhole/", MountClass::Secret, "cubbyhole", "per-token private secret storage"),
    ("auth/token/", MountClass::Auth, "token", "token based credentials"),
];

/// One mount in service.
pub struct Mounted {
    /// What is stored of it.
    pub entry: MountEntry,
    /// What its handlers see.
    pub point: Arc<MountPoint>,
    /// The engine behind it.
    pub engine: Arc<dyn Engine>,
    /// Top-level request members the audit log shows in clear.
    pub clear_request_keys: HashSet<String>,
    /// Top-level response members the audit log shows in clear.
    pub clear_response_keys: HashSet<String>,
}

/// The mount table.
pub struct Mounts {
    store: Store,
    view: View,
    bounds: LeaseBounds,
    factory: Factory,
    system: parking_lot::Mutex<Option<Arc<dyn Engine>>>,
    router: ArcSwap<Router>,
    /// One change at a time in this process. Where other servers share the database: the version of [`TURN`] at which the
    /// table was read.
    changing: tokio::sync::Mutex<Option<u64>>,
    turn: View,
}

/// The entry that every change of a shared table replaces, so that two servers never change it at the same time.
const TURN: &str = "turn";

impl Mounted {
    /// Whether its engine may look at request headers: `sys/` at all, others at those the mount lists.
    pub(crate) fn reads_headers(&self) -> bool {
        self.entry.path == "sys/" || !self.entry.tuning.passthrough_request_headers.is_empty()
    }

    fn new(entry: MountEntry, engine: Arc<dyn Engine>, bounds: LeaseBounds) -> Arc<Self> {
        Arc::new(Self {
            point: Arc::new(entry.point(bounds)),
            engine,
            clear_request_keys: entry.tuning.audit_non_hmac_request_keys.iter().cloned().collect(),
            clear_response_keys: entry.tuning.audit_non_hmac_response_keys.iter().cloned().collect(),
            entry,
        })
    }
}

impl Mounts {
    pub(crate) fn new(store: Store, bounds: LeaseBounds, factory: Factory) -> Self {
        Self {
            view: store.view("sys/mounts/"),
            turn: store.view("sys/mount-turn/"),
            store,
            bounds,
            factory,
            system: parking_lot::Mutex::new(None),
            router: ArcSwap::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Puts the engine of `sys/` in place; it serves while the barrier is sealed too.
    pub(crate) fn install_system(&self, engine: Arc<dyn Engine>) {
        *self.system.lock() = Some(engine);
        self.forget();
    }

    /// Lets go of the engine of `sys/`, which holds the core that holds us.
    pub(crate) fn remove_system(&self) {
        *self.system.lock() = None;
        self.router.store(Arc::default());
    }

    /// System-wide lease bounds.
    #[must_use]
    pub fn bounds(&self) -> LeaseBounds {
        self.bounds
    }

    /// The mount that serves `path`, and the rest of the path behind the mount's own.
    #[must_use]
    pub fn route<'p>(&self, path: &'p str) -> Option<(Arc<Mounted>, &'p str)> {
        let router = self.router.load();
        router.find(path).map(|(mounted, rest)| (Arc::clone(mounted), rest))
    }

    /// The mount that serves `path`, where that is still `mounted` as it was.
    pub(crate) fn still_served_by(&self, path: &str, mounted: &Weak<Mounted>) -> Option<Arc<Mounted>> {
        let router = self.router.load();
        let (found, _) = router.find(path)?;
        std::ptr::eq(Arc::as_ptr(found), mounted.as_ptr()).then(|| Arc::clone(found))
    }

    /// The mount exactly at `path`, spelled with or without a trailing slash; auth mounts with their `auth/`.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<Arc<Mounted>> {
        self.router.load().at(&canonical_path(path).ok()?).cloned()
    }

    /// The mount with this accessor.
    #[must_use]
    pub fn by_accessor(&self, accessor: &str) -> Option<Arc<Mounted>> {
        self.router.load().all().find(|mounted| mounted.entry.accessor == accessor).cloned()
    }

    /// The mount with this UUID.
    #[must_use]
    pub fn by_uuid(&self, uuid: &str) -> Option<Arc<Mounted>> {
        self.router.load().all().find(|mounted| mounted.entry.uuid == uuid).cloned()
    }

    /// All mounts of a class, by path.
    #[must_use]
    pub fn list(&self, class: MountClass) -> Vec<Arc<Mounted>> {
        self.router.load().all().filter(|mounted| mounted.entry.class == class).cloned().collect()
    }

    /// All mounts, by path.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Mounted>> {
        self.router.load().all().cloned().collect()
    }

    /// Reads the table after the barrier opened, creating the mounts every installation has.
    pub(crate) async fn load(&self) -> Result<(), Fault> {
        let mut turn = self.changing.lock().await;
        let (mut entries, read_at) = self.read().await?;
        *turn = read_at;
        let mut changes = Changes::default();
        for entry in missing_singletons(&entries) {
            changes.create(&self.view, &entry.uuid, &entry).map_err(from_store)?;
            entries.push(entry);
        }
        if !changes.is_empty() {
            self.commit(&mut turn, changes).await?;
        }
        self.serve(entries, &Router::default());
        Ok(())
    }

    /// Reads the table again because another server has changed it. Mounts that are as they were keep their engines.
    pub(crate) async fn reload(&self) -> Result<(), Fault> {
        let mut turn = self.changing.lock().await;
        self.reload_locked(&mut turn).await
    }

    async fn reload_locked(&self, turn: &mut Option<u64>) -> Result<(), Fault> {
        let (entries, read_at) = self.read().await?;
        *turn = read_at;
        let before = self.router.load_full();
        self.serve(entries, &before);
        let after = self.router.load();
        for gone in before.all().filter(|old| after.all().all(|new| new.entry.uuid != old.entry.uuid)) {
            gone.engine.forget();
        }
        Ok(())
    }

    /// The stored table, and at which turn it was read.
    async fn read(&self) -> Result<(Vec<MountEntry>, Option<u64>), Fault> {
        let turn = match self.store.is_shared() {
            true => self.turn.read(TURN).await.map_err(from_store)?.map(|entry| entry.version),
            false => None,
        };
        let mut entries = Vec::new();
        for uuid in self.view.keys("", Page::default()).await.map_err(from_store)? {
            if let Some(entry) = self.view.read(&uuid).await.map_err(from_store)? {
                entries.push(entry.decode::<MountEntry>().map_err(from_store)?);
            }
        }
        Ok((entries, turn))
    }

    /// Waits for its turn to change the table, and sees to it that the table is the stored one.
    async fn take_turn(&self) -> Result<tokio::sync::MutexGuard<'_, Option<u64>>, Fault> {
        let mut turn = self.changing.lock().await;
        if self.store.is_shared() {
            let stored = self.turn.read(TURN).await.map_err(from_store)?.map(|entry| entry.version);
            if stored != *turn {
                self.reload_locked(&mut turn).await?;
            }
        }
        Ok(turn)
    }

    /// Commits a change of the table; busy if another server was quicker.
    async fn commit(&self, turn: &mut Option<u64>, mut changes: Changes) -> Result<(), Fault> {
        if self.store.is_shared() {
            match *turn {
                Some(version) => changes.replace(&self.turn, TURN, &(), version, None),
                None => changes.create(&self.turn, TURN, &()),
            }
            .map_err(from_store)?;
        }
        let sequence = self.store.commit(changes).await.map_err(from_store)?;
        if self.store.is_shared() {
            *turn = Some(sequence.0);
        }
        Ok(())
    }

    /// Puts the table in service; a mount that `before` has keeps its engine.
    fn serve(&self, entries: Vec<MountEntry>, before: &Router) {
        let mut router = Router::default();
        for entry in entries {
            let known = before.all().find(|known| known.entry.uuid == entry.uuid);
            if let Some(known) = known.filter(|known| known.entry == entry) {
                router.insert(Arc::clone(known));
                continue;
            }
            match known.map_or_else(|| self.build(&entry), |known| Ok(Arc::clone(&known.engine))) {
                Ok(engine) => router.insert(Mounted::new(entry, engine, self.bounds)),
                // An engine this build does not know keeps its data; its path answers "no handler".
                Err(fault) => tracing::error!(path = entry.path, kind = entry.kind, %fault, "mount is not in service"),
            }
        }
        self.router.store(Arc::new(router));
    }

    /// Drops every engine but `sys/`: the barrier was sealed.
    pub(crate) fn forget(&self) {
        let mut router = Router::default();
        if let Some(engine) = self.system.lock().clone()
            && let Some(entry) = missing_singletons(&[]).into_iter().find(|entry| entry.kind == "system")
        {
            router.insert(Mounted::new(entry, engine, self.bounds));
        }
        for mounted in self.router.swap(Arc::new(router)).all() {
            mounted.engine.forget();
        }
    }

    /// Mounts a new engine.
    ///
    /// # Errors
    /// [`Fault::Caller`] in Vault's words where the path, kind or tuning is refused; failures of the store.
    pub async fn mount(&self, new: NewMount) -> Result<Arc<Mounted>, Fault> {
        let path = canonical_path(&new.path)?;
        check_new_path(new.class, &path)?;
        if new.kind.is_empty() {
            return Err(Fault::caller("backend type must be specified as a string"));
        }
        Factory::check_mountable(new.class, &new.kind)?;
        new.tuning.check(self.bounds)?;
        let mut turn = self.take_turn().await?;
        self.refuse_conflict(new.class, &path)?;
        let entry = MountEntry {
            accessor: new_accessor(new.class, &new.kind),
            class: new.class,
            path,
            kind: new.kind,
            uuid: uuid::Uuid::new_v4().to_string(),
            tuning: new.tuning,
            local: new.local,
            seal_wrap: new.seal_wrap,
            external_entropy_access: new.external_entropy_access,
        };
        let mounted = Mounted::new(entry.clone(), self.build(&entry)?, self.bounds);
        let mut changes = Changes::default();
        changes.create(&self.view, &entry.uuid, &entry).map_err(from_store)?;
        self.commit(&mut turn, changes).await?;
        self.change_router(|router| router.insert(Arc::clone(&mounted)));
        Ok(mounted)
    }

    /// Takes a mount out of service and deletes all it stored; `false` where there was none. Leases are the caller's
    /// to revoke first: see [`Core::unmount`](crate::Core::unmount).
    pub(crate) async fn unmount(&self, path: &str) -> Result<bool, Fault> {
        let path = canonical_path(path)?;
        let mut turn = self.take_turn().await?;
        let Some(mounted) = self.router.load().at(&path).cloned() else { return Ok(false) };
        refuse_singleton(&mounted.entry, "unmount")?;
        self.change_router(|router| {
            router.remove(&path);
        });
        if let Err(fault) = self.delete_data(&mut turn, &mounted).await {
            self.change_router(|router| router.insert(Arc::clone(&mounted)));
            return Err(fault);
        }
        mounted.engine.forget();
        Ok(true)
    }

    async fn delete_data(&self, turn: &mut Option<u64>, mounted: &Mounted) -> Result<(), Fault> {
        mounted.engine.remove().await?;
        let mut changes = Changes::default();
        changes.delete_view(&self.store.view(&mounted.entry.view_name())).delete(&self.view, &mounted.entry.uuid);
        self.commit(turn, changes).await
    }

    /// The mount at `path`, if there is one and it may go.
    pub(crate) fn removable(&self, path: &str, verb: &str) -> Result<Option<Arc<Mounted>>, Fault> {
        let Some(mounted) = self.at(path) else { return Ok(None) };
        refuse_singleton(&mounted.entry, verb)?;
        Ok(Some(mounted))
    }

    /// Whether a mount may move to `to`.
    pub(crate) fn check_destination(&self, entry: &MountEntry, to: &str) -> Result<(), Fault> {
        let to = canonical_path(to)?;
        check_new_path(entry.class, &to).map_err(|_| Fault::Caller(format!("cannot remount to destination {to}")))?;
        self.refuse_conflict(entry.class, &to)
    }

    /// Moves a mount, data and all, to another path of the same class.
    pub(crate) async fn remount(&self, from: &str, to: &str) -> Result<Arc<Mounted>, Fault> {
        let (from, to) = (canonical_path(from)?, canonical_path(to)?);
        let mut turn = self.take_turn().await?;
        let Some(mounted) = self.router.load().at(&from).cloned() else {
            return Err(Fault::Caller(format!("no matching mount at {from:?}")));
        };
        refuse_singleton(&mounted.entry, "remount")?;
        self.check_destination(&mounted.entry, &to)?;
        let entry = MountEntry { path: to, ..mounted.entry.clone() };
        self.replace(&mut turn, &mounted, entry).await
    }

    /// Changes what can be tuned; `change` works on a copy and may refuse.
    ///
    /// # Errors
    /// [`Fault::Caller`] where there is no mount, the bounds contradict, or `change` refuses; failures of the store.
    pub async fn tune(
        &self,
        path: &str,
        change: impl FnOnce(&mut Tuning) -> Result<(), Fault> + Send,
    ) -> Result<Arc<Mounted>, Fault> {
        let path = canonical_path(path)?;
        let mut turn = self.take_turn().await?;
        let Some(mounted) = self.router.load().at(&path).cloned() else {
            return Err(Fault::Caller(format!("no matching mount at {path:?}")));
        };
        let mut entry = mounted.entry.clone();
        change(&mut entry.tuning)?;
        entry.tuning.check(self.bounds)?;
        self.replace(&mut turn, &mounted, entry).await
    }

    /// Stores a changed entry and puts it in service with the engine it had.
    async fn replace(&self, turn: &mut Option<u64>, old: &Mounted, entry: MountEntry) -> Result<Arc<Mounted>, Fault> {
        let mut changes = Changes::default();
        changes.put(&self.view, &entry.uuid, &entry).map_err(from_store)?;
        self.commit(turn, changes).await?;
        let mounted = Mounted::new(entry, Arc::clone(&old.engine), self.bounds);
        self.change_router(|router| {
            router.remove(&old.entry.path);
            router.insert(Arc::clone(&mounted));
        });
        Ok(mounted)
    }

    fn refuse_conflict(&self, class: MountClass, path: &str) -> Result<(), Fault> {
        let router = self.router.load();
        let Some(taken) = router.conflict(path) else { return Ok(()) };
        let shown = if class == MountClass::Auth { taken.strip_prefix("auth/").unwrap_or(taken) } else { taken };
        Err(Fault::Caller(format!("path is already in use at {shown}")))
    }

    fn build(&self, entry: &MountEntry) -> Result<Arc<dyn Engine>, Fault> {
        if entry.kind == "system" {
            return self.system.lock().clone().ok_or_else(|| Fault::Bug("sys/ has no engine".to_owned()));
        }
        self.factory.build(entry)
    }

    /// Callers hold `changing`, so no change is lost.
    fn change_router(&self, change: impl FnOnce(&mut Router)) {
        let mut router = Router::clone(&self.router.load());
        change(&mut router);
        self.router.store(Arc::new(router));
    }
}

#[async_trait]
impl LeaseRevoker for Mounts {
    async fn revoke(&self, mount_uuid: &str, internal: &[u8]) -> Result<(), Fault> {
        match self.by_uuid(mount_uuid) {
            Some(mounted) => mounted.engine.revoke_lease(internal).await,
            // The mount went away and took everything it had granted along.
            None => Ok(()),
        }
    }
}

fn missing_singletons(present: &[MountEntry]) -> Vec<MountEntry> {
    SINGLETONS
        .iter()
        .filter(|(path, ..)| !present.iter().any(|entry| entry.path == *path))
        .map(|(path, class, kind, description)| MountEntry {
            class: *class,
            path: (*path).to_owned(),
            kind: (*kind).to_owned(),
            uuid: uuid::Uuid::new_v4().to_string(),
            accessor: new_accessor(*class, kind),
            tuning: Tuning { description: (*description).to_owned(), ..Tuning::default() },
            local: *kind == "cubbyhole",
            seal_wrap: *kind == "system",
            external_entropy_access: false,
        })
        .collect()
}

fn new_accessor(class: MountClass, kind: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let suffix = random.get(..8).unwrap_or_default();
    match class {
        MountClass::Secret => format!("{kind}_{suffix}"),
        MountClass::Auth => format!("auth_{kind}_{suffix}"),
    }
}

fn check_new_path(class: MountClass, path: &str) -> Result<(), Fault> {
    let reserved = ["sys/", "cubbyhole/", "identity/", "auth/"];
    let below_auth = path.strip_prefix("auth/");
    let refused = match class {
        MountClass::Secret => reserved.iter().any(|own| path.starts_with(own)),
        MountClass::Auth => below_auth.is_none_or(str::is_empty),
    };
    if refused { Err(Fault::Caller(format!("cannot mount {path:?}"))) } else { Ok(()) }
}

fn refuse_singleton(entry: &MountEntry, verb: &str) -> Result<(), Fault> {
    match entry.kind.as_str() {
        "token" if verb == "unmount" => Err(Fault::caller("token credential backend cannot be disabled")),
        "system" | "cubbyhole" | "token" => Err(Fault::Caller(format!("cannot {verb} {:?}", entry.path))),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use async_trait::async_trait;
    use chancery_engine::{Call, Hosted, Response, Route, RouteTable, Service, Verb};

    struct Nothing;

    #[async_trait]
    impl Service for Nothing {
        fn routes() -> RouteTable<Self> {
            RouteTable::new(vec![Route::at("x", "x").on(Verb::Read, |_, _: Call| async { Ok(Response::empty()) })])
        }
    }

    /// A mount of an engine that does nothing.
    pub(crate) fn mounted(path: &str) -> Arc<Mounted> {
        let entry = MountEntry {
            class: MountClass::Secret,
            path: path.to_owned(),
            kind: "nothing".to_owned(),
            uuid: path.to_owned(),
            accessor: path.to_owned(),
            tuning: Tuning::default(),
            local: false,
            seal_wrap: false,
            external_entropy_access: false,
        };
        Mounted::new(entry, Arc::new(Hosted::new(Arc::new(Nothing))), LeaseBounds::default())
    }

    #[test]
    fn reserved_paths_are_refused() {
        for path in ["sys/", "sys/x/", "auth/foo/", "cubbyhole/"] {
            assert!(check_new_path(MountClass::Secret, path).is_err(), "{path}");
        }
        assert!(check_new_path(MountClass::Secret, "system/").is_ok());
        assert!(check_new_path(MountClass::Auth, "auth/foo/").is_ok());
        assert!(check_new_path(MountClass::Auth, "auth/").is_err());
        assert!(check_new_path(MountClass::Auth, "foo/").is_err());
    }
}

//! The loaded library, shared by everybody in this process who uses it.
//!
//! `C_Initialize` and `C_Finalize` are process-wide, and after re-initialisation session and object numbers start anew,
//! so that an old number can name another session or key. Hence the [`Gate`]: every call is made under its read side,
//! re-initialisation takes the write side, and each session and handle remembers the epoch it belongs to.
//!
//! A module is never unloaded: some abort the process when their static destructors run out of order.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::failure::Failure;
use crate::HsmError;

static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

/// How long re-initialisation waits for calls in flight; one that hangs cannot be cancelled.
const DRAIN: Duration = Duration::from_secs(5);

pub(super) struct Module {
    context: Pkcs11,
    gate: RwLock<Gate>,
    /// SoftHSM 2.6.1 corrupts its token when objects are created while others are created or searched: creating,
    /// destroying and changing objects is exclusive, searching is shared, using keys is free.
    pub(super) objects: RwLock<()>,
}

/// Which initialisation of the library we are in.
pub(super) struct Gate {
    pub(super) epoch: u64,
    initialised: bool,
    users: usize,
}

impl Module {
    /// The module at `path`, loaded once per process.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, HsmError> {
        let failed = |detail: String| HsmError::Module { path: path.to_owned(), detail };
        let key = path.canonicalize().map_err(|error| failed(error.to_string()))?;
        let mut modules = MODULES.lock();
        if let Some(module) = modules.get(&key) {
            return Ok(Arc::clone(module));
        }
        let context = Pkcs11::new(&key).map_err(|error| match error {
            Error::LibraryLoading(error) => failed(error.to_string()),
            Error::MissingSymbol(symbol) => failed(format!("it is no PKCS#11 module: it lacks {symbol}")),
            other => failed(other.to_string()),
        })?;
        let gate = RwLock::new(Gate { epoch: 0, initialised: false, users: 0 });
        let module = Arc::new(Self { context, gate, objects: RwLock::new(()) });
        modules.insert(key, Arc::clone(&module));
        Ok(module)
    }

    /// Joins the users of the module, initialising it for the first.
    pub(super) fn join(&self) -> Result<(), Failure> {
        let mut gate = self.gate.write();
        if !gate.initialised {
            self.initialise(&mut gate)?;
        }
        gate.users += 1;
        Ok(())
    }

    /// Leaves; the last one finalises.
    pub(super) fn leave(&self) {
        let Some(mut gate) = self.gate.try_write_for(DRAIN) else { return };
        gate.users = gate.users.saturating_sub(1);
        if gate.users == 0 && gate.initialised {
            gate.initialised = false;
            if let Err(error) = self.context.clone().finalize() {
                tracing::debug!(%error, "C_Finalize failed while leaving the module");
            }
        }
    }

    /// Keeps re-initialisation out while calls are made.
    pub(super) fn enter(&self) -> RwLockReadGuard<'_, Gate> {
        self.gate.read()
    }

    pub(super) fn context(&self) -> &Pkcs11 {
        &self.context
    }

    /// Finalises and initialises, unless somebody else did so since `seen`.
    pub(super) fn reinitialise(&self, seen: u64) -> Result<(), Failure> {
        let Some(mut gate) = self.gate.try_write_for(DRAIN) else {
            return Err(Failure::Settled(HsmError::TimedOut { operation: "a PKCS#11 call", seconds: DRAIN.as_secs() }));
        };
        if gate.epoch != seen && gate.initialised {
            return Ok(());
        }
        match self.context.clone().finalize() {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => {}
            Err(error) => tracing::warn!(%error, "C_Finalize failed before re-initialisation"),
        }
        gate.initialised = false;
        self.initialise(&mut gate)
    }

    fn initialise(&self, gate: &mut Gate) -> Result<(), Failure> {
        match self.context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                gate.initialised = true;
                gate.epoch += 1;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

//! The tokens behind configurations: opened at first need, closed when the configuration changes or the barrier is
//! sealed. A token lost while it is open comes back by itself: each is an [`Hsm`] like the appliance's own.

use super::{
    KmsLibrary,
    parameters::{OWN_LIBRARY, PLUGIN, TokenPlace},
    records::ConfigRecord,
};
use chancery_engine::SecretString;
use chancery_hsm::{ExternalKeyError, Hsm, HsmError, Pin, Pkcs11Config};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// Sessions with a token where nobody said how many.
const SESSIONS: usize = 8;

/// How long a token that could not be opened is left alone: a network HSM that is away answers slowly.
const REST: Duration = Duration::from_secs(5);

pub(super) struct Tokens {
    own: Option<Hsm>,
    libraries: BTreeMap<String, KmsLibrary>,
    open: Mutex<HashMap<String, State>>,
}

enum State {
    Open {
        hsm: Hsm,
        pin: SecretString,
    },
    /// It could not be opened. Refused credentials are never sent again: hardware counts attempts.
    Failed {
        error: HsmError,
        until: Option<Instant>,
    },
}

impl Tokens {
    pub(super) fn new(own: Option<Hsm>, libraries: BTreeMap<String, KmsLibrary>) -> Self {
        Self { own, libraries, open: Mutex::default() }
    }

    /// The token of a configuration. The caller holds the configuration's turn, so nobody opens it twice.
    pub(super) async fn open(&self, name: &str, record: &ConfigRecord) -> Result<Hsm, ExternalKeyError> {
        if let Some(state) = self.open.lock().get(name) {
            match state {
                State::Open { hsm, .. } => return Ok(hsm.clone()),
                State::Failed { error, until } if until.is_none_or(|until| Instant::now() < until) => {
                    return Err(error.clone().into());
                }
                State::Failed { .. } => {}
            }
        }
        let Some(config) = self.module_config(record)? else {
            return self
                .own
                .clone()
                .ok_or_else(|| ExternalKeyError::Refused("this appliance runs without an HSM of its own".to_owned()));
        };
        match Hsm::open(config).await {
            Ok(hsm) => {
                let pin = record.pin.clone().unwrap_or_else(|| SecretString::new(String::new()));
                if let Err(refusal) = self.check_pin(&hsm, &pin) {
                    release(Some(State::Open { hsm, pin }));
                    return Err(refusal);
                }
                tracing::info!(config = name, token = %hsm.token(), "opened a token for registered keys");
                self.open.lock().insert(name.to_owned(), State::Open { hsm: hsm.clone(), pin });
                Ok(hsm)
            }
            Err(error) => {
                let until = if matches!(error, HsmError::Latched { .. }) { None } else { Some(Instant::now() + REST) };
                self.open.lock().insert(name.to_owned(), State::Failed { error: error.clone(), until });
                Err(error.into())
            }
        }
    }

    /// A process is logged in to a token or not: where it is already, a module takes any PIN for the right one. So the
    /// PIN is compared with the one that logged in.
    fn check_pin(&self, hsm: &Hsm, pin: &SecretString) -> Result<(), ExternalKeyError> {
        let token = hsm.token();
        if self.own.as_ref().is_some_and(|own| own.token().is_same_token(&token)) {
            let text = format!("this is the appliance's own token: name it by 'lib' {OWN_LIBRARY:?}, without a pin");
            return Err(ExternalKeyError::Refused(text));
        }
        let differs = |state: &State| match state {
            State::Open { hsm, pin: known } => hsm.token().is_same_token(&token) && known != pin,
            State::Failed { .. } => false,
        };
        if self.open.lock().values().any(differs) {
            let text = "the token is in use by another config with another pin".to_owned();
            return Err(ExternalKeyError::Refused(text));
        }
        Ok(())
    }

    /// Refuses a configuration that cannot be opened whatever the token says.
    pub(super) fn check(&self, record: &ConfigRecord) -> Result<(), ExternalKeyError> {
        self.module_config(record).map(drop)
    }

    /// How to open it; `None` for the appliance's own.
    fn module_config(&self, record: &ConfigRecord) -> Result<Option<Pkcs11Config>, ExternalKeyError> {
        let refused = |text: String| ExternalKeyError::Refused(text);
        if record.plugin != PLUGIN {
            return Err(refused(format!("unknown plugin: {}", record.plugin)));
        }
        let (alias, token, sessions) = match TokenPlace::parse(&record.values, record.pin.is_some()).map_err(refused)? {
            TokenPlace::Own => return Ok(None),
            TokenPlace::Library { alias, token, sessions } => (alias, token, sessions),
        };
        let library = self.libraries.get(&alias).ok_or_else(|| {
            refused(format!("unknown library {alias:?}: the server's configuration has no kms_library of that name"))
        })?;
        let pin = Pin::new(record.pin.as_ref().map_or("", |pin| pin.expose()))?;
        let mut config = Pkcs11Config::new(&library.module, token, pin);
        let most = library.sessions.unwrap_or(config.sessions);
        config.sessions = sessions.unwrap_or(library.sessions.unwrap_or(SESSIONS)).min(most);
        config.queue = library.queue.unwrap_or(config.queue);
        Ok(Some(config))
    }

    /// Lets a configuration's token go; work under way is finished in the background.
    pub(super) fn close(&self, name: &str) {
        let state = self.open.lock().remove(name);
        release(state);
    }

    pub(super) fn close_all(&self) {
        let all = std::mem::take(&mut *self.open.lock());
        all.into_values().for_each(|state| release(Some(state)));
    }

    pub(super) async fn shutdown(&self) {
        let all = std::mem::take(&mut *self.open.lock());
        for state in all.into_values() {
            if let State::Open { hsm, .. } = state {
                hsm.shutdown().await;
            }
        }
    }
}

fn release(state: Option<State>) {
    if let Some(State::Open { hsm, .. }) = state {
        // From here on it takes no new work; the wait for the rest needs a thread of its own.
        hsm.close();
        tokio::spawn(async move { hsm.shutdown().await });
    }
}

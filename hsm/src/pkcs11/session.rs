//! A PKCS#11 session together with the initialisation it belongs to.

use cryptoki::{
    context::Pkcs11,
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

use super::failure::Failure;

/// A session that is never closed in another epoch than its own: the number may by then be somebody else's.
pub(super) struct OwnedSession {
    session: Session,
    epoch: u64,
}

impl OwnedSession {
    /// Opens a read-write session: some providers know no others.
    pub(super) fn open(context: &Pkcs11, slot: Slot, epoch: u64) -> Result<Self, Failure> {
        Ok(Self { session: context.open_rw_session_no_drop(slot)?, epoch })
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn raw(&self) -> &Session {
        &self.session
    }

    /// Logs the whole process in; "already" is as good.
    pub(super) fn login(&self, pin: &super::Pin) -> Result<(), Failure> {
        use cryptoki::error::{Error, RvError};
        let pin = AuthPin::new(pin.expose().into());
        match self.session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the session if `epoch` is still its own, else forgets it.
    pub(super) fn close(self, epoch: u64) {
        if epoch == self.epoch
            && let Err(error) = self.session.close()
        {
            tracing::debug!(%error, "C_CloseSession failed");
        }
    }
}

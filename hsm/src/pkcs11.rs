//! The PKCS#11 provider.

use std::sync::Arc;

use crate::{
    Capabilities, HsmError, HsmStatus, TokenIdentity,
    command::{Command, Reply},
};

mod config;

pub use config::{Pin, Pkcs11Config, TokenChoice};

pub(crate) enum Pkcs11Token {}

impl Pkcs11Token {
    pub(crate) fn open(_config: Pkcs11Config) -> Result<Self, HsmError> {
        Err(HsmError::not_supported("PKCS#11 modules in this build"))
    }

    pub(crate) fn capabilities(&self) -> Arc<Capabilities> {
        match *self {}
    }

    pub(crate) fn identity(&self) -> TokenIdentity {
        match *self {}
    }

    pub(crate) fn status(&self) -> HsmStatus {
        match *self {}
    }

    pub(crate) async fn execute(&self, _command: Command) -> Result<Reply, HsmError> {
        match *self {}
    }

    pub(crate) fn close(&self) {
        match *self {}
    }

    pub(crate) fn shutdown(&self) {
        match *self {}
    }
}

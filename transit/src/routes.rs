//! The index of the engine's endpoints.

use crate::{Transit, api};
use async_trait::async_trait;
use chancery_engine::{Fault, MountPoint, Route, RouteTable, Service, Verb};
use jiff::Timestamp;
use std::sync::Arc;

#[async_trait]
impl Service for Transit {
    fn routes() -> RouteTable<Self> {
        RouteTable::new(vec![
            Route::at("keys", "Lists the names of the keys").on(Verb::List, api::keys::list),
            // No existence check: making a key needs `update`, as it does on the servers policies were written for.
            Route::at("keys/:name", "Makes, shows or deletes a key")
                .on(Verb::Write, api::keys::create)
                .on(Verb::Read, api::keys::read)
                .on(Verb::Delete, api::keys::delete),
            Route::at("keys/:name/config", "Changes a key's options").on(Verb::Write, api::config::handle),
            Route::at("keys/:name/rotate", "Adds a version to a key").on(Verb::Write, api::rotate::handle),
            Route::at("keys/:name/trim", "Deletes old versions for good").on(Verb::Write, api::trim::handle),
            Route::at("keys/:name/soft-delete", "Makes a key unusable but keeps it")
                .on(Verb::Delete, api::soft_delete::delete),
            Route::at("keys/:name/soft-delete-restore", "Makes a soft-deleted key usable again")
                .on(Verb::Write, api::soft_delete::restore),
            Route::at("keys/:name/import", "Makes a key of wrapped material, or of a public key")
                .on(Verb::Write, api::import::handle),
            Route::at("keys/:name/import_version", "Adds a version to an imported key")
                .on(Verb::Write, api::import_version::handle),
            Route::at("wrapping_key", "The public key to wrap keys with for import")
                .on(Verb::Read, api::wrapping_key::read),
            Route::at("keys/:name/csr", "Makes a certificate request for a version").on(Verb::Write, api::csr::handle),
            Route::at("keys/:name/set-certificate", "Keeps a certificate chain beside a version")
                .on(Verb::Write, api::set_certificate::handle),
            Route::at("byok-export/:destination/:source", "A key wrapped for another")
                .on(Verb::Read, api::byok_export::handle),
            Route::at("byok-export/:destination/:source/{version}", "A version wrapped for another key")
                .on(Verb::Read, api::byok_export::handle),
            Route::at("backup/:name", "A key with all its versions, in plain text").on(Verb::Read, api::backup::read),
            Route::at("restore", "Makes a key of a backup").on(Verb::Write, api::restore::handle),
            Route::at("restore/:name", "Makes a key of a backup, under another name")
                .on(Verb::Write, api::restore::handle),
            Route::at("derive-key/:name", "Makes a key of a Diffie-Hellman agreement")
                .on(Verb::Write, api::derive_key::handle),
            Route::at("encrypt/:name", "Encrypts a text or a batch")
                .exists(key_exists)
                .on(Verb::Write, api::encrypt::handle),
            Route::at("decrypt/:name", "Decrypts a ciphertext or a batch").on(Verb::Write, api::decrypt::handle),
            Route::at("rewrap/:name", "Encrypts ciphertexts anew with a newer version")
                .on(Verb::Write, api::rewrap::handle),
            Route::at("datakey/{form}/:name", "Makes a data key, encrypted and perhaps in clear")
                .on(Verb::Write, api::datakey::handle),
            Route::at("sign/:name", "Signs a text or a batch").on(Verb::Write, api::sign::handle),
            Route::at("sign/:name/{urlalgorithm}", "Signs with the hash of the path")
                .on(Verb::Write, api::sign::handle),
            Route::at("verify/:name", "Verifies signatures or HMACs").on(Verb::Write, api::verify::handle),
            Route::at("verify/:name/{urlalgorithm}", "Verifies with the hash of the path")
                .on(Verb::Write, api::verify::handle),
            Route::at("hmac/:name", "Makes HMACs of a text or a batch").on(Verb::Write, api::hmac::handle),
            Route::at("hmac/:name/{urlalgorithm}", "Makes HMACs with the hash of the path")
                .on(Verb::Write, api::hmac::handle),
            Route::at("cmac/:name", "Makes CMACs of a text or a batch").on(Verb::Write, api::cmac::handle),
            Route::at("cmac/:name/{url_mac_length}", "Makes CMACs of so many bytes").on(Verb::Write, api::cmac::handle),
            Route::at("random", "Random bytes").on(Verb::Write, api::random::handle),
            Route::at("random/{source}", "Random bytes from a source, or so many").on(Verb::Write, api::random::handle),
            Route::at("random/{source}/{urlbytes}", "So many random bytes from a source")
                .on(Verb::Write, api::random::handle),
            Route::at("hash", "The hash of a text").on(Verb::Write, api::hash::handle),
            Route::at("hash/{urlalgorithm}", "The hash of a text by the path's algorithm")
                .on(Verb::Write, api::hash::handle),
            Route::at("export/{type}/:name", "Public keys, and secret ones of exportable keys")
                .on(Verb::Read, api::export::handle),
            Route::at("export/{type}/:name/{version}", "The same of one version").on(Verb::Read, api::export::handle),
            Route::at("cache-config", "How many keys are kept in memory")
                .on(Verb::Read, api::cache_config::read)
                .on(Verb::Write, api::cache_config::write),
            Route::at("config/keys", "Settings for all keys of the mount")
                .on(Verb::Read, api::keys_config::read)
                .on(Verb::Write, api::keys_config::write),
        ])
    }

    async fn tick(self: Arc<Self>, _mount: Arc<MountPoint>, now: Timestamp) -> Result<(), Fault> {
        let rotated = self.rotate_due(now).await;
        Ok(rotated.and(self.destroy_orphans(now).await)?)
    }

    async fn tend(self: Arc<Self>) -> Result<(), Fault> {
        Ok(self.settle_usage().await?)
    }

    fn forget(&self) {
        self.forget_cached(None);
        self.wrapping_key.forget();
    }

    fn changed_elsewhere(&self, keys: &[&str]) {
        for key in keys {
            let (folder, rest) = key.split_once('/').unwrap_or((key, ""));
            match folder {
                // Counters are settled with the store by themselves, and what is due is not cached.
                "usage" | "rotation" | "intent" => {}
                "key" | "version" if !rest.is_empty() => {
                    self.forget_cached(Some(rest.split('/').next().unwrap_or(rest)));
                }
                "config" if matches!(rest, "starts" | "keys") => {}
                _ => return Service::forget(self),
            }
        }
    }

    async fn remove(self: Arc<Self>) -> Result<(), Fault> {
        Ok(self.remove_objects().await?)
    }
}

/// Tells create from update: encrypting with a key that is not there needs the right to create it.
async fn key_exists(engine: Arc<Transit>, captures: chancery_engine::Captures) -> Result<bool, Fault> {
    Ok(engine.key(captures.text("name")).await?.is_some())
}

//! Keys of keyed hashes: made once at random, kept sealed in the store, held in memory while it is open.

use crate::error::AuthError;
use crate::random;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery_engine::Fault;
use chancery_store::{Changes, Store, View};
use zeroize::Zeroizing;

/// Reads the 32-byte key `name` in `view`, made at its first use.
pub(crate) async fn read_or_make(store: &Store, view: &View, name: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let fresh = random::key()?;
    let encoded = Zeroizing::new(STANDARD.encode(&*fresh));
    let chosen = store.transact("make a key", || async {
        let mut changes = Changes::default();
        match view.read(name).await? {
            Some(entry) => Ok((changes, Zeroizing::new(entry.decode::<String>()?))),
            None => {
                changes.create(view, name, encoded.as_str())?;
                Ok::<_, AuthError>((changes, encoded.clone()))
            }
        }
    });
    let chosen: Zeroizing<String> = chosen.await?;
    STANDARD
        .decode(chosen.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| Fault::Dependency(format!("the key {}{name} is damaged", view.name())))
}

//! `:type` of the endpoints that make CAs: where the key comes from.

use super::fields::AuthorityFields;
use crate::{
    CertificateAuthority,
    custody::{self, Custody, Outside},
    error::CaError,
    key::KeyRecord,
    private_key::PrivateKey,
};
use chancery_hsm::ExternalKeyName;

/// A key for a CA, ready to be recorded.
pub(crate) struct ChosenKey {
    pub(crate) record: KeyRecord,
    /// The private half where the caller gets it (`exported`).
    pub(crate) private: Option<PrivateKey>,
    /// Whether it was made for this request: then a failure later takes it away again.
    is_new: bool,
}

const KEPT_WORDS: &str =
    "invalid parameter for the kms/existing path parameter, key_type nor key_bits arguments can be set in this mode";

impl ChosenKey {
    /// The warning that belongs to it, if any.
    pub(crate) fn warning(&self) -> Option<String> {
        if !self.is_new {
            return None;
        }
        custody::warning(&self.record, if self.private.is_some() { Outside::Exported } else { Outside::Made })
    }

    /// Hands `outcome` on; where it is a failure, a key made for it is destroyed first.
    pub(crate) async fn keep_if<T>(
        &self,
        engine: &CertificateAuthority,
        outcome: Result<T, CaError>,
    ) -> Result<T, CaError> {
        if outcome.is_err()
            && self.is_new
            && let Err(error) = engine.custody.destroy(&self.record).await
        {
            tracing::warn!(%error, key = self.record.id, "a key made for a CA that did not come about stays in the token");
        }
        outcome
    }
}

/// The key that `kind` and the request name.
pub(crate) async fn choose(
    engine: &CertificateAuthority,
    kind: &str,
    request: &AuthorityFields,
) -> Result<ChosenKey, CaError> {
    let states_key = request.key_type.is_some() || request.key_bits.is_some_and(|bits| bits.0 != 0);
    match kind {
        "internal" | "exported" => {}
        "existing" | "kms" if states_key => return Err(CaError::caller(KEPT_WORDS)),
        "existing" => return existing(engine, request).await,
        "kms" => return registered(engine, request).await,
        _ => {
            return Err(CaError::caller(
                "the \"exported\" path parameter must be \"internal\", \"existing\", exported\" or \"kms\"",
            ));
        }
    }
    let name = new_name(engine, request).await?;
    let algorithm = request.algorithm()?;
    let id = uuid::Uuid::new_v4().to_string();
    if kind == "exported" {
        let private = PrivateKey::generate(algorithm).await?;
        return Ok(ChosenKey { record: Custody::keep(id, name, &private), private: Some(private), is_new: true });
    }
    Ok(ChosenKey { record: engine.custody.generate(id, name, algorithm).await?, private: None, is_new: true })
}

async fn existing(engine: &CertificateAuthority, request: &AuthorityFields) -> Result<ChosenKey, CaError> {
    let authority = engine.authority().await?;
    let reference = if request.key_ref.0.is_empty() { crate::authority::DEFAULT } else { &request.key_ref.0 };
    let found = authority.key(reference).map_err(CaError::in_parameter);
    let record = found
        .map_err(|error| CaError::Caller(format!("failed to lookup public key from existing key: {error}")))?
        .as_ref()
        .clone();
    Ok(ChosenKey { record, private: None, is_new: false })
}

async fn registered(engine: &CertificateAuthority, request: &AuthorityFields) -> Result<ChosenKey, CaError> {
    let name = [
        (&request.external_key_ref, ExternalKeyName::Reference as fn(String) -> ExternalKeyName),
        (&request.managed_key_name, ExternalKeyName::Managed),
        (&request.managed_key_id, ExternalKeyName::ManagedId),
    ]
    .into_iter()
    .find(|(text, _)| !text.0.is_empty())
    .map(|(text, name)| name(text.0.clone()))
    .ok_or_else(|| CaError::caller("must specify \"external_key_ref\" on \"kms\"-typed generation requests"))?;
    let id = uuid::Uuid::new_v4().to_string();
    let record = engine.custody.register(id, new_name(engine, request).await?, name).await?;
    let authority = engine.authority().await?;
    // One key, one record: a second request for the same key means the record that is there.
    let known = authority.keys.values().find(|known| known.reference.public_key == record.reference.public_key);
    let record = known.map_or(record, |known| known.as_ref().clone());
    Ok(ChosenKey { record, private: None, is_new: false })
}

async fn new_name(engine: &CertificateAuthority, request: &AuthorityFields) -> Result<String, CaError> {
    super::check_name("key", &request.key_name.0)?;
    if !request.key_name.0.is_empty() && engine.authority().await?.key(&request.key_name.0).is_ok() {
        return Err(CaError::caller("key name already in use"));
    }
    Ok(request.key_name.0.clone())
}

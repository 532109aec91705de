//! `config/ca` and `issuers/import`: a CA key is made, or brought.

use crate::{
    SshAuthority,
    authority::DEFAULT,
    custody::{CaKey, Custody},
    error::SshError,
    issuer::{self, Issuer, IssuerRecord},
    private_key,
    public_key::{PublicKeyError, SshPublicKey},
};
use chancery_engine::{
    Call, Fault, Response, SecretString,
    wire::{Count, Flag, Text},
};
use chancery_store::Changes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct CaRequest {
    generate_signing_key: Option<Flag>,
    issuer_name: Text,
    key_bits: Count,
    key_type: Text,
    private_key: Option<SecretString>,
    public_key: Text,
    set_default: Flag,
}

#[derive(Serialize)]
pub(crate) struct IssuerResponse<'a> {
    issuer_id: &'a str,
    issuer_name: &'a str,
    public_key: &'a str,
}

impl Default for CaRequest {
    fn default() -> Self {
        Self {
            generate_signing_key: None,
            issuer_name: Text::default(),
            key_bits: Count::default(),
            key_type: Text("ssh-rsa".to_owned()),
            private_key: None,
            public_key: Text::default(),
            set_default: Flag::default(),
        }
    }
}

impl<'a> IssuerResponse<'a> {
    pub(crate) fn of(issuer: &'a Issuer) -> Self {
        let IssuerRecord { id, name, public_key, .. } = &issuer.record;
        Self { issuer_id: id, issuer_name: name, public_key }
    }
}

/// `GET config/ca`
pub(crate) async fn read(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    Response::data(&IssuerResponse::of(authority.issuer(DEFAULT)?))
}

/// `POST config/ca`: the new issuer becomes the default.
pub(crate) async fn write(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: CaRequest = call.parse()?;
    let name = request.issuer_name.0.clone();
    create(&engine, &request, &name, true).await
}

/// `POST issuers/import`, `issuers/import/:name`
pub(crate) async fn import(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: CaRequest = call.parse()?;
    let name = call.captures.text("issuer_name").to_owned();
    let set_default = request.set_default.0;
    create(&engine, &request, &name, set_default).await
}

async fn create(engine: &SshAuthority, request: &CaRequest, name: &str, default: bool) -> Result<Response, Fault> {
    // Before a key is made that nobody could be told about.
    engine.authority().await?.check_name(name, None)?;
    let id = Uuid::new_v4().to_string();
    let (key, public_key) = key_of(engine, request, &id).await?;
    let record = IssuerRecord { id, name: name.to_owned(), key: Some(key), public_key, created_at: engine.now() };
    let issuer = Issuer::read(record)?;
    let added = &issuer;
    let outcome = engine
        .change("add issuer", move |draft| {
            draft.authority().check_name(&added.record.name, None)?;
            if draft.authority().by_key(added.public_key.blob()).is_some() {
                return Err(SshError::caller("an issuer of this mount has this key already"));
            }
            draft.put_issuer(added.clone());
            if default {
                draft.set_default(added.record.id.clone());
            }
            Ok(((), Changes::default()))
        })
        .await;
    let key = issuer.key()?;
    if let Err(error) = outcome {
        // Nobody knows of the key: it would lie in the token for ever.
        if let Err(error) = engine.custody.destroy(key).await {
            tracing::warn!(%error, "the key of an issuer that was not recorded stays in the token");
        }
        return Err(error.into());
    }
    let mut answer = Response::data(&IssuerResponse::of(&issuer))?;
    answer.warnings.extend(engine.custody.warning(key));
    Ok(answer)
}

async fn key_of(engine: &SshAuthority, request: &CaRequest, id: &str) -> Result<(CaKey, String), SshError> {
    let private = request.private_key.as_ref().map(SecretString::expose).unwrap_or_default();
    let public = request.public_key.0.as_str();
    let brought = !private.is_empty() || !public.is_empty();
    if request.generate_signing_key.map_or(!brought, |flag| flag.0) {
        if brought {
            return Err(SshError::caller(
                "public_key and private_key must not be set when generate_signing_key is set to true",
            ));
        }
        let algorithm = issuer::algorithm(&request.key_type.0, request.key_bits.0)?;
        let key = engine.custody.generate(id, algorithm).await?;
        let public = public_half(&key)?;
        return Ok((key, format!("{}\n", public.to_line())));
    }
    if !brought {
        return Err(SshError::caller("missing public_key"));
    }
    if private.is_empty() || public.is_empty() {
        return Err(SshError::caller(
            "only one of public_key and private_key set; both must be set to use, or both must be blank to auto-generate",
        ));
    }
    let stated = SshPublicKey::parse(public).map_err(|error| {
        let why = match error {
            PublicKeyError::Base64 => "illegal base64 data at input byte 0".to_owned(),
            other => other.to_string(),
        };
        SshError::Caller(format!("could not parse public_key provided value: {why}"))
    })?;
    let private = private_key::read(private)?;
    let key = Custody::import(id, private.algorithm, &private.der)?;
    if public_half(&key)? != stated {
        return Err(SshError::caller("public_key is not the public half of private_key"));
    }
    Ok((key, public.to_owned()))
}

fn public_half(key: &CaKey) -> Result<SshPublicKey, SshError> {
    SshPublicKey::from_spki(key.reference.public_key.as_deref().unwrap_or_default())
        .map_err(|error| SshError::corrupt(format!("public key of {}", key.reference), error))
}

/// `DELETE config/ca`: every issuer goes, and their keys.
pub(crate) async fn delete(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let removed = engine
        .change("delete issuers", |draft| {
            let all: Vec<Arc<Issuer>> = draft.authority().issuers.values().cloned().collect();
            for issuer in &all {
                draft.remove_issuer(&issuer.record.id);
            }
            Ok((all, Changes::default()))
        })
        .await?;
    // 204 as in Vault, which hvac waits for; OpenBao answers 200 with a warning that counts them.
    let mut answer = Response::empty();
    for issuer in removed {
        answer.warnings.extend(engine.destroy_key(&issuer).await);
    }
    Ok(answer)
}

impl SshAuthority {
    /// Destroys the key of an issuer that is gone. What fails is told, not an error: the issuer is gone.
    pub(crate) async fn destroy_key(&self, issuer: &Issuer) -> Option<String> {
        let key = issuer.record.key.as_ref()?;
        let error = self.custody.destroy(key).await.err()?;
        tracing::warn!(%error, issuer = issuer.record.id, "the key of a deleted issuer could not be destroyed");
        Some(format!(
            "the key of issuer {} stays in the token, because it could not be destroyed: {}",
            issuer.record.id, key.reference
        ))
    }
}

//! `rotations`, `rotation/:ref`: a CA's key is replaced, step by step. `trusted_keys`: the keys hosts shall trust now.

use crate::{
    SshAuthority,
    authority::{Authority, DEFAULT, Draft},
    error::SshError,
    issuer::{self, Issuer, IssuerRecord},
    public_key::SshPublicKey,
    rotation::{Phase, Rotation},
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{Count, Flag, Text},
};
use chancery_store::{Changes, SshChange, SshRevocationOrder, SshRevocationTarget};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

#[derive(Debug, Deserialize)]
#[serde(default)]
struct RotationRequest {
    /// `start`, `advance`, `rollback`
    action: Text,
    /// `advance` past what still protects logins.
    force: Flag,
    key_bits: Count,
    key_type: Text,
}

#[derive(Serialize)]
struct RotationView<'a> {
    phase: Phase,
    next_phase: Option<Phase>,
    started_at: String,
    changed_at: String,
    old_issuer_id: &'a str,
    old_public_key: &'a str,
    new_issuer_id: &'a str,
    new_public_key: &'a str,
    trusted_keys: Vec<&'a str>,
    /// When the last certificate of the old key ends; none where it has signed none.
    old_certificates_end_at: Option<String>,
}

#[derive(Serialize)]
struct Listing {
    key_info: BTreeMap<String, Info>,
    keys: Vec<String>,
}

#[derive(Serialize)]
struct Info {
    new_issuer_id: String,
    phase: Phase,
}

impl Default for RotationRequest {
    fn default() -> Self {
        Self {
            action: Text::default(),
            force: Flag::default(),
            key_bits: Count::default(),
            key_type: Text("ec".to_owned()),
        }
    }
}

/// `LIST rotations`
pub(crate) async fn list(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    if authority.rotations.is_empty() {
        return Err(Fault::Absent);
    }
    let info = |rotation: &Rotation| Info { new_issuer_id: rotation.new.clone(), phase: rotation.phase };
    Response::data(&Listing {
        key_info: authority.rotations.iter().map(|(old, rotation)| (old.clone(), info(rotation))).collect(),
        keys: authority.rotations.keys().cloned().collect(),
    })
}

/// `GET rotation/:ref`
pub(crate) async fn read(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let issuer = authority.issuer(call.captures.text("issuer_ref"))?;
    let rotation = authority.rotation_of(&issuer.record.id).ok_or(Fault::Absent)?;
    render(&engine, &authority, rotation).await
}

/// `POST rotation/:ref`
pub(crate) async fn write(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RotationRequest = call.parse()?;
    let reference = call.captures.text("issuer_ref");
    let rotation = match request.action.0.as_str() {
        "start" => start(&engine, reference, &request).await?,
        "advance" => advance(&engine, reference, request.force.0, &call).await?,
        "rollback" => roll_back(&engine, reference).await?,
        other => {
            return Err(Fault::Caller(format!("action is start, advance or rollback, not {other:?}")));
        }
    };
    let authority = engine.authority().await?;
    let mut answer = render(&engine, &authority, &rotation).await?;
    answer.warnings.extend(stuck_roles(&engine, &rotation).await?);
    Ok(answer)
}

async fn start(engine: &SshAuthority, reference: &str, request: &RotationRequest) -> Result<Rotation, SshError> {
    let algorithm = issuer::algorithm(&request.key_type.0, request.key_bits.0)?;
    let authority = engine.authority().await?;
    may_start(&authority, reference)?;
    let id = Uuid::new_v4().to_string();
    let key = engine.custody.generate(&id, algorithm).await?;
    let public = SshPublicKey::from_spki(key.reference.public_key.as_deref().unwrap_or_default())
        .map_err(|error| SshError::corrupt("the new key", error))?;
    let now = engine.now();
    let record = IssuerRecord {
        id: id.clone(),
        name: String::new(),
        key: Some(key),
        public_key: format!("{}\n", public.to_line()),
        created_at: now,
    };
    let added = Issuer::read(record)?;
    let (new, issuer) = (&id, &added);
    let outcome = engine
        .change("start rotation", move |draft| {
            let old = may_start(draft.authority(), reference)?;
            // What was replaced by this one before is over.
            let over: Vec<String> = draft
                .authority()
                .rotations
                .values()
                .filter(|other| other.new == old)
                .map(|other| other.old.clone())
                .collect();
            for other in over {
                draft.remove_rotation(&other);
            }
            draft.put_issuer(issuer.clone());
            let rotation = Rotation { old, new: new.clone(), phase: Phase::Standby, started_at: now, changed_at: now };
            draft.put_rotation(rotation.clone());
            Ok((rotation, Changes::default()))
        })
        .await;
    if outcome.is_err() {
        let _told = engine.destroy_key(&added).await;
    }
    outcome
}

fn may_start(authority: &Authority, reference: &str) -> Result<String, SshError> {
    let old = authority.issuer(reference)?.record.id.clone();
    match authority.rotation_of(&old) {
        Some(rotation) if rotation.phase != Phase::OldRetired || rotation.old == old => Err(SshError::Caller(format!(
            "issuer {old} is part of a rotation already, in phase {}",
            rotation.phase.name()
        ))),
        _ => Ok(old),
    }
}

async fn advance(engine: &SshAuthority, reference: &str, force: bool, call: &Call) -> Result<Rotation, SshError> {
    let requester = call.identity()?.display_name.clone();
    let authority = engine.authority().await?;
    let present = present(&authority, reference)?;
    if present.phase == Phase::SigningWithNew && !force {
        let end = engine.store.ssh().last_end(engine.mount(), &present.old).await?;
        if let Some(end) = end.filter(|end| *end > engine.now()) {
            return Err(SshError::Caller(format!(
                "the old key has signed certificates that are valid until {end}; advance then, or now with force=true, which ends them"
            )));
        }
    }
    let (requester, mount, now) = (&requester, engine.mount(), engine.now());
    engine
        .change("advance rotation", move |draft| {
            let mut rotation = self::present(draft.authority(), reference)?;
            if rotation.phase != present.phase {
                return Err(SshError::caller("the rotation was advanced by somebody else meanwhile"));
            }
            rotation.phase = rotation.phase.next().ok_or_else(|| SshError::caller("the rotation is at its end"))?;
            rotation.changed_at = now;
            let mut besides = Changes::default();
            match rotation.phase {
                Phase::SigningWithNew => swap(draft, &rotation.old, &rotation.new)?,
                Phase::OldRetired => {
                    let key = draft.authority().issuer(&rotation.old)?.public_key.blob().to_vec();
                    besides.ssh(SshChange::Revoke(retirement(mount, key, requester, now)));
                }
                Phase::Standby | Phase::BothTrusted => {}
            }
            draft.put_rotation(rotation.clone());
            Ok((rotation, besides))
        })
        .await
}

async fn roll_back(engine: &SshAuthority, reference: &str) -> Result<Rotation, SshError> {
    let now = engine.now();
    engine
        .change("roll rotation back", move |draft| {
            let mut rotation = present(draft.authority(), reference)?;
            let was = rotation.phase;
            rotation.phase = was.previous().ok_or_else(|| {
                SshError::Caller(match was {
                    Phase::Standby => {
                        format!("nothing to take back; delete issuer {} to give the rotation up", rotation.new)
                    }
                    _ => "the old key is revoked: that cannot be taken back; start another rotation".to_owned(),
                })
            })?;
            rotation.changed_at = now;
            if was == Phase::SigningWithNew {
                swap(draft, &rotation.new, &rotation.old)?;
            }
            draft.put_rotation(rotation.clone());
            Ok((rotation, Changes::default()))
        })
        .await
}

/// `to` takes over the name of `from`, and being the default.
fn swap(draft: &mut Draft, from: &str, to: &str) -> Result<(), SshError> {
    let mut leaving = draft.authority().issuer(from)?.as_ref().clone();
    let mut coming = draft.authority().issuer(to)?.as_ref().clone();
    let was_default = draft.authority().default == from;
    coming.record.name = std::mem::take(&mut leaving.record.name);
    draft.put_issuer(leaving);
    draft.put_issuer(coming);
    if was_default {
        draft.set_default(to.to_owned());
    }
    Ok(())
}

fn retirement(mount: &str, key: Vec<u8>, requester: &str, at: Timestamp) -> SshRevocationOrder {
    SshRevocationOrder {
        mount: mount.to_owned(),
        issuer: String::new(),
        target: SshRevocationTarget::Key(key),
        requester: requester.to_owned(),
        reason: "retired by a rotation".to_owned(),
        at,
        expires_at: None,
    }
}

fn present(authority: &Authority, reference: &str) -> Result<Rotation, SshError> {
    let issuer = authority.issuer(reference)?;
    authority
        .rotation_of(&issuer.record.id)
        .cloned()
        .ok_or_else(|| SshError::Caller(format!("issuer {} is part of no rotation", issuer.record.id)))
}

/// Roles that name the old key by its id: names and the default have moved on, ids have not.
async fn stuck_roles(engine: &SshAuthority, rotation: &Rotation) -> Result<Vec<String>, SshError> {
    if !matches!(rotation.phase, Phase::SigningWithNew | Phase::OldRetired) {
        return Ok(Vec::new());
    }
    let mut stuck = Vec::new();
    for name in engine.role_names().await? {
        if engine.role(&name).await?.is_some_and(|role| role.issuer_ref == rotation.old) {
            stuck.push(format!("role {name} names the old issuer by its id and goes on with it; set its issuer_ref"));
        }
    }
    Ok(stuck)
}

async fn render(engine: &SshAuthority, authority: &Authority, rotation: &Rotation) -> Result<Response, Fault> {
    let old = authority.issuer(&rotation.old)?;
    let new = authority.issuer(&rotation.new)?;
    let end = engine.store.ssh().last_end(engine.mount(), &rotation.old).await.map_err(SshError::from)?;
    let trusted = authority.trusted(&rotation.old);
    Response::data(&RotationView {
        phase: rotation.phase,
        next_phase: rotation.phase.next(),
        started_at: rotation.started_at.to_string(),
        changed_at: rotation.changed_at.to_string(),
        old_issuer_id: &rotation.old,
        old_public_key: &old.record.public_key,
        new_issuer_id: &rotation.new,
        new_public_key: &new.record.public_key,
        trusted_keys: trusted.iter().map(|issuer| issuer.record.public_key.trim_end()).collect(),
        old_certificates_end_at: end.map(|end| end.to_string()),
    })
}

/// `GET trusted_keys`; public.
pub(crate) async fn trusted_keys(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    lines(&engine, DEFAULT).await
}

/// `GET issuer/:ref/trusted_keys`; public.
pub(crate) async fn issuer_trusted_keys(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    lines(&engine, call.captures.text("issuer_ref")).await
}

async fn lines(engine: &SshAuthority, reference: &str) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let id = authority.issuer(reference)?.record.id.clone();
    let text: String = authority.trusted(&id).iter().map(|issuer| issuer.line()).collect();
    Ok(Response::raw("text/plain", text.into_bytes()))
}

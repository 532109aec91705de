//! `krl`, `issuer/:ref/krl`: the key revocation lists, as sshd reads them. `config/krl`: their comment.

use crate::{SshAuthority, error::SshError, revocation::Document, settings::KrlSettings, storage};
use chancery_engine::{Call, Fault, Response, wire::Text};
use serde::Deserialize;
use std::sync::Arc;

/// Longest comment.
const LONGEST_COMMENT: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KrlRequest {
    comment: Text,
}

/// `GET krl`; public.
pub(crate) async fn read(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    Ok(render(&engine.krl(None).await?))
}

/// `GET issuer/:ref/krl`; public.
pub(crate) async fn read_issuer(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let authority = engine.authority().await?;
    let issuer = authority.issuer_or_retired(call.captures.text("issuer_ref"))?;
    Ok(render(&engine.krl(Some(issuer)).await?))
}

/// A list may be kept, but whoever keeps one asks before each use whether it is still the newest.
fn render(document: &Document) -> Response {
    let mut answer = Response::raw("application/octet-stream", document.bytes.as_ref().clone());
    if let Some(raw) = &mut answer.raw {
        raw.headers.push(("etag", document.tag.clone()));
        raw.headers.push(("cache-control", "no-cache".to_owned()));
        raw.headers.push(("x-chancery-krl-version", document.version.to_string()));
    }
    answer
}

/// `GET config/krl`
pub(crate) async fn read_config(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.krl_settings().await?)
}

/// `POST config/krl`
pub(crate) async fn write_config(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: KrlRequest = call.parse()?;
    if request.comment.0.len() > LONGEST_COMMENT || request.comment.0.chars().any(char::is_control) {
        return Err(Fault::Caller(format!(
            "comment must have no control characters and at most {LONGEST_COMMENT} bytes"
        )));
    }
    let settings = KrlSettings { comment: request.comment.0 };
    let (engine, written) = (&engine, &settings);
    engine
        .store
        .transact("config/krl", move || async move {
            let (mut changes, _) = engine.next_version(false).await?;
            changes.put(&engine.view, storage::CONFIG_KRL, written)?;
            Ok::<_, SshError>((changes, ()))
        })
        .await?;
    Response::data(&settings)
}

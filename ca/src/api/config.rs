//! `config/urls`, `config/cluster`, `config/crl`.

use crate::{
    CertificateAuthority,
    crl::shard,
    error::CaError,
    settings::{ClusterSettings, CrlSettings, UrlSettings},
};
use chancery_engine::{
    Call, Fault, Response,
    wire::{CommaList, Count, Flag, Text},
};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UrlsRequest {
    issuing_certificates: Option<CommaList>,
    crl_distribution_points: Option<CommaList>,
    delta_crl_distribution_points: Option<CommaList>,
    ocsp_servers: Option<CommaList>,
    enable_templating: Option<Flag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClusterRequest {
    path: Option<Text>,
    aia_path: Option<Text>,
}

/// Stands for an issuer's id where it does not matter which.
const ANY_ISSUER: &str = "issuer";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CrlRequest {
    allow_expired_cert_revocation: Option<Flag>,
    auto_rebuild: Option<Flag>,
    auto_rebuild_grace_period: Option<Text>,
    delta_rebuild_interval: Option<Text>,
    disable: Option<Flag>,
    enable_delta: Option<Flag>,
    expiry: Option<Text>,
    ocsp_disable: Option<Flag>,
    ocsp_expiry: Option<Text>,
    shards: Option<Count>,
}

/// `GET config/urls`
pub(crate) async fn read_urls(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.authority().await?.url_settings)
}

/// `POST config/urls`: what is not stated stays.
pub(crate) async fn write_urls(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: UrlsRequest = call.parse()?;
    let settings: UrlSettings = engine
        .change("config/urls", |draft| {
            let settings = draft.url_settings();
            for (stated, list) in [
                (&request.issuing_certificates, &mut settings.urls.issuing_certificates),
                (&request.crl_distribution_points, &mut settings.urls.crl_distribution_points),
                (&request.delta_crl_distribution_points, &mut settings.urls.delta_crl_distribution_points),
                (&request.ocsp_servers, &mut settings.urls.ocsp_servers),
            ] {
                if let Some(stated) = stated {
                    list.clone_from(&stated.0);
                }
            }
            if let Some(flag) = request.enable_templating {
                settings.enable_templating = flag.0;
            }
            if !settings.enable_templating {
                settings.urls.check()?;
            }
            Ok(settings.clone())
        })
        .await?;
    let mut answer = Response::data(&settings)?;
    // Every issuer has an id, so this tells whether the cluster's addresses are there.
    let unfilled = engine.authority().await?.mount_urls(ANY_ISSUER).err();
    answer.warnings.extend(unfilled.map(|error| crate::urls::cannot_fill(&error)));
    Ok(answer)
}

/// `GET config/cluster`
pub(crate) async fn read_cluster(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.authority().await?.cluster_settings)
}

/// `POST config/cluster`: what is not stated stays.
pub(crate) async fn write_cluster(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: ClusterRequest = call.parse()?;
    let settings: ClusterSettings = engine
        .change("config/cluster", |draft| {
            let settings = draft.cluster_settings();
            for (member, stated, text) in
                [("path", &request.path, &mut settings.path), ("aia_path", &request.aia_path, &mut settings.aia_path)]
            {
                if let Some(stated) = stated {
                    ClusterSettings::check(member, &stated.0)?;
                    text.clone_from(&stated.0);
                }
            }
            Ok(settings.clone())
        })
        .await?;
    Response::data(&settings)
}

/// `GET config/crl`
pub(crate) async fn read_crl(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.authority().await?.crl_settings)
}

/// `POST config/crl`: what is not stated stays. Every CRL is rebuilt where the change shows in it.
pub(crate) async fn write_crl(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: CrlRequest = call.parse()?;
    let before = engine.authority().await?.crl_settings.clone();
    let settings: CrlSettings = engine
        .change("config/crl", |draft| {
            let settings = draft.crl_settings();
            for (stated, flag) in [
                (request.allow_expired_cert_revocation, &mut settings.allow_expired_cert_revocation),
                (request.auto_rebuild, &mut settings.auto_rebuild),
                (request.disable, &mut settings.disable),
                (request.enable_delta, &mut settings.enable_delta),
                (request.ocsp_disable, &mut settings.ocsp_disable),
            ] {
                if let Some(stated) = stated {
                    *flag = stated.0;
                }
            }
            for (stated, text) in [
                (&request.auto_rebuild_grace_period, &mut settings.auto_rebuild_grace_period),
                (&request.delta_rebuild_interval, &mut settings.delta_rebuild_interval),
                (&request.expiry, &mut settings.expiry),
                (&request.ocsp_expiry, &mut settings.ocsp_expiry),
            ] {
                if let Some(stated) = stated {
                    text.clone_from(&stated.0);
                }
            }
            if let Some(stated) = request.shards {
                settings.shards = shards(stated, settings.shards)?;
            }
            settings.check()?;
            Ok(settings.clone())
        })
        .await?;
    let mut answer = Response::data(&settings)?;
    if settings.shards > 0 && !shard::is_named_by(&engine.authority().await?.url_settings.urls) {
        answer = answer.warn(NO_SHARD_URL);
    }
    if before.disable != settings.disable || before.auto_rebuild != settings.auto_rebuild {
        answer.warnings = engine.publish_all().await?;
    }
    Ok(answer)
}

const NO_SHARD_URL: &str = "shards are set, but no crl_distribution_points of config/urls has {{shard}} in it; certificates name a shard only once one has (issuers with URLs of their own are judged by those).";

/// The new number of shards. It never shrinks: certificates name the shard they were given for as long as they live.
fn shards(stated: Count, present: u32) -> Result<u32, CaError> {
    let stated = u32::try_from(stated.0)
        .map_err(|_| CaError::Caller(format!("shards must be a number from 0 to {}", CrlSettings::MOST_SHARDS)))?;
    if stated < present {
        return Err(CaError::Caller(format!(
            "shards cannot shrink from {present} to {stated}: certificates that were issued name the shards there are"
        )));
    }
    Ok(stated)
}

//! `tidy`, `tidy-cancel`, `tidy-status`, `config/auto-tidy`.

use crate::{
    CertificateAuthority,
    error::CaError,
    storage,
    tidy::{AutoTidy, TidyJob, TidyState},
};
use chancery_engine::{
    Call, Fault, Response,
    response::Disposition,
    wire::{Count, DurationSeconds, Flag, Text},
};
use chancery_store::Changes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TidyRequest {
    enabled: Option<Flag>,
    interval_duration: Option<DurationSeconds>,
    maintain_stored_certificate_counts: Option<Flag>,
    publish_stored_certificate_count_metrics: Option<Flag>,
    tidy_cert_store: Option<Flag>,
    tidy_revoked_certs: Option<Flag>,
    /// The name before `tidy_revoked_certs`, in `tidy` only.
    tidy_revocation_list: Option<Flag>,
    tidy_invalid_certs: Option<Flag>,
    tidy_revoked_cert_issuer_associations: Option<Flag>,
    tidy_expired_issuers: Option<Flag>,
    tidy_move_legacy_ca_bundle: Option<Flag>,
    tidy_acme: Option<Flag>,
    safety_buffer: Option<DurationSeconds>,
    revoked_safety_buffer: Option<DurationSeconds>,
    issuer_safety_buffer: Option<DurationSeconds>,
    acme_account_safety_buffer: Option<DurationSeconds>,
    pause_duration: Option<Text>,
    page_size: Option<Count>,
}

#[derive(Serialize)]
struct StatusResponse {
    acme_account_deleted_count: Option<u64>,
    acme_account_revoked_count: Option<u64>,
    acme_account_safety_buffer: Option<i64>,
    acme_orders_deleted_count: Option<u64>,
    cert_store_deleted_count: Option<u64>,
    current_cert_store_count: Option<u64>,
    current_revoked_cert_count: Option<u64>,
    error: Option<String>,
    internal_backend_uuid: String,
    issuer_safety_buffer: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_auto_tidy_finished: Option<String>,
    message: Option<String>,
    missing_issuer_cert_count: Option<u64>,
    page_size: Option<i64>,
    pause_duration: Option<String>,
    revoked_cert_deleted_count: Option<u64>,
    revoked_safety_buffer: Option<i64>,
    safety_buffer: Option<i64>,
    state: &'static str,
    tidy_acme: Option<bool>,
    tidy_cert_store: Option<bool>,
    tidy_expired_issuers: Option<bool>,
    tidy_invalid_certs: Option<bool>,
    tidy_move_legacy_ca_bundle: Option<bool>,
    tidy_revoked_cert_issuer_associations: Option<bool>,
    tidy_revoked_certs: Option<bool>,
    time_finished: Option<String>,
    time_started: Option<String>,
    total_acme_account_count: Option<u64>,
}

impl TidyRequest {
    fn apply(&self, job: &mut TidyJob) -> Result<(), CaError> {
        for (stated, flag) in [
            (self.tidy_cert_store, &mut job.tidy_cert_store),
            (self.tidy_revoked_certs, &mut job.tidy_revoked_certs),
            (self.tidy_invalid_certs, &mut job.tidy_invalid_certs),
            (self.tidy_revoked_cert_issuer_associations, &mut job.tidy_revoked_cert_issuer_associations),
            (self.tidy_expired_issuers, &mut job.tidy_expired_issuers),
            (self.tidy_move_legacy_ca_bundle, &mut job.tidy_move_legacy_ca_bundle),
            (self.tidy_acme, &mut job.tidy_acme),
        ] {
            if let Some(stated) = stated {
                *flag = stated.0;
            }
        }
        for (name, stated, seconds) in [
            ("safety_buffer", self.safety_buffer, &mut job.safety_buffer),
            ("issuer_safety_buffer", self.issuer_safety_buffer, &mut job.issuer_safety_buffer),
            ("acme_account_safety_buffer", self.acme_account_safety_buffer, &mut job.acme_account_safety_buffer),
        ] {
            if let Some(stated) = stated {
                *seconds = positive(name, stated)?;
            }
        }
        // Revoked ones go as the others do, unless it is said otherwise.
        if let Some(stated) = self.revoked_safety_buffer.or(self.safety_buffer) {
            job.revoked_safety_buffer = positive("revoked_safety_buffer", stated)?;
        }
        if let Some(text) = &self.pause_duration {
            job.pause_duration.clone_from(&text.0);
        }
        if let Some(size) = self.page_size {
            job.page_size = size.0;
        }
        Ok(())
    }
}

fn positive(name: &str, stated: DurationSeconds) -> Result<i64, CaError> {
    if stated.0 < 0 {
        return Err(CaError::Caller(format!(
            "Field validation failed: error converting input for field \"{name}\": cannot provide negative value '{}'",
            stated.0
        )));
    }
    Ok(stated.0)
}

/// `tidy`
pub(crate) async fn tidy(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: TidyRequest = call.parse()?;
    let mut job = TidyJob::default();
    request.apply(&mut job)?;
    job.tidy_revoked_certs = request.tidy_revoked_certs.or(request.tidy_revocation_list).is_some_and(|flag| flag.0);
    job.check()?;
    let text = if job.is_empty() {
        format!(
            "Manual tidy requested but no tidy operations were set. Enable at least one tidy operation to be run ({}).",
            TidyJob::OPERATIONS
        )
    } else if engine.start_tidy(job) {
        "Tidy operation successfully started. Any information from the operation will be printed to OpenBao's server logs."
            .replace("OpenBao's", "the")
    } else {
        "Tidy operation already in progress.".to_owned()
    };
    Ok(Response::empty().warn(text).disposed(Disposition::Accepted))
}

/// `tidy-cancel`
pub(crate) async fn cancel(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    if !engine.cancel_tidy() {
        return Ok(Response::empty().warn("Tidy operation cannot be cancelled as none is currently running."));
    }
    status_of(&engine, "").await
}

/// `tidy-status`
pub(crate) async fn status(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    status_of(&engine, &call.mount.uuid).await
}

async fn status_of(engine: &CertificateAuthority, uuid: &str) -> Result<Response, Fault> {
    let last = engine.last_auto_tidy().await?;
    let status = engine.tidying.status.lock().clone();
    let was_run = status.state != TidyState::Inactive;
    let job = status.job.as_ref();
    let flag = |flag: fn(&TidyJob) -> bool| job.map(flag);
    let count = |count: u64| was_run.then_some(count);
    Response::data(&StatusResponse {
        acme_account_deleted_count: count(0),
        acme_account_revoked_count: count(0),
        acme_account_safety_buffer: job.map(|job| job.acme_account_safety_buffer),
        acme_orders_deleted_count: count(0),
        cert_store_deleted_count: count(status.certificates),
        current_cert_store_count: None,
        current_revoked_cert_count: None,
        error: status.error.clone(),
        internal_backend_uuid: uuid.to_owned(),
        issuer_safety_buffer: job.map(|job| job.issuer_safety_buffer),
        last_auto_tidy_finished: last.map(|at| at.to_string()),
        message: status.message.clone(),
        missing_issuer_cert_count: count(0),
        page_size: job.map(|job| job.page_size),
        pause_duration: job.map(|job| job.pause_duration.clone()),
        revoked_cert_deleted_count: count(status.revoked),
        revoked_safety_buffer: job.map(|job| job.revoked_safety_buffer),
        safety_buffer: job.map(|job| job.safety_buffer),
        state: status.state.as_str(),
        tidy_acme: flag(|job| job.tidy_acme),
        tidy_cert_store: flag(|job| job.tidy_cert_store),
        tidy_expired_issuers: flag(|job| job.tidy_expired_issuers),
        tidy_invalid_certs: flag(|job| job.tidy_invalid_certs),
        tidy_move_legacy_ca_bundle: flag(|job| job.tidy_move_legacy_ca_bundle),
        tidy_revoked_cert_issuer_associations: flag(|job| job.tidy_revoked_cert_issuer_associations),
        tidy_revoked_certs: flag(|job| job.tidy_revoked_certs),
        time_finished: status.finished_at.map(|at| at.to_string()),
        time_started: status.started_at.map(|at| at.to_string()),
        total_acme_account_count: count(0),
    })
}

/// `GET config/auto-tidy`
pub(crate) async fn read_auto(engine: Arc<CertificateAuthority>, _call: Call) -> Result<Response, Fault> {
    Response::data(&engine.auto_tidy().await?)
}

/// `POST config/auto-tidy`: what is not stated stays.
pub(crate) async fn write_auto(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: TidyRequest = call.parse()?;
    let request = &request;
    let engine = engine.as_ref();
    let settings = engine
        .store
        .transact("config/auto-tidy", || async move {
            let entry = engine.view.read(storage::CONFIG_AUTO_TIDY).await?;
            let mut settings: AutoTidy = entry.as_ref().map(|entry| entry.decode()).transpose()?.unwrap_or_default();
            request.apply(&mut settings.job)?;
            for (stated, flag) in [
                (request.enabled, &mut settings.enabled),
                (request.maintain_stored_certificate_counts, &mut settings.maintain_stored_certificate_counts),
                (
                    request.publish_stored_certificate_count_metrics,
                    &mut settings.publish_stored_certificate_count_metrics,
                ),
            ] {
                if let Some(stated) = stated {
                    *flag = stated.0;
                }
            }
            if let Some(stated) = request.interval_duration {
                settings.interval_duration = positive("interval_duration", stated)?;
            }
            settings.check()?;
            let mut changes = Changes::default();
            match entry {
                Some(entry) => {
                    changes.replace(&engine.view, storage::CONFIG_AUTO_TIDY, &settings, entry.version, None)?
                }
                None => changes.create(&engine.view, storage::CONFIG_AUTO_TIDY, &settings)?,
            };
            Ok::<_, CaError>((changes, settings))
        })
        .await?;
    Response::data(&settings)
}

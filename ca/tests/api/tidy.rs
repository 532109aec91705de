//! `tidy`, `tidy-cancel`, `tidy-status`, `config/auto-tidy`.

use crate::{
    harness::{Mount, tick},
    openssl::Openssl,
};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: i64 = 3600;

async fn finished(mount: &Mount) -> Value {
    for _ in 0..500 {
        let status = mount.read("tidy-status").await.ok();
        if status["state"] != "Running" {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the run does not end");
}

async fn tidy(mount: &Mount, job: Value) -> Value {
    let reply = mount.write("tidy", job).await;
    assert!(reply.warnings[0].starts_with("Tidy operation successfully started."), "{reply:?}");
    finished(mount).await
}

async fn issue(mount: &Mount) -> String {
    mount.write("issue/r", json!({"common_name": "a.b"})).await.text("serial_number")
}

async fn known(mount: &Mount, serial: &str) -> bool {
    mount.read(&format!("cert/{serial}")).await.status == 200
}

#[tokio::test]
async fn what_ended_long_ago_goes_and_the_rest_stays() {
    let mount = Mount::with_role(json!({"allow_any_name": true, "max_ttl": "500h"})).await;
    let old = issue(&mount).await;
    let young = mount.write("issue/r", json!({"common_name": "a.b", "ttl": "400h"})).await.text("serial_number");
    mount.clock.advance(72 * HOUR);
    let status = tidy(&mount, json!({"tidy_cert_store": true, "page_size": 1})).await;
    assert_eq!((&status["cert_store_deleted_count"], status["state"].as_str()), (&json!(0), Some("Finished")));
    mount.clock.advance(2 * HOUR);
    let status = tidy(&mount, json!({"tidy_cert_store": true, "page_size": 1})).await;
    assert_eq!(status["cert_store_deleted_count"], 1);
    assert!(!known(&mount, &old).await && known(&mount, &young).await);
    assert_eq!((&status["tidy_cert_store"], &status["page_size"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn cve_2021_29653_a_revoked_certificate_outlives_every_buffer_until_its_list_is_done_with_it() {
    let (mount, openssl) = (Mount::with_role(json!({"allow_any_name": true})).await, Openssl::new());
    let serial = issue(&mount).await;
    mount.write("revoke", json!({"serial_number": serial})).await.ok();
    let job = json!({"tidy_cert_store": true, "tidy_revoked_certs": true, "safety_buffer": "1s", "revoked_safety_buffer": "1s"});
    let listed = async || {
        mount.read("crl/rotate").await.ok();
        openssl.bytes("list.der", &mount.read("crl").await.raw);
        let text = openssl.must(&["crl", "-inform", "der", "-in", "list.der", "-noout", "-text"]);
        text.contains(&serial.replace(':', "").to_uppercase())
    };
    for hours in [2, 72, 72] {
        tidy(&mount, job.clone()).await;
        assert!(known(&mount, &serial).await, "within two periods of its end");
        if mount.now() < crate::harness::NOW + 73 * HOUR {
            assert!(listed().await);
        }
        mount.clock.advance(hours * HOUR);
    }
    let status = tidy(&mount, job).await;
    assert_eq!(status["revoked_cert_deleted_count"], 1);
    assert!(!known(&mount, &serial).await && !listed().await);
}

#[tokio::test]
async fn issuers_go_a_year_after_their_end_and_their_certificate_with_them() {
    let mount = Mount::with_root().await;
    mount.clock.advance(87_600 * HOUR + 364 * 24 * HOUR);
    tidy(&mount, json!({"tidy_expired_issuers": true, "tidy_cert_store": true})).await;
    assert_eq!(mount.list("issuers").await.ok()["keys"].as_array().unwrap().len(), 1);
    mount.clock.advance(2 * 24 * HOUR);
    tidy(&mount, json!({"tidy_expired_issuers": true})).await;
    assert_eq!(mount.list("issuers").await.status, 404);
    let status = tidy(&mount, json!({"tidy_cert_store": true})).await;
    assert_eq!(status["cert_store_deleted_count"], 1);
}

#[tokio::test]
async fn a_run_is_cancelled_at_the_end_of_its_page() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    for _ in 0..3 {
        issue(&mount).await;
    }
    mount.clock.advance(80 * HOUR);
    let job = json!({"tidy_cert_store": true, "page_size": 1, "pause_duration": "1s"});
    mount.write("tidy", job.clone()).await;
    let again = mount.write("tidy", job).await;
    assert_eq!(again.warnings, ["Tidy operation already in progress."]);
    let cancelled = mount.write("tidy-cancel", json!({})).await.ok();
    assert_eq!(cancelled["state"], "Cancelling");
    let mut status = mount.read("tidy-status").await.ok();
    while status["state"] == "Cancelling" {
        tokio::time::sleep(Duration::from_millis(50)).await;
        status = mount.read("tidy-status").await.ok();
    }
    assert_eq!(status["state"], "Cancelled");
    assert!(status["cert_store_deleted_count"].as_u64().unwrap() < 3);
    let none = mount.write("tidy-cancel", json!({})).await;
    assert_eq!(none.warnings, ["Tidy operation cannot be cancelled as none is currently running."]);
}

#[tokio::test]
async fn a_mount_tidies_itself_when_it_is_told_to() {
    let mount = Mount::with_role(json!({"allow_any_name": true})).await;
    let serial = issue(&mount).await;
    mount.clock.advance(80 * HOUR);
    tick(&mount, mount.now()).await.unwrap();
    assert_eq!(mount.read("tidy-status").await.ok()["state"], "Inactive");
    mount
        .write("config/auto-tidy", json!({"enabled": true, "tidy_cert_store": true, "interval_duration": "1h"}))
        .await
        .ok();
    // Another engine on the same store: of both, one starts.
    let other = Mount::beside(mount.store.clone(), mount.hsm.clone(), "1");
    other.clock.advance(80 * HOUR);
    tick(&mount, mount.now()).await.unwrap();
    tick(&other, other.now()).await.unwrap();
    finished(&mount).await;
    assert!(!known(&mount, &serial).await);
    let states = [mount.read("tidy-status").await.ok(), other.read("tidy-status").await.ok()];
    assert_eq!(states.map(|status| status["state"].clone()), [json!("Finished"), json!("Inactive")]);
}

#[tokio::test]
async fn settings_are_openbaos_and_contradictions_are_refused() {
    let mount = Mount::with_root().await;
    let none = mount.write("tidy", json!({})).await;
    assert!(none.warnings[0].starts_with("Manual tidy requested but no tidy operations were set."), "{none:?}");
    for (job, text) in [
        (json!({"tidy_cert_store": true, "safety_buffer": 0}), "safety_buffer must be greater than zero"),
        (json!({"tidy_cert_store": true, "issuer_safety_buffer": 0}), "issuer_safety_buffer must be greater than zero"),
        (json!({"tidy_cert_store": true, "revoked_safety_buffer": 0}), "revokedSafetyBuffer must be greater than zero"),
        (
            json!({"tidy_cert_store": true, "pause_duration": "x"}),
            "Error parsing pause_duration: time: invalid duration \"x\"",
        ),
        (
            json!({"tidy_cert_store": true, "safety_buffer": "-5s"}),
            "Field validation failed: error converting input for field \"safety_buffer\": cannot provide negative value '-5'",
        ),
    ] {
        mount.write("tidy", job).await.refused(text);
    }
    let auto = mount.read("config/auto-tidy").await.ok();
    assert_eq!(
        (&auto["enabled"], &auto["interval_duration"], &auto["safety_buffer"]),
        (&json!(false), &json!(43200), &json!(259_200))
    );
    assert_eq!(auto.as_object().unwrap().len(), 17);
    assert!(mount.write("config/auto-tidy", json!({"enabled": true})).await.error.starts_with("Auto-tidy enabled but"));
    let set = mount.write("config/auto-tidy", json!({"tidy_revoked_certs": true, "safety_buffer": "10s"})).await.ok();
    assert_eq!((&set["safety_buffer"], &set["revoked_safety_buffer"]), (&json!(10), &json!(10)));
}

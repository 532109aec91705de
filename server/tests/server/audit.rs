//! The audit log of a running appliance, and the proof over its file.

use crate::appliance::{Running, file_sink, settings, start, start_with};
use chancery_hsm::Hsm;
use chancery_server::audit::{NewDevice, Report, verify};
use chancery_store::Store;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn report(bytes: &[u8]) -> Report {
    verify(bytes, None).unwrap()
}

async fn audited(path: &Path) -> Running {
    let running = start().await;
    running.core().audit.enable(file_sink(path)).await.unwrap();
    running
}

#[tokio::test]
async fn a_request_leaves_a_line_before_and_after() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let running = audited(&path).await;
    let answer = running.root("POST", "/v1/kv/a", r#"{"password":"s3cret","count":5}"#).await;
    assert_eq!(answer.status, 204);
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    let (request, response) = (&lines[0], &lines[1]);
    assert_eq!(request["type"], "request");
    assert_eq!(response["type"], "response");
    for line in [request, response] {
        assert_eq!(line["request"]["path"], "kv/a");
        assert_eq!(line["request"]["operation"], "create");
        assert_eq!(line["request"]["mount_point"], "kv/");
        assert_eq!(line["request"]["mount_type"], "kv");
        assert_eq!(line["request"]["remote_address"], "127.0.0.1");
        assert_eq!(line["request"]["data"]["count"], 5);
        assert_eq!(line["auth"]["policies"][0], "root");
        assert_eq!(line["auth"]["policy_results"]["allowed"], true);
    }
    let hash = running.core().audit.hash("file", "s3cret").unwrap();
    assert_eq!(request["request"]["data"]["password"], hash.as_str());
    assert_eq!(request["request"]["client_token"], running.core().audit.hash("file/", &running.root).unwrap().as_str());
    assert!(running.core().audit.hash("nosuch", "x").is_err());
}

#[tokio::test]
async fn refusals_are_recorded_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let running = audited(&path).await;
    let weak = running.token(&["default"]).await;
    running.stranger("GET", "/v1/kv/a", "").await;
    running.with_token("wrong", "GET", "/v1/kv/a", "").await;
    running.with_token(&weak, "GET", "/v1/kv/a", "").await;
    running.root("GET", "/v1/nosuch/a", "").await;
    let lines = lines(&path);
    assert_eq!(lines.len(), 8);
    for pair in lines.chunks(2) {
        assert_eq!(pair[0]["error"], pair[1]["error"]);
        assert!(pair[0]["error"].is_string(), "{}", pair[0]);
    }
    assert_eq!(lines[4]["auth"]["policy_results"]["allowed"], false);
    assert_eq!(lines[4]["auth"]["display_name"], "token");
}

#[tokio::test]
async fn the_chain_holds_over_a_restart_and_is_signed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let (store, hsm) = (Store::memory().await.unwrap(), Hsm::software());
    let first = start_with(store.clone(), hsm.clone(), settings()).await;
    first.core().audit.enable(file_sink(&path)).await.unwrap();
    first.root("POST", "/v1/kv/a", r#"{"b":"c"}"#).await;
    first.appliance.shutdown().await;
    let second = start_with(store, hsm, settings()).await;
    second.root("GET", "/v1/kv/a", "").await;
    second.appliance.reload().await;
    second.root("GET", "/v1/kv/a", "").await;
    second.appliance.shutdown().await;
    let report = report(&std::fs::read(&path).unwrap());
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.lines, 8, "{report:?}");
    assert_eq!(report.checkpoints, 2);
    assert_eq!(report.signed_through, Some(7));
    assert_eq!(report.signing_keys.len(), 1);
}

#[tokio::test]
async fn every_tampering_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let running = audited(&path).await;
    for _ in 0..3 {
        running.root("GET", "/v1/kv/a", "").await;
    }
    running.core().audit.checkpoint().await;
    running.root("GET", "/v1/kv/a", "").await;
    running.core().audit.checkpoint().await;
    let sound = std::fs::read(&path).unwrap();
    assert!(report(&sound).is_sound());

    for index in (0..sound.len()).step_by(7) {
        let mut altered = sound.clone();
        altered[index] ^= 1;
        assert!(!report(&altered).is_sound(), "byte {index} of {}", sound.len());
    }
    let lines: Vec<&[u8]> = sound.split_inclusive(|byte| *byte == b'\n').collect();
    for index in 1..lines.len() - 1 {
        let dropped: Vec<u8> =
            lines.iter().enumerate().filter(|(at, _)| *at != index).flat_map(|(_, line)| line.to_vec()).collect();
        assert!(!report(&dropped).is_sound(), "line {index} dropped");
        let mut swapped = lines.clone();
        swapped.swap(index - 1, index);
        assert!(!report(&swapped.concat()).is_sound(), "line {index} swapped");
        let mut doubled = lines.clone();
        doubled.insert(index, lines[index]);
        assert!(!report(&doubled.concat()).is_sound(), "line {index} doubled");
    }
    assert!(!report(&sound[..sound.len() - 3]).is_sound(), "torn");
    let other_key = [0_u8; 91];
    assert!(!verify(sound.as_slice(), Some(&other_key)).unwrap().is_sound(), "another key is trusted");
}

#[tokio::test]
async fn a_file_cut_short_between_two_runs_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let (store, hsm) = (Store::memory().await.unwrap(), Hsm::software());
    let first = start_with(store.clone(), hsm.clone(), settings()).await;
    first.core().audit.enable(file_sink(&path)).await.unwrap();
    first.root("GET", "/v1/kv/a", "").await;
    first.root("GET", "/v1/kv/a", "").await;
    first.appliance.shutdown().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: String = text.split_inclusive('\n').take(2).collect();
    assert!(report(kept.as_bytes()).is_sound(), "by itself the shorter file looks whole");
    std::fs::write(&path, kept).unwrap();
    let second = start_with(store, hsm, settings()).await;
    second.root("GET", "/v1/kv/a", "").await;
    second.appliance.shutdown().await;
    assert!(!report(&std::fs::read(&path).unwrap()).is_sound());
}

#[tokio::test]
async fn nothing_is_done_when_no_sink_records_it() {
    let running = start().await;
    // Every write to this device fails as on a full disk.
    let options = BTreeMap::from([("file_path".to_owned(), "/dev/full".to_owned())]);
    let full = NewDevice { path: "full".to_owned(), kind: "file".to_owned(), options, ..NewDevice::default() };
    running.core().audit.enable(full).await.unwrap();
    let answer = running.root("POST", "/v1/kv/a", r#"{"b":"c"}"#).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.text, "{\"errors\":[\"failed to audit request, cannot continue\"]}\n");

    // One sink that works is enough.
    let directory = tempfile::tempdir().unwrap();
    running.core().audit.enable(file_sink(&directory.path().join("audit.log"))).await.unwrap();
    assert_eq!(running.root("GET", "/v1/kv/a", "").await.status, 404, "nothing was written before");
    assert_eq!(running.root("POST", "/v1/kv/a", r#"{"b":"c"}"#).await.status, 204);
}

#[tokio::test]
async fn sinks_come_and_go() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let running = audited(&path).await;
    let audit = &running.core().audit;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(audit.enable(file_sink(&path)).await.is_err(), "the path is taken");
    assert_eq!(audit.list()[0].path, "file/");
    assert!(audit.disable("file").await.unwrap());
    assert!(!audit.disable("file").await.unwrap());
    running.root("GET", "/v1/kv/a", "").await;
    assert!(audit.list().is_empty());
}

#[tokio::test]
async fn mounts_can_show_chosen_members_in_clear() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let running = audited(&path).await;
    let tuned = running.core().mounts.tune("kv", |tuning| {
        tuning.audit_non_hmac_request_keys = vec!["shown".to_owned()];
        Ok(())
    });
    tuned.await.unwrap();
    running.root("POST", "/v1/kv/a", r#"{"shown":"plain","hidden":"s3cret"}"#).await;
    let line = &lines(&path)[0];
    assert_eq!(line["request"]["data"]["shown"], "plain");
    assert!(line["request"]["data"]["hidden"].as_str().unwrap().starts_with("hmac-sha256:"));
}

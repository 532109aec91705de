//! Mounts that come, move and go while the appliance runs.

use crate::appliance::start;
use chancery_engine::Fault;
use chancery_server::mount::{MountClass, NewMount};

fn text(result: Result<impl Sized, Fault>) -> String {
    result.err().unwrap().to_string()
}

#[tokio::test]
async fn no_mount_stands_above_or_below_another() {
    let running = start().await;
    let mounts = &running.core().mounts;
    let new = |path: &str, kind: &str| NewMount::new(MountClass::Secret, path, kind);
    assert_eq!(text(mounts.mount(new("kv/deeper", "kv")).await), "path is already in use at kv/");
    mounts.mount(new("a/b", "kv")).await.unwrap();
    assert_eq!(text(mounts.mount(new("a", "kv")).await), "path is already in use at a/b/");
    assert_eq!(text(mounts.mount(new("sys/x", "kv")).await), "cannot mount \"sys/x/\"");
    assert_eq!(text(mounts.mount(new("auth/x", "kv")).await), "cannot mount \"auth/x/\"");
    assert_eq!(text(mounts.mount(new("x", "nosuch")).await), "plugin not found in the catalog: nosuch");
    assert_eq!(text(mounts.mount(new("x", "cubbyhole")).await), "mount type of \"cubbyhole\" is not mountable");
    assert_eq!(text(mounts.mount(new("x", "")).await), "backend type must be specified as a string");
}

#[tokio::test]
async fn a_mount_that_goes_takes_its_data_along() {
    let running = start().await;
    running.root("POST", "/v1/kv/a", r#"{"b":"c"}"#).await;
    assert!(running.core().unmount("kv").await.unwrap());
    assert!(!running.core().unmount("kv").await.unwrap());
    assert_eq!(running.root("GET", "/v1/kv/a", "").await.status, 404);
    running.core().mounts.mount(NewMount::new(MountClass::Secret, "kv", "kv")).await.unwrap();
    assert_eq!(running.root("GET", "/v1/kv/a", "").await.text, "{\"errors\":[]}\n");
    for path in ["sys", "cubbyhole", "auth/token"] {
        assert!(running.core().unmount(path).await.is_err() || running.core().mounts.at(path).is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_mount_that_moves_keeps_its_data() {
    let running = start().await;
    running.root("POST", "/v1/kv/a", r#"{"b":"c"}"#).await;
    let before = running.core().mounts.at("kv").unwrap().entry.accessor.clone();
    let moved = running.core().remount("kv", "moved/here").await.unwrap();
    assert_eq!(moved.entry.accessor, before);
    assert_eq!(running.root("GET", "/v1/moved/here/a", "").await.json()["data"]["b"], "c");
    assert_eq!(running.root("GET", "/v1/kv/a", "").await.status, 404);
    assert_eq!(text(running.core().remount("moved/here", "sys/x").await), "cannot remount to destination sys/x/");
    assert_eq!(text(running.core().remount("nope", "x").await), "no matching mount at \"nope/\"");
}

#[tokio::test]
async fn the_table_survives_a_seal() {
    let running = start().await;
    let tuned = running.core().mounts.tune("kv", |tuning| {
        tuning.description = "kept".to_owned();
        Ok(())
    });
    let uuid = tuned.await.unwrap().entry.uuid.clone();
    running.core().seal().await;
    assert!(running.core().mounts.at("kv").is_none());
    let hsm = running.core().hsm.clone().unwrap();
    running.core().store.barrier().unseal_with_hsm(&hsm).await.unwrap();
    running.core().opened().await.unwrap();
    let mounted = running.core().mounts.at("kv").unwrap();
    assert_eq!((mounted.entry.uuid.as_str(), mounted.entry.tuning.description.as_str()), (uuid.as_str(), "kept"));
}

//! A token's private storage.

use crate::rig::{ROOT, Rig};
use serde_json::json;

#[tokio::test]
async fn entries_are_the_tokens_own_and_die_with_it() {
    let rig = Rig::new().await;
    let token = rig.set("auth/token/create", json!({"policies": "default"})).await.token();
    rig.write(&token, "cubbyhole/x", json!({"a": 1})).await.unwrap();
    rig.write(&token, "cubbyhole/x/y", json!({"b": [2]})).await.unwrap();
    assert_eq!(rig.read(&token, "cubbyhole/x").await.unwrap().data, json!({"a": 1}));
    assert_eq!(rig.list(&token, "cubbyhole/").await.unwrap().data["keys"], json!(["x", "x/"]));
    assert_eq!(rig.list(&token, "cubbyhole/x").await.unwrap().data["keys"], json!(["y"]));
    assert_eq!(rig.read(ROOT, "cubbyhole/x").await.unwrap_err().to_string(), "not found");
    rig.delete(&token, "cubbyhole/x").await.unwrap();
    assert!(rig.read(&token, "cubbyhole/x").await.is_err());
    rig.set("auth/token/revoke", json!({"token": token})).await;
    assert!(rig.store.view("sys/cubbyhole").keys("", chancery_store::Page::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_no_entry() {
    let rig = Rig::new().await;
    assert_eq!(rig.refusal(ROOT, "cubbyhole/x", json!({})).await, "missing data fields");
    assert_eq!(rig.list(ROOT, "cubbyhole/").await.unwrap_err().to_string(), "not found");
}

#[tokio::test]
async fn batch_tokens_have_none() {
    let rig = Rig::new().await;
    let batch = rig.set("auth/token/create", json!({"policies": "default", "type": "batch"})).await.token();
    let text = rig.refusal(&batch, "cubbyhole/x", json!({"a": 1})).await;
    assert_eq!(text, "cubbyhole operations are only supported by \"service\" type tokens");
}

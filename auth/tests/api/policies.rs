//! Named policies.

use crate::rig::{ROOT, Rig};
use serde_json::json;

#[tokio::test]
async fn documents_are_kept_under_lower_case_names() {
    let rig = Rig::new().await;
    rig.policies.write("Team", "path \"a\" { policy = \"read\" }").await.unwrap();
    let document = rig.policies.read("TEAM").await.unwrap().unwrap();
    assert_eq!((document.source.as_str(), document.version), ("path \"a\" { policy = \"read\" }", 1));
    assert_eq!(rig.policies.list().await.unwrap(), ["default", "root", "team"]);
    rig.policies.delete("team").await.unwrap();
    assert!(rig.policies.read("team").await.unwrap().is_none());
}

#[tokio::test]
async fn built_in_policies_are_protected_in_every_spelling() {
    let rig = Rig::new().await;
    for name in ["root", "Root", " ROOT ", "response-wrapping", "Response-Wrapping"] {
        assert!(rig.policies.write(name, "").await.is_err(), "{name}");
        assert!(rig.policies.delete(name).await.is_err(), "{name}");
    }
    assert_eq!(rig.policies.delete("default").await.unwrap_err().to_string(), "cannot delete default policy");
    assert!(rig.policies.write("default", "path \"x\" { policy = \"read\" }").await.is_ok());
    for name in ["", "a/b", "a b", "a\u{0}b", "a,b"] {
        assert!(rig.policies.write(name, "").await.is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn a_changed_policy_binds_the_next_request() {
    let rig = Rig::new().await;
    let token = rig.token_with("path \"cubbyhole/x\" { policy = \"read\" }", json!({"no_default_policy": true})).await;
    assert_eq!(rig.read(&token, "cubbyhole/x").await.unwrap_err().to_string(), "not found");
    rig.policies.write("test", "path \"cubbyhole/x\" { policy = \"deny\" }").await.unwrap();
    assert_eq!(rig.read(&token, "cubbyhole/x").await.unwrap_err().to_string(), "permission denied");
    rig.policies.delete("test").await.unwrap();
    assert_eq!(rig.read(&token, "cubbyhole/x").await.unwrap_err().to_string(), "permission denied");
}

#[tokio::test]
async fn an_expiring_rule_ends_without_a_change() {
    let rig = Rig::new().await;
    let policy = "path \"cubbyhole/x\" { capabilities = [\"read\"] expiration = \"2023-11-14T22:30:00Z\" }";
    let token = rig.token_with(policy, json!({"no_default_policy": true})).await;
    assert_eq!(rig.read(&token, "cubbyhole/x").await.unwrap_err().to_string(), "not found");
    rig.clock.advance(3600);
    assert_eq!(rig.read(&token, "cubbyhole/x").await.unwrap_err().to_string(), "permission denied");
}

#[tokio::test]
async fn a_sealed_store_answers_sealed_and_forgets() {
    let rig = Rig::new().await;
    assert!(rig.is_alive(ROOT).await);
    rig.store.barrier().seal().await;
    rig.tokens.forget();
    let error = rig.read(ROOT, "auth/token/lookup-self").await.unwrap_err();
    assert!(matches!(error, chancery_engine::Fault::Sealed), "{error}");
}

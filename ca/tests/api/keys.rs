use crate::harness::Mount;
use serde_json::json;

#[tokio::test]
async fn keys_are_listed_read_renamed_and_deleted() {
    let mount = Mount::with_root().await;
    let made = mount.write("keys/generate/internal", json!({"key_type": "ec", "key_name": "kk"})).await.ok();
    assert_eq!(made, json!({"key_id": made["key_id"], "key_name": "kk", "key_type": "ec"}));
    let list = mount.list("keys").await.ok();
    assert_eq!(list["key_info"][made["key_id"].as_str().unwrap()], json!({"is_default": false, "key_name": "kk"}));
    let read = mount.read("key/kk").await.ok();
    assert_eq!(read["subject_key_id"].as_str().unwrap().len(), 59);
    assert_eq!(mount.write("key/kk", json!({"key_name": "k2"})).await.ok()["key_name"], "k2");
    mount
        .write("key/k2", json!({"key_name": "default"}))
        .await
        .refused("reserved keyword 'default' can not be used as key name");
    mount.read("key/kk").await.missing("unable to find PKI key for reference: kk");
    assert_eq!(mount.hsm.list().await.unwrap().len(), 2);
    assert_eq!(mount.delete("key/k2").await.status, 204);
    assert_eq!(mount.delete("key/k2").await.status, 204);
    assert_eq!(mount.hsm.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_in_use_stays() {
    let mount = Mount::with_root().await;
    let id = mount.read("issuer/root").await.text("issuer_id");
    mount.delete("key/default").await.refused(&format!("Failed to Delete Key.  Key in Use by Issuer: {id}"));
    assert_eq!(mount.hsm.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_default_key_can_be_chosen() {
    let mount = Mount::with_root().await;
    mount.write("keys/generate/internal", json!({"key_type": "ed25519", "key_name": "kk"})).await.ok();
    let id = mount.read("key/kk").await.text("key_id");
    assert_eq!(mount.write("config/keys", json!({"default": "kk"})).await.ok(), json!({"default": id}));
    mount
        .write("config/keys", json!({}))
        .await
        .refused("Invalid key specification; must be non-empty and can't be 'default'.");
    mount
        .write("config/keys", json!({"default": "zork"}))
        .await
        .refused("Error resolving issuer reference: unable to find PKI key for reference: zork");
    mount
        .write("keys/generate/internal", json!({"key_type": "ec", "key_name": "kk"}))
        .await
        .refused("key name already in use");
}

use crate::harness::Mount;
use serde_json::json;

#[tokio::test]
async fn issuers_follow_the_latest_where_told() {
    let mount = Mount::with_root().await;
    let id = mount.read("issuer/root").await.text("issuer_id");
    assert_eq!(mount.read("config/issuers").await.ok(), json!({"default": id, "default_follows_latest_issuer": false}));
    mount.write("config/issuers", json!({"default": "root", "default_follows_latest_issuer": "true"})).await.ok();
    let second = json!({"common_name": "Second", "key_type": "ec", "issuer_name": "second"});
    let second = mount.write("root/generate/internal", second).await.text("issuer_id");
    assert_eq!(mount.read("config/issuers").await.ok()["default"], second);
    mount
        .write("config/issuers", json!({}))
        .await
        .refused("Invalid issuer specification; must be non-empty and can't be 'default'.");
    mount
        .write("config/issuers", json!({"default": "zork"}))
        .await
        .refused("Error resolving issuer reference: unable to find PKI issuer for reference: zork");
    let list = mount.list("issuers").await.ok();
    assert_eq!(list["key_info"][&second]["is_default"], true);
    assert_eq!(list["key_info"][&id]["issuer_name"], "root");
}

#[tokio::test]
async fn urls_are_echoed_and_checked() {
    let mount = Mount::new().await;
    let empty = json!({"crl_distribution_points": [], "delta_crl_distribution_points": [], "enable_templating": false,
        "issuing_certificates": [], "ocsp_servers": []});
    assert_eq!(mount.read("config/urls").await.ok(), empty);
    mount
        .write("config/urls", json!({"issuing_certificates": "zork"}))
        .await
        .refused("invalid URL found in Authority Information Access (AIA) parameter issuing_certificates: zork");
    let set = json!({"issuing_certificates": "http://x/ca", "crl_distribution_points": ["http://x/crl"]});
    let data = mount.write("config/urls", set).await.ok();
    assert_eq!(data["crl_distribution_points"], json!(["http://x/crl"]));
    assert_eq!(
        mount.write("config/urls", json!({"ocsp_servers": "http://x/o"})).await.ok()["issuing_certificates"],
        json!(["http://x/ca"])
    );
}

#[tokio::test]
async fn crl_settings_are_echoed_as_written_and_checked() {
    let mount = Mount::new().await;
    let defaults = json!({"allow_expired_cert_revocation": false, "auto_rebuild": false, "auto_rebuild_grace_period": "12h",
        "delta_rebuild_interval": "15m", "disable": false, "enable_delta": false, "expiry": "72h", "ocsp_disable": false, "ocsp_expiry": "12h"});
    assert_eq!(mount.read("config/crl").await.ok(), defaults);
    assert_eq!(mount.write("config/crl", json!({"expiry": "48h"})).await.ok()["expiry"], "48h");
    mount
        .write("config/crl", json!({"expiry": "x"}))
        .await
        .refused("given expiry could not be decoded: time: invalid duration \"x\"");
    mount.write("config/crl", json!({"enable_delta": true})).await.refused(
        "Delta CRLs cannot be enabled when auto rebuilding is disabled as the complete CRL is always regenerated!",
    );
    assert_eq!(mount.read("config/crl").await.ok()["expiry"], "48h");
}

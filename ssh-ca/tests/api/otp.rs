//! One-time passwords: `creds`, `verify`, `lookup`, `config/zeroaddress`.

use crate::harness::Mount;
use chancery_engine::Engine;
use serde_json::json;

async fn mount() -> Mount {
    let mount = Mount::new().await;
    let role = json!({
        "key_type": "otp", "default_user": "u", "allowed_users": "v", "cidr_list": "10.0.0.0/8",
        "exclude_cidr_list": "10.1.0.0/16", "port": 2222,
    });
    assert_eq!(mount.write("roles/o", role).await.status, 204);
    assert_eq!(mount.write("roles/any", json!({"key_type": "otp", "default_user": "u"})).await.status, 204);
    mount
}

#[tokio::test]
async fn a_password_works_once_for_its_user_and_address() {
    let mount = mount().await;
    let made = mount.write("creds/o", json!({"ip": "10.2.3.4", "username": "v"})).await;
    assert!(made.lease.is_some());
    let made = made.ok();
    assert_eq!((&made["ip"], &made["port"], &made["username"]), (&json!("10.2.3.4"), &json!(2222), &json!("v")));
    let otp = made["key"].clone();
    let used = mount.write("verify", json!({"otp": otp})).await.ok();
    assert_eq!(used, json!({"ip": "10.2.3.4", "role_name": "o", "username": "v"}));
    mount.write("verify", json!({"otp": otp})).await.refused("OTP not found");
    for other in [json!({}), json!({"otp": ""}), json!({"otp": "zork"})] {
        mount.write("verify", other).await.refused("OTP not found");
    }
    assert_eq!(
        mount.write("verify", json!({"otp": "verify-echo-request"})).await.ok(),
        json!({"message": "verify-echo-response"})
    );
}

#[tokio::test]
async fn a_password_ends_with_its_lease_and_by_itself() {
    let mount = mount().await;
    let made = mount.write("creds/o", json!({"ip": "10.2.3.4"})).await;
    let lease = made.lease.clone().unwrap();
    mount.engine.revoke_lease(&lease.internal).await.unwrap();
    mount.write("verify", json!({"otp": made.data["key"]})).await.refused("OTP not found");
    let made = mount.write("creds/o", json!({"ip": "10.2.3.4"})).await.ok();
    mount.clock.advance(2_764_800);
    mount.write("verify", json!({"otp": made["key"]})).await.refused("OTP not found");
}

#[tokio::test]
async fn passwords_are_for_the_roles_users_and_addresses_only() {
    let mount = mount().await;
    mount.role("ca", json!({"allow_user_certificates": true})).await;
    let outside = "Error validating IP: IP does not belong to role";
    for (role, body, text) in [
        ("nope", json!({"ip": "10.2.3.4"}), "Role \"nope\" not found"),
        ("o", json!({}), "Missing ip"),
        ("o", json!({"ip": "zork"}), "Invalid IP \"zork\""),
        ("o", json!({"ip": "11.0.0.1"}), outside),
        ("o", json!({"ip": "10.1.0.1"}), outside),
        ("o", json!({"ip": "10.2.3.4", "username": "w"}), "Username is not present is allowed users list"),
        ("any", json!({"ip": "10.2.3.4"}), outside),
        ("ca", json!({"ip": "10.2.3.4"}), outside),
    ] {
        mount.write(&format!("creds/{role}"), body).await.refused(text);
    }
}

#[tokio::test]
async fn zero_address_roles_are_for_any_address() {
    let mount = mount().await;
    assert_eq!(mount.read("config/zeroaddress").await.status, 404);
    mount.write("config/zeroaddress", json!({})).await.refused("Missing roles");
    mount.write("config/zeroaddress", json!({"roles": "nope"})).await.refused("Role \"nope\" does not exist");
    assert_eq!(mount.write("config/zeroaddress", json!({"roles": "any"})).await.status, 204);
    assert_eq!(mount.read("config/zeroaddress").await.ok(), json!({"roles": ["any"]}));
    mount.write("creds/any", json!({"ip": "2001:db8::1"})).await.ok();
    let roles = async |ip: &str| mount.write("lookup", json!({"ip": ip})).await.ok()["roles"].clone();
    assert_eq!(roles("10.2.3.4").await, json!(["any", "o"]));
    assert_eq!(roles("99.0.0.1").await, json!(["any"]));
    mount.write("lookup", json!({})).await.refused("Missing ip");
    assert_eq!(mount.delete("config/zeroaddress").await.status, 204);
    assert_eq!(roles("99.0.0.1").await, json!(null));
    assert_eq!(mount.delete("tidy/dynamic-keys").await.ok(), json!({"message": "Removed 0 of 0 host keys."}));
}

//! `certs/search`, `certs/detailed`.

use crate::harness::{Mount, Reply};
use chancery_engine::Verb;
use serde_json::{Value, json};

async fn search(mount: &Mount, parameters: Value) -> Reply {
    mount.send(Verb::Read, "certs/search", parameters.to_string().into_bytes()).await
}

async fn names(mount: &Mount, parameters: Value) -> Vec<String> {
    let reply = search(mount, parameters).await;
    if reply.status == 404 {
        return Vec::new();
    }
    let data = reply.ok();
    let info = |key: &Value| data["key_info"][key.as_str().unwrap()]["common_name"].as_str().unwrap().to_owned();
    data["keys"].as_array().unwrap().iter().map(info).collect()
}

async fn filled() -> Mount {
    let mount = Mount::with_role(json!({"allow_any_name": true, "max_ttl": "100h"})).await;
    mount.role("other", json!({"allow_any_name": true, "key_type": "ed25519", "max_ttl": "100h"})).await;
    for (role, name, ttl) in [("r", "c.b", "3h"), ("other", "a.b", "2h"), ("r", "b.b", "1h"), ("r", "d.b", "4h")] {
        let request = json!({"common_name": name, "ttl": ttl, "alt_names": "shared.b"});
        mount.write(&format!("issue/{role}"), request).await.ok();
    }
    mount
}

#[tokio::test]
async fn certificates_are_found_by_what_they_say_and_sorted() {
    let mount = filled().await;
    let root = "Root".to_owned();
    for (parameters, expected) in [
        (json!({"role": "r"}), vec!["b.b", "c.b", "d.b"]),
        (json!({"role": "r", "descending": true}), vec!["d.b", "c.b", "b.b"]),
        (json!({"name": "shared.b", "sort": "common_name"}), vec!["a.b", "b.b", "c.b", "d.b"]),
        (json!({"common_name": "a.b"}), vec!["a.b"]),
        (json!({"key_type": "ed25519"}), vec!["a.b"]),
        (
            json!({"issuer": "root", "requester": "root", "name": "shared.b", "sort": "created"}),
            vec!["c.b", "a.b", "b.b", "d.b"],
        ),
        (json!({"expires_before": "150m"}), vec!["b.b", "a.b"]),
        (json!({"expires_after": "150m", "expires_before": "2026-11-21T03:30:00Z"}), vec!["c.b"]),
        (json!({"status": "revoked"}), vec![]),
        (json!({"status": "valid", "sort": "common_name", "role": "other"}), vec!["a.b"]),
    ] {
        assert_eq!(names(&mount, parameters.clone()).await, expected, "{parameters}");
    }
    assert!(names(&mount, json!({})).await.contains(&root), "a root is in its own inventory");
    mount.clock.advance(5400);
    assert_eq!(names(&mount, json!({"status": "expired"})).await, ["b.b"]);
    assert!(!names(&mount, json!({"status": "valid"})).await.contains(&"b.b".to_owned()));
}

#[tokio::test]
async fn a_page_says_where_the_next_one_begins() {
    let mount = filled().await;
    let mut after = String::new();
    let mut found = Vec::new();
    loop {
        let data = search(&mount, json!({"sort": "common_name", "limit": 2, "after": after})).await.ok();
        found.extend(data["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()));
        after = data["next"].as_str().unwrap().to_owned();
        if after.is_empty() {
            break;
        }
    }
    let all = search(&mount, json!({"sort": "common_name"})).await.ok();
    assert_eq!(json!(found), all["keys"]);
    assert_eq!(found.len(), 5);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let mount = filled().await;
    for (parameters, text) in [
        (json!({"status": "bad"}), "status must be valid, expired, revoked, intended or any, got \"bad\""),
        (
            json!({"sort": "x"}),
            "sort must be expiry, created, common_name, issuer, role, requester, key_type or status, got \"x\"",
        ),
        (json!({"limit": 5000}), "limit must be a number from 1 to 1000, got 5000"),
        (json!({"limit": -1}), "limit must be a number from 1 to 1000, got -1"),
        (json!({"after": "zork"}), "after must be the `next` of another page"),
        (
            json!({"expires_before": "soon"}),
            "expires_before must be a time in RFC 3339 or a duration such as 30d, got \"soon\"",
        ),
    ] {
        search(&mount, parameters).await.refused(text);
    }
    assert_eq!(search(&mount, json!({"role": "' OR 1=1 --"})).await.status, 404);
    assert_eq!(search(&mount, json!({"serial_number": "00:11"})).await.status, 404);
}

#[tokio::test]
async fn a_revoked_certificate_is_shown_with_when_and_by_serial_number() {
    let mount = filled().await;
    let serial = search(&mount, json!({"common_name": "a.b"})).await.ok()["keys"][0].as_str().unwrap().to_owned();
    mount.write("revoke", json!({"serial_number": serial})).await.ok();
    let data = search(&mount, json!({"serial_number": serial.replace(':', "-")})).await.ok();
    let info = &data["key_info"][&serial];
    assert_eq!((info["status"].as_str(), info["role"].as_str()), (Some("revoked"), Some("other")));
    assert_eq!(info["revocation_time"], "2026-11-21T00:00:00Z");
    assert_eq!(info["issuer_name"], "root");
    assert_eq!(info["requester"], "root");
    assert!(info["names"].as_array().unwrap().contains(&json!("shared.b")));
    assert_eq!(mount.list("certs/search").await.ok()["keys"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn the_detailed_list_is_openbaos() {
    let mount = filled().await;
    let data = mount.list("certs/detailed").await.ok();
    let keys = data["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 5);
    let one = keys.iter().map(|key| &data["key_info"][key.as_str().unwrap()]);
    let one = one.into_iter().find(|info| info["common_name"] == "c.b").unwrap();
    assert_eq!(
        one,
        &json!({"common_name": "c.b", "dns_names": ["c.b", "shared.b"], "issuer": "CN=Root", "key_bits": 256,
            "key_type": "ec", "not_after": one["not_after"], "not_before": "2026-11-20T23:59:30Z"})
    );
    let page = mount.send(Verb::List, "certs/detailed", json!({"limit": 2, "after": keys[1]}).to_string().into_bytes());
    assert_eq!(page.await.ok()["keys"], json!(keys[2..4]));
}

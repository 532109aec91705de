//! A walk over every route of every mounted engine (style: no endpoint without a denied case).

use crate::appliance::{Running, file_sink, start};
use chancery_engine::{Access, Verb};
use chancery_server::mount::{MountClass, NewMount};

/// A path that matches the pattern.
fn path_of(mount: &str, pattern: &str) -> String {
    let filled: Vec<&str> =
        pattern.split('/').map(|part| if part.starts_with([':', '*', '{']) { "filled" } else { part }).collect();
    format!("/v1/{mount}{}", filled.join("/")).trim_end_matches('/').to_owned()
}

pub(crate) fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "GET",
        Verb::List => "LIST",
        Verb::Scan => "SCAN",
        Verb::Write => "POST",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
    }
}

pub(crate) async fn mount_everything(running: &Running) {
    for (class, path, kind) in [
        (MountClass::Secret, "transit", "transit"),
        (MountClass::Secret, "pki", "pki"),
        (MountClass::Secret, "versioned", "kv-v2"),
        (MountClass::Auth, "auth/userpass", "userpass"),
        (MountClass::Auth, "auth/approle", "approle"),
    ] {
        running.core().mounts.mount(NewMount::new(class, path, kind)).await.unwrap();
    }
}

#[tokio::test]
async fn no_route_lets_a_stranger_in_and_every_denial_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    let running = start().await;
    mount_everything(&running).await;
    running.core().audit.enable(file_sink(&log)).await.unwrap();
    let weak = running.token(&["nothing"]).await;
    let mut walked = 0;
    for mounted in running.core().mounts.all() {
        for route in mounted.engine.describe().iter().filter(|route| route.access != Access::Public) {
            let path = path_of(&mounted.entry.path, route.pattern);
            for verb in &route.verbs {
                for token in ["", "wrong", weak.as_str()] {
                    let before = std::fs::read_to_string(&log).unwrap().lines().count();
                    let request = running.request(method(*verb), &path).header("X-Vault-Token", token);
                    let request = match verb {
                        Verb::Patch => request.header("Content-Type", "application/merge-patch+json").body("{}"),
                        _ => request,
                    };
                    let status = request.send().await.unwrap().status().as_u16();
                    assert_eq!(status, 403, "{verb:?} {path} with {token:?}");
                    let after = std::fs::read_to_string(&log).unwrap();
                    let last = after.lines().last().unwrap();
                    assert_eq!(after.lines().count(), before + 2, "{verb:?} {path} left no pair of lines");
                    assert!(last.contains("permission denied"), "{last}");
                    walked += 1;
                }
            }
        }
    }
    assert!(walked > 60, "only {walked} calls were tried");
}

//! Leases of secrets and of tokens.

use crate::rig::{ROOT, Rig};
use async_trait::async_trait;
use chancery_auth::LeaseRevoker;
use chancery_engine::{Clock, Fault, MountPoint, SecretString, response::LeaseGrant};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Default)]
struct Recorder {
    revoked: Mutex<Vec<String>>,
    fails: AtomicBool,
}

#[async_trait]
impl LeaseRevoker for Recorder {
    async fn revoke(&self, mount_uuid: &str, internal: &[u8]) -> Result<(), Fault> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Fault::Dependency("down".to_owned()));
        }
        self.revoked.lock().unwrap().push(format!("{mount_uuid} {}", String::from_utf8_lossy(internal)));
        Ok(())
    }
}

fn point() -> MountPoint {
    MountPoint {
        path: "database/".to_owned(),
        kind: "database".to_owned(),
        accessor: String::new(),
        uuid: "db".to_owned(),
        default_lease_ttl: 100,
        max_lease_ttl: 1000,
        options: BTreeMap::new(),
    }
}

fn grant(ttl: u64, internal: &str) -> LeaseGrant {
    LeaseGrant { ttl, max_ttl: 0, renewable: true, internal: internal.as_bytes().to_vec() }
}

async fn rig() -> (Rig, Arc<Recorder>) {
    let rig = Rig::new().await;
    let recorder = Arc::new(Recorder::default());
    let shared: Arc<dyn LeaseRevoker> = Arc::clone(&recorder) as Arc<dyn LeaseRevoker>;
    rig.leases.set_revoker(Arc::downgrade(&shared));
    (rig, recorder)
}

async fn register(rig: &Rig, token: &str, grant: &LeaseGrant) -> String {
    let identity = rig.tokens.authenticate(&SecretString::new(token.to_owned()), Some(rig.client.ip())).await.unwrap();
    rig.leases.register(grant, &point(), "database/creds/r", &identity).await.unwrap().lease_id
}

#[tokio::test]
async fn a_lease_is_looked_up_renewed_and_revoked() {
    let (rig, recorder) = rig().await;
    let id = register(&rig, ROOT, &grant(0, "one")).await;
    assert!(id.starts_with("database/creds/r/"));
    let known = rig.leases.lookup(&id).await.unwrap();
    assert_eq!((known.ttl, known.renewable, known.last_renewal), (100, true, None));
    rig.clock.advance(60);
    assert_eq!(rig.leases.renew(&id, 500).await.unwrap().lease_duration, 500);
    assert_eq!(rig.leases.renew(&id, 5000).await.unwrap().lease_duration, 940);
    rig.leases.revoke(&id).await.unwrap();
    assert_eq!(*recorder.revoked.lock().unwrap(), ["db one"]);
    assert_eq!(rig.leases.lookup(&id).await.unwrap_err().to_string(), "invalid lease");
    assert_eq!(rig.leases.renew(&id, 0).await.unwrap_err().to_string(), "lease not found");
    rig.leases.revoke(&id).await.unwrap();
    assert_eq!(recorder.revoked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn cve_2019_18616_leases_die_with_their_token() {
    let (rig, recorder) = rig().await;
    let parent = rig.token_with("path \"auth/token/*\" { policy = \"write\" }", json!({})).await;
    let child = rig.write(&parent, "auth/token/create", json!({})).await.unwrap().token();
    register(&rig, &child, &grant(50, "of child")).await;
    rig.set("auth/token/revoke", json!({"token": parent})).await;
    assert_eq!(*recorder.revoked.lock().unwrap(), ["db of child"]);
    assert_eq!(rig.leases.count("database").await.unwrap(), 0);
}

#[tokio::test]
async fn a_failed_revocation_is_tried_again() {
    let (rig, recorder) = rig().await;
    let token = rig.token_with("path \"x\" { policy = \"read\" }", json!({})).await;
    let id = register(&rig, &token, &grant(50, "stubborn")).await;
    recorder.fails.store(true, Ordering::SeqCst);
    rig.set("auth/token/revoke", json!({"token": token})).await;
    assert_eq!(rig.leases.count("database").await.unwrap(), 1);
    assert!(rig.leases.lookup(&id).await.is_err());
    recorder.fails.store(false, Ordering::SeqCst);
    rig.clock.advance(3600);
    rig.leases.sweep(rig.clock.now(), 100).await.unwrap();
    assert_eq!(*recorder.revoked.lock().unwrap(), ["db stubborn"]);
    assert_eq!(rig.leases.count("database").await.unwrap(), 0);
}

#[tokio::test]
async fn the_sweeper_ends_what_is_due_and_nothing_else() {
    let (rig, recorder) = rig().await;
    register(&rig, ROOT, &grant(10, "short")).await;
    register(&rig, ROOT, &grant(500, "long")).await;
    rig.clock.advance(10);
    rig.leases.sweep(rig.clock.now(), 100).await.unwrap();
    assert_eq!(*recorder.revoked.lock().unwrap(), ["db short"]);
    assert_eq!(rig.leases.count("").await.unwrap(), 1);
}

#[tokio::test]
async fn prefixes_are_folders() {
    let (rig, recorder) = rig().await;
    register(&rig, ROOT, &grant(10, "a")).await;
    rig.leases.revoke_prefix("data").await.unwrap();
    assert!(recorder.revoked.lock().unwrap().is_empty());
    assert_eq!(rig.leases.list("").await.unwrap(), ["database/"]);
    recorder.fails.store(true, Ordering::SeqCst);
    assert!(rig.leases.revoke_prefix("database/creds").await.is_err());
    rig.leases.revoke_force("database/creds").await.unwrap();
    assert_eq!(rig.leases.count("").await.unwrap(), 0);
}

#[tokio::test]
async fn login_tokens_are_leases_under_the_login_path() {
    let (rig, _) = rig().await;
    rig.set("auth/userpass/users/bob", json!({"password": "pw"})).await;
    let token = rig.write("", "auth/userpass/login/bob", json!({"password": "pw"})).await.unwrap().token();
    let names = rig.leases.list("auth/userpass/login/bob").await.unwrap();
    let id = format!("auth/userpass/login/bob/{}", names[0]);
    let known = rig.leases.lookup(&id).await.unwrap();
    assert_eq!((known.ttl, known.renewable), (2_764_800, true));
    let text = rig.leases.renew(&id, 10).await.unwrap_err().to_string();
    assert_eq!(text, "tokens cannot be renewed through this endpoint");
    rig.leases.revoke_prefix("auth/userpass").await.unwrap();
    assert!(!rig.is_alive(&token).await);
    assert!(rig.leases.list("auth/userpass").await.unwrap().is_empty());
}

#[tokio::test]
async fn no_lease_is_registered_for_a_token_that_is_gone() {
    let (rig, _) = rig().await;
    let token = rig.token_with("path \"x\" { policy = \"read\" }", json!({})).await;
    let identity = rig.tokens.authenticate(&SecretString::new(token.clone()), None).await.unwrap();
    rig.set("auth/token/revoke", json!({"token": token})).await;
    let refused = rig.leases.register(&grant(10, "x"), &point(), "database/creds/r", &identity).await;
    assert!(matches!(refused, Err(Fault::Denied)));
}

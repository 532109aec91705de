//! The SSH inventory: certificates, searches, retention, revocations.

use chancery_store::{
    Changes, SshCertificate, SshCertificateKind, SshChange, SshFilter, SshPage, SshRevocationOrder,
    SshRevocationTarget, Store, StoreError,
};
use jiff::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A certificate whose fields all depend on its serial number.
fn certificate(mount: &str, serial: u64) -> SshCertificate {
    let small = i64::try_from(serial % 1000).unwrap();
    SshCertificate {
        mount: mount.to_owned(),
        serial,
        issuer: format!("issuer-{}", serial % 2),
        kind: if serial % 4 == 3 { SshCertificateKind::Host } else { SshCertificateKind::User },
        key_id: format!("key-{}", serial % 3),
        principals: vec![format!("z-{serial}"), "shared".to_owned(), format!("a-{serial}")],
        role: format!("role-{}", serial % 5),
        requester: format!("requester-{}", serial % 7),
        source: "192.0.2.1".to_owned(),
        key_type: "ssh-ed25519".to_owned(),
        fingerprint: format!("SHA256:{}", serial % 11),
        valid_after: at(0),
        valid_before: at(1000 - small),
        created_at: at(small),
        certificate: serial.to_be_bytes().to_vec(),
    }
}

async fn change(store: &Store, change: SshChange) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    changes.ssh(change);
    store.commit(changes).await.map(|_| ())
}

async fn sign(store: &Store, mount: &str, serials: impl IntoIterator<Item = u64>) {
    let mut changes = Changes::default();
    for serial in serials {
        changes.ssh(SshChange::Signed(certificate(mount, serial)));
    }
    store.commit(changes).await.unwrap();
}

async fn found(store: &Store, filter: SshFilter, page: SshPage) -> Vec<u64> {
    store.ssh().search("m", filter, page).await.unwrap().iter().map(|row| row.serial).collect()
}

fn order(mount: &str, target: SshRevocationTarget) -> SshRevocationOrder {
    SshRevocationOrder {
        mount: mount.to_owned(),
        issuer: "issuer-0".to_owned(),
        target,
        requester: "root".to_owned(),
        reason: "lost".to_owned(),
        at: at(5),
        expires_at: None,
    }
}

pub(crate) async fn an_ssh_certificate_is_read_back_whole(store: Store) {
    for serial in [1, 7, u64::MAX] {
        assert_eq!(store.ssh().by_serial("m", serial).await.unwrap(), None);
        sign(&store, "m", [serial]).await;
        assert_eq!(store.ssh().by_serial("m", serial).await.unwrap(), Some(certificate("m", serial)));
    }
}

pub(crate) async fn an_ssh_serial_number_is_used_once_per_mount(store: Store) {
    sign(&store, "m", [1]).await;
    let again = change(&store, SshChange::Signed(certificate("m", 1))).await;
    assert!(matches!(again, Err(StoreError::Conflict)));
    sign(&store, "other", [1]).await;
    let mut changes = Changes::default();
    changes.ssh(SshChange::Signed(certificate("m", 2))).ssh(SshChange::Signed(certificate("m", 2)));
    assert!(matches!(store.commit(changes).await, Err(StoreError::Conflict)));
    assert_eq!(store.ssh().by_serial("m", 2).await.unwrap(), None, "all or none");
}

pub(crate) async fn ssh_search_finds_by_every_field_in_pages(store: Store) {
    sign(&store, "m", 1..=20).await;
    sign(&store, "other", 1..=3).await;
    let text = |text: &str| Some(text.to_owned());
    let none = SshFilter::default;
    let cases = [
        (none(), (1..=20).collect::<Vec<_>>()),
        (SshFilter { issuer: text("issuer-0"), ..none() }, (1..=10).map(|n| 2 * n).collect()),
        (SshFilter { role: text("role-4"), ..none() }, vec![4, 9, 14, 19]),
        (SshFilter { requester: text("requester-6"), ..none() }, vec![6, 13, 20]),
        (SshFilter { key_id: text("key-0"), role: text("role-0"), ..none() }, vec![15]),
        (SshFilter { fingerprint: text("SHA256:8"), ..none() }, vec![8, 19]),
        (SshFilter { principal: text("a-5"), ..none() }, vec![5]),
        (SshFilter { kind: Some(SshCertificateKind::Host), ..none() }, vec![3, 7, 11, 15, 19]),
        (SshFilter { ends_from: Some(at(998)), ..none() }, vec![1, 2]),
        (SshFilter { ends_before: Some(at(982)), ..none() }, vec![19, 20]),
        (SshFilter { principal: text("nobody"), ..none() }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&store, filter.clone(), SshPage::default()).await, expected, "{filter:?}");
    }
    let shared = SshFilter { principal: text("shared"), ..none() };
    assert_eq!(found(&store, shared.clone(), SshPage { after: Some(9), limit: Some(3) }).await, [10, 11, 12]);
    assert!(found(&store, shared, SshPage { after: Some(20), limit: Some(3) }).await.is_empty());
}

pub(crate) async fn ended_ssh_certificates_are_forgotten_first_ended_first(store: Store) {
    sign(&store, "m", 1..=6).await;
    sign(&store, "other", [6]).await;
    let forget = |limit| SshChange::ForgetEnded { mount: "m".to_owned(), before: at(998), limit };
    change(&store, forget(2)).await.unwrap();
    assert_eq!(found(&store, SshFilter::default(), SshPage::default()).await, [1, 2, 3, 4]);
    change(&store, forget(9)).await.unwrap();
    assert_eq!(found(&store, SshFilter::default(), SshPage::default()).await, [1, 2]);
    let by_name = SshFilter { principal: Some("a-6".to_owned()), ..SshFilter::default() };
    assert!(found(&store, by_name, SshPage::default()).await.is_empty());
    assert!(store.ssh().by_serial("other", 6).await.unwrap().is_some());
}

pub(crate) async fn the_last_end_is_that_of_the_issuer(store: Store) {
    assert_eq!(store.ssh().last_end("m", "issuer-0").await.unwrap(), None);
    sign(&store, "m", 1..=6).await;
    assert_eq!(store.ssh().last_end("m", "issuer-0").await.unwrap(), Some(at(998)));
    assert_eq!(store.ssh().last_end("m", "issuer-1").await.unwrap(), Some(at(999)));
    assert_eq!(store.ssh().last_end("other", "issuer-1").await.unwrap(), None);
}

pub(crate) async fn revocations_come_in_order_with_ids_never_given_twice(store: Store) {
    let targets = [
        SshRevocationTarget::Serials { first: 1, last: u64::MAX },
        SshRevocationTarget::KeyId("käthe".to_owned()),
        SshRevocationTarget::Key(vec![0, 0, 0, 1]),
        SshRevocationTarget::Fingerprint(vec![9; 32]),
    ];
    for target in &targets {
        change(&store, SshChange::Revoke(order("m", target.clone()))).await.unwrap();
    }
    change(&store, SshChange::Revoke(order("other", targets[0].clone()))).await.unwrap();
    let read = |page: SshPage| {
        let inventory = store.ssh();
        async move { inventory.revocations("m", page).await.unwrap() }
    };
    let all = read(SshPage::default()).await;
    assert_eq!(all.iter().map(|row| row.order.clone()).collect::<Vec<_>>(), targets.map(|target| order("m", target)));
    let last = all[3].id;
    assert_eq!(read(SshPage { after: Some(all[1].id), limit: Some(1) }).await, all[2..3]);

    let restore = |mount: &str, id| SshChange::Restore { mount: mount.to_owned(), id };
    assert!(matches!(change(&store, restore("other", last)).await, Err(StoreError::Conflict)));
    change(&store, restore("m", last)).await.unwrap();
    assert!(matches!(change(&store, restore("m", last)).await, Err(StoreError::Conflict)));
    change(&store, SshChange::Revoke(order("m", SshRevocationTarget::KeyId("next".to_owned())))).await.unwrap();
    assert!(read(SshPage { after: Some(last), limit: None }).await.len() == 1);
}

pub(crate) async fn revocations_of_what_has_expired_are_forgotten(store: Store) {
    for end in [None, Some(at(10)), Some(at(20))] {
        let target = SshRevocationTarget::Serials { first: 1, last: 1 };
        let order = SshRevocationOrder { expires_at: end, ..order("m", target) };
        change(&store, SshChange::Revoke(order)).await.unwrap();
    }
    change(&store, SshChange::ForgetRevocations { mount: "m".to_owned(), before: at(20) }).await.unwrap();
    let left = store.ssh().revocations("m", SshPage::default()).await.unwrap();
    assert_eq!(left.iter().map(|row| row.order.expires_at).collect::<Vec<_>>(), [None, Some(at(20))]);
}

pub(crate) async fn deleting_a_mount_takes_its_ssh_rows_only(store: Store) {
    for mount in ["m", "other"] {
        sign(&store, mount, [1]).await;
        let target = SshRevocationTarget::Serials { first: 1, last: 1 };
        change(&store, SshChange::Revoke(order(mount, target))).await.unwrap();
    }
    change(&store, SshChange::DeleteMount { mount: "m".to_owned() }).await.unwrap();
    assert!(store.ssh().by_serial("m", 1).await.unwrap().is_none());
    assert!(store.ssh().revocations("m", SshPage::default()).await.unwrap().is_empty());
    assert!(store.ssh().by_serial("other", 1).await.unwrap().is_some());
    assert_eq!(store.ssh().revocations("other", SshPage::default()).await.unwrap().len(), 1);
}

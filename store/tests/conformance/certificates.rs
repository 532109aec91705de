//! The inventory: states, uniqueness, lists, searches.

use chancery_store::{
    CertificateChange, CertificateFilter, CertificateIntent, CertificatePage, CertificateState, Changes, ExpiryPage,
    Revocation, SerialPage, Store, StoreError,
};
use jiff::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A certificate whose fields all depend on its number.
fn intent(mount: &str, number: u8) -> CertificateIntent {
    CertificateIntent {
        mount: mount.to_owned(),
        serial: vec![number, 0xff],
        issuer: format!("issuer-{}", number % 2),
        role: format!("role-{}", number % 3),
        requester: format!("requester-{}", number % 5),
        common_name: format!("cn-{number}"),
        names: vec![format!("z-{number}.example"), "shared.example".to_owned(), format!("a-{number}.example")],
        key_type: "ec-p256".to_owned(),
        not_before: at(0),
        not_after: at(1000 - i64::from(number)),
        created_at: at(i64::from(number)),
    }
}

fn issued(mount: &str, number: u8) -> CertificateChange {
    CertificateChange::Issued { mount: mount.to_owned(), serial: vec![number, 0xff], der: vec![0x30, number] }
}

fn revoke(mount: &str, number: u8) -> CertificateChange {
    let revocation = Revocation { at: at(500 + i64::from(number)), reason: 4 };
    CertificateChange::Revoke { mount: mount.to_owned(), serial: vec![number, 0xff], revocation }
}

async fn change(store: &Store, change: CertificateChange) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    changes.certificate(change);
    store.commit(changes).await.map(|_| ())
}

async fn issue(store: &Store, mount: &str, numbers: impl IntoIterator<Item = u8>) {
    let mut changes = Changes::default();
    for number in numbers {
        changes.certificate(CertificateChange::Intent(intent(mount, number))).certificate(issued(mount, number));
    }
    store.commit(changes).await.unwrap();
}

fn numbers(found: &[chancery_store::Certificate]) -> Vec<u8> {
    found.iter().map(|row| row.intent.serial[0]).collect()
}

pub(crate) async fn a_certificate_goes_from_intent_over_issued_to_revoked(store: Store) {
    let read = || async { store.certificates().by_serial("m", &[7, 0xff]).await.unwrap() };
    assert_eq!(read().await, None);
    change(&store, CertificateChange::Intent(intent("m", 7))).await.unwrap();
    let row = read().await.unwrap();
    assert_eq!((row.state, &row.intent, row.der.len()), (CertificateState::Intent, &intent("m", 7), 0));
    change(&store, issued("m", 7)).await.unwrap();
    let row = read().await.unwrap();
    assert_eq!((row.state, row.der, row.revocation), (CertificateState::Issued, vec![0x30, 7], None));
    change(&store, revoke("m", 7)).await.unwrap();
    let row = read().await.unwrap();
    assert_eq!(row.state, CertificateState::Revoked);
    assert_eq!(row.revocation, Some(Revocation { at: at(507), reason: 4 }));
    assert_eq!((row.intent, row.der), (intent("m", 7), vec![0x30, 7]));
}

pub(crate) async fn a_serial_number_is_used_once_per_mount(store: Store) {
    issue(&store, "m", [1]).await;
    let again = change(&store, CertificateChange::Intent(intent("m", 1))).await;
    assert!(matches!(again, Err(StoreError::Conflict)));
    change(&store, CertificateChange::Intent(intent("n", 1))).await.unwrap();
}

pub(crate) async fn state_changes_out_of_order_conflict_and_change_nothing(store: Store) {
    let conflict = |outcome| assert!(matches!(outcome, Err(StoreError::Conflict)));
    conflict(change(&store, issued("m", 1)).await);
    conflict(change(&store, revoke("m", 1)).await);
    change(&store, CertificateChange::Intent(intent("m", 1))).await.unwrap();
    conflict(change(&store, revoke("m", 1)).await);
    change(&store, issued("m", 1)).await.unwrap();
    conflict(change(&store, issued("m", 1)).await);
    let abandon = |number| CertificateChange::Abandon { mount: "m".to_owned(), serial: vec![number, 0xff] };
    conflict(change(&store, abandon(1)).await);
    change(&store, revoke("m", 1)).await.unwrap();
    conflict(change(&store, revoke("m", 1)).await);
    assert_eq!(
        store.certificates().by_serial("m", &[1, 0xff]).await.unwrap().unwrap().state,
        CertificateState::Revoked
    );
    change(&store, CertificateChange::Intent(intent("m", 2))).await.unwrap();
    change(&store, abandon(2)).await.unwrap();
    assert_eq!(store.certificates().by_serial("m", &[2, 0xff]).await.unwrap(), None);
    let delete = CertificateChange::Delete { mount: "m".to_owned(), serial: vec![1, 0xff] };
    change(&store, delete.clone()).await.unwrap();
    change(&store, delete).await.unwrap();
    assert_eq!(store.certificates().count(CertificateFilter::default()).await.unwrap(), 0);
}

pub(crate) async fn lists_serials_without_intents_in_pages(store: Store) {
    issue(&store, "m", [5, 1, 3]).await;
    issue(&store, "n", [2]).await;
    change(&store, CertificateChange::Intent(intent("m", 4))).await.unwrap();
    change(&store, revoke("m", 3)).await.unwrap();
    let inventory = store.certificates();
    let all = inventory.list_serials("m", SerialPage::default()).await.unwrap();
    assert_eq!(all, [vec![1, 0xff], vec![3, 0xff], vec![5, 0xff]]);
    let page = SerialPage { after: Some(vec![1, 0xff]), limit: Some(1) };
    assert_eq!(inventory.list_serials("m", page).await.unwrap(), [vec![3, 0xff]]);
}

pub(crate) async fn revoked_lists_one_issuer_in_pages(store: Store) {
    issue(&store, "m", 1..10).await;
    for number in [9, 7, 4, 1] {
        change(&store, revoke("m", number)).await.unwrap();
    }
    let inventory = store.certificates();
    let rows = inventory.revoked("m", "issuer-1", SerialPage::default()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.serial[0]).collect::<Vec<_>>(), [1, 7, 9]);
    assert_eq!((rows[0].revocation, rows[0].not_after), (Revocation { at: at(501), reason: 4 }, at(999)));
    let page = SerialPage { after: Some(rows[0].serial.clone()), limit: Some(1) };
    assert_eq!(inventory.revoked("m", "issuer-1", page).await.unwrap(), rows[1..2]);
    assert!(inventory.revoked("n", "issuer-1", SerialPage::default()).await.unwrap().is_empty());
}

pub(crate) async fn expiring_comes_in_order_of_the_end_in_pages(store: Store) {
    issue(&store, "m", 1..6).await;
    issue(&store, "n", [2]).await;
    let inventory = store.certificates();
    let found = inventory.expiring("m", at(998), ExpiryPage::default()).await.unwrap();
    assert_eq!(numbers(&found), [5, 4, 3]);
    let page = ExpiryPage { after: Some((found[0].intent.not_after, found[0].id)), limit: Some(1) };
    assert_eq!(numbers(&inventory.expiring("m", at(998), page).await.unwrap()), [4]);
}

pub(crate) async fn search_finds_by_every_field(store: Store) {
    issue(&store, "m", 1..8).await;
    issue(&store, "n", [1]).await;
    change(&store, CertificateChange::Intent(intent("m", 9))).await.unwrap();
    change(&store, revoke("m", 2)).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let of = || CertificateFilter { mount: text("m"), ..CertificateFilter::default() };
    let cases = [
        (of(), vec![1, 2, 3, 4, 5, 6, 7, 9]),
        (CertificateFilter { mount: None, common_name: text("cn-1"), ..of() }, vec![1, 1]),
        (CertificateFilter { issuer: text("issuer-0"), ..of() }, vec![2, 4, 6]),
        (CertificateFilter { role: text("role-0"), ..of() }, vec![3, 6, 9]),
        (CertificateFilter { requester: text("requester-2"), ..of() }, vec![2, 7]),
        (CertificateFilter { common_name: text("cn-4"), ..of() }, vec![4]),
        (CertificateFilter { name: text("a-5.example"), ..of() }, vec![5]),
        (CertificateFilter { name: text("shared.example"), role: text("role-1"), ..of() }, vec![1, 4, 7]),
        (CertificateFilter { state: Some(CertificateState::Intent), ..of() }, vec![9]),
        (CertificateFilter { state: Some(CertificateState::Revoked), ..of() }, vec![2]),
        (CertificateFilter { state: Some(CertificateState::Issued), issuer: text("issuer-0"), ..of() }, vec![4, 6]),
        (CertificateFilter { expires_from: Some(at(994)), expires_before: Some(at(996)), ..of() }, vec![5, 6]),
        (CertificateFilter { created_before: Some(at(3)), ..of() }, vec![1, 2]),
        (CertificateFilter { role: text("' OR 1=1 --"), ..of() }, vec![]),
    ];
    for (filter, expected) in cases {
        let found = store.certificates().search(filter.clone(), CertificatePage::default()).await.unwrap();
        assert_eq!(numbers(&found), expected, "{filter:?}");
        assert!(found.iter().all(|row| row.intent == intent(&row.intent.mount, row.intent.serial[0])));
        let count = store.certificates().count(filter).await.unwrap();
        assert_eq!(count, u64::try_from(expected.len()).unwrap());
    }
}

pub(crate) async fn search_pages_in_order_of_creation(store: Store) {
    issue(&store, "m", [5, 1, 4, 2]).await;
    let mut found = Vec::new();
    let mut page = CertificatePage { after: None, limit: Some(3) };
    loop {
        let next = store.certificates().search(CertificateFilter::default(), page).await.unwrap();
        let Some(last) = next.last() else { break };
        page.after = Some(last.id);
        found.extend(numbers(&next));
    }
    assert_eq!(found, [5, 1, 4, 2]);
}

pub(crate) async fn deleting_a_mount_leaves_the_others(store: Store) {
    issue(&store, "m", 1..4).await;
    issue(&store, "n", [1]).await;
    change(&store, CertificateChange::DeleteMount { mount: "m".to_owned() }).await.unwrap();
    let left = store.certificates().search(CertificateFilter::default(), CertificatePage::default()).await.unwrap();
    assert_eq!(left.iter().map(|row| row.intent.mount.as_str()).collect::<Vec<_>>(), ["n"]);
    // Names of the removed rows are gone, too: a search by name finds the one row left.
    let filter = CertificateFilter { name: Some("shared.example".to_owned()), ..CertificateFilter::default() };
    assert_eq!(store.certificates().count(filter).await.unwrap(), 1);
}

pub(crate) async fn certificates_and_entries_change_together_or_not_at_all(store: Store) {
    issue(&store, "m", [1]).await;
    let view = store.view("v");
    let mut changes = Changes::default();
    changes.put(&view, "a", "").unwrap();
    changes.certificate(CertificateChange::Intent(intent("m", 2))).certificate(issued("m", 2));
    changes.certificate(CertificateChange::DeleteMount { mount: "m".to_owned() });
    changes.certificate(revoke("m", 1));
    assert!(matches!(store.commit(changes).await, Err(StoreError::Conflict)));
    assert!(view.read("a").await.unwrap().is_none());
    let left = store.certificates().search(CertificateFilter::default(), CertificatePage::default()).await.unwrap();
    assert_eq!(numbers(&left), [1]);
    assert_eq!(left[0].intent.names, intent("m", 1).names);
}

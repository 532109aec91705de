//! The inventory: states, uniqueness, lists, searches.

use chancery_store::{
    CertificateChange, CertificateCursor, CertificateFilter, CertificateIntent, CertificateOrder, CertificateQuery,
    CertificateState, Changes, Revocation, RevokedPage, RevokedScope, SerialPage, Store, StoreError,
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
        key_type: format!("ec-p{}", number % 4),
        not_before: at(0),
        not_after: at(1000 - i64::from(number)),
        created_at: at(i64::from(number)),
        shard: u32::from(number % 2 + 1),
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

fn of(mount: &str) -> CertificateFilter {
    CertificateFilter { mount: mount.to_owned(), ..CertificateFilter::default() }
}

async fn search(store: &Store, filter: CertificateFilter) -> Vec<chancery_store::Certificate> {
    let query = CertificateQuery { filter, ..CertificateQuery::default() };
    store.certificates().search(query).await.unwrap()
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
    assert_eq!(store.certificates().count(of("m")).await.unwrap(), 0);
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

pub(crate) async fn lists_revoked_serials_in_pages(store: Store) {
    issue(&store, "m", [5, 1, 3, 2]).await;
    issue(&store, "n", [3]).await;
    for number in [5, 1, 3] {
        change(&store, revoke("m", number)).await.unwrap();
    }
    let inventory = store.certificates();
    let all = inventory.list_revoked_serials("m", SerialPage::default()).await.unwrap();
    assert_eq!(all, [vec![1, 0xff], vec![3, 0xff], vec![5, 0xff]]);
    let page = SerialPage { after: Some(vec![1, 0xff]), limit: Some(1) };
    assert_eq!(inventory.list_revoked_serials("m", page).await.unwrap(), [vec![3, 0xff]]);
    assert!(inventory.list_revoked_serials("n", SerialPage::default()).await.unwrap().is_empty());
}

/// The issuer of the certificates with an odd number.
fn odd() -> RevokedScope {
    RevokedScope { issuer: "issuer-1".to_owned(), shard: None }
}

pub(crate) async fn revoked_lists_one_issuer_in_the_order_of_revocation(store: Store) {
    issue(&store, "m", 1..10).await;
    for number in [9, 7, 4, 1] {
        change(&store, revoke("m", number)).await.unwrap();
    }
    let inventory = store.certificates();
    let rows = inventory.revoked("m", odd(), RevokedPage::default()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.serial[0]).collect::<Vec<_>>(), [9, 7, 1]);
    assert_eq!((rows[2].revocation, rows[2].not_after), (Revocation { at: at(501), reason: 4 }, at(999)));
    assert_eq!(rows[2].sequence, store.sequence().await.unwrap().0, "the last commit revoked the last row");
    let page = RevokedPage { after: Some((rows[0].sequence, rows[0].serial.clone())), limit: Some(1), since: 0 };
    assert_eq!(inventory.revoked("m", odd(), page).await.unwrap(), rows[1..2]);
    assert!(inventory.revoked("n", odd(), RevokedPage::default()).await.unwrap().is_empty());
}

pub(crate) async fn revoked_lists_what_came_since_a_commit(store: Store) {
    issue(&store, "m", 1..10).await;
    change(&store, revoke("m", 9)).await.unwrap();
    let known = store.sequence().await.unwrap().0;
    // One commit may revoke several.
    let mut changes = Changes::default();
    for number in [7, 3, 5] {
        changes.certificate(revoke("m", number));
    }
    let sequence = store.commit(changes).await.unwrap().0;
    let since = |since, after, limit| RevokedPage { since, after, limit };
    let read = |page| async { store.certificates().revoked("m", odd(), page).await.unwrap() };
    let serials =
        |rows: &[chancery_store::RevokedCertificate]| rows.iter().map(|row| row.serial[0]).collect::<Vec<_>>();
    let rows = read(since(known, None, None)).await;
    assert_eq!(serials(&rows), [3, 5, 7]);
    assert!(rows.iter().all(|row| row.sequence == sequence && row.sequence > known));
    assert_eq!(serials(&read(since(known, Some((sequence, vec![3, 0xff])), None)).await), [5, 7]);
    assert_eq!(serials(&read(since(known, None, Some(2))).await), [3, 5]);
    assert!(read(since(sequence, None, None)).await.is_empty());
}

pub(crate) async fn revoked_lists_one_shard(store: Store) {
    // Shard 1 has the even ones, shard 2 the odd ones.
    issue(&store, "m", 1..10).await;
    for number in 1..10 {
        change(&store, revoke("m", number)).await.unwrap();
    }
    for (issuer, shard, expected) in
        [("issuer-0", 1, vec![2, 4, 6, 8]), ("issuer-0", 2, vec![]), ("issuer-1", 2, vec![1, 3, 5, 7, 9])]
    {
        let scope = RevokedScope { issuer: issuer.to_owned(), shard: Some(shard) };
        let rows = store.certificates().revoked("m", scope.clone(), RevokedPage::default()).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.serial[0]).collect::<Vec<_>>(), expected);
        let Some(first) = rows.first() else { continue };
        let page = RevokedPage { since: first.sequence, ..RevokedPage::default() };
        assert_eq!(store.certificates().revoked("m", scope, page).await.unwrap(), rows[1..]);
    }
}

pub(crate) async fn search_finds_by_every_field(store: Store) {
    issue(&store, "m", 1..8).await;
    issue(&store, "n", [1]).await;
    change(&store, CertificateChange::Intent(intent("m", 9))).await.unwrap();
    change(&store, revoke("m", 2)).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let of = || of("m");
    let cases = [
        (of(), vec![1, 2, 3, 4, 5, 6, 7, 9]),
        (CertificateFilter { mount: "n".to_owned(), common_name: text("cn-1"), ..of() }, vec![1]),
        (CertificateFilter { issuer: text("issuer-0"), ..of() }, vec![2, 4, 6]),
        (CertificateFilter { role: text("role-0"), ..of() }, vec![3, 6, 9]),
        (CertificateFilter { requester: text("requester-2"), ..of() }, vec![2, 7]),
        (CertificateFilter { common_name: text("cn-4"), ..of() }, vec![4]),
        (CertificateFilter { key_type: text("ec-p1"), ..of() }, vec![1, 5, 9]),
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
        let found = search(&store, filter.clone()).await;
        assert_eq!(numbers(&found), expected, "{filter:?}");
        assert!(found.iter().all(|row| row.intent == intent(&row.intent.mount, row.intent.serial[0])));
        let count = store.certificates().count(filter).await.unwrap();
        assert_eq!(count, u64::try_from(expected.len()).unwrap());
    }
}

pub(crate) async fn search_sorts_by_every_order_in_pages_both_ways(store: Store) {
    issue(&store, "m", [5, 1, 4, 2, 8, 3]).await;
    issue(&store, "n", [6]).await;
    change(&store, CertificateChange::Intent(intent("m", 9))).await.unwrap();
    change(&store, revoke("m", 2)).await.unwrap();
    // Equal ones follow in the order in which they end: the larger number ends sooner.
    let cases = [
        (CertificateOrder::Created, vec![5, 1, 4, 2, 8, 3, 9]),
        (CertificateOrder::Expiry, vec![9, 8, 5, 4, 3, 2, 1]),
        (CertificateOrder::CommonName, vec![1, 2, 3, 4, 5, 8, 9]),
        (CertificateOrder::Issuer, vec![8, 4, 2, 9, 5, 3, 1]),
        (CertificateOrder::Role, vec![9, 3, 4, 1, 8, 5, 2]),
        (CertificateOrder::Requester, vec![5, 1, 2, 8, 3, 9, 4]),
        (CertificateOrder::KeyType, vec![8, 4, 9, 5, 1, 2, 3]),
        (CertificateOrder::State, vec![9, 8, 5, 4, 3, 1, 2]),
    ];
    for (order, mut expected) in cases {
        for descending in [false, true] {
            let mut found = Vec::new();
            let mut query =
                CertificateQuery { filter: of("m"), order, descending, limit: Some(2), ..CertificateQuery::default() };
            loop {
                let page = store.certificates().search(query.clone()).await.unwrap();
                let Some(last) = page.last() else { break };
                assert!(page.len() <= 2);
                query.after = Some(CertificateCursor::of(last, order));
                found.extend(numbers(&page));
            }
            assert_eq!(found, expected, "{order:?}, descending: {descending}");
            expected.reverse();
        }
    }
}

pub(crate) async fn search_sorts_what_it_filters(store: Store) {
    issue(&store, "m", 1..20).await;
    let roles = CertificateFilter { role: Some("role-1".to_owned()), ..of("m") };
    let sorted = |order, descending| CertificateQuery {
        filter: roles.clone(),
        order,
        descending,
        limit: Some(3),
        ..CertificateQuery::default()
    };
    for (query, expected) in [
        (sorted(CertificateOrder::Expiry, false), [19, 16, 13]),
        (sorted(CertificateOrder::Expiry, true), [1, 4, 7]),
        (sorted(CertificateOrder::CommonName, false), [1, 10, 13]),
        (sorted(CertificateOrder::Issuer, false), [16, 10, 4]),
    ] {
        assert_eq!(numbers(&store.certificates().search(query).await.unwrap()), expected);
    }
}

pub(crate) async fn a_search_goes_on_behind_a_row_that_was_deleted(store: Store) {
    issue(&store, "m", 1..6).await;
    let query = CertificateQuery {
        filter: of("m"),
        order: CertificateOrder::Expiry,
        limit: Some(2),
        ..CertificateQuery::default()
    };
    let first = store.certificates().search(query.clone()).await.unwrap();
    assert_eq!(numbers(&first), [5, 4]);
    change(&store, CertificateChange::Delete { mount: "m".to_owned(), serial: vec![4, 0xff] }).await.unwrap();
    let after = Some(CertificateCursor::of(&first[1], CertificateOrder::Expiry));
    let next = store.certificates().search(CertificateQuery { after, ..query }).await.unwrap();
    assert_eq!(numbers(&next), [3, 2]);
}

pub(crate) async fn deleting_a_mount_leaves_the_others(store: Store) {
    issue(&store, "m", 1..4).await;
    issue(&store, "n", [1]).await;
    change(&store, CertificateChange::DeleteMount { mount: "m".to_owned() }).await.unwrap();
    assert!(search(&store, of("m")).await.is_empty());
    let left = search(&store, of("n")).await;
    assert_eq!(left.iter().map(|row| row.intent.mount.as_str()).collect::<Vec<_>>(), ["n"]);
    // Names of the removed rows are gone, too: a search by name finds the one row left.
    let shared = |mount| CertificateFilter { name: Some("shared.example".to_owned()), ..of(mount) };
    assert_eq!(store.certificates().count(shared("m")).await.unwrap(), 0);
    assert_eq!(store.certificates().count(shared("n")).await.unwrap(), 1);
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
    let left = search(&store, of("m")).await;
    assert_eq!(numbers(&left), [1]);
    assert_eq!(left[0].intent.names, intent("m", 1).names);
}

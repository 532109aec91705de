//! Unsealing by a key in the HSM, on the in-memory token; the same runs against PKCS#11 modules in `softhsm-tests`.

use super::{common::Place, put, text};
use chancery_hsm::{Hsm, KeySummary};
use chancery_store::{BarrierPhase, Initialize, SealChoice, SealKind, ShareFault, Store, StoreError};
use zeroize::Zeroizing;

async fn initialize(store: &Store, hsm: &Hsm) -> Result<Vec<Zeroizing<Vec<u8>>>, StoreError> {
    let seal = SealChoice::Pkcs11 {
        hsm: hsm.clone(),
        key_label: "chancery/kek/test".to_owned(),
        recovery_shares: 3,
        recovery_threshold: 2,
    };
    store.barrier().initialize(Initialize { seal }).await.map(|initialized| initialized.shares)
}

async fn only_key(hsm: &Hsm) -> KeySummary {
    let mut keys = hsm.list().await.unwrap();
    assert_eq!(keys.len(), 1);
    keys.remove(0)
}

#[tokio::test]
async fn the_hsm_unseals_after_a_restart() {
    let (place, hsm) = (Place::sqlite(), Hsm::software());
    let store = place.sealed().await;
    assert_eq!(initialize(&store, &hsm).await.unwrap().len(), 3);
    put(&store, &store.view("v"), "a", "value").await;
    drop(store);

    let store = place.sealed().await;
    let state = store.barrier().state().await;
    let seal = state.seal.unwrap();
    assert_eq!((state.phase, seal.kind, seal.shares, seal.threshold), (BarrierPhase::Sealed, SealKind::Pkcs11, 3, 2));
    store.barrier().unseal_with_hsm(&hsm).await.unwrap();
    assert_eq!(text(&store.view("v"), "a").await, "value");
}

#[tokio::test]
async fn a_database_copied_to_another_token_does_not_unseal() {
    let place = Place::sqlite();
    let store = place.sealed().await;
    initialize(&store, &Hsm::software()).await.unwrap();
    store.barrier().seal().await;
    let other = Hsm::software();
    let refused = store.barrier().unseal_with_hsm(&other).await.unwrap_err();
    assert!(matches!(&refused, StoreError::OtherToken { .. }), "{refused}");
    assert!(refused.to_string().contains(&other.token().serial), "{refused}");
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Sealed);
}

#[tokio::test]
async fn a_missing_key_encryption_key_is_named_and_never_made_again() {
    let (place, hsm) = (Place::sqlite(), Hsm::software());
    let store = place.sealed().await;
    initialize(&store, &hsm).await.unwrap();
    store.barrier().seal().await;
    let key = only_key(&hsm).await;
    hsm.destroy(&key.reference).await.unwrap();
    let refused = store.barrier().unseal_with_hsm(&hsm).await.unwrap_err();
    assert!(matches!(&refused, StoreError::KeyEncryptionKeyMissing { .. }), "{refused}");
    assert!(refused.to_string().contains("chancery/kek/test"), "{refused}");
    assert!(hsm.list().await.unwrap().is_empty());
}

/// Between making the key and writing the seal the power fails: what is left is the record of the key.
async fn interrupted_initialisation(place: &Place, hsm: &Hsm) -> Store {
    let store = place.sealed().await;
    initialize(&store, hsm).await.unwrap();
    drop(store);
    let database = rusqlite::Connection::open(place.database()).unwrap();
    database.execute("DELETE FROM barrier_records WHERE name <> 'key-encryption-key'", []).unwrap();
    drop(database);
    place.sealed().await
}

#[tokio::test]
async fn an_interrupted_initialisation_goes_on_with_the_recorded_key() {
    let (place, hsm) = (Place::sqlite(), Hsm::software());
    let store = interrupted_initialisation(&place, &hsm).await;
    let key = only_key(&hsm).await;
    initialize(&store, &hsm).await.unwrap();
    assert_eq!(only_key(&hsm).await.reference, key.reference);
    store.barrier().seal().await;
    store.barrier().unseal_with_hsm(&hsm).await.unwrap();
}

#[tokio::test]
async fn an_interrupted_initialisation_makes_no_second_key_for_one_that_is_gone() {
    let (place, hsm) = (Place::sqlite(), Hsm::software());
    let store = interrupted_initialisation(&place, &hsm).await;
    hsm.destroy(&only_key(&hsm).await.reference).await.unwrap();
    let refused = initialize(&store, &hsm).await;
    assert!(matches!(refused, Err(StoreError::KeyEncryptionKeyMissing { .. })));
    assert!(hsm.list().await.unwrap().is_empty());
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Uninitialized);
}

#[tokio::test]
async fn recovery_shares_prove_but_do_not_unseal() {
    let (place, hsm) = (Place::sqlite(), Hsm::software());
    let store = place.sealed().await;
    let shares = initialize(&store, &hsm).await.unwrap();
    let barrier = store.barrier();
    assert!(barrier.verify_shares(&shares[1..]).await.unwrap());
    let forged: Vec<Zeroizing<Vec<u8>>> = vec![shares[0].clone(), vec![9; 33].into()];
    assert!(!barrier.verify_shares(&forged).await.unwrap());
    barrier.seal().await;
    assert!(matches!(barrier.submit_share(&shares[0]).await, Err(StoreError::OtherSeal { found: "pkcs11" })));
    assert!(matches!(barrier.verify_shares(&shares[1..]).await, Err(StoreError::Sealed)));
}

#[tokio::test]
async fn rekeying_makes_new_recovery_shares_under_the_same_key() {
    let (place, hsm) = (Place::sqlite(), Hsm::software());
    let store = place.sealed().await;
    let old = initialize(&store, &hsm).await.unwrap();
    put(&store, &store.view("v"), "a", "value").await;
    let barrier = store.barrier();
    let new = barrier.rekey(&old[..2], 2_u8, 2_u8).await.unwrap().shares;
    assert!(barrier.verify_shares(&new).await.unwrap());
    assert!(!barrier.verify_shares(&old[..2]).await.unwrap());
    let refused = barrier.rekey(&old[..2], 2_u8, 2_u8).await;
    assert!(matches!(refused, Err(StoreError::InvalidShare(ShareFault::WrongKey))));
    only_key(&hsm).await;
    drop(store);

    let store = place.sealed().await;
    store.barrier().unseal_with_hsm(&hsm).await.unwrap();
    assert!(store.barrier().verify_shares(&new).await.unwrap());
    assert_eq!(text(&store.view("v"), "a").await, "value");
}

#[tokio::test]
async fn a_shamir_seal_does_not_open_with_an_hsm() {
    let (store, _) = Place::default().initialized(1, 1).await;
    store.barrier().seal().await;
    let refused = store.barrier().unseal_with_hsm(&Hsm::software()).await;
    assert!(matches!(refused, Err(StoreError::OtherSeal { found: "shamir" })));
}

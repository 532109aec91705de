//! Unsealing and rekeying by shares.

use super::{common::Place, put, text};
use chancery_store::{
    BarrierPhase, BarrierState, Initialize, SealChoice, SealKind, SealSummary, ShareFault, Store, StoreError,
};
use zeroize::Zeroizing;

async fn submit(store: &Store, share: &[u8]) -> Result<u8, StoreError> {
    store.barrier().submit_share(share).await.map(|progress| progress.progress)
}

#[tokio::test]
async fn any_two_of_three_shares_unseal_in_any_order() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(3, 2).await;
    put(&store, &store.view("v"), "a", "value").await;
    drop(store);
    for pair in [[0, 1], [1, 0], [2, 0], [1, 2]] {
        let store = place.reopen(&pair.map(|number| shares[number].clone())).await;
        assert_eq!(text(&store.view("v"), "a").await, "value");
    }
}

#[tokio::test]
async fn state_tells_the_seal_and_the_progress() {
    let place = Place::sqlite();
    let store = place.sealed().await;
    assert_eq!(store.barrier().state().await, BarrierState { phase: BarrierPhase::Uninitialized, seal: None });
    assert!(matches!(submit(&store, &[1; 33]).await, Err(StoreError::NotInitialized)));
    drop(store);

    let (store, shares) = place.initialized(5, 3).await;
    store.barrier().seal().await;
    let summary = || async { store.barrier().state().await.seal.unwrap() };
    let expected = SealSummary { kind: SealKind::Shamir, shares: 5, threshold: 3, progress: 0, nonce: String::new() };
    assert_eq!(summary().await, expected);
    let first = store.barrier().submit_share(&shares[0]).await.unwrap();
    assert_eq!((first.sealed, first.progress, first.nonce.len()), (true, 1, 36));
    let second = store.barrier().submit_share(&shares[1]).await.unwrap();
    assert_eq!((second.progress, &second.nonce), (2, &first.nonce));
    assert_eq!((summary().await.progress, summary().await.nonce), (2, first.nonce.clone()));

    store.barrier().reset_unseal();
    assert_eq!(summary().await, expected);
    let again = store.barrier().submit_share(&shares[2]).await.unwrap();
    assert_ne!(again.nonce, first.nonce);
    submit(&store, &shares[3]).await.unwrap();
    let last = store.barrier().submit_share(&shares[4]).await.unwrap();
    assert_eq!((last.sealed, last.progress, last.nonce.as_str()), (false, 0, ""));
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Unsealed);
}

#[tokio::test]
async fn the_same_share_twice_counts_once() {
    let (store, shares) = Place::default().initialized(3, 2).await;
    store.barrier().seal().await;
    assert_eq!(submit(&store, &shares[0]).await.unwrap(), 1);
    assert_eq!(submit(&store, &shares[0]).await.unwrap(), 1);
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Sealed);
}

#[tokio::test]
async fn wrong_shares_are_refused_and_the_attempt_starts_over() {
    let (store, shares) = Place::default().initialized(3, 2).await;
    let (_, foreign) = Place::default().initialized(3, 2).await;
    store.barrier().seal().await;
    let fault = |outcome| match outcome {
        Err(StoreError::InvalidShare(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(submit(&store, &[1; 2]).await), ShareFault::TooShort);
    assert_eq!(fault(submit(&store, &[1; 80]).await), ShareFault::TooLong);

    submit(&store, &shares[0]).await.unwrap();
    assert_eq!(fault(submit(&store, &foreign[1]).await), ShareFault::WrongKey);
    assert_eq!(store.barrier().state().await.seal.unwrap().progress, 0);

    let mut same_number = shares[0].clone();
    same_number[5] ^= 1;
    submit(&store, &shares[0]).await.unwrap();
    assert_eq!(fault(submit(&store, &same_number).await), ShareFault::Duplicate);
    assert!(store.view("v").read("a").await.is_err());

    submit(&store, &shares[2]).await.unwrap();
    submit(&store, &shares[1]).await.unwrap();
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Unsealed);
}

#[tokio::test]
async fn initialising_twice_is_refused_and_changes_nothing() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(1, 1).await;
    let again = Initialize { seal: SealChoice::Shamir { shares: 1, threshold: 1 } };
    assert!(matches!(store.barrier().initialize(again.clone()).await, Err(StoreError::AlreadyInitialized)));
    drop(store);
    let store = place.sealed().await;
    assert!(matches!(store.barrier().initialize(again).await, Err(StoreError::AlreadyInitialized)));
    store.barrier().submit_share(&shares[0]).await.unwrap();
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Unsealed);
}

#[tokio::test]
async fn impossible_numbers_initialise_nothing() {
    let store = Place::default().sealed().await;
    let refused = Initialize { seal: SealChoice::Shamir { shares: 5, threshold: 1 } };
    let outcome = store.barrier().initialize(refused).await.unwrap_err();
    assert_eq!(
        outcome.to_string(),
        "invalid seal configuration: threshold must be greater than one for multiple shares"
    );
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Uninitialized);
}

#[tokio::test]
async fn shares_are_verified_without_unsealing_anything() {
    let (store, shares) = Place::default().initialized(3, 2).await;
    let (_, foreign) = Place::default().initialized(3, 2).await;
    let barrier = store.barrier();
    assert!(barrier.verify_shares(&shares[..2]).await.unwrap());
    assert!(barrier.verify_shares(&shares).await.unwrap());
    assert!(!barrier.verify_shares(&foreign[..2]).await.unwrap());
    let mixed = [shares[0].clone(), foreign[1].clone()];
    assert!(!barrier.verify_shares(&mixed).await.unwrap());
    assert!(matches!(barrier.verify_shares(&shares[..1]).await, Err(StoreError::InvalidShare(_))));
    let twice = [shares[0].clone(), shares[0].clone()];
    let refused = barrier.verify_shares(&twice).await;
    assert!(matches!(refused, Err(StoreError::InvalidShare(ShareFault::Duplicate))));
}

#[tokio::test]
async fn rekeying_makes_the_old_shares_worthless() {
    let place = Place::sqlite();
    let (store, old) = place.initialized(3, 2).await;
    put(&store, &store.view("v"), "a", "value").await;
    let barrier = store.barrier();
    let wrong: Vec<Zeroizing<Vec<u8>>> = vec![old[0].clone(), vec![7; 33].into()];
    assert!(matches!(barrier.rekey(&wrong, 5_u8, 3_u8).await, Err(StoreError::InvalidShare(ShareFault::WrongKey))));
    let new = barrier.rekey(&old[1..], 5_u8, 3_u8).await.unwrap().shares;
    assert_eq!(new.len(), 5);
    put(&store, &store.view("v"), "b", "after").await;
    drop(store);

    let store = place.sealed().await;
    let summary = store.barrier().state().await.seal.unwrap();
    assert_eq!((summary.shares, summary.threshold), (5, 3));
    submit(&store, &old[0]).await.unwrap();
    submit(&store, &old[1]).await.unwrap();
    assert!(matches!(submit(&store, &old[2]).await, Err(StoreError::InvalidShare(ShareFault::WrongKey))));
    for share in &new[2..] {
        submit(&store, share).await.unwrap();
    }
    assert_eq!(text(&store.view("v"), "a").await, "value");
    assert_eq!(text(&store.view("v"), "b").await, "after");
}

#[tokio::test]
async fn prepared_shares_are_proven_before_they_are_in_force() {
    let (store, old) = Place::default().initialized(3, 2).await;
    let barrier = store.barrier();
    let prepared = barrier.prepare_rekey(&old[..2], 3_u8, 3_u8).await.unwrap();
    let late = barrier.prepare_rekey(&old[..2], 1_u8, 1_u8).await.unwrap();
    assert!(barrier.verify_shares(&old[1..]).await.unwrap(), "nothing is in force yet");
    assert!(prepared.is_proven_by(prepared.shares()));
    assert!(!prepared.is_proven_by(&prepared.shares()[..2]));
    assert!(!prepared.is_proven_by(&old));
    barrier.commit_rekey(&prepared).await.unwrap();
    assert!(barrier.verify_shares(prepared.shares()).await.unwrap());
    assert!(!barrier.verify_shares(&old).await.unwrap_or(false));
    assert!(matches!(barrier.commit_rekey(&late).await, Err(StoreError::Conflict)), "its proof is outdated");
    assert!(barrier.verify_shares(prepared.shares()).await.unwrap());
}

#[tokio::test]
async fn a_single_share_can_be_rekeyed_to_many_and_back() {
    let (store, one) = Place::default().initialized(1, 1).await;
    let many = store.barrier().rekey(&one, 4_u32, 4_u32).await.unwrap().shares;
    let single = store.barrier().rekey(&many, 1_u32, 1_u32).await.unwrap().shares;
    store.barrier().seal().await;
    assert_eq!(submit(&store, &single[0]).await.unwrap(), 0);
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Unsealed);
}

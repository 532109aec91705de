//! One list of what every backend must do, run on memory, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "common/place.rs"]
mod common;
#[path = "common/server.rs"]
mod server;

#[path = "conformance/certificates.rs"]
mod certificates;
#[path = "conformance/entries.rs"]
mod entries;
#[path = "conformance/histories.rs"]
mod histories;
#[path = "conformance/leases.rs"]
mod leases;
#[path = "conformance/ssh.rs"]
mod ssh;

use chancery_store::{BarrierPhase, Changes, StoreError};
use common::Place;
use server::Database;

/// Runs the list on one backend after another; a case gets a fresh, unsealed store.
macro_rules! conformance {
    ($($module:ident: $($case:ident),+ $(,)?);+ $(;)?) => {
        mod on_memory {
            $($(
                #[tokio::test]
                async fn $case() {
                    super::$module::$case(super::Place::default().open().await).await;
                }
            )+)+
        }
        mod on_sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let place = super::Place::sqlite();
                    super::$module::$case(place.open().await).await;
                }
            )+)+
        }
        mod on_postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs PostgreSQL: scripts/with_postgres.py"]
                async fn $case() {
                    super::$module::$case(super::Database::new().await.initialized().await.0).await;
                }
            )+)+
        }
    };
}

conformance! {
    entries:
        an_entry_is_read_back_with_version_and_expiry,
        versions_grow_and_never_come_back,
        a_change_set_is_applied_whole_or_not_at_all,
        expectations_see_the_state_before_the_change_set,
        create_conflicts_with_what_exists,
        replace_conflicts_with_another_version,
        operations_apply_in_order,
        lists_direct_children_in_byte_order,
        lists_in_pages_across_folders,
        keys_are_full_depth_and_paged,
        views_nest_and_do_not_leak_into_their_neighbours,
        delete_view_removes_everything_below_and_nothing_beside,
        expired_entries_come_earliest_first,
        rewriting_without_expiry_removes_it,
        parallel_increments_lose_none,
        parallel_creates_let_exactly_one_win,
        the_sequence_grows_with_every_commit_and_not_with_a_conflict;
    certificates:
        a_certificate_goes_from_intent_over_issued_to_revoked,
        a_serial_number_is_used_once_per_mount,
        state_changes_out_of_order_conflict_and_change_nothing,
        lists_serials_without_intents_in_pages,
        lists_revoked_serials_in_pages,
        revoked_lists_one_issuer_in_the_order_of_revocation,
        revoked_lists_what_came_since_a_commit,
        revoked_lists_one_shard,
        search_finds_by_every_field,
        search_sorts_by_every_order_in_pages_both_ways,
        search_sorts_what_it_filters,
        a_search_goes_on_behind_a_row_that_was_deleted,
        deleting_a_mount_leaves_the_others,
        certificates_and_entries_change_together_or_not_at_all;
    leases:
        a_lease_has_one_holder_until_its_end,
        what_is_committed_under_a_lost_lease_is_refused;
    ssh:
        an_ssh_certificate_is_read_back_whole,
        an_ssh_serial_number_is_used_once_per_mount,
        ssh_search_finds_by_every_field_in_pages,
        ended_ssh_certificates_are_forgotten_first_ended_first,
        the_last_end_is_that_of_the_issuer,
        revocations_come_in_order_with_ids_never_given_twice,
        revocations_of_what_has_expired_are_forgotten,
        deleting_a_mount_takes_its_ssh_rows_only;
}

/// What was acknowledged is there after a restart, and sealed until the shares come.
#[tokio::test]
async fn on_sqlite_what_was_committed_is_there_after_a_restart() {
    let place = Place::sqlite();
    let (store, shares) = place.initialized(3, 2).await;
    let mut changes = Changes::default();
    changes.put(&store.view("v"), "a", "kept").unwrap();
    let sequence = store.commit(changes).await.unwrap();
    drop(store);

    let store = place.sealed().await;
    assert_eq!(store.barrier().state().await.phase, BarrierPhase::Sealed);
    assert!(matches!(store.view("v").read("a").await, Err(StoreError::Sealed)));
    drop(store);

    let store = place.reopen(&shares[1..]).await;
    let entry = store.view("v").read("a").await.unwrap().unwrap();
    assert_eq!((entry.decode::<String>().unwrap().as_str(), entry.version), ("kept", sequence.0));
}

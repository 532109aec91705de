//! What other processes have committed, and the leases by which one of them does what only one may do.

use super::{entries::unsigned, readers::Readers, rows};
use crate::{
    StoreError,
    backend::{FeedPosition, ForeignChanges, JobLease},
};
use std::time::Duration;
use tokio_postgres::Row;

/// Commits read at once; a process that is behind by more takes everything as changed.
const MOST: i64 = 2000;

/// Everything committed behind the position, in one snapshot. The row of the position itself is read too: where it is not
/// there any more, or is another one, the log was trimmed or the database has lost commits, and nothing that was read
/// before can be trusted.
const READ: &str =
    "SELECT head.value, log.sequence, log.token, log.node, log.paths, log.prefixes, log.records, log.whole
    FROM change_sequence AS head LEFT JOIN change_log AS log ON log.sequence >= $1 WHERE head.id = 1
    ORDER BY log.sequence LIMIT $2";

struct Logged {
    sequence: u64,
    token: Vec<u8>,
    node: Vec<u8>,
    places: [Vec<String>; 3],
    whole: bool,
}

pub(super) async fn since(
    readers: &Readers,
    node: &[u8; 16],
    position: Option<FeedPosition>,
) -> Result<ForeignChanges, StoreError> {
    let known = position.unwrap_or_default();
    let from = i64::try_from(known.sequence).unwrap_or(i64::MAX);
    let found = readers.query(READ, &[&from, &MOST]).await?;
    let heads: Vec<i64> = rows(&found, |row| row.try_get(0))?;
    let head = heads.first().copied().map_or(0, unsigned);
    let logged = rows(&found, |row: &Row| {
        let Some(sequence) = row.try_get::<_, Option<i64>>(1)? else { return Ok(None) };
        Ok(Some(Logged {
            sequence: unsigned(sequence),
            token: row.try_get(2)?,
            node: row.try_get(3)?,
            places: [row.try_get(4)?, row.try_get(5)?, row.try_get(6)?],
            whole: row.try_get(7)?,
        }))
    })?;
    let logged: Vec<Logged> = logged.into_iter().flatten().collect();
    Ok(changes(&known, head, logged, node))
}

fn changes(known: &FeedPosition, head: u64, logged: Vec<Logged>, node: &[u8; 16]) -> ForeignChanges {
    let continues = match logged.first() {
        Some(first) => first.sequence == known.sequence && first.token == known.token,
        None => head == known.sequence,
    };
    let reached = logged.last().map_or(head, |last| last.sequence);
    let position = FeedPosition {
        sequence: head,
        token: logged.last().filter(|last| last.sequence == head).map(|last| last.token.clone()).unwrap_or_default(),
    };
    let mut foreign =
        ForeignChanges { position, everything: !continues || reached != head, ..ForeignChanges::default() };
    let behind = logged.into_iter().filter(|commit| commit.sequence > known.sequence && commit.node != node);
    for commit in behind {
        let [paths, prefixes, records] = commit.places;
        foreign.everything |= commit.whole;
        foreign.paths.extend(paths);
        foreign.prefixes.extend(prefixes);
        foreign.records.extend(records);
    }
    foreign
}

/// Takes or renews a lease; times are the database's.
pub(super) async fn claim(
    readers: &Readers,
    name: &'static str,
    holder: &str,
    term: Duration,
) -> Result<Option<JobLease>, StoreError> {
    let sql = "INSERT INTO job_leases (name, holder, epoch, expires_at)
        VALUES ($1, $2, 1, clock_timestamp() + $3::bigint * interval '1 millisecond')
        ON CONFLICT (name) DO UPDATE SET
            epoch = job_leases.epoch + CASE WHEN job_leases.holder = excluded.holder
                AND job_leases.expires_at > clock_timestamp() THEN 0 ELSE 1 END,
            holder = excluded.holder, expires_at = excluded.expires_at
        WHERE job_leases.holder = excluded.holder OR job_leases.expires_at <= clock_timestamp()
        RETURNING epoch";
    let milliseconds = i64::try_from(term.as_millis()).unwrap_or(i64::MAX);
    let found = readers.query(sql, &[&name, &holder, &milliseconds]).await?;
    let epochs: Vec<i64> = rows(&found, |row| row.try_get(0))?;
    Ok(epochs.first().map(|epoch| JobLease { name, holder: holder.to_owned(), epoch: unsigned(*epoch) }))
}

/// Lets a lease go, so that another process need not wait for its end.
pub(super) async fn release(readers: &Readers, lease: &JobLease) -> Result<(), StoreError> {
    let sql = "UPDATE job_leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2 AND epoch = $3";
    let epoch = i64::try_from(lease.epoch).unwrap_or(i64::MAX);
    readers.query(sql, &[&lease.name, &lease.holder, &epoch]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::{FeedPosition, Logged, changes};

    const OURS: [u8; 16] = [1; 16];

    fn commit(sequence: u64, node: [u8; 16], path: &str) -> Logged {
        let token = sequence.to_be_bytes().to_vec();
        Logged { sequence, token, node: node.to_vec(), places: [vec![path.to_owned()], vec![], vec![]], whole: false }
    }

    fn position(sequence: u64) -> FeedPosition {
        FeedPosition { sequence, token: sequence.to_be_bytes().to_vec() }
    }

    #[test]
    fn only_what_others_committed_behind_the_position_counts() {
        let log = vec![commit(5, [2; 16], "old"), commit(7, OURS, "ours"), commit(9, [2; 16], "theirs")];
        let foreign = changes(&position(5), 9, log, &OURS);
        assert!(!foreign.everything);
        assert_eq!(foreign.paths.into_iter().collect::<Vec<_>>(), ["theirs"]);
        assert_eq!(foreign.position, position(9));
    }

    #[test]
    fn a_log_that_does_not_reach_back_or_is_another_one_means_everything() {
        let other = Logged { token: vec![9], ..commit(5, OURS, "") };
        assert!(changes(&position(5), 5, vec![other], &OURS).everything, "the same number, another commit");
        assert!(
            changes(&position(5), 9, vec![commit(8, OURS, "a"), commit(9, OURS, "b")], &OURS).everything,
            "trimmed"
        );
        assert!(changes(&position(5), 3, vec![], &OURS).everything, "the database went back");
        assert!(
            changes(&position(5), 9, vec![commit(5, OURS, "a"), commit(6, OURS, "b")], &OURS).everything,
            "cut off"
        );
        assert!(!changes(&position(5), 5, vec![commit(5, OURS, "a")], &OURS).everything);
        assert!(!changes(&FeedPosition::default(), 0, vec![], &OURS).everything, "nothing was ever committed");
    }
}

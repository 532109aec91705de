//! Reading entries, records and the sequence. Every listing is a walk along the index on `path`.

use super::{readers::Readers, rows};
use crate::{
    StoreError,
    backend::{Sequence, StoredEntry, StoredRecord, end_of},
    view::Page,
};
use tokio_postgres::{Error, Row};

/// A limit for the database; none is all there can be.
pub(super) fn limit(limit: Option<usize>) -> i64 {
    limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX)
}

/// A number from the database that cannot be negative.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

pub(super) async fn sequence(readers: &Readers) -> Result<Sequence, StoreError> {
    let found = readers.query("SELECT value FROM change_sequence WHERE id = 1", &[]).await?;
    let values: Vec<i64> = rows(&found, |row| row.try_get(0))?;
    Ok(Sequence(values.first().copied().map_or(0, unsigned)))
}

pub(super) async fn read(readers: &Readers, path: &str) -> Result<Option<StoredEntry>, StoreError> {
    let found = readers.query("SELECT version, value, expires_at FROM entries WHERE path = $1", &[&path]).await?;
    let entry = |row: &Row| {
        Ok(StoredEntry { version: unsigned(row.try_get(0)?), value: row.try_get(1)?, expires_at: row.try_get(2)? })
    };
    Ok(rows(&found, entry)?.pop())
}

pub(super) async fn read_record(readers: &Readers, name: &str) -> Result<Option<StoredRecord>, StoreError> {
    let found = readers.query("SELECT version, value FROM barrier_records WHERE name = $1", &[&name]).await?;
    let record = |row: &Row| Ok(StoredRecord { version: unsigned(row.try_get(0)?), value: row.try_get(1)? });
    Ok(rows(&found, record)?.pop())
}

/// Walks the index and jumps over the rest of a folder once its name is known, so a listing costs what it answers and not
/// what lies below. `$1` is the prefix, `$2` where to start, `$3` the end, `$4` the last character of all, `$5` a limit.
macro_rules! walk {
    ($from:literal) => {
        concat!(
            "WITH RECURSIVE walk (path) AS (
                (SELECT path FROM entries WHERE path ",
            $from,
            " $2 AND path < $3 ORDER BY path LIMIT 1)
                UNION ALL
                SELECT (SELECT next.path FROM entries AS next
                    WHERE next.path > CASE WHEN position('/' IN substr(walk.path, length($1) + 1)) = 0 THEN walk.path
                        ELSE $1 || split_part(substr(walk.path, length($1) + 1), '/', 1) || '/' || $4 END
                    AND next.path < $3 ORDER BY next.path LIMIT 1)
                FROM walk WHERE walk.path IS NOT NULL
            )
            SELECT path FROM walk WHERE path IS NOT NULL LIMIT $5"
        )
    };
}

const FROM_THE_START: &str = walk!(">=");
const BEHIND: &str = walk!(">");

/// Greater than every character of a path.
const LAST: &str = "\u{10FFFF}";

pub(super) async fn list(readers: &Readers, prefix: &str, page: &Page) -> Result<Vec<String>, StoreError> {
    let (sql, start) = match page.after.as_deref() {
        None => (FROM_THE_START, prefix.to_owned()),
        Some(folder) if folder.ends_with('/') => (BEHIND, format!("{prefix}{folder}{LAST}")),
        Some(name) => (BEHIND, format!("{prefix}{name}")),
    };
    let found = readers.query(sql, &[&prefix, &start, &end_of(prefix), &LAST, &limit(page.limit)]).await?;
    let paths: Vec<String> = rows(&found, |row| row.try_get(0))?;
    let child = |path: String| {
        let rest = path.strip_prefix(prefix).unwrap_or(&path);
        rest.split_inclusive('/').next().unwrap_or(rest).to_owned()
    };
    Ok(paths.into_iter().map(child).collect())
}

pub(super) async fn keys(readers: &Readers, prefix: &str, page: &Page) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT path FROM entries WHERE path > $1 AND path < $2 ORDER BY path LIMIT $3";
    let after = format!("{prefix}{}", page.after.as_deref().unwrap_or_default());
    let found = readers.query(sql, &[&after, &end_of(prefix), &limit(page.limit)]).await?;
    rows(&found, |row| below(prefix, row))
}

pub(super) async fn expired(
    readers: &Readers,
    prefix: &str,
    before: i64,
    most: usize,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT path FROM entries WHERE expires_at IS NOT NULL AND expires_at <= $1 AND path >= $2 AND path < $3
        ORDER BY expires_at, path LIMIT $4";
    let found = readers.query(sql, &[&before, &prefix, &end_of(prefix), &limit(Some(most))]).await?;
    rows(&found, |row| below(prefix, row))
}

fn below(prefix: &str, row: &Row) -> Result<String, Error> {
    let path: String = row.try_get(0)?;
    Ok(path.strip_prefix(prefix).map_or(path.clone(), str::to_owned))
}

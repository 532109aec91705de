//! Reading entries, records and the sequence. Every listing is a scan of the index on `path`.

use super::{limit, unsigned};
use crate::{
    backend::{Sequence, StoredEntry, StoredRecord, end_of},
    view::Page,
};
use rusqlite::{Connection, OptionalExtension, params};

pub(super) fn sequence(connection: &Connection) -> rusqlite::Result<Sequence> {
    let sql = "SELECT value FROM change_sequence WHERE id = 1";
    connection.prepare_cached(sql)?.query_row([], |row| unsigned(0, row.get(0)?)).map(Sequence)
}

pub(super) fn read(connection: &Connection, path: &str) -> rusqlite::Result<Option<StoredEntry>> {
    let sql = "SELECT version, value, expires_at FROM entries WHERE path = ?1";
    connection
        .prepare_cached(sql)?
        .query_row([path], |row| {
            Ok(StoredEntry { version: unsigned(0, row.get(0)?)?, value: row.get(1)?, expires_at: row.get(2)? })
        })
        .optional()
}

pub(super) fn read_record(connection: &Connection, name: &str) -> rusqlite::Result<Option<StoredRecord>> {
    let sql = "SELECT version, value FROM barrier_records WHERE name = ?1";
    connection
        .prepare_cached(sql)?
        .query_row([name], |row| Ok(StoredRecord { version: unsigned(0, row.get(0)?)?, value: row.get(1)? }))
        .optional()
}

const WALK: &str = "SELECT path FROM entries WHERE path >= ?1 AND path < ?2 ORDER BY path";
const EXPIRED: &str = "SELECT path FROM entries INDEXED BY entries_by_expiry
    WHERE expires_at <= ?1 AND path >= ?2 AND path < ?3 ORDER BY expires_at, path LIMIT ?4";

/// Walks the index and jumps over the rest of a folder once its name is known, so a listing costs what it answers and not
/// what lies below.
pub(super) fn list(connection: &Connection, prefix: &str, page: &Page) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(WALK)?;
    let end = end_of(prefix);
    let most = page.limit.unwrap_or(usize::MAX);
    let mut children = Vec::new();
    let mut start = page.after.as_deref().map_or_else(|| prefix.to_owned(), |after| behind(prefix, after));
    'seek: loop {
        let mut rows = statement.query([&start, &end])?;
        while children.len() < most
            && let Some(row) = rows.next()?
        {
            let path = row.get_ref(0)?.as_str()?;
            let rest = path.strip_prefix(prefix).unwrap_or(path);
            match rest.split_once('/') {
                None => children.push(rest.to_owned()),
                Some((folder, _)) => {
                    let folder = format!("{folder}/");
                    start = behind(prefix, &folder);
                    children.push(folder);
                    continue 'seek;
                }
            }
        }
        return Ok(children);
    }
}

/// The first path behind a child; behind a folder that is behind everything in it.
fn behind(prefix: &str, child: &str) -> String {
    if child.ends_with('/') { end_of(&format!("{prefix}{child}")) } else { format!("{prefix}{child}\0") }
}

pub(super) fn keys(connection: &Connection, prefix: &str, page: &Page) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT path FROM entries WHERE path > ?1 AND path < ?2 ORDER BY path LIMIT ?3";
    let after = format!("{prefix}{}", page.after.as_deref().unwrap_or_default());
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![after, end_of(prefix), limit(page.limit)], |row| row.get(0))?;
    rows.map(|path| path.map(|path: String| below(prefix, &path))).collect()
}

pub(super) fn expired(
    connection: &Connection,
    prefix: &str,
    before: i64,
    most: usize,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(EXPIRED)?;
    let wanted = params![before, prefix, end_of(prefix), limit(Some(most))];
    let rows = statement.query_map(wanted, |row| row.get(0))?;
    rows.map(|path| path.map(|path: String| below(prefix, &path))).collect()
}

fn below(prefix: &str, path: &str) -> String {
    path.strip_prefix(prefix).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::migrated, EXPIRED, WALK, list};
    use crate::{backend::sqlite::tests::plan, view::Page};
    use rusqlite::StatementStatus;

    #[test]
    fn listings_walk_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        assert_eq!(
            plan(&database, WALK),
            ["SEARCH entries USING COVERING INDEX sqlite_autoindex_entries_1 (path>? AND path<?)"]
        );
        let expired = plan(&database, EXPIRED);
        assert_eq!(expired, ["SEARCH entries USING COVERING INDEX entries_by_expiry (expires_at<?)"]);
    }

    #[test]
    fn a_listing_costs_its_answer_and_not_what_lies_below() {
        let folder = tempfile::tempdir().unwrap();
        let database = migrated(&folder);
        let steps_with = |entries: u32| {
            database
                .execute(
                    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                     INSERT OR IGNORE INTO entries (path, version, value)
                     SELECT 'v/folder-' || (n % 10) || '/' || n, 1, x'' FROM n",
                    [entries],
                )
                .unwrap();
            assert_eq!(list(&database, "v/", &Page::default()).unwrap().len(), 10);
            database.prepare_cached(WALK).unwrap().reset_status(StatementStatus::VmStep)
        };
        let (few, many) = (steps_with(20), steps_with(20_000));
        assert_eq!(few, many);
    }
}

//! Ciphertexts in a column of a PostgreSQL table, walked in the order of a unique key (keyset pagination), replaced only
//! where they still are what was read (`WHERE key = … AND column = old`): whoever writes meanwhile loses nothing.

use super::{
    postgres::{self, Database},
    rewrap::{Outcome, Row, Rows},
    state::State,
};
use crate::failure::{Failure, Result};
use clap::Args;
use serde_json::{Value, json};
use std::{collections::HashSet, path::PathBuf};
use tokio_postgres::{error::SqlState, types::ToSql};

#[derive(Debug, Args)]
#[command(next_help_heading = "A PostgreSQL column instead of a file")]
pub(super) struct TableFlags {
    /// Where the database is: postgres://USER@HOST:PORT/DATABASE. No password: it comes from PGPASSWORD or ~/.pgpass
    #[arg(long, value_name = "URL", requires = "table", requires = "column", requires = "key_column")]
    pub(super) postgres: Option<String>,
    /// PEM file of the CA that signed the database's certificate [env: PGSSLROOTCERT] [default: the system's]
    #[arg(long, value_name = "FILE", requires = "postgres")]
    pub(super) postgres_ca: Option<PathBuf>,
    /// Table, exactly as it is named
    #[arg(long, value_name = "NAME", requires = "postgres")]
    table: Option<String>,
    /// Schema of the table [default: found on the search path]
    #[arg(long, value_name = "NAME", requires = "postgres")]
    schema: Option<String>,
    /// Column that holds the ciphertexts
    #[arg(long, value_name = "NAME", requires = "postgres")]
    column: Option<String>,
    /// Primary key, or another column that is unique and never null
    #[arg(long, value_name = "NAME", requires = "postgres")]
    key_column: Option<String>,
}

pub(super) struct TableRows {
    database: Database,
    statements: Statements,
    last: Option<String>,
    read: u64,
    estimate: u64,
}

/// The four statements, with every name quoted and every value a parameter.
struct Statements {
    key: String,
    first: String,
    next: String,
    again: String,
    update: String,
}

impl TableRows {
    pub(super) fn open(flags: &TableFlags, state: Option<PathBuf>, run: &Value) -> Result<(Self, State)> {
        let missing = || Failure::local("a table needs --postgres, --table, --column and --key-column");
        let given = |flag: &Option<String>| flag.clone().ok_or_else(missing);
        let (table, column, key) = (given(&flags.table)?, given(&flags.column)?, given(&flags.key_column)?);
        let database = Database::connect(&given(&flags.postgres)?, flags.postgres_ca.as_deref())?;
        let place =
            json!({"database": database.name(), "schema": flags.schema, "table": table, "column": column, "key": key});
        let state = State::load(state, json!({"run": run, "rows": place}))?;
        let qualified = match &flags.schema {
            Some(schema) => format!("{}.{}", quoted(schema)?, quoted(&table)?),
            None => quoted(&table)?,
        };
        let columns = Columns::look_up(&database, &qualified, &column, &key)?;
        let statements = Statements::new(&qualified, &quoted(&column)?, &quoted(&key)?, &columns);
        let estimate = count(&database, &qualified)?;
        let last = state.position.as_ref().and_then(|position| position.get("last")?.as_str()).map(str::to_owned);
        let read = state.tally.rows();
        Ok((Self { database, statements, last, read, estimate }, state))
    }

    fn rows(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let rows =
            self.database.query(statement, values).map_err(|error| postgres::failed("reading the table", &error))?;
        rows.iter()
            .map(|row| {
                let wrong = |error| postgres::failed("reading the table", &error);
                let key: String = row.try_get(0).map_err(wrong)?;
                let text: Option<String> = row.try_get(1).map_err(wrong)?;
                Ok(Row { name: key, ciphertext: Ok(text.unwrap_or_default()) })
            })
            .collect()
    }

    /// Replaces what still is what was read; the keys of the rows that were.
    fn update(&self, new: &[(Row, String)]) -> std::result::Result<HashSet<String>, tokio_postgres::Error> {
        let keys: Vec<&str> = new.iter().map(|(row, _)| row.name.as_str()).collect();
        let old: Vec<&str> = new.iter().map(|(row, _)| row.ciphertext.as_deref().unwrap_or_default()).collect();
        let texts: Vec<&str> = new.iter().map(|(_, text)| text.as_str()).collect();
        let rows = self.database.query(&self.statements.update, &[&keys, &old, &texts])?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// One row by itself, where a whole batch was refused because of some.
    fn update_one(&self, new: &(Row, String)) -> Result<Outcome> {
        let mut left = 3;
        loop {
            match self.update(std::slice::from_ref(new)) {
                Ok(done) => return Ok(if done.is_empty() { Outcome::Changed } else { Outcome::Done }),
                Err(error) if left > 0 && is_passing(&error) => left -= 1,
                Err(error) if is_the_rows(&error) || is_passing(&error) => {
                    return Ok(Outcome::Failed(postgres::reasons(&error).join("; ")));
                }
                Err(error) => return Err(postgres::failed("updating the table", &error)),
            }
        }
    }
}

impl Rows for TableRows {
    fn next(&mut self, count: usize) -> Result<Vec<Row>> {
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = match &self.last {
            None => self.rows(&self.statements.first, &[&limit])?,
            Some(last) => self.rows(&self.statements.next, &[&limit, last])?,
        };
        self.read += rows.len() as u64;
        self.last = rows.last().map(|row| row.name.clone()).or(self.last.take());
        Ok(rows.into_iter().map(|row| self.statements.named(row)).collect())
    }

    fn put(&mut self, new: &[(Row, String)]) -> Result<Vec<Outcome>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<_> = new.iter().map(|(row, text)| (self.statements.bare(row), text.clone())).collect();
        match self.update(&new) {
            Ok(done) => {
                let outcome =
                    |(row, _): &(Row, String)| if done.contains(&row.name) { Outcome::Done } else { Outcome::Changed };
                Ok(new.iter().map(outcome).collect())
            }
            Err(error) if is_the_rows(&error) || is_passing(&error) => {
                new.iter().map(|one| self.update_one(one)).collect()
            }
            Err(error) => Err(postgres::failed("updating the table", &error)),
        }
    }

    fn again(&mut self, changed: Vec<Row>) -> Result<Vec<Row>> {
        let keys: Vec<String> = changed.iter().map(|row| self.statements.bare(row).name).collect();
        let rows = self.rows(&self.statements.again, &[&keys])?;
        Ok(rows.into_iter().map(|row| self.statements.named(row)).collect())
    }

    fn position(&mut self) -> Result<Value> {
        // Every update was committed by itself.
        Ok(json!({"last": self.last}))
    }

    fn progress(&self) -> (u64, u64) {
        (self.read, self.estimate)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Statements {
    fn new(table: &str, column: &str, key: &str, columns: &Columns) -> Self {
        let (key_type, column_type) = (&columns.key_type, &columns.column_type);
        // Qualified with `t` throughout: a bare name in ORDER BY would mean the text the query selects, another order.
        let select = format!("SELECT t.{key}::text, t.{column}::text FROM {table} AS t");
        let order = format!("ORDER BY t.{key} LIMIT $1");
        Self {
            key: key.to_owned(),
            first: format!("{select} {order}"),
            next: format!("{select} WHERE t.{key} > $2::text::{key_type} {order}"),
            again: format!("{select} JOIN unnest($1::text[]) AS n (key) ON t.{key} = n.key::{key_type}"),
            update: format!(
                "UPDATE {table} AS t SET {column} = n.new::{column_type} \
                 FROM unnest($1::text[], $2::text[], $3::text[]) AS n (key, old, new) \
                 WHERE t.{key} = n.key::{key_type} AND t.{column}::text = n.old RETURNING t.{key}::text"
            ),
        }
    }

    /// The row under the name people shall read: `"id" = 7`.
    fn named(&self, row: Row) -> Row {
        Row { name: format!("{} = {}", self.key, row.name), ..row }
    }

    fn bare(&self, row: &Row) -> Row {
        let name = row.name.strip_prefix(&format!("{} = ", self.key)).unwrap_or(&row.name).to_owned();
        Row { name, ciphertext: row.ciphertext.clone() }
    }
}

/// The types of the two columns, as casts name them.
#[derive(Debug)]
struct Columns {
    key_type: String,
    column_type: String,
}

impl Columns {
    /// Looks the columns up and refuses what could lose rows or change texts.
    fn look_up(database: &Database, table: &str, column: &str, key: &str) -> Result<Self> {
        let wrong = |error| postgres::failed("looking the table up", &error);
        let found = database.query("SELECT to_regclass($1) IS NOT NULL", &[&table]).map_err(wrong)?;
        if !found.first().map_or(Ok(false), |row| row.try_get(0)).map_err(wrong)? {
            return Err(Failure::remote(format!("there is no table {table} in {}", database.name()))
                .because("or this user may not see it")
                .fix("give the table's name alone with --table, in its own case, and its schema with --schema"));
        }
        // -1 for the type's modifier: a cast to varchar(20) would cut silently, an assignment complains.
        let rows = database
            .query(
                "SELECT a.attname::text, format_type(a.atttypid, -1), t.typcategory::text, a.attnotnull AND EXISTS ( \
                     SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid \
                     AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) \
                 FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                 WHERE a.attrelid = to_regclass($1) AND a.attname = ANY($2) AND a.attnum > 0 AND NOT a.attisdropped",
                &[&table, &vec![column, key]],
            )
            .map_err(wrong)?;
        let mut types = (None, None);
        for row in &rows {
            let (name, kind): (String, String) = (row.try_get(0).map_err(wrong)?, row.try_get(1).map_err(wrong)?);
            let (category, unique): (String, bool) = (row.try_get(2).map_err(wrong)?, row.try_get(3).map_err(wrong)?);
            if name == key {
                check_key(key, unique)?;
                types.0 = Some(kind.clone());
            }
            if name == column {
                check_column(column, &kind, &category)?;
                types.1 = Some(kind);
            }
        }
        let absent = |name: &str| {
            Failure::remote(format!("the table {table} has no column {name:?}"))
                .fix("give the column's name in its own case; see: \\d in psql")
        };
        Ok(Self { key_type: types.0.ok_or_else(|| absent(key))?, column_type: types.1.ok_or_else(|| absent(column))? })
    }
}

fn check_key(key: &str, unique: bool) -> Result<()> {
    if unique {
        return Ok(());
    }
    Err(Failure::remote(format!("the column {key:?} cannot be walked along"))
        .because("it has no unique index of its own, or may be null: rows could be left out")
        .fix("name the primary key, or add a unique index on a column that is NOT NULL"))
}

fn check_column(column: &str, kind: &str, category: &str) -> Result<()> {
    if category == "S" {
        return Ok(());
    }
    Err(Failure::remote(format!("the column {column:?} holds no text"))
        .because(format!("it is of type {kind}"))
        .fix("name a column of type text, varchar or char"))
}

/// What the planner believes, which costs nothing; counted only where it has no idea.
fn count(database: &Database, table: &str) -> Result<u64> {
    let wrong = |error| postgres::failed("counting the rows", &error);
    let known = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)";
    let known = database.query(known, &[&table]).map_err(wrong)?;
    let known: i64 = known.first().map_or(Ok(-1), |row| row.try_get(0)).map_err(wrong)?;
    if let Ok(known @ 1..) = u64::try_from(known) {
        return Ok(known);
    }
    let counted = database.query(&format!("SELECT count(*) FROM {table}"), &[]).map_err(wrong)?;
    let counted: i64 = counted.first().map_or(Ok(0), |row| row.try_get(0)).map_err(wrong)?;
    Ok(u64::try_from(counted).unwrap_or_default())
}

/// An identifier as SQL writes it (PostgreSQL manual, 4.1.1): in double quotes, those inside doubled.
fn quoted(name: &str) -> Result<String> {
    if name.is_empty() || name.contains('\0') {
        return Err(Failure::local(format!("{name:?} is no name of a table or column")));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// The row's own fault: its new text does not fit, a constraint or a trigger refuses it.
fn is_the_rows(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| ["22", "23", "P0"].iter().any(|class| code.code().starts_with(class)))
}

/// Somebody stood in the way; the next try may find them gone.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE]
            .contains(code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        assert_eq!(quoted("orders").unwrap(), "\"orders\"");
        assert_eq!(quoted("a\"; DROP TABLE b; --").unwrap(), "\"a\"\"; DROP TABLE b; --\"");
        assert!(quoted("").is_err() && quoted("a\0b").is_err());
    }

    #[test]
    fn the_walk_is_along_the_column_and_an_update_names_the_old_text() {
        let columns = Columns { key_type: "bigint".to_owned(), column_type: "character varying".to_owned() };
        let statements = Statements::new("\"s\".\"t\"", "\"c\"", "\"id\"", &columns);
        assert!(statements.next.ends_with("WHERE t.\"id\" > $2::text::bigint ORDER BY t.\"id\" LIMIT $1"));
        assert!(statements.update.contains("t.\"c\"::text = n.old"), "{}", statements.update);
        let row = Row { name: "7".to_owned(), ciphertext: Ok("x".to_owned()) };
        let named = statements.named(row.clone());
        assert_eq!((named.name.as_str(), statements.bare(&named)), ("\"id\" = 7", row));
    }
}

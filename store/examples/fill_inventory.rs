//! Fills the inventory of a server that is not running with certificates as issuing leaves them behind, without the
//! signatures: `fill_inventory DATABASE CERTIFICATES REVOKED`. The newest certificate there is the pattern.
//!
//! The database is written as it is, because the store itself takes no changes while it is sealed. `scripts/startup.py`
//! runs it.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measuring tool")]

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};
use std::time::Instant;

const PER_COMMIT: i64 = 1000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What all of them have of the pattern.
struct Pattern {
    mount: String,
    issuer: String,
    der: Vec<u8>,
}

impl Pattern {
    fn read(database: &Connection) -> Self {
        let sql = "SELECT mount, issuer, der FROM certificates WHERE state = 1 ORDER BY id DESC LIMIT 1";
        let row = |row: &rusqlite::Row<'_>| Ok(Self { mount: row.get(0)?, issuer: row.get(1)?, der: row.get(2)? });
        database.query_row(sql, [], row).expect("a certificate")
    }

    /// A certificate made at `made`, in microseconds; it ends in ninety days or later.
    fn insert(&self, database: &Transaction<'_>, number: i64, made: i64, revoked_in: Option<i64>) {
        let name = format!("host-{number}.example.com");
        let mixed = number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let serial = [&made.to_be_bytes()[..], &mixed.to_be_bytes(), &[0; 4]].concat();
        let sql = "INSERT INTO certificates (mount, serial, issuer, role, requester, common_name, key_type, not_before,
                not_after, created_at, shard, state, der, revoked_at, revocation_reason, revoked_sequence)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'ec-p256', ?7, ?8, ?7, 0, ?9, ?10, ?11, ?12, ?13)";
        let values = params![
            self.mount,
            serial,
            self.issuer,
            format!("role-{}", number % 10),
            format!("requester-{}", number % 50),
            name,
            made,
            made + 90 * DAY + 1_000_000 * SECOND + number,
            if revoked_in.is_some() { 2 } else { 1 },
            self.der,
            revoked_in.map(|_| made),
            revoked_in.map(|_| 1),
            revoked_in,
        ];
        database.prepare_cached(sql).expect("a statement").execute(values).expect("a row");
        let sql = "INSERT INTO certificate_names (certificate, position, name) VALUES (?1, 0, ?2)";
        let values = params![database.last_insert_rowid(), name];
        database.prepare_cached(sql).expect("a statement").execute(values).expect("a row");
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("which database");
    let mut number = || arguments.next().and_then(|text| text.parse::<i64>().ok()).expect("how many");
    let (certificates, revoked) = (number(), number());
    let mut database = Connection::open(path).expect("the database opens");
    database.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;").expect("pragmas");
    let (pattern, began, now) = (Pattern::read(&database), Instant::now(), Timestamp::now().as_microsecond());
    let mut first = 0;
    while first < certificates {
        let transaction = database.transaction().expect("a transaction");
        let sql = "UPDATE change_sequence SET value = value + 1 RETURNING value";
        let sequence: i64 = transaction.query_row(sql, [], |row| row.get(0)).expect("the number of this commit");
        for number in first..certificates.min(first + PER_COMMIT) {
            // One a second, until now.
            let made = now - (certificates - number) * SECOND;
            pattern.insert(&transaction, number, made, (number < revoked).then_some(sequence));
        }
        transaction.commit().expect("a commit");
        first += PER_COMMIT;
    }
    println!("{certificates} certificates, {revoked} revoked, filled in {:.0} s", began.elapsed().as_secs_f64());
}

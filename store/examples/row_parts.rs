//! What a row of the inventories costs at the least: one INSERT of the finished row in plain SQLite, in the tables and
//! under the indexes that searches need, sixteen rows to a commit that waits for the disk. As with `chancery bench`, all are
//! for one name or key.
//!
//! `scripts/bench.sh` runs it beside the server, with `TMPDIR` where the server's database lies.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measuring tool")]

#[path = "../../hsm/examples/support/cost.rs"]
mod cost;

use chancery_store::Store;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Rows that are committed together.
const GROUP: u32 = 16;
const NAME: &str = "bench.dev.test";
const MOUNT: &str = "mount/2f0a6b52-5d2c-4d0b-9f55-0f3c4c8f5a3e/";
const ISSUER: &str = "c8368dfe-1e4b-419f-b557-76d3d78a5e82";

/// What each row has of its own.
struct Numbers {
    next: u64,
    began: i64,
}

impl Numbers {
    fn new() -> Self {
        Self { next: 0, began: Timestamp::now().as_microsecond() }
    }

    /// Begins with a time and ends in what looks like chance, as serial numbers here do.
    fn take(&mut self) -> (i64, [u8; 20], u64) {
        self.next += 1;
        let mixed = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut serial = [0; 20];
        serial[..8].copy_from_slice(&self.next.to_be_bytes());
        serial[8..16].copy_from_slice(&mixed.to_be_bytes());
        (self.began + i64::try_from(self.next).unwrap_or(0), serial, mixed)
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("parts.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The tables are made by whoever owns them.
    drop(runtime.block_on(Store::sqlite(&path, Arc::new(Timestamp::now))).expect("a database"));
    let mut database = Connection::open(path).expect("the database opens");
    database
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768;")
        .expect("pragmas");
    let mut numbers = Numbers::new();
    cost::part("row of a certificate, 16 to a commit", GROUP, || {
        group(&mut database, |database| certificate(database, &mut numbers));
    });
    cost::part("row of an SSH certificate, 16 to a commit", GROUP, || {
        group(&mut database, |database| ssh_certificate(database, &mut numbers));
    });
    cost::part("sealed entry of 600 bytes, 16 to a commit", GROUP, || {
        group(&mut database, |database| entry(database, &mut numbers));
    });
}

fn group(database: &mut Connection, mut row: impl FnMut(&Connection)) {
    let transaction = database.transaction().expect("a transaction");
    for _ in 0..GROUP {
        row(&transaction);
    }
    transaction.commit().expect("a commit");
}

fn certificate(database: &Connection, numbers: &mut Numbers) {
    let (at, serial, _) = numbers.take();
    let sql = "INSERT INTO certificates (mount, serial, issuer, role, requester, common_name, key_type, not_before,
            not_after, created_at, shard, state, der) VALUES (?1, ?2, ?3, 'web', 'root', ?4, 'ec-p256', ?5, ?6, ?5, 0, 1, ?7)";
    let values = params![MOUNT, serial, ISSUER, NAME, at, at + 3_600_000_000, [0x30_u8; 550]];
    database.prepare_cached(sql).expect("a statement").execute(values).expect("a row");
    let sql = "INSERT INTO certificate_names (certificate, position, name) VALUES (?1, 0, ?2)";
    let values = params![database.last_insert_rowid(), NAME];
    database.prepare_cached(sql).expect("a statement").execute(values).expect("a row");
}

fn ssh_certificate(database: &Connection, numbers: &mut Numbers) {
    let (at, serial, _) = numbers.take();
    let sql = "INSERT INTO ssh_certificates (mount, serial, issuer, is_host, key_id, role, requester, source, key_type,
            fingerprint, valid_after, valid_before, created_at, certificate)
        VALUES (?1, ?2, ?3, 0, ?4, 'user', 'root', '127.0.0.1', 'ed25519', ?5, ?6, ?7, ?6, ?8)";
    let (id, fingerprint) = (format!("vault-root-{:064x}", 7), format!("SHA256:{:043x}", 7));
    let values = params![MOUNT, &serial[..8], ISSUER, id, fingerprint, at, at + 300_000_000, [0x30_u8; 480]];
    database.prepare_cached(sql).expect("a statement").execute(values).expect("a row");
    let sql = "INSERT INTO ssh_principals (certificate, position, name) VALUES (?1, 0, 'bench')";
    database.prepare_cached(sql).expect("a statement").execute([database.last_insert_rowid()]).expect("a row");
}

fn entry(database: &Connection, numbers: &mut Numbers) {
    let (at, _, mixed) = numbers.take();
    let sql = "INSERT INTO entries (path, version, value, expires_at) VALUES (?1, ?2, ?3, ?4)";
    let values = params![format!("{MOUNT}acme/{mixed:016x}"), at, [0x30_u8; 600], at + 3_600_000_000];
    database.prepare_cached(sql).expect("a statement").execute(values).expect("a row");
}

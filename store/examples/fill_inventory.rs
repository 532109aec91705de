//! Fills the inventory of a server that is not running with certificates as issuing leaves them behind, without the
//! signatures: `fill_inventory DATABASE CERTIFICATES REVOKED`. The newest certificate there is the pattern.
//!
//! `scripts/startup.py` runs it.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measuring tool")]

use chancery_store::{CertificateChange, CertificateIntent, Changes, Revocation, Store};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use std::{path::PathBuf, sync::Arc, time::Instant};

const PER_COMMIT: u64 = 1000;

/// What all of them have of the pattern.
struct Pattern {
    mount: String,
    issuer: String,
    der: Vec<u8>,
}

impl Pattern {
    fn read(path: &PathBuf) -> Self {
        let database = Connection::open(path).expect("the database opens");
        let sql = "SELECT mount, issuer, der FROM certificates WHERE state = 1 ORDER BY id DESC LIMIT 1";
        let row = |row: &rusqlite::Row<'_>| Ok(Self { mount: row.get(0)?, issuer: row.get(1)?, der: row.get(2)? });
        database.query_row(sql, [], row).expect("a certificate")
    }

    /// One a second until now; they end in ninety days and later.
    fn certificate(&self, number: u64, of: u64, now: Timestamp) -> CertificateIntent {
        let seconds = |seconds: u64| SignedDuration::from_secs(i64::try_from(seconds).expect("a short time"));
        let made = now.checked_sub(seconds(of - number)).expect("a moment");
        let mut serial = vec![0x10];
        serial.extend_from_slice(&made.as_second().to_be_bytes()[3..]);
        serial.extend_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        serial.extend_from_slice(&number.to_be_bytes()[2..]);
        CertificateIntent {
            mount: self.mount.clone(),
            serial,
            issuer: self.issuer.clone(),
            role: format!("role-{}", number % 10),
            requester: format!("requester-{}", number % 50),
            common_name: format!("host-{number}.example.com"),
            names: vec![format!("host-{number}.example.com")],
            key_type: "ec-p256".to_owned(),
            not_before: made,
            not_after: now.checked_add(seconds(90 * 86_400 + number % 1_000_000)).expect("a moment"),
            created_at: made,
            shard: 0,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().expect("which database"));
    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok()).expect("how many");
    let (certificates, revoked) = (number(), number());
    let (pattern, began, now) = (Pattern::read(&path), Instant::now(), Timestamp::now());
    let store = Store::sqlite(&path, Arc::new(Timestamp::now)).await.expect("nobody else has the database");
    for first in (0..certificates).step_by(usize::try_from(PER_COMMIT).expect("a small number")) {
        let mut changes = Changes::default();
        for number in first..certificates.min(first + PER_COMMIT) {
            let intent = pattern.certificate(number, certificates, now);
            let (mount, serial, at) = (intent.mount.clone(), intent.serial.clone(), intent.created_at);
            changes.certificate(CertificateChange::Intent(intent));
            let (of, der) = (mount.clone(), pattern.der.clone());
            changes.certificate(CertificateChange::Issued { mount: of, serial: serial.clone(), der });
            if number < revoked {
                let revocation = Revocation { at, reason: 1 };
                changes.certificate(CertificateChange::Revoke { mount, serial, revocation });
            }
        }
        store.commit(changes).await.expect("a commit");
    }
    println!("{certificates} certificates, {revoked} revoked, filled in {:.0} s", began.elapsed().as_secs_f64());
}

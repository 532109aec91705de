//! What an SSH certificate costs at the least beside its signature and its row: reading the key, writing the certificate
//! (by `ssh-key`, from its fields to the line that clients get).
//!
//! `scripts/bench.sh` runs it beside the server.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measuring tool"
)]

#[path = "../../hsm/examples/support/cost.rs"]
mod cost;
#[path = "../tests/api/harness.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

use chancery_ssh_ca::public_key::SshPublicKey;
use harness::{Mount, Pair};
use serde_json::json;
use std::hint::black_box;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let line = Pair::ed25519().line();
    let body = json!({"public_key": line, "valid_principals": "mitch"});
    let signed = runtime.block_on(async { Mount::ready().await.write("sign/user", body).await }).text("signed_key");
    let certificate = ssh_key::Certificate::from_openssh(&signed).unwrap();
    cost::part("read an SSH key", 1, || {
        black_box(SshPublicKey::parse(black_box(&line)).unwrap());
    });
    cost::part("encode an SSH certificate", 1, || {
        black_box(black_box(&certificate).to_openssh().unwrap());
    });
}

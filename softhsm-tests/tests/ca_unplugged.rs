//! The certificate authority on a token that is unplugged and comes back: the pass-through module in front of SoftHSM
//! answers `CKR_DEVICE_REMOVED`, to signatures and to every attempt to reconnect.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test binary without a harness; it fails by panicking"
)]

#[path = "../../ca/tests/api/harness.rs"]
#[expect(dead_code, reason = "the engine's own tests use more of it")]
mod harness;
#[path = "../../ca/tests/api/openssl.rs"]
#[expect(dead_code, reason = "the engine's own tests use more of it")]
mod openssl;
#[path = "unplugged/scenario.rs"]
mod scenario;
#[path = "support/shim.rs"]
#[expect(dead_code, reason = "here nobody counts calls")]
mod shim;
#[path = "support/softhsm.rs"]
mod softhsm;
#[path = "support/token.rs"]
mod token;

use scenario::{Plug, unplugged};
use shim::Shim;
use std::process::ExitCode;
use token::{Stage, Token};

const DEVICE_REMOVED: u64 = 0x32;
const FOR_GOOD: u64 = 1_000_000;

impl Plug for Shim {
    fn pull(&mut self) {
        self.fail("C_SignInit", DEVICE_REMOVED, FOR_GOOD);
        self.fail("C_Initialize", DEVICE_REMOVED, FOR_GOOD);
    }

    fn put_back(&mut self) {
        self.order("reset");
    }
}

fn main() -> ExitCode {
    let module = if Token::inherited().is_some() { None } else { Some(shim::build()) };
    let token = match softhsm::stage(module.as_deref()) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let mut shim = Shim::at(&token.place);
    tokio::runtime::Runtime::new().expect("a runtime").block_on(unplugged(&token, &mut shim));
    println!("ok      a token that is unplugged and comes back");
    ExitCode::SUCCESS
}

//! The conformance list on Kryoptic, the second token: raw Ed25519 points, PIN lockout, exact error codes.
//!
//! Without the module (`softhsm-tests/scripts/kryoptic.sh` builds it) the test says that it was skipped.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a test binary without a harness")]

#[path = "support/kryoptic.rs"]
mod kryoptic;
#[path = "../../hsm/tests/conformance/list.rs"]
mod list;
#[path = "support/token.rs"]
mod token;

use std::process::ExitCode;

use chancery_hsm::{Hsm, HsmError, Pin};
use list::Verdict;
use token::{Stage, Token};

fn main() -> ExitCode {
    if kryoptic::module().is_none() {
        println!("skipped: conformance list on Kryoptic (build it with softhsm-tests/scripts/kryoptic.sh)");
        return ExitCode::SUCCESS;
    }
    let token = match kryoptic::stage() {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let hsm = Hsm::open(token.config()).await.expect("the token opens");
        let report = list::run(&hsm).await;
        println!("{}", report.table());
        hsm.shutdown().await;
        let passed = report.names(|verdict| matches!(verdict, Verdict::Passed)).len();
        let failed = report.names(|verdict| matches!(verdict, Verdict::Failed(_)));
        let locked = locked_token_is_never_asked_again(&token).await;
        println!("  a locked token latches: {locked:?}");
        println!("  the token lived in {}", token.place.display());
        if failed.is_empty() && passed > 30 && locked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

/// Wears the PIN out, one start of the appliance at a time, until the token says so and we refuse by ourselves.
async fn locked_token_is_never_asked_again(token: &Token) -> Result<(), String> {
    for attempt in 1..20 {
        let mut config = token.config();
        config.pin = Pin::new("not the PIN").map_err(|error| error.to_string())?;
        match Hsm::open(config).await {
            Err(HsmError::Latched { reason }) if reason.contains("CKR_PIN_INCORRECT") => {}
            Err(HsmError::Latched { reason }) => {
                println!("  wrong PIN {attempt}: {reason}");
                return Ok(());
            }
            Err(other) => return Err(format!("attempt {attempt}: {other}")),
            Ok(_) => return Err(format!("attempt {attempt}: a wrong PIN was accepted")),
        }
    }
    Err("twenty wrong PINs were tried".into())
}

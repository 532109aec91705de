//! The conformance list on Kryoptic, the second token: raw Ed25519 points, PIN lockout, exact error codes.
//!
//! The module is found through `KRYOPTIC_MODULE`, or where `softhsm-tests/scripts/kryoptic.sh` builds it. Without it
//! the test says so and counts as not run.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a test binary without a harness")]

#[path = "../../hsm/tests/conformance/list.rs"]
mod list;
#[path = "support/token.rs"]
mod token;

use std::{path::PathBuf, process::ExitCode};

use chancery_hsm::{Hsm, HsmError, Pin};
use list::Verdict;
use token::{Stage, Token};

fn main() -> ExitCode {
    let Some(module) = module() else {
        println!("skipped: conformance list on Kryoptic (build it with softhsm-tests/scripts/kryoptic.sh)");
        return ExitCode::SUCCESS;
    };
    let token = match Stage::kryoptic(&module) {
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

fn module() -> Option<PathBuf> {
    let named = std::env::var_os("KRYOPTIC_MODULE").map(PathBuf::from);
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
    named.or_else(|| Some(target.join("kryoptic/build/release/libkryoptic_pkcs11.so"))).filter(|path| path.exists())
}

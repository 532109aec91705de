//! Keys that somebody else made, with somebody else's tool: OpenSC's `pkcs11-tool` makes them in an operator's token, the
//! appliance registers them over HTTP in both dialects and transit uses them. A second token is the appliance's own.
//!
//! Both are reached through the pass-through module, so that they can be lost on order.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test binary without a harness; serde_json's index gives null for what is not there"
)]

#[path = "external/client.rs"]
mod client;
#[path = "external/scenarios.rs"]
mod scenarios;
#[path = "support/shim.rs"]
mod shim;
#[path = "support/softhsm.rs"]
mod softhsm;
#[path = "support/token.rs"]
mod token;

use client::Client;
use shim::Shim;
use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};
use token::{Stage, Token};

/// What a scenario says: nothing, or what was wrong.
type Outcome = Result<(), String>;

/// The operator's token.
const OPERATOR: &str = "operator";
const OPERATOR_PIN: &str = "oper-4711";

/// Everything a scenario needs.
struct Bench {
    client: Client,
    shim: Shim,
}

/// What the operator makes: the arguments of `pkcs11-tool`, behind which stands the key's label.
const KEYS: [(&[&str], &str, &str); 6] = [
    (&["--keypairgen", "--key-type", "rsa:2048"], "rsa", "01"),
    (&["--keypairgen", "--key-type", "EC:prime256v1"], "p256", "02"),
    (&["--keypairgen", "--key-type", "EC:secp384r1"], "p384", "03"),
    (&["--keypairgen", "--key-type", "EC:edwards25519"], "ed25519", "04"),
    (&["--keygen", "--key-type", "AES:32", "--sensitive"], "aes", "05"),
    (&["--keygen", "--key-type", "GENERIC:32", "--sensitive"], "mac", "06"),
];

fn main() -> ExitCode {
    let module = if Token::inherited().is_some() { None } else { Some(shim::build()) };
    let token = match softhsm::stage(module.as_deref()) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let softhsm = PathBuf::from(std::env::var_os("CHANCERY_SHIM_MODULE").expect("the stage names SoftHSM"));
    if let Err(reason) = make_operators_token(&softhsm) {
        eprintln!("FAILED: {reason}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let failures = runtime.block_on(run(&token));
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(token: &Token) -> usize {
    let client = Client::start(token).await;
    let bench = Bench { client, shim: Shim::at(&token.place) };
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut failures = 0;
    for (name, scenario) in scenarios::ALL {
        if !name.contains(&wanted) {
            continue;
        }
        match scenario(&bench).await {
            Ok(()) => println!("ok      {name}"),
            Err(reason) => {
                failures += 1;
                println!("FAILED  {name}: {reason}");
            }
        }
    }
    bench.client.stop().await;
    failures
}

fn make_operators_token(module: &std::path::Path) -> Outcome {
    let so_pin = token::SO_PIN;
    let init = ["--init-token", "--free", "--label", OPERATOR, "--so-pin", so_pin, "--pin", OPERATOR_PIN];
    tool("softhsm2-util", &init)?;
    let module = module.display().to_string();
    for (what, label, id) in KEYS {
        let login = ["--module", &module, "--token-label", OPERATOR, "--login", "--pin", OPERATOR_PIN];
        tool("pkcs11-tool", &[&login, what, &["--label", label, "--id", id]].concat())?;
    }
    Ok(())
}

/// What an operator does who no longer knows what a key was for.
fn delete_object(label: &str) -> Outcome {
    let softhsm = std::env::var("CHANCERY_SHIM_MODULE").map_err(|error| error.to_string())?;
    let login = ["--module", &softhsm, "--token-label", OPERATOR, "--login", "--pin", OPERATOR_PIN];
    tool("pkcs11-tool", &[&login, ["--delete-object", "--type", "privkey", "--label", label].as_slice()].concat())
}

fn tool(program: &str, arguments: &[&str]) -> Outcome {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

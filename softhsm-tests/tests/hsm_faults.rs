//! Every class of PKCS#11 failure, produced on order by the pass-through module in front of SoftHSM.
//!
//! One scenario after the other, each on a connection of its own; each says what the layer did about the failure, and
//! counts the calls that prove it.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a test binary without a harness")]

#[path = "faults/device.rs"]
mod device;
#[path = "faults/input.rs"]
mod input;
#[path = "faults/login.rs"]
mod login;
#[path = "support/shim.rs"]
mod shim;
#[path = "support/softhsm.rs"]
mod softhsm;
#[path = "support/token.rs"]
mod token;

use std::{pin::Pin, process::ExitCode, time::Duration};

use chancery_hsm::{
    HashAlgorithm, Hsm, HsmError, KeyAlgorithm, KeyPurpose, KeyReference, KeySpec, Pkcs11Config, SignInput, SignScheme,
    verify,
};
use shim::Shim;
use token::{Stage, Token};

/// What a scenario says: nothing, or what was wrong.
type Outcome = Result<(), String>;
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;
type Scenario = (&'static str, for<'a> fn(&'a Bench) -> Running<'a>);

/// A token behind the module that fails on order.
struct Bench {
    token: Token,
    shim: Shim,
}

fn main() -> ExitCode {
    let module = if Token::inherited().is_some() { None } else { Some(shim::build()) };
    let token = match softhsm::stage(module.as_deref()) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let shim = Shim::at(&token.place);
    let bench = Bench { token, shim };
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut failures = 0;
    for (name, scenario) in input::SCENARIOS.iter().chain(device::SCENARIOS).chain(login::SCENARIOS) {
        if !name.contains(&wanted) {
            continue;
        }
        let outcome = runtime.block_on(scenario(&bench));
        bench.shim_if_loaded();
        match outcome {
            Ok(()) => println!("ok      {name}"),
            Err(reason) => {
                failures += 1;
                println!("FAILED  {name}: {reason}");
            }
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Bench {
    fn config(&self) -> Pkcs11Config {
        let mut config = self.token.config();
        config.sessions = 2;
        config.reconnect_pause = Duration::from_millis(100);
        config.keep_alive = Duration::from_secs(3600);
        config
    }

    async fn open(&self) -> Result<Hsm, String> {
        Hsm::open(self.config()).await.map_err(said("open"))
    }

    fn shim_if_loaded(&self) {
        if self.token.place.join("shim").exists() {
            self.shim.order("reset");
        }
    }

    /// How often the module was finalised: whether the connection was rebuilt.
    fn rebuilds(&self) -> u64 {
        self.shim.count("C_Finalize")
    }
}

async fn make(hsm: &Hsm, algorithm: KeyAlgorithm, purpose: KeyPurpose) -> Result<KeyReference, String> {
    hsm.generate(KeySpec::new(algorithm, purpose, "faults")).await.map_err(said("generate"))
}

async fn signing_key(hsm: &Hsm) -> Result<KeyReference, String> {
    let key = make(hsm, KeyAlgorithm::EcP256, KeyPurpose::Sign).await?;
    sign(hsm, &key).await.map_err(said("the first signature"))?;
    Ok(key)
}

/// Signs, and checks the signature under the key's own public half.
async fn sign(hsm: &Hsm, key: &KeyReference) -> Result<(), HsmError> {
    let scheme = SignScheme::Ecdsa(HashAlgorithm::Sha256);
    let input = SignInput::Message(b"message".to_vec());
    let signature = hsm.sign(key, scheme, input.clone()).await?;
    let genuine = verify(key.public_key.as_deref().unwrap_or_default(), scheme, &input, &signature)?;
    assert!(genuine, "a signature of another key was released");
    Ok(())
}

fn said(call: impl Into<String>) -> impl Fn(HsmError) -> String {
    let call = call.into();
    move |error| format!("{call}: {error} ({error:?})")
}

fn ensure(holds: bool, fact: &str) -> Outcome {
    if holds { Ok(()) } else { Err(format!("not so: {fact}")) }
}

fn ensure_equal(found: u64, wanted: u64, what: &str) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found}, not {wanted}")) }
}

//! What a signature costs at the least: `C_Sign` in a bare loop, and its verification in software (ECDSA P-256, SoftHSM).
//!
//! `sign_parts` measures the CPU time of both. `sign_parts network MODULE` measures how many signatures a second a bare
//! loop makes in four sessions through the pass-through module, which adds `CHANCERY_SHIM_DELAY` microseconds to each call.
//! `scripts/bench.sh` runs it beside the server.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a measuring tool")]

#[path = "support/cost.rs"]
mod cost;
#[path = "../../softhsm-tests/tests/support/softhsm.rs"]
mod softhsm;
#[path = "../../softhsm-tests/tests/support/token.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod token;

use chancery_hsm::{
    HashAlgorithm, Hsm, KeyAlgorithm, KeyPurpose, KeyReference, KeySpec, SignInput, SignScheme, verify,
};
use cryptoki::{
    context::Pkcs11,
    mechanism::Mechanism,
    object::{Attribute, ObjectClass, ObjectHandle},
    session::Session,
};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use token::{Stage, Token};

const SESSIONS: usize = 4;
const SCHEME: SignScheme = SignScheme::Ecdsa(HashAlgorithm::Sha256);

fn main() -> ExitCode {
    let through = std::env::args().nth(2).map(PathBuf::from);
    let token = match softhsm::stage(through.as_deref()) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut config = token.config();
    config.sessions = 1;
    let hsm = runtime.block_on(Hsm::open(config)).expect("the token opens");
    let spec = KeySpec::new(KeyAlgorithm::EcP256, KeyPurpose::Sign, "parts");
    let key = runtime.block_on(hsm.generate(spec)).expect("a key");
    if through.is_some() {
        network(&token, &key);
    } else {
        let (session, handle) = open(&token, &key);
        let digest = HashAlgorithm::Sha256.digest(b"message");
        cost::part("C_Sign, ECDSA P-256", 1, || {
            session.sign(&Mechanism::Ecdsa, handle, &digest).expect("a signature");
        });
        let input = SignInput::Message(vec![7; 500]);
        let signature = runtime.block_on(hsm.sign(&key, SCHEME, input.clone())).expect("a signature");
        let public = key.public_key.as_deref().expect("a public key");
        cost::part("verify after sign, ECDSA P-256", 1, || {
            assert!(verify(public, SCHEME, &input, &signature).expect("a verification"));
        });
    }
    runtime.block_on(hsm.destroy(&key)).expect("the key is destroyed");
    runtime.block_on(hsm.shutdown());
    ExitCode::SUCCESS
}

/// As many threads as sessions, each signing in a session of its own.
fn network(token: &Token, key: &KeyReference) {
    let workers: Vec<_> = (0..SESSIONS).map(|_| open(token, key)).collect();
    let seconds = std::env::var("PART_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4.0);
    let (began, until) = (Instant::now(), Instant::now() + Duration::from_secs_f64(seconds));
    let signed: u32 = std::thread::scope(|scope| {
        let sign = |(session, handle): (Session, ObjectHandle)| {
            let (digest, mut signed) = (HashAlgorithm::Sha256.digest(b"message"), 0);
            while Instant::now() < until {
                session.sign(&Mechanism::Ecdsa, handle, &digest).expect("a signature");
                signed += 1;
            }
            signed
        };
        let threads: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || sign(worker))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum::<u32>()
    });
    let rate = f64::from(signed) / began.elapsed().as_secs_f64();
    println!("{{\"part\": \"C_Sign in a bare loop, {SESSIONS} sessions\", \"per_second\": {rate:.0}}}");
}

/// A session beside the facade's, whose login covers it, and the key's handle there.
fn open(token: &Token, key: &KeyReference) -> (Session, ObjectHandle) {
    let context = Pkcs11::new(&token.module).expect("the module is loaded already");
    let slots = context.get_slots_with_token().expect("slots");
    let slot = *slots
        .iter()
        .find(|slot| context.get_token_info(**slot).is_ok_and(|info| info.serial_number() == key.token.serial))
        .expect("the token's slot");
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(key.id.as_bytes().to_vec())];
    let session = context.open_rw_session(slot).expect("a session");
    let handle = *session.find_objects(&template).expect("a search").first().expect("the key");
    (session, handle)
}

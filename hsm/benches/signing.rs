//! What the facade costs: a bare loop of `C_Sign` against [`Hsm::sign`], ECDSA P-256 on SoftHSM, 1 to 4 sessions; and, on
//! one session, a bare `C_Encrypt` (AES-256-GCM, 32 bytes) against [`Hsm::encrypt`].
//!
//! The facade also verifies each signature in software (tens of microseconds on the same cores), so its time is given
//! beside the sum of the unavoidable parts, `C_Sign` and one verification. A second pass adds a millisecond to each
//! call, as a network HSM does; there the cores are idle and the facade must come close to the bare loop.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a bench binary")]

#[path = "../../softhsm-tests/tests/support/shim.rs"]
#[expect(dead_code, reason = "a bench needs the delay only")]
mod shim;
#[path = "../../softhsm-tests/tests/support/softhsm.rs"]
mod softhsm;
#[path = "../../softhsm-tests/tests/support/token.rs"]
mod token;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use chancery_hsm::{
    HashAlgorithm, Hsm, KeyAlgorithm, KeyPurpose, KeyReference, KeySpec, SignInput, SignScheme, verify,
};
use criterion::{Bencher, Criterion};
use cryptoki::{
    context::Pkcs11,
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, ObjectClass, ObjectHandle},
    session::Session,
};
use shim::Shim;
use token::{Stage, Token};
use tokio::runtime::Runtime;

const SCHEME: SignScheme = SignScheme::Ecdsa(HashAlgorithm::Sha256);

fn main() -> ExitCode {
    let module = if Token::inherited().is_some() { None } else { Some(shim::build()) };
    let token = match softhsm::stage(module.as_deref()) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let runtime = Runtime::new().expect("a runtime");
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let shim = Shim::at(&token.place);
    for (name, delay) in [("local", 0), ("network-1ms", 1000)] {
        for sessions in 1..=4 {
            let mut config = token.config();
            config.sessions = sessions;
            let hsm = runtime.block_on(Hsm::open(config)).expect("the token opens");
            let spec = KeySpec::new(KeyAlgorithm::EcP256, KeyPurpose::Sign, "bench");
            let key = runtime.block_on(hsm.generate(spec)).expect("a key");
            shim.order(&format!("delay {delay}"));
            let mut group = criterion.benchmark_group(format!("{name}/{sessions}-sessions"));
            let (mut bare, mut facade, mut check) = (Duration::MAX, Duration::MAX, Duration::MAX);
            group.bench_function("bare-C_Sign", |b| time(b, &mut bare, |n| bare_loop(&token, &key, sessions, n)));
            group.bench_function("facade", |b| {
                time(b, &mut facade, |n| runtime.block_on(facade_loop(&hsm, &key, sessions, n)));
            });
            group.bench_function("verify", |b| time(b, &mut check, |n| verify_loop(&hsm, &runtime, &key, sessions, n)));
            group.finish();
            shim.order("delay 0");
            let rate = |each: Duration| 1.0 / each.as_secs_f64();
            // A filter on the command line may have left one of the three out.
            if [bare, facade, check].contains(&Duration::MAX) {
                runtime.block_on(hsm.shutdown());
                continue;
            }
            println!(
                "{name}, {sessions} sessions: bare {:.0}/s, facade {:.0}/s = {:.2} of bare, {:.2} times the sum of C_Sign and verification",
                rate(bare),
                rate(facade),
                rate(facade) / rate(bare),
                facade.as_secs_f64() / (bare + check).as_secs_f64(),
            );
            runtime.block_on(hsm.destroy(&key)).expect("the key is destroyed");
            if sessions == 1 {
                encrypting(&mut criterion, name, &token, &hsm, &runtime);
            }
            runtime.block_on(hsm.shutdown());
        }
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Times batches and keeps the best time for one signature.
fn time(bencher: &mut Bencher<'_>, best: &mut Duration, run: impl Fn(u64) -> Duration) {
    bencher.iter_custom(|iterations| {
        let taken = run(iterations);
        if iterations >= 20 {
            *best = (*best).min(taken.div_f64(f64::from(u32::try_from(iterations).unwrap_or(u32::MAX))));
        }
        taken
    });
}

fn share(total: u64, parts: usize, part: usize) -> u64 {
    let (parts, part) = (parts as u64, part as u64);
    total / parts + u64::from(part < total % parts)
}

/// One session, one caller: what `C_Encrypt` costs, and what it costs through the facade.
fn encrypting(criterion: &mut Criterion, name: &str, token: &Token, hsm: &Hsm, runtime: &Runtime) {
    let spec = KeySpec::new(KeyAlgorithm::Aes256, KeyPurpose::Encrypt, "bench");
    let key = runtime.block_on(hsm.generate(spec)).expect("a key");
    let (session, handle) = open(token, &key, ObjectClass::SECRET_KEY);
    let mut group = criterion.benchmark_group(format!("{name}/aes-256-gcm"));
    group.bench_function("bare-C_Encrypt", |b| {
        b.iter(|| {
            let mut iv = [7; 12];
            let parameters = GcmParams::new(&mut iv, b"aad", 128.into()).expect("parameters");
            session.encrypt(&Mechanism::AesGcm(parameters), handle, &[7; 32]).expect("a ciphertext")
        });
    });
    group.bench_function("facade", |b| {
        b.iter(|| runtime.block_on(hsm.encrypt(&key, b"aad", &[7; 32])).expect("a ciphertext"));
    });
    group.finish();
    runtime.block_on(hsm.destroy(&key)).expect("the key is destroyed");
}

/// A session beside the facade's, whose login covers it, and the key's handle there.
fn open(token: &Token, key: &KeyReference, class: ObjectClass) -> (Session, ObjectHandle) {
    let context = Pkcs11::new(&token.module).expect("the module is loaded already");
    let slots = context.get_slots_with_token().expect("slots");
    let slot = *slots
        .iter()
        .find(|slot| context.get_token_info(**slot).is_ok_and(|info| info.serial_number() == key.token.serial))
        .expect("the token's slot");
    let template = [Attribute::Class(class), Attribute::Id(key.id.as_bytes().to_vec())];
    let session = context.open_rw_session(slot).expect("a session");
    let handle = *session.find_objects(&template).expect("a search").first().expect("the key");
    (session, handle)
}

/// As many threads as sessions, each signing in a session of its own.
fn bare_loop(token: &Token, key: &KeyReference, sessions: usize, iterations: u64) -> Duration {
    let workers: Vec<_> = (0..sessions).map(|_| open(token, key, ObjectClass::PRIVATE_KEY)).collect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (number, (session, handle)) in workers.into_iter().enumerate() {
            scope.spawn(move || {
                let digest = HashAlgorithm::Sha256.digest(b"message");
                for _ in 0..share(iterations, sessions, number) {
                    session.sign(&Mechanism::Ecdsa, handle, &digest).expect("a signature");
                }
            });
        }
    });
    started.elapsed()
}

/// Twice as many callers as sessions, so that no worker waits for the next command.
async fn facade_loop(hsm: &Hsm, key: &KeyReference, sessions: usize, iterations: u64) -> Duration {
    let callers = sessions * 2;
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (hsm, key) = (hsm.clone(), key.clone());
            tokio::spawn(async move {
                for _ in 0..share(iterations, callers, caller) {
                    hsm.sign(&key, SCHEME, SignInput::Message(b"message".to_vec())).await.expect("a signature");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller");
    }
    started.elapsed()
}

/// Verification alone, on as many threads as sessions.
fn verify_loop(hsm: &Hsm, runtime: &Runtime, key: &KeyReference, sessions: usize, iterations: u64) -> Duration {
    let input = SignInput::Message(b"message".to_vec());
    let signature = runtime.block_on(hsm.sign(key, SCHEME, input.clone())).expect("a signature");
    let public = key.public_key.as_deref().expect("a public key");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..sessions {
            let (input, signature) = (&input, &signature);
            scope.spawn(move || {
                for _ in 0..share(iterations, sessions, number) {
                    assert!(verify(public, SCHEME, input, signature).expect("a verification"));
                }
            });
        }
    });
    started.elapsed()
}

//! The transit engine's own endpoint suite (`transit/tests/api`) once more, with every key it can make in a real SoftHSM
//! token. The harness of the suite opens the token that the environment names and asks for protection `hsm`.
//!
//! A test may fail only by what the token cannot do, and only where the token's missing mechanism is known and named in
//! the failure. Everything else is a failure here too.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test binary without a harness; serde_json's index gives null for what is not there"
)]

#[path = "support/softhsm.rs"]
mod softhsm;
#[path = "support/token.rs"]
#[expect(dead_code, reason = "the suite opens the token itself")]
mod token;

use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::OnceLock,
};
use token::{LABEL, PIN, Stage, Token};

/// What SoftHSM 2.6.1 lacks of what the suite asks for, as errors name it.
const KNOWN_GAPS: [&str; 10] = [
    "Ed25519ctx",
    "Ed25519ph",
    "RSA-OAEP with SHA-256",
    "RSA PKCS#1 v1.5 with SHA-224",
    "HMAC-SHA-384",
    "HMAC-SHA-512",
    "HMAC with SHA",
    "RSA-PSS with SHA-1",
    "RSA-PSS with SHA-224",
    "with SHA3",
];

/// These count the objects in the token, so each gets one of its own.
const COUNTING: [&str; 5] = [
    "create::deletion_must_be_allowed_first",
    "create::impossible_parameters_are_refused_and_nothing_is_written",
    "create::removing_the_mount_destroys_its_objects_in_the_token",
    "lifecycle::trimming_follows_the_floors_and_is_final",
    "rotation::objects_that_a_crash_left_in_the_token_are_destroyed",
];

/// Random histories make thousands of objects, and a token of files searches all of them for each.
const LEFT_OUT: &str = "properties::";

/// Fewer would mean that the suite was not found, or that its keys stayed in software.
const LEAST_PASSED: usize = 130;
const LEAST_KEYS: usize = 100;

fn main() -> ExitCode {
    let token = match softhsm::stage(None) {
        Stage::Finished(code) => return code,
        Stage::Inside(token) => token,
    };
    let report = token.place.join("keys-made");
    let mut output = run_suite(&token, &report);
    let keys = count(&std::fs::read_to_string(&report).unwrap_or_default());
    let (mut passed, mut failed) = sort(&output);
    println!("transit's endpoint suite with protection hsm on SoftHSM");
    println!("  left out: {LEFT_OUT}* (too many objects for a token of files)");
    println!("  keys made, by where they live and type:");
    for (kind, number) in &keys {
        println!("    {number:>5}  {kind}");
    }
    for (more_output, name) in COUNTING.iter().map(|name| (run_alone(&token, name), name)) {
        let (more_passed, more_failed) = sort(&more_output);
        if more_passed + more_failed.len() != 1 {
            println!("FAILED: there is no test {name}");
            return ExitCode::FAILURE;
        }
        passed += more_passed;
        failed.extend(more_failed);
        output.push_str(&more_output);
    }
    let mut unexpected = 0;
    for (name, text) in &failed {
        if let Some(gap) = KNOWN_GAPS.iter().find(|gap| names_gap(text, gap)) {
            println!("  cannot   {name}: the token has no {gap}");
        } else {
            unexpected += 1;
            println!("  FAILED   {name}:\n{text}");
        }
    }
    println!("  {passed} passed, {} cannot, {unexpected} failed", failed.len() - unexpected);
    let in_token: usize = keys.iter().filter(|(kind, _)| kind.starts_with("hsm ")).map(|(_, number)| number).sum();
    if passed < LEAST_PASSED || in_token < LEAST_KEYS {
        println!("FAILED: {passed} tests passed and {in_token} keys lived in the token; that is not the whole suite");
        eprintln!("{output}");
        return ExitCode::FAILURE;
    }
    if unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_suite(token: &Token, report: &Path) -> String {
    let mut suite = command(token, LABEL);
    suite.env("CHANCERY_TEST_KEYS_MADE", report).args(["--test-threads", "4"]);
    for left_out in COUNTING.iter().chain([&LEFT_OUT]) {
        suite.args(["--skip", left_out]);
    }
    run(suite)
}

fn run_alone(token: &Token, name: &str) -> String {
    let label = name.rsplit("::").next().unwrap_or(name).get(..16).unwrap_or(name);
    softhsm::initialize(label, &token.place.join("softhsm2.conf")).expect("one more token");
    let mut suite = command(token, label);
    suite.args(["--exact", name]);
    run(suite)
}

fn command(token: &Token, label: &str) -> Command {
    let mut suite = Command::new(binary());
    suite
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../transit"))
        .env("CHANCERY_TEST_MODULE", &token.module)
        .env("CHANCERY_TEST_LABEL", label)
        .env("CHANCERY_TEST_PIN", PIN);
    suite
}

fn run(mut suite: Command) -> String {
    let outcome = suite.output().expect("the suite runs");
    format!("{}\n{}", String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&outcome.stderr))
}

/// The suite's binary. The packages are the ones that `./x test` builds together, so that nothing is built twice.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["test", "--offline", "--workspace", "--exclude", "chancery-softhsm-tests", "--test", "api"])
            .args(["--no-run", "--message-format", "json"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        String::from_utf8_lossy(&built.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| {
                message["manifest_path"].as_str().is_some_and(|path| path.ends_with("/transit/Cargo.toml"))
            })
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the binary of transit's endpoint suite")
    })
}

/// How many tests passed, and what the others said.
fn sort(output: &str) -> (usize, BTreeMap<String, String>) {
    let passed = output.lines().filter(|line| line.starts_with("test ") && line.ends_with("... ok")).count();
    let mut failed: BTreeMap<String, String> = output
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .map(|name| (name.to_owned(), String::new()))
        .collect();
    let mut current = None;
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----")) {
            current = Some(name.to_owned());
        } else if line == "failures:" {
            current = None;
        } else if let Some(text) = current.as_ref().and_then(|name| failed.get_mut(name)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    (passed, failed)
}

fn names_gap(text: &str, gap: &str) -> bool {
    text.split("the token does not support ").skip(1).any(|rest| rest.contains(gap))
}

fn count(lines: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines.lines() {
        *counts.entry(line.to_owned()).or_insert(0) += 1;
    }
    counts
}

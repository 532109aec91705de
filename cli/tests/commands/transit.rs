//! `transit` and `bulk` against a server that answers from a script: what is asked of it, what is written, what is not.

use super::{
    stderr, stdout,
    stub::{Reply, Stub},
};
use std::fs;

/// A data key of 32 bytes 0x42.
const DATA_KEY: &str = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

fn data_key() -> Reply {
    Reply::ok(&format!(r#"{{"request_id":"r","data":{{"plaintext":"{DATA_KEY}","ciphertext":"vault:v1:WRAPPED"}}}}"#))
}

fn path(stub: &Stub, name: &str) -> String {
    stub.home().join(name).display().to_string()
}

/// A file that `transit encrypt` wrote, and the server that made its data key.
fn sealed<const N: usize>(content: &str, then: [Reply; N]) -> Stub {
    let replies: Vec<Reply> = std::iter::once(data_key()).chain(then).collect();
    let stub = Stub::start_with(replies);
    fs::write(path(&stub, "plain"), content).unwrap();
    let output = stub.run(&["transit", "encrypt", &path(&stub, "plain"), "-k", "app", "--mount", "team/transit/"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let request = stub.request();
    assert!(request.starts_with("POST /v1/team/transit/datakey/plaintext/app "), "{request}");
    assert!(!request.contains(content), "the content must not be sent");
    stub
}

#[test]
fn a_file_is_sealed_here_and_comes_back() {
    let stub = sealed("the content", [data_key()]);
    let file = fs::read(path(&stub, "plain.enc")).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("the content"));
    let output = stub.run(&["transit", "decrypt", &path(&stub, "plain.enc"), "-o", "-", "--mount", "team/transit"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "the content"), "{}", stderr(&output));
    let request = stub.request();
    assert!(
        request.starts_with("POST /v1/team/transit/decrypt/app ") && request.contains("vault:v1:WRAPPED"),
        "{request}"
    );
}

#[test]
fn a_mount_that_a_file_names_is_not_asked_unless_it_is_ours() {
    let stub = sealed("s3cret!", []);
    let output = stub.run(&["transit", "decrypt", &path(&stub, "plain.enc"), "-o", "-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--mount \"team/transit\""), "{}", stderr(&output));
}

#[test]
fn nothing_is_overwritten_and_no_data_key_is_made_for_it() {
    let stub = Stub::start([]);
    fs::write(path(&stub, "plain"), "content").unwrap();
    fs::write(path(&stub, "plain.enc"), "precious").unwrap();
    let output = stub.run(&["transit", "encrypt", &path(&stub, "plain"), "-k", "app"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(path(&stub, "plain.enc")).unwrap(), "precious");
}

#[test]
fn a_rewrap_replaces_the_wrapped_key_only() {
    let new = Reply::ok(r#"{"request_id":"r","data":{"ciphertext":"vault:v12:LONGER-THAN-BEFORE","key_version":12}}"#);
    let stub = sealed("s3cret!", [new, data_key()]);
    let before = fs::read(path(&stub, "plain.enc")).unwrap();
    let output = stub.run(&["transit", "rewrap", &path(&stub, "plain.enc"), "--mount", "team/transit"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let after = fs::read(path(&stub, "plain.enc")).unwrap();
    assert!(stub.request().starts_with("POST /v1/team/transit/rewrap/app "));
    assert_eq!(before[..78], after[..78]);
    assert_eq!(before[before.len() - 23..], after[after.len() - 23..]);
    assert!(String::from_utf8_lossy(&after).contains("vault:v12:LONGER-THAN-BEFORE"));
    let output = stub.run(&["transit", "decrypt", &path(&stub, "plain.enc"), "-o", "-", "--mount", "team/transit"]);
    assert_eq!(stdout(&output), "s3cret!", "{}", stderr(&output));
}

#[test]
fn a_signature_that_is_none_has_an_exit_code_of_its_own() {
    let stub = Stub::start([Reply::ok(r#"{"request_id":"r","data":{"valid":false}}"#)]);
    fs::write(path(&stub, "file"), "abc").unwrap();
    let file = path(&stub, "file");
    let words = ["transit", "verify", "app", &file, "--signature", "vault:v1:x", "--hash-here"];
    let output = stub.run(&words);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(4), "The signature is NOT valid.\n"));
    let request = stub.request();
    assert!(request.contains("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="), "{request}");
}

#[test]
fn destruction_is_not_done_unasked() {
    let stub = Stub::start([]);
    for words in [&["delete", "app"][..], &["trim", "app", "--min-available-version", "2"]] {
        let output = stub.run(&[&["transit", "key"], words].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    }
}

fn key_with_versions(latest: u64) -> Reply {
    Reply::ok(&format!(r#"{{"request_id":"r","data":{{"latest_version":{latest}}}}}"#))
}

#[test]
fn a_bulk_rewrap_asks_for_what_is_old_and_asks_again_when_the_server_stumbles() {
    let results =
        r#"{"request_id":"r","data":{"batch_results":[{"ciphertext":"vault:v3:NEW"},{"error":"no such version"}]}}"#;
    let broken = Reply { status: 500, headers: "", body: r#"{"errors":["internal error"]}"#.to_owned() };
    let stub = Stub::start([key_with_versions(3), broken, Reply::ok(results)]);
    fs::write(path(&stub, "in"), "vault:v3:A\nvault:v1:B\n\nvault:v2:C\nhello").unwrap();
    let (input, output) = (path(&stub, "in"), path(&stub, "out"));
    let ran = stub.run(&["bulk", "rewrap", &input, "-o", &output, "-k", "app", "--format", "json"]);
    assert_eq!(ran.status.code(), Some(2), "{}", stderr(&ran));
    assert_eq!(fs::read_to_string(&output).unwrap(), "vault:v3:A\nvault:v3:NEW\n\nvault:v2:C\nhello");
    let said = stderr(&ran);
    assert!(said.contains("in:4: no such version") && said.contains("in:5: it is not a ciphertext"), "{said}");
    assert!(stub.request().starts_with("GET /v1/transit/keys/app "));
    let (first, second) = (stub.request(), stub.request());
    assert!(first.starts_with("POST /v1/transit/rewrap/app ") && first == second);
    assert!(first.ends_with(r#"{"batch_input":[{"ciphertext":"vault:v1:B"},{"ciphertext":"vault:v2:C"}]}"#), "{first}");
}

#[test]
fn a_batch_that_is_too_much_for_a_server_goes_in_halves() {
    let one = |text: &str| {
        Reply::ok(&format!(r#"{{"request_id":"r","data":{{"batch_results":[{{"ciphertext":"{text}"}}]}}}}"#))
    };
    let limit = r#"{"errors":["refused JSON input due to high complexity: exceeded maximum number of strings"]}"#;
    let refused = Reply { status: 400, headers: "", body: limit.to_owned() };
    let stub = Stub::start([key_with_versions(2), refused, one("vault:v2:A"), one("vault:v2:B")]);
    fs::write(path(&stub, "in"), "vault:v1:A\nvault:v1:B\n").unwrap();
    let (input, output) = (path(&stub, "in"), path(&stub, "out"));
    let ran = stub.run(&["bulk", "rewrap", &input, "-o", &output, "-k", "app"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_eq!(fs::read_to_string(&output).unwrap(), "vault:v2:A\nvault:v2:B\n");
}

#[test]
fn a_dry_run_counts_and_sends_nothing() {
    let stub = Stub::start([key_with_versions(3)]);
    fs::write(path(&stub, "in.jsonl"), "{\"c\": \"vault:v1:A\"}\n{\"c\": \"vault:v3:B\"}\n").unwrap();
    let input = path(&stub, "in.jsonl");
    let ran = stub.run(&["bulk", "rewrap", &input, "-k", "app", "--jsonl", "c", "--dry-run"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert!(stdout(&ran).contains("v1: 1, v3: 1"), "{}", stdout(&ran));
}

#[test]
fn a_refusal_stops_a_bulk_rewrap_and_the_next_run_goes_on() {
    let results = |text: &str| {
        Reply::ok(&format!(r#"{{"request_id":"r","data":{{"batch_results":[{{"ciphertext":"{text}"}}]}}}}"#))
    };
    let denied = Reply { status: 403, headers: "", body: r#"{"errors":["permission denied"]}"#.to_owned() };
    let stub =
        Stub::start([key_with_versions(2), results("vault:v2:A"), denied, key_with_versions(2), results("vault:v2:B")]);
    fs::write(path(&stub, "in"), "vault:v1:A\nvault:v1:B\n").unwrap();
    let (input, output) = (path(&stub, "in"), path(&stub, "out"));
    let words = ["bulk", "rewrap", &input, "-o", &output, "-k", "app", "--batch", "1", "--concurrency", "1"];
    let first = stub.run(&words);
    assert_eq!(first.status.code(), Some(2));
    assert!(stderr(&first).contains("goes on where it stopped"), "{}", stderr(&first));
    assert!(fs::metadata(&output).is_err());
    let second = stub.run(&words);
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    assert_eq!(fs::read_to_string(&output).unwrap(), "vault:v2:A\nvault:v2:B\n");
    assert_eq!(fs::read_dir(stub.home()).unwrap().count(), 2, "in and out are all that is left");
}

#[test]
fn a_password_in_the_address_of_a_database_is_refused() {
    let stub = Stub::start([key_with_versions(2)]);
    let ran = stub.run(&[
        "bulk",
        "rewrap",
        "-k",
        "app",
        "--postgres",
        "postgres://a:hunter2@db/x",
        "--table",
        "t",
        "--column",
        "c",
        "--key-column",
        "id",
    ]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(stderr(&ran).contains("PGPASSWORD") && !stderr(&ran).contains("hunter2"), "{}", stderr(&ran));
}

//! The built binary against a server that answers from a script: what is sent, what is printed where, how it exits.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall panic")]

mod hardening;
mod stub;
mod transit;

use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::fs::symlink, process::Output};
use stub::{Reply, Stub};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn reads_print_data_to_stdout_and_warnings_to_stderr() {
    let body = r#"{"request_id":"r","data":{"b":2,"a":"x"},"warnings":["careful"]}"#;
    let stub = Stub::start([Reply::ok(body)]);
    let output = stub.run(&["read", "secret/a"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "Key    Value\n---    -----\na      x\nb      2\n");
    assert_eq!(stderr(&output), "warning: careful\n");
    let request = stub.request();
    assert!(request.starts_with("GET /v1/secret/a HTTP/1.1"), "{request}");
    assert!(request.to_lowercase().contains("x-vault-token: s.test"), "{request}");
}

#[test]
fn a_denial_exits_2_and_says_what_to_do_under_the_request_id() {
    let stub = Stub::start([Reply {
        status: 403,
        headers: "X-Vault-Request-Id: req-7\r\n",
        body: r#"{"errors":["permission denied"]}"#.to_owned(),
    }]);
    let output = stub.run(&["write", "transit/keys/a", "type=ed25519"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    assert!(text.contains("why: permission denied") && text.contains("token capabilities transit/keys/a"), "{text}");
    assert!(text.contains("request id: req-7"), "{text}");
}

#[test]
fn wrong_usage_exits_1_without_a_request() {
    let stub = Stub::start([]);
    for words in [&["nonsense"][..], &["read"], &["write", "a/b"], &["write", "a/b", "no-equals-sign"]] {
        let output = stub.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(stdout(&output), "", "{words:?}");
    }
}

#[test]
fn nobody_listening_is_a_remote_failure_but_status_says_1() {
    let stub = Stub::start([]);
    let nowhere = ["--address", "http://127.0.0.1:9"];
    assert_eq!(stub.run(&["read", "a/b", nowhere[0], nowhere[1]]).status.code(), Some(2));
    assert_eq!(stub.run(&["status", nowhere[0], nowhere[1]]).status.code(), Some(1));
}

#[test]
fn status_exits_2_when_sealed() {
    let sealed = r#"{"type":"shamir","initialized":true,"sealed":true,"t":3,"n":5,"progress":1,"nonce":"n"}"#;
    let stub = Stub::start([Reply::ok(sealed)]);
    let output = stub.run(&["status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("Unseal Progress    1/3"), "{}", stdout(&output));
}

#[test]
fn our_environment_goes_before_the_others() {
    let stub = Stub::start([Reply::ok("{}")]);
    let output = stub
        .command(&["read", "a/b"])
        .env("CHANCERY_NAMESPACE", "ours")
        .env("BAO_NAMESPACE", "theirs")
        .env("VAULT_NAMESPACE", "older")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stub.request().to_lowercase().contains("x-vault-namespace: ours"));
}

#[test]
fn a_login_is_kept_for_its_owner_only_and_used_by_the_next_command() {
    let login = r#"{"request_id":"r","auth":{"client_token":"s.fresh","policies":["default"]}}"#;
    let stub = Stub::start([Reply::ok(login), Reply::ok("{}")]);
    let output = stub
        .command(&["login", "--method", "userpass", "username=mitch", "password=-"])
        .env_remove("CHANCERY_TOKEN")
        .stdin(stub.file("pw", "foo\n"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let request = stub.request();
    assert!(request.starts_with("PUT /v1/auth/userpass/login/mitch"), "{request}");
    assert!(!request.to_lowercase().contains("x-vault-token"), "{request}");
    let kept = stub.home().join(".vault-token");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    stub.command(&["token", "lookup"]).env_remove("CHANCERY_TOKEN").output().unwrap();
    assert!(stub.request().to_lowercase().contains("x-vault-token: s.fresh"));
}

#[test]
fn a_full_queue_is_asked_again_after_the_time_it_named() {
    let busy = Reply { status: 503, headers: "Retry-After: 0\r\n", body: r#"{"errors":["busy"]}"#.to_owned() };
    let stub = Stub::start([busy, Reply::ok(r#"{"request_id":"r","data":{"a":1}}"#)]);
    let output = stub.run(&["read", "--field", "a", "x/y"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "1\n"));
}

#[test]
fn a_sealed_server_is_not_asked_again() {
    let sealed = Reply { status: 503, headers: "", body: r#"{"errors":["Vault is sealed"]}"#.to_owned() };
    let stub = Stub::start([sealed]);
    let output = stub.run(&["read", "x/y"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("chancery operator unseal"), "{}", stderr(&output));
}

#[test]
fn as_vault_it_takes_single_dashes() {
    let stub = Stub::start([Reply::ok(r#"{"request_id":"r","data":{"keys":["a"]}}"#)]);
    let link = stub.home().join("vault");
    symlink(env!("CARGO_BIN_EXE_chancery"), &link).unwrap();
    let output = stub.command_of(&link, &["list", "-format=json", "transit/keys"]).output().unwrap();
    assert_eq!(stdout(&output).split_whitespace().collect::<String>(), r#"["a"]"#);
    assert!(stub.request().starts_with("GET /v1/transit/keys?list=true"));
}

#[test]
fn the_curl_line_is_printed_instead_of_sent() {
    let stub = Stub::start([]);
    let output = stub.run(&["write", "--output-curl-string", "a/b", "c=d"]);
    assert_eq!(output.status.code(), Some(0));
    let line = stdout(&output);
    assert!(line.starts_with("curl -X PUT") && line.contains(r#"-d '{"c":"d"}'"#), "{line}");
    assert!(!line.contains("s.test"), "the token must not be shown: {line}");
}

#[test]
fn kv_finds_the_mounts_version_by_itself() {
    let mount = r#"{"request_id":"r","data":{"path":"secret/","options":{"version":"2"}}}"#;
    let secret = r#"{"request_id":"r","data":{"data":{"b":"c"},"metadata":{"version":1}}}"#;
    let stub = Stub::start([Reply::ok(mount), Reply::ok(secret)]);
    let output = stub.run(&["kv", "get", "--field", "b", "secret/app"]);
    assert_eq!(stdout(&output), "c");
    assert!(stub.request().starts_with("GET /v1/sys/internal/ui/mounts/secret/app"));
    assert!(stub.request().starts_with("GET /v1/secret/data/app"));
}

#[test]
fn every_command_explains_itself() {
    let stub = Stub::start([]);
    let mut pending = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let output = stub.run(&words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        let help = stdout(&output);
        assert!(help.contains("Usage:"), "{words:?}");
        seen += 1;
        let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
        for line in listed.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ")) {
            if let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) {
                let name = name.split_whitespace().next().unwrap_or_default().to_owned();
                assert!(line.trim() != name, "{path:?} {name} has no description");
                pending.push(path.iter().cloned().chain([name]).collect());
            }
        }
    }
    assert!(seen > 50, "only {seen} commands were found");
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let stub = Stub::start([]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&stub.run(&["completions", shell])).contains("chancery"), "{shell}");
    }
    let directory = stub.home().join("man");
    let output = stub.run(&["man", directory.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = fs::read_to_string(directory.join("chancery-operator-unseal.1")).unwrap();
    assert!(page.contains("unseal key share"), "{page}");
}

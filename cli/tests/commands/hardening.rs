//! What a running server has given up, as the kernel tells it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

fn field<'t>(table: &'t str, name: &str) -> Vec<&'t str> {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().split_whitespace().collect()
}

#[test]
fn a_server_leaves_no_core_dump_and_no_readable_file() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["server", "--dev", "--dev-listen-address", "127.0.0.1:0", "--dev-no-store-token"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let started = lines.into_iter().any(|line| line.contains("server started"));
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", server.id())).unwrap_or_default();
    let (limits, status) = (read("limits"), read("status"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(started);
    assert_eq!(field(&limits, "Max core file size").get(..2), Some(&["0", "0"][..]), "{limits}");
    assert_eq!(field(&status, "Umask:"), ["0077"], "{status}");
}

//! Building the pass-through module and giving it orders.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds the module in the profile this test was built in, and says where it is.
pub(crate) fn build() -> PathBuf {
    let binary = std::env::current_exe().expect("our own path");
    let profile = binary.ancestors().nth(2).expect("target/<profile>/deps").to_owned();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "chancery-pkcs11-shim"]);
    build.arg("--target-dir").arg(profile.parent().expect("the target directory"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status().expect("cargo runs").success(), "the pass-through module builds");
    profile.join("libchancery_pkcs11_shim.so")
}

/// The module's control socket.
pub(crate) struct Shim {
    socket: PathBuf,
}

impl Shim {
    pub(crate) fn at(place: &Path) -> Self {
        Self { socket: place.join("shim") }
    }

    /// Gives one order.
    pub(crate) fn order(&self, order: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("the module listens once it is loaded");
        writeln!(stream, "{order}").expect("the order is sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("the module answers");
        assert_ne!(answer.trim(), "not understood", "{order}");
        answer.trim().to_owned()
    }

    /// The next `times` calls of `function` return `code`.
    pub(crate) fn fail(&self, function: &str, code: u64, times: u64) {
        self.order(&format!("fail {function} {code:#x} {times}"));
    }

    /// Calls of `function` so far.
    pub(crate) fn count(&self, function: &str) -> u64 {
        self.order(&format!("count {function}")).parse().expect("a number")
    }
}

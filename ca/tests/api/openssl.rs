//! The `openssl` program as maker of requests and judge of what we sign.

use crate::harness::NOW;
use std::{path::PathBuf, process::Command};
use tempfile::TempDir;

/// A directory for its files.
pub(crate) struct Openssl(TempDir);

impl Openssl {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn bytes(&self, name: &str, content: &[u8]) {
        std::fs::write(self.0.path().join(name), content).unwrap();
    }

    /// A file it wrote, whatever is in it.
    pub(crate) fn read_bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }

    /// Runs it and answers what it printed, whether or not it succeeded.
    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        self.run(arguments).1
    }

    /// A file it wrote.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// Runs it; answers whether it succeeded, and everything it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("openssl").args(arguments).current_dir(self.0.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs it and answers what it printed; panics where it fails.
    #[track_caller]
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let (success, text) = self.run(arguments);
        assert!(success, "openssl {arguments:?}: {text}");
        text
    }

    /// A request with a fresh key.
    pub(crate) fn csr(&self, subject: &str, key: &[&str], extensions: &str) -> String {
        let has = !extensions.is_empty();
        let config = format!(
            "[req]\ndistinguished_name=dn\nutf8=yes\nstring_mask=utf8only\n{}[dn]\n[v3]\n{extensions}\n",
            if has { "req_extensions=v3\n" } else { "" }
        );
        self.file("csr.cnf", &config);
        let mut arguments =
            vec!["req", "-new", "-nodes", "-config", "csr.cnf", "-subj", subject, "-keyout", "leaf.key"];
        arguments.push("-newkey");
        arguments.extend(key);
        let text = self.must(&arguments);
        let start = text.find("-----BEGIN CERTIFICATE REQUEST").unwrap();
        let end = text.find("-----END CERTIFICATE REQUEST-----").unwrap();
        format!("{}-----END CERTIFICATE REQUEST-----\n", &text[start..end])
    }

    /// `x509 -text` of a certificate.
    pub(crate) fn show(&self, certificate: &str) -> String {
        self.file("show.pem", certificate);
        self.must(&["x509", "-in", "show.pem", "-noout", "-text"])
    }

    /// `verify` of a leaf under a root, with intermediates, strictly, at the test's time.
    pub(crate) fn verify(&self, root: &str, between: &str, leaf: &str, more: &[&str]) -> (bool, String) {
        self.file("root.pem", root);
        self.file("between.pem", between);
        self.file("leaf.pem", leaf);
        let time = (NOW + 60).to_string();
        let mut arguments = vec!["verify", "-x509_strict", "-attime", &time, "-CAfile", "root.pem"];
        if !between.is_empty() {
            arguments.extend(["-untrusted", "between.pem"]);
        }
        arguments.extend(more);
        arguments.push("leaf.pem");
        self.run(&arguments)
    }
}

pub(crate) const P256: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

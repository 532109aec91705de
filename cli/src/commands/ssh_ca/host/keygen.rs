//! `ssh-keygen`, which makes host keys and signs with them.

use crate::failure::{Failure, Result};
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Makes a key pair without a passphrase, as sshd needs it.
pub(super) fn make(key: &Path) -> Result<()> {
    let output = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(key).output();
    match output.map_err(|error| missing(&error))? {
        output if output.status.success() => Ok(()),
        output => Err(failed(&format!("cannot make {}", key.display()), &output.stderr)),
    }
}

/// A signature over the message in a namespace (PROTOCOL.sshsig), armoured.
pub(super) fn prove(key: &Path, namespace: &str, message: &str) -> Result<String> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| missing(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(message.as_bytes())?;
    }
    let output = child.wait_with_output().map_err(|error| missing(&error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(&format!("cannot sign with {}", key.display()), &output.stderr))
    }
}

fn missing(error: &std::io::Error) -> Failure {
    Failure::local("ssh-keygen could not be run").because(error).fix("install OpenSSH's client tools")
}

fn failed(what: &str, stderr: &[u8]) -> Failure {
    Failure::local(what).because(String::from_utf8_lossy(stderr).trim()).fix("may you read the host's private key?")
}

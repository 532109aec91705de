//! ssh-agent's protocol (draft-miller-ssh-agent): list identities, add one with a certificate and a lifetime.

use crate::failure::{Failure, Result};
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};
use zeroize::Zeroizing;

const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const ADD_ID_CONSTRAINED: u8 = 25;
const CONSTRAIN_LIFETIME: u8 = 1;
/// Longest answer that is read.
const LONGEST: usize = 256 << 10;

/// The agent of this session.
pub(super) struct Agent(UnixStream);

/// A key pair with a certificate, to be added.
pub(super) struct Identity<'a> {
    /// The certificate in OpenSSH's binary format.
    pub(super) certificate: &'a [u8],
    /// Ed25519: the seed, then the public half.
    pub(super) pair: &'a [u8],
    pub(super) comment: &'a str,
    /// Seconds.
    pub(super) lifetime: u32,
}

impl Agent {
    /// The agent that `SSH_AUTH_SOCK` names.
    pub(super) fn connect() -> Result<Self> {
        let fix = "start one (eval $(ssh-agent)), or give a key with --key";
        let path = std::env::var_os("SSH_AUTH_SOCK")
            .ok_or_else(|| Failure::local("there is no ssh-agent").because("SSH_AUTH_SOCK is not set").fix(fix))?;
        let stream = UnixStream::connect(&path)
            .map_err(|error| Failure::local("ssh-agent does not answer").because(error).fix(fix))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(stream))
    }

    /// Keys and certificates it holds, with their comments.
    pub(super) fn identities(&mut self) -> Result<Vec<(Vec<u8>, String)>> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        let mut rest = match answer.split_first() {
            Some((&IDENTITIES_ANSWER, rest)) => rest,
            _ => return Err(Failure::local("ssh-agent does not list its keys")),
        };
        let malformed = || Failure::local("ssh-agent's answer cannot be read");
        let count = number(&mut rest).ok_or_else(malformed)?;
        let mut identities = Vec::new();
        for _ in 0..count {
            let (blob, comment) = string(&mut rest).zip(string(&mut rest)).ok_or_else(malformed)?;
            identities.push((blob.to_vec(), String::from_utf8_lossy(comment).into_owned()));
        }
        Ok(identities)
    }

    /// Adds a key; the agent forgets it after its lifetime.
    pub(super) fn add(&mut self, identity: &Identity<'_>) -> Result<()> {
        let public = identity.pair.get(32..).unwrap_or_default();
        let mut message = Zeroizing::new(vec![ADD_ID_CONSTRAINED]);
        for part in [
            b"ssh-ed25519-cert-v01@openssh.com".as_slice(),
            identity.certificate,
            public,
            identity.pair,
            identity.comment.as_bytes(),
        ] {
            message.extend_from_slice(&length(part).to_be_bytes());
            message.extend_from_slice(part);
        }
        message.push(CONSTRAIN_LIFETIME);
        message.extend_from_slice(&identity.lifetime.to_be_bytes());
        match self.ask(&message)?.first() {
            Some(&SUCCESS) => Ok(()),
            Some(&FAILURE) => Err(Failure::local("ssh-agent refused the certificate")
                .because("an agent that is locked, or one that knows no certificates (some desktops have their own)")),
            _ => Err(Failure::local("ssh-agent's answer cannot be read")),
        }
    }

    fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        let broken = |error: std::io::Error| Failure::local("ssh-agent does not answer").because(error);
        let mut framed = Zeroizing::new(length(message).to_be_bytes().to_vec());
        framed.extend_from_slice(message);
        self.0.write_all(&framed).map_err(broken)?;
        let mut head = [0; 4];
        self.0.read_exact(&mut head).map_err(broken)?;
        let bytes = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
        if bytes > LONGEST {
            return Err(Failure::local("ssh-agent's answer is too long"));
        }
        let mut answer = vec![0; bytes];
        self.0.read_exact(&mut answer).map_err(broken)?;
        Ok(answer)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_be_bytes(*head))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let bytes = usize::try_from(number(rest)?).ok()?;
    let (string, tail) = rest.split_at_checked(bytes)?;
    *rest = tail;
    Some(string)
}
